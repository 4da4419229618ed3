//! Both sides and the chunk decoder, fed with bytes as their owners feed them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use icap_proto::client::{self, SendState};
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{
    Error, Headers, HttpHead, IsTag, Leniency, Limits, Method, RequestHead, ResponseHead,
    StatusCode, server,
};

use crate::script::Script;
use crate::settings;

/// What reads bytes and makes events of them.
pub trait Reader {
    fn feed(&mut self, bytes: &[u8]) -> usize;

    fn wants_input(&self) -> bool;

    /// One event, and what the owner says to it.
    fn step(&mut self, script: &mut Script) -> Result<Step, Error>;

    /// What is left to say when all bytes were fed.
    fn end(&self, _script: &mut Script) {}

    /// What must hold once there was an error.
    fn after_error(&mut self, _: Error) {}
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There may be more.
    Event,
    /// The owner has spoken: a peer that minds its turn has sent nothing that lies behind.
    Turn,
    /// More input is needed, or none is wanted.
    Nothing,
}

/// Feeds `bytes` in pieces that end at `cuts`, as far as they are wanted.
pub fn read(reader: &mut impl Reader, bytes: &[u8], cuts: &[usize], limits: &Limits) -> Script {
    let mut script = Script::default();
    let (mut at, mut at_event) = (0, 0);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        loop {
            match reader.step(&mut script) {
                Ok(Step::Nothing) if at < end && reader.wants_input() => {
                    assert!(at - at_event <= settings::most_held(limits), "{} held", at - at_event);
                    let taken = reader.feed(&bytes[at..end]);
                    assert!(taken > 0, "no room although input is wanted");
                    at += taken;
                }
                Ok(Step::Nothing) => break,
                Ok(step) => {
                    assert!(!reader.wants_input(), "input wanted before the next event");
                    at_event = at;
                    if step == Step::Turn {
                        script.turns.push(at);
                    }
                }
                Err(error) => {
                    check_error(reader, error, at);
                    script.error = Some(error);
                    return script;
                }
            }
        }
        if at < end {
            break;
        }
    }
    reader.end(&mut script);
    script
}

fn check_error(reader: &mut impl Reader, error: Error, fed: usize) {
    if let Error::Parse(error) = error {
        assert!(error.offset <= fed as u64, "{error} of {fed}");
    }
    assert!(!matches!(error, Error::Misuse(_)), "{error}");
    let mut script = Script::default();
    for _ in 0..2 {
        assert!(!reader.wants_input(), "input wanted after an error");
        assert_eq!(reader.step(&mut script), Err(error));
    }
    assert!(script == Script::default(), "events after an error");
    reader.after_error(error);
    assert_eq!(reader.step(&mut script), Err(error), "an answer ends the error");
}

/// Runs fresh readers under many cuts and holds them to one script. Bytes never run ahead of their turn: whether
/// those do is something only the cuts decide.
pub fn same_under_cuts<R: Reader>(bytes: &[u8], limits: &Limits, fresh: impl Fn() -> R) -> Script {
    let every: Vec<usize> = (1..bytes.len()).collect();
    let expected = read(&mut fresh(), bytes, &every, limits);
    for mut cuts in settings::cuts(bytes, bytes.len()) {
        cuts.extend(expected.turns.iter().copied().filter(|turn| (1..bytes.len()).contains(turn)));
        cuts.sort_unstable();
        cuts.dedup();
        let script = read(&mut fresh(), bytes, &cuts, limits);
        assert!(script == expected, "cut at {cuts:?}: {script:#?} for {expected:#?}");
    }
    expected
}

/// Strict settings never take more than lenient ones, and what they take says the same.
pub fn strict_is_lenient(strict: &Script, lenient: &Script) {
    if strict.error.is_none() {
        assert!(strict == lenient, "strict {strict:#?}, lenient {lenient:#?}");
    }
}

/// A chunked body alone.
#[derive(Debug)]
pub struct Chunks {
    decoder: ChunkDecoder,
    input: BytesMut,
    limits: Limits,
    leniency: Leniency,
    starved: bool,
    failed: Option<Error>,
    fed: u64,
}

impl Chunks {
    pub fn new(limits: Limits, leniency: Leniency) -> Self {
        Self {
            decoder: ChunkDecoder::default(),
            input: BytesMut::new(),
            limits,
            leniency,
            starved: false,
            failed: None,
            fed: 0,
        }
    }

    pub fn consumed(&self) -> usize {
        usize::try_from(self.decoder.consumed()).expect("no more than was fed")
    }

    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }
}

impl Reader for Chunks {
    fn feed(&mut self, bytes: &[u8]) -> usize {
        self.input.extend_from_slice(bytes);
        self.fed += bytes.len() as u64;
        self.starved = false;
        bytes.len()
    }

    fn wants_input(&self) -> bool {
        self.starved && !self.decoder.is_done() && self.failed.is_none()
    }

