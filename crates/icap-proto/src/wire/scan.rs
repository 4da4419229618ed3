//! Finds the end of a head in bytes that arrive bit by bit.

use memchr::memchr2_iter;

use crate::error::{ParseError, ParseErrorKind};

/// Looks for the empty line that ends a head and remembers how far it looked, so that a head that arrives one
/// byte at a time is searched once.
///
/// ```
/// use icap_proto::wire::scan::HeadScan;
///
/// let mut scan = HeadScan::default();
/// assert_eq!(scan.find_end(b"OPTIONS icap://h/s ICAP/1.0\r\n")?, None);
/// assert_eq!(scan.find_end(b"OPTIONS icap://h/s ICAP/1.0\r\n\r\nnext")?, Some(31));
/// # Ok::<(), icap_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct HeadScan {
    seen: usize,
    bare_lf: bool,
}

impl HeadScan {
    /// A scan that, with `bare_lf`, takes a line feed alone for the end of a line.
    pub(crate) const fn new(bare_lf: bool) -> Self {
        Self { seen: 0, bare_lf }
    }

    /// The length of the head with its empty line, `None` while it is not all there.
    ///
    /// `bytes` starts with the head and holds at least the bytes of the last call.
    ///
    /// # Errors
    ///
    /// A line feed without a carriage return in front of it, or a carriage return without a line feed behind it: such a
    /// head would otherwise be waited for in vain.
    pub fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, ParseError> {
        let before = bytes.get(..self.seen).unwrap_or_default();
        // A carriage return that was the last byte has to be looked at again.
        let start = self.seen.saturating_sub(usize::from(before.ends_with(b"\r")));
        let fresh = bytes.get(start..).unwrap_or_default();
        for at in memchr2_iter(b'\r', b'\n', fresh) {
            let at = start.saturating_add(at);
            let behind = at.saturating_add(1);
            if bytes.get(at) == Some(&b'\r') {
                match bytes.get(behind) {
                    None | Some(b'\n') => continue,
                    Some(_) => return Err(ParseError::new(ParseErrorKind::BareCr, behind)),
                }
            }
            match bytes.get(..at).unwrap_or_default() {
                [.., b'\r', b'\n', b'\r'] => {
                    self.seen = 0;
                    return Ok(Some(behind));
                }
                [.., b'\n'] | [.., b'\n', b'\r'] if self.bare_lf => {
                    self.seen = 0;
                    return Ok(Some(behind));
                }
                [.., b'\r'] => {}
                _ if self.bare_lf => {}
                _ => return Err(ParseError::new(ParseErrorKind::BareLf, at)),
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }

    /// [`find_end`](Self::find_end) for a block of at most `limit` bytes; a longer one is refused with
    /// `too_long`, however much of it is there.
    pub(crate) fn find_end_within(
        &mut self,
        bytes: &[u8],
        limit: usize,
        too_long: ParseErrorKind,
    ) -> Result<Option<usize>, ParseError> {
        let window = bytes.get(..=limit).unwrap_or(bytes);
        let end = self.find_end(window)?;
        if end.unwrap_or(window.len()) > limit {
            return Err(ParseError::new(too_long, limit));
        }
        Ok(end)
    }

    /// Bytes that were looked at and do not end the head.
    pub(crate) const fn seen(&self) -> usize {
        self.seen
    }
}
