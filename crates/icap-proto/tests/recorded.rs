//! Exchanges that were recorded between products, read by both sides of this crate under many cuts.
//!
//! `wire/recorded/<case>/c2s.bin` is what the client sent, `s2c.bin` what the server sent; the README beside
//! them names the products. `expect.txt` has one line for each request: method, bytes of its body, how its
//! preview ended, and behind `>` the statuses and the bytes of the answer's body.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use icap_proto::client::{self, SendState};
use icap_proto::server;
use icap_proto::{
    CloseReason, Error, Headers, IsTag, Leniency, Limits, RequestHead, ResponseHead, StatusCode,
};
use support::Core;

/// A request as the server core read it.
#[derive(Debug, Clone)]
struct Request {
    head: RequestHead,
    body: Vec<u8>,
    /// How the preview ended and how many bytes it had.
    preview: Option<(bool, usize)>,
    ended: bool,
}

/// An answer as the client core read it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Answer {
    statuses: Vec<u16>,
    istag: Option<IsTag>,
    start_line: Vec<u8>,
    body: Vec<u8>,
    original_from: Option<u64>,
    ended: bool,
    reusable: Option<CloseReason>,
}

/// Bytes that come in pieces. Some cuts are given by the dialogue: nothing is sent ahead of an answer.
struct Wire<'a> {
    bytes: &'a [u8],
    cuts: Vec<usize>,
    at: usize,
}

impl<'a> Wire<'a> {
    fn new(bytes: &'a [u8], cuts: &[usize], turns: &[usize]) -> Self {
        let mut cuts = [cuts, turns].concat();
        cuts.sort_unstable();
        Self { bytes, cuts, at: 0 }
    }

    /// What can be read at once.
    fn piece(&self) -> &'a [u8] {
        let end = self.cuts.iter().copied().find(|cut| *cut > self.at).unwrap_or(self.bytes.len());
        &self.bytes[self.at..end]
    }
}

/// What the server core made of a recording.
#[derive(Debug, Default)]
struct Requests {
    requests: Vec<Request>,
    error: Option<Error>,
    /// Where the client waited for an answer to its preview.
    turns: Vec<usize>,
    /// Bytes that were not read because the connection was over.
    unread: usize,
}

/// Reads the client's bytes; `continues` says which previews the recorded server wanted to see the rest of.
fn serve(bytes: &[u8], continues: &[bool], cuts: &[usize], turns: &[usize]) -> Requests {
    let mut wire = Wire::new(bytes, cuts, turns);
    let mut connection = server::Connection::new(Limits::default(), Leniency::default());
    let mut found = Requests::default();
    let mut closed = false;
    let tag = IsTag::new("t1").unwrap();
    let answer = |status| ResponseHead::builder(status).istag(&tag).build().unwrap();
    loop {
        match connection.poll_event() {
            Ok(Some(server::Event::Request(head))) => found.requests.push(Request {
                head: *head,
                body: Vec::new(),
                preview: None,
                ended: false,
            }),
            Ok(Some(server::Event::Data(data))) => {
                found.requests.last_mut().unwrap().body.extend_from_slice(&data);
            }
            Ok(Some(server::Event::PreviewEnd { complete, .. })) => {
                let index = found.requests.len() - 1;
                let request = &mut found.requests[index];
                request.preview = Some((complete, request.body.len()));
                if !complete {
                    found.turns.push(wire.at);
                    if continues.get(index) == Some(&true) {
                        connection.send_continue(&tag).unwrap();
                    } else {
                        connection.respond(answer(StatusCode::NO_CONTENT)).unwrap();
                    }
                }
            }
            Ok(Some(server::Event::End { .. })) => {
                found.requests.last_mut().unwrap().ended = true;
                connection.respond(answer(StatusCode::NOT_FOUND)).unwrap();
            }
            Ok(Some(other)) => panic!("{other:?}"),
            Err(error) => {
                found.error = Some(error);
                break;
            }
            Ok(None) if connection.wants_input() && wire.at < bytes.len() => {
                wire.at += connection.feed(wire.piece());
            }
            Ok(None) if wire.at == bytes.len() && !closed => {
                connection.input_closed();
                closed = true;
            }
            Ok(None) => break,
        }
        connection.take_output();
    }
    found.unread = bytes.len() - wire.at;
    found
}

/// What the client core made of a recording.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    answers: Vec<Answer>,
    error: Option<Error>,
    /// Where the answers ended.
    turns: Vec<usize>,
    unread: usize,
}

