//! ICAP heads and encapsulated heads: what is taken, what is refused, where and with which status.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use icap_proto::{
    Error, Headers, HttpHead, IsTag, Leniency, Limits, Method, ParseError, ParseErrorKind as Kind,
    RequestHead, ResponseHead, StatusCode, unfold,
};
use support::text;

type Verdict = Result<(), (Kind, u64)>;
const OK: Verdict = Ok(());

const fn bad(kind: Kind, offset: u64) -> Verdict {
    Err((kind, offset))
}

fn verdict<T>(result: Result<Option<(T, usize)>, ParseError>, len: usize) -> Verdict {
    match result {
        Ok(Some((_, used))) => {
            assert_eq!(used, len, "the head is not the whole input");
            Ok(())
        }
        Ok(None) => panic!("incomplete"),
        Err(ParseError { kind, offset, .. }) => Err((kind, offset)),
    }
}

fn request(bytes: &[u8], leniency: &Leniency) -> Verdict {
    verdict(RequestHead::parse(bytes, &Limits::default(), leniency), bytes.len())
}

fn response(bytes: &[u8], leniency: &Leniency) -> Verdict {
    verdict(ResponseHead::parse(bytes, &Limits::default(), leniency), bytes.len())
}

/// Checks both modes, and that strict takes nothing that lenient refuses.
fn table(parse: fn(&[u8], &Leniency) -> Verdict, rows: &[(&str, Verdict, Verdict)]) {
    for (bytes, strict, lenient) in rows {
        assert_eq!(parse(bytes.as_bytes(), &Leniency::strict()), *strict, "strict: {bytes:?}");
        assert_eq!(parse(bytes.as_bytes(), &Leniency::default()), *lenient, "lenient: {bytes:?}");
        assert!(strict.is_err() || lenient.is_ok(), "{bytes:?}");
    }
}

#[test]
fn request_lines() {
    let rest = "\r\nHost: h\r\n\r\n";
    let rows = [
        ("OPTIONS icap://h/s ICAP/1.0", OK, OK),
        ("FOO icap://h ICAP/1.0", OK, OK),
        ("options icaps://h/s ICAP/1.0", OK, OK),
        ("OPTIONS  icap://h/s ICAP/1.0", bad(Kind::StartLine, 8), OK),
        ("OPTIONS icap://h/s   ICAP/1.0", bad(Kind::Version, 19), OK),
        ("OPTIONS\ticap://h/s ICAP/1.0", bad(Kind::NotIcap, 0), bad(Kind::NotIcap, 0)),
        ("OPTIONS icap://h/s\tICAP/1.0", bad(Kind::StartLine, 18), bad(Kind::StartLine, 18)),
        (" OPTIONS icap://h/s ICAP/1.0", bad(Kind::NotIcap, 0), bad(Kind::NotIcap, 0)),
        ("OPT@IONS icap://h/s ICAP/1.0", bad(Kind::NotIcap, 0), bad(Kind::NotIcap, 0)),
        ("OPTIONS icap://h/s", bad(Kind::StartLine, 18), bad(Kind::StartLine, 18)),
        ("OPTIONS icap://h/s ", bad(Kind::Version, 19), bad(Kind::Version, 19)),
        ("OPTIONS icap://h/s ICAP/1.0 ", bad(Kind::Version, 27), bad(Kind::Version, 27)),
        ("OPTIONS icap://h/s ICAP/1", bad(Kind::Version, 24), bad(Kind::Version, 24)),
        ("OPTIONS icap://h/s ICAP/1.", bad(Kind::Version, 24), bad(Kind::Version, 24)),
        ("OPTIONS icap://h/s ICAP/01.0", bad(Kind::Version, 24), bad(Kind::Version, 24)),
        ("OPTIONS icap://h/s ICAP/1.00", bad(Kind::Version, 27), bad(Kind::Version, 27)),
        ("OPTIONS icap://h/s icap/1.0", bad(Kind::Version, 19), bad(Kind::Version, 19)),
        ("OPTIONS icap://h/s HTTP/1.1", bad(Kind::Version, 19), bad(Kind::Version, 19)),
        (
            "OPTIONS icap://h/s ICAP/2.0",
            bad(Kind::UnsupportedVersion, 24),
            bad(Kind::UnsupportedVersion, 24),
        ),
        (
            "OPTIONS icap://h/s ICAP/1.1",
            bad(Kind::UnsupportedVersion, 24),
            bad(Kind::UnsupportedVersion, 24),
        ),
        ("OPTIONS /s ICAP/1.0", bad(Kind::Uri, 8), bad(Kind::Uri, 8)),
        ("OPTIONS * ICAP/1.0", bad(Kind::Uri, 8), bad(Kind::Uri, 8)),
        ("OPTIONS http://h/s ICAP/1.0", bad(Kind::Uri, 8), bad(Kind::Uri, 8)),
        ("OPTIONS icap://h/a b ICAP/1.0", bad(Kind::Version, 19), bad(Kind::Version, 19)),
        ("OPTIONS icap://h/a\0b ICAP/1.0", bad(Kind::StartLine, 18), bad(Kind::StartLine, 18)),
        ("OPTIONS icap://h/a\rb ICAP/1.0", bad(Kind::StartLine, 18), bad(Kind::StartLine, 18)),
        ("OPTIONS icap://h/s ICAP/1.0\rX", bad(Kind::BareCr, 28), bad(Kind::BareCr, 28)),
        ("OPTIONS icap://h/s ICAP/1.0\nX: y", bad(Kind::BareLf, 27), bad(Kind::BareLf, 27)),
    ]
    .map(|(line, strict, lenient)| (format!("{line}{rest}"), strict, lenient));
    let rows: Vec<_> = rows.iter().map(|(line, a, b)| (line.as_str(), *a, *b)).collect();
    table(request, &rows);
}

