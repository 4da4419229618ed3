//! What a head says of its body, and how it is made to say what is true.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use icap_proto::{BodyLength, HttpHead, InvalidContentLength, LengthMismatch, Leniency, Limits};
use support::lossy;
use support::rng::Rng;

fn request(method: &str, lines: &str) -> HttpHead {
    let raw = Bytes::from(format!("{method} / HTTP/1.1\r\n{lines}\r\n"));
    HttpHead::parse_request(raw, &Limits::default(), &Leniency::default()).unwrap()
}

fn response(status: u16, lines: &str) -> HttpHead {
    let raw = Bytes::from(format!("HTTP/1.1 {status} x\r\n{lines}\r\n"));
    HttpHead::parse_response(raw, &Limits::default(), &Leniency::default()).unwrap()
}

#[test]
fn content_length_is_digits() {
    use InvalidContentLength::{Conflicting, NotANumber};
    let rows = [
        ("", Ok(None)),
        ("Content-Length: 0\r\n", Ok(Some(0))),
        ("content-LENGTH:  5 \r\n", Ok(Some(5))),
        ("Content-Length: 005\r\n", Ok(Some(5))),
        ("Content-Length: 18446744073709551615\r\n", Ok(Some(u64::MAX))),
        ("Content-Length: 5, 5\r\n", Ok(Some(5))),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(Some(5))),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(Conflicting)),
        ("Content-Length: 5,6\r\n", Err(Conflicting)),
        ("Content-Length: \r\n", Err(NotANumber)),
        ("Content-Length: 5,\r\n", Err(NotANumber)),
        ("Content-Length: ,5\r\n", Err(NotANumber)),
        ("Content-Length: +5\r\n", Err(NotANumber)),
        ("Content-Length: -5\r\n", Err(NotANumber)),
        ("Content-Length: 5 5\r\n", Err(NotANumber)),
        ("Content-Length: 0x5\r\n", Err(NotANumber)),
        ("Content-Length: 5.0\r\n", Err(NotANumber)),
        ("Content-Length: 5;a\r\n", Err(NotANumber)),
        ("Content-Length: \"5\"\r\n", Err(NotANumber)),
        ("Content-Length: 5\u{b2}\r\n", Err(NotANumber)),
        ("Content-Length: 18446744073709551616\r\n", Err(NotANumber)),
        ("X: 1\r\nContent-Length: x\r\nContent-Length: 5\r\n", Err(NotANumber)),
    ];
    for (lines, expected) in rows {
        assert_eq!(response(200, lines).content_length(), expected, "{lines:?}");
    }
    // A fold that the head parser lets pass is no digit.
    let folded = response(200, "Content-Length: 5\r\n 5\r\n");
    assert_eq!(folded.content_length(), Err(NotANumber));
}

#[test]
fn messages_without_a_body() {
    for (lines, expected) in [
        ("", false),
        ("Content-Length: 0\r\n", false),
        ("Content-Length: 0, 0\r\n", false),
        ("Content-Length: 1\r\n", true),
        ("Content-Length: x\r\n", true),
        ("Content-Length: 0\r\nContent-Length: 1\r\n", true),
        ("Transfer-Encoding: chunked\r\n", true),
        ("transfer-encoding: identity\r\nContent-Length: 0\r\n", true),
    ] {
        for method in ["GET", "POST", "HEAD", "CONNECT"] {
            let head = request(method, lines);
            assert_eq!(head.may_have_body(None), expected, "{method} {lines:?}");
            assert_eq!(head.may_have_body(Some("HEAD")), expected, "asked of responses only");
        }
    }
    for (status, method, expected) in [
        (200, None, true),
        (200, Some("GET"), true),
        (200, Some("head"), true),
        (200, Some("HEAD"), false),
        (404, Some("HEAD"), false),
        (100, None, false),
        (199, Some("GET"), false),
        (204, Some("GET"), false),
        (205, Some("GET"), true),
        (304, Some("GET"), false),
        (200, Some("CONNECT"), false),
        (299, Some("CONNECT"), false),
        (403, Some("CONNECT"), true),
        (999, Some("GET"), true),
    ] {
        let head = response(status, "Content-Length: 5\r\n");
        assert_eq!(head.may_have_body(method), expected, "{status} to {method:?}");
    }
}

