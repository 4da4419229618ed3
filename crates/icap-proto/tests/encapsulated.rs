//! `Encapsulated`: the grammar, and which list which message may have.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use icap_proto::{
    Encapsulated, Entity, Leniency, Limits, Method, ParseErrorKind as Kind, ResponseHead,
    StatusCode,
};

fn parse(value: &str, leniency: &Leniency) -> Result<Encapsulated, Kind> {
    Encapsulated::parse(value.as_bytes(), &Limits::default(), leniency).map_err(|error| error.kind)
}

#[test]
fn lists() {
    for (value, shown) in [
        ("null-body=0", "null-body=0"),
        ("req-hdr=0, null-body=28", "req-hdr=0, null-body=28"),
        ("req-hdr=0,res-hdr=137,res-body=296", "req-hdr=0, res-hdr=137, res-body=296"),
        (" req-hdr=0\t,\tres-hdr=137 , null-body=296 ", "req-hdr=0, res-hdr=137, null-body=296"),
        ("req-body=0", "req-body=0"),
        ("res-body=0", "res-body=0"),
        ("opt-body=0", "opt-body=0"),
        ("res-hdr=00, res-body=0038", "res-hdr=0, res-body=38"),
        (",req-hdr=0,,null-body=28,", "req-hdr=0, null-body=28"),
        ("res-hdr=0, null-body=262144", "res-hdr=0, null-body=262144"),
    ] {
        let list =
            parse(value, &Leniency::strict()).unwrap_or_else(|kind| panic!("{value}: {kind}"));
        assert_eq!(list.to_string(), shown);
        assert_eq!(parse(shown, &Leniency::strict()), Ok(list));
        // The last offset is the length of all header sections.
        let last = list.entries().last().unwrap();
        assert_eq!(last, (list.body(), list.header_bytes()));
        assert_eq!(list.has_body(), list.body() != Entity::NullBody);
    }
}

#[test]
fn faults() {
    for (value, kind) in [
        ("", Kind::Encapsulated),
        (",", Kind::Encapsulated),
        ("req-hdr=0", Kind::Encapsulated),
        ("req-hdr=0, res-hdr=10", Kind::Encapsulated),
        ("req-hdr", Kind::Encapsulated),
        ("req-hdr:0, null-body:1", Kind::Encapsulated),
        ("req-hdr=0 null-body=28", Kind::Encapsulated),
        ("req-hdr=0; null-body=28", Kind::Encapsulated),
        ("req-hdr=, null-body=28", Kind::Encapsulated),
        ("req-hdr=0, null-body= 28", Kind::Encapsulated),
        ("req-hdr =0, null-body=28", Kind::UnknownEntity),
        ("req-hdr=+0, null-body=28", Kind::Encapsulated),
        ("req-hdr=0, null-body=-28", Kind::Encapsulated),
        ("req-hdr=0, null-body=0x1c", Kind::Encapsulated),
        ("req-hdr=0, null-body=2_8", Kind::Encapsulated),
        ("req-hdr=0, null-body=28.0", Kind::Encapsulated),
        ("req-hdr=0, null-body=\"28\"", Kind::Encapsulated),
        // Numbers that wrap somewhere: 2^16, 2^31, 2^32, 2^63, 2^64 and a little more.
        ("req-hdr=0, null-body=2147483676", Kind::EncapsulatedTooLong),
        ("req-hdr=0, null-body=4294967324", Kind::EncapsulatedTooLong),
        ("req-hdr=0, null-body=9223372036854775836", Kind::EncapsulatedTooLong),
        ("req-hdr=0, null-body=18446744073709551615", Kind::EncapsulatedTooLong),
        ("req-hdr=0, null-body=18446744073709551616", Kind::Encapsulated),
        ("req-hdr=0, null-body=18446744073709551644", Kind::Encapsulated),
        ("req-hdr=0, null-body=262145", Kind::EncapsulatedTooLong),
        // Offsets.
        ("req-hdr=10, null-body=38", Kind::EntityOffset),
        ("null-body=1", Kind::EntityOffset),
        ("res-body=38", Kind::EntityOffset),
        ("req-hdr=0, null-body=0", Kind::EntityOffset),
        ("req-hdr=0, res-hdr=0, res-body=10", Kind::EntityOffset),
        ("req-hdr=0, res-hdr=40, res-body=10", Kind::EntityOffset),
        ("req-hdr=0, res-hdr=40, res-body=40", Kind::EntityOffset),
        // Order.
        ("res-hdr=0, req-hdr=40, res-body=80", Kind::EntityOrder),
        ("req-hdr=0, req-hdr=40, req-body=80", Kind::EntityOrder),
        ("res-hdr=0, res-hdr=40, res-body=80", Kind::EntityOrder),
        ("res-body=0, res-hdr=38", Kind::EntityOrder),
        ("null-body=0, null-body=0", Kind::EntityOrder),
        ("req-body=0, res-body=0", Kind::EntityOrder),
        ("null-body=0, req-hdr=0", Kind::EntityOrder),
        // Entities.
        ("x-hdr=0, null-body=28", Kind::UnknownEntity),
        ("body=0", Kind::UnknownEntity),
        ("=0", Kind::UnknownEntity),
        ("req-hdr\0=0, null-body=28", Kind::UnknownEntity),
    ] {
        assert_eq!(parse(value, &Leniency::default()), Err(kind), "{value:?}");
        assert_eq!(parse(value, &Leniency::strict()), Err(kind), "{value:?}");
    }
}

