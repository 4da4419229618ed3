//! Both sides joined without sockets: whole exchanges, cut at random places, must look the same from either end.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use bytes::{Buf, Bytes};
use icap_proto::client::{self, SendState};
use icap_proto::server;
use icap_proto::{
    Headers, HttpHead, IsTag, Leniency, Limits, Method, RequestHead, ResponseBuilder, ResponseHead,
    StatusCode,
};
use support::rng::Rng;

/// What is asked.
#[derive(Debug, Clone)]
struct Question {
    method: Method,
    body: Option<Vec<u8>>,
    preview: Option<usize>,
    no_content: bool,
    partial_content: bool,
    /// The source says that it has ended together with its last bytes, not later.
    knows_end: bool,
    trailers: Headers,
    /// The client takes ICAP trailers.
    allow_trailers: bool,
    /// The ICAP trailer of the request; `None`: none is promised.
    icap_trailer: Option<Headers>,
    /// The ICAP trailer of the answer where one is allowed and has a place.
    answer_trailer: Option<Headers>,
}

/// How the service answers, and when.
#[derive(Debug, Clone)]
enum Plan {
    /// Unchanged, as early as it is permitted.
    NoContent,
    /// Another body; `early`: before the request was read.
    Replace { body: Option<Vec<u8>>, early: bool },
    /// The same body while it arrives.
    Echo,
    /// A new beginning, then the original from an offset.
    Partial { prefix: Vec<u8>, offset: usize },
    /// An error, `early`: inside the preview if there is one.
    Error { early: bool },
}

/// A message as one side saw it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen {
    start_line: Vec<u8>,
    status: Option<StatusCode>,
    body: Vec<u8>,
    trailers: Headers,
    icap_trailer: Headers,
    original_from: Option<u64>,
    ended: bool,
}

/// Two connections and the bytes between them.
struct Pair {
    client: client::Connection,
    server: server::Connection,
    up: Vec<u8>,
    down: Vec<u8>,
    rng: Rng,
    /// How many bytes may move at once.
    stride: usize,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let (limits, leniency) = (Limits::default(), Leniency::strict());
        Self {
            client: client::Connection::new(limits, leniency),
            server: server::Connection::new(limits, leniency),
            up: Vec::new(),
            down: Vec::new(),
            rng: Rng::new(seed),
            stride: 1,
        }
    }

    /// Moves some bytes of each direction; tells whether any moved.
    fn deliver(&mut self) -> bool {
        let mut moved = write(self.client.output(), &mut self.up, &mut self.rng, self.stride);
        moved |= write(self.server.output(), &mut self.down, &mut self.rng, self.stride);
        if self.server.wants_input() {
            let some = some(&mut self.rng, self.stride, self.up.len());
            let taken = self.server.feed(&self.up[..some]);
            self.up.drain(..taken);
            moved |= taken > 0;
        }
        if self.client.wants_input() {
            let some = some(&mut self.rng, self.stride, self.down.len());
            let taken = self.client.feed(&self.down[..some]);
            self.down.drain(..taken);
            moved |= taken > 0;
        }
        moved
    }
}

fn some(rng: &mut Rng, stride: usize, len: usize) -> usize {
    (rng.below(stride) + 1).min(len)
}

fn write(
    output: &mut icap_proto::Output,
    wire: &mut Vec<u8>,
    rng: &mut Rng,
    stride: usize,
) -> bool {
    let some = some(rng, stride, output.remaining());
    wire.extend_from_slice(&output.copy_to_bytes(some));
    some > 0
}

/// One exchange under way.
struct Exchange<'a> {
    question: &'a Question,
    plan: &'a Plan,
    /// What of the body was not sent yet.
    source: Bytes,
    /// What the server saw of the request and the client of the answer.
    request: Seen,
    answer: Seen,
    answered: bool,
}

