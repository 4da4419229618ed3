//! Generated messages: what a caller may say, and the bytes that come of it.

use bytes::{Buf, Bytes};
use icap_proto::client::{self, SendState};
use icap_proto::{
    Headers, HttpHead, IsTag, Leniency, Limits, Method, RequestHead, ResponseHead, StatusCode,
    server,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Names and values.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// An HTTP head to be.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) request: bool,
    pub(crate) word: String,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
}

impl Http {
    pub(crate) fn head(&self) -> HttpHead {
        let fields = self.fields.iter().map(|(name, value)| (name, value));
        if self.request {
            HttpHead::request(&self.word, "/path?a=b", fields).unwrap()
        } else {
            HttpHead::response(self.status, &self.word, fields).unwrap()
        }
    }
}

/// A request with all that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) fields: Fields,
    pub(crate) http_request: Option<Http>,
    pub(crate) http_response: Option<Http>,
    /// The pieces in which the body is given.
    pub(crate) body: Option<Vec<Vec<u8>>>,
    pub(crate) preview: Option<u64>,
    /// 204, 206, trailers, close.
    pub(crate) flags: [bool; 4],
    pub(crate) trailers: Fields,
}

impl Question {
    pub(crate) fn head(&self) -> RequestHead {
        let uri = self.uri.parse().unwrap();
        let mut builder = RequestHead::builder(self.method.clone(), uri).body(self.body.is_some());
        if let Some(http) = &self.http_request {
            builder = builder.http_request(http.head());
        }
        if let Some(http) = &self.http_response {
            builder = builder.http_response(http.head());
        }
        if let Some(bytes) = self.preview {
            builder = builder.preview(bytes);
        }
        let [no_content, partial_content, trailers, close] = self.flags;
        if no_content {
            builder = builder.allow_no_content();
        }
        if partial_content {
            builder = builder.allow_partial_content();
        }
        if trailers {
            builder = builder.allow_trailers();
        }
        if close {
            builder = builder.close();
        }
        for (name, value) in &self.fields {
            builder = builder.header(name, value).unwrap();
        }
        builder.build().unwrap()
    }

    pub(crate) fn whole_body(&self) -> Vec<u8> {
        self.body.iter().flatten().flatten().copied().collect()
    }

    /// The bytes on the wire: up to where the client waits, and what it sends after 100 Continue.
    pub(crate) fn encode(&self) -> [Vec<u8>; 2] {
        let mut client = client::Connection::new(Limits::default(), Leniency::strict());
        client.start(&self.head()).unwrap();
        let mut pieces: Vec<Bytes> =
            self.body.iter().flatten().map(|piece| Bytes::copy_from_slice(piece)).collect();
        pieces.retain(|piece| !piece.is_empty());
        pieces.reverse();
        let first = self.send(&mut client, &mut pieces);
        if client.send_state() != SendState::AwaitingContinue {
            return [first, Vec::new()];
        }
        client.feed(b"ICAP/1.0 100 Continue\r\n\r\n");
        assert!(matches!(client.poll_event(), Ok(Some(client::Event::Continue))));
        let second = self.send(&mut client, &mut pieces);
        [first, second]
    }

    fn send(&self, client: &mut client::Connection, pieces: &mut Vec<Bytes>) -> Vec<u8> {
        let sending = |client: &client::Connection| {
            matches!(client.send_state(), SendState::Preview { .. } | SendState::Streaming)
        };
        while sending(client) {
            match pieces.pop() {
                Some(mut piece) => {
                    client.send_data(&mut piece).unwrap();
                    if !piece.is_empty() {
                        pieces.push(piece);
                    }
                }
                None => client.finish(&headers(&self.trailers)).unwrap(),
            }
        }
        let output = client.output();
        output.copy_to_bytes(output.remaining()).to_vec()
    }
}

/// An answer with all that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) http: Option<Http>,
    pub(crate) body: Option<Vec<Vec<u8>>>,
    pub(crate) close: bool,
    pub(crate) trailers: Fields,
    /// The end of a 206.
    pub(crate) original_from: Option<u64>,
}

impl Answer {
    /// A request that takes the answer.
    pub(crate) fn question(&self) -> Question {
        let request = self.http.as_ref().is_none_or(|http| http.request);
        let method = if request { Method::Reqmod } else { Method::Respmod };
        let http = Http { request, word: "GET".into(), status: 200, fields: Vec::new() };
        Question {
            uri: "icap://s/v".into(),
            fields: Vec::new(),
            http_request: request.then(|| http.clone()),
            http_response: (!request).then_some(http),
            method,
            body: None,
            preview: None,
            flags: [true, true, false, false],
            trailers: Vec::new(),
        }
    }

    pub(crate) fn head(&self) -> ResponseHead {
        let mut builder = ResponseHead::builder(StatusCode::new(self.status).unwrap())
            .istag(&IsTag::new("t1").unwrap());
        for (name, value) in &self.fields {
            builder = builder.header(name, value).unwrap();
        }
        if let Some(http) = &self.http {
            builder = builder.http(http.head()).body(self.body.is_some());
        }
        if self.close {
            builder = builder.close();
        }
        builder.build().unwrap()
    }

