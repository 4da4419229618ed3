//! The opt-in switches of [`Leniency`]: how far each goes, and that none goes further.
//!
//! Every message is read whole, byte by byte and cut at every place.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use icap_proto::{
    CloseReason, Encapsulated, Leniency, Limits, ParseErrorKind as Kind, RequestHead, ResponseHead,
    StatusCode, ViolationsFound, wire,
};
use support::client::{Ask, NO_CONTENT};
use support::leniency::{all_on, off, on};
use support::server::{OPTIONS, OPTIONS_EVENTS, Server};
use support::{outcome_every_way, text};

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
const BODY: &str = "3\r\nnew\r\n0\r\n\r\n";
const REQUEST: &str = "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n";
const ANSWER: &str = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\n";
const LIST: &str = "Encapsulated: res-hdr=0, res-body=19\r\n\r\n";
const REQUEST_EVENTS: [&str; 3] =
    ["request RESPMOD icap://s/v [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "data new", "end"];
const ANSWER_EVENTS: [&str; 3] =
    ["response 200 OK [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "data new", "end"];

/// Strict but for these.
fn with(names: &[&str]) -> Leniency {
    on(Leniency::strict(), names)
}

fn serve(leniency: Leniency, bytes: impl AsRef<[u8]>) -> Vec<String> {
    outcome_every_way(|| Server::with(Limits::default(), leniency), bytes.as_ref())
}

fn ask(ask: Ask, leniency: Leniency, bytes: impl AsRef<[u8]>) -> Vec<String> {
    outcome_every_way(|| Ask { leniency, ..ask.clone() }.sent_whole("hello"), bytes.as_ref())
}

/// Whether the connection can be used again behind this answer.
fn reusable(leniency: Leniency, bytes: &str) -> Result<(), CloseReason> {
    let mut client = Ask { leniency, ..Ask::respmod() }.sent_whole("hello");
    client.recv(bytes);
    client.reusable()
}

/// The only event is this fault.
fn refused(events: &[String], fault: &str) {
    assert_eq!(events, [format!("! {fault}")]);
}

/// Each line of the head ends in CRLF or LF, in every mixture.
#[test]
fn bare_lf_in_every_mixture() {
    let leniency = with(&["bare_lf_in_head"]);
    let mix = |lines: &[&str], choice: u32| -> String {
        let ends = lines.iter().enumerate().map(|(index, line)| {
            format!("{line}{}", if choice >> index & 1 == 1 { "\n" } else { "\r\n" })
        });
        ends.collect()
    };
    let list = "Encapsulated: res-hdr=0, res-body=19";
    let request = ["RESPMOD icap://s/v ICAP/1.0", "Host: s", "X-A: b", " c", list, ""];
    for choice in 0..1 << request.len() {
        let bytes = mix(&request, choice) + HEAD + BODY;
        assert_eq!(serve(leniency, &bytes), REQUEST_EVENTS, "{bytes:?}");
        // What was read is written as the RFC has it.
        let (head, used) =
            RequestHead::parse(bytes.as_bytes(), &Limits::default(), &leniency).unwrap().unwrap();
        assert_eq!(used, bytes.len() - BODY.len());
        let written = [&head.to_bytes()[..], BODY.as_bytes()].concat();
        assert_eq!(serve(Leniency::strict(), &written), REQUEST_EVENTS, "{}", text(&written));
    }
    let answer = ["ICAP/1.0 200 OK", "ISTag: \"t1\"", list, ""];
    for choice in 0..1 << answer.len() {
        let bytes = mix(&answer, choice) + HEAD + BODY;
        assert_eq!(ask(Ask::respmod(), leniency, &bytes), ANSWER_EVENTS, "{bytes:?}");
        assert_eq!(reusable(leniency, &bytes), Ok(()));
    }
}

/// The switch is for the ICAP head; everything else is refused as ever, and CR alone is too.
#[test]
fn bare_lf_nowhere_else() {
    let leniency = with(&["bare_lf_in_head", "http_framing_fields"]);
    let head = format!("{REQUEST}{LIST}").replace("\r\n", "\n");
    let trailer =
        format!("{REQUEST}Allow: trailers\r\nTrailer: X\r\n{LIST}{HEAD}").replace("\r\n", "\n");
    let trailer = trailer.replace(&HEAD.replace("\r\n", "\n"), HEAD);
    for (bytes, fault) in [
        (format!("{head}HTTP/1.1 200 OK\nA: bc\r\n\r\n{BODY}"), "BareLf at 89"),
        (format!("{head}HTTP/1.1 200 OK\r\n\n{BODY}"), "BareLf at 91"),
        (format!("{head}{HEAD}3\nnew\r\n0\r\n\r\n"), "BareLf at 94"),
        (format!("{head}{HEAD}0\r\nA: b\n\r\n"), "BareLf at 100"),
        (format!("{trailer}0\r\n\r\nX: y\n\r\n"), "BareLf at 129"),
        (format!("{}A: b\rC: d\n\n", &head[..36]), "BareCr at 41"),
        (format!("{}A: b\r\r\n\n", &head[..36]), "BareCr at 41"),
        (format!("{}\r\r\n\n", &head[..36]), "BareCr at 37"),
    ] {
        let events = serve(leniency, &bytes);
        assert_eq!(events.last().unwrap(), &format!("! {fault}"), "{bytes:?}");
    }
    // An empty line before a request is CRLF.
    refused(&serve(on(leniency, &["leading_empty_line"]), format!("\n{OPTIONS}")), "NotIcap at 0");
}

/// Faults are told where they are on the wire, not where they were after the line ends were put right.
#[test]
fn bare_lf_and_the_places_of_faults() {
    let leniency = with(&["bare_lf_in_head"]);
    for (bytes, fault) in [
        ("OPTIONS icap://s/v ICAP/1.0\nHost: s\nA : b\n\n", "SpaceBeforeColon at 37"),
        ("OPTIONS icap://s/v ICAP/1.0\nHost: s\nA\n\n", "MissingColon at 37"),
        ("REQMOD icap://s/v ICAP/1.0\nHost: s\nPreview: x\n\n", "Preview at 35"),
        ("OPTIONS icap://s/v ICAP/1.0\n\n", "MissingHost at 29"),
        ("OPTIONS icap://s/v ICAP/2.0\nHost: s\n\n", "UnsupportedVersion at 24"),
    ] {
        refused(&serve(leniency, bytes), fault);
    }
}

/// Behind such a head the next message begins where it begins.
#[test]
fn bare_lf_and_the_next_message() {
    let leniency = with(&["bare_lf_in_head"]);
    let short = OPTIONS.replace("\r\n", "\n");
    let mut server = Server::with(Limits::default(), leniency);
    assert_eq!(server.recv_until(format!("{short}{OPTIONS}{short}"), "end"), OPTIONS_EVENTS);
    for _ in 0..2 {
        server.respond(StatusCode::NOT_FOUND).unwrap();
        assert_eq!(server.recv_until("", "end"), OPTIONS_EVENTS);
    }
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert_eq!(server.poll(), Vec::<String>::new());
    assert!(server.connection.is_idle());
}

/// Bytes of the wire count, not those that were added.
#[test]
fn bare_lf_and_the_limit_of_heads() {
    let leniency = with(&["bare_lf_in_head"]);
    let mut limits = Limits::default();
    limits.head_bytes = 60;
    let head = |n: usize| format!("OPTIONS icap://s/v ICAP/1.0\nHost: s\nA: {}\n\n", "x".repeat(n));
    let read =
        |bytes: String| outcome_every_way(|| Server::with(limits, leniency), bytes.as_bytes());
    assert_eq!(head(19).len(), 60);
    assert_eq!(read(head(19)), OPTIONS_EVENTS);
    refused(&read(head(20)), "HeadTooLong at 60");
    refused(&read(head(1000)), "HeadTooLong at 60");
    refused(
        &read("OPTIONS icap://s/v ICAP/1.0\n".to_owned() + &"A: b\n".repeat(50)),
        "HeadTooLong at 60",
    );
}

/// A line is as long as it would be with CRLF.
#[test]
fn bare_lf_and_the_limit_of_start_lines() {
    let leniency = with(&["bare_lf_in_head"]);
    let mut limits = Limits::default();
    limits.start_line = 60;
    let kind = |n: usize| {
        let uri = "s".repeat(n - 28);
        let bytes = format!("OPTIONS icap://h/{uri} ICAP/1.0\nHost: h\n\n");
        let events = outcome_every_way(|| Server::with(limits, leniency), bytes.as_bytes());
        events.last().unwrap().split(" at").next().unwrap().to_owned()
    };
    assert_eq!((kind(60), kind(61)), ("end".into(), "! StartLineTooLong".into()));
}

/// Whatever the offsets say, the head is the one that ends at the empty line. The connection goes on only where
/// they were right.
#[test]
fn blank_line_and_wrong_offsets() {
    let leniency = with(&["blank_line_framing"]);
    for offset in 0..60 {
        let bytes =
            format!("{ANSWER}Encapsulated: res-hdr=0, res-body={offset}\r\n\r\n{HEAD}{BODY}");
        assert_eq!(ask(Ask::respmod(), leniency, &bytes), ANSWER_EVENTS, "{offset}");
        let kept = if offset == HEAD.len() { Ok(()) } else { Err(CloseReason::Asked) };
        assert_eq!(reusable(leniency, &bytes), kept, "{offset}");
        let bytes = format!("{ANSWER}Encapsulated: res-hdr=0, null-body={offset}\r\n\r\n{HEAD}");
        let events = ask(Ask::respmod(), leniency, &bytes);
        let head = "response 200 OK [res-hdr=0, null-body=19] (HTTP/1.1 200 OK)";
        assert_eq!(events, [head, "end"], "{offset}");
        assert_eq!(reusable(leniency, &bytes), kept, "{offset}");
    }
}

/// A first offset other than 0 is as wrong as any other, also where the difference is the right length.
#[test]
fn blank_line_and_a_wrong_first_offset() {
    let leniency = with(&["blank_line_framing"]);
    for list in ["res-hdr=7, res-body=26", "res-hdr=7, res-body=0", "res-hdr=1, res-body=1"] {
        let bytes = format!("{ANSWER}Encapsulated: {list}\r\n\r\n{HEAD}{BODY}");
        assert_eq!(ask(Ask::respmod(), leniency, &bytes), ANSWER_EVENTS, "{list}");
        assert_eq!(reusable(leniency, &bytes), Err(CloseReason::Asked), "{list}");
    }
}

/// Only a head section can be corrected by its empty line; all other rules hold.
#[test]
fn blank_line_goes_no_further() {
    let leniency = with(&["blank_line_framing"]);
    let request = "GET / HTTP/1.1\r\n\r\n";
    for (list, rest, fault) in [
        // No head says how many bytes there are, so none can be there.
        ("res-body=5", BODY, "EntityOffset at 44"),
        ("null-body=5", "", "EntityOffset at 44"),
        ("res-hdr=0", HEAD, "Encapsulated at 53"),
        ("res-hdr=0, res-hdr=9, res-body=19", HEAD, "EntityOrder at 54"),
        ("res-body=0, res-hdr=19", HEAD, "EntityOrder at 55"),
        ("res-hdr=0, res-body=-1", HEAD, "Encapsulated at 54"),
        ("res-hdr=0, res-body=262145", HEAD, "EncapsulatedTooLong at 54"),
        ("x-hdr=0, res-body=19", HEAD, "UnknownEntity at 44"),
        ("null-body=0\r\nEncapsulated: null-body=0", "", "DuplicateField at 57"),
        // Two heads: one of a request is none of an answer to RESPMOD.
        ("req-hdr=0, res-hdr=18, res-body=37", &format!("{request}{HEAD}"), "EntityList at 119"),
        ("req-hdr=0, res-hdr=9, res-body=37", &format!("{request}{HEAD}"), "SectionEnd at 90"),
        // The head is still held to its grammar.
        ("res-hdr=0, res-body=9", "HTTP/1.1 200 OK\nA: b\r\n\r\n", "BareLf at 84"),
        ("res-hdr=0, res-body=9", "HTTP/1.1 200 OK\r\nA b\r\n\r\n", "SpaceBeforeColon at 87"),
        ("res-hdr=0, res-body=9", "GET / HTTP/1.1\r\n\r\n", "HttpStartLine at 69"),
        ("res-hdr=0, res-body=9", "\r\nHTTP/1.1 200 OK\r\n\r\n", "HttpStartLine at 69"),
    ] {
        let bytes = format!("{ANSWER}Encapsulated: {list}\r\n\r\n{rest}");
        refused(&ask(Ask::respmod(), leniency, &bytes), fault);
    }
    // Bytes between the empty line and the body are no body.
    let bytes = format!("{ANSWER}Encapsulated: res-hdr=0, res-body=21\r\n\r\n{HEAD}\r\n{BODY}");
    let events = ask(Ask::respmod(), leniency, &bytes);
    assert_eq!(events.last().unwrap(), "! ChunkSize at 89");
    // Requests are framed by their offsets.
    let bytes = format!("{REQUEST}Encapsulated: res-hdr=0, res-body=18\r\n\r\n{HEAD}{BODY}");
    refused(&serve(leniency, bytes), "SectionEnd at 96");
}

#[test]
fn blank_line_and_the_limit_of_sections() {
    let leniency = with(&["blank_line_framing"]);
    let mut limits = Limits::default();
    limits.encapsulated_bytes = 40;
    let read = |rest: String| {
        let bytes = format!("{ANSWER}Encapsulated: res-hdr=0, null-body=9\r\n\r\n{rest}");
        let fresh = || Ask { leniency, limits, ..Ask::respmod() }.sent_whole("hello");
        outcome_every_way(fresh, bytes.as_bytes())
    };
    let head = |n: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(n));
    assert_eq!(head(16).len(), 40);
    assert_eq!(read(head(16)).last().unwrap(), "end");
    refused(&read(head(17)), "EncapsulatedTooLong at 110");
    refused(&read(head(500)), "EncapsulatedTooLong at 110");
}

#[test]
fn blank_line_that_never_comes() {
    let leniency = with(&["blank_line_framing"]);
    for end in 0..HEAD.len() {
        let mut client = Ask { leniency, ..Ask::respmod() }.sent_whole("hello");
        let list = "Encapsulated: res-hdr=0, null-body=0";
        assert_eq!(client.recv(format!("{ANSWER}{list}\r\n\r\n{}", &HEAD[..end])), [""; 0]);
        let error = client.recv_eof().expect("the answer is not whole");
        assert!(support::fault(&error).starts_with("! Closed"), "{end}: {error:?}");
    }
}

#[test]
fn unordered_lists_are_sorted() {
    let leniency = with(&["unordered_entities"]);
    let section = |list: &str, rest: &str| format!("{ANSWER}Encapsulated: {list}\r\n\r\n{rest}");
    for list in ["res-hdr=0, res-body=19", "res-body=19, res-hdr=0", "res-body=19,,res-hdr=0"] {
        let bytes = section(list, &format!("{HEAD}{BODY}"));
        assert_eq!(ask(Ask::respmod(), leniency, &bytes), ANSWER_EVENTS, "{list}");
        assert_eq!(reusable(leniency, &bytes), Ok(()), "nothing is uncertain");
    }
    let bytes = section("null-body=19, res-hdr=0", HEAD);
    let head = "response 200 OK [res-hdr=0, null-body=19] (HTTP/1.1 200 OK)";
    assert_eq!(ask(Ask::reqmod(), leniency, &bytes), [head, "end"]);
    for (list, fault) in [
        ("res-body=18, res-hdr=0", "SectionEnd at 88"),
        ("res-body=19, res-hdr=1", "EntityOffset at 56"),
        ("res-body=0, res-hdr=0", "EntityOffset at 44"),
        ("res-body=0, res-hdr=19", "EntityOrder at 55"),
        ("res-body=19, res-hdr=0, res-hdr=0", "EntityOrder at 67"),
        ("res-body=19, res-body=19, res-hdr=0", "EntityOrder at 56"),
        ("res-body=19, null-body=19, res-hdr=0", "EntityOrder at 56"),
        ("res-hdr=0", "Encapsulated at 53"),
        ("res-body=19, res-hdr=0, req-body=1, req-hdr=1, null-body=1", "EntityOrder at 90"),
    ] {
        refused(&ask(Ask::respmod(), leniency, section(list, HEAD)), fault);
    }
    let bytes = format!("{REQUEST}Encapsulated: res-body=19, res-hdr=0\r\n\r\n{HEAD}{BODY}");
    refused(&serve(leniency, bytes), "EntityOffset at 52");
}

/// With both switches the kinds of the entities are in order and the empty line frames, so that what one of them takes
/// the other does not take away.
#[test]
fn unordered_lists_with_wrong_offsets() {
    let leniency = with(&["unordered_entities", "blank_line_framing"]);
    for (list, kept) in [
        ("res-hdr=0, res-body=19", Ok(())),
        ("res-body=19, res-hdr=0", Ok(())),
        ("res-hdr=38, res-body=0", Err(CloseReason::Asked)),
        ("res-body=0, res-hdr=38", Err(CloseReason::Asked)),
        ("res-body=38, res-hdr=0", Err(CloseReason::Asked)),
        ("res-body=0, res-hdr=0", Err(CloseReason::Asked)),
    ] {
        let bytes = format!("{ANSWER}Encapsulated: {list}\r\n\r\n{HEAD}{BODY}");
        assert_eq!(ask(Ask::respmod(), leniency, &bytes), ANSWER_EVENTS, "{list}");
        assert_eq!(reusable(leniency, &bytes), kept, "{list}");
    }
}

/// Up to the four bytes of the two line ends are added, and what comes out is a message of the RFC.
#[test]
fn unterminated_sections_are_ended() {
    let leniency = with(&["unterminated_sections"]);
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let whole = [
        ("REQMOD", "", request, ""),
        ("RESPMOD", "", HEAD, "res-"),
        ("RESPMOD", request, HEAD, "req- res-"),
    ];
    for (method, before, last, kinds) in whole {
        for missing in 0..=4 {
            let last = &last[..last.len() - missing];
            let end = before.len() + last.len();
            let list = |end: usize| match kinds {
                "" => format!("req-hdr=0, null-body={end}"),
                "res-" => format!("res-hdr=0, null-body={end}"),
                _ => format!("req-hdr=0, res-hdr={}, null-body={end}", before.len()),
            };
            let icap = |end: usize| {
                let list = list(end);
                format!("{method} icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: {list}\r\n\r\n")
            };
            let bytes = format!("{}{before}{last}", icap(end));
            let repaired =
                format!("{}{before}{last}", icap(end + missing)) + &"\r\n\r\n"[4 - missing..];
            let expected = serve(Leniency::strict(), &repaired);
            assert_eq!(expected.last().unwrap(), "end");
            assert_eq!(serve(leniency, &bytes), expected, "{bytes:?}");
            let (head, used) = RequestHead::parse(bytes.as_bytes(), &Limits::default(), &leniency)
                .unwrap()
                .unwrap();
            assert_eq!((used, text(&head.to_bytes())), (bytes.len(), text(repaired.as_bytes())));
            // What follows is the next request, from its first byte on.
            let mut server = Server::with(Limits::default(), leniency);
            server.recv_until(format!("{bytes}{OPTIONS}"), "end");
            server.respond(StatusCode::NOT_FOUND).unwrap();
            assert_eq!(server.recv_until("", "end"), OPTIONS_EVENTS);
        }
    }
}

#[test]
fn unterminated_sections_are_refused_elsewhere() {
    let leniency = with(&["unterminated_sections"]);
    let request = |list: &str, rest: &str| format!("{REQUEST}Encapsulated: {list}\r\n\r\n{rest}");
    for (list, rest, fault) in [
        // With a body behind it.
        ("res-hdr=0, res-body=17", "HTTP/1.1 200 OK\r\n", "SectionEnd at 95"),
        // Not the last one.
        (
            "req-hdr=0, res-hdr=16, null-body=35",
            "GET / HTTP/1.1\r\nHTTP/1.1 200 OK\r\n\r\n",
            "SectionEnd at 107",
        ),
        // More than line ends is missing, or something else is wrong.
        ("res-hdr=0, null-body=8", "HTTP/1.1", "HttpStartLine at 86"),
        ("res-hdr=0, null-body=17", "HTTP/1.1 200 OK\n\n", "BareLf at 94"),
        ("res-hdr=0, null-body=20", "HTTP/1.1 200 OK\r\n\r\nX", "SectionEnd at 98"),
        ("res-hdr=0, null-body=18", "HTTP/1.1 200 OK\r\nX", "MissingColon at 97"),
        ("res-hdr=0, null-body=21", "HTTP/1.1 200 OK\r\n\r\n\r\n", "SectionEnd at 98"),
    ] {
        refused(&serve(leniency, request(list, rest)), fault);
    }
    let answer = format!("{ANSWER}Encapsulated: res-hdr=0, null-body=17\r\n\r\n{}", &HEAD[..17]);
    refused(&ask(Ask::respmod(), leniency, answer), "SectionEnd at 88");
}

/// The head counts with the line ends that were added: what goes on from here is within the limit too.
#[test]
fn unterminated_sections_and_the_limit_of_sections() {
    let mut limits = Limits::default();
    limits.encapsulated_bytes = 30;
    let read = |n: usize| {
        let section = format!("HTTP/1.1 200 {}", "x".repeat(n - 13));
        let list = format!("Encapsulated: res-hdr=0, null-body={n}");
        let bytes = format!("{REQUEST}{list}\r\n\r\n{section}");
        let leniency = with(&["unterminated_sections"]);
        outcome_every_way(|| Server::with(limits, leniency), bytes.as_bytes())
    };
    assert_eq!(read(26).last().unwrap(), "end");
    refused(&read(27), "EncapsulatedTooLong at 109");
    refused(&read(31), "EncapsulatedTooLong at 62");
}

/// What the lines behind `X-Violations-Found: count` come to.
fn violations(count: &str, lines: &str) -> Result<Vec<(String, String)>, String> {
    let leniency = with(&["unindented_violations"]);
    let bytes = format!(
        "{ANSWER}X-Violations-Found: {count}\r\n{lines}X-Behind: yes\r\n{LIST}{HEAD}{BODY}"
    );
    let events = ask(Ask::respmod(), leniency, &bytes);
    if let Some(fault) = events[0].strip_prefix("! ") {
        return Err(fault.into());
    }
    assert_eq!(events, ANSWER_EVENTS);
    assert_eq!(reusable(leniency, &bytes), Ok(()));
    let (head, _) =
        ResponseHead::parse(bytes.as_bytes(), &Limits::default(), &leniency).unwrap().unwrap();
    assert_eq!(head.headers().get("X-Behind"), Some(&b"yes"[..]), "fields behind survive");
    let value = head.headers().get("X-Violations-Found").unwrap();
    let found = ViolationsFound::parse(value).unwrap();
    assert_eq!(found.count().to_string(), count);
    Ok(found.iter().map(|one| (text(one.file), text(one.description))).collect())
}

#[test]
fn unindented_violations_are_attached() {
    let pair = |file: &str, name: &str| (file.to_owned(), name.to_owned());
    assert_eq!(violations("0", ""), Ok(vec![]));
    assert_eq!(violations("1", "a.exe\r\nEicar\r\n7\r\n2\r\n"), Ok(vec![pair("a.exe", "Eicar")]));
    // A line may hold blanks and be indented after all.
    assert_eq!(violations("1", "a b\r\n\tE i\r\n 7\r\n2\r\n"), Ok(vec![pair("a b", "E i")]));
    assert_eq!(
        violations("2", "a\r\nA\r\n7\r\n2\r\nb\r\nB\r\n8\r\n0\r\n"),
        Ok(vec![pair("a", "A"), pair("b", "B")])
    );
    // Names that look like fields, with the numbers behind them.
    assert_eq!(
        violations("2", "Re: a\r\nW32: A\r\n7\r\n2\r\nC:\\b\r\nB\r\n8\r\n0\r\n"),
        Ok(vec![pair("Re: a", "W32: A"), pair(r"C:\\b", "B")])
    );
    // Fewer than counted.
    assert_eq!(violations("2", "a\r\nA\r\n7\r\n2\r\n"), Ok(vec![pair("a", "A")]));
    assert_eq!(violations("1", "a\r\nA\r\n"), Ok(vec![]));
}

#[test]
fn unindented_violations_have_an_end() {
    // The fifth line of one violation, the first of none.
    let five = "a\r\nA\r\n7\r\n2\r\nb\r\n";
    assert_eq!(violations("1", five), Err("MissingColon at 66".into()));
    assert_eq!(violations("0", "a\r\n"), Err("MissingColon at 54".into()));
    for count in ["", "-1", "1 x", "x", "18446744073709551616"] {
        let at = 53 + count.len();
        assert_eq!(violations(count, "a\r\n"), Err(format!("MissingColon at {at}")), "{count:?}");
    }
    // A line with a colon is a field, and ends them.
    assert_eq!(violations("1", "a\r\nA: b\r\n7\r\n"), Err("MissingColon at 63".into()));
    assert_eq!(violations("1", "c:\\a b\r\n"), Ok(vec![]));
    // With one number behind it, or three lines, it is none of a violation.
    assert_eq!(violations("1", "a\r\nb\r\nA: c\r\n7\r\n2\r\n"), Err("MissingColon at 66".into()));
    assert_eq!(violations("1", "A: b\r\nC\r\nd\r\n7\r\n2\r\n"), Err("MissingColon at 60".into()));
    // Nor with the numbers in the body, behind the head.
    for status in ["200 OK", "403 Forbidden"] {
        let bytes = format!(
            "ICAP/1.0 {status}\r\nISTag: \"t\"\r\nX-Violations-Found: 2\r\na\r\nA\r\n7\r\n2\r\n\
             Encapsulated: res-body=0\r\n\r\n5\r\n12345\r\n0\r\n\r\n"
        );
        let events = ask(Ask::respmod(), with(&["unindented_violations"]), &bytes);
        let response = format!("response {status} [res-body=0]");
        assert_eq!(events, [&response, "data 12345", "end"]);
    }
    // A bare carriage return behind a field is no other fault when the numbers stand behind it.
    let bytes = format!(
        "{ANSWER}Encapsulated: null-body=0\r\nX-Violations-Found: 1\r\nEncapsulated: null-body=0\r\n\
         a\rb\r\n5\r\n6\r\n\r\n"
    );
    refused(&ask(Ask::respmod(), with(&["unindented_violations"]), bytes), "DuplicateField at 80");
    // They are one field line, and held to its limit.
    let long = format!("{}\r\n", "a".repeat(4095)).repeat(4);
    assert_eq!(violations("1", &long), Err("FieldLineTooLong at 30".into()));
    // Behind no other field.
    let bytes = format!("{ANSWER}X-Violations: 1\r\na\r\n{LIST}{HEAD}{BODY}");
    refused(&ask(Ask::respmod(), with(&["unindented_violations"]), bytes), "MissingColon at 48");
    // Not in requests, nor in encapsulated heads and trailers.
    let bytes = format!("{REQUEST}X-Violations-Found: 1\r\na\r\n{LIST}{HEAD}{BODY}");
    refused(&serve(with(&["unindented_violations"]), bytes), "MissingColon at 62");
    let section = "HTTP/1.1 200 OK\r\nX-Violations-Found: 1\r\na\r\n\r\n";
    let bytes = format!("{ANSWER}Encapsulated: res-hdr=0, null-body=45\r\n\r\n{section}");
    refused(&ask(Ask::respmod(), with(&["unindented_violations"]), bytes), "MissingColon at 112");
}

/// A head that is cut off at its limit is too long, whatever its last line looks like so far.
#[test]
fn unindented_violations_and_the_limit_of_heads() {
    let mut limits = Limits::default();
    limits.head_bytes = 60;
    let bytes = format!("{ANSWER}X-Violations-Found: 1\r\na b c d e f g h i j k\r\n{LIST}");
    let leniency = with(&["unindented_violations"]);
    let fresh = || Ask { leniency, limits, ..Ask::respmod() }.sent_whole("hello");
    refused(&outcome_every_way(fresh, bytes.as_bytes()), "HeadTooLong at 60");
}

const EMPTY: &str = "Encapsulated: res-hdr=0, null-body=0\r\n\r\n";

/// It is a 204 in every way: a request that allows none does not get one.
#[test]
fn empty_section_has_the_permissions_of_a_204() {
    let leniency = with(&["empty_section_as_no_content"]);
    let events = ["response 204 OK [null-body=0]", "end"];
    for entity in ["req-hdr", "res-hdr"] {
        let bytes = format!("{ANSWER}{}", EMPTY.replace("res-hdr", entity));
        for one in [
            Ask::respmod().allow_204(),
            Ask::reqmod().allow_204(),
            Ask::respmod().preview(9),
            Ask::reqmod().preview(9),
        ] {
            assert_eq!(ask(one.clone(), leniency, &bytes), events, "{one:?}");
            let mut client = Ask { leniency, ..one }.sent_whole("hello");
            client.recv(&bytes);
            assert_eq!(client.reusable(), Ok(()));
        }
        for one in [Ask::respmod(), Ask::reqmod(), Ask::respmod().no_body(), Ask::options()] {
            refused(&ask(one, leniency, &bytes), "UnsolicitedNoContent");
        }
    }
    // 100 Continue ends the exception for previews, as for a 204.
    for (allowed, expected) in [(true, "end"), (false, "! UnsolicitedNoContent")] {
        let one = Ask { leniency, ..Ask::respmod().preview(4) };
        let one = if allowed { one.allow_204() } else { one };
        let fresh = || {
            let mut client = one.clone().start();
            client.send("hello");
            client.recv(support::client::CONTINUE);
            client
        };
        let bytes = format!("{ANSWER}{EMPTY}");
        assert_eq!(outcome_every_way(fresh, bytes.as_bytes()).last().unwrap(), expected);
    }
}

#[test]
fn empty_section_means_nothing_elsewhere() {
    let leniency = with(&["empty_section_as_no_content", "created_as_ok"]);
    for status in ["201", "204", "206", "302", "403", "500"] {
        let bytes = format!("{ANSWER}{EMPTY}").replace("200", status);
        let one = Ask::respmod().preview(9).allow_204().allow_206();
        refused(&ask(one, leniency, bytes), "EntityOffset at 54");
    }
    for (list, fault) in [
        ("res-hdr=0, res-body=0", "EntityOffset at 54"),
        ("res-hdr=1, null-body=1", "EntityOffset at 44"),
        ("req-hdr=0, res-hdr=0, null-body=0", "EntityOffset at 54"),
        ("req-hdr=0, res-hdr=9, null-body=9", "EntityOffset at 65"),
        ("null-body=0, res-hdr=0", "EntityOrder at 56"),
    ] {
        let bytes = format!("{ANSWER}Encapsulated: {list}\r\n\r\n");
        refused(&ask(Ask::respmod().allow_204(), leniency, bytes), fault);
    }
    refused(&serve(leniency, format!("{REQUEST}{EMPTY}")), "EntityOffset at 62");
    // What is behind it is behind the answer.
    let mut client = Ask { leniency, ..Ask::respmod().allow_204() }.sent_whole("hello");
    client.recv(format!("{ANSWER}{EMPTY}{HEAD}"));
    assert_eq!(client.reusable(), Err(CloseReason::Surplus));
}

/// A block page of a product that miscounts must not be taken for leave to pass: where both switches are on, the
/// head is waited for.
#[test]
fn empty_section_yields_to_blank_line_framing() {
    for leniency in [with(&["empty_section_as_no_content", "blank_line_framing"]), all_on()] {
        let one = Ask::respmod().allow_204();
        let events = ask(one.clone(), leniency, format!("{ANSWER}{EMPTY}{HEAD}"));
        assert_eq!(events, ["response 200 OK [res-hdr=0, null-body=19] (HTTP/1.1 200 OK)", "end"]);
        assert_eq!(ask(one, leniency, format!("{ANSWER}{EMPTY}")), [""; 0]);
    }
}

/// Heads that are read where they lie, and values alone, know nothing of what would have to be rewritten or is said
/// by another part of the message.
#[test]
fn opt_ins_of_whole_messages_do_nothing_for_parts() {
    let limits = Limits::default();
    let leniency = all_on();
    let head = OPTIONS.replace("\r\n", "\n");
    let error = wire::head::Request::parse(head.as_bytes(), &limits, &leniency).unwrap_err();
    assert_eq!((error.kind, error.offset), (Kind::BareLf, 27));
    let leniency = with(&["empty_section_as_no_content"]);
    let error = Encapsulated::parse(b"res-hdr=0, null-body=0", &limits, &leniency).unwrap_err();
    assert_eq!((error.kind, error.offset), (Kind::EntityOffset, 10));
}

/// A switch that is off does nothing through another that is on.
#[test]
fn opt_ins_do_not_switch_each_other_on() {
    let messages = [
        ("bare_lf_in_head", format!("{ANSWER}{LIST}").replace("\r\n", "\n") + HEAD + BODY),
        ("blank_line_framing", format!("{ANSWER}{LIST}{HEAD}{BODY}").replace("=19", "=18")),
        (
            "unordered_entities",
            format!("{ANSWER}Encapsulated: res-body=19, res-hdr=0\r\n\r\n{HEAD}{BODY}"),
        ),
        (
            "unindented_violations",
            format!("{ANSWER}X-Violations-Found: 1\r\na\r\n{LIST}{HEAD}{BODY}"),
        ),
    ];
    for (switch, bytes) in &messages {
        assert_eq!(ask(Ask::respmod(), all_on(), bytes), ANSWER_EVENTS, "{switch}");
        let events = ask(Ask::respmod(), off(all_on(), switch), bytes);
        assert!(events.last().unwrap().starts_with("! "), "{switch}: {events:?}");
    }
    // And a good message is read alike with all of them.
    let good = ask(Ask::respmod().allow_204(), Leniency::strict(), NO_CONTENT);
    assert_eq!(ask(Ask::respmod().allow_204(), all_on(), NO_CONTENT), good);
}