#[test]
fn reframed_responses() {
    use BodyLength::{Chunked, Known, None as Null, Unknown};
    let rows = [
        // Both can never stand together.
        (
            200,
            "GET",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Known(7),
            "Content-Length: 7\r\n",
        ),
        (200, "GET", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Unknown, ""),
        (
            200,
            "GET",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Chunked,
            "Transfer-Encoding: chunked\r\n",
        ),
        (
            200,
            "GET",
            "Transfer-Encoding: gzip, chunked\r\nA: 1\r\n",
            Chunked,
            "Transfer-Encoding: chunked\r\nA: 1\r\n",
        ),
        (200, "GET", "Content-Length: 5\r\n", Null, "Content-Length: 0\r\n"),
        (200, "GET", "", Null, "Content-Length: 0\r\n"),
        (
            200,
            "GET",
            "Content-Length: 5\r\nA: 1\r\ncontent-length: 6\r\n",
            Known(6),
            "Content-Length: 6\r\nA: 1\r\n",
        ),
        (200, "GET", "Content-Length: 5, 5\r\n", Known(5), "Content-Length: 5\r\n"),
        (200, "GET", "Content-Length: x\r\n", Unknown, ""),
        // What is right stays as it is spelled.
        (
            200,
            "GET",
            "X-ODD:  1 \r\ncontent-length:   5 \r\n",
            Known(5),
            "X-ODD:  1 \r\ncontent-length:   5 \r\n",
        ),
        (200, "GET", "Transfer-encoding:chunked\r\n", Chunked, "Transfer-encoding:chunked\r\n"),
        // No body by nature, whatever the caller thinks.
        (
            304,
            "GET",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Null,
            "Content-Length: 5\r\n",
        ),
        (200, "HEAD", "Content-Length: 5\r\n", Null, "Content-Length: 5\r\n"),
        (200, "HEAD", "Content-Length: 5, 5\r\n", Known(9), "Content-Length: 5\r\n"),
        (200, "HEAD", "Content-Length: 5, 6\r\n", Null, ""),
        (200, "HEAD", "", Unknown, ""),
        (204, "GET", "Content-Length: 5\r\n", Null, ""),
        (100, "GET", "Transfer-Encoding: chunked\r\n", Chunked, ""),
        (200, "CONNECT", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Unknown, ""),
        (204, "HEAD", "Content-Length: 5\r\n", Null, ""),
    ];
    for (status, method, before, body, after) in rows {
        let mut head = response(status, before);
        head.reframe(body, Some(method));
        assert_eq!(
            lossy(head.headers().as_bytes()),
            after,
            "{status} {method} {before:?} {body:?}"
        );
        let again = head.clone();
        head.reframe(body, Some(method));
        assert_eq!(head, again);
    }
}

#[test]
fn reframed_requests() {
    use BodyLength::{Chunked, Known, None as Null, Unknown};
    let rows = [
        ("", Null, ""),
        ("Host: h\r\nContent-Length: 5\r\n", Null, "Host: h\r\nContent-Length: 0\r\n"),
        ("Transfer-Encoding: chunked\r\n", Null, "Content-Length: 0\r\n"),
        ("", Known(0), "Content-Length: 0\r\n"),
        ("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", Known(5), "Content-Length: 5\r\n"),
        ("Content-Length: 5\r\n", Unknown, ""),
        ("Content-Length: 5\r\n", Chunked, "Transfer-Encoding: chunked\r\n"),
    ];
    for (before, body, after) in rows {
        let mut head = request("POST", before);
        head.reframe(body, None);
        assert_eq!(lossy(head.headers().as_bytes()), after, "{before:?} {body:?}");
    }
}

