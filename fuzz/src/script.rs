//! A dialogue written down, so that two of them compare.

use icap_proto::{CloseReason, Error, Headers, HttpHead, client, server};

/// What a peer said: heads and ends in order, the data between them as one piece however it arrived.
#[derive(Debug, Default)]
pub struct Script {
    lines: Vec<String>,
    data: Vec<u8>,
    pub error: Option<Error>,
    /// Why the connection ends, if it does without an error.
    pub closing: Option<CloseReason>,
    /// How many bytes had been fed when the peer had to wait for an answer.
    pub turns: Vec<usize>,
}

/// Where the turns lie depends on the cuts; what is said does not.
impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        (&self.lines, &self.data, self.error, self.closing)
            == (&other.lines, &other.data, other.error, other.closing)
    }
}

impl Script {
    pub fn data(&mut self, data: &[u8]) {
        assert!(!data.is_empty(), "an empty piece of data");
        self.data.extend_from_slice(data);
    }

    pub fn line(&mut self, line: String) {
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.lines.push(format!("data {}", data.escape_ascii()));
        }
        self.lines.push(line);
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    pub fn server_event(&mut self, event: &server::Event) {
        match event {
            server::Event::Data(data) => self.data(data),
            server::Event::Request(head) => {
                let sections = [head.http_request(), head.http_response()];
                let parts = (head.encapsulated(), head.preview(), head.allow(), head.close());
                let (method, uri) = (head.method(), head.uri());
                self.line(format!("request {method} {uri} {parts:?} {}", text(sections)));
                self.line(format!("fields {}", head.headers().as_bytes().escape_ascii()));
            }
            server::Event::End { trailers, icap_trailer, .. } => {
                self.line(format!("end {} {}", fields(trailers), fields(icap_trailer)));
            }
            other => self.line(format!("{other:?}")),
        }
    }

    pub fn client_event(&mut self, event: &client::Event) {
        match event {
            client::Event::Data(data) => self.data(data),
            client::Event::Response(head) => {
                let sections = [head.http_request(), head.http_response()];
                let reason = head.reason().escape_ascii();
                let parts = (head.encapsulated(), head.preview(), head.allow(), head.close());
                self.line(format!("{} {reason} {parts:?} {}", head.status(), text(sections)));
                self.line(format!("fields {}", head.headers().as_bytes().escape_ascii()));
            }
            client::Event::End { trailers, icap_trailer, use_original_body, .. } => {
                let trailers = (fields(trailers), fields(icap_trailer));
                self.line(format!("end {trailers:?} {use_original_body:?}"));
            }
            other => self.line(format!("{other:?}")),
        }
    }
}

fn fields(headers: &Headers) -> String {
    headers.as_bytes().escape_ascii().to_string()
}

fn text(sections: [Option<&HttpHead>; 2]) -> String {
    let text = |head: &HttpHead| format!("[{}]", head.as_bytes().escape_ascii());
    sections.map(|section| section.map(text).unwrap_or_default()).concat()
}
