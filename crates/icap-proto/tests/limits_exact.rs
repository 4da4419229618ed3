//! Each of [`Limits`] where it holds: what is as long as the limit is taken, one more is refused with its own error.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;

use icap_proto::{CloseReason, Leniency, Limits, StatusCode};
use support::client::Ask;
use support::leniency::all_on;
use support::outcome_every_way;
use support::server::{OPTIONS, OPTIONS_EVENTS, Server, preview, respmod};

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A place where a limit holds.
struct Place {
    limit: &'static str,
    what: &'static str,
    /// The limit in the test. The messages keep everything else within it.
    at: usize,
    /// Who reads: a client whose request was this, or a server.
    ask: Option<Ask>,
    /// A message with so much of what is limited.
    message: fn(usize) -> String,
    fault: &'static str,
}

fn set(limits: &mut Limits, name: &str, value: usize) {
    match name {
        "start_line" => limits.start_line = value,
        "head_bytes" => limits.head_bytes = value,
        "fields" => limits.fields = value,
        "field_line" => limits.field_line = value,
        "encapsulated_bytes" => limits.encapsulated_bytes = value,
        "chunk_line" => limits.chunk_line = value,
        "extension_bytes" => limits.extension_bytes = value,
        "trailer_bytes" => limits.trailer_bytes = value,
        "preview" => limits.preview = value as u64,
        "drain" => limits.drain = value as u64,
        "empty_list_members" => limits.empty_list_members = value,
        _ => panic!("no limit {name}"),
    }
}

/// The names of the limits, as `Debug` tells them.
fn names() -> Vec<String> {
    let text = format!("{:?}", Limits::default());
    let fields = text.trim_start_matches("Limits {").trim_end_matches('}');
    fields.split(',').map(|pair| pair.trim().split_once(':').unwrap().0.to_owned()).collect()
}

fn answer(fields: &str, rest: &str) -> String {
    format!("ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\n{fields}\r\n{rest}")
}

/// An answer with this head in it and no body.
fn page(head: &str) -> String {
    answer(&format!("Encapsulated: res-hdr=0, null-body={}\r\n", head.len()), head)
}

/// A RESPMOD request with these heads in it and no body.
fn heads(request: &str, response: &str) -> String {
    let (first, all) = (request.len(), request.len() + response.len());
    format!(
        "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n\
         Encapsulated: req-hdr=0, res-hdr={first}, null-body={all}\r\n\r\n{request}{response}"
    )
}

/// An answer with a body.
fn body(rest: &str) -> String {
    answer("Encapsulated: res-hdr=0, res-body=19\r\n", &format!("{HEAD}{rest}"))
}

const TRAILER: &str = "Allow: trailers\r\nTrailer: X\r\n";
const BARE_GET: &str = "GET / HTTP/1.1\r\n\r\n";

/// A line of so many bytes with its CRLF.
fn line(start: &str, n: usize) -> String {
    format!("{start}{}\r\n", "x".repeat(n - start.len() - 2))
}

/// So many field lines.
fn lines(n: usize) -> String {
    "A: b\r\n".repeat(n)
}

/// Field lines and their empty line, so many bytes together.
fn section(n: usize) -> String {
    line("A: ", n - 2) + "\r\n"
}

