//! Every switch of [`Leniency`] in both positions, and what no switch makes good.
//!
//! Each message is read whole, byte by byte and cut at every place.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use icap_proto::{Leniency, Limits, Misuse, StatusCode};
use support::client::Ask;
use support::leniency::{SWITCHES, all_on, debugged, off, on, setter};
use support::server::{OPTIONS, OPTIONS_EVENTS, Server, misuse};
use support::{Core, every_cut, outcome, outcome_every_way};

/// Who reads the bytes of a case.
#[derive(Debug, Clone)]
enum Reader {
    Server,
    /// A client that has sent "hello" as this request.
    Client(Ask),
}

impl Reader {
    fn read(&self, leniency: Leniency, bytes: &str) -> Vec<String> {
        match self {
            Self::Server => {
                outcome_every_way(|| Server::with(Limits::default(), leniency), bytes.as_bytes())
            }
            Self::Client(ask) => outcome_every_way(
                || Ask { leniency, ..ask.clone() }.sent_whole("hello"),
                bytes.as_bytes(),
            ),
        }
    }

    /// The names of the switches without which these bytes would be refused, whole and under every cut.
    fn needs(&self, leniency: Leniency, bytes: &str) -> Vec<&'static str> {
        fn names(core: &mut impl Core, bytes: &str, cuts: &[usize]) -> Vec<&'static str> {
            outcome(core, bytes.as_bytes(), cuts);
            core.take_used_leniency().names().collect()
        }
        let needed = |cuts: &[usize]| match self {
            Self::Server => names(&mut Server::with(Limits::default(), leniency), bytes, cuts),
            Self::Client(ask) => {
                names(&mut Ask { leniency, ..ask.clone() }.sent_whole("hello"), bytes, cuts)
            }
        };
        let whole = needed(&[]);
        for cuts in every_cut(bytes.len()) {
            assert_eq!(needed(&cuts), whole, "{bytes:?} cut at {cuts:?}");
        }
        whole
    }
}

struct Case {
    switch: &'static str,
    reader: Reader,
    bytes: String,
    on: Vec<&'static str>,
    off: Vec<&'static str>,
}