#[test]
fn status_lines() {
    let rows = [
        ("ICAP/1.0 200 OK", OK, OK),
        ("ICAP/1.0 200 ", OK, OK),
        ("ICAP/1.0 599 x y\tz", OK, OK),
        ("ICAP/1.0 200  two blanks", OK, OK),
        ("ICAP/1.0 200", bad(Kind::Status, 12), OK),
        ("ICAP/1.0  200 OK", bad(Kind::Status, 9), OK),
        ("ICAP/1.0 2000 OK", bad(Kind::Status, 12), bad(Kind::Status, 12)),
        ("ICAP/1.0 20 OK", bad(Kind::Status, 9), bad(Kind::Status, 9)),
        ("ICAP/1.0 +20 OK", bad(Kind::Status, 9), bad(Kind::Status, 9)),
        ("ICAP/1.0 099 OK", bad(Kind::Status, 9), bad(Kind::Status, 9)),
        ("ICAP/1.0 600 OK", bad(Kind::Status, 9), bad(Kind::Status, 9)),
        ("ICAP/1.0200 OK", bad(Kind::StartLine, 8), bad(Kind::StartLine, 8)),
        ("ICAP/1.0 200\tOK", bad(Kind::Status, 12), bad(Kind::Status, 12)),
        ("ICAP/1.0 200 O\0K", bad(Kind::Reason, 14), bad(Kind::Reason, 14)),
        ("ICAP/1.0 200 O\x7fK", bad(Kind::Reason, 14), bad(Kind::Reason, 14)),
        ("ICAP/1.0 200 O\rK", bad(Kind::BareCr, 15), bad(Kind::BareCr, 15)),
        ("ICAP/1.0 200 O\nK", bad(Kind::BareLf, 14), bad(Kind::BareLf, 14)),
        ("ICAP/1.1 200 OK", bad(Kind::UnsupportedVersion, 5), bad(Kind::UnsupportedVersion, 5)),
        ("ICAP/x 200 OK", bad(Kind::Version, 5), bad(Kind::Version, 5)),
        ("HTTP/1.1 200 OK", bad(Kind::NotIcap, 0), bad(Kind::NotIcap, 0)),
        ("icap/1.0 200 OK", bad(Kind::NotIcap, 0), bad(Kind::NotIcap, 0)),
    ]
    .map(|(line, strict, lenient)| (format!("{line}\r\n\r\n"), strict, lenient));
    let rows: Vec<_> = rows.iter().map(|(line, a, b)| (line.as_str(), *a, *b)).collect();
    table(response, &rows);
}

#[test]
fn reason_may_hold_any_text() {
    let bytes = b"ICAP/1.0 200 \xe9t\xe9\r\n\r\n";
    let (head, _) =
        ResponseHead::parse(bytes, &Limits::default(), &Leniency::strict()).unwrap().unwrap();
    assert_eq!(head.reason(), b"\xe9t\xe9");
}

