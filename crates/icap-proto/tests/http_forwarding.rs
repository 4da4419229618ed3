//! What goes out of an encapsulated head and into it on the way through a proxy: hop-by-hop fields, credentials for
//! the ICAP server, `Via`, start lines.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use icap_proto::{
    Headers, HttpHead, InvalidHeader, InvalidStartLine, Leniency, Limits, ParseErrorKind,
    RequestHead, TrailerField,
};
use support::rng::Rng;
use support::{lossy, text};

fn request(lines: &str) -> HttpHead {
    let raw = Bytes::from(format!("GET http://h/ HTTP/1.1\r\n{lines}\r\n"));
    HttpHead::parse_request(raw, &Limits::default(), &Leniency::default()).unwrap()
}

fn response(lines: &str) -> HttpHead {
    let raw = Bytes::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
    HttpHead::parse_response(raw, &Limits::default(), &Leniency::default()).unwrap()
}

fn lines(headers: &Headers) -> String {
    lossy(headers.as_bytes())
}

#[test]
fn a_section_is_a_start_line_fields_and_an_empty_line() {
    let rows: [(&str, Option<ParseErrorKind>); 6] = [
        ("HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\nA: 1\r\n", Some(ParseErrorKind::SectionEnd)),
        ("HTTP/1.1 200 OK\r\nA: 1\r\n\r\nx", Some(ParseErrorKind::SectionEnd)),
        ("A: 1\r\n\r\n", Some(ParseErrorKind::HttpStartLine)),
        ("13\r\nHTTP/1.1 200 OK\r\n\r\n\r\n0\r\n\r\n", Some(ParseErrorKind::HttpStartLine)),
    ];
    for (section, expected) in rows {
        let head = HttpHead::parse_response(
            Bytes::from_static(section.as_bytes()),
            &Limits::default(),
            &Leniency::strict(),
        );
        assert_eq!(head.as_ref().err().map(|error| error.kind), expected, "{section:?}");
        if let Ok(head) = head {
            assert_eq!(head.as_bytes(), section.as_bytes());
        }
    }
}

#[test]
fn hop_by_hop_fields_go() {
    // Lines in, lines that stay.
    let rows = [
        ("Host: h\r\n", "Host: h\r\n"),
        ("Connection: X-Foo\r\nX-Foo: 1\r\nx-foo: 2\r\nX-Foobar: 3\r\n", "X-Foobar: 3\r\n"),
        ("connection: close\r\nclose: 1\r\nA: 1\r\n", "A: 1\r\n"),
        (
            "Keep-Alive: timeout=5\r\nPROXY-CONNECTION: keep-alive\r\nTE: trailers\r\nA: 1\r\n",
            "A: 1\r\n",
        ),
        (
            "A: 1\r\nTransfer-Encoding: gzip\r\ntransfer-encoding: chunked\r\nUpgrade: h2c\r\n",
            "A: 1\r\n",
        ),
        ("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n", ""),
        ("X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nConnection: x-a ,, X-C\t\r\nConnection: X-B\r\n", ""),
        // What Transfer-Encoding overrides goes with it.
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nA: 1\r\n", "A: 1\r\n"),
        ("Content-Length: 5\r\nConnection: Content-Length\r\n", "Content-Length: 5\r\n"),
        // A folded list names what stands in its second line too.
        ("Connection: close,\r\n X-A\r\nX-A: 1\r\nB: 1\r\n", "B: 1\r\n"),
        ("Connection: \r\nConnection: ,\"x\", , \x7e\r\nA: 1\r\n", "A: 1\r\n"),
        // Authorization and WWW-Authenticate are for the origin.
        (
            "Authorization: Basic eA==\r\nWWW-Authenticate: Basic\r\n",
            "Authorization: Basic eA==\r\nWWW-Authenticate: Basic\r\n",
        ),
    ];
    for (before, after) in rows {
        let mut head = request(before);
        let start_line = head.start_line().to_vec();
        head.remove_hop_by_hop(TrailerField::Keep);
        assert_eq!(lines(head.headers()), after, "{before:?}");
        assert_eq!(head.start_line(), start_line);
        assert!(head.as_bytes().ends_with(b"\r\n\r\n"));
    }
}

#[test]
fn lines_that_stay_keep_their_bytes() {
    let mut head = response(
        "X-ODD:   a \t\r\nset-cookie: 1\r\nConnection: close\r\nX-Fold: a\r\n\t b\r\nSet-Cookie:2\r\nX-Latin: \r\n",
    );
    let removed = head.remove_hop_by_hop(TrailerField::Remove);
    assert_eq!(
        lines(head.headers()),
        "X-ODD:   a \t\r\nset-cookie: 1\r\nX-Fold: a\r\n\t b\r\nSet-Cookie:2\r\nX-Latin: \r\n"
    );
    assert_eq!(lines(&removed.connection), "Connection: close\r\n");
    assert!(removed.proxy_authentication.is_empty());
}

