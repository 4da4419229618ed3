//! Chunked bodies: the grammar, the attacks that other parsers fell for, limits, and how data is handed out.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use icap_proto::wire::chunk::{BodyEnd, ChunkDecoder, OriginalBody, Part};
use icap_proto::{Leniency, Limits, ParseErrorKind as Kind};
use support::{every_cut, text};

/// What a decoder made of its input.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    end: Option<BodyEnd>,
    error: Option<(Kind, u64)>,
    /// What was not taken.
    rest: Vec<u8>,
}

fn decode_cut(bytes: &[u8], cuts: &[usize], limits: &Limits, leniency: &Leniency) -> Decoded {
    let mut decoder = ChunkDecoder::default();
    let mut input = BytesMut::new();
    let mut decoded = Decoded::default();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        input.extend_from_slice(&bytes[start..end]);
        start = end;
        while decoded.error.is_none() && decoded.end.is_none() {
            match decoder.decode(&mut input, limits, leniency) {
                Ok(Some(Part::Data(data))) => {
                    assert!(!data.is_empty());
                    decoded.data.extend_from_slice(&data);
                }
                Ok(Some(Part::End(end))) => decoded.end = Some(end),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(error) => {
                    let again = decoder.decode(&mut input, limits, leniency);
                    assert_eq!(again, Err(error), "errors stay");
                    decoded.error = Some((error.kind, error.offset));
                }
            }
        }
    }
    assert_eq!(decoder.is_done(), decoded.end.is_some());
    if decoded.end.is_some() {
        assert_eq!(decoder.consumed() as usize, bytes.len() - input.len());
    }
    decoded.rest = input.to_vec();
    decoded
}

fn decode(bytes: &[u8]) -> Decoded {
    decode_cut(bytes, &[], &Limits::default(), &Leniency::strict())
}

/// Decodes under every cut; the result is the same for all.
fn decode_every_way(bytes: &[u8], limits: &Limits, leniency: &Leniency) -> Decoded {
    let whole = decode_cut(bytes, &[], limits, leniency);
    for cuts in every_cut(bytes.len()) {
        let mut decoded = decode_cut(bytes, &cuts, limits, leniency);
        if decoded.error.is_some() {
            // Where it stopped is told by the offset; what was left in the buffer depends on the cut.
            decoded.rest.clone_from(&whole.rest);
        }
        assert_eq!(decoded, whole, "{} cut at {cuts:?}", text(bytes));
    }
    whole
}

fn error_of(bytes: &[u8]) -> Option<(Kind, u64)> {
    let lenient = decode_every_way(bytes, &Limits::default(), &Leniency::default());
    let strict = decode_every_way(bytes, &Limits::default(), &Leniency::strict());
    assert_eq!(lenient.error, strict.error, "{}", text(bytes));
    strict.error
}

#[test]
fn good_bodies() {
    for (bytes, data) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", b"abc"),
        (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (b"7\r\n0\r\n\r\n5\r\r\n0\r\n\r\n", b"0\r\n\r\n5\r"),
        // Blanks and extensions.
        (b"5 \r\nhello\r\n0\t\r\n\r\n", b"hello"),
        (b"5;a\r\nhello\r\n0;b\r\n\r\n", b"hello"),
        (b"5 ; a = b ;c=\"x;y=\\\"z\" \t\r\nhello\r\n0 ;d\r\n\r\n", b"hello"),
        (b"5;a=\"\xe9\t\"\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;use-original-body=1\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;ieofx;xieof=1\r\nhello\r\n0;ieof-\r\n\r\n", b"hello"),
    ] {
        let decoded = decode_every_way(bytes, &Limits::default(), &Leniency::strict());
        assert_eq!(decoded.error, None, "{}", text(bytes));
        assert_eq!(decoded.data, data, "{}", text(bytes));
        assert_eq!(decoded.end, Some(BodyEnd::default()), "{}", text(bytes));
        // What follows the body is left alone.
        let followed = decode(&[bytes, b"0\r\n\r\nX"].concat());
        assert_eq!((followed.data, followed.rest), (data.to_vec(), b"0\r\n\r\nX".to_vec()));
    }
}

