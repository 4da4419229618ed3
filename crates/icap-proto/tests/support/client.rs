//! A client connection in the middle of a dialogue.

use bytes::{Buf, Bytes};
use icap_proto::client::{Connection, Event, SendState};
use icap_proto::{
    CloseReason, Error, Headers, HttpHead, Leniency, Limits, Method, RequestHead, StatusCode,
};

use super::{Core, Trace, lossy, text};

/// What is asked. The default is a RESPMOD with a body, without preview, that allows nothing.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) body: bool,
    pub(crate) preview: Option<u64>,
    pub(crate) no_content: bool,
    pub(crate) partial_content: bool,
    pub(crate) close: bool,
    pub(crate) icap_trailer: bool,
    pub(crate) leniency: Leniency,
    pub(crate) limits: Limits,
}

impl Ask {
    fn new(method: Method, body: bool) -> Self {
        Self {
            method,
            body,
            preview: None,
            no_content: false,
            partial_content: false,
            close: false,
            icap_trailer: false,
            leniency: Leniency::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn respmod() -> Self {
        Self::new(Method::Respmod, true)
    }

    pub(crate) fn reqmod() -> Self {
        Self::new(Method::Reqmod, true)
    }

    pub(crate) fn options() -> Self {
        Self::new(Method::Options, false)
    }

    pub(crate) fn no_body(self) -> Self {
        Self { body: false, ..self }
    }

    pub(crate) fn preview(self, bytes: u64) -> Self {
        Self { preview: Some(bytes), ..self }
    }

    pub(crate) fn allow_204(self) -> Self {
        Self { no_content: true, ..self }
    }

    pub(crate) fn allow_206(self) -> Self {
        Self { partial_content: true, ..self }
    }

    pub(crate) fn close(self) -> Self {
        Self { close: true, ..self }
    }

    pub(crate) fn strict(self) -> Self {
        Self { leniency: Leniency::strict(), ..self }
    }

    pub(crate) fn head(&self) -> RequestHead {
        let uri = "icap://s/v".parse().unwrap();
        let mut builder = RequestHead::builder(self.method.clone(), uri).body(self.body);
        match self.method {
            Method::Reqmod => {
                builder =
                    builder.http_request(HttpHead::request("POST", "/p", [("Host", "h")]).unwrap());
            }
            Method::Respmod => {
                builder =
                    builder.http_response(HttpHead::response(200, "OK", [("A", "b")]).unwrap());
            }
            _ => {}
        }
        if let Some(bytes) = self.preview {
            builder = builder.preview(bytes);
        }
        if self.no_content {
            builder = builder.allow_no_content();
        }
        if self.partial_content {
            builder = builder.allow_partial_content();
        }
        if self.close {
            builder = builder.close();
        }
        if self.icap_trailer {
            builder = builder.icap_trailer(["X-Id"]).unwrap();
        }
        builder.build().unwrap()
    }

    /// The request is started; its head is written.
    pub(crate) fn start(self) -> Client {
        let mut connection = Connection::new(self.limits, self.leniency);
        connection.start(&self.head()).unwrap();
        let mut client = Client { connection, trace: Trace::default() };
        client.sent();
        client
    }

    /// The request is started and its body `data` sent to the end.
    pub(crate) fn sent_whole(self, data: &str) -> Client {
        let body = self.body;
        let mut client = self.start();
        if body {
            client.send(data);
            client.connection.finish(&Headers::new()).unwrap();
        }
        client.sent();
        client
    }
}

/// A client and what it has been told.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) trace: Trace,
}

impl Client {
    /// Offers body data and gives back what was not taken.
    pub(crate) fn send(&mut self, data: &str) -> String {
        let mut data = Bytes::copy_from_slice(data.as_bytes());
        self.connection.send_data(&mut data).unwrap();
        lossy(&data)
    }

    pub(crate) fn finish(&mut self) {
        self.connection.finish(&Headers::new()).unwrap();
    }

    /// What was written since the last look.
    pub(crate) fn sent(&mut self) -> String {
        lossy(&self.take_output())
    }

