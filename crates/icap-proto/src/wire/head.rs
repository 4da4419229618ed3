//! Start lines and field lines of a complete block, in one pass, with the byte offset of what is wrong.

use core::ops::Range;

use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::wire::class;
use crate::{Leniency, Limits};

/// A position in a block that only moves forward.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(block: &'a [u8]) -> Self {
        Self { block, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.block.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.block.get(self.at).copied()
    }

    pub(crate) const fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    pub(crate) const fn error(&self, kind: Kind) -> ParseError {
        ParseError::new(kind, self.at)
    }

    /// Moves over `expected`, or fails with `kind` where it differs.
    pub(crate) fn expect(&mut self, expected: &[u8], kind: Kind) -> Result<(), ParseError> {
        for &byte in expected {
            if self.peek() != Some(byte) {
                return Err(self.error(kind));
            }
            self.skip(1);
        }
        Ok(())
    }

    /// Moves over as many bytes as `len` counts and gives their range.
    fn take(&mut self, len: fn(&[u8]) -> usize) -> Range<usize> {
        let start = self.at;
        self.skip(len(self.rest()));
        start..self.at
    }

    fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        self.block.get(range).unwrap_or_default()
    }

    /// One space, or with the switch a run of them.
    fn space(&mut self, leniency: &Leniency) -> Result<(), ParseError> {
        self.expect(b" ", Kind::StartLine)?;
        if leniency.spaces_in_start_line {
            while self.peek() == Some(b' ') {
                self.skip(1);
            }
        }
        Ok(())
    }

    /// CRLF, telling a lone CR and a lone LF from other bytes.
    fn line_end(&mut self, otherwise: Kind) -> Result<(), ParseError> {
        match self.peek() {
            Some(b'\n') => return Err(self.error(Kind::BareLf)),
            Some(b'\r') => {}
            // The section was cut off by its offset inside a line.
            None => return Err(self.error(Kind::SectionEnd)),
            _ => return Err(self.error(otherwise)),
        }
        self.skip(1);
        self.expect(b"\n", Kind::BareCr)
    }

    fn digits<const N: usize>(&mut self) -> Option<u16> {
        let range = self.at..self.at.saturating_add(N);
        let number = class::decimal(self.block.get(range)?)?;
        self.skip(N);
        u16::try_from(number).ok()
    }
}

/// The parts of an ICAP request line.
#[derive(Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Range<usize>,
    pub(crate) uri: Range<usize>,
    /// Where the version stands when it is well formed but not 1.0.
    pub(crate) other_version: Option<usize>,
}

/// `Method SP URI SP ICAP/1.0 CRLF` (RFC 3507 appendix A).
pub(crate) fn request_line(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    leniency: &Leniency,
) -> Result<RequestLine, ParseError> {
    let method = cursor.take(class::token_len);
    if method.is_empty() {
        return Err(cursor.error(Kind::Method));
    }
    cursor.space(leniency)?;
    let uri = cursor.take(class::target_len);
    if uri.end > limits.start_line {
        return Err(cursor.error(Kind::StartLineTooLong));
    }
    if uri.is_empty() {
        return Err(cursor.error(Kind::StartLine));
    }
    cursor.space(leniency)?;
    let other_version = version(cursor)?;
    cursor.line_end(Kind::Version)?;
    start_line_fits(cursor, limits)?;
    Ok(RequestLine { method, uri, other_version })
}

/// The parts of an ICAP status line.
#[derive(Debug)]
pub(crate) struct StatusLine {
    pub(crate) status: u16,
    pub(crate) reason: Range<usize>,
}

/// `ICAP/1.0 SP 3DIGIT SP reason CRLF` (RFC 3507 appendix A).
pub(crate) fn status_line(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    leniency: &Leniency,
) -> Result<StatusLine, ParseError> {
    if let Some(at) = version(cursor)? {
        return Err(ParseError::new(Kind::UnsupportedVersion, at));
    }
    cursor.space(leniency)?;
    let line = status_and_reason(cursor, leniency.missing_reason)?;
    start_line_fits(cursor, limits)?;
    Ok(line)
}

fn start_line_fits(cursor: &Cursor<'_>, limits: &Limits) -> Result<(), ParseError> {
    if cursor.at() > limits.start_line { Err(cursor.error(Kind::StartLineTooLong)) } else { Ok(()) }
}

/// `3DIGIT SP reason CRLF`, shared by ICAP and HTTP.
fn status_and_reason(
    cursor: &mut Cursor<'_>,
    missing_reason: bool,
) -> Result<StatusLine, ParseError> {
    let status = cursor.digits::<3>().ok_or_else(|| cursor.error(Kind::Status))?;
    if cursor.peek() != Some(b' ') {
        if !(missing_reason && cursor.peek() == Some(b'\r')) {
            return Err(cursor.error(Kind::Status));
        }
        cursor.line_end(Kind::Reason)?;
        return Ok(StatusLine { status, reason: 0..0 });
    }
    cursor.skip(1);
    let reason = cursor.take(class::value_len);
    cursor.line_end(Kind::Reason)?;
    Ok(StatusLine { status, reason })
}

/// `ICAP/DIGIT.DIGIT`; gives the place of the digits when they are not 1.0.
fn version(cursor: &mut Cursor<'_>) -> Result<Option<usize>, ParseError> {
    cursor.expect(b"ICAP/", Kind::Version)?;
    let at = cursor.at();
    let [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', ..] = cursor.rest() else {
        return Err(cursor.error(Kind::Version));
    };
    cursor.skip(3);
    Ok((*major != b'1' || *minor != b'0').then_some(at))
}

