//! A position in bytes that only moves forward, and why it may stop.

use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::wire::class;

/// Why a parser stopped before it was through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes end here, and nothing in them is wrong.
    Incomplete,
    Fault(ParseError),
}

impl Stop {
    /// For a block that is known to be whole: where it ends early, `kind` is what is wrong with it.
    pub(crate) fn in_whole(self, block: &[u8], kind: Kind) -> ParseError {
        match self {
            Self::Incomplete => ParseError::new(kind, block.len()),
            Self::Fault(error) => error,
        }
    }
}

impl From<ParseError> for Stop {
    fn from(error: ParseError) -> Self {
        Self::Fault(error)
    }
}

/// Bytes that are still to be parsed, and where in the whole they end.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(block: &'a [u8]) -> Self {
        Self { rest: block, end: block.len() }
    }

    pub(crate) const fn at(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on with what is left of [`rest`](Self::rest).
    pub(crate) const fn set_rest(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.rest = class::after_blanks(self.rest);
    }

    /// Moves over as many bytes as `len` counts and gives them.
    pub(crate) fn take(&mut self, len: impl FnOnce(&[u8]) -> usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(len(self.rest)).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// The same position with no more than `limit` bytes of the whole in sight.
    pub(crate) fn within(&self, limit: usize) -> Self {
        let left = limit.saturating_sub(self.at());
        match self.rest.get(..left) {
            Some(rest) => Self { rest, end: limit.max(self.at()) },
            None => self.clone(),
        }
    }

    pub(crate) const fn error(&self, kind: Kind) -> ParseError {
        ParseError::new(kind, self.at())
    }

    /// Moves over `expected`, or fails with `kind` where it differs.
    pub(crate) fn expect(&mut self, expected: &[u8], kind: Kind) -> Result<(), Stop> {
        if let Some(rest) = self.rest.strip_prefix(expected) {
            self.rest = rest;
            return Ok(());
        }
        let same = self.rest.iter().zip(expected).take_while(|(byte, wanted)| byte == wanted);
        self.skip(same.count());
        if self.rest.is_empty() { Err(Stop::Incomplete) } else { Err(self.error(kind).into()) }
    }

    /// CRLF, telling a lone CR and a lone LF from other bytes.
    pub(crate) fn line_end(&mut self, otherwise: Kind) -> Result<(), Stop> {
        match self.rest {
            [b'\r', b'\n', rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            [] | [b'\r'] => Err(Stop::Incomplete),
            [b'\r', ..] => {
                self.skip(1);
                Err(self.error(Kind::BareCr).into())
            }
            [b'\n', ..] => Err(self.error(Kind::BareLf).into()),
            _ => Err(self.error(otherwise).into()),
        }
    }
}
