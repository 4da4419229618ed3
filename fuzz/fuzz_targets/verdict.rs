//! Verdicts: no answer makes a panic, and one that names an infection is never allowed. The first byte chooses method,
//! body and profile, the rest is the head of an answer.
#![no_main]

use std::sync::LazyLock;

use icap_proto::{HttpHead, Method};
use icap_verdict::{Body, LooseAnswer, Profile};
use libfuzzer_sys::fuzz_target;

static UPLOAD: LazyLock<HttpHead> = LazyLock::new(|| {
    HttpHead::request("PUT", "http://misc/a", [("Host", "misc")]).expect("a good head")
});
static DOWNLOAD: LazyLock<HttpHead> = LazyLock::new(|| {
    HttpHead::response(200, "OK", [("Content-Type", "text/plain")]).expect("a good head")
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let Some(answer) = LooseAnswer::parse(bytes) else { return };
    let (method, sent) = match choice & 1 {
        0 => (Method::Reqmod, &*UPLOAD),
        _ => (Method::Respmod, &*DOWNLOAD),
    };
    let body = if choice & 2 == 0 { Body::Same } else { Body::Other(bytes) };
    let profiles = Profile::built_in();
    let profile = &profiles[usize::from(choice >> 2) % profiles.len()];
    let verdict = profile.evaluate(&answer.answer(&method, sent, body));

    let line = verdict.to_string();
    assert!(line.len() < 8192 && !line.chars().any(char::is_control), "{line:?}");
    assert!(verdict.threats().len() <= 64 && verdict.details().evidence.len() <= 32);
    assert!(!(verdict.is_allow() && names_an_infection(bytes)), "{line}");
});

/// Whether a line of the first head is the field, however it is written.
fn names_an_infection(bytes: &[u8]) -> bool {
    const FIELD: &[u8] = b"X-Infection-Found:";
    let lines = bytes.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut head = lines.skip(1).take_while(|line| !line.is_empty());
    let is_continue = bytes.get(..12).is_some_and(|start| start.ends_with(b"100"));
    !is_continue
        && head.any(|line| {
            line.get(..FIELD.len()).is_some_and(|name| name.eq_ignore_ascii_case(FIELD))
        })
}