#[test]
fn offsets_of_faults() {
    for (value, offset) in [
        ("x=0", 0),
        ("req-hdr=0,x=28", 10),
        ("req-hdr=0,res-hdr=40,res-body=10", 21),
        ("req-hdr=0", 9),
    ] {
        let error = Encapsulated::parse(value.as_bytes(), &Limits::default(), &Leniency::strict());
        assert_eq!(error.unwrap_err().offset, offset, "{value}");
    }
}

#[test]
fn case_is_a_leniency() {
    for value in ["Req-Hdr=0, Null-Body=28", "REQ-HDR=0, null-body=28"] {
        assert!(parse(value, &Leniency::default()).is_ok());
        assert_eq!(parse(value, &Leniency::strict()), Err(Kind::UnknownEntity));
    }
}

#[test]
fn empty_members_at_the_limit_and_beyond() {
    let value = |empty: usize| format!("{}null-body=0", ",".repeat(empty));
    assert!(parse(&value(32), &Leniency::strict()).is_ok());
    assert_eq!(parse(&value(33), &Leniency::strict()), Err(Kind::List));
}

#[test]
fn sections_at_the_limit_and_beyond() {
    let mut limits = Limits::default();
    limits.encapsulated_bytes = 100;
    let parse = |value: &str| Encapsulated::parse(value.as_bytes(), &limits, &Leniency::strict());
    assert!(parse("req-hdr=0, res-hdr=60, res-body=100").is_ok());
    let error = parse("req-hdr=0, res-hdr=60, res-body=101").unwrap_err();
    assert_eq!(error.kind, Kind::EncapsulatedTooLong);
}

/// Every list that the grammar knows: header sections or none, and each body.
fn every_list() -> Vec<(&'static str, Encapsulated)> {
    [
        "null-body=0",
        "req-body=0",
        "res-body=0",
        "opt-body=0",
        "req-hdr=0, null-body=9",
        "req-hdr=0, req-body=9",
        "req-hdr=0, res-body=9",
        "req-hdr=0, opt-body=9",
        "res-hdr=0, null-body=9",
        "res-hdr=0, req-body=9",
        "res-hdr=0, res-body=9",
        "res-hdr=0, opt-body=9",
        "req-hdr=0, res-hdr=9, null-body=18",
        "req-hdr=0, res-hdr=9, req-body=18",
        "req-hdr=0, res-hdr=9, res-body=18",
        "req-hdr=0, res-hdr=9, opt-body=18",
    ]
    .map(|value| (value, parse(value, &Leniency::strict()).unwrap()))
    .into()
}

fn fitting(fits: impl Fn(&Encapsulated) -> bool) -> Vec<&'static str> {
    every_list().into_iter().filter(|(_, list)| fits(list)).map(|(value, _)| value).collect()
}

fn extension() -> Method {
    Method::from_bytes(b"LOG").unwrap()
}

/// Every list that a request may have (RFC 3507 section 4.4.1, errata e1 and e4).
#[test]
fn requests() {
    assert_eq!(
        fitting(|list| list.fits_request(&Method::Reqmod)),
        ["req-body=0", "req-hdr=0, null-body=9", "req-hdr=0, req-body=9"]
    );
    assert_eq!(
        fitting(|list| list.fits_request(&Method::Respmod)),
        [
            "res-body=0",
            "req-hdr=0, res-body=9",
            "res-hdr=0, null-body=9",
            "res-hdr=0, res-body=9",
            "req-hdr=0, res-hdr=9, null-body=18",
            "req-hdr=0, res-hdr=9, res-body=18",
        ]
    );
    assert_eq!(fitting(|list| list.fits_request(&Method::Options)), ["null-body=0", "opt-body=0"]);
    for name in ["LOG", "reqmod", "RESPMODX"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        assert_eq!(fitting(|list| list.fits_request(&method)), ["null-body=0"], "{name}");
    }
}

