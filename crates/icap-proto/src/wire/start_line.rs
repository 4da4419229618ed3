//! The first line of ICAP messages and of the HTTP heads inside them.

use crate::Limits;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::wire::cursor::{Cursor, Stop};

/// The parts of an ICAP request line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) uri_at: usize,
    /// Where the version stands when it is well formed but not 1.0.
    pub(crate) other_version: Option<usize>,
}

/// `Method SP URI SP ICAP/1.0 CRLF` (RFC 3507 appendix A).
pub(crate) fn request<'a>(
    cursor: &mut Cursor<'a>,
    limits: &Limits,
    tolerance: &mut Tolerance,
) -> Result<RequestLine<'a>, Stop> {
    bounded(cursor, limits, |cursor| {
        let method = cursor.take(class::token_len);
        match cursor.peek() {
            Some(b' ') if !method.is_empty() => {}
            None => return Err(Stop::Incomplete),
            _ => return Err(NOT_ICAP.into()),
        }
        space(cursor, tolerance)?;
        let uri_at = cursor.at();
        let uri = cursor.take(class::target_len);
        if uri.is_empty() && cursor.peek().is_some() {
            return Err(cursor.error(Kind::StartLine).into());
        }
        space(cursor, tolerance)?;
        let other_version = version(cursor)?;
        cursor.line_end(Kind::Version)?;
        Ok(RequestLine { method, uri, uri_at, other_version })
    })
}

/// The parts of a status line of ICAP or HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusLine<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a [u8],
    pub(crate) reason_at: usize,
}

/// `ICAP/1.0 SP 3DIGIT SP reason CRLF` (RFC 3507 appendix A).
pub(crate) fn status<'a>(
    cursor: &mut Cursor<'a>,
    limits: &Limits,
    tolerance: &mut Tolerance,
) -> Result<StatusLine<'a>, Stop> {
    bounded(cursor, limits, |cursor| {
        if begins_response(cursor.rest()) == Some(false) {
            return Err(NOT_ICAP.into());
        }
        if let Some(at) = version(cursor)? {
            return Err(ParseError::new(Kind::UnsupportedVersion, at).into());
        }
        space(cursor, tolerance)?;
        status_and_reason(cursor, || tolerance.takes(|switches| &mut switches.missing_reason))
    })
}

/// Whether these bytes can begin a response: decided as early as it can be, so that nothing else is buffered.
pub(crate) fn begins_response(bytes: &[u8]) -> Option<bool> {
    const NAME: &[u8] = b"ICAP/";
    let same = bytes.iter().zip(NAME).all(|(byte, expected)| byte == expected);
    (!same || bytes.len() >= NAME.len()).then_some(same)
}

/// Whether these bytes can begin a request, when that was open for the first `seen` of them.
pub(crate) fn begins_request(bytes: &[u8], seen: usize) -> Option<bool> {
    let fresh = bytes.get(seen..).unwrap_or_default();
    let more = class::token_len(fresh);
    let method = seen.saturating_add(more);
    fresh.get(more).map(|&next| next == b' ' && method > 0)
}

const NOT_ICAP: ParseError = ParseError::new(Kind::NotIcap, 0);

/// Whether an encapsulated head belongs to a request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpKind {
    Request,
    Response,
}

/// The request line or status line of an encapsulated head (RFC 9112 sections 3 and 4).
pub(crate) fn http(cursor: &mut Cursor<'_>, kind: HttpKind, limits: &Limits) -> Result<(), Stop> {
    bounded(cursor, limits, |cursor| match kind {
        HttpKind::Request => {
            if cursor.take(class::token_len).is_empty() && cursor.peek().is_some() {
                return Err(cursor.error(Kind::HttpStartLine).into());
            }
            cursor.expect(b" ", Kind::HttpStartLine)?;
            if cursor.take(class::target_len).is_empty() && cursor.peek().is_some() {
                return Err(cursor.error(Kind::HttpStartLine).into());
            }
            cursor.expect(b" ", Kind::HttpStartLine)?;
            digit_version(cursor, b"HTTP/", Kind::HttpStartLine)?;
            cursor.line_end(Kind::HttpStartLine)
        }
        HttpKind::Response => {
            digit_version(cursor, b"HTTP/", Kind::HttpStartLine)?;
            cursor.expect(b" ", Kind::HttpStartLine)?;
            // Origins leave the reason and its blank out often enough; nothing is framed by it.
            status_and_reason(cursor, || true).map(|_| ())
        }
    })
}

