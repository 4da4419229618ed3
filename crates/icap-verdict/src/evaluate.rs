//! The order in which an answer is looked at.

use icap_proto::{Headers, HttpHead, Method, ResponseHead, StatusCode};

use crate::findings;
use crate::verdict::{AllowReason, Block, BlockReason, Problem, ProblemKind, Verdict};

/// An answer together with what it answers.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "callers build it; a verdict needs every part")]
pub struct Answer<'a> {
    /// The method of the ICAP request.
    pub method: &'a Method,
    /// The HTTP head that was to be adapted: of the request in REQMOD, of the response in RESPMOD.
    pub sent: &'a HttpHead,
    /// The final answer. A 100 Continue is no answer.
    pub response: &'a ResponseHead,
    /// Whether the body that came back is byte for byte the one that was sent. No body equals an empty one; a
    /// 204 brings none and means the same.
    pub same_body: bool,
}

/// The verdict of an answer that was read to its end.
///
/// The first of these that speaks decides: fields that name a finding, the ICAP status, the shape of the message
/// inside, the comparison with what was sent. A finding beats a 204: a server that contradicts itself has found
/// something. An answer that was cut, or is no ICAP, never gets here; it has no verdict.
#[must_use]
pub fn evaluate(answer: &Answer<'_>) -> Verdict {
    by_finding(answer)
        .or_else(|| by_status(answer.response.status()))
        .or_else(|| by_shape(answer))
        .unwrap_or_else(|| by_comparison(answer))
}

/// Fields of the ICAP head, then of the HTTP head inside, in any answer that is a success, and in a 403: scan
/// engines of Symantec refuse what they cannot repair that way.
fn by_finding(answer: &Answer<'_>) -> Option<Verdict> {
    let status = answer.response.status();
    if !status.is_success() && status != StatusCode::FORBIDDEN {
        return None;
    }
    let page = answer.response.http_response();
    let finding = findings::find(answer.response.headers())
        .or_else(|| findings::find(page.map(HttpHead::headers)?))?;
    Some(Verdict::Block(Block {
        reason: BlockReason::Header(finding.field),
        threat: finding.threat,
        page_status: page.and_then(HttpHead::status),
    }))
}

/// What the ICAP status alone decides: everything but a message that came back.
fn by_status(status: StatusCode) -> Option<Verdict> {
    match status.as_u16() {
        200 | 201 | 206 => None,
        204 => Some(Verdict::Allow(AllowReason::NoContent)),
        _ => Some(Verdict::Error(Problem::from_status(status))),
    }
}

/// A response where a request was sent, or a response with another status.
fn by_shape(answer: &Answer<'_>) -> Option<Verdict> {
    let page = answer.response.http_response()?;
    let status = page.status();
    if *answer.method == Method::Reqmod {
        // Whatever its HTTP status: Symantec DLP blocks with a 200.
        return Some(Verdict::Block(Block {
            reason: BlockReason::RequestAnswered,
            threat: None,
            page_status: status,
        }));
    }
    if status == answer.sent.status() {
        return None;
    }
    match status {
        // Scanners report their own failures this way (Trend Vision One).
        Some(status @ (400 | 401 | 407 | 500..=599)) => Some(Verdict::Error(Problem::new(
            ProblemKind::ServerError,
            format!("HTTP {status} in place of the response"),
        ))),
        Some(status @ 300..=499) => Some(Verdict::Block(Block {
            reason: BlockReason::HttpStatus(status),
            threat: None,
            page_status: Some(status),
        })),
        _ => Some(Verdict::Modified),
    }
}

/// The same message came back, or another one.
fn by_comparison(answer: &Answer<'_>) -> Verdict {
    let Some(head) = answer.response.http_response().or_else(|| answer.response.http_request())
    else {
        return Verdict::Error(Problem::new(ProblemKind::Protocol, "a 200 without an HTTP head"));
    };
    let same_head = head.start_line() == answer.sent.start_line()
        && same_fields(head.headers(), answer.sent.headers());
    if same_head && answer.same_body {
        Verdict::Allow(AllowReason::Unchanged)
    } else {
        Verdict::Modified
    }
}

/// Whether every field that came back was sent. Servers drop fields and add their mark; neither changes what the
/// message means.
fn same_fields(came: &Headers, sent: &Headers) -> bool {
    const MARKS: [&str; 7] = [
        "Via",
        "Date",
        "Connection",
        "Transfer-Encoding",
        "Content-Length",
        "Cache-Control",
        "Keep-Alive",
    ];
    came.iter().all(|field| {
        MARKS.iter().any(|mark| field.name.eq_ignore_ascii_case(mark))
            || field.name.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-"))
            || sent.get_all(field.name).any(|value| value == field.value)
    })
}
