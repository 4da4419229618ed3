//! Reads a whole head, ICAP part and encapsulated sections, off the front of a buffer.

use alloc::boxed::Box;

use bytes::{Bytes, BytesMut};

use crate::Limits;
use crate::encapsulated::Encapsulated;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::http_head::HttpHead;
use crate::rewrite;
use crate::tolerance::Tolerance;
use crate::wire::cursor::Stop;
use crate::wire::head::Common;
use crate::wire::scan::HeadScan;
use crate::wire::start_line::HttpKind;

/// A request or response head.
pub(crate) trait Head: Sized {
    /// What is known when the ICAP part has been parsed, as ranges of its bytes.
    type Parts: core::fmt::Debug;
    /// What is known of the head before, so that what comes again need not be parsed again.
    type Last: core::fmt::Debug + Default;

    /// Parses the ICAP part, with its empty line.
    fn parse(
        bytes: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
        last: &Self::Last,
    ) -> Result<Self::Parts, Stop>;

    /// Notes what `bytes` say, of which `parts` were parsed, for the next head.
    fn keep(parts: &Self::Parts, bytes: &[u8], last: &mut Self::Last);

    /// Whether a message of this kind may begin with these bytes. `None` while that is open; it was for the
    /// first `seen` bytes.
    fn begins(bytes: &[u8], seen: usize) -> Option<bool>;

    fn common(parts: &Self::Parts) -> &Common;

    /// Makes the head where it stays, for it is large. The parts are used up.
    fn assemble(parts: &mut Self::Parts, message: Message) -> Box<Self>;
}

/// The bytes of a message up to its body.
#[derive(Debug)]
pub(crate) struct Message {
    /// The ICAP part is at the front.
    pub(crate) icap: Bytes,
    pub(crate) list: Encapsulated,
    pub(crate) http_request: Option<HttpHead>,
    pub(crate) http_response: Option<HttpHead>,
    /// The offsets were wrong, and [`Leniency::blank_line_framing`] took them.
    pub(crate) misframed: bool,
}

/// Waits for a head and takes it off the buffer when it is whole.
///
/// A head that is there as a whole is parsed at once. One that is not is parsed again when it may be: until then
/// every byte is looked at once, however the head is cut.
#[derive(Debug)]
pub(crate) struct HeadReader<H: Head> {
    scan: HeadScan,
    /// A parse has come to the end of the bytes.
    waiting: bool,
    /// The first bytes are those of such a message.
    begun: bool,
    /// The start line is all there.
    has_line: bool,
    /// The ICAP part, while the sections are on their way.
    icap: Option<Icap<H>>,
    last: H::Last,
}

#[derive(Debug)]
struct Icap<H: Head> {
    parts: H::Parts,
    /// Bytes on the wire; a rewritten part has another length.
    wire_len: usize,
    rewritten: Option<Bytes>,
    /// For a section that its empty line frames.
    section_scan: HeadScan,
}

impl<H: Head> HeadReader<H> {
    pub(crate) fn new() -> Self {
        Self {
            scan: HeadScan::default(),
            waiting: false,
            begun: false,
            has_line: false,
            icap: None,
            last: H::Last::default(),
        }
    }

    fn start_over(&mut self) {
        self.scan = HeadScan::default();
        (self.waiting, self.begun, self.has_line) = (false, false, false);
        self.icap = None;
    }

