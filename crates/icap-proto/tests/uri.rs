//! Service URIs: what is taken, what is refused and where.

#![allow(clippy::unwrap_used)]

use icap_proto::{ParseErrorKind, ServiceUri};

fn parse(uri: &str) -> Result<ServiceUri, u64> {
    uri.parse().map_err(|error: icap_proto::ParseError| {
        assert_eq!(error.kind, ParseErrorKind::Uri);
        error.offset
    })
}

#[test]
fn taken() {
    for (uri, host, port, path, query) in [
        ("icap://h", "h", 1344, "", None),
        ("icap://h/", "h", 1344, "/", None),
        ("icap://h:/x", "h", 1344, "/x", None),
        ("icap://h:2000/x", "h", 2000, "/x", None),
        ("icap://h:65535", "h", 65535, "", None),
        ("ICAP://h/s", "h", 1344, "/s", None),
        ("icaps://h/x", "h", 11344, "/x", None),
        ("IcApS://h:1344/x", "h", 1344, "/x", None),
        (
            "icap://h/s?mode=translate&lang=french",
            "h",
            1344,
            "/s",
            Some("mode=translate&lang=french"),
        ),
        ("icap://h?x", "h", 1344, "", Some("x")),
        ("icap://h/s?", "h", 1344, "/s", Some("")),
        ("icap://h/s?a?b/c", "h", 1344, "/s", Some("a?b/c")),
        ("icap://[::1]:1345/s", "[::1]", 1345, "/s", None),
        ("icap://[2001:db8::7]/s", "[2001:db8::7]", 1344, "/s", None),
        ("icap://10.0.0.1/s", "10.0.0.1", 1344, "/s", None),
        ("icap://a-b_c.d~e/%20;p=1,2@:!$&'()*+", "a-b_c.d~e", 1344, "/%20;p=1,2@:!$&'()*+", None),
        ("icap://u:p@h:1/s", "h", 1, "/s", None),
        ("icap://@h/s", "h", 1344, "/s", None),
        ("icap://u%40x:p@h/s", "h", 1344, "/s", None),
        ("icap://a%62c.d:7?%41/@:", "a%62c.d", 7, "", Some("%41/@:")),
        ("icap://h//a/../b", "h", 1344, "//a/../b", None),
    ] {
        let parsed = parse(uri).unwrap_or_else(|at| panic!("{uri} refused at {at}"));
        assert_eq!((parsed.host(), parsed.port()), (host, port), "{uri}");
        assert_eq!((parsed.path(), parsed.query()), (path, query), "{uri}");
        assert_eq!(parsed.is_secure(), parsed.scheme() == "icaps");
    }
}

#[test]
fn refused() {
    for (uri, at) in [
        ("", 0),
        ("h/s", 0),
        ("/s", 0),
        ("*", 0),
        ("http://h/s", 0),
        ("icapx://h/s", 0),
        ("icap:/h/s", 4),
        ("icap:h", 4),
        ("icap://", 7),
        ("icap:///s", 7),
        ("icap://:1344/s", 7),
        ("icap://@", 8),
        ("icap://u@:1/s", 9),
        ("icap://u@v@h/s", 8),
        ("icap://h:65536/s", 7),
        ("icap://h:+1344/s", 7),
        ("icap://h:-1/s", 7),
        ("icap://h: 1/s", 7),
        ("icap://h:1a/s", 7),
        ("icap://h:1:2/s", 7),
        ("icap://[::zz]/s", 7),
        ("icap://[::1/s", 7),
        ("icap://[::1]x/s", 7),
        ("icap://[fe80::1%25eth0]/s", 7),
        ("icap://1.2.3/s", 7),
        ("icap://999.1.1.1/s", 7),
        ("icap://h\\x/s", 7),
        ("icap://h/a b", 10),
        ("icap://h/a\tb", 10),
        ("icap://h/a\r\nX: y", 10),
        ("icap://h/a\0", 10),
        ("icap://h/\u{e9}", 9),
        ("icap://h/%2", 9),
        ("icap://h/%zz", 9),
        ("icap://h/s#f", 10),
        ("icap://h/<>", 9),
        ("icap://h/s?x y", 12),
        ("icap://h/s?%4", 11),
        ("icap://h?a\\b", 10),
        ("icap://u%4@h/s", 8),
        ("icap://h%4/s", 7),
        (" icap://h/s", 0),
    ] {
        assert_eq!(parse(uri).err(), Some(at), "{uri:?}");
    }
}

#[test]
fn user_information_is_kept_from_sight() {
    let uri = parse("icap://user:secret@h/s").unwrap();
    assert_eq!(uri.userinfo(), Some("user:secret"));
    assert_eq!(uri.to_string(), "icap://h/s");
    assert!(!format!("{uri:?}").contains("secret"));
    assert_eq!(parse("icap://@h").unwrap().userinfo(), Some(""));
    assert_eq!(parse("icap://h").unwrap().userinfo(), None);
}

#[test]
fn shown_as_given() {
    for (uri, shown) in [
        ("icap://h", "icap://h"),
        ("icap://h:/", "icap://h/"),
        ("ICAPS://H:01344/s?q", "icaps://H:1344/s?q"),
        ("icap://[::1]:1/s", "icap://[::1]:1/s"),
    ] {
        assert_eq!(parse(uri).unwrap().to_string(), shown);
    }
}

#[test]
fn equal_when_they_name_the_same_service() {
    use std::collections::HashSet;
    let same = ["icap://h/s", "icap://H/s", "ICAP://h:1344/s", "icap://u@h/s", "icap://h:/s"];
    let set: HashSet<_> = same.map(|uri| parse(uri).unwrap()).into();
    assert_eq!(set.len(), 1);
    let other = ["icaps://h/s", "icap://h/S", "icap://h/s?", "icap://h:1/s", "icap://h"];
    let set: HashSet<_> = other.iter().chain(&same).map(|uri| parse(uri).unwrap()).collect();
    assert_eq!(set.len(), 6);
}
