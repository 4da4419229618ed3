//! Chunked bodies: decoding with `ieof`, `use-original-body` and trailers.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::headers::Headers;
use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::wire::cursor::Cursor;
use crate::wire::scan::HeadScan;
use crate::{Leniency, Limits};

/// Chunks below this size are gathered into one piece of data: a reference count for each costs more than
/// moving them together.
const GATHER_BELOW: usize = 512;

/// A last chunk without an extension, and no trailer.
const PLAIN_END: &[u8] = b"0\r\n\r\n";

/// Decodes one chunked body (RFC 9112 section 7.1, RFC 3507 section 4.5).
///
/// ```text
/// chunked-body = *chunk last-chunk trailer-section CRLF
/// chunk        = 1*HEXDIG [ chunk-ext ] CRLF chunk-data CRLF
/// last-chunk   = 1*"0" [ chunk-ext ] CRLF
/// chunk-ext    = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
///
/// Data is split off the input, not copied; small chunks that lie next to each other come as one piece.
///
/// ```
/// use bytes::BytesMut;
/// use icap_proto::wire::chunk::{ChunkDecoder, Part};
/// use icap_proto::{Leniency, Limits};
///
/// let (limits, leniency) = (Limits::default(), Leniency::strict());
/// let mut input = BytesMut::from(&b"5\r\nhello\r\n0; ieof\r\n\r\n"[..]);
/// let mut decoder = ChunkDecoder::default();
/// let Some(Part::Data(data)) = decoder.decode(&mut input, &limits, &leniency)? else { panic!() };
/// assert_eq!(data, "hello");
/// let Some(Part::End(end)) = decoder.decode(&mut input, &limits, &leniency)? else { panic!() };
/// assert!(end.ieof);
/// # Ok::<(), icap_proto::ParseError>(())
/// ```
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    state: State,
    /// Bytes of an incomplete chunk line that hold neither a carriage return nor a line feed.
    scanned: usize,
    extension_bytes: usize,
    last_chunk: LastChunk,
    trailer_scan: HeadScan,
    consumed: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Line,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
    Failed(ParseError),
}

/// What one step came to.
enum Step {
    Part(Part),
    Again,
    Starved,
}

/// What a decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Body data, never empty.
    Data(Bytes),
    /// The end, seen with its last CRLF.
    End(BodyEnd),
}

/// How a body ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyEnd {
    /// The last chunk had `ieof`: the preview was the whole body.
    pub ieof: bool,
    /// The last chunk had `use-original-body`.
    pub original_body: Option<OriginalBody>,
    /// HTTP trailer fields (erratum e2). They are never merged into the head.
    pub trailers: Headers,
}

/// The value of `use-original-body` (draft-icap-ext-partial-content section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginalBody {
    /// The original body goes on from this byte.
    From(u64),
    /// No decimal number.
    Malformed,
}

#[derive(Debug, Default, Clone, Copy)]
struct LastChunk {
    ieof: bool,
    original_body: Option<OriginalBody>,
}

impl ChunkDecoder {
    /// The next piece of the body, taken off the front of `input`; `None` when more input is needed.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, or a limit. Data before it has been given out. Offsets count from
    /// the start of the body. After an error the same error is given again, whatever `input` holds.
    #[inline]
    pub fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<Part>, ParseError> {
        match self.whole_chunks(input) {
            Some(data) => Ok(Some(Part::Data(data))),
            None => self.in_steps(input, limits, &mut Tolerance::new(*leniency)),
        }
    }