fn server(
    switch: &'static str,
    bytes: impl Into<String>,
    on: &[&'static str],
    off: &[&'static str],
) -> Case {
    Case { switch, reader: Reader::Server, bytes: bytes.into(), on: on.into(), off: off.into() }
}

fn client(
    switch: &'static str,
    ask: Ask,
    bytes: impl Into<String>,
    on: &[&'static str],
    off: &[&'static str],
) -> Case {
    let reader = Reader::Client(ask);
    Case { switch, reader, bytes: bytes.into(), on: on.into(), off: off.into() }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
const BODY: &str = "3\r\nnew\r\n0\r\n\r\n";
const REQUEST: &str = "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n";
const LIST: &str = "Encapsulated: res-hdr=0, res-body=19\r\n\r\n";
const ANSWER: &str = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\n";
const REQUEST_EVENTS: [&str; 3] =
    ["request RESPMOD icap://s/v [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "data new", "end"];
const ANSWER_EVENTS: [&str; 3] =
    ["response 200 OK [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "data new", "end"];

/// A tag of so many octets.
fn tagged(octets: usize) -> String {
    format!("ICAP/1.0 204 No Content\r\nISTag: \"{}\"\r\n\r\n", "t".repeat(octets))
}

const NO_CONTENT_EVENTS: [&str; 2] = ["response 204 No Content", "end"];

fn default_cases() -> Vec<Case> {
    let allowing = || Ask::respmod().allow_204();
    vec![
        server(
            "spaces_in_start_line",
            "OPTIONS   icap://s/v  ICAP/1.0\r\nHost: s\r\n\r\n",
            &OPTIONS_EVENTS,
            &["! StartLine at 8"],
        ),
        client(
            "spaces_in_start_line",
            allowing(),
            "ICAP/1.0  204 No Content\r\nISTag: \"t1\"\r\n\r\n",
            &NO_CONTENT_EVENTS,
            &["! Status at 9"],
        ),
        client(
            "missing_reason",
            allowing(),
            "ICAP/1.0 204\r\nISTag: \"t1\"\r\n\r\n",
            &["response 204 ", "end"],
            &["! Status at 12"],
        ),
        server(
            "entity_case",
            format!("{REQUEST}Encapsulated: Res-Hdr=0, RES-BODY=19\r\n\r\n{HEAD}{BODY}"),
            &REQUEST_EVENTS,
            &["! UnknownEntity at 52"],
        ),
        client(
            "options_without_encapsulated",
            Ask::options(),
            format!("{ANSWER}Methods: RESPMOD\r\n\r\n"),
            &["response 200 OK", "end"],
            &["! MissingEncapsulated at 50"],
        ),
        client(
            "missing_istag",
            allowing(),
            "ICAP/1.0 204 No Content\r\n\r\n",
            &NO_CONTENT_EVENTS,
            &["! MissingIsTag at 27"],
        ),
        client(
            "loose_istag",
            allowing(),
            "ICAP/1.0 204 No Content\r\nISTag: t1\r\n\r\n",
            &NO_CONTENT_EVENTS,
            &["! IsTag at 25"],
        ),
        client("loose_istag", allowing(), tagged(33), &NO_CONTENT_EVENTS, &["! IsTag at 25"]),
        client("loose_istag", allowing(), tagged(256), &NO_CONTENT_EVENTS, &["! IsTag at 25"]),
        // The switch has a limit of its own.
        client("loose_istag", allowing(), tagged(257), &["! IsTag at 25"], &["! IsTag at 25"]),
        server(
            "malformed_host",
            "OPTIONS icap://s/v ICAP/1.0\r\nHost: s p a\r\n\r\n",
            &OPTIONS_EVENTS,
            &["! Host at 29"],
        ),
        server(
            "malformed_host",
            "OPTIONS icap://s/v ICAP/1.0\r\nHost: s:port\r\n\r\n",
            &OPTIONS_EVENTS,
            &["! Host at 29"],
        ),
        server(
            "repeated_fields",
            "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\nHost: s\r\n\r\n",
            &OPTIONS_EVENTS,
            &["! DuplicateField at 38"],
        ),
        client(
            "repeated_fields",
            allowing(),
            "ICAP/1.0 204 No Content\r\nISTag: \"t1\"\r\nISTag: \"t1\"\r\n\r\n",
            &NO_CONTENT_EVENTS,
            &["! DuplicateField at 38"],
        ),
        server(
            "missing_host",
            "OPTIONS icap://s/v ICAP/1.0\r\n\r\n",
            &OPTIONS_EVENTS,
            &["! MissingHost at 31"],
        ),
        server(
            "http_framing_fields",
            format!("{REQUEST}Content-Length: 1\r\nTransfer-Encoding: x\r\n{LIST}{HEAD}{BODY}"),
            &REQUEST_EVENTS,
            &["! ForbiddenField at 38"],
        ),
        client(
            "http_framing_fields",
            Ask::respmod(),
            format!("{ANSWER}Transfer-Encoding: chunked\r\n{LIST}{HEAD}{BODY}"),
            &ANSWER_EVENTS,
            &["! ForbiddenField at 30"],
        ),
        server(
            "folded_values",
            format!("{REQUEST}A: b\r\n c\r\n{LIST}{HEAD}{BODY}"),
            &REQUEST_EVENTS,
            &["! Fold at 44"],
        ),
        server(
            "leading_empty_line",
            format!("\r\n{OPTIONS}"),
            &OPTIONS_EVENTS,
            &["! NotIcap at 0"],
        ),
        server(
            "unannounced_trailer",
            format!("{REQUEST}Trailer: X\r\n{LIST}{HEAD}{BODY}"),
            &REQUEST_EVENTS,
            &["! UnannouncedTrailer at 90"],
        ),
        client(
            "unannounced_trailer",
            Ask::respmod(),
            format!("{ANSWER}Trailer: X\r\n{LIST}{HEAD}{BODY}"),
            &ANSWER_EVENTS,
            &["! UnannouncedTrailer at 101"],
        ),
        client(
            "untimely_continue",
            Ask::respmod(),
            format!("ICAP/1.0 100 Continue\r\n\r\n{ANSWER}{LIST}{HEAD}{BODY}"),
            &ANSWER_EVENTS,
            &["! UntimelyContinue"],
        ),
        client(
            "created_as_ok",
            Ask::respmod(),
            format!("ICAP/1.0 201 Created\r\nISTag: \"t1\"\r\n{LIST}{HEAD}{BODY}"),
            &["response 201 Created [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "data new", "end"],
            &["! EntityList at 94"],
        ),
        server(
            "stray_ieof",
            format!("{REQUEST}{LIST}{HEAD}3\r\nnew\r\n0; ieof\r\n\r\n"),
            &REQUEST_EVENTS,
            &[REQUEST_EVENTS[0], "data new", "! MisplacedIeof at 116"],
        ),
        client(
            "stray_ieof",
            Ask::respmod(),
            format!("{ANSWER}{LIST}{HEAD}3\r\nnew\r\n0; use-original-body=1\r\n\r\n"),
            &ANSWER_EVENTS,
            &[ANSWER_EVENTS[0], "data new", "! MisplacedOriginalBody"],
        ),
        server(
            "ieof_with_value",
            format!("{REQUEST}Preview: 9\r\n{LIST}{HEAD}3\r\nnew\r\n0; ieof=\"x\"\r\n\r\n"),
            &[
                "request RESPMOD icap://s/v [res-hdr=0, res-body=19] preview=9 (HTTP/1.1 200 OK)",
                "data new",
                "preview-end ieof",
                "end",
            ],
            &[
                "request RESPMOD icap://s/v [res-hdr=0, res-body=19] preview=9 (HTTP/1.1 200 OK)",
                "data new",
                "! MisplacedIeof at 120",
            ],
        ),
        client(
            "unsolicited_no_content",
            Ask::respmod().no_body(),
            "ICAP/1.0 204 No Content\r\nISTag: \"t1\"\r\n\r\n",
            &NO_CONTENT_EVENTS,
            &["! UnsolicitedNoContent"],
        ),
    ]
}

/// One message each; `leniency_opt_in.rs` has the rest.
fn opt_in_cases() -> Vec<Case> {
    vec![
        server(
            "bare_lf_in_head",
            "OPTIONS icap://s/v ICAP/1.0\nHost: s\n\n",
            &OPTIONS_EVENTS,
            &["! BareLf at 27"],
        ),
        client(
            "bare_lf_in_head",
            Ask::respmod(),
            format!("{}{HEAD}{BODY}", format!("{ANSWER}{LIST}").replace("\r\n", "\n")),
            &ANSWER_EVENTS,
            &["! BareLf at 15"],
        ),
        client(
            "blank_line_framing",
            Ask::respmod(),
            format!("{ANSWER}Encapsulated: res-hdr=0, res-body=18\r\n\r\n{HEAD}{BODY}"),
            &ANSWER_EVENTS,
            &["! SectionEnd at 88"],
        ),
        client(
            "unordered_entities",
            Ask::respmod(),
            format!("{ANSWER}Encapsulated: res-body=19, res-hdr=0\r\n\r\n{HEAD}{BODY}"),
            &ANSWER_EVENTS,
            &["! EntityOffset at 44"],
        ),
        server(
            "unterminated_sections",
            format!("{REQUEST}Encapsulated: res-hdr=0, null-body=15\r\n\r\nHTTP/1.1 200 OK"),
            &["request RESPMOD icap://s/v [res-hdr=0, null-body=19] (HTTP/1.1 200 OK)", "end"],
            &["! SectionEnd at 94"],
        ),
        client(
            "unindented_violations",
            Ask::respmod(),
            format!(
                "{ANSWER}X-Violations-Found: 1\r\na.exe\r\nEicar\r\n7\r\n2\r\n{LIST}{HEAD}{BODY}"
            ),
            &ANSWER_EVENTS,
            &["! MissingColon at 58"],
        ),
        client(
            "empty_section_as_no_content",
            Ask::respmod().allow_204(),
            format!("{ANSWER}Encapsulated: res-hdr=0, null-body=0\r\n\r\n"),
            &["response 204 OK [null-body=0]", "end"],
            &["! EntityOffset at 54"],
        ),
    ]
}

/// Each switch alone makes the difference, and what others are on does not matter.
#[test]
fn each_switch_in_both_positions() {
    for case in default_cases().into_iter().chain(opt_in_cases()) {
        let Case { switch, reader, bytes, .. } = &case;
        let everything = match *switch {
            // The one pair that excludes each other.
            "empty_section_as_no_content" => off(all_on(), "blank_line_framing"),
            _ => all_on(),
        };
        for base in [Leniency::strict(), everything] {
            assert_eq!(reader.read(on(base, &[switch]), bytes), case.on, "{switch} on");
        }
        for base in [Leniency::strict(), Leniency::default()] {
            assert_eq!(reader.read(off(base, switch), bytes), case.off, "{switch} off");
        }
    }
}

/// The connection tells which switch was needed, and none that made no difference.
#[test]
fn what_was_needed_is_told() {
    for case in default_cases().into_iter().chain(opt_in_cases()) {
        let Case { switch, reader, bytes, .. } = &case;
        let needed = if case.on == case.off { vec![] } else { vec![*switch] };
        for leniency in [on(Leniency::strict(), &[switch]), on(Leniency::default(), &[switch])] {
            assert_eq!(reader.needs(leniency, bytes), needed, "{switch} on");
        }
        assert_eq!(reader.needs(off(Leniency::default(), switch), bytes), [""; 0], "{switch} off");
    }
}

/// What was needed is told once, and belongs to what was read before it was asked.
#[test]
fn what_was_needed_is_told_once() {
    let mut server = Server::new();
    assert_eq!(server.take_used_leniency(), Leniency::strict());
    server.recv(format!("\r\n{OPTIONS}"));
    assert_eq!(server.take_used_leniency(), on(Leniency::strict(), &["leading_empty_line"]));
    assert_eq!(server.take_used_leniency(), Leniency::strict());
}

/// A switch that is added has to be added to the cases.
#[test]
fn no_switch_is_without_a_case() {
    let strict = debugged(&Leniency::strict());
    let names: Vec<&str> = strict.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, SWITCHES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(strict.iter().all(|(_, on)| !on), "strict takes nothing");
    let switches = |cases: Vec<Case>| {
        let mut names: Vec<&str> = cases.iter().map(|case| case.switch).collect();
        names.dedup();
        names
    };
    for (name, on) in debugged(&Leniency::default()) {
        let (by_default, opt_in) = (switches(default_cases()), switches(opt_in_cases()));
        assert_eq!(by_default.contains(&name.as_str()), on, "{name}");
        assert_eq!(opt_in.contains(&name.as_str()), !on, "{name}");
        // The setter of the tests sets that switch and no other.
        let mut leniency = Leniency::strict();
        setter(&name)(&mut leniency, true);
        let set: Vec<_> = debugged(&leniency).into_iter().filter(|(_, on)| *on).collect();
        assert_eq!(set, [(name, true)]);
    }
}

/// What each row of the matrix refuses under every switch, with the rows that say so.
#[test]
fn never_in_requests() {
    let with = |fields: &str, rest: &str| format!("{REQUEST}{fields}{LIST}{HEAD}{rest}");
    let body = |rest: &str| with("", rest);
    let section = |list: &str, rest: &str| format!("{REQUEST}Encapsulated: {list}\r\n\r\n{rest}");
    let rows = [
        ("L-04", "OPTIONS icap://s/v ICAP/1.0\rHost: s\r\n\r\n".into(), "BareCr at 28"),
        ("L-04", with("A: b\rC: d\r\n", BODY), "BareCr at 43"),
        ("L-04", with("A: b\r\r\n", BODY), "BareCr at 43"),
        ("L-04", section("res-hdr=0, res-body=19", "HTTP/1.1 200 OK\r\r\r\n"), "BareCr at 94"),
        ("L-04", body("3\rnew\r\n0\r\n\r\n"), "ChunkExtension at 98"),
        ("L-05", body("3\nnew\r\n0\r\n\r\n"), "BareLf at 98"),
        ("L-05", body("3;a\nnew\r\n0\r\n\r\n"), "BareLf at 100"),
        ("L-05", body("0\n\r\n"), "BareLf at 98"),
        ("L-05", body("0\r\n\n"), "BareLf at 100"),
        ("L-07", body("0x3\r\nnew\r\n0\r\n\r\n"), "ChunkSize at 98"),
        ("L-07", body("+3\r\nnew\r\n0\r\n\r\n"), "ChunkSize at 97"),
        ("L-07", body("-3\r\nnew\r\n0\r\n\r\n"), "ChunkSize at 97"),
        ("L-07", body(" 3\r\nnew\r\n0\r\n\r\n"), "ChunkSize at 97"),
        ("L-08", body("00000000000000003\r\nnew\r\n0\r\n\r\n"), "ChunkSizeOverflow at 113"),
        ("L-08", body("8000000000000000\r\n"), "ChunkSizeOverflow at 97"),
        ("L-09", with("Encapsulated: res-hdr=0, res-body=19\r\n", BODY), "DuplicateField at 76"),
        ("L-10", section("res-hdr=0, res-body=18", &format!("{HEAD}{BODY}")), "SectionEnd at 96"),
        ("L-10", section("res-hdr=0, res-body=20", &format!("{HEAD}{BODY}")), "SectionEnd at 97"),
        ("L-10", section("res-hdr=0, res-body=15", &format!("{HEAD}{BODY}")), "SectionEnd at 93"),
        ("L-10", section("res-hdr=0, null-body=0", HEAD), "EntityOffset at 62"),
        ("L-10", section("res-hdr=0, null-body=20", &format!("{HEAD}X")), "SectionEnd at 98"),
        ("L-12", section("res-hdr=0 res-body=19", HEAD), "Encapsulated at 52"),
        ("L-13", section("res-body=19, res-hdr=0", HEAD), "EntityOffset at 52"),
        ("L-21", with("Host: other\r\n", BODY), "DuplicateField at 38"),
        ("L-27", with("A : b\r\n", BODY), "SpaceBeforeColon at 39"),
        ("L-27", with("Encapsulated : null-body=0\r\n", BODY), "SpaceBeforeColon at 50"),
        ("L-32", "OPTIONS icap://s/v icap/1.0\r\nHost: s\r\n\r\n".into(), "Version at 19"),
        (
            "L-32",
            section("res-hdr=0, null-body=19", HEAD).replace("RESP", "resp"),
            "EntityList at 79",
        ),
        ("L-44", "OPTIONS /v ICAP/1.0\r\nHost: s\r\n\r\n".into(), "Uri at 8"),
        ("L-44", "OPTIONS * ICAP/1.0\r\nHost: s\r\n\r\n".into(), "Uri at 8"),
        ("L-47", with("A: b\0c\r\n", BODY), "FieldValue at 42"),
        ("L-47", section("res-hdr=0, res-body=19", "HTTP/1.1 200 O\0\r\n\r\n"), "Reason at 92"),
    ];
    for (row, bytes, expected) in &rows {
        never(&Reader::Server, row, bytes, expected);
    }
}

#[test]
fn never_in_answers() {
    let section = |list: &str, rest: &str| format!("{ANSWER}Encapsulated: {list}\r\n\r\n{rest}");
    let respmod = Reader::Client(Ask::respmod().preview(9).allow_204());
    for (row, bytes, expected) in [
        ("L-04", "ICAP/1.0 204 No\rContent\r\n\r\n".into(), "BareCr at 16"),
        ("L-05", format!("{ANSWER}{LIST}{HEAD}3\nnew\r\n0\r\n\r\n"), "BareLf at 90"),
        ("L-05", format!("{ANSWER}{LIST}{HEAD}0\r\nA: b\n\r\n"), "BareLf at 96"),
        ("L-07", format!("{ANSWER}{LIST}{HEAD}0x3\r\nnew\r\n0\r\n\r\n"), "ChunkSize at 90"),
        (
            "L-09",
            section("null-body=0\r\nEncapsulated: res-hdr=0, res-body=19", HEAD),
            "DuplicateField at 57",
        ),
        ("L-12", section("res-hdr=0 res-body=19", HEAD), "Encapsulated at 44"),
        (
            "L-17",
            "ICAP/1.0 204 No Content\r\nEncapsulated: res-body=0\r\n\r\n".into(),
            "UnexpectedBody",
        ),
        (
            "L-17",
            section("res-hdr=0, null-body=19", HEAD).replace("200", "204"),
            "EntityList at 90",
        ),
        (
            "L-27",
            "ICAP/1.0 204 No Content\r\nISTag : \"t1\"\r\n\r\n".into(),
            "SpaceBeforeColon at 30",
        ),
        ("L-32", "icap/1.0 204 No Content\r\n\r\n".into(), "NotIcap at 0"),
        ("L-33", "HTTP/1.1 200 OK\r\n\r\n".into(), "NotIcap at 0"),
        (
            "L-45",
            section("res-hdr=0, res-body=19", HEAD).replace("200", "206"),
            "UnsolicitedPartialContent",
        ),
        ("L-47", "ICAP/1.0 204 No Content\r\nA: \0\r\n\r\n".into(), "FieldValue at 28"),
        ("L-48", section("req-hdr=0, null-body=18", "GET / HTTP/1.1\r\n\r\n"), "EntityList at 89"),
    ] {
        never(&respmod, row, &bytes, expected);
    }
}

/// The last event is this fault, whatever is switched on.
fn never(reader: &Reader, row: &str, bytes: &str, expected: &str) {
    for leniency in
        [Leniency::strict(), Leniency::default(), all_on(), off(all_on(), "blank_line_framing")]
    {
        let events = reader.read(leniency, bytes);
        let last = events.last().map(String::as_str).unwrap_or_default();
        assert_eq!(last, format!("! {expected}"), "{row}: {bytes:?} under {leniency:?}");
    }
}

/// L-46: the end of the connection is no last chunk.
#[test]
fn never_the_end_of_the_connection_for_a_last_chunk() {
    let body = &BODY[..BODY.len() - 1];
    for leniency in [Leniency::strict(), Leniency::default(), all_on()] {
        for end in 0..=body.len() {
            let mut client = Ask { leniency, ..Ask::respmod() }.sent_whole("hello");
            client.recv(format!("{ANSWER}{LIST}{HEAD}{}", &body[..end]));
            assert_eq!(support::fault(&client.recv_eof().unwrap()), "! Closed(InBody)");
            let mut server = Server::with(Limits::default(), leniency);
            server.recv(format!("{REQUEST}{LIST}{HEAD}{}", &body[..end]));
            assert_eq!(support::fault(&server.recv_eof().unwrap()), "! Closed(InBody)");
        }
    }
}

/// L-38: `Allow` is a list of whole members.
#[test]
fn never_a_part_of_an_allow_member() {
    for leniency in [Leniency::strict(), Leniency::default(), all_on()] {
        for member in ["12046", "2044", "x204", "204=1", "\"204\""] {
            let mut server = Server::with(Limits::default(), leniency);
            server.recv(format!("{REQUEST}Allow: {member}\r\n{LIST}{HEAD}{BODY}"));
            let refused = misuse(server.respond(StatusCode::NO_CONTENT));
            assert_eq!(refused, Misuse::NoContentNotAllowed, "{member}");
        }
    }
}

/// L-06, L-16, L-35, L-37, L-39, L-41: deviations in name only, taken by strict too.
#[test]
fn always() {
    let section = format!("{LIST}{HEAD}");
    let server = [
        format!("{REQUEST}Allow: trailers\r\n{section}{BODY}"),
        format!("{REQUEST}{section}3 \r\nnew\r\n0 ; a = b ; c\r\n\r\n"),
        format!("{REQUEST}Date: Thu Oct 13 03:07:36 2016 GMT\r\n{section}{BODY}"),
    ];
    for leniency in [Leniency::strict(), Leniency::default(), all_on()] {
        for bytes in &server {
            let events = Reader::Server.read(leniency, bytes);
            assert_eq!(events[1..], REQUEST_EVENTS[1..], "{bytes:?}");
        }
        let ieof = format!("{REQUEST}Preview: 9\r\n{section}3\r\nnew\r\n0;ieof\r\n\r\n");
        let events = Reader::Server.read(leniency, &ieof);
        assert_eq!(events[1..], ["data new", "preview-end ieof", "end"]);
        let no_content =
            "ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\nEncapsulated: null-body=0\r\n\r\n";
        let allowing = Reader::Client(Ask::respmod().allow_204());
        let events = allowing.read(leniency, no_content);
        assert_eq!(events, ["response 204 No Content [null-body=0]", "end"]);
        let options = format!(
            "{ANSWER}Methods: OPTIONS, RESPMOD\r\nDate: x\r\nEncapsulated: null-body=0\r\n\r\n"
        );
        let events = Reader::Client(Ask::options()).read(leniency, &options);
        assert_eq!(events, ["response 200 OK [null-body=0]", "end"]);
    }
}

/// L-19: errors and 100 Continue need no tag, strict or not; L-40 and L-29: what follows an answer ends the
/// connection, be it an empty line.
#[test]
fn tags_and_surplus_of_answers() {
    for leniency in [Leniency::strict(), Leniency::default(), all_on()] {
        let mut client = Ask { leniency, ..Ask::respmod().preview(4) }.start();
        client.send("hello");
        assert_eq!(client.recv(support::client::CONTINUE), ["continue"]);
        let mut client = Ask { leniency, ..Ask::respmod() }.sent_whole("hello");
        assert_eq!(
            client.recv("ICAP/1.0 403 Forbidden\r\n\r\n"),
            ["response 403 Forbidden", "end"]
        );
        assert_eq!(client.reusable(), Ok(()));
        for surplus in ["\r\n", "\n", "X", support::client::NO_CONTENT] {
            let ask = Ask { leniency, ..Ask::respmod().allow_204() };
            for cuts in every_cut(support::client::NO_CONTENT.len()) {
                let mut client = ask.clone().sent_whole("hello");
                let events = outcome(&mut client, support::client::NO_CONTENT.as_bytes(), &cuts);
                assert_eq!(events, NO_CONTENT_EVENTS);
                assert_eq!(client.reusable(), Ok(()));
                assert_eq!(client.recv(surplus), Vec::<String>::new());
                assert_eq!(client.reusable(), Err(icap_proto::CloseReason::Surplus));
            }
        }
    }
}
