//! Reads a whole head, ICAP part and encapsulated sections, off the front of a buffer.

use bytes::{Bytes, BytesMut};

use crate::encapsulated::Encapsulated;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::http_head::HttpHead;
use crate::wire::head::HttpKind;
use crate::wire::scan::HeadScan;
use crate::{Leniency, Limits};

/// A request or response head.
pub(crate) trait Head: Sized {
    /// What is known when the ICAP part has been parsed, as ranges of the block.
    type Parsed: core::fmt::Debug;

    /// Parses the ICAP part, with its empty line.
    fn parse(
        block: &[u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Self::Parsed, ParseError>;

    /// The header sections that follow.
    fn sections(parsed: &Self::Parsed) -> Encapsulated;

    /// Puts the head together; `head` is the block that was parsed.
    fn assemble(parsed: Self::Parsed, head: Bytes, sections: Sections) -> Self;

    /// Whether a message of this kind may begin with these bytes: decided as early as it can be, so that
    /// nothing else is buffered. `None` while that is open; it was for the first `seen` bytes.
    fn starts(bytes: &[u8], seen: usize) -> Option<bool>;
}

/// The encapsulated heads of a message.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) http_request: Option<HttpHead>,
    pub(crate) http_response: Option<HttpHead>,
}

impl Sections {
    /// Cuts the sections by their offsets and holds each to its empty line.
    fn parse(
        bytes: &Bytes,
        list: &Encapsulated,
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Self, ParseError> {
        let mut start = 0usize;
        let mut section = |length: Option<usize>, kind| {
            let Some(length) = length else { return Ok(None) };
            let end = start.saturating_add(length).min(bytes.len());
            let head = HttpHead::parse(bytes.slice(start..end), kind, limits, leniency)
                .map_err(|error| error.shifted(start as u64))?;
            start = end;
            Ok(Some(head))
        };
        let http_request = section(list.req_hdr(), HttpKind::Request)?;
        let http_response = section(list.res_hdr(), HttpKind::Response)?;
        Ok(Self { http_request, http_response })
    }
}

/// Waits for a head and takes it off the buffer when it is whole.
#[derive(Debug)]
pub(crate) struct HeadReader<H: Head> {
    scan: HeadScan,
    /// The first bytes are those of such a message.
    begun: bool,
    /// The start line is all there.
    has_line: bool,
    /// The parsed ICAP part and its length, while the sections are on their way.
    parsed: Option<(H::Parsed, usize)>,
}

impl<H: Head> HeadReader<H> {
    pub(crate) fn new() -> Self {
        Self { scan: HeadScan::default(), begun: false, has_line: false, parsed: None }
    }

    /// The head and its length on the wire; `None` when more input is needed.
    pub(crate) fn read(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<(H, usize)>, ParseError> {
        let (parsed, head_len) = match self.parsed.take() {
            Some(parsed) => parsed,
            None => match self.icap_part(input, limits, leniency)? {
                Some(parsed) => parsed,
                None => return Ok(None),
            },
        };
        let list = H::sections(&parsed);
        let whole = head_len.saturating_add(list.header_bytes());
        if input.len() < whole {
            self.parsed = Some((parsed, head_len));
            return Ok(None);
        }
        *self = Self::new();
        let head = input.split_to(head_len).freeze();
        let sections = input.split_to(list.header_bytes()).freeze();
        let sections = Sections::parse(&sections, &list, limits, leniency)
            .map_err(|error| error.shifted(head_len as u64))?;
        Ok(Some((H::assemble(parsed, head, sections), whole)))
    }

    fn icap_part(
        &mut self,
        input: &[u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<(H::Parsed, usize)>, ParseError> {
        // Every byte is looked at once, however the head is cut: what was seen before is not searched again.
        let seen = self.scan.seen();
        let line = input.get(..limits.start_line).unwrap_or(input);
        if !self.begun {
            match H::starts(line, seen) {
                Some(false) => return Err(ParseError::new(Kind::NotIcap, 0)),
                decided => self.begun = decided.is_some(),
            }
        }
        if !self.has_line {
            self.has_line = memchr::memchr(b'\n', line.get(seen..).unwrap_or_default()).is_some();
            if !self.has_line && input.len() > limits.start_line {
                return Err(ParseError::new(Kind::StartLineTooLong, limits.start_line));
            }
        }
        let found = self.scan.find_end_within(input, limits.head_bytes, Kind::HeadTooLong)?;
        let Some(end) = found else { return Ok(None) };
        let parsed = H::parse(input.get(..end).unwrap_or_default(), limits, leniency)?;
        Ok(Some((parsed, end)))
    }
}