impl Exchange<'_> {
    /// The client's owner: sends some of the body.
    fn send(&mut self, pair: &mut Pair) -> bool {
        let state = pair.client.send_state();
        if !matches!(state, SendState::Preview { .. } | SendState::Streaming) {
            return false;
        }
        if !self.source.is_empty() {
            let mut piece =
                self.source.split_to(some(&mut pair.rng, pair.stride, self.source.len()));
            pair.client.send_data(&mut piece).unwrap();
            // What was not taken goes back in front.
            let mut rest = piece.to_vec();
            rest.extend_from_slice(&self.source);
            self.source = rest.into();
            return true;
        }
        match state {
            SendState::Preview { remaining: 0, .. } if !self.question.knows_end => {
                pair.client.end_preview().unwrap();
                // The source ends only now.
                if pair.client.send_state() == SendState::AwaitingContinue {
                    pair.client.finish(&self.question.trailers).unwrap();
                }
            }
            _ => pair.client.finish(&self.question.trailers).unwrap(),
        }
        true
    }

    /// The server's owner: the head of an answer with parts, its ICAP trailer given with it or later.
    fn respond(&self, pair: &mut Pair, head: ResponseBuilder) {
        let promised = self.question.promised();
        let Some(fields) = promised else {
            pair.server.respond(head.build().unwrap()).unwrap();
            return;
        };
        let head = head.icap_trailer(["X-Any"]).unwrap().build().unwrap();
        if head.has_body() && pair.rng.one_in(2) {
            pair.server.respond(head).unwrap();
            pair.server.set_icap_trailer(fields).unwrap();
        } else {
            pair.server.respond_with_icap_trailer(head, fields).unwrap();
        }
    }

    /// The server's owner: one event.
    fn serve(&mut self, pair: &mut Pair) -> bool {
        let Some(event) = pair.server.poll_event().unwrap() else { return false };
        match event {
            server::Event::Request(head) => {
                assert!(self.request.start_line.is_empty(), "a second request");
                self.request.start_line = start_line(head.adapted_head());
                assert_eq!(*head.method(), self.question.method);
                assert_eq!(head.has_body(), self.question.body.is_some());
                let in_preview = head.preview().is_some();
                match self.plan {
                    Plan::Replace { early: true, .. } => self.answer(pair),
                    Plan::Error { early: true } if in_preview && head.has_body() => {
                        self.answer(pair)
                    }
                    Plan::NoContent if pair.server.permits_no_content() => self.answer(pair),
                    Plan::Echo if head.has_body() && !in_preview => self.answer(pair),
                    _ => {}
                }
            }
            server::Event::Data(data) => {
                assert!(!data.is_empty());
                self.request.body.extend_from_slice(&data);
                if self.answered && matches!(self.plan, Plan::Echo) {
                    pair.server.send_data(data).unwrap();
                }
            }
            server::Event::PreviewEnd { complete, .. } => {
                if !complete && !self.answered {
                    match self.plan {
                        Plan::Partial { .. } => self.answer(pair),
                        _ => pair.server.send_continue(&tag()).unwrap(),
                    }
                }
            }
            server::Event::End { trailers, icap_trailer, .. } => {
                self.request.icap_trailer = icap_trailer;
                self.request.trailers = trailers;
                self.request.ended = true;
                if self.answered && matches!(self.plan, Plan::Echo) {
                    pair.server.finish(&self.request.trailers).unwrap();
                } else if !self.answered {
                    self.answer(pair);
                }
            }
            other => panic!("{other:?}"),
        }
        true
    }

    /// Gives the answer of the plan.
    fn answer(&mut self, pair: &mut Pair) {
        self.answered = true;
        let head = ResponseHead::builder(match self.plan {
            Plan::NoContent => StatusCode::NO_CONTENT,
            Plan::Partial { .. } => StatusCode::PARTIAL_CONTENT,
            Plan::Error { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        });
        let head = head.istag(&tag());
        match self.plan {
            Plan::NoContent | Plan::Error { .. } => {
                pair.server.respond(head.build().unwrap()).unwrap()
            }
            Plan::Replace { body: None, .. } => {
                self.respond(pair, head.http(adapted()));
            }
            Plan::Replace { body: Some(body), .. } => {
                self.respond(pair, head.http(adapted()).body(true));
                let server = &mut pair.server;
                for piece in body.chunks(pair.rng.below(5000) + 1) {
                    server.send_data(Bytes::copy_from_slice(piece)).unwrap();
                }
                server.finish(&Headers::new()).unwrap();
            }
            Plan::Echo => {
                let body = self.question.body.is_some();
                self.respond(pair, head.http(adapted()).body(body));
                let server = &mut pair.server;
                if body {
                    server.send_data(Bytes::copy_from_slice(&self.request.body)).unwrap();
                    if self.request.ended {
                        server.finish(&self.request.trailers).unwrap();
                    }
                }
            }
            Plan::Partial { prefix, offset } => {
                self.respond(pair, head.http(adapted()).body(true));
                let server = &mut pair.server;
                server.send_data(Bytes::copy_from_slice(prefix)).unwrap();
                server.finish_with_original(*offset as u64).unwrap();
            }
        }
    }

    /// The client's owner: one event.
    fn listen(&mut self, pair: &mut Pair) -> bool {
        let Some(event) = pair.client.poll_event().unwrap() else { return false };
        match event {
            client::Event::Continue => {}
            client::Event::Response(head) => {
                assert_eq!(self.answer.status, None, "a second answer");
                self.answer.status = Some(head.status());
                self.answer.start_line = start_line(head.into_http().as_ref());
            }
            client::Event::Data(data) => self.answer.body.extend_from_slice(&data),
            client::Event::End { trailers, icap_trailer, use_original_body, .. } => {
                self.answer.trailers = trailers;
                self.answer.icap_trailer = icap_trailer;
                self.answer.original_from = use_original_body;
                self.answer.ended = true;
            }
            other => panic!("{other:?}"),
        }
        true
    }

    /// What has to be true in the end.
    fn check(&self) {
        let (question, plan) = (self.question, self.plan);
        let body = question.body.clone().unwrap_or_default();
        // What the server saw is what was sent, up to where it stopped to look.
        assert!(body.starts_with(&self.request.body), "{plan:?}");
        if self.request.ended {
            assert_eq!(self.request.body, body);
            let trailers =
                if question.body.is_some() { question.trailers.clone() } else { Headers::new() };
            assert_eq!(self.request.trailers, trailers);
            let icap_trailer = question.icap_trailer.clone().unwrap_or_default();
            assert_eq!(self.request.icap_trailer, icap_trailer);
        }
        assert!(self.answer.ended);
        let expected = match plan {
            Plan::NoContent | Plan::Error { .. } => Vec::new(),
            Plan::Replace { body, .. } => body.clone().unwrap_or_default(),
            Plan::Echo => body,
            Plan::Partial { prefix, .. } => prefix.clone(),
        };
        assert!(self.answer.body == expected, "{} for {}", self.answer.body.len(), expected.len());
        let (status, offset) = match plan {
            Plan::NoContent => (204, None),
            Plan::Error { .. } => (500, None),
            Plan::Partial { offset, .. } => (206, Some(*offset as u64)),
            _ => (200, None),
        };
        assert_eq!(self.answer.status.map(StatusCode::as_u16), Some(status));
        assert_eq!(self.answer.original_from, offset);
        let has_parts = !matches!(plan, Plan::NoContent | Plan::Error { .. });
        let icap_trailer = question.promised().filter(|_| has_parts).unwrap_or_default();
        assert_eq!(self.answer.icap_trailer, icap_trailer);
        if matches!(plan, Plan::Echo) {
            assert_eq!(self.answer.trailers, self.request.trailers);
        }
    }
}

