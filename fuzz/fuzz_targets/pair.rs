//! A client and a server joined by two pipes, and any calls on both in any order: nothing panics, nobody waits for
//! ever, a body arrives whole and equal or its cut is reported, and what was cut is never told as whole.
#![no_main]

use bytes::{Buf, Bytes};
use icap_fuzz::encode;
use icap_proto::client::{self, SendState};
use icap_proto::{
    Error, Headers, HttpHead, IsTag, Leniency, Limits, Method, Output, RequestHead, ResponseHead,
    StatusCode, Truncated, server,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut calls = Unstructured::new(data);
    let mut pair = Pair::new();
    while !calls.is_empty() {
        if pair.call(&mut calls).is_err() {
            break;
        }
        pair.check();
    }
    pair.drive();
    pair.check();
    pair.check_end();
    encode::check_requests(&pair.up.all);
    encode::check_answers(
        &pair.down.all,
        pair.aborted || pair.down.closed || pair.server_error.is_some(),
    );
});

/// A message as its sender knows it.
#[derive(Debug, Default)]
struct Sent {
    body: Vec<u8>,
    /// The owner has said that this is all.
    finished: bool,
    trailers: bool,
    original_from: Option<u64>,
    status: u16,
}

/// A message as its reader was told.
#[derive(Debug, Default)]
struct Seen {
    body: Vec<u8>,
    ended: bool,
    /// The preview was all.
    complete: bool,
    trailers: bool,
    original_from: Option<u64>,
    status: u16,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    wire: Vec<u8>,
    /// Everything that was ever written.
    all: Vec<u8>,
    /// The writer is gone: nothing more gets in.
    closed: bool,
    /// The reader knows.
    told: bool,
}

impl Pipe {
    fn write(&mut self, output: &mut Output, most: usize) -> bool {
        let count = output.remaining().min(most);
        let bytes = output.copy_to_bytes(count);
        if !self.closed {
            self.wire.extend_from_slice(&bytes);
            self.all.extend_from_slice(&bytes);
        }
        count > 0
    }
}

struct Pair {
    client: client::Connection,
    server: server::Connection,
    up: Pipe,
    down: Pipe,
    requests: Vec<Sent>,
    /// The server's view of them.
    requested: Vec<Seen>,
    answers: Vec<Sent>,
    /// The client's view of them.
    answered: Vec<Seen>,
    client_error: Option<Error>,
    server_error: Option<Error>,
    abandoned: bool,
    aborted: bool,
    method: Method,
    /// A server that wants to see what is behind a preview.
    curious: bool,
    tag: IsTag,
}

impl Pair {
    fn new() -> Self {
        let (limits, leniency) = (Limits::default(), Leniency::strict());
        Self {
            client: client::Connection::new(limits, leniency),
            server: server::Connection::new(limits, leniency),
            up: Pipe::default(),
            down: Pipe::default(),
            requests: Vec::new(),
            requested: Vec::new(),
            answers: Vec::new(),
            answered: Vec::new(),
            client_error: None,
            server_error: None,
            abandoned: false,
            aborted: false,
            method: Method::Options,
            curious: true,
            tag: IsTag::new("pair").expect("a good tag"),
        }
    }

    /// One call on either side, of those that an owner can make at any time.
    fn call(&mut self, calls: &mut Unstructured<'_>) -> Result<()> {
        match calls.arbitrary::<u8>()? % 24 {
            0 | 1 => self.start(calls)?,
            2 | 3 => {
                let data = piece(calls)?;
                self.send(data);
            }
            4 => drop(self.client.end_preview()),
            5 => self.finish(calls.arbitrary()?),
            6 => {
                self.client.abandon();
                self.abandoned |= self.client.send_state() == SendState::Abandoned;
            }
            7..=9 => drop(self.move_up(usize::from(calls.arbitrary::<u8>()?))),
            10..=12 => drop(self.move_down(usize::from(calls.arbitrary::<u8>()?))),
            13 | 14 => drop(self.poll_server()),
            15 | 16 => drop(self.poll_client()),
            17 => {
                let early = !self.server_waits();
                let sent = self.server.send_continue(&self.tag).is_ok();
                assert!(!(sent && early), "100 Continue that is not due");
            }
            18 | 19 => self.respond(calls)?,
            20 => {
                let data = piece(calls)?;
                if self.server.send_data(data.clone()).is_ok() {
                    self.answers.last_mut().expect("an answer").body.extend_from_slice(&data);
                }
            }
            21 => self.finish_answer(calls)?,
            22 => match calls.int_in_range(0..=6u8)? {
                0 => {
                    self.server.abort();
                    self.aborted = true;
                }
                1 => self.up.closed = true,
                2 => self.down.closed = true,
                3 => self.server.close_after_answer(),
                _ => self.curious = !self.curious,
            },
            _ => {
                self.client.relax();
                self.server.relax();
            }
        }
        Ok(())
    }

