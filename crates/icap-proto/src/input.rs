//! Bytes that arrived, and where in the message they stand.

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};

use crate::Limits;
use crate::error::{ParseError, ParseErrorKind};
use crate::headers::Headers;
use crate::tolerance::Tolerance;
use crate::wire::scan::HeadScan;

/// Enough for heads and a small body in one read.
const READ_HEAD: usize = 16 * 1024;
/// What a streaming body is read in.
const READ_BODY: usize = 64 * 1024;
/// Less room than this is not worth a read.
const READ_MIN: usize = 4 * 1024;

/// The read buffer of a connection. It is empty while the connection is idle.
#[derive(Default)]
pub(crate) struct Input {
    buffer: BytesMut,
    /// How long the buffer was when the last event could not be made of it.
    starved_at: Option<usize>,
    closed: bool,
    /// Bytes of the message in front of the buffer.
    position: u64,
}

impl Input {
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Room for the next read. Whoever needs input has taken whole units off the buffer, so what is left in it
    /// is bounded by the limits on heads, chunk lines and trailers.
    pub(crate) fn room(&mut self, body: bool) -> Limit<&mut BytesMut> {
        let wanted = if body { READ_BODY } else { READ_HEAD };
        let free = self.buffer.capacity().saturating_sub(self.buffer.len());
        if free < READ_MIN {
            self.buffer.reserve(wanted);
        }
        let free = self.buffer.capacity().saturating_sub(self.buffer.len());
        (&mut self.buffer).limit(free.min(READ_BODY))
    }

    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The owner asks for an event: whether more is needed is open again.
    pub(crate) const fn ask(&mut self) {
        self.starved_at = None;
    }

    /// No event can be made of what is there.
    pub(crate) fn starve(&mut self) {
        self.starved_at = Some(self.buffer.len());
    }

    /// Whether nothing arrived since the last event could not be made.
    pub(crate) fn is_starved(&self) -> bool {
        !self.closed && self.starved_at == Some(self.buffer.len())
    }

    /// Gives the buffer away if it holds nothing.
    pub(crate) fn relax(&mut self) -> Option<BytesMut> {
        (self.buffer.is_empty() && self.buffer.capacity() > 0)
            .then(|| core::mem::take(&mut self.buffer))
    }

    /// Reads into another buffer from now on if there is none.
    pub(crate) fn lend(&mut self, lender: impl FnOnce() -> BytesMut) {
        if self.buffer.capacity() == 0 {
            self.buffer = lender();
            self.buffer.clear();
        }
    }

    /// The next message starts at the front of the buffer.
    pub(crate) const fn start_message(&mut self) {
        self.position = 0;
    }

    pub(crate) const fn consumed(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// An error at the front of the buffer.
    pub(crate) const fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError { kind, offset: self.position }
    }

    /// An ICAP trailer: field lines or nothing, then an empty line (draft-rousskov-icap-trailers section 6).
    pub(crate) fn trailer(
        &mut self,
        scan: &mut HeadScan,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Headers>, ParseError> {
        let end = match &self.buffer[..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => Some(2),
            bytes => scan
                .find_end_within(bytes, limits.trailer_bytes, ParseErrorKind::TrailerTooLong)
                .map_err(|error| error.shifted(self.position))?,
        };
        let Some(end) = end else { return Ok(None) };
        let block = self.buffer.split_to(end).freeze();
        let trailer = Headers::parse_with(block, limits, tolerance)
            .map_err(|error| error.shifted(self.position))?;
        self.consumed(end as u64);
        Ok(Some(trailer))
    }
}

/// Sizes only: the bytes may hold credentials.
impl core::fmt::Debug for Input {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Input")
            .field("buffered", &self.buffer.len())
            .field("starved_at", &self.starved_at)
            .field("closed", &self.closed)
            .field("position", &self.position)
            .finish()
    }
}
