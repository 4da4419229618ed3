//! What goes on the wire is accepted by the own strict parser, and no text of a caller breaks out of its place.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use icap_proto::{
    Allow, Headers, HttpHead, InvalidHeader, IsTag, Leniency, Limits, Method, RequestBuilder,
    RequestHead, ResponseHead, ServiceOptions, ServiceUri, StatusCode, client, server,
};
use support::rng::Rng;
use support::{Core, text};

const TOKEN: &[u8] = b"abcXYZ019!#$%&'*+-.^_`|~";
const VALUE: &[u8] = b"abc XYZ\t019,;=\"\\()<>@[]{}:/?\x80\xff\xe9";
const TARGET: &[u8] = b"/abc?x=1&y[]\"<>\x80\xff";

fn string(rng: &mut Rng, alphabet: &[u8], least: usize) -> Vec<u8> {
    (0..least + rng.below(20)).map(|_| *rng.pick(alphabet)).collect()
}

fn token(rng: &mut Rng) -> String {
    String::from_utf8(string(rng, TOKEN, 1)).unwrap()
}

fn fields(rng: &mut Rng) -> Vec<(String, Vec<u8>)> {
    (0..rng.below(8)).map(|_| (format!("X-{}", token(rng)), string(rng, VALUE, 0))).collect()
}

fn http(rng: &mut Rng, request: bool) -> HttpHead {
    if request {
        let target = String::from_utf8_lossy(&string(rng, &TARGET[..14], 1)).into_owned();
        HttpHead::request(&token(rng), &target, fields(rng)).unwrap()
    } else {
        let status = 100 + rng.below(500) as u16;
        HttpHead::response(status, "Reason \u{e9}\t(x)", fields(rng)).unwrap()
    }
}

