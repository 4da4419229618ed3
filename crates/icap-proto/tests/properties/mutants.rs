//! Damaged messages: nothing panics, and what the parser takes the grammar allows.

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{Encapsulated, Leniency, Limits, RequestHead, ResponseHead, ServiceUri};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::message::{answer, question};
use crate::reference;
use crate::support::server::Server;
use crate::support::{Trace, text};

/// A change of some bytes.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Repeat(Index, usize),
    SwapLines(Index, Index),
    RepeatLine(Index),
    Digit(Index, u8),
}

/// What parsers have stumbled over.
const PIECES: [&str; 38] = [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    "\x7f",
    ";",
    "=",
    ":",
    ",",
    "\"",
    "\\",
    "0",
    "+",
    "-",
    "0x",
    "_",
    "0\r\n\r\n",
    "; ieof",
    "; use-original-body=1",
    " \r\n",
    "\r\n x",
    "Encapsulated: null-body=0\r\n",
    "Preview: 4\r\n",
    "Host: other\r\n",
    "Trailer: a\r\n",
    "Allow: trailers\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "ISTag: x\r\n",
    "ICAP/1.0",
    "HTTP/1.1",
    "@",
    "%",
    "req-hdr=0, ",
    "99999999999999999999",
];

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let piece = select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec());
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (at(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => (at(), 1..6usize).prop_map(|(at, len)| Mutation::Delete(at, len)),
        1 => (at(), 1..20usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
        1 => (at(), at()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
        1 => at().prop_map(Mutation::RepeatLine),
        2 => (at(), b'0'..=b'9').prop_map(|(at, digit)| Mutation::Digit(at, digit)),
    ]
}

pub(crate) fn mutate(message: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match mutation {
            Mutation::Set(at, byte) => bytes[at.index(len)] = *byte,
            Mutation::Insert(at, piece) => {
                let at = at.index(len + 1);
                bytes.splice(at..at, piece.iter().copied());
            }
            Mutation::Delete(at, count) => {
                let at = at.index(len);
                bytes.drain(at..(at + count).min(len));
            }
            Mutation::Repeat(at, count) => {
                let at = at.index(len);
                let again = bytes[at..(at + count).min(len)].to_vec();
                bytes.splice(at..at, again);
            }
            Mutation::SwapLines(one, other) => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
                bytes = lines.concat();
            }
            Mutation::RepeatLine(at) => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
                let at = at.index(lines.len());
                lines.insert(at, lines[at]);
                bytes = lines.concat();
            }
            Mutation::Digit(at, digit) => {
                let digits: Vec<usize> =
                    (0..len).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    bytes[digits[at.index(digits.len())]] = *digit;
                }
            }
        }
    }
    bytes
}

fn vectors() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/vectors");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "icap"))
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Chunked bodies with all that the grammar allows.
pub(crate) fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let extension = prop_oneof![
        4 => Just(String::new()),
        1 => "[ \t]{0,2};[ \t]{0,2}[a-z]{1,5}",
        1 => "[ \t]?;[a-z]{1,5}[ \t]?=[ \t]?[a-z0-9]{1,5}",
        1 => ";[a-z]{1,3}=\"([ !#-Z]|\\\\[ -~]){0,6}\"",
        1 => "[ \t]{1,2}",
    ];
    let zeros = prop_oneof![3 => Just(""), 1 => Just("0"), 1 => Just("00000000000")];
    let data = prop_oneof![6 => vec(any::<u8>(), 1..30), 1 => vec(any::<u8>(), 500..600)];
    let chunk = (zeros, data, extension.clone()).prop_map(|(zeros, data, extension)| {
        let line = format!("{zeros}{:x}{extension}\r\n", data.len());
        [line.as_bytes(), &data, b"\r\n"].concat()
    });
    let trailer =
        prop_oneof![2 => Just(""), 1 => Just("X-Sum: 1\r\n"), 1 => Just("a:\r\nB: c d\r\n")];
    let last = ("0{1,3}", extension, trailer).prop_map(|(zero, extension, trailer)| {
        format!("{zero}{extension}\r\n{trailer}\r\n").into_bytes()
    });
    (vec(chunk, 0..12), last).prop_map(|(chunks, last)| [chunks.concat(), last].concat())
}