/// Asks `requests` one after the other and reads the server's bytes.
fn ask(requests: &[Request], bytes: &[u8], cuts: &[usize], turns: &[usize]) -> Answers {
    let mut wire = Wire::new(bytes, cuts, turns);
    let mut connection = client::Connection::new(Limits::default(), Leniency::default());
    let mut found = Answers::default();
    for request in requests {
        if wire.at == bytes.len() || found.error.is_some() {
            break;
        }
        connection.start(&request.head).unwrap();
        let mut answer = Answer::default();
        let mut body = Bytes::copy_from_slice(&request.body);
        send(&mut connection, request, &mut body);
        while !answer.ended {
            match connection.poll_event() {
                Ok(Some(client::Event::Continue)) => {
                    answer.statuses.push(100);
                    send(&mut connection, request, &mut body);
                }
                Ok(Some(client::Event::Response(head))) => {
                    answer.statuses.push(head.status().as_u16());
                    answer.istag = head.istag();
                    answer.start_line =
                        head.into_http().map(|http| http.start_line().to_vec()).unwrap_or_default();
                }
                Ok(Some(client::Event::Data(data))) => answer.body.extend_from_slice(&data),
                Ok(Some(client::Event::End { use_original_body, .. })) => {
                    answer.original_from = use_original_body;
                    answer.ended = true;
                }
                Ok(Some(other)) => panic!("{other:?}"),
                Err(error) => {
                    found.error = Some(error);
                    break;
                }
                Ok(None) if wire.at < bytes.len() => {
                    assert!(connection.wants_input());
                    wire.at += connection.feed(wire.piece());
                }
                Ok(None) => break,
            }
        }
        connection.take_output();
        found.turns.push(wire.at);
        answer.reusable = connection.reusable().err();
        let last = answer.reusable.is_some();
        found.answers.push(answer);
        if last {
            break;
        }
    }
    found.unread = bytes.len() - wire.at;
    found
}

/// Sends as much of the body as may be sent now, as the recorded client did.
fn send(connection: &mut client::Connection, request: &Request, body: &mut Bytes) {
    match (connection.send_state(), request.preview) {
        (SendState::Preview { .. }, Some((complete, bytes))) => {
            let mut preview = body.split_to(bytes.min(body.len()));
            connection.send_data(&mut preview).unwrap();
            if complete {
                connection.finish(&Headers::new()).unwrap();
            } else {
                connection.end_preview().unwrap();
            }
        }
        (SendState::Streaming, _) => {
            connection.send_data(body).unwrap();
            connection.finish(&Headers::new()).unwrap();
        }
        _ => {}
    }
}

/// Both sides of a recording as text, in the form of `expect.txt`.
fn describe(requests: &Requests, answers: &Answers) -> String {
    let mut text = String::new();
    for (index, request) in requests.requests.iter().enumerate() {
        write!(text, "{}", request.head.method()).unwrap();
        match request.head.has_body() {
            true => write!(text, " {}", request.body.len()).unwrap(),
            false => text.push_str(" -"),
        }
        match request.preview {
            Some((true, _)) => text.push_str(" ieof"),
            Some((false, bytes)) => write!(text, " preview-{bytes}").unwrap(),
            None => {}
        }
        text.push_str(" >");
        match answers.answers.get(index) {
            Some(answer) => describe_answer(&mut text, answer),
            None => text.push_str(" nothing\n"),
        }
    }
    if let Some(error) = requests.error {
        writeln!(text, "client's fault: {error}").unwrap();
    }
    // What a server says about a request that nobody understands.
    for answer in answers.answers.iter().skip(requests.requests.len()) {
        text.push('>');
        describe_answer(&mut text, answer);
    }
    if let Some(error) = answers.error {
        writeln!(text, "server's fault: {error}").unwrap();
    }
    for (who, unread) in [("client", requests.unread), ("server", answers.unread)] {
        if unread > 0 {
            writeln!(text, "not read of the {who}: {unread}").unwrap();
        }
    }
    text
}

