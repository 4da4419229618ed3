//! Answers that a strict parser refuses.

use icap_proto::{HttpHead, Method, StatusCode};

use crate::answer::{Answer, Body, Inner};
use crate::fields::{Fields, next_line};
use crate::text::{decimal, printable, trim};

/// The head of an answer, cut into lines and held to no grammar: for captures and tables of cases, where fields hold
/// control characters, lines are no fields, and `Encapsulated` counts wrong.
///
/// Nothing here finds the end of a body, so it cannot replace the parser of a client. Control characters in fields,
/// violations that are not folded and lines without a colon are what it is for.
///
/// ```
/// use icap_proto::{HttpHead, Method};
/// use icap_verdict::{Body, LooseAnswer, Profile, Verdict};
///
/// let sent = HttpHead::response(200, "OK", [("Content-Type", "text/plain")])?;
/// let capture = b"ICAP/1.0 201 Created\r\nX-Violations-Found: 1\r\nmail.eml\r\nW32.Beagle\r\n18411\r\n2\r\n\r\n";
/// let loose = LooseAnswer::parse(capture).ok_or("no ICAP")?;
/// let answer = loose.answer(&Method::Respmod, &sent, Body::Absent);
/// let Verdict::Block(block) = Profile::auto().evaluate(&answer) else { panic!() };
/// assert_eq!(block.threats[0].name.as_deref(), Some("W32.Beagle"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LooseAnswer<'a> {
    status: StatusCode,
    reason: &'a [u8],
    icap: &'a [u8],
    http: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> LooseAnswer<'a> {
    /// Reads the head of an answer with the HTTP head behind it. A 100 Continue in front of another answer is passed
    /// over. `None` when it does not begin with `ICAP/1.` and a status.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let (status, reason, icap) = loop {
            let line = next_line(&mut rest)?;
            let (status, reason) = status_line(line)?;
            let block = section(&mut rest);
            if status != StatusCode::CONTINUE || !rest.starts_with(b"ICAP/") {
                break (status, reason, block);
            }
        };
        let http = next_line(&mut rest).filter(|line| !line.is_empty());
        let http = http.map(|start_line| (start_line, section(&mut rest)));
        Some(Self { status, reason, icap, http })
    }

    /// The answer to a request of this ICAP method with which `sent` was to be adapted.
    #[must_use]
    pub fn answer<'b>(
        &'b self,
        method: &'b Method,
        sent: &'b HttpHead,
        body: Body<'b>,
    ) -> Answer<'b> {
        let inner = |(start_line, lines)| Inner { start_line, fields: Fields::Lines(lines) };
        Answer {
            method,
            sent,
            status: self.status,
            reason: self.reason,
            icap: Fields::Lines(self.icap),
            http: self.http.map(inner),
            body,
            solicited: true,
        }
    }

    /// The ICAP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase, printable and at most 200 characters long.
    #[must_use]
    pub fn reason(&self) -> String {
        printable(self.reason)
    }
}

/// `ICAP/1.0 200 OK`; the reason may be missing.
fn status_line(line: &[u8]) -> Option<(StatusCode, &[u8])> {
    let minor = line.strip_prefix(b"ICAP/1.")?;
    let blank = minor.iter().position(|&b| b == b' ')?;
    let (minor, behind) = minor.split_at_checked(blank)?;
    decimal(minor)?;
    let behind = trim(behind);
    let digits = behind.split(|&b| b == b' ').next().filter(|digits| digits.len() == 3)?;
    let status = StatusCode::new(u16::try_from(decimal(digits)?).ok()?)?;
    Some((status, trim(behind.get(3..).unwrap_or_default())))
}

/// The lines up to the empty one, which is taken too.
fn section<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let block = *rest;
    let mut end = 0usize;
    while let Some(line) = next_line(rest) {
        if line.is_empty() {
            return block.get(..end).unwrap_or_default();
        }
        end = block.len().saturating_sub(rest.len());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_icap_is_read() {
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n",
            "ICAP/2.0 200 OK\r\n\r\n",
            "ICAP/1.0 20 OK\r\n\r\n",
            "ICAP/1.0 2000\r\n\r\n",
            "ICAP/1. 200\r\n",
            "ICAP/1.0 999 X\r\n\r\n",
        ] {
            assert!(LooseAnswer::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
        let answer = LooseAnswer::parse(b"ICAP/1.0 204\n\n").unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (StatusCode::NO_CONTENT, ""));
    }

    #[test]
    fn the_final_status_behind_a_continue_counts() {
        let both = b"ICAP/1.0 100 Continue\r\nISTag: \"a\"\r\n\r\nICAP/1.0 200 OK\r\n\r\nHTTP/1.1 403 No\r\nA1: b\r\n\r\nbody";
        let answer = LooseAnswer::parse(both).unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.http, Some((&b"HTTP/1.1 403 No"[..], &b"A1: b\r\n"[..])));
        let alone = LooseAnswer::parse(b"ICAP/1.0 100 Continue\r\n\r\n").unwrap();
        assert_eq!(alone.status, StatusCode::CONTINUE);
    }
}
