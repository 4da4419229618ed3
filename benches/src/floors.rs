//! What the same work costs with nothing around it: the floors that the benchmarks are held against.

use std::hint::black_box;

use bytes::{Buf, BytesMut};
use memchr::memchr;

/// Parses three heads: httparse three times.
///
/// # Panics
///
/// When the heads are not those of [`Message::as_http`](crate::Message::as_http).
pub fn httparse_three_times([icap, request, response]: &[Vec<u8>; 3]) {
    for head in [icap, request] {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        black_box(request.parse(head).expect("a good head"));
    }
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut fields);
    black_box(parsed.parse(response).expect("a good head"));
}

/// Decodes a chunked body that is all there into borrowed slices: no copy, no reference count.
///
/// # Panics
///
/// When the body is not one of [`chunked`](crate::chunked).
pub fn decode_slices(mut wire: &[u8]) -> usize {
    let mut bytes = 0;
    loop {
        let line_end = memchr(b'\n', wire).expect("a chunk line");
        let size = hex(&wire[..line_end - 1]);
        if size == 0 {
            return bytes;
        }
        let data_end = line_end + 1 + size;
        bytes += black_box(&wire[line_end + 1..data_end]).len();
        assert_eq!(&wire[data_end..data_end + 2], b"\r\n");
        wire = &wire[data_end + 2..];
    }
}

/// The same with one reference count a chunk: what owned data without a copy costs at least.
///
/// # Panics
///
/// When the body is not one of [`chunked`](crate::chunked).
pub fn decode_shared(wire: &mut BytesMut) -> usize {
    let mut bytes = 0;
    loop {
        let line_end = memchr(b'\n', wire).expect("a chunk line");
        let size = hex(&wire[..line_end - 1]);
        if size == 0 {
            return bytes;
        }
        wire.advance(line_end + 1);
        bytes += black_box(wire.split_to(size).freeze()).len();
        assert_eq!(&wire[..2], b"\r\n");
        wire.advance(2);
    }
}

fn hex(digits: &[u8]) -> usize {
    digits.iter().fold(0, |size, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => byte - b'a' + 10,
        };
        size << 4 | usize::from(digit)
    })
}

/// Writes the chunk lines of a body and shows its slices, as a vectored write takes them: nothing is kept.
pub fn encode_lines(body: &[u8], size: usize, lines: &mut Vec<u8>) {
    for chunk in body.chunks(size) {
        let mut text = *b"0000000000000000\r\n";
        let mut at = 16;
        let mut rest = chunk.len();
        while rest > 0 {
            at -= 1;
            text[at] = b"0123456789abcdef"[rest & 15];
            rest >>= 4;
        }
        lines.extend_from_slice(&text[at..]);
        black_box(chunk);
        lines.extend_from_slice(b"\r\n");
    }
}

/// The least that an exchange of [`previewed`](crate::previewed) and a 204 takes: three heads, the chunks of the
/// preview, and an answer that is a constant.
pub fn transaction(heads: &[Vec<u8>; 3], preview: &[u8], output: &mut Vec<u8>) {
    httparse_three_times(heads);
    decode_slices(preview);
    output.clear();
    output.extend_from_slice(b"ICAP/1.0 204 No Content\r\nISTag: \"bench-1\"\r\n\r\n");
    black_box(output);
}