/// Whether an encapsulated head belongs to a request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpKind {
    Request,
    Response,
}

/// Checks a complete encapsulated head: HTTP start line, fields, and an empty line at its very end and nowhere
/// before. Gives the length of the start line with its CRLF.
pub(crate) fn http_head(
    block: &[u8],
    kind: HttpKind,
    limits: &Limits,
    leniency: &Leniency,
) -> Result<usize, ParseError> {
    let mut cursor = Cursor::new(block);
    http_start_line(&mut cursor, kind, limits)?;
    let start_line = cursor.at();
    let mut fields = Fields::new(cursor, limits, leniency);
    while fields.next()?.is_some() {}
    if fields.cursor.at() == block.len() {
        Ok(start_line)
    } else {
        Err(fields.cursor.error(Kind::SectionEnd))
    }
}

fn http_start_line(
    cursor: &mut Cursor<'_>,
    kind: HttpKind,
    limits: &Limits,
) -> Result<(), ParseError> {
    match kind {
        HttpKind::Request => {
            if cursor.take(class::token_len).is_empty() {
                return Err(cursor.error(Kind::HttpStartLine));
            }
            cursor.expect(b" ", Kind::HttpStartLine)?;
            if cursor.take(class::target_len).is_empty() {
                return Err(cursor.error(Kind::HttpStartLine));
            }
            cursor.expect(b" ", Kind::HttpStartLine)?;
            http_version(cursor)?;
            cursor.line_end(Kind::HttpStartLine)?;
        }
        HttpKind::Response => {
            http_version(cursor)?;
            cursor.expect(b" ", Kind::HttpStartLine)?;
            // Origins leave the reason and its blank out often enough; nothing is framed by it.
            status_and_reason(cursor, true)?;
        }
    }
    start_line_fits(cursor, limits)
}

fn http_version(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    cursor.expect(b"HTTP/", Kind::HttpStartLine)?;
    let [b'0'..=b'9', b'.', b'0'..=b'9', ..] = cursor.rest() else {
        return Err(cursor.error(Kind::HttpStartLine));
    };
    cursor.skip(3);
    Ok(())
}

/// One field line, as ranges of the block.
#[derive(Debug)]
pub(crate) struct FieldLine {
    pub(crate) name: Range<usize>,
    /// Without the blanks around it; a folded value keeps its line ends.
    pub(crate) value: Range<usize>,
    pub(crate) folded: bool,
}

/// Reads field lines up to the empty line (RFC 9112 section 5):
///
/// ```text
/// field-line = field-name ":" OWS field-value OWS CRLF
/// obs-fold   = OWS CRLF 1*( SP / HTAB )
/// ```
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) cursor: Cursor<'a>,
    limits: &'a Limits,
    folded_values: bool,
    count: usize,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(cursor: Cursor<'a>, limits: &'a Limits, leniency: &Leniency) -> Self {
        Self { cursor, limits, folded_values: leniency.folded_values, count: 0 }
    }

    /// The next field line; `None` behind the empty line.
    pub(crate) fn next(&mut self) -> Result<Option<FieldLine>, ParseError> {
        let line_start = self.cursor.at();
        let name = self.cursor.take(class::token_len);
        if self.cursor.peek() != Some(b':') || name.is_empty() {
            return self.not_a_field(&name);
        }
        self.count = self.count.saturating_add(1);
        if self.count > self.limits.fields {
            return Err(ParseError::new(Kind::TooManyFields, line_start));
        }
        self.cursor.skip(1);
        while matches!(self.cursor.peek(), Some(b' ' | b'\t')) {
            self.cursor.skip(1);
        }
        let start = self.cursor.at();
        let mut folded = false;
        let end = loop {
            let end = self.cursor.take(class::value_len).end;
            self.cursor.line_end(Kind::FieldValue)?;
            if !matches!(self.cursor.peek(), Some(b' ' | b'\t')) {
                break end;
            }
            if !self.folded_values {
                return Err(self.cursor.error(Kind::Fold));
            }
            folded = true;
        };
        if self.cursor.at().saturating_sub(line_start) > self.limits.field_line {
            return Err(ParseError::new(Kind::FieldLineTooLong, line_start));
        }
        let value = start..end.max(start);
        Ok(Some(FieldLine { name, value: self.trim_end(value), folded }))
    }

    pub(crate) fn name(&self, line: &FieldLine) -> &'a [u8] {
        self.cursor.bytes(line.name.clone())
    }

    pub(crate) fn value(&self, line: &FieldLine) -> &'a [u8] {
        self.cursor.bytes(line.value.clone())
    }

    fn trim_end(&self, value: Range<usize>) -> Range<usize> {
        let mut end = value.end;
        let mut bytes = self.cursor.bytes(value.clone());
        while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = bytes {
            bytes = rest;
            end = end.saturating_sub(1);
        }
        value.start..end
    }

    /// The empty line, or why this is no field line.
    fn not_a_field(&mut self, name: &Range<usize>) -> Result<Option<FieldLine>, ParseError> {
        let next = self.cursor.peek();
        if name.is_empty() && matches!(next, Some(b'\r' | b'\n')) {
            self.cursor.line_end(Kind::FieldName)?;
            return Ok(None);
        }
        Err(self.cursor.error(match next {
            Some(b' ' | b'\t') if name.is_empty() => Kind::LeadingWhitespace,
            Some(b' ' | b'\t') => Kind::SpaceBeforeColon,
            Some(b'\r' | b'\n') => Kind::MissingColon,
            // The section was cut off by its offset before the empty line came.
            None => Kind::SectionEnd,
            _ => Kind::FieldName,
        }))
    }
}