fn places() -> Vec<Place> {
    let ask = || Some(Ask { leniency: Leniency::strict(), ..Ask::respmod() });
    let place =
        |limit, what, at, ask, message, fault| Place { limit, what, at, ask, message, fault };
    vec![
        place(
            "start_line",
            "request line",
            60,
            None,
            |n| {
                let uri = "s".repeat(n - 28);
                format!("OPTIONS icap://h/{uri} ICAP/1.0\r\nHost: h\r\n\r\n")
            },
            "StartLineTooLong",
        ),
        place(
            "start_line",
            "status line",
            60,
            Some(Ask::respmod().allow_204()),
            |n| line("ICAP/1.0 204 ", n) + "ISTag: \"t\"\r\n\r\n",
            "StartLineTooLong",
        ),
        place(
            "start_line",
            "HTTP request line",
            60,
            None,
            |n| {
                let target = "t".repeat(n - 16);
                heads(&format!("GET /{target} HTTP/1.1\r\n\r\n"), HEAD)
            },
            "StartLineTooLong",
        ),
        place(
            "start_line",
            "HTTP status line of a request",
            60,
            None,
            |n| heads(BARE_GET, &(line("HTTP/1.1 200 ", n) + "\r\n")),
            "StartLineTooLong",
        ),
        place(
            "start_line",
            "HTTP status line of an answer",
            60,
            ask(),
            |n| page(&(line("HTTP/1.1 200 ", n) + "\r\n")),
            "StartLineTooLong",
        ),
        place(
            "head_bytes",
            "request",
            90,
            None,
            |n| format!("OPTIONS icap://h ICAP/1.0\r\nHost: h\r\n{}", section(n - 36)),
            "HeadTooLong",
        ),
        place(
            "head_bytes",
            "answer",
            90,
            Some(Ask::respmod().allow_204()),
            |n| format!("ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\n{}", section(n - 37)),
            "HeadTooLong",
        ),
        place(
            "fields",
            "request",
            9,
            None,
            |n| format!("OPTIONS icap://h ICAP/1.0\r\nHost: h\r\n{}\r\n", lines(n - 1)),
            "TooManyFields",
        ),
        place(
            "fields",
            "answer",
            9,
            Some(Ask::respmod().allow_204()),
            |n| format!("ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\n{}\r\n", lines(n - 1)),
            "TooManyFields",
        ),
        place(
            "fields",
            "HTTP request head",
            9,
            None,
            |n| heads(&format!("GET / HTTP/1.1\r\n{}\r\n", lines(n)), HEAD),
            "TooManyFields",
        ),
        place(
            "fields",
            "HTTP response head",
            9,
            None,
            |n| heads(BARE_GET, &format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(n))),
            "TooManyFields",
        ),
        place(
            "fields",
            "HTTP head of an answer",
            9,
            ask(),
            |n| page(&format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(n))),
            "TooManyFields",
        ),
        place(
            "fields",
            "HTTP trailers of a request",
            9,
            None,
            |n| respmod("") + &format!("0\r\n{}\r\n", lines(n)),
            "TooManyFields",
        ),
        place(
            "fields",
            "HTTP trailers of an answer",
            9,
            ask(),
            |n| body(&format!("0\r\n{}\r\n", lines(n))),
            "TooManyFields",
        ),
        place(
            "fields",
            "ICAP trailer of a request",
            9,
            None,
            |n| respmod(TRAILER) + &format!("0\r\n\r\n{}\r\n", lines(n)),
            "TooManyFields",
        ),
        place(
            "fields",
            "ICAP trailer of an answer",
            9,
            ask(),
            |n| {
                let list = "Encapsulated: res-hdr=0, null-body=19\r\n";
                answer(&format!("{TRAILER}{list}"), &format!("{HEAD}{}\r\n", lines(n)))
            },
            "TooManyFields",
        ),
        place(
            "field_line",
            "request",
            60,
            None,
            |n| format!("OPTIONS icap://h ICAP/1.0\r\nHost: h\r\n{}\r\n", line("A: ", n)),
            "FieldLineTooLong",
        ),
        place(
            "field_line",
            "request, folded",
            60,
            None,
            |n| format!("OPTIONS icap://h ICAP/1.0\r\nHost: h\r\n{}\r\n", line("X-A: b\r\n c", n)),
            "FieldLineTooLong",
        ),
        place(
            "field_line",
            "answer",
            60,
            Some(Ask::respmod().allow_204()),
            |n| format!("ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\n{}\r\n", line("A: ", n)),
            "FieldLineTooLong",
        ),
        place(
            "field_line",
            "HTTP request head",
            60,
            None,
            |n| heads(&format!("GET / HTTP/1.1\r\n{}\r\n", line("A: ", n)), HEAD),
            "FieldLineTooLong",
        ),
        place(
            "field_line",
            "HTTP head of an answer",
            60,
            ask(),
            |n| page(&format!("HTTP/1.1 200 OK\r\n{}\r\n", line("A: ", n))),
            "FieldLineTooLong",
        ),
        place(
            "field_line",
            "HTTP trailers",
            60,
            None,
            |n| respmod("") + &format!("0\r\n{}\r\n", line("A: ", n)),
            "FieldLineTooLong",
        ),
        place(
            "field_line",
            "ICAP trailer",
            60,
            None,
            |n| respmod(TRAILER) + &format!("0\r\n\r\n{}\r\n", line("A: ", n)),
            "FieldLineTooLong",
        ),
        place(
            "encapsulated_bytes",
            "one head of an answer",
            80,
            ask(),
            |n| page(&format!("HTTP/1.1 200 OK\r\n{}", section(n - 17))),
            "EncapsulatedTooLong",
        ),
        place(
            "encapsulated_bytes",
            "both heads of a request",
            80,
            None,
            |n| {
                heads(BARE_GET, &format!("HTTP/1.1 200 OK\r\n{}", section(n - 17 - BARE_GET.len())))
            },
            "EncapsulatedTooLong",
        ),
        place(
            "chunk_line",
            "request",
            20,
            None,
            |n| respmod("") + &line("1;", n) + "a\r\n0\r\n\r\n",
            "ChunkLineTooLong",
        ),
        place(
            "chunk_line",
            "preview",
            20,
            None,
            |n| preview(9, &(line("1;", n) + "a\r\n0; ieof\r\n\r\n")),
            "ChunkLineTooLong",
        ),
        place(
            "chunk_line",
            "answer",
            20,
            ask(),
            |n| body(&(line("1;", n) + "a\r\n0\r\n\r\n")),
            "ChunkLineTooLong",
        ),
        place(
            "chunk_line",
            "last chunk",
            20,
            ask(),
            |n| body(&(line("0;", n) + "\r\n")),
            "ChunkLineTooLong",
        ),
        place(
            "extension_bytes",
            "chunks of a request",
            20,
            None,
            |n| {
                // Ten of them on the first line, the others on the last.
                respmod("") + &line("1;", 13) + "a\r\n" + &line("0;", n - 10 + 3) + "\r\n"
            },
            "ExtensionsTooLong",
        ),
        place(
            "extension_bytes",
            "chunks of an answer",
            20,
            ask(),
            |n| body(&(line("1;", 13) + "a\r\n" + &line("0;", n - 10 + 3) + "\r\n")),
            "ExtensionsTooLong",
        ),
        place(
            "trailer_bytes",
            "HTTP trailers of a request",
            30,
            None,
            |n| respmod("") + "0\r\n" + &section(n),
            "TrailerTooLong",
        ),
        place(
            "trailer_bytes",
            "HTTP trailers of an answer",
            30,
            ask(),
            |n| body(&format!("0\r\n{}", section(n))),
            "TrailerTooLong",
        ),
        place(
            "trailer_bytes",
            "ICAP trailer of a request",
            30,
            None,
            |n| respmod(TRAILER) + "0\r\n\r\n" + &section(n),
            "TrailerTooLong",
        ),
        place(
            "trailer_bytes",
            "ICAP trailer of an answer",
            30,
            ask(),
            |n| {
                let list = "Encapsulated: res-hdr=0, res-body=19\r\n";
                answer(&format!("{TRAILER}{list}"), &format!("{HEAD}0\r\n\r\n{}", section(n)))
            },
            "TrailerTooLong",
        ),
        place(
            "preview",
            "one chunk",
            10,
            None,
            |n| preview(99, &format!("{n:x}\r\n{}\r\n0; ieof\r\n\r\n", "x".repeat(n))),
            "PreviewTooLong",
        ),
        place(
            "preview",
            "many chunks",
            10,
            None,
            |n| preview(99, &format!("{}0; ieof\r\n\r\n", "1\r\nx\r\n".repeat(n))),
            "PreviewTooLong",
        ),
        place(
            "empty_list_members",
            "Encapsulated of a request",
            5,
            None,
            |n| {
                let list = format!("Encapsulated: {}", ",".repeat(n));
                heads(BARE_GET, HEAD).replace("Encapsulated: ", &list)
            },
            "List",
        ),
        place(
            "empty_list_members",
            "Encapsulated of an answer",
            5,
            ask(),
            |n| page(HEAD).replace(", ", &",".repeat(n + 1)),
            "List",
        ),
        place(
            "empty_list_members",
            "Allow of a request",
            5,
            None,
            |n| respmod(&format!("Allow: 204{}\r\n", ",".repeat(n))) + "0\r\n\r\n",
            "List",
        ),
        place(
            "empty_list_members",
            "Allow of an answer",
            5,
            Some(Ask::options()),
            |n| {
                let allow = format!("Allow: {}206\r\n", ", ".repeat(n));
                answer(&format!("{allow}Encapsulated: null-body=0\r\n"), "")
            },
            "List",
        ),
    ]
}