    /// Takes a head off the front of the buffer and gives it with its length on the wire; `None` when more input
    /// is needed.
    pub(crate) fn read(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<(Box<H>, usize)>, ParseError> {
        let Some(list) = self.find(input, limits, tolerance)? else { return Ok(None) };
        let Some(icap) = &mut self.icap else { return Ok(None) };
        if icap.rewritten.is_none() {
            H::keep(&icap.parts, input, &mut self.last);
        }
        let size = icap.wire_len.saturating_add(list.header_bytes());
        let wire = input.split_to(size).freeze();
        let head = icap.cut(list, wire, limits, tolerance);
        self.start_over();
        Ok(Some((head?, size)))
    }

    /// Copies the head at the start of a message; `None` when it is not all there.
    pub(crate) fn copy(
        message: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<(H, usize)>, ParseError> {
        let mut reader = Self::new();
        let list = reader.find(message, limits, tolerance)?;
        let Some((list, icap)) = list.zip(reader.icap.as_mut()) else { return Ok(None) };
        let size = icap.wire_len.saturating_add(list.header_bytes());
        let wire = Bytes::copy_from_slice(message.get(..size).unwrap_or_default());
        Ok(Some((*icap.cut(list, wire, limits, tolerance)?, size)))
    }

    /// Waits for the ICAP part, which is kept, and its sections, whose lengths are given.
    fn find(
        &mut self,
        input: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Encapsulated>, ParseError> {
        if self.icap.is_none() {
            self.icap = self.icap_part(input, limits, tolerance)?;
        }
        let Some(icap) = &mut self.icap else { return Ok(None) };
        let sections = input.get(icap.wire_len..).unwrap_or_default();
        icap.sections(sections, limits, tolerance)
            .map_err(|error| error.shifted(icap.wire_len as u64))
    }

    fn icap_part(
        &mut self,
        input: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Icap<H>>, ParseError> {
        let nothing = input.is_empty() || (self.waiting && !self.may_be_whole(input, limits));
        if nothing {
            return Ok(None);
        }
        let window = input.get(..limits.head_bytes).unwrap_or(input);
        let used = tolerance.used();
        let as_it_is = H::parse(window, limits, tolerance, &self.last).map(|parts| {
            let wire_len = H::common(&parts).len;
            (parts, wire_len, None)
        });
        let parsed = match as_it_is {
            // What is rewritten is a fault without that.
            Err(Stop::Fault(_)) if tolerance.allowed().rewrites_heads() => {
                tolerance.restore(used);
                let rewritten = rewrite::icap_head(window, tolerance);
                match H::parse(&rewritten.head, limits, tolerance, &self.last) {
                    Ok(parts) => Ok((parts, rewritten.wire_len, Some(rewritten.head.into()))),
                    Err(Stop::Fault(error)) => Err(Stop::Fault(rewritten.on_the_wire(error))),
                    Err(Stop::Incomplete) => Err(Stop::Incomplete),
                }
            }
            other => other,
        };
        match parsed {
            Ok((parts, wire_len, rewritten)) => {
                let section_scan = HeadScan::default();
                Ok(Some(Icap { parts, wire_len, rewritten, section_scan }))
            }
            Err(stop) => {
                // What a head that is not whole would need depends on where it is cut.
                tolerance.restore(used);
                if !self.waiting {
                    self.waiting = true;
                    self.scan = HeadScan::new(tolerance.allowed().bare_lf_in_head);
                    // A fault is told when the head has come to its end and not before, so that it does not
                    // matter how the head is cut.
                    if !self.may_be_whole(input, limits) {
                        return Ok(None);
                    }
                }
                match stop {
                    Stop::Fault(error) => Err(error),
                    Stop::Incomplete if input.len() > limits.head_bytes => {
                        Err(ParseError::new(Kind::HeadTooLong, limits.head_bytes))
                    }
                    Stop::Incomplete => Ok(None),
                }
            }
        }
    }

    /// Whether parsing again would say more than that the head is not all there.
    fn may_be_whole(&mut self, input: &[u8], limits: &Limits) -> bool {
        let seen = self.scan.seen();
        let line = input.get(..limits.start_line).unwrap_or(input);
        if !self.begun {
            match H::begins(line, seen) {
                Some(false) => return true,
                decided => self.begun = decided.is_some(),
            }
        }
        if !self.has_line {
            self.has_line = memchr::memchr(b'\n', line.get(seen..).unwrap_or_default()).is_some();
            if !self.has_line && input.len() > limits.start_line {
                return true;
            }
        }
        !matches!(self.scan.find_end_within(input, limits.head_bytes, Kind::HeadTooLong), Ok(None))
    }
}

impl<H: Head> Icap<H> {
    fn declared(&self) -> Encapsulated {
        H::common(&self.parts).encapsulated.unwrap_or(Encapsulated::NONE)
    }

    /// The sections with their lengths once they are all there. Their offsets say how long they are; with the
    /// switch for it the empty line does.
    fn sections(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Encapsulated>, ParseError> {
        let mut list = self.declared();
        if tolerance.allowed().blank_line_framing && list.header_bytes() > 0 {
            let (limit, too_long) = (limits.encapsulated_bytes, Kind::EncapsulatedTooLong);
            match self.section_scan.find_end_within(bytes, limit, too_long)? {
                Some(end) => list = list.with_section(end),
                None => return Ok(None),
            }
        }
        Ok((list.header_bytes() <= bytes.len()).then_some(list))
    }

    /// Cuts the sections out of the bytes of the message and holds each to its empty line.
    fn cut(
        &mut self,
        list: Encapsulated,
        wire: Bytes,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Box<H>, ParseError> {
        let wire_len = wire.len();
        let misframed = list != self.declared();
        let mut message = Message {
            misframed: misframed && tolerance.takes(|switches| &mut switches.blank_line_framing),
            icap: Bytes::new(),
            list,
            http_request: None,
            http_response: None,
        };
        let mut start = self.wire_len;
        for (length, kind, slot) in [
            (list.req_hdr(), HttpKind::Request, &mut message.http_request),
            (list.res_hdr(), HttpKind::Response, &mut message.http_response),
        ] {
            let Some(length) = length else { continue };
            let end = start.saturating_add(length).min(wire_len);
            let mut block = wire.slice(start..end);
            if end == wire_len && !list.has_body() {
                block = rewrite::terminated(block, tolerance);
                message.list = list.extended(block.len().saturating_sub(length));
            }
            let head = HttpHead::parse(block, kind, limits, tolerance)
                .map_err(|error| error.shifted(start as u64))?;
            *slot = Some(head);
            start = end;
        }
        message.icap = self.rewritten.take().unwrap_or(wire);
        Ok(H::assemble(&mut self.parts, message))
    }
}
