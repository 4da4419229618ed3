//! Bytes with faults in them, and calls in any order: the same verdict under every cut and any switches, strict never
//! takes more than lenient, nothing panics, and what is written stays well formed.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{
    Error, Headers, HttpHead, IsTag, Leniency, Limits, Method, PeerMisbehaved, ResponseHead,
    StatusCode, client, server,
};
use support::client::Ask;
use support::leniency::{SWITCHES, all_on};
use support::rng::Rng;
use support::server::Server;
use support::{Core, Trace, text};

fn vectors(names: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/vectors");
    names.iter().map(|name| fs::read(folder.join(format!("{name}.icap"))).unwrap()).collect()
}

fn requests() -> Vec<Vec<u8>> {
    vectors(&["V1", "V2", "V3", "V4", "V5a", "V6", "V7", "V11"])
}

fn answers() -> Vec<Vec<u8>> {
    let mut answers = vectors(&["V8", "V9", "V10", "V12", "V13", "V14"]);
    // What the opt-in switches are for.
    for fields in [
        "X-Violations-Found: 1\r\na.exe\r\nEicar\r\n7\r\n2\r\nEncapsulated: res-hdr=0, res-body=19",
        "Encapsulated: res-body=19, res-hdr=0",
        "Encapsulated: res-hdr=0, res-body=33",
        "Encapsulated: res-hdr=0, null-body=0",
    ] {
        let answer = format!(
            "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\n{fields}\r\n\r\n\
             HTTP/1.1 200 OK\r\n\r\n3\r\nnew\r\n0\r\n\r\n"
        );
        answers.push(answer.into_bytes());
    }
    answers
}