    fn step(&mut self, script: &mut Script) -> Result<Step, Error> {
        // A decoder is dropped with its connection at the first error.
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.starved = false;
        let part = self.decoder.decode(&mut self.input, &self.limits, &self.leniency);
        let accounted = self.decoder.consumed() + self.input.len() as u64;
        assert!(part.is_err() || accounted == self.fed, "{accounted} bytes of {}", self.fed);
        match part {
            Ok(Some(Part::Data(data))) => script.data(&data),
            Ok(Some(Part::End(end))) => script.line(format!("{end:?}")),
            Ok(Some(part)) => panic!("not known: {part:?}"),
            Ok(None) => {
                self.starved = true;
                let most = self.limits.chunk_line.max(self.limits.trailer_bytes) + 16;
                assert!(self.decoder.is_done() || self.input.len() <= most, "held too much");
                return Ok(Step::Nothing);
            }
            Err(error) => {
                let again = self.decoder.decode(&mut self.input, &self.limits, &self.leniency);
                assert_eq!(again, Err(error), "the same error again");
                self.failed = Some(error.into());
                return Err(error.into());
            }
        }
        Ok(Step::Event)
    }
}

/// A server whose owner answers by a plan.
#[derive(Debug)]
pub struct Server {
    pub connection: server::Connection,
    plan: u8,
    tag: IsTag,
    method: Method,
    answered: bool,
    pub written: Vec<u8>,
}

impl Server {
    pub const PLANS: u8 = 7;
    /// One more, which ends with the first data: what that is depends on the cuts.
    pub const BROKEN_OFF: u8 = Self::PLANS;

    pub fn new(plan: u8, limits: Limits, leniency: Leniency) -> Self {
        Self {
            connection: server::Connection::new(limits, leniency),
            plan,
            tag: IsTag::new("fuzz").expect("a good tag"),
            method: Method::Options,
            answered: false,
            written: Vec::new(),
        }
    }

    fn take_output(&mut self) {
        let output = self.connection.output();
        if output.has_remaining() {
            self.written.extend_from_slice(&output.copy_to_bytes(output.remaining()));
        }
    }

    fn answer(&mut self, event: &server::Event) {
        if let server::Event::Request(head) = event {
            self.method = head.method().clone();
            self.answered = false;
        }
        match (self.plan, event) {
            // A verdict on the preview alone.
            (1, server::Event::PreviewEnd { complete: false, .. })
                if self.connection.permits_no_content() =>
            {
                self.respond(StatusCode::NO_CONTENT, false);
            }
            // Long before the request is whole.
            (2, server::Event::Request(_)) => self.respond(StatusCode::OK, false),
            (3, server::Event::Request(_)) => self.respond(StatusCode::FORBIDDEN, false),
            // The body goes back while it comes.
            (4, server::Event::Request(_)) => self.respond(StatusCode::OK, true),
            (4, server::Event::Data(data)) if self.answered => {
                let _ = self.connection.send_data(data.clone());
            }
            (5, server::Event::Request(_)) => self.respond(StatusCode::OK, true),
            (5, server::Event::PreviewEnd { .. } | server::Event::End { .. }) => {
                self.connection.abort();
            }
            (Self::BROKEN_OFF, server::Event::Data(_)) => self.connection.abort(),
            (6, server::Event::PreviewEnd { complete: false, .. })
                if self.connection.permits_partial_content() =>
            {
                self.respond(StatusCode::PARTIAL_CONTENT, true);
                let _ = self.connection.finish_with_original(1);
            }
            (_, server::Event::PreviewEnd { complete: false, .. }) if !self.answered => {
                self.connection.send_continue(&self.tag).expect("nothing runs ahead");
            }
            (4, server::Event::End { .. } | server::Event::PreviewEnd { .. }) if self.answered => {
                let _ = self.connection.finish(&Headers::new());
            }
            (_, server::Event::End { .. }) if !self.answered => {
                self.respond(StatusCode::NOT_FOUND, false);
            }
            _ => {}
        }
    }

    fn respond(&mut self, status: StatusCode, body: bool) {
        let mut builder = ResponseHead::builder(status).istag(&self.tag);
        let adapts = matches!(self.method, Method::Reqmod | Method::Respmod);
        if adapts && matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            let page = HttpHead::response(200, "OK", [("Via", "fuzz")]).expect("a good head");
            builder = builder.http(page).body(body);
        } else if status == StatusCode::OK {
            builder = builder.null_body();
        }
        let head = builder.build().expect("a good answer");
        self.connection.respond(head).expect("an answer is due");
        self.answered = true;
    }
}

impl Reader for Server {
    fn feed(&mut self, bytes: &[u8]) -> usize {
        self.connection.feed(bytes)
    }

    fn wants_input(&self) -> bool {
        self.connection.wants_input()
    }

    fn step(&mut self, script: &mut Script) -> Result<Step, Error> {
        let Some(event) = self.connection.poll_event()? else {
            self.take_output();
            return Ok(Step::Nothing);
        };
        script.server_event(&event);
        self.answer(&event);
        let turn = matches!(
            event,
            server::Event::PreviewEnd { complete: false, .. } | server::Event::End { .. }
        );
        Ok(if turn { Step::Turn } else { Step::Event })
    }