fn tag() -> IsTag {
    IsTag::new("pair").unwrap()
}

fn some_fields(rng: &mut Rng) -> Headers {
    let fields = [("X-Id", "1"), ("X-Unannounced", "2 3"), ("x-empty", "")];
    Headers::from_pairs(fields.into_iter().take(rng.below(4))).unwrap()
}

fn start_line(head: Option<&HttpHead>) -> Vec<u8> {
    head.map(|head| head.start_line().to_vec()).unwrap_or_default()
}

fn adapted() -> HttpHead {
    HttpHead::response(200, "Adapted", [("Content-Type", "text/plain")]).unwrap()
}

impl Question {
    fn head(&self) -> RequestHead {
        let uri = "icap://pair/service?x=1".parse().unwrap();
        let mut builder = RequestHead::builder(self.method.clone(), uri).body(self.body.is_some());
        let request = HttpHead::request("POST", "http://o/", [("Host", "o")]).unwrap();
        builder = builder.http_request(request);
        if self.method == Method::Respmod {
            builder = builder.http_response(HttpHead::response(200, "OK", [("Via", "x")]).unwrap());
        }
        if let Some(preview) = self.preview {
            builder = builder.preview(preview as u64);
        }
        if self.no_content {
            builder = builder.allow_no_content();
        }
        if self.partial_content {
            builder = builder.allow_partial_content();
        }
        if self.allow_trailers {
            builder = builder.allow_trailers();
        }
        if self.icap_trailer.is_some() {
            builder = builder.icap_trailer(["X-Id", "X-Other"]).unwrap();
        }
        builder.build().unwrap()
    }