#[test]
fn connection_has_no_power_over_end_to_end_fields() {
    for name in [
        "Host",
        "content-length",
        "Content-Type",
        "Content-Encoding",
        "CONTENT-RANGE",
        "Cookie",
        "Set-Cookie",
        "Authorization",
        "WWW-Authenticate",
        "Cache-Control",
        "X-Forwarded-For",
        "Forwarded",
        "Via",
        "If-None-Match",
        "Accept-Encoding",
        "Range",
        "Date",
        "ETag",
        "Location",
        "Expect",
    ] {
        let line = format!("{name}: 1\r\n");
        let mut head = request(&format!("{line}Connection: close, {name}\r\n"));
        head.remove_hop_by_hop(TrailerField::Keep);
        assert_eq!(lines(head.headers()), line);
    }
}

#[test]
fn trailer_goes_only_with_the_trailers() {
    let fields = "Trailer: X-Sum\r\nConnection: Trailer\r\n";
    let mut head = response(fields);
    head.remove_hop_by_hop(TrailerField::Keep);
    assert_eq!(lines(head.headers()), "Trailer: X-Sum\r\n");
    let mut head = response(fields);
    let removed = head.remove_hop_by_hop(TrailerField::Remove);
    assert_eq!(lines(head.headers()), "");
    assert_eq!(lines(&removed.connection), fields);
}

