//! Hostile texts of a caller never become lines of their own: every public constructor either refuses them or
//! writes exactly the lines that it was asked for.

use bytes::Buf;
use icap_proto::{
    Headers, HttpHead, IsTag, Leniency, Limits, Method, RequestHead, ResponseHead, ServiceOptions,
    ServiceUri, StatusCode, client, server, unfold,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts with what breaks out of a line, or of a part of one.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-zA-Z0-9 -]{0,6}",
        3 => select(vec![
            "\r\n", "\n", "\r", "\0", "\r\n\r\n", "\r\n ", "\t", " ", "\x7f", "\x0b", "\u{85}", "\u{2028}",
            "\u{10a}", "\u{20d}", ":", "\"", "\\", "%0d%0a", "X-Forged: 1", " HTTP/1.1", " ICAP/1.0",
            "Encapsulated: null-body=0", "@", "?", "#", "[", "]", "icap://h/",
        ])
        .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![hostile().prop_map(String::into_bytes), vec(any::<u8>(), 0..12)]
}

/// The lines of a block that ends with its empty line or its last line: no byte in them ends a line, and there are
/// so many as were asked for.
fn lines(block: &[u8], expected: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(block).into_owned();
    let text = text.strip_suffix("\r\n").unwrap_or_else(|| panic!("no line end: {text:?}"));
    let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    for line in &lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?} of {text:?}");
    }
    assert_eq!(lines.len(), expected, "{text:?}");
    lines
}

fn sent(head: &RequestHead) -> Vec<u8> {
    let mut client = client::Connection::new(Limits::default(), Leniency::strict());
    client.start(head).unwrap();
    let output = client.output();
    output.copy_to_bytes(output.remaining()).to_vec()
}

fn answered(head: ResponseHead) -> Vec<u8> {
    let mut server = server::Connection::new(Limits::default(), Leniency::strict());
    server.feed(b"OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: 204\r\n\r\n");
    while server.poll_event().unwrap().is_some() {}
    server.respond(head).unwrap();
    let output = server.output();
    output.copy_to_bytes(output.remaining()).to_vec()
}

/// The names in front of the colons, but for the first line and the empty one.
fn names(lines: &[String]) -> Vec<&str> {
    lines[1..].iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect()
}