#[test]
fn sizes_that_are_refused() {
    for (bytes, kind, at) in [
        (&b"\r\n"[..], Kind::ChunkSize, 0),
        (b"+5\r\nhello", Kind::ChunkSize, 0),
        (b"-5\r\nhello", Kind::ChunkSize, 0),
        (b" 5\r\nhello", Kind::ChunkSize, 0),
        (b"\t5\r\nhello", Kind::ChunkSize, 0),
        (b"0x5\r\nhello", Kind::ChunkSize, 1),
        (b"5h\r\nhello", Kind::ChunkSize, 1),
        (b"4_0\r\n", Kind::ChunkSize, 1),
        (b"5,\r\nhello", Kind::ChunkSize, 1),
        (b"5=\r\nhello", Kind::ChunkSize, 1),
        (b"\xd9\xa5\r\nhello", Kind::ChunkSize, 0),
        (b";a\r\n", Kind::ChunkSize, 0),
        (b"G\r\n", Kind::ChunkSize, 0),
        // More than 2^63-1, more than 16 digits.
        (b"8000000000000000\r\n", Kind::ChunkSizeOverflow, 0),
        (b"f0000000000000003\r\nabc", Kind::ChunkSizeOverflow, 16),
        (b"FFFFFFFFFFFFFFFFF\r\n", Kind::ChunkSizeOverflow, 16),
        (b"ffffffffffffffff\r\n", Kind::ChunkSizeOverflow, 0),
        (b"00000000000000000005\r\nhello", Kind::ChunkSizeOverflow, 16),
        (b"00000000000000000\r\n", Kind::ChunkSizeOverflow, 16),
        (b"10000000000000000\r\n", Kind::ChunkSizeOverflow, 16),
        (b"ffffffffffffffff;a\r\n", Kind::ChunkSizeOverflow, 0),
    ] {
        assert_eq!(error_of(bytes), Some((kind, at)), "{}", text(bytes));
    }
    // The largest size is taken, and nothing is made ready for it.
    let largest = decode(b"7fffffffffffffff\r\nabc");
    assert_eq!((largest.data, largest.error), (b"abc".to_vec(), None));
}

#[test]
fn line_ends_that_are_refused() {
    for (bytes, kind, at) in [
        (&b"5\nhello\r\n0\r\n\r\n"[..], Kind::BareLf, 1),
        (b"5 \nhello\r\n", Kind::BareLf, 2),
        (b"5;a\nhello\r\n", Kind::BareLf, 3),
        (b"5;a=\"x\ny\"\r\nhello\r\n", Kind::BareLf, 6),
        (b"0\n\r\n", Kind::BareLf, 1),
        (b"0; ieof\nX: y\r\n\r\n", Kind::BareLf, 7),
        (b"5\rX\nhello\r\n", Kind::ChunkExtension, 1),
        (b"5\rX\r\nhello\r\n", Kind::ChunkExtension, 1),
        (b"5\r\r\nhello\r\n", Kind::ChunkExtension, 1),
        (b"5;a\r;b\r\nhello\r\n", Kind::ChunkExtension, 3),
        // Told before the line or the section has an end.
        (b"5\rX", Kind::ChunkExtension, 1),
        (b"5;a\r\r", Kind::ChunkExtension, 3),
        (b"5;a b\rX", Kind::ChunkExtension, 4),
        (b"0\r\n\r\r", Kind::BareCr, 4),
        (b"0\r\nX: 1\r\r", Kind::BareCr, 8),
        // Data and its CRLF.
        (b"5\r\nhelloX\r\n", Kind::ChunkEnd, 8),
        (b"5\r\nhello0\r\n", Kind::ChunkEnd, 8),
        (b"5\r\nhello\n0\r\n", Kind::ChunkEnd, 8),
        (b"5\r\nhello\rX", Kind::ChunkEnd, 8),
        (b"3\r\nxxxXX3\r\n", Kind::ChunkEnd, 6),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", Kind::ChunkSize, 10),
        // The end.
        (b"0\r\n\nX", Kind::BareLf, 3),
        (b"0\r\nX\n\r\n", Kind::BareLf, 4),
    ] {
        assert_eq!(error_of(bytes), Some((kind, at)), "{}", text(bytes));
    }
}

