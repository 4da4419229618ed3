//! The page that stands in place of a message.

use crate::answer::{Answer, Body};
use crate::fields::next_line;
use crate::text::{MAX_TEXT, printable, printable_up_to, trim};
use crate::threat::{Threat, said};
use crate::verdict::BlockPage;

/// Characters kept of a page.
const MAX_START: usize = 512;
/// Bytes of a page that are looked at.
const MAX_LOOKED_AT: usize = 4096;

/// The page, when a response came in place of the message or a body came with it.
pub(crate) fn read(answer: &Answer<'_>) -> Option<BlockPage> {
    let start = printable_up_to(start(answer), MAX_START);
    let page = answer.page().filter(|_| answer.is_refused_by_shape());
    if page.is_none() && start.is_empty() {
        return None;
    }
    let fields = answer.http.map(|http| http.fields);
    let field =
        |name| fields.and_then(|fields| fields.get(name)).and_then(|value| said(printable(value)));
    Some(BlockPage {
        status: answer.page().and_then(|page| page.status()),
        location: field("Location"),
        content_type: field("Content-Type"),
        start,
    })
}

/// What the page says: a reason phrase of its own, or a body that is a short plain text.
pub(crate) fn text(answer: &Answer<'_>) -> Option<String> {
    let page = answer.page()?;
    let phrase = said(printable(page.phrase())).filter(|phrase| !is_usual(phrase));
    phrase.or_else(|| {
        let start = start(answer);
        let plain = !start.trim_ascii_start().starts_with(b"<") && start.len() <= MAX_TEXT;
        if plain { said(printable(start)) } else { None }
    })
}

/// The number at the end of a text: `Too many files in the zip. (-69)` (Trend Vision One).
pub(crate) fn code(text: &str) -> Option<String> {
    let (_, code) = text.strip_suffix(')')?.rsplit_once('(')?;
    let digits = code.strip_prefix('-').unwrap_or(code);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| code.to_owned())
}

/// Threats that stand as field-like lines in the page (gateways of McAfee whose rules add no fields).
pub(crate) fn threats(answer: &Answer<'_>) -> Vec<Threat> {
    let mut rest = start(answer);
    let mut threats = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let names = [&b"X-Virus-Name"[..], b"X-Virus-ID", b"Virus Name", b"VirusName"];
        if names.iter().any(|known| trim(name).eq_ignore_ascii_case(known)) && threats.len() < 64 {
            threats.push(Threat::named(value.get(1..).unwrap_or_default()));
        }
    }
    threats.retain(|threat| threat.name.is_some());
    threats
}

fn start<'a>(answer: &Answer<'a>) -> &'a [u8] {
    let Body::Other(start) = answer.body else { return &[] };
    start.get(..start.len().min(MAX_LOOKED_AT)).unwrap_or_default()
}

/// Phrases that say no more than the status.
fn is_usual(phrase: &str) -> bool {
    const PHRASES: [&str; 16] = [
        "OK",
        "Moved Permanently",
        "Found",
        "See Other",
        "Temporary Redirect",
        "Permanent Redirect",
        "Bad Request",
        "Unauthorized",
        "Forbidden",
        "Not Found",
        "Unavailable For Legal Reasons",
        "Proxy Authentication Required",
        "Internal Server Error",
        "Bad Gateway",
        "Service Unavailable",
        "Gateway Timeout",
    ];
    PHRASES.iter().any(|usual| phrase.eq_ignore_ascii_case(usual))
}