/// HTTP/1.0 has no chunks: whoever reads it takes such a message for a faulty one (RFC 9112 section 6.1).
#[test]
fn chunks_make_http_1_1_of_it() {
    let raw = Bytes::from_static(b"POST /a HTTP/1.0\r\nX:  1\r\n\r\n");
    let mut head = HttpHead::parse_request(raw, &Limits::default(), &Leniency::default()).unwrap();
    head.reframe(BodyLength::Known(5), None);
    assert_eq!(head.start_line(), b"POST /a HTTP/1.0");
    head.reframe(BodyLength::Chunked, None);
    let expected = "POST /a HTTP/1.1\r\nX:  1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(lossy(head.as_bytes()), expected);

    let raw = Bytes::from_static(b"HTTP/1.0 200\r\nTransfer-Encoding: chunked\r\n\r\n");
    let parsed = HttpHead::parse_response(raw, &Limits::default(), &Leniency::default()).unwrap();
    let mut head = parsed.clone();
    head.reframe(BodyLength::Chunked, Some("GET"));
    let expected = "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(lossy(head.as_bytes()), expected);
    let mut head = parsed;
    head.reframe(BodyLength::Chunked, Some("HEAD"));
    assert_eq!(lossy(head.as_bytes()), "HTTP/1.0 200\r\n\r\n");
}

#[test]
fn reframed_heads_are_never_ambiguous() {
    const LINES: [&str; 8] = [
        "Content-Length: 5\r\n",
        "Content-Length: 6\r\n",
        "content-length: 5, 5\r\n",
        "Content-Length: x\r\n",
        "Content-Length: \r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "X:  1\r\n",
    ];
    let mut rng = Rng::new(84);
    for _ in 0..3000 {
        let lines: String = (0..rng.below(5)).map(|_| *rng.pick(&LINES)).collect();
        let body = *rng.pick(&[
            BodyLength::None,
            BodyLength::Known(5),
            BodyLength::Unknown,
            BodyLength::Chunked,
        ]);
        let method = *rng.pick(&[None, Some("GET"), Some("HEAD"), Some("CONNECT")]);
        let mut head = match rng.below(3) {
            0 => request("POST", &lines),
            _ => response(*rng.pick(&[100, 200, 204, 206, 304, 404]), &lines),
        };
        let others = head.headers().get_all("X").count();
        let may_have_body = head.is_request() || head.may_have_body(method);
        head.reframe(body, method);
        let length = head.content_length().unwrap();
        assert!(head.headers().get_all("Content-Length").count() <= 1);
        assert!(length.is_none() || !head.has_transfer_encoding());
        assert_eq!(head.headers().get_all("X").count(), others);
        match body {
            _ if !may_have_body => assert!(!head.has_transfer_encoding()),
            BodyLength::Known(n) => assert_eq!(length, Some(n)),
            BodyLength::None => assert!(!matches!(length, Some(1..))),
            BodyLength::Chunked => assert!(head.has_transfer_encoding()),
            _ => assert!(length.is_none() && !head.has_transfer_encoding()),
        }
    }
}

#[test]
fn a_length_that_differs_is_told() {
    assert_eq!(response(200, "").length_mismatch(7), None);
    assert_eq!(response(200, "Content-Length: 7\r\n").length_mismatch(7), None);
    let mismatch = response(200, "Content-Length: 5\r\n").length_mismatch(7).unwrap();
    assert!(matches!(mismatch, LengthMismatch::Differs { declared: 5, decoded: 7, .. }));
    assert_eq!(mismatch.to_string(), "Content-Length is 5, the body has 7 bytes");
    assert_eq!(
        response(200, "Content-Length: 5\r\nContent-Length: 7\r\n").length_mismatch(7),
        Some(LengthMismatch::Invalid(InvalidContentLength::Conflicting))
    );
}

#[test]
fn a_partial_answer_is_checked_with_its_original_end() {
    // 206: ten bytes of the service, then the original from byte 4 of 30.
    let head = response(200, "Content-Length: 36\r\n");
    let (prefix, original, from) = (10u64, 30u64, 4u64);
    assert_eq!(head.length_mismatch(prefix.saturating_add(original.saturating_sub(from))), None);
    assert!(head.length_mismatch(prefix).is_some());
}

#[test]
fn transfer_encoding_from_a_peer_goes_before_the_message_is_used() {
    let mut head = response(200, "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nA: 1\r\n");
    assert!(head.has_transfer_encoding());
    head.reframe(BodyLength::Unknown, Some("GET"));
    assert_eq!(lossy(head.as_bytes()), "HTTP/1.1 200 x\r\nA: 1\r\n\r\n");
}
