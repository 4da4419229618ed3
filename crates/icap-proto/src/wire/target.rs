//! What a request line asks for, and what the one before it asked for.

use alloc::vec::Vec;
use core::ops::Range;

use crate::Limits;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::method::Method;
use crate::tolerance::Tolerance;
use crate::uri::UriParts;
use crate::wire::cursor::{Cursor, Stop};
use crate::wire::start_line;

/// Method and URI of a request line, in the bytes that it begins.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) uri: Range<usize>,
    pub(crate) uri_parts: UriParts,
}

impl Target {
    /// Reads a request line. Beside it comes the place of a version that is well formed but not 1.0.
    pub(crate) fn parse(
        cursor: &mut Cursor<'_>,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<(Self, Option<usize>), Stop> {
        let line = start_line::request(cursor, limits, tolerance)?;
        let method =
            Method::from_bytes(line.method).ok_or_else(|| ParseError::new(Kind::NotIcap, 0))?;
        let uri_parts =
            UriParts::parse(line.uri).map_err(|error| error.shifted(line.uri_at as u64))?;
        let uri = line.uri_at..line.uri_at.saturating_add(line.uri.len());
        Ok((Self { method, uri, uri_parts }, line.other_version))
    }
}

/// The request line of the request before. On a connection most requests begin with the same, which need not be read
/// twice.
#[derive(Default)]
pub(crate) struct LastLine {
    /// With its CRLF.
    line: Vec<u8>,
    target: Option<Target>,
}

impl LastLine {
    /// A longer line is not kept: it would cost an idle connection more than it saves a busy one.
    const LONGEST: usize = 256;

    /// Moves over the line if it is the same again.
    pub(crate) fn again(&self, cursor: &mut Cursor<'_>) -> Option<Target> {
        let target = self.target.as_ref()?;
        cursor.set_rest(cursor.rest().strip_prefix(&self.line[..])?);
        Some(target.clone())
    }

    /// Keeps the line of `len` bytes that `head` begins with, and in which `target` stands.
    pub(crate) fn keep(&mut self, head: &[u8], len: usize, target: &Target) {
        let line = head.get(..len).unwrap_or_default();
        // One that needs leniency is read each time, so that this is seen each time.
        let Range { start, end } = target.uri;
        let is_plain = start == target.method.as_str().len().saturating_add(b" ".len())
            && len == end.saturating_add(b" ICAP/1.0\r\n".len());
        if is_plain && len <= Self::LONGEST && line != self.line {
            self.line.clear();
            self.line.extend_from_slice(line);
            self.target = Some(target.clone());
        }
    }
}

/// The length only: the URI may hold credentials.
impl core::fmt::Debug for LastLine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("LastLine").field(&self.line.len()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use crate::Leniency;

    use super::*;

    /// What is kept of a request line of `len` bytes that was read, and whether it is known again.
    fn kept(len: usize) -> (usize, bool) {
        let (begin, end) = ("OPTIONS icap://h/", " ICAP/1.0\r\n");
        let path = "a".repeat(len - begin.len() - end.len());
        let line = alloc::format!("{begin}{path}{end}");
        let (limits, tolerance) = (Limits::default(), &mut Tolerance::new(Leniency::strict()));
        let target = Target::parse(&mut Cursor::new(line.as_bytes()), &limits, tolerance);
        let mut last = LastLine::default();
        last.keep(line.as_bytes(), len, &target.unwrap().0);
        (last.line.len(), last.again(&mut Cursor::new(line.as_bytes())).is_some())
    }

    #[test]
    fn a_line_is_kept_up_to_its_limit() {
        assert_eq!(kept(256), (256, true));
        assert_eq!(kept(257), (0, false));
    }
}