#[test]
fn each_limit_in_each_place_at_n_and_one_more() {
    for place in places() {
        let mut limits = Limits::default();
        set(&mut limits, place.limit, place.at);
        let read = |n: usize| {
            let bytes = (place.message)(n);
            match &place.ask {
                None => {
                    outcome_every_way(|| Server::with(limits, Leniency::strict()), bytes.as_bytes())
                }
                Some(ask) => outcome_every_way(
                    || Ask { limits, ..ask.clone() }.sent_whole("hello"),
                    bytes.as_bytes(),
                ),
            }
        };
        let name = format!("{}, {}", place.limit, place.what);
        let (good, bad) = (read(place.at), read(place.at + 1));
        assert!(good.last().unwrap().starts_with("end"), "{name}: {good:?}");
        let kind = |events: &[String]| {
            let fault = events.last().and_then(|line| line.strip_prefix("! "));
            fault.and_then(|fault| fault.split(' ').next()).map(str::to_owned)
        };
        assert_eq!(kind(&bad).as_deref(), Some(place.fault), "{name}: {bad:?}");
        // Much more is the same fault.
        assert_eq!(kind(&read(place.at + 200)), kind(&bad), "{name}");
    }
}

/// The rest of a request that was answered early, counted on the wire.
#[test]
fn drain_at_n_and_one_more() {
    for (bytes, kept) in [(10, true), (11, false)] {
        let mut limits = Limits::default();
        limits.drain = 20;
        let mut server = Server::with(limits, Leniency::strict());
        server.recv(respmod("Allow: 204\r\n"));
        server.respond(StatusCode::NO_CONTENT).unwrap();
        server.recv(format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes)));
        if kept {
            assert_eq!(server.closing(), None);
            assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
        } else {
            assert_eq!(server.closing(), Some(CloseReason::Asked));
        }
    }
}

