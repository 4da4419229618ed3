//! The HTTP message around a bare file.
//!
//! ICAP adapts HTTP, so a file needs a message to travel in: an upload in REQMOD, a download in RESPMOD. The URL
//! is a placeholder, `http://misc/<name>`; servers read the file name and type off it.

use icap_proto::{HttpHead, InvalidHeader};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 3986 calls unreserved stays as it is.
const PATH_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The placeholder for the host that the file would be sent to or come from.
const HOST: &str = "misc";

/// The head of an upload: `PUT http://misc/<name>`, for REQMOD.
///
/// `length` becomes Content-Length; `None` when it is not known before the file has been read.
///
/// ```
/// let head = icap_verdict::message::upload("Q3 report.pdf", Some(5))?;
/// assert_eq!(head.target(), Some("http://misc/Q3%20report.pdf"));
/// assert_eq!(head.headers().get("Content-Type"), Some(&b"application/pdf"[..]));
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
///
/// # Errors
///
/// None for any name: what cannot stand in a URL is percent-encoded.
pub fn upload(name: &str, length: Option<u64>) -> Result<HttpHead, InvalidHeader> {
    let mut fields = vec![("Host", HOST.to_owned())];
    fields.extend(entity_fields(name, length));
    HttpHead::request("PUT", &url(name), fields)
}

/// The heads of a download, for RESPMOD: `GET http://misc/<name>` and its `200 OK`. Many servers want to see the
/// request too.
///
/// # Errors
///
/// None for any name: what cannot stand in a URL is percent-encoded.
pub fn download(name: &str, length: Option<u64>) -> Result<(HttpHead, HttpHead), InvalidHeader> {
    let request = HttpHead::request("GET", &url(name), [("Host", HOST)])?;
    let response = HttpHead::response(200, "OK", entity_fields(name, length))?;
    Ok((request, response))
}

fn url(name: &str) -> String {
    format!("http://{HOST}/{}", utf8_percent_encode(name, PATH_SEGMENT))
}

fn entity_fields(name: &str, length: Option<u64>) -> Vec<(&'static str, String)> {
    let content_type = mime_guess::from_path(name).first_or_octet_stream();
    let mut fields = vec![("Content-Type", content_type.essence_str().to_owned())];
    if let Some(length) = length {
        fields.push(("Content-Length", length.to_string()));
    }
    fields
}