    /// The same, with a note of what was not as the RFC has it.
    #[inline]
    pub(crate) fn decode_with(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Part>, ParseError> {
        match self.whole_chunks(input) {
            Some(data) => Ok(Some(Part::Data(data))),
            None => self.in_steps(input, limits, tolerance),
        }
    }

    /// The common case, one pass without a state between the steps: chunks that are there as a whole and have
    /// nothing but a size on their line.
    #[inline]
    fn whole_chunks(&mut self, input: &mut BytesMut) -> Option<Bytes> {
        if !matches!(self.state, State::Line) {
            return None;
        }
        let mut at = 0usize;
        let mut gathered = 0usize;
        while let Some((line_len, size)) = plain_line(input.get(at..)?) {
            let data_at = at.saturating_add(line_len);
            let data_end = data_at.saturating_add(size);
            let Some([b'\r', b'\n', ..]) = input.get(data_end..) else { break };
            let end = data_end.saturating_add(2);
            if size < GATHER_BELOW {
                input.copy_within(data_at..data_end, gathered);
                gathered = gathered.saturating_add(size);
                at = end;
                continue;
            }
            if gathered > 0 {
                break;
            }
            self.consume(end);
            // One reference count a chunk: line and data leave the buffer together.
            let mut data = input.split_to(end).freeze();
            data.advance(data_at);
            data.truncate(size);
            return Some(data);
        }
        if gathered == 0 {
            return None;
        }
        self.consume(at);
        let mut data = input.split_to(at);
        data.truncate(gathered);
        Some(data.freeze())
    }

    /// Everything else: what is cut, extensions, the end, and what is wrong.
    #[inline(never)]
    fn in_steps(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Part>, ParseError> {
        // As most bodies end.
        if matches!(self.state, State::Line) && input.starts_with(PLAIN_END) {
            self.state = State::Done;
            self.take(input, PLAIN_END.len());
            return Ok(Some(Part::End(BodyEnd::default())));
        }
        loop {
            match self.step(input, limits, tolerance) {
                Ok(Step::Again) => {}
                Ok(Step::Part(part)) => return Ok(Some(part)),
                Ok(Step::Starved) => return Ok(None),
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
            // Behind the end of a chunk that was cut, whole ones may follow.
            if let Some(data) = self.whole_chunks(input) {
                return Ok(Some(Part::Data(data)));
            }
        }
    }

    fn step(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Step, ParseError> {
        match self.state {
            State::Line => {
                let read = self.line(input, limits, tolerance);
                let Some(used) = read.map_err(|error| error.shifted(self.consumed))? else {
                    return Ok(Step::Starved);
                };
                self.take(input, used);
                Ok(Step::Again)
            }
            State::Data(left) => {
                let ready = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                if ready == 0 {
                    return Ok(Step::Starved);
                }
                self.state = match left.saturating_sub(ready as u64) {
                    0 => State::DataEnd,
                    left => State::Data(left),
                };
                self.consume(ready);
                Ok(Step::Part(Part::Data(input.split_to(ready).freeze())))
            }
            State::DataEnd => match input[..] {
                [b'\r', b'\n', ..] => {
                    self.state = State::Line;
                    self.take(input, 2);
                    Ok(Step::Again)
                }
                [] | [b'\r'] => Ok(Step::Starved),
                _ => Err(ParseError::new(Kind::ChunkEnd, 0).shifted(self.consumed)),
            },
            State::Trailer => {
                let end = self.trailer(input, limits, tolerance)?;
                Ok(end.map_or(Step::Starved, Step::Part))
            }
            State::Done => Ok(Step::Starved),
            State::Failed(error) => Err(error),
        }
    }

    /// Whether the end has been given out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the body that were taken off the input.
    #[must_use]
    pub const fn consumed(&self) -> u64 {
        self.consumed
    }

    fn consume(&mut self, bytes: usize) {
        self.consumed = self.consumed.saturating_add(bytes as u64);
    }

    /// Takes framing off the input.
    fn take(&mut self, input: &mut BytesMut, bytes: usize) {
        self.consume(bytes);
        input.advance(bytes);
    }

    /// Reads a chunk line at the start of `rest` and gives its length; changes nothing when it fails.
    fn line(
        &mut self,
        rest: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<usize>, ParseError> {
        let Some((size, digits)) = chunk_size(rest)? else { return Ok(None) };
        let after = rest.get(digits..).unwrap_or_default();
        let used = match after {
            [b'\r', b'\n', ..] => digits.saturating_add(2),
            [b'\r'] => return Ok(None),
            _ => match self.extensions(rest, digits, size, limits, tolerance)? {
                Some(used) => used,
                None => return Ok(None),
            },
        };
        self.scanned = 0;
        self.state = if size == 0 { State::Trailer } else { State::Data(size) };
        Ok(Some(used))
    }

    /// Reads what stands between the size and CRLF and gives the length of the whole line.
    fn extensions(
        &mut self,
        line: &[u8],
        digits: usize,
        size: u64,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<usize>, ParseError> {
        // Fail on the first byte that can continue neither the size nor the line.
        if !matches!(line.get(digits), Some(b';' | b' ' | b'\t' | b'\r' | b'\n')) {
            return Err(ParseError::new(Kind::ChunkSize, digits));
        }
        let fresh = line.get(self.scanned..).unwrap_or_default();
        let stop = memchr::memchr2(b'\r', b'\n', fresh).map(|at| self.scanned.saturating_add(at));
        let end = stop.unwrap_or(line.len());
        let (text, behind) = line.split_at_checked(end).unwrap_or_default();
        if end.saturating_add(usize::from(behind.starts_with(b"\r"))) >= limits.chunk_line {
            return Err(ParseError::new(Kind::ChunkLineTooLong, limits.chunk_line));
        }
        match behind {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => {
                self.scanned = end;
                return Ok(None);
            }
            [b'\n', ..] => return Err(ParseError::new(Kind::BareLf, end)),
            // A carriage return alone: no byte that comes could mend that.
            _ => {
                parse_extensions(text, digits, size, tolerance)?;
                return Err(ParseError::new(Kind::ChunkExtension, end));
            }
        }
        let extension_bytes =
            self.extension_bytes.saturating_add(text.len().saturating_sub(digits));
        if extension_bytes > limits.extension_bytes {
            return Err(ParseError::new(Kind::ExtensionsTooLong, digits));
        }
        let last_chunk = parse_extensions(text, digits, size, tolerance)?;
        self.extension_bytes = extension_bytes;
        if size == 0 {
            self.last_chunk = last_chunk;
        }
        Ok(Some(end.saturating_add(2)))
    }

    /// The trailer section: field lines or nothing, then an empty line.
    fn trailer(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Option<Part>, ParseError> {
        let end = match &input[..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => 2,
            bytes => {
                let found = self
                    .trailer_scan
                    .find_end_within(bytes, limits.trailer_bytes, Kind::TrailerTooLong)
                    .map_err(|error| error.shifted(self.consumed))?;
                let Some(end) = found else { return Ok(None) };
                end
            }
        };
        let trailers = if end == 2 {
            input.advance(2);
            Headers::new()
        } else {
            let block = input.split_to(end).freeze();
            Headers::parse_with(block, limits, tolerance)
                .map_err(|error| error.shifted(self.consumed))?
        };
        self.consume(end);
        self.state = State::Done;
        let LastChunk { ieof, original_body } = self.last_chunk;
        Ok(Some(Part::End(BodyEnd { ieof, original_body, trailers })))
    }
}

/// A line of one to eight digits that are not all zero: its length and the size it says.
#[inline]
fn plain_line(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut size = 0usize;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest
        && let Some(digit) = class::hex_digit(*byte)
    {
        // Where this overflows there are more than eight digits.
        size = size.wrapping_shl(4) | usize::from(digit);
        rest = after;
    }
    let digits = bytes.len().saturating_sub(rest.len());
    match rest {
        [b'\r', b'\n', ..] if digits <= 8 && size > 0 => Some((digits.saturating_add(2), size)),
        _ => None,
    }
}

/// Hexadecimal digits at the start: the size and how many there are. `None` when the input ends with them.
fn chunk_size(rest: &[u8]) -> Result<Option<(u64, usize)>, ParseError> {
    /// 64 bits; leading zeros count, so that nobody can drip them for ever.
    const MAX_DIGITS: usize = 16;
    let mut size = 0u64;
    for (index, &byte) in rest.iter().enumerate() {
        let Some(digit) = class::hex_digit(byte) else {
            return match index {
                0 => Err(ParseError::new(Kind::ChunkSize, 0)),
                _ if size > i64::MAX as u64 => Err(ParseError::new(Kind::ChunkSizeOverflow, 0)),
                _ => Ok(Some((size, index))),
            };
        };
        if index >= MAX_DIGITS {
            return Err(ParseError::new(Kind::ChunkSizeOverflow, index));
        }
        // Sixteen digits fill 64 bits exactly.
        size = size << 4 | u64::from(digit);
    }
    Ok(None)
}

/// Checks the extensions of a line and picks the two that ICAP knows.
fn parse_extensions(
    line: &[u8],
    digits: usize,
    size: u64,
    tolerance: &mut Tolerance,
) -> Result<LastChunk, ParseError> {
    let mut cursor = Cursor::new(line);
    cursor.skip(digits);
    let mut last_chunk = LastChunk::default();
    loop {
        cursor.skip_blanks();
        // Blanks behind the last extension come from real peers (Squid bug 4492).
        if cursor.rest().is_empty() {
            return Ok(last_chunk);
        }
        if cursor.peek() != Some(b';') {
            return Err(cursor.error(Kind::ChunkExtension));
        }
        cursor.skip(1);
        cursor.skip_blanks();
        let (at, rest) = (cursor.at(), cursor.rest());
        let name = rest.get(..class::token_len(rest)).unwrap_or_default();
        if name.is_empty() {
            return Err(cursor.error(Kind::ChunkExtension));
        }
        cursor.skip(name.len());
        let value = extension_value(&mut cursor)?;
        if name.eq_ignore_ascii_case(b"ieof") {
            if size != 0
                || (value.is_some() && !tolerance.takes(|switches| &mut switches.ieof_with_value))
            {
                return Err(ParseError::new(Kind::MisplacedIeof, at));
            }
            last_chunk.ieof = true;
        } else if name.eq_ignore_ascii_case(b"use-original-body") && size == 0 {
            let offset = value.and_then(class::decimal);
            // A second one would leave open which counts.
            last_chunk.original_body = match (last_chunk.original_body, offset) {
                (None, Some(offset)) => Some(OriginalBody::From(offset)),
                _ => Some(OriginalBody::Malformed),
            };
        }
    }
}

/// `[ BWS "=" BWS ( token / quoted-string ) ]`; the blanks are given back when no `=` follows them.
fn extension_value<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, ParseError> {
    let before = cursor.clone();
    cursor.skip_blanks();
    if cursor.peek() != Some(b'=') {
        *cursor = before;
        return Ok(None);
    }
    cursor.skip(1);
    cursor.skip_blanks();
    let rest = cursor.rest();
    let len = if cursor.peek() == Some(b'"') {
        quoted_string_len(rest).ok_or_else(|| cursor.error(Kind::ChunkExtension))?
    } else {
        class::token_len(rest)
    };
    if len == 0 {
        return Err(cursor.error(Kind::ChunkExtension));
    }
    cursor.skip(len);
    Ok(rest.get(..len))
}

/// `DQUOTE *( qdtext / quoted-pair ) DQUOTE` (RFC 9110 section 5.6.4).
fn quoted_string_len(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate().skip(1) {
        if !class::is_value(&[byte]) {
            return None;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index.checked_add(1),
            _ => {}
        }
    }
    None
}