    fn start(&mut self, calls: &mut Unstructured<'_>) -> Result<()> {
        let shape = calls.arbitrary::<u8>()?;
        let method = match shape % 4 {
            0 => Method::Options,
            1 => Method::Reqmod,
            _ => Method::Respmod,
        };
        let body = shape & 4 != 0 && method != Method::Options;
        let uri = "icap://pair/v".parse().expect("a good URI");
        let mut builder = RequestHead::builder(method.clone(), uri).body(body);
        if method == Method::Reqmod {
            let page = HttpHead::request("POST", "/", [("Host", "o")]).expect("a good head");
            builder = builder.http_request(page);
        } else if method == Method::Respmod {
            let page = HttpHead::response(200, "OK", [("Via", "o")]).expect("a good head");
            builder = builder.http_response(page);
        }
        if shape & 8 != 0 {
            builder = builder.preview(u64::from(calls.arbitrary::<u8>()? % 32));
        }
        if shape & 16 != 0 {
            builder = builder.allow_no_content();
        }
        if shape & 32 != 0 {
            builder = builder.allow_partial_content();
        }
        if shape & 192 == 192 {
            builder = builder.close();
        }
        let free = self.client.reusable().is_ok() || self.client.send_state() == SendState::Idle;
        let started = self.client.start(&builder.build().expect("a good request")).is_ok();
        assert!(free || !started, "started in the middle of an exchange");
        if started {
            self.requests.push(Sent { finished: !body, ..Sent::default() });
        }
        Ok(())
    }

    fn send(&mut self, mut data: Bytes) {
        let before = data.clone();
        if self.client.send_data(&mut data).is_ok() {
            let taken = &before[..before.len() - data.len()];
            if let Some(sent) = self.requests.last_mut() {
                sent.body.extend_from_slice(taken);
            }
        }
    }

    fn finish(&mut self, trailers: bool) {
        let sending = matches!(
            self.client.send_state(),
            SendState::Preview { .. } | SendState::Streaming | SendState::AwaitingContinue
        );
        if self.client.finish(&fields(trailers)).is_ok() && sending {
            let sent = self.requests.last_mut().expect("a request");
            // The last word counts: while Continue is awaited nothing is written.
            (sent.finished, sent.trailers) = (true, trailers);
        }
    }

    /// The bytes of the client as far as `most` of them, and what the server wants of them.
    fn move_up(&mut self, most: usize) -> bool {
        let mut moved = self.up.write(self.client.output(), most);
        if self.server.wants_input() {
            let some = self.up.wire.len().min(most);
            let taken = self.server.feed(&self.up.wire[..some]);
            assert!(taken > 0 || some == 0, "no room although input is wanted");
            self.up.wire.drain(..taken);
            moved |= taken > 0;
        }
        if self.up.closed && self.up.wire.is_empty() && !self.up.told {
            self.server.input_closed();
            self.up.told = true;
            moved = true;
        }
        moved
    }

    fn move_down(&mut self, most: usize) -> bool {
        let mut moved = self.down.write(self.server.output(), most);
        if self.client.wants_input() {
            let some = self.down.wire.len().min(most);
            let taken = self.client.feed(&self.down.wire[..some]);
            assert!(taken > 0 || some == 0, "no room although input is wanted");
            self.down.wire.drain(..taken);
            moved |= taken > 0;
        }
        // A server that has said all closes.
        let over = self.server.closing().is_some() && self.server.output().remaining() == 0;
        self.down.closed |= over;
        if self.down.closed && self.down.wire.is_empty() && !self.down.told {
            self.client.input_closed();
            self.down.told = true;
            moved = true;
        }
        moved
    }

