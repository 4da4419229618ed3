//! A server connection in the middle of a dialogue.

use bytes::{Buf, Bytes};
use icap_proto::server::{Connection, Event};
use icap_proto::{
    CloseReason, Error, Headers, HttpHead, IsTag, Leniency, Limits, Misuse, ResponseBuilder,
    ResponseHead, StatusCode,
};

use super::{Core, Trace, lossy, text};

/// A server and what it has been told.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connection: Connection,
    pub(crate) trace: Trace,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), Leniency::default())
    }

    pub(crate) fn strict() -> Self {
        Self::with(Limits::default(), Leniency::strict())
    }

    pub(crate) fn with(limits: Limits, leniency: Leniency) -> Self {
        Self { connection: Connection::new(limits, leniency), trace: Trace::default() }
    }

    /// Feeds what the client says and gives the events it makes.
    pub(crate) fn recv(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        let mut trace = Trace::default();
        let taken = trace.feed(&mut self.connection, bytes.as_ref());
        let rest = &bytes.as_ref()[taken..];
        assert!(trace.error.is_some() || rest.is_empty(), "not read: {}", text(rest));
        self.trace.error = self.trace.error.or(trace.error);
        trace.lines
    }

    /// Puts bytes into the buffer all at once, whether they are wanted or not, and gives the events up to the
    /// first one whose line starts with `until`.
    pub(crate) fn recv_until(&mut self, bytes: impl AsRef<[u8]>, until: &str) -> Vec<String> {
        assert_eq!(self.connection.feed(bytes.as_ref()), bytes.as_ref().len());
        let mut trace = Trace::default();
        while let Some(line) = self.connection.poll_line().unwrap() {
            trace.push(&line);
            if line.starts_with(until) {
                return trace.lines;
            }
        }
        panic!("no {until} in {:?}", trace.lines)
    }

    pub(crate) fn recv_eof(&mut self) -> Option<Error> {
        self.connection.input_closed();
        assert!(!self.connection.wants_input(), "input wanted behind the end");
        let mut trace = Trace::default();
        trace.poll(&mut self.connection);
        assert_eq!(trace.lines, Vec::<String>::new());
        trace.error
    }

    /// The events that are there without further bytes.
    pub(crate) fn poll(&mut self) -> Vec<String> {
        self.recv("")
    }

    pub(crate) fn error(&self) -> Error {
        self.trace.error.expect("no error yet")
    }

    pub(crate) fn send_continue(&mut self) -> Result<(), Error> {
        self.connection.send_continue(&IsTag::new("t1").unwrap())
    }

    /// Answers without parts.
    pub(crate) fn respond(&mut self, status: StatusCode) -> Result<(), Error> {
        self.connection.respond(head(status).build().unwrap())
    }

    /// Answers with the head of a response and, if `body`, an open body.
    pub(crate) fn respond_http(&mut self, status: StatusCode, body: bool) -> Result<(), Error> {
        let http = HttpHead::response(200, "OK", [] as [(&str, &str); 0]).unwrap();
        self.connection.respond(head(status).http(http).body(body).build().unwrap())
    }

    pub(crate) fn send(&mut self, data: &'static str) -> Result<(), Error> {
        self.connection.send_data(Bytes::from_static(data.as_bytes()))
    }

    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.connection.finish(&Headers::new())
    }

    /// What was written since the last look.
    pub(crate) fn sent(&mut self) -> String {
        lossy(&self.take_output())
    }

    pub(crate) fn closing(&self) -> Option<CloseReason> {
        self.connection.closing()
    }
}

/// The head of an answer with the tag of the tests.
pub(crate) fn head(status: StatusCode) -> ResponseBuilder {
    ResponseHead::builder(status).istag(&IsTag::new("t1").unwrap())
}

/// That a call was refused because it does not fit the state.
pub(crate) fn misuse(result: Result<(), Error>) -> Misuse {
    match result {
        Err(Error::Misuse(misuse)) => misuse,
        other => panic!("no misuse: {other:?}"),
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

impl Core for Server {
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

/// An event of a server as a line.
pub(crate) fn line(event: &Event) -> String {
    match event {
        Event::Request(head) => {
            let mut line = format!("request {} {}", head.method(), head.uri());
            line += &format!(" [{}]", head.encapsulated());
            if let Some(bytes) = head.preview() {
                line += &format!(" preview={bytes}");
            }
            let allow = head.allow();
            for (allowed, name) in [
                (allow.no_content, " allow-204"),
                (allow.partial_content, " allow-206"),
                (allow.trailers, " allow-trailers"),
                (head.close(), " close"),
            ] {
                line += if allowed { name } else { "" };
            }
            for http in [head.http_request(), head.http_response()].into_iter().flatten() {
                line += &format!(" ({})", text(http.start_line()));
            }
            line
        }
        Event::Data(data) => format!("data {}", text(data)),
        Event::PreviewEnd { complete: true, .. } => "preview-end ieof".into(),
        Event::PreviewEnd { .. } => "preview-end".into(),
        Event::End { trailers, icap_trailer, .. } => end_line(trailers, icap_trailer),
        other => format!("{other:?}"),
    }
}

pub(crate) fn end_line(trailers: &Headers, icap_trailer: &Headers) -> String {
    let mut line = "end".to_owned();
    for (name, fields) in [("trailers", trailers), ("icap-trailer", icap_trailer)] {
        if !fields.is_empty() {
            line += &format!(" {name}={{{}}}", text(fields.as_bytes()));
        }
    }
    line
}

/// A request without parts.
pub(crate) const OPTIONS: &str = "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n";
/// The events of [`OPTIONS`].
pub(crate) const OPTIONS_EVENTS: [&str; 2] = ["request OPTIONS icap://s/v [null-body=0]", "end"];

/// A RESPMOD request up to its body.
pub(crate) fn respmod(fields: &str) -> String {
    format!(
        "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n{fields}Encapsulated: res-hdr=0, res-body=19\r\n\r\n\
         HTTP/1.1 200 OK\r\n\r\n"
    )
}

/// A RESPMOD request that announces a preview, and what follows its heads.
pub(crate) fn preview(bytes: u64, rest: &str) -> String {
    respmod(&format!("Preview: {bytes}\r\n")) + rest
}