/// A preview and what comes behind 100 Continue have each so much.
#[test]
fn extensions_of_a_preview_and_its_rest() {
    for (bytes, taken) in [(20, true), (21, false)] {
        let mut limits = Limits::default();
        limits.extension_bytes = 20;
        let mut server = Server::with(limits, Leniency::strict());
        server.recv(preview(4, &format!("{}\r\n", line("0;", 23))));
        server.send_continue().unwrap();
        server.recv(format!("{}\r\n", line("0;", bytes + 3)));
        assert_eq!(server.trace.error.is_none(), taken, "{bytes}");
    }
}

/// A limit that is added has to be added to the tests.
#[test]
fn no_limit_is_without_a_place() {
    let places = places();
    for name in names() {
        let tested = places.iter().any(|place| place.limit == name) || name == "drain";
        assert!(tested, "{name}");
        let mut limits = Limits::default();
        set(&mut limits, &name, 7);
        let text = format!("{limits:?}");
        assert!(text.contains(&format!(" {name}: 7")), "{name}: {text}");
        assert_eq!(text.matches(": 7,").count() + text.matches(": 7 }").count(), 1, "{text}");
    }
}

fn vectors(names: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/vectors");
    names.iter().map(|name| fs::read(folder.join(format!("{name}.icap"))).unwrap()).collect()
}

/// Limits that leave room for nothing: whatever comes is taken or refused, alike under every cut, and nothing
/// panics or waits for room that never comes.
#[test]
fn limits_of_nearly_nothing() {
    let mut sets = Vec::new();
    for value in [0, 1, 2, 20] {
        let mut all = Limits::default();
        for name in names() {
            let mut one = Limits::default();
            set(&mut one, &name, value);
            set(&mut all, &name, value);
            sets.push((one, value));
        }
        sets.push((all, value));
    }
    let mut refused = 0;
    for (limits, value) in sets {
        for leniency in [Leniency::strict(), all_on()] {
            for bytes in vectors(&["V1", "V2", "V3", "V4", "V6", "V7", "V11"]) {
                let fresh = || Server::with(limits, leniency);
                refused += usize::from(is_refused(&outcome_every_way(fresh, &bytes)));
            }
            for bytes in vectors(&["V8", "V9", "V10", "V12", "V13", "V14"]) {
                let ask = Ask::respmod().preview(9).allow_206();
                let fresh = || Ask { limits, leniency, ..ask.clone() }.sent_whole("hello");
                refused += usize::from(is_refused(&outcome_every_way(fresh, &bytes)));
            }
            // Nothing has an end when nothing fits.
            let fresh = || Server::with(limits, leniency);
            let events = outcome_every_way(fresh, &[b'A'; 200]);
            let waits = limits.start_line > 200 && limits.head_bytes > 200;
            assert_eq!(is_refused(&events), !waits, "{value}: {limits:?}");
        }
    }
    assert!(refused > 200, "the limits are tiny: {refused}");
}

fn is_refused(events: &[String]) -> bool {
    events.last().is_some_and(|line| line.starts_with("! "))
}