    fn poll_server(&mut self) -> bool {
        let event = match self.server.poll_event() {
            Ok(Some(event)) => event,
            Ok(None) => return false,
            Err(error) => {
                assert!(self.server_error.is_none_or(|first| first == error), "another error");
                let news = self.server_error.is_none();
                self.server_error = Some(error);
                return news;
            }
        };
        assert_eq!(self.server_error, None, "an event after an error");
        let seen = self.requested.last_mut();
        match event {
            server::Event::Request(head) => {
                self.method = head.method().clone();
                self.requested.push(Seen::default());
            }
            server::Event::Data(data) => {
                seen.expect("a request").body.extend_from_slice(&data);
            }
            server::Event::PreviewEnd { complete, .. } => {
                seen.expect("a request").complete = complete;
            }
            server::Event::End { trailers, .. } => {
                let seen = seen.expect("a request");
                (seen.ended, seen.trailers) = (true, !trailers.is_empty());
            }
            other => panic!("not known: {other:?}"),
        }
        true
    }

    fn poll_client(&mut self) -> bool {
        let event = match self.client.poll_event() {
            Ok(Some(event)) => event,
            Ok(None) => return false,
            Err(error) => {
                assert!(self.client_error.is_none_or(|first| first == error), "another error");
                let news = self.client_error.is_none();
                self.client_error = Some(error);
                return news;
            }
        };
        assert_eq!(self.client_error, None, "an event after an error");
        let seen = self.answered.last_mut();
        match event {
            client::Event::Continue => {}
            client::Event::Response(head) => {
                let status = head.status().as_u16();
                self.answered.push(Seen { status, ..Seen::default() });
            }
            client::Event::Data(data) => {
                seen.expect("an answer").body.extend_from_slice(&data);
            }
            client::Event::End { trailers, use_original_body, .. } => {
                let seen = seen.expect("an answer");
                (seen.ended, seen.trailers) = (true, !trailers.is_empty());
                seen.original_from = use_original_body;
            }
            other => panic!("not known: {other:?}"),
        }
        true
    }

    /// Whether the server stands behind a preview that was not all.
    fn server_waits(&self) -> bool {
        self.server.is_unanswered()
            && self.requested.last().is_some_and(|seen| !seen.ended && !seen.complete)
    }

    fn respond(&mut self, calls: &mut Unstructured<'_>) -> Result<()> {
        let status = *calls.choose(&[200u16, 200, 201, 204, 206, 206, 404, 500, 100])?;
        let (http, body) = (calls.arbitrary()?, calls.arbitrary()?);
        self.answer(status, http, body);
        Ok(())
    }

    fn answer(&mut self, status: u16, http: bool, body: bool) -> bool {
        let code = StatusCode::new(status).expect("three digits");
        let mut builder = ResponseHead::builder(code).istag(&self.tag);
        if http {
            let page = HttpHead::response(200, "OK", [("Via", "pair")]).expect("a good head");
            builder = builder.http(page).body(body);
        } else if status == 200 {
            builder = builder.null_body();
        }
        let Ok(head) = builder.build() else { return false };
        if self.server.respond(head).is_err() {
            return false;
        }
        self.answers.push(Sent { finished: !(http && body), status, ..Sent::default() });
        true
    }

    fn finish_answer(&mut self, calls: &mut Unstructured<'_>) -> Result<()> {
        let (original, trailers) = (calls.arbitrary()?, calls.arbitrary()?);
        let offset = u64::from(calls.arbitrary::<u16>()?);
        let done = if original {
            self.server.finish_with_original(offset).is_ok()
        } else {
            self.server.finish(&fields(trailers)).is_ok()
        };
        if done {
            let sent = self.answers.last_mut().expect("an answer");
            sent.finished = true;
            sent.original_from = original.then_some(offset);
            sent.trailers = trailers && !original;
        }
        Ok(())
    }