/// Holds every parser to the reference for these bytes.
fn check(bytes: &[u8]) {
    let (limits, strict) = (Limits::default(), Leniency::strict());
    if let Ok(Some((head, size))) = RequestHead::parse(bytes, &limits, &strict) {
        assert_eq!(reference::request(bytes), Ok(size), "{}", text(bytes));
        if head.has_body() {
            check_body(&bytes[size..]);
        }
    }
    if let Ok(Some((head, size))) = ResponseHead::parse(bytes, &limits, &strict) {
        assert_eq!(reference::response(bytes), Ok(size), "{}", text(bytes));
        if head.has_body() {
            check_body(&bytes[size..]);
        }
    }
    for leniency in [strict, Leniency::default()] {
        let mut trace = Trace::default();
        trace.feed(&mut Server::with(limits, leniency), bytes);
    }
}

fn check_body(bytes: &[u8]) {
    let (limits, strict) = (Limits::default(), Leniency::strict());
    let mut decoder = ChunkDecoder::default();
    let (mut input, mut data) = (BytesMut::from(bytes), Vec::new());
    loop {
        match decoder.decode(&mut input, &limits, &strict) {
            Ok(Some(Part::Data(piece))) => data.extend_from_slice(&piece),
            Ok(Some(Part::End(_))) => {
                let size = bytes.len() - input.len();
                assert_eq!(reference::chunked(bytes), Ok((data, size)), "{}", text(bytes));
                return;
            }
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) | Err(_) => return,
        }
    }
}

/// Without damage the reference takes them, too: it is not strict for want of sense.
#[test]
fn the_reference_takes_the_golden_vectors() {
    let mut taken = 0;
    for vector in vectors() {
        check(&vector);
        taken += usize::from(reference::request(&vector).is_ok());
        taken += usize::from(reference::response(&vector).is_ok());
    }
    // All but the second half of V5, which is a body.
    assert_eq!(taken, 14);
}

proptest! {
    #![proptest_config(crate::cases(6000))]

    #[test]
    fn damaged_vectors(vector in select(vectors()), mutations in vec(mutation(), 0..4)) {
        check(&mutate(&vector, &mutations));
    }

    #[test]
    fn damaged_requests(question in question(), mutations in vec(mutation(), 0..3)) {
        check(&mutate(&question.encode()[0], &mutations));
    }

    #[test]
    fn damaged_answers(answer in answer(), mutations in vec(mutation(), 0..3)) {
        check(&mutate(&answer.encode(), &mutations));
    }

    #[test]
    fn damaged_bodies(body in chunked_body(), mutations in vec(mutation(), 0..4)) {
        check_body(&mutate(&body, &mutations));
    }

    #[test]
    fn lists(
        value in prop_oneof![
            "((req-hdr|res-hdr|req-body|res-body|opt-body|null-body|Req-Hdr|x)[=:]?[ +-]?[0-9]{0,3}(,[ \t]?|;| )?){0,4}",
            "(req-hdr|res-hdr)=[01](, ?(req-hdr|res-hdr)=[1-5]){0,2},(req-body|res-body|null-body)=[1-9](, null-body=9)?",
        ]
    ) {
        let list = Encapsulated::parse(value.as_bytes(), &Limits::default(), &Leniency::strict());
        prop_assert_eq!(list.is_ok(), reference::list(value.as_bytes()).is_ok());
    }

    #[test]
    fn uris(uri in "(icaps?|ICAP|http)://?/?(u@|:@)?([a-z.]{0,3}|\\[[:1f]{2,4}\\]|1\\.2\\.3(\\.4)?)(:[0-9]{0,6})?[/?a%4Z ]{0,4}") {
        if ServiceUri::parse(uri.clone().into()).is_ok() {
            prop_assert_eq!(reference::uri(uri.as_bytes()), Ok(()));
        }
    }
}
