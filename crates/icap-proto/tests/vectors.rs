//! The golden vectors: the same events whatever the cuts, and no end before the last byte.
//!
//! `wire/vectors/V*.icap` holds the bytes, `V*.expect` the events, one a line.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::PathBuf;

use icap_proto::{Error, Leniency, Limits};
use support::client::Ask;
use support::leniency::all_on;
use support::server::Server;
use support::{Core, Trace, every_cut};

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/vectors");
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The parts of a vector: between two of them the server says 100 Continue.
fn parts(name: &str) -> Vec<Vec<u8>> {
    match name {
        "V5" => vec![file("V5a.icap"), file("V5b.icap")],
        _ => vec![file(&format!("{name}.icap"))],
    }
}

fn expected(name: &str) -> String {
    String::from_utf8(file(&format!("{name}.expect"))).unwrap()
}

/// Feeds all parts, cut at `cuts` of their joined length.
fn run<C: Core>(core: &mut C, parts: &[Vec<u8>], cuts: &[usize], go: impl Fn(&mut C)) -> Trace {
    let mut trace = Trace::default();
    let mut start = 0;
    for part in parts {
        if start > 0 {
            go(core);
        }
        let end = start + part.len();
        let inner: Vec<usize> = cuts
            .iter()
            .filter(|cut| (start + 1..end).contains(cut))
            .map(|cut| cut - start)
            .collect();
        assert_eq!(trace.feed_cut(core, part, &inner), part.len(), "cuts {cuts:?}");
        start = end;
    }
    trace
}

/// Runs one vector in every way.
fn check<C: Core>(name: &str, fresh: impl Fn() -> C, go: impl Fn(&mut C)) {
    let parts = parts(name);
    let expected = expected(name);
    let len = parts.iter().map(Vec::len).sum();
    for cuts in every_cut(len) {
        let trace = run(&mut fresh(), &parts, &cuts, &go);
        assert_eq!(trace.error, None, "{name} cut at {cuts:?}");
        assert_eq!(trace.text(), expected, "{name} cut at {cuts:?}");
    }
    for prefix in 0..len {
        check_prefix(name, prefix, &parts, &expected, fresh(), &go);
    }
}

/// A prefix gives no error, no end, and wants more; with nothing more to come it is an error.
fn check_prefix<C: Core>(
    name: &str,
    prefix: usize,
    parts: &[Vec<u8>],
    expected: &str,
    mut core: C,
    go: impl Fn(&mut C),
) {
    let mut left = prefix;
    let mut cut = Vec::new();
    for part in parts {
        let take = left.min(part.len());
        cut.push(part[..take].to_vec());
        left -= take;
    }
    cut.retain(|part| !part.is_empty());
    let mut trace = run(&mut core, &cut, &[], &go);
    trace.poll(&mut core);
    assert_eq!(trace.error, None, "{name} up to {prefix}");
    let text = trace.text();
    assert!(expected.starts_with(text.trim_end()), "{name} up to {prefix}: {text}");
    assert!(!text.contains("\nend") && !text.starts_with("end"), "{name} up to {prefix}: {text}");
    let at_decision = prefix == parts[0].len();
    assert_eq!(core.wants_input(), !at_decision, "{name} up to {prefix}");
    core.input_closed();
    trace.poll(&mut core);
    let cut_short = matches!(trace.error, Some(Error::Closed(_)));
    // A server has nothing against an end before the first byte or at its own decision.
    let idle_server = SERVER.contains(&name) && prefix == 0;
    assert_eq!(cut_short, !at_decision && !idle_server, "{name} up to {prefix}: {:?}", trace.error);
}

const SERVER: [&str; 8] = ["V1", "V2", "V3", "V4", "V5", "V6", "V7", "V11"];

#[test]
fn requests() {
    for name in SERVER {
        for leniency in [Leniency::default(), Leniency::strict(), all_on()] {
            let fresh = || Server::with(Limits::default(), leniency);
            check(name, fresh, |server| {
                server.send_continue().unwrap();
                assert_eq!(server.sent(), "ICAP/1.0 100 Continue\r\nISTag: \"t1\"\r\n\r\n");
            });
        }
    }
}

/// The answers, each to a request that permits it.
fn answers() -> [(&'static str, Ask); 6] {
    [
        ("V8", Ask::respmod()),
        ("V9", Ask::respmod().preview(1024)),
        ("V10", Ask::respmod().preview(1024).allow_206()),
        ("V12", Ask::options()),
        ("V13", Ask::respmod()),
        ("V14", Ask::respmod()),
    ]
}

#[test]
fn answers_to_requests() {
    for (name, ask) in answers() {
        let opt_in = Ask { leniency: all_on(), ..ask.clone() };
        for ask in [ask.clone(), ask.strict(), opt_in] {
            check(name, || ask.clone().sent_whole("hello"), |_| ());
        }
    }
}

/// V9 with `Allow: 204` in place of a preview.
#[test]
fn no_content_that_was_allowed() {
    check("V9", || Ask::respmod().allow_204().sent_whole("hello"), |_| ());
}

#[test]
fn sizes() {
    for (name, size) in [
        ("V1", 106),
        ("V2", 140),
        ("V3", 183),
        ("V4", 149),
        ("V5a", 142),
        ("V5b", 11),
        ("V6", 133),
        ("V7", 118),
        ("V8", 123),
        ("V9", 40),
        ("V10", 147),
        ("V11", 67),
        ("V12", 171),
        ("V13", 182),
        ("V14", 133),
    ] {
        assert_eq!(file(&format!("{name}.icap")).len(), size, "{name}");
    }
}
