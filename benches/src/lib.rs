//! The messages that the benchmarks work on.

/// The parts of a RESPMOD request as a browser behind a proxy causes it: ICAP head, HTTP request head, HTTP
/// response head.
#[derive(Debug)]
#[non_exhaustive]
pub struct Message {
    /// The ICAP head with its empty line.
    pub icap: String,
    /// The encapsulated request head.
    pub request: &'static str,
    /// The encapsulated response head.
    pub response: &'static str,
}

/// A message of about 870 bytes with 24 fields.
#[must_use]
pub fn respmod() -> Message {
    let request = "GET /assets/img/logo-2x.png?v=20260721 HTTP/1.1\r\n\
        Host: www.example.org\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\n\
        Accept-Encoding: gzip, deflate, br\r\n\
        Referer: https://www.example.org/index.html\r\n\
        Cookie: sid=9f86d081884c7d659a2feaa0c55ad015; theme=dark\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\n\
        Date: Tue, 21 Jul 2026 09:00:00 GMT\r\n\
        Server: Apache/2.4.62\r\n\
        Last-Modified: Mon, 20 Jul 2026 08:00:00 GMT\r\n\
        ETag: \"63840-1b3-4a2f\"\r\n\
        Content-Type: application/octet-stream\r\n\
        Content-Length: 4096\r\n\
        Cache-Control: max-age=86400\r\n\
        Vary: Accept-Encoding\r\n\r\n";
    let icap = format!(
        "RESPMOD icap://127.0.0.1:1344/echo ICAP/1.0\r\n\
         Host: 127.0.0.1:1344\r\n\
         User-Agent: icap-bench/0.1\r\n\
         Allow: 204\r\n\
         X-Client-IP: 192.0.2.7\r\n\
         Preview: 1024\r\n\
         Encapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\r\n",
        request.len(),
        request.len().saturating_add(response.len()),
    );
    Message { icap, request, response }
}

/// `body` in chunks of `size` bytes, with the last chunk.
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in body.chunks(size) {
        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}
