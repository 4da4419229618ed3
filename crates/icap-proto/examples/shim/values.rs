//! Values as they are written.

use icap_proto::{Allow, Encapsulated, Field, Headers, HttpHead, ServiceUri, unfold};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Bytes as text, beyond ASCII as Latin-1.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

pub(super) fn uri(uri: &ServiceUri) -> Value {
    json!({
        "scheme": uri.scheme(),
        "userinfo": uri.userinfo(),
        "host": uri.host(),
        "port": uri.port(),
        "path": uri.path(),
        "query": uri.query(),
    })
}

pub(super) fn fields<'a>(fields: impl Iterator<Item = Field<'a>>) -> Value {
    fields.map(|field| json!([field.name, text(&unfold(field.value))])).collect()
}

pub(super) fn encapsulated(list: Option<&Encapsulated>) -> Value {
    let entries = |list: &Encapsulated| {
        list.entries().map(|(entity, offset)| json!([entity.as_str(), offset])).collect()
    };
    list.map_or(Value::Null, entries)
}

pub(super) fn allow(allow: Allow) -> Value {
    let members =
        [("204", allow.no_content), ("206", allow.partial_content), ("trailers", allow.trailers)];
    members.into_iter().filter(|(_, listed)| *listed).map(|(name, _)| name).collect()
}

/// The values of a transaction, with the messages up to its end.
pub(super) fn transaction(result: &str, messages: Vec<Message>) -> Value {
    let messages: Value =
        messages.into_iter().map(|message| Value::Object(message.values)).collect();
    json!({ "result": result, "messages": messages })
}

/// A body as its length and hash.
#[derive(Debug, Default)]
pub(super) struct Body {
    len: u64,
    hash: Sha256,
}

impl Body {
    pub(super) fn push(&mut self, data: &[u8]) {
        self.len = self.len.saturating_add(data.len() as u64);
        self.hash.update(data);
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn values(self) -> Value {
        let hash: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "len": self.len, "sha256": hash })
    }
}

/// A message of a transaction, on its way in.
#[derive(Debug)]
pub(super) struct Message {
    values: Map<String, Value>,
    body: Option<Body>,
}

impl Message {
    /// A message whose head is whole.
    pub(super) fn new(
        list: Option<&Encapsulated>,
        http_request: Option<&HttpHead>,
        http_response: Option<&HttpHead>,
    ) -> Self {
        let start_line = |head: Option<&HttpHead>| head.map(|head| text(head.start_line()));
        let body = list.filter(|list| list.has_body()).map(|_| Body::default());
        let mut message = Self { values: Map::new(), body };
        message.set("req_hdr_len", list.and_then(Encapsulated::req_hdr));
        message.set("res_hdr_len", list.and_then(Encapsulated::res_hdr));
        message.set("req_start", start_line(http_request));
        message.set("res_start", start_line(http_response));
        if message.body.is_none() {
            message.set("body", Value::Null);
        }
        message
    }

    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.values.insert(key.into(), value.into());
    }

    pub(super) fn data(&mut self, data: &[u8]) {
        if let Some(body) = &mut self.body {
            body.push(data);
        }
    }

    /// Body bytes so far.
    pub(super) fn body_len(&self) -> u64 {
        self.body.as_ref().map_or(0, Body::len)
    }

    /// The message is whole.
    pub(super) fn end(&mut self, trailers: &Headers, icap_trailer: &Headers) {
        if let Some(body) = self.body.take() {
            self.set("body", body.values());
        }
        if icap_trailer.is_empty() {
            self.set("trailers", fields(trailers.iter()));
        }
    }
}