    fn end(&self, script: &mut Script) {
        script.closing = self.connection.closing();
    }

    fn after_error(&mut self, error: Error) {
        if self.connection.is_unanswered() {
            let head = ResponseHead::builder(error.status_hint()).istag(&self.tag);
            let head = head.build().expect("a good answer");
            self.connection.respond(head).expect("one answer is due after an error");
            assert!(self.connection.closing().is_some(), "goes on after an error");
        }
        assert!(!self.connection.is_idle() || self.connection.closing().is_some());
        self.take_output();
    }
}

/// What a client asks.
#[derive(Debug, Clone)]
pub struct Ask {
    method: Method,
    body: &'static [u8],
    preview: Option<u64>,
    no_content: bool,
    partial_content: bool,
    trailers: bool,
}

impl Ask {
    pub const COUNT: u8 = 7;

    /// The request that a byte stands for.
    pub fn new(choice: u8) -> Self {
        let ask = |method, body, preview| Self {
            method,
            body,
            preview,
            no_content: false,
            partial_content: false,
            trailers: false,
        };
        match choice % Self::COUNT {
            0 => ask(Method::Options, b"", None),
            1 => ask(Method::Reqmod, b"", None),
            2 => ask(Method::Reqmod, b"hello", Some(5)),
            3 => ask(Method::Respmod, b"hello", None),
            4 => Self { no_content: true, ..ask(Method::Respmod, b"hello", None) },
            5 => Self { partial_content: true, ..ask(Method::Respmod, b"hello", Some(0)) },
            _ => Self {
                no_content: true,
                partial_content: true,
                trailers: true,
                ..ask(Method::Respmod, b"hello", Some(4))
            },
        }
    }

    pub fn head(&self) -> RequestHead {
        let uri = "icap://s/v".parse().expect("a good URI");
        let mut builder =
            RequestHead::builder(self.method.clone(), uri).body(!self.body.is_empty());
        if self.method == Method::Reqmod {
            let page = HttpHead::request("POST", "/p", [("Host", "h")]).expect("a good head");
            builder = builder.http_request(page);
        } else if self.method == Method::Respmod {
            let page = HttpHead::response(200, "OK", [("Via", "x")]).expect("a good head");
            builder = builder.http_response(page);
        }
        if let Some(bytes) = self.preview {
            builder = builder.preview(bytes);
        }
        for (on, add) in [
            (self.no_content, icap_proto::RequestBuilder::allow_no_content as fn(_) -> _),
            (self.partial_content, icap_proto::RequestBuilder::allow_partial_content),
            (self.trailers, icap_proto::RequestBuilder::allow_trailers),
        ] {
            builder = if on { add(builder) } else { builder };
        }
        builder.build().expect("a good request")
    }
}

/// A client that asks the same over and over, as long as it may.
#[derive(Debug)]
pub struct Client {
    pub connection: client::Connection,
    ask: Ask,
    rest: Bytes,
    pub written: Vec<u8>,
}

impl Client {
    pub fn new(ask: Ask, limits: Limits, leniency: Leniency) -> Self {
        let connection = client::Connection::new(limits, leniency);
        let mut client = Self { connection, ask, rest: Bytes::new(), written: Vec::new() };
        client.start();
        client
    }

    fn start(&mut self) {
        self.connection.start(&self.ask.head()).expect("a connection that may be used");
        self.rest = Bytes::from_static(self.ask.body);
        self.send();
    }

    /// Sends what may be sent.
    fn send(&mut self) {
        if matches!(self.connection.send_state(), SendState::Preview { .. } | SendState::Streaming)
        {
            self.connection.send_data(&mut self.rest).expect("a body is due");
        }
        if self.rest.is_empty()
            && matches!(
                self.connection.send_state(),
                SendState::Preview { .. } | SendState::Streaming
            )
        {
            self.connection.finish(&Headers::new()).expect("an end is due");
        }
        let output = self.connection.output();
        self.written.extend_from_slice(&output.copy_to_bytes(output.remaining()));
    }
}

impl Reader for Client {
    fn feed(&mut self, bytes: &[u8]) -> usize {
        self.connection.feed(bytes)
    }

    fn wants_input(&self) -> bool {
        self.connection.wants_input()
    }

    fn step(&mut self, script: &mut Script) -> Result<Step, Error> {
        let Some(event) = self.connection.poll_event()? else { return Ok(Step::Nothing) };
        script.client_event(&event);
        self.send();
        if let client::Event::End { .. } = event {
            assert!(self.connection.is_complete() || self.connection.reusable().is_err());
            if self.connection.reusable().is_ok() {
                self.start();
            }
            return Ok(Step::Turn);
        }
        Ok(Step::Event)
    }

    fn after_error(&mut self, _: Error) {
        self.connection.reusable().expect_err("usable after an error");
        self.connection.start(&self.ask.head()).expect_err("started after an error");
        assert!(self.connection.input().has_remaining_mut());
    }
}
