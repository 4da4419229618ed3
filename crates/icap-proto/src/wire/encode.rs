//! Framing on its way out.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::headers::{Field, Headers, InvalidHeader, unfold};
use crate::output::Output;
use crate::status::StatusCode;
use crate::wire::class;

/// Fields that frame or route a message or say who asks, and have no business in a trailer (RFC 9110
/// section 6.5.1, draft-rousskov-icap-trailers section 6).
const NOT_IN_TRAILERS: [&str; 8] = [
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Encapsulated",
    "Preview",
    "Trailer",
    "Authorization",
    "Proxy-Authorization",
];

/// The field line that ends a connection.
pub(crate) const CLOSE: &[u8] = b"Connection: close\r\n";

/// The first line of a response.
pub(crate) fn status_line(out: &mut BytesMut, status: StatusCode, reason: &[u8]) {
    out.extend_from_slice(b"ICAP/1.0 ");
    out.extend_from_slice(&status.digits());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// One chunk. Empty data is no chunk: a size of 0 would end the body.
#[inline]
pub(crate) fn chunk(output: &mut Output, data: Bytes) {
    if data.is_empty() {
        return;
    }
    chunk_line(output.framing(), data.len());
    output.push(data);
    output.framing().extend_from_slice(b"\r\n");
}

/// The last chunk with its extension, the trailer section and the empty line.
pub(crate) fn last_chunk(output: &mut Output, extension: LastChunk, trailers: &Headers) {
    let out = output.framing();
    out.extend_from_slice(b"0");
    match extension {
        LastChunk::Plain => {}
        LastChunk::Ieof => out.extend_from_slice(b"; ieof"),
        LastChunk::OriginalBody(offset) => {
            out.extend_from_slice(b"; use-original-body=");
            decimal(out, offset);
        }
    }
    out.extend_from_slice(b"\r\n");
    trailer_section(out, trailers);
}

/// What the last chunk says besides its size. Nothing else is ever sent: c-icap refuses other extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastChunk {
    Plain,
    Ieof,
    OriginalBody(u64),
}

/// Field lines without those that a trailer may not have, then the empty line: the end of a chunked body, or an
/// ICAP trailer behind it.
pub(crate) fn trailer_section(out: &mut BytesMut, trailers: &Headers) {
    fields_except(out, trailers, &NOT_IN_TRAILERS);
    out.extend_from_slice(b"\r\n");
}

/// The value of `Trailer` that promises these fields.
pub(crate) fn trailer_names<N: AsRef<str>>(
    names: impl IntoIterator<Item = N>,
) -> Result<Vec<u8>, InvalidHeader> {
    let mut value = Vec::new();
    for name in names {
        let name = name.as_ref();
        if !class::is_token(name.as_bytes()) {
            return Err(InvalidHeader::Name);
        }
        if NOT_IN_TRAILERS.iter().any(|banned| banned.eq_ignore_ascii_case(name)) {
            return Err(InvalidHeader::Reserved);
        }
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(name.as_bytes());
    }
    // A list has at least one member; who does not know the names yet may give any (section 7).
    if value.is_empty() { Err(InvalidHeader::Value) } else { Ok(value) }
}

/// The field lines but for some names, byte for byte unless a value is folded: folds are read, never written
/// (RFC 9112 section 5.2).
pub(crate) fn fields_except(out: &mut BytesMut, headers: &Headers, names: &[&str]) {
    for line in headers.lines() {
        if names.iter().any(|name| line.is(name)) {
            continue;
        }
        if !line.is_folded() {
            out.extend_from_slice(line.bytes());
        } else if let Some(Field { name, value, .. }) = line.field() {
            field(out, name, &unfold(value));
        }
    }
}

/// The field lines but for some names, byte for byte, folds too.
pub(crate) fn lines_except(out: &mut BytesMut, headers: &Headers, names: &[&str]) {
    for field in headers.iter() {
        if !names.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
            out.extend_from_slice(field.line);
        }
    }
}

/// One field line.
pub(crate) fn field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The port behind a host.
pub(crate) fn port(out: &mut BytesMut, port: u16) {
    out.extend_from_slice(b":");
    decimal(out, u64::from(port));
}

/// `1*DIGIT` without leading zeros.
pub(crate) fn decimal(out: &mut BytesMut, mut number: u64) {
    let mut text = [0u8; 20];
    let mut digits = 0usize;
    for slot in text.iter_mut().rev() {
        *slot = b'0'.wrapping_add((number % 10) as u8);
        number /= 10;
        digits = digits.saturating_add(1);
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(text.len().saturating_sub(digits)..).unwrap_or_default());
}

/// The size in lower-case hexadecimal without leading zeros, and CRLF.
#[inline]
fn chunk_line(out: &mut BytesMut, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const LINE_END: usize = b"\r\n".len();
    let mut text = *b"0000000000000000\r\n";
    let mut rest = size as u64;
    let digits = rest.checked_ilog2().unwrap_or(0) as usize / 4;
    for slot in text.iter_mut().rev().skip(LINE_END).take(digits.saturating_add(1)) {
        *slot = DIGITS.get((rest & 15) as usize).copied().unwrap_or(b'0');
        rest >>= 4;
    }
    let start = text.len().saturating_sub(LINE_END).saturating_sub(digits).saturating_sub(1);
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}
