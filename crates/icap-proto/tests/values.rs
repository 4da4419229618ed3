//! Small values of the ICAP head: `ISTag` at its limits, `Allow` over several fields.

#![allow(clippy::unwrap_used)]

use icap_proto::{
    InvalidHeader, IsTag, Leniency, Limits, ParseErrorKind, RequestHead, ResponseHead, StatusCode,
};

fn quoted(octets: usize) -> String {
    format!("\"{}\"", "x".repeat(octets))
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
