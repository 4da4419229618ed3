//! Small values of the ICAP head: `Host`, `ISTag` at its limits, `Allow` over several fields; the default limits.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use icap_proto::{
    Headers, InvalidHeader, IsTag, Leniency, Limits, ParseErrorKind, RequestHead, ResponseHead,
    StatusCode, client,
};
use support::Core;

fn quoted(octets: usize) -> String {
    format!("\"{}\"", "x".repeat(octets))
}

/// The port is always said: it may, and it must where it is not the default (RFC 9112 section 3.2).
#[test]
fn host_names_the_port() {
    for (uri, host) in [
        ("icap://s/v", "s:1344"),
        ("icaps://s/v", "s:11344"),
        ("icap://s:99", "s:99"),
        ("icap://[::1]/v", "[::1]:1344"),
        ("icap://user:word@s/v", "s:1344"),
    ] {
        let head = RequestHead::options(uri.parse().unwrap()).build().unwrap();
        let mut client = client::Connection::new(Limits::default(), Leniency::strict());
        client.start(&head).unwrap();
        let (read, _) =
            RequestHead::parse(&client.take_output(), &Limits::default(), &Leniency::strict())
                .unwrap()
                .unwrap();
        assert_eq!(read.headers().get("Host"), Some(host.as_bytes()), "{uri}");
    }
}

/// RFC 9112 section 3 asks for 8000 octets of request line at least; a head has an end all the same.
#[test]
fn default_limits_leave_room() {
    let parse = |head: String| {
        let head = RequestHead::parse(head.as_bytes(), &Limits::default(), &Leniency::strict());
        head.map(|head| assert!(head.is_some())).map_err(|error| error.kind)
    };
    let uri = |length: usize| {
        format!("OPTIONS icap://h/{} ICAP/1.0\r\nHost: h\r\n\r\n", "x".repeat(length))
    };
    assert_eq!(parse(uri(8192)), Ok(()));
    assert_eq!(parse(uri(64 * 1024)), Err(ParseErrorKind::StartLineTooLong));
    // Eight fields of 8 KiB and what is left of 64 KiB.
    let fields = |bytes: usize| {
        let start = "OPTIONS icap://h/ ICAP/1.0\r\nHost: h\r\n";
        let long = format!("X: {}\r\n", "x".repeat(8187)).repeat(7);
        let rest = bytes - start.len() - long.len() - "X: \r\n\r\n".len();
        format!("{start}{long}X: {}\r\n\r\n", "x".repeat(rest))
    };
    assert_eq!(parse(fields(64 * 1024)), Ok(()));
    assert_eq!(parse(fields(64 * 1024 + 1)), Err(ParseErrorKind::HeadTooLong));
}

#[test]
fn istags_that_are_built() {
    for good in ["x", "a-b_c.d 1", &"x".repeat(32), &"\u{e9}".repeat(16)] {
        let tag = IsTag::new(good).unwrap();
        assert_eq!(tag.as_bytes(), good.as_bytes());
        assert_eq!(tag.to_string(), format!("\"{good}\""));
        let head = ResponseHead::builder(StatusCode::NO_CONTENT).istag(&tag).build().unwrap();
        assert_eq!(head.headers().get("istag"), Some(format!("\"{good}\"").as_bytes()));
        assert_eq!(head.istag(), Some(tag));
    }
    // Octets count, not characters.
    for bad in ["", &"x".repeat(33), &"\u{e9}".repeat(17), "a\"b", "a\\b", "a\tb", "a\0", "a\r\nb"]
    {
        assert_eq!(IsTag::new(bad), Err(InvalidHeader::Value), "{bad:?}");
    }
}

