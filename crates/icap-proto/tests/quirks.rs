//! Habits of products that no other file is about, each with the product or the report it was seen in.

#![allow(clippy::unwrap_used)]

mod support;

use icap_proto::{
    HttpHead, Leniency, Limits, Method, ResponseHead, ServiceOptions, ServiceUri, StatusCode,
};
use support::client::Ask;
use support::server::Server;

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// Errors that say more in their status or their fields (McAfee 418, Symantec 500 with `X-Error-Code`): both are
/// there for whoever judges them.
#[test]
fn statuses_of_products() {
    for (line, status) in [
        ("418 Bad composition", 418),
        ("500 Internal Server Error", 500),
        ("503 ", 503),
        ("511 Whatever", 511),
    ] {
        let bytes = format!("ICAP/1.0 {line}\r\nISTag: \"a\"\r\nX-Error-Code: 0x80004005\r\n\r\n");
        let mut client = Ask::respmod().sent_whole("hello");
        let events = client.recv(&bytes);
        let expected = [format!("response {}", line.trim_end()), "end".into()];
        assert_eq!(events.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected);
        assert_eq!(client.reusable(), Ok(()));
        let head = ResponseHead::parse(bytes.as_bytes(), &Limits::default(), &Leniency::strict());
        let (head, _) = head.unwrap().unwrap();
        assert_eq!(head.status().as_u16(), status);
        assert_eq!(head.headers().get("x-error-code"), Some(&b"0x80004005"[..]));
    }
}

/// A server that keeps silent behind its answer until a timeout (McAfee), or closes without having said so: the
/// answer was over at its last chunk.
#[test]
fn answers_end_by_framing_alone() {
    let list = "Encapsulated: res-hdr=0, res-body=19\r\n";
    let bytes = format!("ICAP/1.0 200 OK\r\nISTag: \"a\"\r\n{list}\r\n{HEAD}2\r\nab\r\n0\r\n\r\n");
    let mut client = Ask::respmod().sent_whole("hello");
    assert_eq!(client.recv(&bytes).last().unwrap(), "end");
    assert_eq!(client.reusable(), Ok(()));
    assert_eq!(client.recv_eof(), None);
    assert!(client.reusable().is_err(), "closed without a word");
}

/// Names in lower case, fields given twice, lists over several of them (nodecap2, ownCloud's reports).
#[test]
fn names_in_any_case_and_lists_over_several_fields() {
    let bytes = b"ICAP/1.0 200 OK\r\nistag: \"a\"\r\nmethods: RESPMOD\r\nMETHODS: REQMOD,\r\n\
        allow: 204\r\nAllow: 206\r\noptions-ttl: 60\r\nencapsulated: null-body=0\r\n\
        x-client: a\r\nX-Client: b\r\n\r\n";
    let (head, _) =
        ResponseHead::parse(bytes, &Limits::default(), &Leniency::strict()).unwrap().unwrap();
    let options = ServiceOptions::from_response(&head);
    assert_eq!(options.methods(), [Method::Respmod, Method::Reqmod]);
    assert!(options.allow().no_content && options.allow().partial_content);
    assert!(options.time_to_live().is_some() && head.istag().is_some());
    assert!(head.headers().get_all("X-CLIENT").eq([&b"a"[..], b"b"]));
}

/// `CONNECT host:443`, and URLs whose percent signs encode nothing: nobody repairs what is not ours.
#[test]
fn targets_are_kept_as_bytes() {
    let none: [(&str, &str); 0] = [];
    for target in
        ["h:443", "http://o/100%", "http://o/%zz?a=%", "/a|b^c\"d", "*", "http://o/\u{e9}"]
    {
        let head = HttpHead::request("GET", target, none).unwrap();
        assert_eq!(head.as_bytes(), format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes());
        let again = HttpHead::parse_request(
            head.as_bytes().to_vec().into(),
            &Limits::default(),
            &Leniency::strict(),
        );
        assert_eq!(again.unwrap().as_bytes(), head.as_bytes());
    }
}

/// Arguments of a service behind `?` (c-icap), no path, no port.
#[test]
fn service_uris_of_products() {
    for (uri, path, query) in [
        ("icap://h:1344/echo?a=b&c", "/echo", Some("a=b&c")),
        ("icap://h", "", None),
        ("icap://h/", "/", None),
        ("icap://h?x", "", Some("x")),
        ("icap://h/s?", "/s", Some("")),
    ] {
        let uri: ServiceUri = uri.parse().unwrap();
        assert_eq!((uri.path(), uri.query()), (path, query), "{uri}");
        assert_eq!(uri.port(), 1344);
    }
}

/// `Upgrade: TLS/1.0` of RFC 3507 section 7.2, which nobody implements: ignored, and what follows is plain ICAP.
#[test]
fn upgrade_is_ignored() {
    let upgrade =
        "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n";
    let plain = "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n";
    let mut server = Server::strict();
    let events = server.recv_until(format!("{upgrade}{plain}"), "end");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.sent().starts_with("ICAP/1.0 404 "));
    assert_eq!(server.closing(), None);
    assert_eq!(server.recv_until("", "end"), events);
}