#[test]
fn extensions_that_are_refused() {
    for (bytes, at) in [
        (&b"5;\r\nhello"[..], 2),
        (b"5; \r\nhello", 3),
        (b"5;;a\r\nhello", 2),
        (b"5 a\r\nhello", 2),
        (b"5;a b\r\nhello", 4),
        (b"5;a=\r\nhello", 4),
        (b"5;a= ;b\r\nhello", 5),
        (b"5;=b\r\nhello", 2),
        (b"5;a=\"b\r\nhello", 4),
        (b"5;a=\"b\\\"\r\nhello", 4),
        (b"5;a=\"b\"c\r\nhello", 7),
        (b"5;a=\"\0\"\r\nhello", 4),
        (b"5;a=\"\r\n\"\r\nhello", 4),
        (b"5;a\0\r\nhello", 3),
        (b"5;(a)\r\nhello", 2),
    ] {
        assert_eq!(error_of(bytes), Some((Kind::ChunkExtension, at)), "{}", text(bytes));
    }
}

#[test]
fn ieof() {
    let end = |bytes: &[u8], leniency: Leniency| {
        let decoded = decode_every_way(bytes, &Limits::default(), &leniency);
        decoded.end.map(|end| end.ieof).ok_or(decoded.error)
    };
    for bytes in [
        &b"0; ieof\r\n\r\n"[..],
        b"0;ieof\r\n\r\n",
        b"00 ; ieof \r\n\r\n",
        b"0; IEOF\r\n\r\n",
        b"0; a=b; ieof\r\n\r\n",
        b"0; ieof; a\r\n\r\n",
        b"0; ieof\r\nX: y\r\n\r\n",
    ] {
        assert_eq!(end(bytes, Leniency::strict()), Ok(true), "{}", text(bytes));
    }
    for bytes in
        [&b"0\r\n\r\n"[..], b"0; ieofx\r\n\r\n", b"0; x=ieof\r\n\r\n", b"0; x=\"; ieof\"\r\n\r\n"]
    {
        assert_eq!(end(bytes, Leniency::strict()), Ok(false), "{}", text(bytes));
    }
    // On a chunk with data it is an error always.
    let misplaced = Err(Some((Kind::MisplacedIeof, 3)));
    for leniency in [Leniency::strict(), Leniency::default()] {
        assert_eq!(end(b"5; ieof\r\nhello\r\n0\r\n\r\n", leniency), misplaced);
    }
    assert_eq!(end(b"0; ieof=x\r\n\r\n", Leniency::strict()), misplaced);
    assert_eq!(end(b"0; ieof=x\r\n\r\n", Leniency::default()), Ok(true));
}

#[test]
fn use_original_body() {
    let end = |line: &str| {
        let decoded = decode(format!("0{line}\r\n\r\n").as_bytes());
        assert_eq!(decoded.error, None, "{line}");
        decoded.end.unwrap().original_body
    };
    assert_eq!(end(""), None);
    assert_eq!(end("; use-original-body=0"), Some(OriginalBody::From(0)));
    assert_eq!(end(";USE-original-BODY = 12"), Some(OriginalBody::From(12)));
    assert_eq!(end("; use-original-body=18446744073709551615"), Some(OriginalBody::From(u64::MAX)));
    for value in [
        "",
        "=x",
        "=-1",
        "=+1",
        "=0x1",
        "=\"1\"",
        "=18446744073709551616",
        "=1;use-original-body=1",
    ] {
        let line = format!("; use-original-body{value}");
        assert_eq!(end(&line), Some(OriginalBody::Malformed), "{line}");
    }
}