/// Holds a start line to [`Limits::start_line`]: the parser sees no more of it, and wants no more only when the
/// line is too long.
fn bounded<'a, T>(
    cursor: &mut Cursor<'a>,
    limits: &Limits,
    parse: impl FnOnce(&mut Cursor<'a>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let mut line = cursor.within(limits.start_line);
    match parse(&mut line) {
        Ok(parsed) => {
            cursor.skip(line.at().saturating_sub(cursor.at()));
            Ok(parsed)
        }
        Err(Stop::Incomplete) if cursor.rest().len() > limits.start_line => {
            Err(ParseError::new(Kind::StartLineTooLong, limits.start_line).into())
        }
        Err(stop) => Err(stop),
    }
}

/// One space, or with the switch a run of them.
fn space(cursor: &mut Cursor<'_>, tolerance: &mut Tolerance) -> Result<(), Stop> {
    cursor.expect(b" ", Kind::StartLine)?;
    while cursor.peek() == Some(b' ')
        && tolerance.takes(|switches| &mut switches.spaces_in_start_line)
    {
        cursor.skip(1);
    }
    Ok(())
}

/// `3DIGIT SP reason CRLF`, shared by ICAP and HTTP.
fn status_and_reason<'a>(
    cursor: &mut Cursor<'a>,
    may_lack_reason: impl FnOnce() -> bool,
) -> Result<StatusLine<'a>, Stop> {
    let status = digits(cursor)?;
    match cursor.peek() {
        Some(b' ') => cursor.skip(1),
        Some(b'\r') if may_lack_reason() => {}
        None => return Err(Stop::Incomplete),
        _ => return Err(cursor.error(Kind::Status).into()),
    }
    let reason_at = cursor.at();
    let reason = cursor.take(class::value_len);
    cursor.line_end(Kind::Reason)?;
    Ok(StatusLine { status, reason, reason_at })
}

/// `3DIGIT`.
fn digits(cursor: &mut Cursor<'_>) -> Result<u16, Stop> {
    let start = cursor.clone();
    let mut number = 0u16;
    for _ in 0..3 {
        match cursor.peek() {
            Some(digit @ b'0'..=b'9') => {
                let digit = u16::from(digit.wrapping_sub(b'0'));
                number = number.wrapping_mul(10).wrapping_add(digit);
                cursor.skip(1);
            }
            Some(_) => return Err(start.error(Kind::Status).into()),
            None => return Err(Stop::Incomplete),
        }
    }
    Ok(number)
}

/// `ICAP/DIGIT.DIGIT`; gives the place of the digits when they are not 1.0.
fn version(cursor: &mut Cursor<'_>) -> Result<Option<usize>, Stop> {
    let (major, minor, at) = digit_version(cursor, b"ICAP/", Kind::Version)?;
    Ok((major != b'1' || minor != b'0').then_some(at))
}

fn digit_version(
    cursor: &mut Cursor<'_>,
    name: &[u8],
    kind: Kind,
) -> Result<(u8, u8, usize), Stop> {
    cursor.expect(name, kind)?;
    let at = cursor.at();
    match *cursor.rest() {
        [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', ..] => {
            cursor.skip(3);
            Ok((major, minor, at))
        }
        [] | [b'0'..=b'9'] | [b'0'..=b'9', b'.'] => Err(Stop::Incomplete),
        _ => Err(cursor.error(kind).into()),
    }
}