proptest! {
    #![proptest_config(crate::cases(4000))]

    #[test]
    fn fields(pairs in vec((hostile(), hostile_bytes()), 1..4)) {
        let mut headers = Headers::new();
        let mut taken = Vec::new();
        for (name, value) in &pairs {
            let before = headers.clone();
            match headers.append(name, value) {
                Ok(()) => taken.push(name.as_str()),
                Err(_) => prop_assert_eq!(&headers, &before, "refused, but changed"),
            }
        }
        if !taken.is_empty() {
            let block = [b"first\r\n", headers.as_bytes()].concat();
            let lines = lines(&block, taken.len() + 1);
            prop_assert_eq!(names(&lines), taken.clone());
        }
        let together = Headers::from_pairs(pairs.iter().map(|(name, value)| (name, value)));
        prop_assert_eq!(together.is_ok(), taken.len() == pairs.len());
        let (name, value) = &pairs[0];
        let mut set = Headers::from_pairs([("A", "1"), ("B", "2")]).unwrap();
        if set.set(name, value).is_ok() {
            let replaced = ["a", "b"].contains(&name.to_ascii_lowercase().as_str());
            lines(set.as_bytes(), if replaced { 2 } else { 3 });
        }
        let plain = unfold(value);
        prop_assert!(!plain.contains(&b'\n'), "{:?}", plain);
    }

    #[test]
    fn http_heads(first in hostile(), second in hostile(), status in 0..1000u16, field in (hostile(), hostile())) {
        if let Ok(head) = HttpHead::request(&first, &second, [(&field.0, &field.1)]) {
            let lines = lines(head.as_bytes(), 3);
            prop_assert_eq!(&lines[0], &format!("{first} {second} HTTP/1.1"));
            prop_assert_eq!(lines[0].split(' ').count(), 3, "a part with a blank");
            prop_assert_eq!(names(&lines), [field.0.as_str()]);
        }
        if let Ok(head) = HttpHead::response(status, &first, [(&field.0, &field.1)]) {
            let lines = lines(head.as_bytes(), 3);
            prop_assert_eq!(&lines[0], &format!("HTTP/1.1 {status} {first}"));
            prop_assert_eq!(names(&lines), [field.0.as_str()]);
        }
        let mut head = HttpHead::response(200, "OK", [("A", "1")]).unwrap();
        let edited = head.edit(|headers| headers.set(&field.0, &field.1).is_ok());
        let more = usize::from(edited && !field.0.eq_ignore_ascii_case("a"));
        lines(head.as_bytes(), 3 + more);
    }

    #[test]
    fn requests(uri in hostile(), path in hostile(), method in hostile(), field in (hostile(), hostile_bytes())) {
        for uri in [uri, format!("icap://h/{path}"), format!("icap://{path}"), format!("icap://{path}@h")] {
            let Ok(uri) = ServiceUri::try_from(uri) else { continue };
            let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::Options);
            let builder = RequestHead::builder(method.clone(), uri.clone());
            let (builder, given) = match builder.clone().header(&field.0, &field.1) {
                Ok(builder) => (builder, Some(field.0.as_str())),
                Err(_) => (builder, None),
            };
            // REQMOD and RESPMOD need parts, which have their own test.
            let Ok(head) = builder.build() else { continue };
            let own_host = given.is_some_and(|name| name.eq_ignore_ascii_case("host"));
            let count = 3 + usize::from(given.is_some()) - usize::from(own_host);
            let lines = lines(&sent(&head), count);
            prop_assert_eq!(&lines[0], &format!("{method} {uri} ICAP/1.0"));
            prop_assert_eq!(lines[0].split(' ').count(), 3, "a part with a blank");
            prop_assert!(names(&lines).iter().all(|name| *name == "Host" || Some(*name) == given));
        }
    }

    #[test]
    fn answers(tag in hostile(), field in (hostile(), hostile_bytes()), service in hostile(), id in hostile()) {
        let mut count = 2;
        let mut builder = ResponseHead::builder(StatusCode::NO_CONTENT);
        if let Ok(tag) = IsTag::new(&tag) {
            builder = builder.istag(&tag);
            count += 1;
        }
        if let Ok(more) = builder.clone().header(&field.0, &field.1) {
            count += usize::from(!(count == 3 && field.0.eq_ignore_ascii_case("istag")));
            builder = more;
        }
        let written = answered(builder.build().unwrap());
        let lines = lines(&written, count);
        prop_assert_eq!(lines[0].as_str(), "ICAP/1.0 204 No Content");

        let Ok(options) = ServiceOptions::respmod(&service) else { return Ok(()) };
        let options = options.istag(IsTag::new("t").unwrap());
        let options = options.clone().service_id(&id).unwrap_or(options);
        let written = answered(options.to_response(icap_proto::Allow::default()).unwrap());
        // Every line is read again as the field that was meant.
        let (head, size) =
            ResponseHead::parse(&written, &Limits::default(), &Leniency::strict()).unwrap().unwrap();
        prop_assert_eq!(size, written.len());
        let again = ServiceOptions::from_response(&head);
        prop_assert_eq!(again.service(), Some(service.trim_matches([' ', '\t'])));
        prop_assert_eq!(again.id(), options.id());
        prop_assert!(!head.headers().iter().any(|field| field.name == "X-Forged"));
    }

    /// Trailers go through the same type, and none of them frames what follows.
    #[test]
    fn trailers(pairs in vec((hostile(), hostile()), 0..3)) {
        let mut trailers = Headers::new();
        for (name, value) in &pairs {
            // What is refused is not there.
            let _ = trailers.append(name, value);
        }
        let page = HttpHead::request("GET", "/", [("Host", "h")]).unwrap();
        let head = RequestHead::reqmod("icap://s/r".parse().unwrap()).http_request(page).body(true);
        let mut client = client::Connection::new(Limits::default(), Leniency::strict());
        client.start(&head.build().unwrap()).unwrap();
        let output = client.output();
        output.advance(output.remaining());
        client.finish(&trailers).unwrap();
        let output = client.output();
        let written = output.copy_to_bytes(output.remaining());
        let most = trailers.iter().count() + 2;
        let count = written.windows(2).filter(|two| two == b"\r\n").count();
        prop_assert!(count <= most, "{count} lines for {most}");
        let lines = lines(&written, count);
        prop_assert_eq!(lines[0].as_str(), "0");
        for name in ["encapsulated", "content-length", "transfer-encoding", "host"] {
            prop_assert!(names(&lines).iter().all(|found| !found.eq_ignore_ascii_case(name)));
        }
    }
}
