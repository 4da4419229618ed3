//! The request that is sent again and again.

use bytes::Bytes;
use icap_proto::{HttpHead, InvalidHeader, Method, Misuse, RequestHead, ServiceUri};

use super::pattern::Pattern;
use crate::respmod;

/// What a request looks like.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "the program fills it")]
pub struct Shape {
    /// OPTIONS, REQMOD or RESPMOD.
    pub method: Method,
    /// Bytes of body; 0 for none.
    pub body: u64,
    /// Bytes of preview, where there is a body; none for a request without preview.
    pub preview: Option<u64>,
    /// Bytes of a chunk, from 1 to 65,536.
    pub chunk: u64,
    /// The request says `Allow: 204`.
    pub allow_no_content: bool,
    /// Further fields of the ICAP head.
    pub fields: Vec<(String, String)>,
}

/// A request that no server has to take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A field cannot stand in a head.
    #[error(transparent)]
    Header(#[from] InvalidHeader),
    /// The parts do not go together.
    #[error(transparent)]
    Parts(#[from] Misuse),
}

/// A request and its body.
#[derive(Debug)]
pub struct Message {
    pub(super) head: RequestHead,
    pub(super) body: u64,
    pub(super) pattern: Pattern,
    chunk: u64,
}

impl Message {
    /// Builds the request to the service.
    ///
    /// # Errors
    ///
    /// A field that cannot stand in a head, or a method that takes no such message.
    pub fn new(uri: ServiceUri, shape: &Shape) -> Result<Self, MessageError> {
        let is_options = shape.method == Method::Options;
        let body = if is_options { 0 } else { shape.body };
        let preview = shape.preview.filter(|_| body > 0);
        let mut request = RequestHead::builder(shape.method.clone(), uri)
            .header("User-Agent", concat!("icap-load/", env!("CARGO_PKG_VERSION")))?;
        for (name, value) in &shape.fields {
            request = request.header(name, value)?;
        }
        if !is_options {
            if shape.method == Method::Respmod {
                request = request.http_request(browser_request(None)?);
                request = request.http_response(origin_response(body)?);
            } else {
                request = request.http_request(browser_request(Some(body))?);
            }
            if shape.allow_no_content {
                request = request.allow_no_content();
            }
        }
        if let Some(preview) = preview {
            request = request.preview(preview);
        }
        Ok(Self {
            head: request.body(body > 0).build()?,
            body,
            pattern: Pattern::new(),
            chunk: shape.chunk.clamp(1, Pattern::LONGEST as u64),
        })
    }

    /// The chunk behind `sent` bytes of a body that begins at `start` of the pattern.
    pub(super) fn chunk(&self, start: u64, sent: u64, room: u64) -> Bytes {
        self.pattern.piece(start + sent, (self.body - sent).min(self.chunk).min(room))
    }
}

/// A GET, or a POST of so many bytes where the request is what has the body.
fn browser_request(body: Option<u64>) -> Result<HttpHead, InvalidHeader> {
    let body = body.filter(|body| *body > 0);
    let mut fields = fields_of(respmod().request);
    if let Some(length) = body {
        fields.push(("Content-Length".to_owned(), length.to_string()));
    }
    let method = if body.is_some() { "POST" } else { "GET" };
    HttpHead::request(method, "/assets/img/logo-2x.png?v=20260721", fields)
}

fn origin_response(body: u64) -> Result<HttpHead, InvalidHeader> {
    let mut fields = fields_of(respmod().response);
    fields.retain(|(name, _)| name != "Content-Length");
    fields.push(("Content-Length".to_owned(), body.to_string()));
    HttpHead::response(200, "OK", fields)
}

fn fields_of(head: &str) -> Vec<(String, String)> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