    pub(crate) fn whole_body(&self) -> Vec<u8> {
        self.body.iter().flatten().flatten().copied().collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut server = server::Connection::new(Limits::default(), Leniency::strict());
        let [question, _] = self.question().encode();
        assert_eq!(server.feed(&question), question.len());
        while server.poll_event().unwrap().is_some() {}
        server.respond(self.head()).unwrap();
        if let Some(pieces) = &self.body {
            for piece in pieces {
                server.send_data(Bytes::copy_from_slice(piece)).unwrap();
            }
            match self.original_from {
                Some(offset) => server.finish_with_original(offset).unwrap(),
                None => server.finish(&headers(&self.trailers)).unwrap(),
            }
        }
        let output = server.output();
        output.copy_to_bytes(output.remaining()).to_vec()
    }
}

pub(crate) fn headers(fields: &Fields) -> Headers {
    Headers::from_pairs(fields.iter().map(|(name, value)| (name, value))).unwrap()
}

/// Names with the whole alphabet of tokens; none that the library writes by itself.
fn name() -> impl Strategy<Value = String> {
    vec(prop::sample::select(&b"abzABZ019!#$%&'*+-.^_`|~"[..]), 1..12)
        .prop_map(|bytes| format!("X-{}", String::from_utf8(bytes).unwrap()))
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => 0x20..0x7fu8,
        1 => 0x80..=0xffu8,
        1 => Just(b'\t'),
    ];
    // Blanks around a value are not part of it.
    vec(byte, 0..24).prop_map(|bytes| bytes.trim_ascii().to_vec())
}

pub(crate) fn fields(most: usize) -> impl Strategy<Value = Fields> {
    vec((name(), value()), 0..=most)
}

pub(crate) fn http(request: bool) -> impl Strategy<Value = Http> {
    let word = if request { "[A-Z]{1,8}" } else { "[ -~]{0,12}" };
    (word, 100..600u16, fields(5)).prop_map(move |(word, status, fields)| Http {
        request,
        word,
        status,
        fields,
    })
}

/// Pieces below and above the size where chunks are gathered.
fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        6 => vec(any::<u8>(), 0..20),
        2 => (any::<u8>(), 400..700usize).prop_map(|(byte, len)| vec![byte; len]),
        1 => (any::<u8>(), 1000..3000usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    vec(piece, 0..6)
}

fn uri() -> impl Strategy<Value = String> {
    let host = prop_oneof!["[a-z][a-z0-9.-]{0,12}", Just("[::1]".into()), Just("10.1.2.3".into())];
    let tail = prop_oneof![
        "",
        "/[a-z0-9._~%4aF-]{0,1}[a-z0-9._~-]{0,12}",
        "/[a-z/:@]{0,9}\\?[a-z=&/?]{0,9}",
    ]
    .prop_filter("percent signs stand before two digits", |tail| !tail.contains('%'));
    ("icaps?", host, option::of(any::<u16>()), tail).prop_map(|(scheme, host, port, tail)| {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{tail}")
    })
}

/// Requests of every method.
pub(crate) fn question() -> impl Strategy<Value = Question> {
    let method = prop_oneof![
        3 => Just(Method::Reqmod),
        4 => Just(Method::Respmod),
        1 => Just(Method::Options),
        1 => "[A-Z]{1,9}".prop_map(|name| Method::from_bytes(name.as_bytes()).unwrap()),
    ];
    (
        (method, uri(), fields(6), http(true), http(false), option::of(body())),
        (
            option::of(prop_oneof![0..40u64, 0..4000u64]),
            any::<[bool; 4]>(),
            fields(2),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(
                (method, uri, fields, request, response, body),
                (preview, flags, trailers, context),
            )| {
                let respmod = method == Method::Respmod;
                let adapts = respmod || method == Method::Reqmod;
                let body = body.filter(|_| adapts);
                Question {
                    uri,
                    fields,
                    http_request: (method == Method::Reqmod || (respmod && context))
                        .then_some(request),
                    http_response: respmod.then_some(response),
                    trailers: if body.is_some() { trailers } else { Vec::new() },
                    body,
                    preview: preview.filter(|_| adapts),
                    flags,
                    method,
                }
            },
        )
}

/// Answers with and without parts.
pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    let http = any::<bool>().prop_flat_map(http);
    let status = prop_oneof![3 => Just(200u16), 1 => Just(204), 1 => Just(206), 1 => 400..600u16];
    (status, fields(6), http, option::of(body()), any::<bool>(), fields(2), any::<u64>()).prop_map(
        |(status, fields, http, body, close, trailers, offset)| {
            let http = (status != 204).then_some(http);
            let body = body.filter(|_| http.is_some());
            let original_from = (status == 206 && body.is_some()).then_some(offset);
            let trailers = if original_from.is_none() { trailers } else { Vec::new() };
            Answer { status, fields, http, body, close, trailers, original_from }
        },
    )
}