#[test]
fn trailers() {
    let decoded = decode_every_way(
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-b:\r\nContent-Length: 9\r\n\r\nrest",
        &Limits::default(),
        &Leniency::strict(),
    );
    let end = decoded.end.unwrap();
    assert_eq!(end.trailers.as_bytes(), b"X-Sum: 1\r\nx-b:\r\nContent-Length: 9\r\n");
    assert_eq!(decoded.rest, b"rest");
    for (bytes, kind, at) in [
        (&b"0\r\nX\r\n\r\n"[..], Kind::MissingColon, 4),
        (b"0\r\nX : y\r\n\r\n", Kind::SpaceBeforeColon, 4),
        (b"0\r\n X: y\r\n\r\n", Kind::LeadingWhitespace, 3),
        (b"0\r\n: y\r\n\r\n", Kind::FieldName, 3),
        (b"0\r\nX: \0\r\n\r\n", Kind::FieldValue, 6),
        (b"0\r\n\rX\r\n\r\n", Kind::BareCr, 4),
        (b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n", Kind::BareCr, 18),
    ] {
        assert_eq!(error_of(bytes), Some((kind, at)), "{}", text(bytes));
    }
}

#[test]
fn limits_at_n_and_one_more() {
    let mut limits = Limits::default();
    limits.chunk_line = 20;
    limits.extension_bytes = 40;
    limits.trailer_bytes = 30;
    limits.fields = 3;
    let run = |bytes: String| decode_every_way(bytes.as_bytes(), &limits, &Leniency::strict());
    // A chunk line with its CRLF: 5 + n bytes.
    let line = |n: usize| format!("1;a{}\r\nx\r\n0\r\n\r\n", "a".repeat(n - 5));
    assert!(run(line(20)).end.is_some());
    assert_eq!(run(line(21)).error, Some((Kind::ChunkLineTooLong, 20)));
    assert_eq!(run("1;".to_owned() + &"a".repeat(100)).error, Some((Kind::ChunkLineTooLong, 20)));
    assert_eq!(run("1 ".to_owned() + &" ".repeat(100)).error, Some((Kind::ChunkLineTooLong, 20)));
    // Extensions of all lines together.
    let lines = |n: usize| "1;aaaaaaaaa\r\nx\r\n".repeat(n) + "0\r\n\r\n";
    assert!(run(lines(4)).end.is_some());
    let error = run(lines(5));
    assert_eq!((error.data.len(), error.error), (4, Some((Kind::ExtensionsTooLong, 65))));
    // Trailers with their empty line.
    let trailer = |n: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(n - 7));
    assert!(run(trailer(30)).end.is_some());
    assert_eq!(run(trailer(31)).error, Some((Kind::TrailerTooLong, 33)));
    assert_eq!(
        run("0\r\nX: ".to_owned() + &"y".repeat(100)).error,
        Some((Kind::TrailerTooLong, 33))
    );
    let fields = |n: usize| format!("0\r\n{}\r\n", "X:\r\n".repeat(n));
    assert!(run(fields(3)).end.is_some());
    assert_eq!(run(fields(4)).error, Some((Kind::TooManyFields, 15)));
}

