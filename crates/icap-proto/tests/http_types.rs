//! Encapsulated heads as the types of the `http` crate, messages of that crate as text, and changes merged back.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use icap_proto::{
    Headers, HttpHead, HttpTypeError, InvalidHeader, InvalidStartLine, Leniency, Limits,
};
use support::lossy;
use support::rng::Rng;

fn parse_request(raw: &[u8]) -> HttpHead {
    let raw = Bytes::copy_from_slice(raw);
    HttpHead::parse_request(raw, &Limits::default(), &Leniency::default()).unwrap()
}

fn parse_response(raw: &[u8]) -> HttpHead {
    let raw = Bytes::copy_from_slice(raw);
    HttpHead::parse_response(raw, &Limits::default(), &Leniency::default()).unwrap()
}

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
    fields.iter().map(|(n, v)| (HeaderName::from_static(n), value(v))).collect()
}

/// Writes a message of the `http` crate, and checks that the own strict parser takes it.
fn written(request: &Request<()>) -> Result<String, HttpTypeError> {
    let head = HttpHead::try_from(request)?;
    let raw = Bytes::copy_from_slice(head.as_bytes());
    let parsed = HttpHead::parse_request(raw, &Limits::default(), &Leniency::strict()).unwrap();
    assert_eq!(parsed, head);
    Ok(lossy(head.as_bytes()))
}

fn request(
    method: &str,
    uri: Uri,
    version: Version,
    fields: &[(&'static str, &str)],
) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = map(fields);
    request
}

/// Method, URI, fields, and the head without its empty line.
type Row<'a> = (&'a str, Uri, &'a [(&'static str, &'a str)], Result<&'a str, InvalidStartLine>);

#[test]
fn targets_and_hosts() {
    use InvalidStartLine::Target;
    let star = Uri::builder().scheme("http").authority("a:1").path_and_query("*").build().unwrap();
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    let rows: [Row<'_>; 28] = [
        ("GET", uri("http://a/x?y"), &[], Ok("GET http://a/x?y HTTP/1.1\r\nhost: a\r\n")),
        ("GET", uri("https://a:8443"), &[], Ok("GET https://a:8443/ HTTP/1.1\r\nhost: a:8443\r\n")),
        ("GET", uri("ftp://a/f"), &[], Ok("GET ftp://a/f HTTP/1.1\r\nhost: a\r\n")),
        (
            "GET",
            uri("http://[::1]:80/"),
            &[],
            Ok("GET http://[::1]:80/ HTTP/1.1\r\nhost: [::1]:80\r\n"),
        ),
        // A Host that is there keeps its place, but never names another authority than the URI.
        (
            "GET",
            uri("http://a/"),
            &[("x", "1"), ("host", "a")],
            Ok("GET http://a/ HTTP/1.1\r\nx: 1\r\nhost: a\r\n"),
        ),
        (
            "GET",
            uri("http://a/"),
            &[("x", "1"), ("host", "A")],
            Ok("GET http://a/ HTTP/1.1\r\nx: 1\r\nhost: A\r\n"),
        ),
        (
            "GET",
            uri("http://a/"),
            &[("x", "1"), ("host", "b")],
            Ok("GET http://a/ HTTP/1.1\r\nx: 1\r\nhost: a\r\n"),
        ),
        (
            "GET",
            uri("http://a/"),
            &[("host", "a"), ("host", "b")],
            Ok("GET http://a/ HTTP/1.1\r\nhost: a\r\n"),
        ),
        (
            "GET",
            uri("http://a/"),
            &[("host", "a"), ("host", "a")],
            Ok("GET http://a/ HTTP/1.1\r\nhost: a\r\n"),
        ),
        // A user never leaves in an http URI; two would name different hosts to different readers.
        ("GET", uri("http://u:p@a:1/"), &[], Ok("GET http://a:1/ HTTP/1.1\r\nhost: a:1\r\n")),
        ("GET", uri("https://b@c@a/?x"), &[], Ok("GET https://a/?x HTTP/1.1\r\nhost: a\r\n")),
        ("GET", uri("ftp://u:p@a/f"), &[], Ok("GET ftp://u:p@a/f HTTP/1.1\r\nhost: a\r\n")),
        ("CONNECT", uri("u@a:443"), &[], Err(Target)),
        ("GET", uri("http://:80/"), &[], Err(Target)),
        ("GET", uri("http://u@:80/"), &[("host", "a")], Err(Target)),
        ("CONNECT", uri(":443"), &[], Err(Target)),
        ("OPTIONS", uri("ftp://:21/"), &[], Err(Target)),
        ("GET", uri("/x?y"), &[("host", "a")], Ok("GET /x?y HTTP/1.1\r\nhost: a\r\n")),
        ("GET", uri("//x"), &[], Ok("GET //x HTTP/1.1\r\n")),
        ("M-SEARCH", uri("/"), &[], Ok("M-SEARCH / HTTP/1.1\r\n")),
        ("CONNECT", uri("a:443"), &[], Ok("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n")),
        ("OPTIONS", uri("*"), &[("host", "a")], Ok("OPTIONS * HTTP/1.1\r\nhost: a\r\n")),
        ("OPTIONS", star.clone(), &[], Ok("OPTIONS * HTTP/1.1\r\nhost: a:1\r\n")),
        ("OPTIONS", uri("http://a/x"), &[], Ok("OPTIONS http://a/x HTTP/1.1\r\nhost: a\r\n")),
        ("GET", star, &[], Err(Target)),
        ("GET", uri("a:443"), &[], Err(Target)),
        ("CONNECT", uri("/x"), &[], Err(Target)),
        // Extended CONNECT (RFC 8441) is no tunnel and has no form in HTTP/1.1.
        ("CONNECT", uri("https://a/chat"), &[], Err(Target)),
    ];
    for (method, uri, fields, expected) in rows {
        for version in [Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
            let expected = expected.map(|head| format!("{head}\r\n"));
            let request = request(method, uri.clone(), version, fields);
            assert_eq!(
                written(&request),
                expected.map_err(HttpTypeError::StartLine),
                "{request:?}"
            );
        }
    }
}