#[test]
fn proxy_authentication_moves_to_the_icap_head() {
    let mut head = request(
        "Proxy-Authorization: Basic\r\n dTpw\r\nAuthorization: Bearer x\r\nConnection: Proxy-Authenticate\r\nproxy-authenticate: Basic realm=\"a, b\"\r\n",
    );
    let removed = head.remove_hop_by_hop(TrailerField::Keep);
    assert_eq!(lines(head.headers()), "Authorization: Bearer x\r\n");
    let icap = RequestHead::reqmod("icap://h/s".parse().unwrap())
        .headers(&removed.proxy_authentication)
        .unwrap()
        .http_request(head)
        .build()
        .unwrap();
    let found: Vec<_> =
        icap.headers().iter().map(|field| (field.name, text(field.value))).collect();
    assert_eq!(
        found,
        [
            ("Proxy-Authorization", "Basic dTpw".to_owned()),
            ("proxy-authenticate", r#"Basic realm=\"a, b\""#.to_owned()),
        ]
    );
}

#[test]
fn upgrade_of_a_peer_is_tolerated_and_told() {
    // Squid leaves Upgrade in what it encapsulates.
    let mut head = request("Upgrade: websocket\r\nHost: h\r\n");
    assert_eq!(head.headers().get("upgrade"), Some(&b"websocket"[..]));
    let removed = head.remove_hop_by_hop(TrailerField::Keep);
    assert_eq!(removed.connection.get("Upgrade"), Some(&b"websocket"[..]));
    assert_eq!(lines(head.headers()), "Host: h\r\n");
}

#[test]
fn a_closure_that_panics_leaves_a_whole_head() {
    let before = request("Host: h\r\n");
    let mut head = before.clone();
    let edit = std::panic::AssertUnwindSafe(|| {
        head.edit(|headers| {
            headers.append("X-A", "1").unwrap();
            headers.append("not a token", "").unwrap();
        });
    });
    assert!(std::panic::catch_unwind(edit).is_err());
    assert_eq!(head, before);
}

/// Whatever stands in `Connection`: every line is either kept or given back, in order, and a second time nothing goes.
#[test]
fn no_line_is_lost() {
    const NAMES: [&str; 12] = [
        "Host",
        "Connection",
        "TE",
        "X-A",
        "x-a",
        "X-B",
        "Trailer",
        "Upgrade",
        "Content-Length",
        "Proxy-Authorization",
        "Keep-Alive",
        "close",
    ];
    let mut rng = Rng::new(81);
    for _ in 0..3000 {
        let fields: Vec<_> = (0..rng.below(10))
            .map(|_| {
                let value = format!(
                    "{}{}{}",
                    rng.pick(&NAMES),
                    rng.pick(&[",", ", ", " ;"]),
                    rng.pick(&NAMES)
                );
                (*rng.pick(&NAMES), value)
            })
            .collect();
        let before = HttpHead::request("GET", "/", fields).unwrap();
        let mut after = before.clone();
        let removed = after.remove_hop_by_hop(TrailerField::Remove);
        let mut parts =
            [after.headers(), &removed.connection, &removed.proxy_authentication].map(|headers| {
                headers.iter().map(|field| field.line).collect::<Vec<_>>().into_iter().peekable()
            });
        for field in before.headers().iter() {
            let found = parts.iter_mut().any(|part| part.next_if_eq(&field.line).is_some());
            assert!(found, "lost: {}", text(field.line));
        }
        assert!(parts.iter_mut().all(|part| part.next().is_none()));
        let again = after.clone();
        assert_eq!(after.remove_hop_by_hop(TrailerField::Remove), Default::default());
        assert_eq!(after, again);
        assert_eq!(
            after.headers().get_all("host").count(),
            before.headers().get_all("host").count()
        );
    }
}

#[test]
fn via_names_icap_and_stands_behind_the_others() {
    let mut head = response("Via: 1.0 a\r\nServer: s\r\nvia:1.1 b\r\n");
    head.add_via("av.example:1344", Some("AV 1.0")).unwrap();
    head.add_via("[2001:db8::1]:1344", None).unwrap();
    assert_eq!(
        lines(head.headers()),
        "Via: 1.0 a\r\nServer: s\r\nvia:1.1 b\r\nVia: ICAP/1.0 av.example:1344 (AV 1.0)\r\nVia: ICAP/1.0 [2001:db8::1]:1344\r\n"
    );
    let mut head = request("");
    head.add_via("pseudonym", None).unwrap();
    assert_eq!(lines(head.headers()), "Via: ICAP/1.0 pseudonym\r\n");
}

#[test]
fn via_takes_nothing_that_leaves_its_place() {
    let head = request("Host: h\r\n");
    for (name, comment) in [
        ("", None),
        ("a b", None),
        ("a, 1.1 b", None),
        ("a\r\nX-Forged: 1", None),
        ("a(b)", None),
        ("\u{e9}", None),
        ("a", Some("b) c")),
        ("a", Some("(")),
        ("a", Some("\\")),
        ("a", Some("b\r\nX-Forged: 1")),
        ("a", Some("\n")),
        ("a", Some("\0")),
    ] {
        let mut changed = head.clone();
        assert_eq!(
            changed.add_via(name, comment),
            Err(InvalidHeader::Value),
            "{name:?} {comment:?}"
        );
        assert_eq!(changed, head);
    }
}

#[test]
fn an_origin_is_told_of_icap_with_one_field() {
    let mut head = request("Host: h\r\n");
    head.edit(|headers| headers.set("X-ICAP-Version", "1.0")).unwrap();
    assert_eq!(lines(head.headers()), "Host: h\r\nX-ICAP-Version: 1.0\r\n");
}

#[test]
fn start_lines_change_alone() {
    let raw = Bytes::from_static(b"GET /a HTTP/1.0\r\nX-ODD:  1 \r\n\r\n");
    let mut head = HttpHead::parse_request(raw, &Limits::default(), &Leniency::strict()).unwrap();
    head.set_request_line("POST", "http://b/c").unwrap();
    assert_eq!(lossy(head.as_bytes()), "POST http://b/c HTTP/1.0\r\nX-ODD:  1 \r\n\r\n");
    assert_eq!(head.set_status_line(200, ""), Err(InvalidStartLine::Kind));

    let raw = Bytes::from_static(b"HTTP/1.0 200\r\nX-ODD:  1 \r\n\r\n");
    let mut head = HttpHead::parse_response(raw, &Limits::default(), &Leniency::default()).unwrap();
    head.set_status_line(999, "No\tWay \u{e9}").unwrap();
    assert_eq!(lossy(head.as_bytes()), "HTTP/1.0 999 No\tWay \u{e9}\r\nX-ODD:  1 \r\n\r\n");
    head.set_status_line(404, "").unwrap();
    assert_eq!(lossy(head.as_bytes()), "HTTP/1.0 404 \r\nX-ODD:  1 \r\n\r\n");
    assert_eq!(head.set_request_line("GET", "/"), Err(InvalidStartLine::Kind));
}

#[test]
fn start_lines_take_nothing_that_leaves_its_place() {
    let head = request("");
    for (method, target, error) in [
        ("", "/", InvalidStartLine::Method),
        ("GET /", "/", InvalidStartLine::Method),
        ("G\r\nT", "/", InvalidStartLine::Method),
        ("GET", "", InvalidStartLine::Target),
        ("GET", "/ a", InvalidStartLine::Target),
        ("GET", "/\r\nX-Forged: 1", InvalidStartLine::Target),
        ("GET", "/\0", InvalidStartLine::Target),
        ("GET", "/\t", InvalidStartLine::Target),
    ] {
        let mut changed = head.clone();
        assert_eq!(changed.set_request_line(method, target), Err(error), "{method:?} {target:?}");
        assert_eq!(changed, head);
    }
    let head = response("");
    for (status, reason, error) in [
        (99, "", InvalidStartLine::Status),
        (1000, "", InvalidStartLine::Status),
        (200, "OK\r\nX-Forged: 1", InvalidStartLine::Reason),
        (200, "\n", InvalidStartLine::Reason),
        (200, "\0", InvalidStartLine::Reason),
    ] {
        let mut changed = head.clone();
        assert_eq!(changed.set_status_line(status, reason), Err(error), "{status} {reason:?}");
        assert_eq!(changed, head);
    }
}