#[test]
fn istags_that_are_read() {
    let (strict, lenient) = (Leniency::strict(), Leniency::default());
    for (value, by_strict, by_lenient) in [
        (quoted(1), true, true),
        (quoted(32), true, true),
        (quoted(33), false, true),
        (quoted(256), false, true),
        (quoted(257), false, false),
        (quoted(0), false, false),
        ("x".repeat(32), false, true),
        ("x".repeat(256), false, true),
        ("x".repeat(257), false, false),
        ("CI0001-1-squidclamav-10".into(), false, true),
        (String::new(), false, false),
        ("\"".into(), false, false),
        ("\"x".into(), false, false),
        ("x\"".into(), false, false),
        ("\"x\" y".into(), false, false),
        ("\"a\\\"b\"".into(), false, false),
        ("W/\"x\"".into(), false, false),
    ] {
        assert_eq!(IsTag::parse(value.as_bytes(), &strict).is_some(), by_strict, "{value}");
        assert_eq!(IsTag::parse(value.as_bytes(), &lenient).is_some(), by_lenient, "{value}");
    }
    // The quotes are no part of the tag.
    let with = IsTag::parse(b"\"t-1\"", &lenient);
    assert_eq!(with, IsTag::parse(b"t-1", &lenient));
    assert_eq!(with, Some(IsTag::new("t-1").unwrap()));
    assert_ne!(with, IsTag::parse(b"T-1", &lenient));
}

#[test]
fn allow_fields_merge() {
    let read = |fields: &str| {
        let bytes = format!("OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\n{fields}\r\n");
        let head = RequestHead::parse(bytes.as_bytes(), &Limits::default(), &Leniency::strict())?;
        let allow = head.unwrap().0.allow();
        Ok::<_, icap_proto::ParseError>((allow.no_content, allow.partial_content, allow.trailers))
    };
    for (fields, expected) in [
        ("Allow: 204\r\nAllow: trailers\r\n", (true, false, true)),
        ("Allow: 204\r\nX: y\r\nALLOW: 206, Trailers\r\n", (true, true, true)),
        ("Allow: x-patience, 2044, 204\r\n", (true, false, false)),
        ("Allow: 12046\r\nAllow: 0204\r\nAllow: 204.\r\n", (false, false, false)),
        ("Allow: trailer\r\nAllow: 20 4\r\n", (false, false, false)),
        ("Allow: 204\r\nAllow: 204\r\nAllow:\r\n", (true, false, false)),
        ("Allowed: 204\r\n", (false, false, false)),
    ] {
        assert_eq!(read(fields), Ok(expected), "{fields:?}");
    }
    let empty = Limits::default().empty_list_members;
    assert!(read(&format!("Allow: {}\r\n", ",".repeat(empty - 1))).is_ok());
    let beyond = read(&format!("Allow: {}\r\n", ",".repeat(empty)));
    assert_eq!(beyond.unwrap_err().kind, ParseErrorKind::List);
}

/// A status that nobody knows is one of its class (RFC 9110 section 15).
#[test]
fn unknown_statuses_have_a_class() {
    for (status, success, error) in [
        (199, false, false),
        (200, true, false),
        (299, true, false),
        (300, false, false),
        (399, false, false),
        (499, false, true),
        (599, false, true),
    ] {
        let status = StatusCode::new(status).unwrap();
        assert_eq!((status.is_success(), status.is_error()), (success, error), "{status}");
    }
    for outside in [0, 99, 600, 999, 1000, u16::MAX] {
        assert_eq!(StatusCode::new(outside), None);
    }
}

/// A look-up compares names where they stand: no part of a line passes for a name.
#[test]
fn a_name_is_all_that_stands_before_the_first_colon() {
    let pairs = [("Host", "av:1344"), ("Hosts", "b"), ("X", ""), ("host", "c")];
    let headers = Headers::from_pairs(pairs).unwrap();
    assert!(headers.get_all("HOST").eq([&b"av:1344"[..], b"c"]));
    assert_eq!(headers.get("x"), Some(&b""[..]));
    for name in ["", "Hos", "Host: av", "Host:", ":", "t", "av", "X:", "X: \r\nhost"] {
        assert_eq!(headers.get(name), None, "{name:?}");
        assert_eq!(headers.clone().remove(name), 0, "{name:?}");
    }
    let block = Bytes::from_static(b"A: 1\r\n B: 2\r\nB: 3\r\n\r\n");
    let mut folded = Headers::parse(block, &Limits::default(), &Leniency::default()).unwrap();
    assert_eq!(folded.get("A"), Some(&b"1\r\n B: 2"[..]));
    assert_eq!(folded.get("B"), Some(&b"3"[..]));
    assert_eq!(folded.remove("a"), 1);
    assert_eq!(folded.as_bytes(), b"B: 3\r\n");
}