    /// The ICAP trailer of an answer with parts. A promise says that such trailers are understood, too.
    fn promised(&self) -> Option<Headers> {
        let allowed = self.allow_trailers || self.icap_trailer.is_some();
        self.answer_trailer.clone().filter(|_| allowed)
    }

    fn random(rng: &mut Rng, size: usize) -> Self {
        let body = (!rng.one_in(6)).then(|| {
            let len = rng.below(size + 1);
            rng.bytes(len)
        });
        let len = body.as_ref().map_or(0, Vec::len);
        let preview = match rng.below(6) {
            0 | 1 => None,
            2 => Some(0),
            3 => Some(len.min(60_000)),
            4 => Some((len + 1).min(60_000)),
            _ => Some(rng.below(len.min(60_000) + 2)),
        };
        let trailers = if rng.one_in(4) { vec![("X-Sum", "1"), ("x-more", "")] } else { vec![] };
        Self {
            method: rng.pick(&[Method::Reqmod, Method::Respmod]).clone(),
            body,
            preview,
            no_content: rng.one_in(2),
            partial_content: rng.one_in(2),
            knows_end: rng.one_in(2),
            trailers: Headers::from_pairs(trailers).unwrap(),
            allow_trailers: rng.one_in(3),
            icap_trailer: rng.one_in(4).then(|| some_fields(rng)),
            answer_trailer: rng.one_in(2).then(|| some_fields(rng)),
        }
    }

    fn plan(&self, rng: &mut Rng, size: usize) -> Plan {
        let in_preview = self.preview.is_some();
        let len = self.body.as_ref().map_or(0, Vec::len);
        let some = |rng: &mut Rng| {
            let len = rng.below(size + 1);
            rng.bytes(len)
        };
        // With a preview the plan answers no later than at its end; outside it needs both permissions.
        let partial = self.partial_content && (in_preview || self.no_content);
        match rng.below(5) {
            0 if self.no_content || in_preview => Plan::NoContent,
            1 if partial => Plan::Partial { prefix: some(rng), offset: rng.below(len + 1) },
            2 => Plan::Error { early: rng.one_in(2) },
            3 => Plan::Echo,
            _ => {
                let body = (!rng.one_in(4)).then(|| some(rng));
                Plan::Replace { body, early: rng.one_in(2) }
            }
        }
    }
}

/// Runs one exchange to its end on both sides.
fn exchange(pair: &mut Pair, question: &Question, plan: &Plan) {
    let head = question.head();
    match &question.icap_trailer {
        None => pair.client.start(&head).unwrap(),
        Some(fields) if question.body.is_some() && pair.rng.one_in(2) => {
            pair.client.start(&head).unwrap();
            pair.client.set_icap_trailer(fields.clone()).unwrap();
        }
        Some(fields) => pair.client.start_with_icap_trailer(&head, fields.clone()).unwrap(),
    }
    let mut exchange = Exchange {
        question,
        plan,
        source: question.body.clone().unwrap_or_default().into(),
        request: Seen::default(),
        answer: Seen::default(),
        answered: false,
    };
    let mut idle_steps = 0;
    while idle_steps < 3 {
        let mut moved = false;
        // In any order, and not everybody every time.
        for _ in 0..4 {
            moved |= match pair.rng.below(4) {
                0 => exchange.send(pair),
                1 => exchange.serve(pair),
                2 => exchange.listen(pair),
                _ => pair.deliver(),
            };
        }
        if !moved {
            moved = exchange.send(pair);
            moved |= exchange.serve(pair);
            moved |= exchange.listen(pair);
            moved |= pair.deliver();
        }
        idle_steps = if moved { 0 } else { idle_steps + 1 };
    }
    assert!(
        pair.client.is_complete(),
        "stuck: {question:?} {plan:?} {:?} {:?}",
        pair.client,
        pair.server
    );
    exchange.check();
    assert_eq!(pair.client.reusable(), Ok(()), "{question:?} {plan:?}");
    assert_eq!(pair.server.closing(), None, "{question:?} {plan:?}");
    assert!(pair.server.is_idle() && pair.up.is_empty() && pair.down.is_empty());
    if pair.rng.one_in(3) {
        pair.client.relax();
        pair.server.relax();
    }
}