/// Every list that an answer may have, for each method and each status from 100 to 599.
#[test]
fn answers() {
    let nothing: &[&str] = &["null-body=0"];
    let request: &[&str] = &["req-body=0", "req-hdr=0, null-body=9", "req-hdr=0, req-body=9"];
    let response: &[&str] = &["res-body=0", "res-hdr=0, null-body=9", "res-hdr=0, res-body=9"];
    let options: &[&str] = &["opt-body=0"];
    for code in 100..=599 {
        let status = StatusCode::new(code).unwrap();
        for (method, parts) in [
            // A modified request, or an answer in place of the origin's.
            (Method::Reqmod, [request, response].concat()),
            (Method::Respmod, response.to_vec()),
            (Method::Options, options.to_vec()),
            (extension(), vec![]),
        ] {
            let adapts = matches!(method, Method::Reqmod | Method::Respmod);
            let mut expected = match code {
                100..=199 | 204 => nothing.to_vec(),
                // An adapted message has parts: `null-body=0` does not say which way.
                200 | 201 | 206 if adapts => parts,
                _ => [nothing, &parts].concat(),
            };
            let mut lists = fitting(|list| list.fits_response(&method, status));
            lists.sort_unstable();
            expected.sort_unstable();
            assert_eq!(lists, expected, "{code} to {method}");
        }
    }
}

/// The same matrix through both connections: what does not fit is neither sent nor taken.
#[test]
fn answers_through_connections() {
    let (request, response) = ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    for (value, list) in every_list() {
        // The same list with the lengths of real heads.
        let mut heads = String::new();
        let mut offsets = Vec::new();
        for (entity, _) in list.entries() {
            offsets.push(format!("{}={}", entity.as_str(), heads.len()));
            heads += match entity {
                Entity::ReqHdr => request,
                Entity::ResHdr => response,
                _ => "",
            };
        }
        let body = if list.has_body() { "0\r\n\r\n" } else { "" };
        for method in [Method::Reqmod, Method::Respmod, Method::Options] {
            for code in [200, 202, 204, 206, 302, 404, 418, 500] {
                let bytes = format!(
                    "ICAP/1.0 {code} X\r\nISTag: \"t\"\r\nEncapsulated: {}\r\n\r\n{heads}{body}",
                    offsets.join(", ")
                );
                let ask = match method {
                    Method::Reqmod => support::client::Ask::reqmod().allow_204().allow_206(),
                    Method::Respmod => support::client::Ask::respmod().allow_204().allow_206(),
                    _ => support::client::Ask::options().allow_204().allow_206(),
                };
                let status = StatusCode::new(code).unwrap();
                let fits = list.fits_response(&method, status);
                let mut client = ask.strict().sent_whole("");
                let events = client.recv(&bytes);
                let context = format!("{code} {value} to {method}");
                assert_eq!(client.trace.error.is_none(), fits, "{context}");
                assert_eq!(events.last().is_some_and(|last| last == "end"), fits, "{context}");
                let (limits, leniency) = (Limits::default(), Leniency::strict());
                let head = ResponseHead::parse(bytes.as_bytes(), &limits, &leniency).unwrap();
                let mut server = support::server::Server::strict();
                let asked = match method {
                    Method::Reqmod => "req-hdr=0, null-body=18",
                    Method::Respmod => "res-hdr=0, null-body=19",
                    _ => "null-body=0",
                };
                let http = match method {
                    Method::Reqmod => request,
                    Method::Respmod => response,
                    _ => "",
                };
                server.recv(format!(
                    "{method} icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: 204, 206\r\n\
                     Encapsulated: {asked}\r\n\r\n{http}"
                ));
                let sent = server.connection.respond(head.unwrap().0);
                assert_eq!(sent.is_ok(), fits, "{context}");
            }
        }
    }
}

/// The same matrix through a connection: what does not fit is refused before its parts are read.
#[test]
fn requests_through_a_server() {
    for (value, list) in every_list() {
        for method in [Method::Reqmod, Method::Respmod, Method::Options, extension()] {
            let mut server = support::server::Server::strict();
            let events = server.recv(format!(
                "{method} icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: {value}\r\n\r\n"
            ));
            let fits = list.fits_request(&method);
            assert_eq!(server.trace.error.is_none(), fits, "{method} {value}");
            if !fits {
                assert!(events.is_empty());
                assert_eq!(server.error().status_hint(), StatusCode::BAD_REQUEST);
            }
        }
    }
}

/// Offsets wrong by one on either side of each section, with the right bytes behind.
#[test]
fn offsets_wrong_by_one() {
    let request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for (first, second) in [
        (28, 66),
        (27, 66),
        (29, 66),
        (24, 66),
        (32, 66),
        (28, 65),
        (28, 67),
        (28, 62),
        (1, 66),
        (28, 29),
        (29, 67),
        (27, 65),
    ] {
        let mut server = support::server::Server::new();
        server.recv(format!(
            "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n\
             Encapsulated: req-hdr=0, res-hdr={first}, res-body={second}\r\n\r\n{request}{response}\
             5\r\nhello\r\n0\r\n\r\n"
        ));
        let right = (first, second) == (28, 66);
        assert_eq!(server.trace.error.is_none(), right, "{first} {second}");
    }
}