/// Field lines behind `OPTIONS icap://h/s ICAP/1.0` and `Host`: 29 + 9 bytes.
#[test]
fn field_lines() {
    const AT: u64 = 38;
    let rows = [
        ("A: b", OK, OK),
        ("A:b", OK, OK),
        ("A:", OK, OK),
        ("A: \t ", OK, OK),
        ("A: b: c", OK, OK),
        ("!#$%&'*+-.^_`|~09: x", OK, OK),
        ("A: \u{e9}\u{20ac}", OK, OK),
        ("A : b", bad(Kind::SpaceBeforeColon, 1), bad(Kind::SpaceBeforeColon, 1)),
        ("A\t: b", bad(Kind::SpaceBeforeColon, 1), bad(Kind::SpaceBeforeColon, 1)),
        ("A B: c", bad(Kind::SpaceBeforeColon, 1), bad(Kind::SpaceBeforeColon, 1)),
        (": b", bad(Kind::FieldName, 0), bad(Kind::FieldName, 0)),
        ("A", bad(Kind::MissingColon, 1), bad(Kind::MissingColon, 1)),
        ("(A): b", bad(Kind::FieldName, 0), bad(Kind::FieldName, 0)),
        ("A\0: b", bad(Kind::FieldName, 1), bad(Kind::FieldName, 1)),
        ("\u{e9}: b", bad(Kind::FieldName, 0), bad(Kind::FieldName, 0)),
        ("A: b\0c", bad(Kind::FieldValue, 4), bad(Kind::FieldValue, 4)),
        ("A: b\x1bc", bad(Kind::FieldValue, 4), bad(Kind::FieldValue, 4)),
        ("A: b\rc", bad(Kind::BareCr, 5), bad(Kind::BareCr, 5)),
        ("A: b\r", bad(Kind::BareCr, 5), bad(Kind::BareCr, 5)),
        ("A: b\nB: c", bad(Kind::BareLf, 4), bad(Kind::BareLf, 4)),
        // Folds.
        ("A: b\r\n c", bad(Kind::Fold, 6), OK),
        ("A:\r\n\tc\r\n\td", bad(Kind::Fold, 4), OK),
        ("A: b\r\n ", bad(Kind::Fold, 6), OK),
        // Framing fields are never folded.
        ("Allow: 204,\r\n 206", bad(Kind::Fold, 13), bad(Kind::Fold, 7)),
        ("Connection:\r\n close", bad(Kind::Fold, 13), bad(Kind::Fold, 11)),
        ("Encapsulated: null-body\r\n =0", bad(Kind::Fold, 25), bad(Kind::Fold, 14)),
        ("Preview: 1\r\n 0", bad(Kind::Fold, 12), bad(Kind::Fold, 9)),
        // Fields that stand once.
        ("Preview: 1\r\nPREVIEW: 1", bad(Kind::DuplicateField, 12), bad(Kind::DuplicateField, 12)),
        (
            "Encapsulated: null-body=0\r\nencapsulated: null-body=0",
            bad(Kind::DuplicateField, 27),
            bad(Kind::DuplicateField, 27),
        ),
        ("Host: h", bad(Kind::DuplicateField, 0), OK),
        ("Host: other", bad(Kind::DuplicateField, 0), bad(Kind::DuplicateField, 0)),
        ("Allow: 204\r\nAllow: 206", OK, OK),
        // HTTP's framing.
        ("Transfer-Encoding: chunked", bad(Kind::ForbiddenField, 0), OK),
        ("Content-Length: 999", bad(Kind::ForbiddenField, 0), OK),
        // Trailers.
        ("Trailer: X", bad(Kind::UnannouncedTrailer, 14), OK),
        ("Trailer: X\r\nAllow: trailers", OK, OK),
        ("Allow: TRAILERS\r\nTrailer: X", OK, OK),
    ]
    .map(|(line, strict, lenient)| {
        let shift = |verdict: Verdict| verdict.map_err(|(kind, at)| (kind, at + AT));
        (
            format!("OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\n{line}\r\n\r\n"),
            shift(strict),
            shift(lenient),
        )
    });
    let rows: Vec<_> = rows.iter().map(|(line, a, b)| (line.as_str(), *a, *b)).collect();
    table(request, &rows);
}