/// Without an authority in the URI nothing says which of two fields counts.
#[test]
fn two_hosts_are_refused() {
    for hosts in [[("host", "a"), ("host", "b")], [("host", "a"), ("host", "a")]] {
        let origin_form = request("GET", Uri::from_static("/"), Version::HTTP_11, &hosts);
        assert_eq!(written(&origin_form), Err(HttpTypeError::Host));
    }
}

#[test]
fn http2_and_http3_are_written_as_http1() {
    let fields = [
        ("cookie", "a=1"),
        ("accept", "*/*"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("connection", "x-kept"),
        ("keep-alive", "1"),
        ("proxy-connection", "1"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-kept", "1"),
        ("cookie", "c=3"),
        ("proxy-authorization", "x"),
    ];
    let uri = Uri::from_static("https://a/");
    let http2 = "GET https://a/ HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2; c=3\r\naccept: */*\r\nx-kept: 1\r\nproxy-authorization: x\r\n\r\n";
    for version in [Version::HTTP_2, Version::HTTP_3] {
        assert_eq!(written(&request("GET", uri.clone(), version, &fields)).unwrap(), http2);
    }
    // HTTP/1 messages are given as they are; remove_hop_by_hop is for those who forward them.
    let http1 = written(&request("GET", uri.clone(), Version::HTTP_11, &fields)).unwrap();
    for line in [
        "cookie: a=1\r\ncookie: b=2\r\n",
        "\r\nte: ",
        "\r\nconnection: ",
        "\r\ntransfer-encoding: ",
    ] {
        assert!(http1.contains(line), "{http1}");
    }
    let http10 = written(&request("GET", uri, Version::HTTP_10, &[])).unwrap();
    assert!(http10.starts_with("GET https://a/ HTTP/1.0\r\n"));

    let mut response = Response::new(());
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() =
        map(&[("connection", "close"), ("set-cookie", "a"), ("set-cookie", "b")]);
    for (status, line) in [(200, "200 OK"), (404, "404 Not Found"), (299, "299 "), (999, "999 ")] {
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let head = HttpHead::try_from(&response).unwrap();
        assert_eq!(
            lossy(head.as_bytes()),
            format!("HTTP/1.1 {line}\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n")
        );
        assert_eq!(head.status(), Some(status));
        let (parts, ()) = response.clone().into_parts();
        assert_eq!(HttpHead::try_from(&parts).unwrap(), head);
    }
    let (parts, ()) =
        request("GET", Uri::from_static("http://a/"), Version::HTTP_2, &[]).into_parts();
    assert_eq!(
        lossy(HttpHead::try_from(&parts).unwrap().as_bytes()),
        "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n"
    );
}

#[test]
fn views() {
    let head = parse_request(b"POST http://a/x?y#z HTTP/1.1\r\nHOST: a\r\nX-Folded: 1\r\n\t 2\r\nx-latin:  \xe9 \r\nX-FOLDED: 3\r\n\r\n");
    let view = head.to_request().unwrap();
    assert_eq!(view.method(), Method::POST);
    assert_eq!(view.uri(), "http://a/x?y");
    assert_eq!(view.version(), Version::HTTP_11);
    assert_eq!(view.headers().len(), 4);
    assert_eq!(view.headers()["x-latin"].as_bytes(), b"\xe9");
    let folded: Vec<_> = view.headers().get_all("x-folded").iter().collect();
    assert_eq!(folded, ["1 2", "3"]);
    assert_eq!(head.to_response().unwrap_err(), InvalidStartLine::Kind.into());

    let head = parse_response(b"HTTP/1.0 404 Nope\r\nA: \r\n\r\n");
    let view = head.to_response().unwrap();
    assert_eq!((view.status(), view.version()), (StatusCode::NOT_FOUND, Version::HTTP_10));
    assert_eq!(view.headers()["a"], "");
    assert_eq!(head.to_request().unwrap_err(), InvalidStartLine::Kind.into());
}

#[test]
fn views_of_what_the_http_crate_cannot_express() {
    for (line, error) in [
        ("GET a/b HTTP/1.1", InvalidStartLine::Target.into()),
        ("GET http:/// HTTP/1.1", InvalidStartLine::Target.into()),
        ("GET / HTTP/4.0", HttpTypeError::Version),
    ] {
        let head = parse_request(format!("{line}\r\n\r\n").as_bytes());
        assert_eq!(head.to_request().unwrap_err(), error, "{line:?}");
    }
    let head = parse_request(b"GET /\xff HTTP/1.1\r\n\r\n");
    assert_eq!(head.to_request().unwrap_err(), InvalidStartLine::Target.into());
    for (line, version) in [("HTTP/1.7", Version::HTTP_11), ("HTTP/2.0", Version::HTTP_2)] {
        let head = parse_response(format!("{line} 200 OK\r\n\r\n").as_bytes());
        assert_eq!(head.to_response().unwrap().version(), version);
    }
    let long = "x".repeat(1 << 16);
    let headers = Headers::from_pairs([(&long, "1")]).unwrap();
    assert_eq!(headers.to_header_map().unwrap_err(), InvalidHeader::Name.into());
    let many = (0..40_000).map(|n| (format!("x-{n}"), ""));
    let mut head = HttpHead::response(200, "OK", many).unwrap();
    assert_eq!(head.to_header_map().unwrap_err(), HttpTypeError::TooManyFields);
    let before = head.clone();
    assert_eq!(head.merge(&HeaderMap::new()).unwrap_err(), HttpTypeError::TooManyFields);
    assert_eq!(head, before);
}

#[test]
fn every_value_of_the_http_crate_fits_a_line_and_every_line_the_http_crate() {
    for byte in 0..=255u8 {
        let value = [b'a', byte, b'a'];
        let head = HttpHead::response(200, "OK", [("X", &value)]);
        match HeaderValue::from_bytes(&value) {
            Ok(value) => assert_eq!(head.unwrap().to_header_map().unwrap()["x"], value),
            Err(_) => assert_eq!(head.unwrap_err(), InvalidHeader::Value, "{byte:#x}"),
        }
        let name = String::from_utf8(vec![b'x', byte]);
        if let Ok(name) = name {
            let ours = Headers::from_pairs([(&name, "")]).is_ok();
            assert_eq!(ours, HeaderName::from_bytes(name.as_bytes()).is_ok(), "{byte:#x}");
        }
    }
}

#[test]
fn trailers_of_the_http_crate() {
    let fields = map(&[("x-sum", "1"), ("x-a", "\u{e9}"), ("x-sum", "2")]);
    let headers = Headers::try_from(&fields).unwrap();
    assert_eq!(lossy(headers.as_bytes()), "x-sum: 1\r\nx-sum: 2\r\nx-a: \u{e9}\r\n");
    assert_eq!(headers.to_header_map().unwrap(), fields);
}

const ODD: &[u8] = b"HTTP/1.1 200 All  Right\r\nX-A:1\r\nSet-COOKIE:  a \r\nx-a:\t2\r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n\r\n";

#[test]
fn merge_rewrites_what_differs() {
    type Change = fn(&mut HeaderMap);
    let line = "HTTP/1.1 200 All  Right\r\n";
    let rows: [(Change, &str); 9] = [
        (|_| {}, "X-A:1\r\nSet-COOKIE:  a \r\nx-a:\t2\r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n"),
        (HeaderMap::clear, ""),
        (
            |map| drop(map.remove("x-a")),
            "Set-COOKIE:  a \r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n",
        ),
        (
            |map| drop(map.insert("x-a", HeaderValue::from_static("9"))),
            "X-A: 9\r\nSet-COOKIE:  a \r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n",
        ),
        // The first line of the two is the same still.
        (
            |map| drop(map.insert("x-a", HeaderValue::from_static("1"))),
            "X-A:1\r\nSet-COOKIE:  a \r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n",
        ),
        (
            |map| assert!(map.append("x-a", HeaderValue::from_static("3"))),
            "X-A:1\r\nSet-COOKIE:  a \r\nx-a:\t2\r\nx-a: 3\r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n",
        ),
        (
            |map| drop(map.insert("x-new", HeaderValue::from_static("n"))),
            "X-A:1\r\nSet-COOKIE:  a \r\nx-a:\t2\r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\nx-new: n\r\n",
        ),
        (
            |map| drop(map.insert("x-fold", HeaderValue::from_static("b c"))),
            "X-A:1\r\nSet-COOKIE:  a \r\nx-a:\t2\r\nX-Fold: b\r\n  c\r\nset-cookie: b\t\r\n",
        ),
        (
            |map| drop(map.insert("x-fold", HeaderValue::from_static(" d\t"))),
            "X-A:1\r\nSet-COOKIE:  a \r\nx-a:\t2\r\nX-Fold: d\r\nset-cookie: b\t\r\n",
        ),
    ];
    for (change, expected) in rows {
        let mut head = parse_response(ODD);
        let mut fields = head.to_header_map().unwrap();
        change(&mut fields);
        head.merge(&fields).unwrap();
        assert_eq!(lossy(head.as_bytes()), format!("{line}{expected}\r\n"));
    }
}

fn random_line(rng: &mut Rng) -> Vec<u8> {
    const NAMES: [&str; 7] = ["X-A", "x-a", "X-a", "Set-Cookie", "B", "b", "X-Fold"];
    const VALUES: [&[u8]; 7] = [b"", b"1", b"2", b"a, b", b"\xe9\xff", b"a\tb  c", b"\"\""];
    const BLANKS: [&str; 4] = ["", " ", "  ", "\t "];
    let name = *rng.pick(&NAMES);
    let mut line = format!("{name}:{}", rng.pick(&BLANKS)).into_bytes();
    let value: &&[u8] = rng.pick(&VALUES);
    line.extend_from_slice(value);
    if name == "X-Fold" && rng.one_in(2) {
        line.extend_from_slice(b"\r\n\t");
        let value: &&[u8] = rng.pick(&VALUES);
        line.extend_from_slice(value);
    }
    line.extend_from_slice(rng.pick(&BLANKS).as_bytes());
    line.extend_from_slice(b"\r\n");
    line
}

fn random_head(rng: &mut Rng) -> HttpHead {
    let lines: Vec<u8> = (0..rng.below(9)).flat_map(|_| random_line(rng)).collect();
    parse_response(&[b"HTTP/1.1 200 OK\r\n", &lines[..], b"\r\n"].concat())
}

#[test]
fn merging_an_unchanged_view_changes_nothing() {
    let mut rng = Rng::new(1);
    for _ in 0..3000 {
        let head = random_head(&mut rng);
        let mut merged = head.clone();
        merged.merge(&head.to_header_map().unwrap()).unwrap();
        assert_eq!(merged.as_bytes(), head.as_bytes());
        let (parts, ()) = head.to_response().unwrap().into_parts();
        merged.merge_response(&parts).unwrap();
        assert_eq!(merged.as_bytes(), head.as_bytes());
    }
}

#[test]
fn a_merged_head_has_the_fields_given() {
    let mut rng = Rng::new(2);
    for _ in 0..3000 {
        let mut head = random_head(&mut rng);
        let lines_before: Vec<_> = head.headers().iter().map(|f| f.line.to_vec()).collect();
        let fields = random_head(&mut rng).to_header_map().unwrap();
        let before = head.to_header_map().unwrap();
        head.merge(&fields).unwrap();
        assert_eq!(head.to_header_map().unwrap(), fields);
        parse_response(head.as_bytes());
        for name in before.keys().filter(|name| before.get_all(*name) == fields.get_all(*name)) {
            let named = |line: &&Vec<u8>| {
                line.to_ascii_lowercase().starts_with(format!("{name}:").as_bytes())
            };
            let after: Vec<_> = head.headers().iter().map(|f| f.line.to_vec()).collect();
            let before: Vec<_> = lines_before.iter().filter(named).collect();
            assert_eq!(after.iter().filter(named).collect::<Vec<_>>(), before);
        }
    }
}

#[test]
fn changed_requests() {
    type Change = fn(&mut http::request::Parts);
    let rows: [(Change, &str); 6] = [
        (|_| {}, "GET http://a/x#y HTTP/1.0\r\nX:  1\r\nHOST: a\r\n\r\n"),
        (
            |parts| parts.method = Method::POST,
            "POST http://a/x#y HTTP/1.0\r\nX:  1\r\nHOST: a\r\n\r\n",
        ),
        (
            |parts| parts.uri = Uri::from_static("http://a/z"),
            "GET http://a/z HTTP/1.0\r\nX:  1\r\nHOST: a\r\n\r\n",
        ),
        (
            |parts| parts.uri = Uri::from_static("http://b:1/x"),
            "GET http://b:1/x HTTP/1.0\r\nX:  1\r\nHost: b:1\r\n\r\n",
        ),
        (|parts| parts.uri = Uri::from_static("/x"), "GET /x HTTP/1.0\r\nX:  1\r\nHOST: a\r\n\r\n"),
        (
            |parts| {
                parts.uri = Uri::from_static("http://b/");
                parts.headers.clear();
            },
            "GET http://b/ HTTP/1.0\r\nHost: b\r\n\r\n",
        ),
    ];
    for (change, expected) in rows {
        let mut head = parse_request(b"GET http://a/x#y HTTP/1.0\r\nX:  1\r\nHOST: a\r\n\r\n");
        let (mut parts, ()) = head.to_request().unwrap().into_parts();
        change(&mut parts);
        head.merge_request(&parts).unwrap();
        assert_eq!(lossy(head.as_bytes()), expected);
    }
}

#[test]
fn a_new_uri_leaves_one_host() {
    let mut head = parse_request(b"GET http://a/ HTTP/1.1\r\nHost: b\r\nHost: a\r\nX:  1\r\n\r\n");
    let (mut parts, ()) = head.to_request().unwrap().into_parts();
    parts.uri = Uri::from_static("http://b/");
    head.merge_request(&parts).unwrap();
    assert_eq!(lossy(head.as_bytes()), "GET http://b/ HTTP/1.1\r\nHost: b\r\nX:  1\r\n\r\n");
}

#[test]
fn changes_that_make_no_message_change_nothing() {
    let before = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (method, uri) in [("CONNECT", "/"), ("GET", "*"), ("GET", "a:443")] {
        let mut head = before.clone();
        let parts =
            request(method, Uri::from_static(uri), Version::HTTP_11, &[("x", "1")]).into_parts().0;
        assert_eq!(
            head.merge_request(&parts),
            Err(InvalidStartLine::Target.into()),
            "{method} {uri}"
        );
        assert_eq!(head, before);
    }
    let mut head = before.clone();
    let parts = Response::new(()).into_parts().0;
    assert_eq!(head.merge_response(&parts), Err(InvalidStartLine::Kind.into()));
    assert_eq!(head, before);
    let mut head = parse_response(ODD);
    let parts = Request::new(()).into_parts().0;
    assert_eq!(head.merge_request(&parts), Err(InvalidStartLine::Kind.into()));
    assert_eq!(head.as_bytes(), ODD);
}

#[test]
fn changed_responses() {
    let mut head = parse_response(b"HTTP/1.1 200 All  Right\r\nX:  1\r\n\r\n");
    let (mut parts, ()) = head.to_response().unwrap().into_parts();
    parts.status = StatusCode::FORBIDDEN;
    head.merge_response(&parts).unwrap();
    assert_eq!(lossy(head.as_bytes()), "HTTP/1.1 403 Forbidden\r\nX:  1\r\n\r\n");
    parts.status = StatusCode::from_u16(599).unwrap();
    head.merge_response(&parts).unwrap();
    assert_eq!(lossy(head.as_bytes()), "HTTP/1.1 599 \r\nX:  1\r\n\r\n");
}