fn run(seed: u64, exchanges: usize, size: usize, strides: &[usize]) {
    let mut pair = Pair::new(seed);
    for _ in 0..exchanges {
        pair.stride = *pair.rng.pick(strides);
        let question = Question::random(&mut pair.rng, size);
        let plan = question.plan(&mut pair.rng, size);
        exchange(&mut pair, &question, &plan);
    }
}

#[test]
fn small_messages_one_byte_at_a_time() {
    for seed in 0..40 {
        run(seed, 10, 12, &[1]);
    }
}

#[test]
fn small_messages_in_any_pieces() {
    for seed in 100..300 {
        run(seed, 20, 40, &[1, 2, 3, 10, 100, 1000]);
    }
}

#[test]
fn messages_around_the_size_of_a_gathered_chunk() {
    for seed in 300..360 {
        run(seed, 10, 3000, &[100, 511, 512, 513, 2000]);
    }
}

#[test]
fn large_messages() {
    for seed in 400..412 {
        run(seed, 4, 400_000, &[5_000, 64 * 1024, 100_000]);
    }
}

/// OPTIONS with a body in the answer, and a one-way request in between.
#[test]
fn options_with_a_body_and_one_way_requests() {
    for stride in [1, 7, 1000] {
        let mut pair = Pair::new(500);
        pair.stride = stride;
        let uri = || "icap://pair/service".parse().unwrap();
        for step in 0..3 {
            let log = Method::from_bytes(b"LOG").unwrap();
            let method = if step == 1 { log } else { Method::Options };
            // One way: no answer is awaited, so the bytes are all there is.
            let head = RequestHead::builder(method, uri()).build().unwrap();
            if step == 1 {
                pair.up.extend_from_slice(&head.to_bytes());
            } else {
                pair.client.start(&head).unwrap();
            }
            let mut seen = Vec::new();
            for _ in 0..20_000 {
                pair.deliver();
                match pair.server.poll_event().unwrap() {
                    Some(server::Event::End { .. }) if step == 1 => {
                        pair.server.dismiss().unwrap();
                        seen.push("dismissed".to_owned());
                    }
                    Some(server::Event::End { .. }) => {
                        let answer = ResponseHead::builder(StatusCode::OK).istag(&tag());
                        let answer = answer.opt_body("Attribute-List").unwrap();
                        pair.server.respond(answer.build().unwrap()).unwrap();
                        pair.server.send_data(Bytes::from_static(b"X-Attribute")).unwrap();
                        pair.server.finish(&Headers::new()).unwrap();
                    }
                    _ => {}
                }
                if let Some(event) = pair.client.poll_event().unwrap() {
                    let line = support::client::line(&event);
                    match (line.strip_prefix("data "), seen.last_mut()) {
                        (Some(more), Some(last)) if last.starts_with("data ") => {
                            last.push_str(more)
                        }
                        _ => seen.push(line),
                    }
                }
                if pair.server.is_idle() && pair.client.is_complete() && !pair.deliver() {
                    break;
                }
            }
            if step == 1 {
                assert_eq!(seen, ["dismissed"]);
            } else {
                assert_eq!(seen, ["response 200 OK [opt-body=0]", "data X-Attribute", "end"]);
                assert_eq!(pair.client.reusable(), Ok(()));
            }
            assert_eq!(pair.server.closing(), None);
        }
    }
}