#[test]
fn blanks_before_the_first_field() {
    for blank in [" ", "\t"] {
        let bytes = format!("OPTIONS icap://h/s ICAP/1.0\r\n{blank}Host: h\r\n\r\n");
        let expected = bad(Kind::LeadingWhitespace, 29);
        assert_eq!(request(bytes.as_bytes(), &Leniency::default()), expected);
    }
}

#[test]
fn missing_host() {
    table(request, &[("OPTIONS icap://h/s ICAP/1.0\r\n\r\n", bad(Kind::MissingHost, 31), OK)]);
}

#[test]
fn istags_of_answers() {
    let long = |octets: usize| "x".repeat(octets);
    let rows = [
        (r#""t1""#.to_owned(), OK, OK),
        (format!("\"{}\"", long(32)), OK, OK),
        (format!("\"{}\"", long(33)), bad(Kind::IsTag, 17), OK),
        (format!("\"{}\"", long(256)), bad(Kind::IsTag, 17), OK),
        (format!("\"{}\"", long(257)), bad(Kind::IsTag, 17), bad(Kind::IsTag, 17)),
        ("CI0001-1-squidclamav-10".to_owned(), bad(Kind::IsTag, 17), OK),
        (r#""""#.to_owned(), bad(Kind::IsTag, 17), bad(Kind::IsTag, 17)),
        (r#""a"b""#.to_owned(), bad(Kind::IsTag, 17), bad(Kind::IsTag, 17)),
        ("\"a\"\r\nISTAG: \"a\"".to_owned(), bad(Kind::DuplicateField, 29), OK),
        (
            "\"a\"\r\nISTAG: \"b\"".to_owned(),
            bad(Kind::DuplicateField, 29),
            bad(Kind::DuplicateField, 29),
        ),
    ]
    .map(|(tag, strict, lenient)| {
        (format!("ICAP/1.0 200 OK\r\nISTag: {tag}\r\n\r\n"), strict, lenient)
    });
    let rows: Vec<_> = rows.iter().map(|(line, a, b)| (line.as_str(), *a, *b)).collect();
    table(response, &rows);
}

/// A number in the requests that have a preview, and of no meaning in others (RFC 3507 section 4.5).
#[test]
fn previews() {
    let read = |start: &str, value: &str, leniency: Leniency| {
        let bytes = format!("{start}Preview: {value}\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        let parsed = RequestHead::parse(bytes.as_bytes(), &Limits::default(), &leniency);
        parsed.map(|head| head.unwrap().0.preview()).map_err(|error| (error.kind, error.offset))
    };
    let reqmod =
        "REQMOD icap://h/s ICAP/1.0\r\nHost: h\r\nEncapsulated: req-hdr=0, null-body=18\r\n";
    for leniency in [Leniency::strict(), Leniency::default()] {
        for (value, number) in [("0", 0), ("18446744073709551615", u64::MAX)] {
            assert_eq!(read(reqmod, value, leniency), Ok(Some(number)));
        }
        for value in ["18446744073709551616", "-1", "+1", "10k", "0x10", "", "1, 1"] {
            let at = reqmod.len() as u64;
            assert_eq!(read(reqmod, value, leniency), Err((Kind::Preview, at)), "{value}");
            for method in ["OPTIONS", "FOO"] {
                let start = format!("{method} icap://h/s ICAP/1.0\r\nHost: h\r\n");
                assert_eq!(read(&start, value, leniency), Ok(None), "{method} {value}");
            }
        }
    }
}

#[test]
fn a_malformed_preview_of_an_answer_counts_as_none() {
    let bytes = b"ICAP/1.0 200 OK\r\nPreview: abc\r\n\r\n";
    let (head, _) =
        ResponseHead::parse(bytes, &Limits::default(), &Leniency::strict()).unwrap().unwrap();
    assert_eq!(head.preview(), None);
    assert_eq!(head.headers().get("preview"), Some(&b"abc"[..]));
}

/// Lists: whole members, blanks around commas, a bounded number of empty ones.
#[test]
fn allow_lists() {
    let allow = |value: &str| {
        let bytes = format!("OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\nAllow: {value}\r\n\r\n");
        RequestHead::parse(bytes.as_bytes(), &Limits::default(), &Leniency::strict())
            .map(|head| head.unwrap().0.allow())
    };
    for (value, no_content, partial, trailers) in [
        ("204", true, false, false),
        (" 204 ,\t206,trailers ", true, true, true),
        ("204,,206 ,", true, true, false),
        ("12046", false, false, false),
        ("204;q=1, x204", false, false, false),
        ("", false, false, false),
    ] {
        let allow = allow(value).unwrap();
        let found = (allow.no_content, allow.partial_content, allow.trailers);
        assert_eq!(found, (no_content, partial, trailers), "{value:?}");
    }
    assert!(allow(&",".repeat(31)).is_ok());
    assert_eq!(allow(&",".repeat(32)).unwrap_err().kind, Kind::List);
}

#[test]
fn limits_at_n_and_one_more() {
    let mut limits = Limits::default();
    limits.start_line = 60;
    limits.head_bytes = 200;
    limits.fields = 5;
    limits.field_line = 50;
    let parse = |bytes: &str| {
        RequestHead::parse(bytes.as_bytes(), &limits, &Leniency::default())
            .map(|head| assert!(head.is_some()))
            .map_err(|error| (error.kind, error.offset, error.kind.status_hint().as_u16()))
    };
    // Start line with its CRLF: 17 + n + 11.
    let line = |n: usize| format!("OPTIONS icap://h/{} ICAP/1.0\r\nHost: h\r\n\r\n", "s".repeat(n));
    assert_eq!(parse(&line(32)), Ok(()));
    assert_eq!(parse(&line(33)), Err((Kind::StartLineTooLong, 60, 414)));
    assert_eq!(parse(&line(500)), Err((Kind::StartLineTooLong, 60, 414)));
    // Fields.
    let fields = |n: usize| format!("OPTIONS icap://h ICAP/1.0\r\n{}\r\n", "A: b\r\n".repeat(n));
    assert_eq!(parse(&fields(5)), Ok(()));
    assert_eq!(parse(&fields(6)), Err((Kind::TooManyFields, 57, 400)));
    // One field line with its CRLF: 5 + n; folds count.
    let field = |n: usize| format!("OPTIONS icap://h ICAP/1.0\r\nA: {}\r\n\r\n", "x".repeat(n));
    assert_eq!(parse(&field(45)), Ok(()));
    assert_eq!(parse(&field(46)), Err((Kind::FieldLineTooLong, 27, 400)));
    let folded =
        |n: usize| format!("OPTIONS icap://h ICAP/1.0\r\nA: x\r\n {}\r\n\r\n", "x".repeat(n));
    assert_eq!(parse(&folded(41)), Ok(()));
    assert_eq!(parse(&folded(42)), Err((Kind::FieldLineTooLong, 27, 400)));
    // The head with its empty line: 27 + 4 * 40 + n + 7.
    let head = |n: usize| {
        let line = format!("A: {}\r\n", "x".repeat(35));
        format!("OPTIONS icap://h ICAP/1.0\r\n{}B: {}\r\n\r\n", line.repeat(4), "y".repeat(n))
    };
    assert_eq!(head(6).len(), 200);
    assert_eq!(parse(&head(6)), Ok(()));
    assert_eq!(parse(&head(7)), Err((Kind::HeadTooLong, 200, 400)));
}

/// A head that never ends is refused at its limit, however it arrives.
#[test]
fn endless_heads() {
    let mut limits = Limits::default();
    limits.start_line = 60;
    limits.head_bytes = 200;
    for (start, more, kind) in [
        ("", "A", Kind::StartLineTooLong),
        ("OPTIONS icap://h/", "s", Kind::StartLineTooLong),
        ("OPTIONS icap://h ICAP/1.0\r\n", "A", Kind::HeadTooLong),
        ("OPTIONS icap://h ICAP/1.0\r\n", "A: b\r\n", Kind::HeadTooLong),
    ] {
        let bytes = format!("{start}{}", more.repeat(300));
        for stride in [1, 7, 4000] {
            let mut server = support::server::Server::with(limits, Leniency::default());
            for piece in bytes.as_bytes().chunks(stride) {
                if server.trace.error.is_none() {
                    server.recv(piece);
                }
            }
            match server.error() {
                Error::Parse(error) => assert_eq!(error.kind, kind, "{start} stride {stride}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The same fault at the same place whatever the cuts.
#[test]
fn faults_do_not_depend_on_the_cuts() {
    let mut limits = Limits::default();
    limits.start_line = 60;
    limits.head_bytes = 120;
    let good = "OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\n";
    let long = "x".repeat(100);
    for bytes in [
        format!("{good}A : b\r\n\r\n"),
        format!("{good}A: b\n\r\n"),
        format!("{good}A: b\0\r\n\r\n"),
        format!("{good}A: {long}\n\r\n"),
        format!("OPTIONS icap://h/{long}\n ICAP/1.0\r\n\r\n"),
        format!("{long}\n"),
        "GET\n".to_owned(),
        "OPTIONS icap://h/s ICAP/3.0\r\n\r\n".to_owned(),
        "REQMOD icap://h/s ICAP/1.0\r\nEncapsulated: req-hdr=0, null-body=20\r\n\r\n\
         GET / HTTP/1.1\r\nA\r\n\r\n"
            .to_owned(),
    ] {
        let run = |cuts: &[usize]| {
            let mut server = support::server::Server::with(limits, Leniency::default());
            let mut trace = support::Trace::default();
            trace.feed_cut(&mut server, bytes.as_bytes(), cuts);
            trace.error.unwrap_or_else(|| panic!("no error: {bytes:?} {cuts:?}"))
        };
        let whole = run(&[]);
        for cuts in support::every_cut(bytes.len()) {
            assert_eq!(run(&cuts), whole, "{bytes:?} cut at {cuts:?}");
        }
    }
}

#[test]
fn status_hints() {
    for (kind, status) in [
        (Kind::StartLineTooLong, 414),
        (Kind::UnsupportedVersion, 505),
        (Kind::Version, 400),
        (Kind::HeadTooLong, 400),
        (Kind::Encapsulated, 400),
    ] {
        assert_eq!(kind.status_hint().as_u16(), status);
    }
}

#[test]
fn values_of_a_request() {
    let bytes = b"RESPMOD icaps://u:p@H.example:99/s?x=1&y ICAP/1.0\r\nhOST: H.example\r\n\
        X-Id: \xe9\r\nx-id:two\r\nAuthorization: Basic c2VjcmV0\r\nAllow: 204\r\nPreview: 10\r\n\
        Connection: Close\r\nEncapsulated: req-hdr=0, res-hdr=18, res-body=36\r\n\r\n\
        GET / HTTP/1.1\r\n\r\nHTTP/1.0 404 \xff\r\n\r\n\r\nrest";
    let (head, used) = RequestHead::parse(bytes, &Limits::default(), &Leniency::strict())
        .unwrap_or_else(|error| panic!("{error}: {}", text(bytes)))
        .unwrap();
    assert_eq!(&bytes[used..], b"\r\nrest");
    assert_eq!(*head.method(), Method::Respmod);
    assert_eq!((head.uri().host(), head.uri().port()), ("H.example", 99));
    assert_eq!(head.headers().get("Host"), Some(&b"H.example"[..]));
    let ids: Vec<_> = head.headers().get_all("X-ID").collect();
    assert_eq!(ids, [&b"\xe9"[..], b"two"]);
    assert!(head.close() && head.allow().no_content && head.has_body());
    assert_eq!(head.preview(), Some(10));
    let http = head.http_response().unwrap();
    assert_eq!((http.status(), http.method()), (Some(404), None));
    assert_eq!(head.http_request().unwrap().target(), Some("/"));
    assert_eq!(head.adapted_head(), Some(http));
    // Nothing that is secret is shown.
    let debug = format!("{head:?}");
    assert!(!debug.contains("c2VjcmV0") && !debug.contains("u:p"), "{debug}");
}

/// A connection does not show what is on its way: it may hold credentials.
#[test]
fn debug_of_connections_holds_no_bytes() {
    let mut server = support::server::Server::new();
    server.recv("OPTIONS icap://h/s ICAP/1.0\r\nAuthorization: sesame\r\n");
    let shown = format!("{:?}", server.connection);
    assert!(!shown.contains("sesame"), "{shown}");
    let head = RequestHead::options("icap://u:hidden@h/s".parse().unwrap())
        .header("Authorization", "sesame")
        .unwrap()
        .build()
        .unwrap();
    let mut client = icap_proto::client::Connection::new(Limits::default(), Leniency::default());
    client.start(&head).unwrap();
    let shown = format!("{client:?}");
    assert!(!shown.contains("sesame") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn http_heads() {
    let parse = |bytes: &'static [u8], request: bool| {
        let (limits, leniency) = (Limits::default(), Leniency::strict());
        let raw = Bytes::from_static(bytes);
        let head = if request {
            HttpHead::parse_request(raw, &limits, &leniency)
        } else {
            HttpHead::parse_response(raw, &limits, &leniency)
        };
        head.map(|head| assert_eq!(head.as_bytes(), bytes))
            .map_err(|error| (error.kind, error.offset))
    };
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], OK),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        (b"GET /\xe9 HTTP/1.0\r\n\r\n", OK),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: +5\r\n\r\n", OK),
        (b"GET / HTTP/1.1\r\n", bad(Kind::SectionEnd, 16)),
        (b"GET / HTTP/1.1\r\n\r\n\r\n", bad(Kind::SectionEnd, 18)),
        (b"GET / HTTP/1.1\r\nA: b", bad(Kind::SectionEnd, 20)),
        (b"GET / HTTP/1.1\r\nA", bad(Kind::SectionEnd, 17)),
        (b"GET  / HTTP/1.1\r\n\r\n", bad(Kind::HttpStartLine, 4)),
        (b"GET / ICAP/1.0\r\n\r\n", bad(Kind::HttpStartLine, 6)),
        (b"GET / HTTP/1\r\n\r\n", bad(Kind::HttpStartLine, 11)),
        (b"GET / HTTP/1.1 \r\n\r\n", bad(Kind::HttpStartLine, 14)),
        (b"\r\n\r\n", bad(Kind::HttpStartLine, 0)),
        (b"HTTP/1.1 200 OK\r\n\r\n", bad(Kind::HttpStartLine, 4)),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", bad(Kind::SpaceBeforeColon, 17)),
        (b"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n", bad(Kind::BareLf, 20)),
        (b"GET / HTTP/1.1\n\n", bad(Kind::BareLf, 14)),
    ] {
        assert_eq!(parse(bytes, true), expected, "{}", text(bytes));
    }
    for (bytes, expected) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], OK),
        (b"HTTP/1.1 200 \r\n\r\n", OK),
        (b"HTTP/1.1 200\r\n\r\n", OK),
        (b"HTTP/1.1 20 OK\r\n\r\n", bad(Kind::Status, 9)),
        (b"HTTP/1.1  200 OK\r\n\r\n", bad(Kind::Status, 9)),
        (b"ICAP/1.0 200 OK\r\n\r\n", bad(Kind::HttpStartLine, 0)),
        (b"GET / HTTP/1.1\r\n\r\n", bad(Kind::HttpStartLine, 0)),
    ] {
        assert_eq!(parse(bytes, false), expected, "{}", text(bytes));
    }
}

#[test]
fn folds() {
    let block = Bytes::from_static(b"A:\r\n  b\r\n\tc \r\nD: e\r\n \r\nF: g\r\n\r\n");
    let headers = Headers::parse(block, &Limits::default(), &Leniency::default()).unwrap();
    let unfolded = |name| unfold(headers.get(name).unwrap()).into_owned();
    assert_eq!(unfolded("A"), b"b c");
    assert_eq!(unfolded("D"), b"e");
    assert_eq!(unfolded("F"), b"g");
    // Folds are never written by the builder.
    let head = ResponseHead::builder(StatusCode::OK)
        .istag(&IsTag::new("t").unwrap())
        .headers(&headers)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(head.headers().as_bytes(), b"ISTag: \"t\"\r\nA: b c\r\nD: e\r\nF: g\r\n");
}

#[test]
fn editing_leaves_other_lines_byte_for_byte() {
    let block = Bytes::from_static(b"a:1\r\nB : x\r\n\r\n");
    assert!(Headers::parse(block, &Limits::default(), &Leniency::default()).is_err());
    let block = Bytes::from_static(b"a:1\r\nB:  x \r\nA: 2\r\nc:\r\n d\r\n\r\n");
    let mut headers = Headers::parse(block, &Limits::default(), &Leniency::default()).unwrap();
    headers.set("A", "3").unwrap();
    assert_eq!(headers.as_bytes(), b"A: 3\r\nB:  x \r\nc:\r\n d\r\n");
    assert_eq!(headers.remove("C"), 1);
    assert_eq!(headers.remove("C"), 0);
    headers.append("E", " f ").unwrap();
    assert_eq!(headers.as_bytes(), b"A: 3\r\nB:  x \r\nE: f\r\n");
    assert!(headers.set("A", "x\r\ny").is_err() && headers.append("", "x").is_err());
    assert_eq!(headers.as_bytes(), b"A: 3\r\nB:  x \r\nE: f\r\n");
}