    /// Both owners do what good owners do until nothing moves any more.
    fn drive(&mut self) {
        // Asking for an event may be what makes a side read on, so one idle round is none.
        let mut idle = 0;
        for _ in 0..100_000 {
            let mut moved = self.move_up(usize::MAX) | self.move_down(usize::MAX);
            moved |= self.poll_server() | self.poll_client();
            if matches!(self.client.send_state(), SendState::Preview { .. } | SendState::Streaming)
            {
                self.finish(false);
                moved = true;
            }
            moved |= self.serve();
            idle = if moved { 0 } else { idle + 1 };
            if idle > 2 {
                return;
            }
        }
        panic!("it goes on for ever");
    }

    /// A server that answers what there is to answer.
    fn serve(&mut self) -> bool {
        if self.server_error.is_some() {
            return self.server.is_unanswered() && self.answer(400, false, false);
        }
        if self.answers.last().is_some_and(|sent| !sent.finished)
            && self.server.finish(&Headers::new()).is_ok()
        {
            self.answers.last_mut().expect("an answer").finished = true;
            return true;
        }
        let Some(seen) = self.requested.last() else { return false };
        if !self.server.is_unanswered() || self.answers.len() >= self.requested.len() {
            return false;
        }
        if !seen.ended && self.curious && self.server.send_continue(&self.tag).is_ok() {
            return true;
        }
        // Not curious: an answer without the rest, at once.
        let waits = !seen.ended && self.curious && self.server.wants_input();
        !waits && self.answer(200, self.method != Method::Options, false)
    }

    /// What was told is what was said, at any time.
    fn check(&self) {
        assert!(self.requested.len() <= self.requests.len(), "a request out of nothing");
        for (seen, sent) in self.requested.iter().zip(&self.requests) {
            check_message(seen, sent);
        }
        assert!(self.answered.len() <= self.answers.len(), "an answer out of nothing");
        for (seen, sent) in self.answered.iter().zip(&self.answers) {
            check_message(seen, sent);
            assert_eq!(seen.status, sent.status);
        }
        for error in [self.client_error, self.server_error].into_iter().flatten() {
            // Two good implementations only ever lose each other.
            let good = matches!(error, Error::Closed(_)) || self.abandoned;
            assert!(good && !matches!(error, Error::Parse(_) | Error::Misuse(_)), "{error}");
        }
    }

    /// Nobody waits: every exchange is whole on both sides, or somebody knows why not.
    fn check_end(&self) {
        let whole = self.answered.len() == self.requests.len()
            && self.answered.iter().all(|seen| seen.ended);
        let cut = self.up.closed || self.down.closed || self.abandoned || self.aborted;
        assert!(whole || cut, "nobody moves: {:?} {:?}", self.client, self.server);
        if !whole && self.down.told {
            let told = matches!(self.client_error, Some(Error::Closed(Truncated::BeforeHead | _)));
            assert!(
                told || self.abandoned || self.client_error.is_some(),
                "a cut that nobody told"
            );
        }
    }
}

fn check_message(seen: &Seen, sent: &Sent) {
    assert!(sent.body.starts_with(&seen.body), "other bytes than were sent");
    if seen.ended || seen.complete {
        assert!(sent.finished && seen.body.len() == sent.body.len(), "cut, and told as whole");
    }
    if seen.ended {
        assert_eq!((seen.trailers, seen.original_from), (sent.trailers, sent.original_from));
    }
}

fn fields(some: bool) -> Headers {
    if some { Headers::from_pairs([("X-Sum", "1")]).expect("good fields") } else { Headers::new() }
}

/// Up to 2 KiB: both small chunks, which are gathered, and larger ones, which are not.
fn piece(calls: &mut Unstructured<'_>) -> Result<Bytes> {
    let shape = calls.arbitrary::<u8>()?;
    let len = if shape < 200 { usize::from(shape % 50) } else { usize::from(shape) * 8 };
    Ok((0..len).map(|at| (at as u8).wrapping_mul(31) ^ shape).collect::<Vec<u8>>().into())
}