    /// Feeds what the server says and gives the events it makes.
    pub(crate) fn recv(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        let mut trace = Trace::default();
        // More than is wanted, as a server that says too much does.
        let taken = trace.feed(&mut self.connection, bytes.as_ref());
        let surplus = &bytes.as_ref()[taken..];
        if !surplus.is_empty() {
            assert_eq!(self.connection.feed(surplus), surplus.len());
            trace.poll(&mut self.connection);
        }
        self.trace.error = self.trace.error.or(trace.error);
        trace.lines
    }

    pub(crate) fn recv_eof(&mut self) -> Option<Error> {
        self.connection.input_closed();
        assert!(!self.connection.wants_input(), "input wanted behind the end");
        let mut trace = Trace::default();
        trace.poll(&mut self.connection);
        assert_eq!(trace.lines, Vec::<String>::new());
        trace.error
    }

    /// The error that the last bytes caused.
    pub(crate) fn error(&self) -> Error {
        self.trace.error.expect("no error yet")
    }

    /// Where the request stands, in a word.
    pub(crate) fn state(&self) -> String {
        match self.connection.send_state() {
            SendState::Preview { remaining, .. } => format!("preview {remaining}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    pub(crate) fn reusable(&self) -> Result<(), CloseReason> {
        self.connection.reusable()
    }
}

impl Core for Connection {
    fn feed(&mut self, bytes: &[u8]) -> usize {
        self.feed(bytes)
    }

    fn input_closed(&mut self) {
        self.input_closed();
    }

    fn wants_input(&self) -> bool {
        self.wants_input()
    }

    fn poll_line(&mut self) -> Result<Option<String>, Error> {
        Ok(self.poll_event()?.map(|event| line(&event)))
    }

    fn take_used_leniency(&mut self) -> Leniency {
        self.take_used_leniency()
    }

    fn take_output(&mut self) -> Vec<u8> {
        let output = self.output();
        output.copy_to_bytes(output.remaining()).to_vec()
    }
}

impl Core for Client {
    fn feed(&mut self, bytes: &[u8]) -> usize {
        self.connection.feed(bytes)
    }

    fn input_closed(&mut self) {
        self.connection.input_closed();
    }

    fn wants_input(&self) -> bool {
        self.connection.wants_input()
    }

    fn poll_line(&mut self) -> Result<Option<String>, Error> {
        self.connection.poll_line()
    }

    fn take_used_leniency(&mut self) -> Leniency {
        self.connection.take_used_leniency()
    }

    fn take_output(&mut self) -> Vec<u8> {
        self.connection.take_output()
    }
}

/// An event of a client as a line.
pub(crate) fn line(event: &Event) -> String {
    match event {
        Event::Continue => "continue".into(),
        Event::Response(head) => {
            let mut line = format!("response {} {}", head.status(), text(head.reason()));
            if let Some(list) = head.encapsulated() {
                line += &format!(" [{list}]");
            }
            for http in [head.http_request(), head.http_response()].into_iter().flatten() {
                line += &format!(" ({})", text(http.start_line()));
            }
            line
        }
        Event::Data(data) => format!("data {}", text(data)),
        Event::End { trailers, icap_trailer, use_original_body, .. } => {
            let mut line = super::server::end_line(trailers, icap_trailer);
            if let Some(offset) = use_original_body {
                line += &format!(" use-original-body={offset}");
            }
            line
        }
        other => format!("{other:?}"),
    }
}

/// A response head as a server sends it.
pub(crate) fn answer(status: StatusCode, fields: &str) -> String {
    format!("ICAP/1.0 {status} {}\r\nISTag: \"t1\"\r\n{fields}\r\n", status.canonical_reason())
}

pub(crate) const CONTINUE: &str = "ICAP/1.0 100 Continue\r\n\r\n";
pub(crate) const NO_CONTENT: &str = "ICAP/1.0 204 No Content\r\nISTag: \"t1\"\r\n\r\n";
/// A 200 with the head of a response and the body "new".
pub(crate) const OK_NEW: &str = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\n\
    Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n3\r\nnew\r\n0\r\n\r\n";
/// The events of [`OK_NEW`].
pub(crate) const OK_NEW_EVENTS: [&str; 3] =
    ["response 200 OK [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "data new", "end"];