/// Changes a few bytes, in the ways that parsers have stumbled over.
fn damage(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 23] = [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\0",
        b";",
        b"=",
        b":",
        b",",
        b"0",
        b"0\r\n\r\n",
        b"; ieof",
        b"Encapsulated: null-body=0\r\n",
        b"Preview: 4\r\n",
        b"\xff",
        b"+",
        b"0x",
        b"Trailer: a\r\n",
        b"X-Violations-Found: 1\r\na\r\n",
        b"a\n",
        b"res-hdr=0, ",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        if bytes.len() < 2 {
            break;
        }
        let at = rng.below(bytes.len());
        match rng.below(5) {
            0 => bytes[at] = rng.next() as u8,
            1 => drop(bytes.remove(at)),
            2 => bytes.truncate(at.max(1)),
            3 => {
                let digits: Vec<usize> =
                    (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    bytes[*rng.pick(&digits)] = b'0' + rng.below(10) as u8;
                }
            }
            _ => {
                let piece = *rng.pick(&PIECES);
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

/// At times with line feeds alone, as the opt-in for them takes.
fn rewritten(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let some = rng.one_in(4);
    let dropped = |index: usize, rng: &mut Rng| {
        some && bytes[index] == b'\r' && bytes.get(index + 1) == Some(&b'\n') && rng.one_in(2)
    };
    (0..bytes.len()).filter(|index| !dropped(*index, rng)).map(|index| bytes[index]).collect()
}

fn run(core: &mut impl Core, bytes: &[u8], cuts: &[usize]) -> Trace {
    let mut trace = Trace::default();
    trace.feed_cut(core, bytes, cuts);
    // What is not waited for and comes all the same is seen only when it lies in the same piece.
    if trace.error == Some(Error::Peer(PeerMisbehaved::SpokeOutOfTurn)) {
        trace.error = None;
    }
    trace
}

/// Some of the switches, each as likely on as off.
fn some_switches(rng: &mut Rng) -> Leniency {
    let mut leniency = Leniency::strict();
    for (_, set) in SWITCHES {
        set(&mut leniency, rng.one_in(2));
    }
    leniency
}

/// Compares the runs of fresh connections under several cuts, from strict to every switch on.
fn compare<C: Core>(bytes: &[u8], rng: &mut Rng, fresh: impl Fn(Leniency) -> C) {
    let every_byte: Vec<usize> = (1..bytes.len()).collect();
    let mut some: Vec<usize> = (0..rng.below(6)).map(|_| rng.below(bytes.len())).collect();
    some.sort_unstable();
    let mut verdicts = Vec::new();
    for leniency in [Leniency::strict(), Leniency::default(), all_on(), some_switches(rng)] {
        let mut reader = fresh(leniency);
        let whole = run(&mut reader, bytes, &[]);
        let used = reader.take_used_leniency();
        for cuts in [&every_byte, &some] {
            let mut reader = fresh(leniency);
            let cut = run(&mut reader, bytes, cuts);
            assert_eq!(cut, whole, "{} cut at {cuts:?}, {leniency:?}", text(bytes));
            if whole.error.is_none() {
                assert_eq!(reader.take_used_leniency(), used, "{} cut at {cuts:?}", text(bytes));
            }
        }
        if whole.ends() {
            let needed = run(&mut fresh(used), bytes, &[]);
            assert_eq!(needed, whole, "{} with {used:?} of {leniency:?}", text(bytes));
        }
        verdicts.push(whole);
    }
    let [strict, lenient, opt_in @ ..] = &verdicts[..] else { unreachable!() };
    if strict.error.is_none() {
        assert_eq!(strict, lenient, "{}", text(bytes));
    }
    // An opt-in may end a head earlier than its offsets; what is whole without it is the same with it.
    if strict.ends() {
        for verdict in opt_in {
            assert_eq!(strict, verdict, "{}", text(bytes));
        }
    }
}

#[test]
fn damaged_requests() {
    let mut rng = Rng::new(11);
    for original in requests() {
        for _ in 0..4000 {
            let bytes = damage(&rewritten(&original, &mut rng), &mut rng);
            compare(&bytes, &mut rng, |leniency| Server::with(Limits::default(), leniency));
        }
    }
}

#[test]
fn damaged_answers() {
    let mut rng = Rng::new(12);
    for original in answers() {
        for _ in 0..3000 {
            let bytes = damage(&rewritten(&original, &mut rng), &mut rng);
            let ask = match rng.below(5) {
                0 => Ask::options(),
                1 => Ask::reqmod(),
                2 => Ask::respmod().preview(10).allow_206(),
                3 => Ask::respmod().allow_204().allow_206(),
                _ => Ask::respmod(),
            };
            compare(&bytes, &mut rng, |leniency| {
                Ask { leniency, ..ask.clone() }.sent_whole("hello")
            });
        }
    }
}

/// Checks what holds at any time.
fn check_input(wants_input: bool, room: usize) {
    assert!(!wants_input || room > 0, "no room although input is wanted");
}

/// A call that may well be refused.
fn try_it<T>(_: T) {}

/// Everything a client writes is read by a strict server, whatever calls made it.
#[test]
fn client_calls_in_any_order() {
    let mut rng = Rng::new(13);
    let trailers = Headers::from_pairs([("X-Sum", "1")]).unwrap();
    let mut said = answers();
    said.push(b"ICAP/1.0 100 Continue\r\n\r\n".to_vec());
    for _ in 0..4000 {
        let leniency = if rng.one_in(2) { Leniency::default() } else { Leniency::strict() };
        let mut connection = client::Connection::new(Limits::default(), leniency);
        let mut written = Vec::new();
        for _ in 0..rng.below(40) {
            match rng.below(12) {
                0 | 1 => {
                    let mut ask = if rng.one_in(5) { Ask::options() } else { Ask::respmod() };
                    ask.body &= !rng.one_in(5);
                    ask.preview = (!rng.one_in(3)).then(|| rng.below(8) as u64);
                    (ask.no_content, ask.partial_content) = (rng.one_in(2), rng.one_in(2));
                    ask.icap_trailer = ask.method != Method::Options && rng.one_in(3);
                    if rng.one_in(4) {
                        try_it(connection.start_with_icap_trailer(&ask.head(), trailers.clone()));
                    } else {
                        try_it(connection.start(&ask.head()));
                    }
                }
                2 | 3 => {
                    let len = rng.below(12);
                    let mut data = Bytes::from(rng.bytes(len));
                    let _ = connection.send_data(&mut data);
                }
                4 => try_it(connection.end_preview()),
                5 if rng.one_in(3) => try_it(connection.set_icap_trailer(trailers.clone())),
                5 => try_it(connection.finish(&trailers)),
                6 if rng.one_in(6) => connection.abandon(),
                7 if rng.one_in(10) => connection.input_closed(),
                8 | 9 => {
                    let bytes = rng.pick(&said);
                    let cut = if rng.one_in(4) { rng.below(bytes.len()) } else { bytes.len() };
                    connection.feed(&bytes[..cut]);
                }
                _ => try_it(connection.poll_event()),
            }
            check_input(connection.wants_input(), connection.input().remaining_mut());
            let _ = (connection.reusable(), connection.is_complete(), connection.send_state());
            if rng.one_in(3) {
                written.extend(connection.take_output());
                connection.relax();
            }
        }
        written.extend(connection.take_output());
        read_as_server(&written);
    }
}

/// Reads requests; the rest behind a preview is asked for when there is more.
fn read_as_server(written: &[u8]) {
    let mut server = server::Connection::new(Limits::default(), Leniency::strict());
    let mut at = 0;
    let mut whole = true;
    loop {
        match server.poll_event().unwrap_or_else(|error| panic!("{error}: {}", text(written))) {
            Some(server::Event::Request(_)) => whole = false,
            Some(server::Event::PreviewEnd { complete: false, .. }) => {
                // The rest of a body starts with a size, a request with a letter beyond the hexadecimal ones.
                match written.get(at) {
                    Some(byte) if !byte.is_ascii_uppercase() => {
                        server.send_continue(&IsTag::new("t").unwrap()).unwrap();
                    }
                    _ => {
                        whole = true;
                        server.respond(head(StatusCode::NO_CONTENT)).unwrap();
                    }
                }
            }
            Some(server::Event::End { .. }) => {
                whole = true;
                server.respond(head(StatusCode::NOT_FOUND)).unwrap();
            }
            Some(_) => {}
            None if at == written.len() => break,
            None => {
                assert!(server.wants_input(), "{}", text(written));
                server.feed(&written[at..=at]);
                at += 1;
            }
        }
    }
    assert!(whole || !server.is_idle());
}

fn head(status: StatusCode) -> ResponseHead {
    ResponseHead::builder(status).istag(&IsTag::new("t").unwrap()).build().unwrap()
}

/// Everything a server writes is a row of answers, whatever calls made it.
#[test]
fn server_calls_in_any_order() {
    let mut rng = Rng::new(14);
    let trailers = Headers::from_pairs([("X-Sum", "1")]).unwrap();
    let http = HttpHead::response(200, "OK", [("A", "b")]).unwrap();
    let tag = IsTag::new("t").unwrap();
    let mut said = requests();
    said.push(b"1\r\no\r\n0\r\n\r\n".to_vec());
    said.push(b"LOG icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n".to_vec());
    for allow in ["", "204, 206, "] {
        let (allow, head) = (format!("{allow}trailers"), "HTTP/1.1 200 OK\r\n\r\n");
        said.push(
            format!(
                "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: {allow}\r\n\
                 Encapsulated: res-hdr=0, null-body=19\r\n\r\n{head}"
            )
            .into_bytes(),
        );
    }
    for _ in 0..4000 {
        let leniency = if rng.one_in(2) { Leniency::default() } else { Leniency::strict() };
        let mut connection = server::Connection::new(Limits::default(), leniency);
        let mut written = Vec::new();
        for _ in 0..rng.below(40) {
            match rng.below(14) {
                0..=3 => {
                    let bytes = rng.pick(&said);
                    let cut = if rng.one_in(5) { rng.below(bytes.len()) } else { bytes.len() };
                    connection.feed(&bytes[..cut]);
                }
                4 => try_it(connection.send_continue(&tag)),
                5 | 6 => {
                    let status = *rng.pick(&[100, 101, 200, 204, 206, 404, 500]);
                    let mut builder =
                        ResponseHead::builder(StatusCode::new(status).unwrap()).istag(&tag);
                    if rng.one_in(2) {
                        builder = builder.http(http.clone()).body(rng.one_in(2));
                    } else if rng.one_in(4) {
                        builder = builder.opt_body("x").unwrap();
                    }
                    if rng.one_in(3) {
                        builder = builder.icap_trailer(["X-Id"]).unwrap();
                    }
                    match builder.build() {
                        Ok(head) if rng.one_in(3) => {
                            try_it(connection.respond_with_icap_trailer(head, trailers.clone()));
                        }
                        Ok(head) => try_it(connection.respond(head)),
                        Err(_) => {}
                    }
                }
                7 => {
                    let len = rng.below(2000);
                    try_it(connection.send_data(rng.bytes(len).into()));
                }
                8 => try_it(connection.finish(&trailers)),
                9 => try_it(connection.finish_with_original(rng.next())),
                10 if rng.one_in(20) => connection.abort(),
                10 if rng.one_in(3) => try_it(connection.dismiss()),
                10 => try_it(connection.set_icap_trailer(trailers.clone())),
                11 if rng.one_in(10) => connection.input_closed(),
                _ => try_it(connection.poll_event()),
            }
            check_input(connection.wants_input(), connection.input().remaining_mut());
            let _ = (connection.closing(), connection.is_idle(), connection.is_unanswered());
            if rng.one_in(3) {
                written.extend(connection.take_output());
                connection.relax();
            }
        }
        written.extend(connection.take_output());
        read_answers(&written);
    }
}

/// Reads answers one after the other; the last may be cut.
fn read_answers(written: &[u8]) {
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    let mut input = BytesMut::from(written);
    let mut closed = false;
    while !input.is_empty() {
        assert!(!closed, "an answer behind Connection: close: {}", text(written));
        let (head, used) = ResponseHead::parse(&input, &limits, &leniency)
            .unwrap_or_else(|error| panic!("{error}: {}", text(written)))
            .unwrap_or_else(|| panic!("half a head: {}", text(written)));
        closed = head.close();
        let _ = input.split_to(used);
        let promised = head.has_icap_trailer();
        if !head.has_body() {
            assert!(!promised || skip_trailer(&mut input), "no trailer: {}", text(written));
            continue;
        }
        let mut decoder = ChunkDecoder::default();
        while !decoder.is_done() {
            match decoder.decode(&mut input, &limits, &leniency).unwrap() {
                Some(Part::Data(_) | Part::End(_)) => {}
                // Not finished: then nothing follows.
                _ => {
                    assert!(input.is_empty(), "{}", text(written));
                    return;
                }
            }
        }
        assert!(!promised || skip_trailer(&mut input), "no trailer: {}", text(written));
    }
}

/// An ICAP trailer of these tests: nothing or one field, then the empty line.
fn skip_trailer(input: &mut BytesMut) -> bool {
    let trailer: &[u8] = if input.starts_with(b"\r\n") { b"\r\n" } else { b"X-Sum: 1\r\n\r\n" };
    let found = input.starts_with(trailer);
    if found {
        let _ = input.split_to(trailer.len());
    }
    found
}