/// Field lines without the blanks that nobody has to keep.
fn pairs(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

#[test]
fn generated_requests() {
    let mut rng = Rng::new(1);
    for _ in 0..2000 {
        let method = match rng.below(4) {
            0 => Method::Reqmod,
            1 => Method::Options,
            2 => Method::from_bytes(token(&mut rng).as_bytes()).unwrap(),
            _ => Method::Respmod,
        };
        let adapts = matches!(method, Method::Reqmod | Method::Respmod);
        let uri = *rng.pick(&[
            "icap://h",
            "icaps://u:p@H:1/s?x",
            "icap://[::1]/a/b?",
            "icap://10.0.0.1:65535/",
        ]);
        let body = adapts && rng.one_in(2);
        let mut builder = RequestHead::builder(method.clone(), uri.parse().unwrap()).body(body);
        if method == Method::Reqmod || (method == Method::Respmod && rng.one_in(2)) {
            builder = builder.http_request(http(&mut rng, true));
        }
        if method == Method::Respmod {
            builder = builder.http_response(http(&mut rng, false));
        }
        for (name, value) in fields(&mut rng) {
            builder = builder.header(&name, value).unwrap();
        }
        if rng.one_in(3) {
            builder = builder.preview(rng.next());
        }
        builder = if rng.one_in(2) { builder.allow_no_content() } else { builder };
        builder = if rng.one_in(2) { builder.allow_partial_content() } else { builder };
        builder = if rng.one_in(2) { builder.allow_trailers() } else { builder };
        builder = if rng.one_in(2) { builder.close() } else { builder };
        if rng.one_in(4) {
            builder = builder.header("Host", "one").unwrap().header("host", "two").unwrap();
        }
        let head = builder.build().unwrap();

        let mut client = client::Connection::new(Limits::default(), Leniency::strict());
        client.start(&head).unwrap();
        let wire = client.take_output();
        let (parsed, used) = RequestHead::parse(&wire, &Limits::default(), &Leniency::strict())
            .unwrap_or_else(|error| panic!("{error}: {}", text(&wire)))
            .unwrap();
        assert_eq!(used, wire.len());
        assert_eq!(parsed.method(), head.method());
        assert_eq!(parsed.uri(), head.uri());
        assert_eq!(parsed.uri().userinfo(), None, "user information went out");
        assert_eq!(parsed.encapsulated(), head.encapsulated());
        assert_eq!((parsed.preview(), parsed.allow()), (head.preview(), head.allow()));
        assert_eq!((parsed.close(), parsed.has_body()), (head.close(), head.has_body()));
        assert_eq!(parsed.http_request(), head.http_request());
        assert_eq!(parsed.http_response(), head.http_response());
        let sent = pairs(head.headers());
        let found = pairs(parsed.headers());
        assert!(sent.iter().all(|field| found.contains(field)), "{}", text(&wire));
        assert_eq!(parsed.headers().get_all("Host").count(), 1);
        // What was parsed goes out again as it came.
        let mut again = client::Connection::new(Limits::default(), Leniency::strict());
        again.start(&parsed).unwrap();
        let (parsed_again, _) =
            RequestHead::parse(&again.take_output(), &Limits::default(), &Leniency::strict())
                .unwrap()
                .unwrap();
        assert_eq!(pairs(parsed_again.headers()).len(), found.len());
    }
}

#[test]
fn generated_answers() {
    let mut rng = Rng::new(2);
    for _ in 0..2000 {
        let mut server = server::Connection::new(Limits::default(), Leniency::strict());
        server.feed(
            b"REQMOD icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: 204, 206\r\n\
              Encapsulated: req-hdr=0, null-body=18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        );
        while server.poll_line().unwrap().is_some() {}
        let status = *rng.pick(&[200, 204, 206, 299, 302, 400, 404, 500, 599]);
        let status = StatusCode::new(status).unwrap();
        let adapts = matches!(status.as_u16(), 200 | 206);
        let with_http = adapts || (status != StatusCode::NO_CONTENT && rng.one_in(3));
        let tag = IsTag::new(&token(&mut rng)).unwrap();
        let mut builder =
            ResponseHead::builder(status).istag(&IsTag::new("old").unwrap()).istag(&tag);
        if with_http {
            let request = rng.one_in(2);
            builder = builder.http(http(&mut rng, request)).body(rng.one_in(2));
        } else if rng.one_in(2) {
            builder = builder.null_body();
        }
        for (name, value) in fields(&mut rng) {
            builder = builder.header(&name, value).unwrap();
        }
        builder = if rng.one_in(4) { builder.close() } else { builder };
        let head = builder.build().unwrap();
        server.respond(head.clone()).unwrap();
        let wire = server.take_output();
        let (parsed, used) = ResponseHead::parse(&wire, &Limits::default(), &Leniency::strict())
            .unwrap_or_else(|error| panic!("{error}: {}", text(&wire)))
            .unwrap();
        assert_eq!(used, wire.len());
        assert_eq!((parsed.status(), parsed.reason()), (head.status(), head.reason()));
        assert_eq!(parsed.encapsulated(), head.encapsulated());
        assert_eq!((parsed.istag(), parsed.close()), (Some(tag), head.close()));
        assert_eq!(parsed.into_http(), head.into_http());
    }
}

#[test]
fn service_options_round_trip() {
    let options = ServiceOptions::respmod("Scanner \u{e9} 1.0")
        .unwrap()
        .method(Method::Reqmod)
        .istag(IsTag::new("rules-7").unwrap())
        .preview(0)
        .allow_no_content()
        .ttl(Duration::from_secs(3600))
        .max_connections(100)
        .service_id("scan")
        .unwrap();
    let mut server = server::Connection::new(Limits::default(), Leniency::strict());
    server.feed(b"OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n");
    while server.poll_line().unwrap().is_some() {}
    server.respond(options.to_response(Allow::default()).unwrap()).unwrap();
    let mut client = support::client::Ask::options().strict().start();
    client.connection.feed(&server.take_output());
    let Some(client::Event::Response(head)) = client.connection.poll_event().unwrap() else {
        panic!("no answer")
    };
    assert_eq!(ServiceOptions::from_response(&head), options);
    assert_eq!(head.headers().get("Transfer-Preview"), Some(&b"*"[..]));
    assert!(
        ServiceOptions::respmod("x").unwrap().to_response(Allow::default()).is_err(),
        "no ISTag"
    );
}

#[test]
fn service_options_of_odd_answers() {
    let bytes = b"ICAP/1.0 200 OK\r\nMethods: RESPMOD,\tOPTIONS,, x/y\r\nService: a\r\n\tb\r\n\
        ServiceId: id\r\nOptions-TTL: soon\r\nMax-Connections: -1\r\nPreview: 0x10\r\n\
        ISTag: \"a\"\r\nAllow: 204\r\nAllow: 206\r\n\r\n";
    let (head, _) =
        ResponseHead::parse(bytes, &Limits::default(), &Leniency::default()).unwrap().unwrap();
    let options = ServiceOptions::from_response(&head);
    assert_eq!(options.methods(), [Method::Respmod, Method::Options]);
    assert_eq!((options.service(), options.id()), (Some("a b"), Some("id")));
    assert_eq!(
        (options.time_to_live(), options.connections(), options.preview_bytes()),
        (None, None, None)
    );
    let Allow { no_content, partial_content, trailers, .. } = options.allow();
    assert_eq!((no_content, partial_content, trailers), (true, true, false));
    options.to_response(Allow::default()).unwrap();
}

/// Bytes that end a line, or that something on the way may take for an end.
const HOSTILE: [&str; 8] = [
    "a\r\nX-Forged: 1",
    "a\nX-Forged: 1",
    "a\rX-Forged: 1",
    "a\0b",
    "\r\n\r\n",
    "\n",
    "a\r\n",
    "\x7f",
];

#[test]
fn hostile_texts_are_refused_everywhere() {
    let none: [(&str, &str); 0] = [];
    for bad in HOSTILE {
        let mut headers = Headers::new();
        assert!(headers.append(bad, "x").is_err());
        assert!(headers.append("X", bad).is_err());
        assert!(headers.set("X", bad).is_err());
        assert!(headers.set(bad, "x").is_err());
        assert!(headers.is_empty());
        assert!(Headers::from_pairs([("X", bad)]).is_err());
        assert!(Headers::from_pairs([(bad, "x")]).is_err());
        let request = || RequestHead::options("icap://h/s".parse().unwrap());
        assert!(request().header(bad, "x").is_err());
        assert!(request().header("X", bad).is_err());
        assert!(request().header("Host", bad).is_err());
        let answer = || ResponseHead::builder(StatusCode::OK);
        assert!(answer().header(bad, "x").is_err());
        assert!(answer().header("ISTag", bad).is_err());
        assert!(HttpHead::request(bad, "/", none).is_err());
        assert!(HttpHead::request("GET", bad, none).is_err());
        assert!(HttpHead::request("GET", "/", [("X", bad)]).is_err());
        assert!(HttpHead::response(200, bad, none).is_err());
        assert!(HttpHead::response(200, "OK", [(bad, "x")]).is_err());
        assert!(IsTag::new(bad).is_err());
        assert!(Method::from_bytes(bad.as_bytes()).is_none());
        assert!(ServiceOptions::reqmod(bad).is_err());
        assert!(ServiceOptions::reqmod("x").unwrap().service_id(bad).is_err());
        for uri in [format!("icap://h/{bad}"), format!("icap://{bad}/"), format!("icap://h/?{bad}")]
        {
            assert!(uri.parse::<ServiceUri>().is_err(), "{uri:?}");
            assert!(ServiceUri::parse(Bytes::from(uri)).is_err());
        }
    }
    for blank in [" ", "\t", "a b", ""] {
        assert!(Headers::from_pairs([(blank, "x")]).is_err());
        assert!(HttpHead::request("GET", blank, none).is_err());
        assert!(HttpHead::request(blank, "/", none).is_err());
    }
}

#[test]
fn fields_of_the_encoder_are_refused() {
    for name in [
        "Encapsulated",
        "encapsulated",
        "PREVIEW",
        "Allow",
        "Connection",
        "Trailer",
        "Transfer-Encoding",
        "Content-Length",
        "Keep-Alive",
    ] {
        assert!(RequestHead::options("icap://h/s".parse().unwrap()).header(name, "x").is_err());
        assert!(ResponseHead::builder(StatusCode::OK).header(name, "x").is_err());
        let headers = Headers::from_pairs([(name, "x")]).unwrap();
        assert!(ResponseHead::builder(StatusCode::OK).headers(&headers).is_err());
    }
}

/// A parsed head that is sent on says nothing of the framing it came with.
#[test]
fn framing_fields_are_not_sent_on() {
    let bytes = b"OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
        Content-Length: 9\r\nTrailer: X\r\nAllow: trailers\r\nKeep-Alive: x\r\n\
        Connection: close\r\nX-Kept:  1\r\nEncapsulated: null-body=0\r\n\r\n";
    let (head, _) =
        RequestHead::parse(bytes, &Limits::default(), &Leniency::default()).unwrap().unwrap();
    let mut client = client::Connection::new(Limits::default(), Leniency::default());
    client.start(&head).unwrap();
    assert_eq!(
        support::lossy(&client.take_output()),
        "OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\nX-Kept:  1\r\nAllow: trailers\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn heads_that_cannot_be_built() {
    let uri = || "icap://h/s".parse::<ServiceUri>().unwrap();
    let none: [(&str, &str); 0] = [];
    let request = || HttpHead::request("GET", "/", none).unwrap();
    let response = || HttpHead::response(200, "OK", none).unwrap();
    for builder in [
        RequestHead::reqmod(uri()),
        RequestHead::reqmod(uri()).http_response(response()),
        RequestHead::reqmod(uri()).http_request(response()),
        RequestHead::reqmod(uri()).http_request(request()).http_response(response()),
        RequestHead::respmod(uri()),
        RequestHead::respmod(uri()).http_request(request()),
        RequestHead::respmod(uri()).http_response(request()),
        RequestHead::options(uri()).body(true),
        RequestHead::options(uri()).http_request(request()),
        RequestHead::builder(Method::from_bytes(b"LOG").unwrap(), uri()).http_request(request()),
    ] {
        assert!(builder.clone().build().is_err(), "{builder:?}");
    }
    assert!(RequestHead::reqmod(uri()).body(true).build().is_ok());
    assert!(RequestHead::respmod(uri()).http_request(request()).body(true).build().is_ok());
}

/// A tag or host given as a plain field is held to what a strict reader takes; otherwise a head could be built that
/// nobody reads.
#[test]
fn tags_and_hosts_as_plain_fields() {
    let long = format!("\"{}\"", "x".repeat(33));
    for bad in ["t1", "", "\"\"", "\"a", "\"a\"b\"", "W/\"a\"", long.as_str()] {
        let answer = ResponseHead::builder(StatusCode::NO_CONTENT).header("istag", bad);
        assert_eq!(answer.err(), Some(InvalidHeader::Value), "{bad}");
        let request = RequestHead::options("icap://h/s".parse().unwrap()).header("ISTag", bad);
        assert_eq!(request.err(), Some(InvalidHeader::Value), "{bad}");
    }
    for bad in ["", "a b", "h:port", "h:65536", "[::zz]", "user@h", "h/s"] {
        let request = RequestHead::options("icap://h/s".parse().unwrap()).header("host", bad);
        assert_eq!(request.err(), Some(InvalidHeader::Value), "{bad}");
    }
    let answer = ResponseHead::builder(StatusCode::NO_CONTENT).header("ISTag", " \"t1\" ").unwrap();
    assert_eq!(answer.build().unwrap().istag(), Some(IsTag::new("t1").unwrap()));
}

/// What is made from a template goes out as it would without one, whatever is added behind it or was there before.
#[test]
fn templates() {
    type Add = fn(RequestBuilder) -> RequestBuilder;
    let adds: [Add; 5] = [
        |request| request,
        |request| request.header("X-A", " b ").unwrap().allow_no_content().close(),
        |request| request.header("hOST", "other:99").unwrap().header("X-A", "b").unwrap(),
        |request| {
            let page = HttpHead::response(200, "OK", [("A", "b")]).unwrap();
            let request = request.http_response(page).body(true).preview(10);
            request.icap_trailer(["X-A"]).unwrap().header("X-B", "").unwrap()
        },
        |request| {
            let folded = b"X-A: b\r\n c\r\n\r\n";
            let folded =
                Headers::parse(folded[..].into(), &Limits::default(), &Leniency::default());
            request.headers(&folded.unwrap()).unwrap()
        },
    ];
    let builder = || RequestHead::respmod("icap://u:p@h:99/s?x".parse().unwrap());
    for add in adds {
        let page = |request: RequestBuilder| {
            let page = HttpHead::response(200, "OK", [("A", "b")]).unwrap();
            request.http_response(page).build().unwrap()
        };
        let plain = page(add(builder())).to_bytes();
        let template = builder().template();
        assert_eq!(page(add(template.clone())).to_bytes(), plain);
        assert_eq!(page(add(builder()).template()).to_bytes(), plain);
        // What was written is what was meant: read and written anew it is the same.
        let (limits, leniency) = (Limits::default(), Leniency::strict());
        let (read, _) = RequestHead::parse(&plain, &limits, &leniency).unwrap().unwrap();
        assert_eq!(read.to_bytes(), plain);
    }
}

/// The URI goes out as it was given, but for what stands before `@` and the case of the scheme (RFC 3507 section 4.2).
#[test]
fn uris_go_out_as_they_were_given() {
    for (uri, line, host) in [
        (
            "icap://h/s?mode=translate&lang=french",
            "icap://h/s?mode=translate&lang=french",
            "h:1344",
        ),
        ("icap://user:secret@h:99/s?", "icap://h:99/s?", "h:99"),
        ("ICAPS://[::1]//a/%2e?b?c", "icaps://[::1]//a/%2e?b?c", "[::1]:11344"),
    ] {
        let head = RequestHead::builder(Method::Options, uri.parse().unwrap()).build().unwrap();
        let text = String::from_utf8(head.to_bytes().to_vec()).unwrap();
        let expected = format!("OPTIONS {line} ICAP/1.0\r\nHost: {host}\r\n\r\n");
        assert_eq!(text, expected);
    }
}

/// The last offset is the length of all sections (RFC 3507 section 4.4.1).
#[test]
fn the_last_offset_is_the_length_of_the_sections() {
    let mut rng = Rng::new(67);
    for _ in 0..500 {
        let (request, response) = (http(&mut rng, true), http(&mut rng, false));
        let lengths = (request.as_bytes().len(), response.as_bytes().len());
        let head = RequestHead::builder(Method::Respmod, "icap://h/s".parse().unwrap())
            .http_request(request)
            .http_response(response)
            .body(rng.one_in(2))
            .build()
            .unwrap();
        let offsets: Vec<usize> = head.encapsulated().entries().map(|(_, at)| at).collect();
        assert_eq!(offsets, [0, lengths.0, lengths.0 + lengths.1]);
        let bytes = head.to_bytes();
        let icap = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(bytes.len() - icap, head.encapsulated().header_bytes());
    }
}