fn describe_answer(text: &mut String, answer: &Answer) {
    for status in &answer.statuses {
        write!(text, " {status}").unwrap();
    }
    if !answer.body.is_empty() {
        write!(text, " {}", answer.body.len()).unwrap();
    }
    if let Some(offset) = answer.original_from {
        write!(text, " original-from-{offset}").unwrap();
    }
    if !answer.ended {
        text.push_str(" cut");
    } else if let Some(reason) = answer.reusable {
        write!(text, " {reason:?}").unwrap();
    }
    text.push('\n');
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/recorded")
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

/// Some cuts: none, every byte, pieces of one packet, and single cuts: all of a short recording, a sample of a
/// long one.
fn some_cuts(len: usize) -> Vec<Vec<usize>> {
    let step = len / 300 + 1;
    let mut cuts = vec![vec![], (1..len).collect(), (1..len).filter(|at| at % 1460 == 0).collect()];
    cuts.extend((1..len).step_by(step).map(|cut| vec![cut]));
    cuts
}

#[test]
fn recordings_are_read_alike_under_every_cut() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let c2s = fs::read(case.join("c2s.bin")).unwrap();
        let s2c = fs::read(case.join("s2c.bin")).unwrap();
        let expected = fs::read_to_string(case.join("expect.txt")).unwrap_or_default();
        let continues = continues(&expected);

        // One byte at a time, nothing is there ahead of its turn: this tells where the turns are.
        let every_byte: Vec<usize> = (1..c2s.len()).collect();
        let requests = serve(&c2s, &continues, &every_byte, &[]);
        let asked = match requests.requests.len() {
            // The server may have answered what this crate does not understand.
            0 => vec![unknown()],
            _ => requests.requests.clone(),
        };
        let every_byte: Vec<usize> = (1..s2c.len()).collect();
        let answers = ask(&asked, &s2c, &every_byte, &[]);
        let found = describe(&requests, &answers);
        if std::env::var_os("RECORD").is_some() {
            fs::write(case.join("expect.txt"), &found).unwrap();
            continue;
        }
        assert_eq!(found, expected, "{name}");

        for cuts in some_cuts(c2s.len()) {
            let again = serve(&c2s, &continues, &cuts, &requests.turns);
            assert_eq!(
                describe(&again, &answers),
                described(&again, &requests, &answers),
                "{name} {cuts:?}"
            );
            let bodies = |found: &Requests| -> Vec<Vec<u8>> {
                found.requests.iter().map(|request| request.body.clone()).collect()
            };
            assert_eq!(bodies(&again), bodies(&requests), "{name} {cuts:?}");
        }
        for cuts in some_cuts(s2c.len()) {
            let again = ask(&asked, &s2c, &cuts, &answers.turns);
            assert_eq!(again.answers, answers.answers, "{name} {cuts:?}");
            assert_eq!(again.error, answers.error, "{name} {cuts:?}");
        }
    }
}

/// The description that `again` must have; how much of a faulty rest was taken depends on the cuts.
fn described(again: &Requests, requests: &Requests, answers: &Answers) -> String {
    let unread = again.unread;
    let requests = Requests {
        requests: requests.requests.clone(),
        error: requests.error,
        turns: Vec::new(),
        unread: if requests.error.is_some() { unread } else { requests.unread },
    };
    describe(&requests, answers)
}

/// Which requests were answered with 100 Continue first.
fn continues(expected: &str) -> Vec<bool> {
    expected.lines().map(|line| line.contains("> 100")).collect()
}

/// A request of which nothing is known.
fn unknown() -> Request {
    let head = RequestHead::options("icap://unknown/".parse().unwrap()).build().unwrap();
    Request { head, body: Vec::new(), preview: None, ended: true }
}

/// The detection report of c-icap's antivirus service: the one folded value that products send.
#[test]
fn folded_violations() {
    let s2c = fs::read(folder().join("squid-av-respmod-blocked/s2c.bin")).unwrap();
    let options = ResponseHead::parse(&s2c, &Limits::default(), &Leniency::default());
    let (_, used) = options.unwrap().unwrap();
    let (head, _) = ResponseHead::parse(&s2c[used..], &Limits::default(), &Leniency::default())
        .unwrap()
        .unwrap();
    let found = head.headers().get("X-Violations-Found").unwrap();
    assert_eq!(icap_proto::unfold(found).as_ref(), b"1 - Lab-Eicar-Body.UNOFFICIAL 0 0");
    // The draft specifies the folds, so they are no deviation; the service has other ones.
    let mut strict = Leniency::strict();
    strict.missing_istag = true;
    let (strictly, _) =
        ResponseHead::parse(&s2c[used..], &Limits::default(), &strict).unwrap().unwrap();
    assert_eq!(strictly.headers(), head.headers());
}
