//! What the benchmarks work on: messages, floors, and load over a network.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "the messages are our own"
)]

pub mod floors;
pub mod load;

use std::hint::black_box;

use bytes::{Buf, Bytes, BytesMut};
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::wire::head::{HttpBlock, Request};
use icap_proto::{HttpHead, IsTag, Leniency, Limits, ResponseHead, StatusCode, server};

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

impl Message {
    /// The bytes of the message up to its body.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        [self.icap.as_str(), self.request, self.response].concat().into()
    }

    /// The three heads as httparse takes them: it knows no ICAP, and the version of HTTP is as long.
    #[must_use]
    pub fn as_http(&self) -> [Vec<u8>; 3] {
        let icap = self.icap.replacen("ICAP/1.0", "HTTP/1.1", 1);
        [icap.into(), self.request.into(), self.response.into()]
    }
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

/// Parses a RESPMOD message where it lies: the ICAP head and the two heads inside.
///
/// # Panics
///
/// When the message is not one of [`respmod`].
pub fn parse_borrowed(message: &[u8], limits: &Limits, leniency: &Leniency) {
    let head = Request::parse(message, limits, leniency).expect("a good head").expect("all of it");
    let list = head.encapsulated().expect("a RESPMOD has parts");
    let (_, sections) = message.split_at(head.len());
    let (request, response) = sections.split_at(list.req_hdr().expect("a request head"));
    let response = &response[..list.res_hdr().expect("a response head")];
    black_box(HttpBlock::request(request, limits, leniency).expect("a good head"));
    black_box(HttpBlock::response(response, limits, leniency).expect("a good head"));
    black_box(head);
}

/// Decodes a body that is in one buffer and counts its bytes.
///
/// # Panics
///
/// When the body is not one of [`chunked`].
pub fn decode(wire: &mut BytesMut, limits: &Limits, leniency: &Leniency) -> usize {
    let mut decoder = ChunkDecoder::default();
    let mut bytes = 0;
    while let Some(part) = decoder.decode(wire, limits, leniency).expect("a good body") {
        if let Part::Data(data) = part {
            bytes += black_box(data).len();
        }
    }
    bytes
}

/// A server connection that is sending the body of a 200.
///
/// # Panics
///
/// Never: the request is our own.
#[must_use]
pub fn answering() -> server::Connection {
    let mut connection = server::Connection::new(Limits::default(), Leniency::default());
    let message = respmod();
    connection.feed(&message.whole());
    let request = connection.poll_event().expect("a good head");
    assert!(matches!(request, Some(server::Event::Request(_))));
    let page = HttpHead::response(200, "OK", [("Content-Type", "text/html")]).expect("a good head");
    let answer = ResponseHead::builder(StatusCode::OK).http(page).body(true).build();
    connection.respond(answer.expect("it fits")).expect("an answer is due");
    let output = connection.output();
    output.advance(output.remaining());
    connection
}

/// `body` in pieces of this size, none of them copied.
#[must_use]
pub fn pieces(body: &'static [u8], size: usize) -> Vec<Bytes> {
    body.chunks(size).map(Bytes::from_static).collect()
}

/// Sends the pieces of a body, each as one chunk.
///
/// # Panics
///
/// When the connection is not [`answering`].
pub fn encode(connection: &mut server::Connection, pieces: Vec<Bytes>) {
    for piece in pieces {
        connection.send_data(piece).expect("a body is being sent");
    }
}

/// A RESPMOD request with a preview of 1 KiB that is not all.
#[must_use]
pub fn previewed() -> Vec<u8> {
    let mut wire = respmod().whole();
    wire.extend_from_slice(&chunked(&[0x5a; 1024], 1024));
    wire
}

/// One whole exchange without I/O: a request with its preview comes in, 204 goes out.
///
/// # Panics
///
/// When the request is not [`previewed`].
pub fn transaction(connection: &mut server::Connection, wire: &[u8], tag: &IsTag) {
    connection.feed(wire);
    loop {
        match connection.poll_event().expect("a good request") {
            Some(server::Event::PreviewEnd { .. }) => break,
            Some(event) => drop(black_box(event)),
            None => panic!("the request is whole"),
        }
    }
    let answer = ResponseHead::builder(StatusCode::NO_CONTENT).istag(tag).build();
    connection.respond(answer.expect("it fits")).expect("an answer is due");
    let output = connection.output();
    black_box(output.chunk());
    output.advance(output.remaining());
    assert!(connection.poll_event().expect("no more input").is_none());
}