/// Small chunks next to each other come as one piece, large data as it lies in the buffer.
#[test]
fn gathering() {
    let sizes = |chunks: &[usize]| {
        let mut bytes = Vec::new();
        for &size in chunks {
            bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            bytes.extend(vec![b'x'; size]);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let mut input = BytesMut::from(&bytes[..]);
        let mut decoder = ChunkDecoder::default();
        let mut sizes = Vec::new();
        loop {
            match decoder.decode(&mut input, &Limits::default(), &Leniency::strict()).unwrap() {
                Some(Part::Data(data)) => {
                    assert!(data.iter().all(|byte| *byte == b'x'));
                    sizes.push(data.len());
                }
                _ => return sizes,
            }
        }
    };
    assert_eq!(sizes(&[1, 2, 3]), [6]);
    assert_eq!(sizes(&[511, 511, 511]), [1533]);
    assert_eq!(sizes(&[512, 512]), [512, 512]);
    assert_eq!(sizes(&[1, 512, 1, 1]), [1, 512, 2]);
    assert_eq!(sizes(&[100_000]), [100_000]);
    assert_eq!(sizes(&[]), [] as [usize; 0]);
}

#[test]
fn good_data_before_a_fault_is_given_out() {
    for bytes in
        [&b"2\r\nab\r\n1\r\nc\r\nx"[..], b"2\r\nab\r\n1\r\ncX", b"3\r\nabc\r\n0\r\nX\r\n\r\n"]
    {
        let decoded = decode_every_way(bytes, &Limits::default(), &Leniency::strict());
        assert_eq!(decoded.data, b"abc");
        assert!(decoded.error.is_some());
    }
}

/// Work grows with the input, not with its square: each of these takes milliseconds, or minutes.
#[test]
fn linear_time() {
    let bound = Duration::from_secs(10);
    let one_byte_chunks = b"1\r\nx\r\n".repeat(100_000);
    let start = Instant::now();
    assert_eq!(decode(&one_byte_chunks).data.len(), 100_000);
    let every_byte: Vec<usize> = (1..one_byte_chunks.len()).collect();
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    assert_eq!(decode_cut(&one_byte_chunks, &every_byte, &limits, &leniency).data.len(), 100_000);
    assert!(start.elapsed() < bound, "{:?}", start.elapsed());

    // A chunk line and a trailer of many bytes, each fed byte by byte.
    let mut limits = Limits::default();
    let large = 1_500_000;
    (limits.chunk_line, limits.extension_bytes) = (2 * large, 2 * large);
    (limits.trailer_bytes, limits.field_line) = (2 * large, 2 * large);
    let bytes = format!("1;a={0}\r\nx\r\n0\r\nX: {0}\r\n\r\n", "y".repeat(large));
    let every_byte: Vec<usize> = (1..bytes.len()).collect();
    let start = Instant::now();
    assert!(decode_cut(bytes.as_bytes(), &every_byte, &limits, &leniency).end.is_some());
    assert!(start.elapsed() < bound, "{:?}", start.elapsed());
}

/// Random bodies in random pieces.
#[test]
fn random_bodies() {
    let mut rng = support::rng::Rng::new(7);
    for _ in 0..300 {
        let mut bytes = Vec::new();
        let mut data = Vec::new();
        for _ in 0..rng.below(20) {
            let len = *rng.pick(&[1, 2, 10, 100, 511, 512, 513, 2000]);
            let piece = rng.bytes(len);
            let extension = *rng.pick(&["", "", " ", ";a", "; b=\"c;\\\"\" "]);
            bytes.extend_from_slice(format!("{len:x}{extension}\r\n").as_bytes());
            bytes.extend_from_slice(&piece);
            bytes.extend_from_slice(b"\r\n");
            data.extend_from_slice(&piece);
        }
        bytes.extend_from_slice(b"0\r\nA: b\r\n\r\nnext");
        let mut cuts: Vec<usize> = (0..rng.below(30)).map(|_| rng.below(bytes.len())).collect();
        cuts.sort_unstable();
        let decoded = decode_cut(&bytes, &cuts, &Limits::default(), &Leniency::strict());
        assert_eq!(decoded.error, None);
        assert!(decoded.data == data && decoded.end.is_some() && decoded.rest == b"next");
    }
}
