//! The request on its way in: one test for each row of the server's read side.
//!
//! States: S0 idle, S1 ICAP head, S2 encapsulated heads, S3 preview, S4 decide, S5 body, S6 ICAP trailer,
//! SX close; S7 and S8 are in `server_reuse.rs`, what the answer does in `server_answers.rs`. Deadlines are the
//! owner's, and so are the checks of service, method and credentials.

#![allow(clippy::unwrap_used)]

mod support;

use icap_proto::{
    CloseReason, Error, Leniency, Limits, ParseError, ParseErrorKind as Kind, PeerMisbehaved,
    StatusCode, Truncated,
};
use support::server::{OPTIONS, OPTIONS_EVENTS, Server, misuse, preview, respmod};

const NONE: [&str; 0] = [];

/// The fault that `bytes` are, with the status that tells the client.
fn fault(mut server: Server, bytes: impl AsRef<[u8]>) -> (Error, u16) {
    server.recv(bytes);
    let error = server.error();
    // One answer can be given; it is the last.
    assert_eq!(server.closing(), None);
    server.respond(error.status_hint()).unwrap();
    assert!(server.sent().contains("\r\nConnection: close\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Failed));
    (error, error.status_hint().as_u16())
}

fn kind((error, status): (Error, u16)) -> (Kind, u16) {
    match error {
        Error::Parse(ParseError { kind, .. }) => (kind, status),
        other => panic!("{other:?}"),
    }
}

// S0: between requests.

#[test]
fn s0_one_empty_line_is_skipped() {
    let mut server = Server::new();
    assert_eq!(server.recv("\r"), NONE);
    assert_eq!(server.recv("\n"), NONE);
    assert!(server.connection.is_idle());
    assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
    // Once before each request.
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert_eq!(server.recv(format!("\r\n{OPTIONS}")), OPTIONS_EVENTS);
}

#[test]
fn s0_two_empty_lines_are_not() {
    assert_eq!(kind(fault(Server::new(), "\r\n\r\n")), (Kind::NotIcap, 400));
    assert_eq!(kind(fault(Server::new(), format!("\r\n\r\n{OPTIONS}"))), (Kind::NotIcap, 400));
    assert_eq!(kind(fault(Server::strict(), format!("\r\n{OPTIONS}"))), (Kind::NotIcap, 400));
    assert_eq!(kind(fault(Server::new(), format!("\n{OPTIONS}"))), (Kind::NotIcap, 400));
}

#[test]
fn s0_end_is_no_error() {
    for before in ["", "\r\n"] {
        let mut server = Server::new();
        server.recv(before);
        assert!(server.connection.wants_input());
        assert_eq!(server.recv_eof(), None);
        assert_eq!(server.closing(), Some(CloseReason::PeerClosed));
    }
    let mut server = Server::new();
    server.recv(OPTIONS);
    server.respond(StatusCode::NOT_FOUND).unwrap();
    server.poll();
    assert_eq!(server.recv_eof(), None);
    assert_eq!(server.closing(), Some(CloseReason::PeerClosed));
}

#[test]
fn s0_first_byte_starts_the_head() {
    let mut server = Server::new();
    server.recv("");
    assert!(server.connection.is_idle());
    server.recv("O");
    assert!(!server.connection.is_idle());
}

// S1: the ICAP head.

#[test]
fn s1_head_that_does_not_end_can_be_refused() {
    let mut server = Server::new();
    server.recv(&OPTIONS[..20]);
    server.respond(StatusCode::REQUEST_TIMEOUT).unwrap();
    assert_eq!(
        server.sent(),
        "ICAP/1.0 408 Request Timeout\r\nISTag: \"t1\"\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.closing(), Some(CloseReason::Asked));
    assert_eq!(server.recv_eof(), None);
}

#[test]
fn s1_end_inside_the_head() {
    for len in 1..OPTIONS.len() {
        let mut server = Server::new();
        server.recv(&OPTIONS[..len]);
        assert!(server.connection.wants_input());
        assert_eq!(server.recv_eof(), Some(Error::Closed(Truncated::InHead)));
    }
    let mut server = Server::new();
    server.recv("\r");
    assert_eq!(server.recv_eof(), Some(Error::Closed(Truncated::InHead)));
}

#[test]
fn s1_faults_and_their_status() {
    for (bytes, expected, status) in [
        ("GET / HTTP/1.1\r\n\r\n", Kind::Version, 400),
        ("GET / ICAP/1.0\r\n\r\n", Kind::Uri, 400),
        ("OPTIONS icap://s/v HTTP/1.1\r\n\r\n", Kind::Version, 400),
        ("OPTIONS icap://s/v ICAP/2.0\r\nHost: s\r\n\r\n", Kind::UnsupportedVersion, 505),
        ("\x16\x03\x01\x02\x00", Kind::NotIcap, 400),
        ("OPTIONS icap://s/v ICAP/1.0\r\nA b: c\r\n\r\n", Kind::SpaceBeforeColon, 400),
        ("OPTIONS icap://s/v ICAP/1.0\n", Kind::BareLf, 400),
    ] {
        assert_eq!(kind(fault(Server::new(), bytes)), (expected, status), "{bytes:?}");
    }
    let long = format!("OPTIONS icap://s/{} ICAP/1.0\r\n\r\n", "v".repeat(16 * 1024));
    assert_eq!(kind(fault(Server::new(), long)), (Kind::StartLineTooLong, 414));
}

#[test]
fn s1_parts_that_the_method_does_not_have() {
    for (bytes, expected) in [
        ("REQMOD icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n", Kind::MissingEncapsulated),
        (
            "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: null-body=0\r\n\r\n",
            Kind::EntityList,
        ),
    ] {
        assert_eq!(kind(fault(Server::new(), bytes)), (expected, 400));
    }
}

#[test]
fn s1_refusals_of_the_owner() {
    // Wrong service, wrong method, credentials: with nothing left to read the connection goes on.
    for status in [
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        StatusCode::BAD_COMPOSITION,
        StatusCode::NOT_IMPLEMENTED,
    ] {
        let mut server = Server::new();
        assert_eq!(server.recv("FOO icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n")[1], "end");
        server.respond(status).unwrap();
        assert!(!server.sent().contains("Connection"));
        assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
    }
    // With a body on its way it ends.
    let mut server = Server::new();
    server.recv(respmod("") + "5\r\nhello\r\n");
    server.respond(StatusCode::METHOD_NOT_ALLOWED).unwrap();
    assert!(server.sent().ends_with("\r\nConnection: close\r\n\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Asked));
    assert!(!server.connection.wants_input());
}

#[test]
fn s1_options_with_and_without_body() {
    assert_eq!(Server::new().recv(OPTIONS), OPTIONS_EVENTS);
    let bytes = "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\nPreview: 0\r\n\
        Encapsulated: opt-body=0\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    // A preview is announced, but OPTIONS has none.
    assert_eq!(
        Server::new().recv(bytes),
        ["request OPTIONS icap://s/v [opt-body=0] preview=0", "data ab", "end"]
    );
}

// S2: the encapsulated heads.

#[test]
fn s2_body_null_body_and_preview() {
    for (fields, body, expected) in [
        ("", "0\r\n\r\n", vec!["end"]),
        ("", "5\r\nhello\r\n0\r\n\r\n", vec!["data hello", "end"]),
        (
            "Preview: 5\r\n",
            "5\r\nhello\r\n0;ieof\r\n\r\n",
            vec!["data hello", "preview-end ieof", "end"],
        ),
        ("Preview: 0\r\n", "0; ieof\r\n\r\n", vec!["preview-end ieof", "end"]),
        ("Preview: 0\r\n", "0\r\n\r\n", vec!["preview-end"]),
    ] {
        assert_eq!(Server::new().recv(respmod(fields) + body)[1..], expected, "{fields}{body}");
    }
    for fields in ["", "Preview: 0\r\n", "Preview: 1024\r\n"] {
        let bytes = respmod(fields).replace("res-body", "null-body");
        assert_eq!(Server::new().recv(bytes)[1..], ["end"]);
    }
}

#[test]
fn s2_section_that_does_not_end_at_its_offset() {
    for offset in [17, 18, 20] {
        let bytes = respmod("").replace("=19", &format!("={offset}")) + "0\r\n\r\n";
        let (kind, status) = kind(fault(Server::new(), bytes));
        assert!(matches!(kind, Kind::SectionEnd | Kind::BareCr | Kind::FieldName), "{kind:?}");
        assert_eq!(status, 400);
    }
}

// S3: the preview.

#[test]
fn s3_preview_up_to_what_was_announced() {
    for (body, expected) in [
        ("4\r\nhell\r\n0\r\n\r\n", "data hell"),
        ("2\r\nhe\r\n2\r\nll\r\n0\r\n\r\n", "data hell"),
        ("3\r\nhel\r\n0\r\n\r\n", "data hel"),
    ] {
        assert_eq!(Server::new().recv(preview(4, body))[1..], [expected, "preview-end"]);
    }
}

#[test]
fn s3_overrun() {
    for body in ["5\r\nhello\r\n", "4\r\nhell\r\n1\r\no\r\n"] {
        assert_eq!(
            fault(Server::new(), preview(4, body)),
            (PeerMisbehaved::PreviewOverrun.into(), 400)
        );
    }
    assert_eq!(
        fault(Server::new(), preview(0, "1\r\nx\r\n")),
        (PeerMisbehaved::PreviewOverrun.into(), 400)
    );
}

#[test]
fn s3_preview_limit() {
    let mut limits = Limits::default();
    limits.preview = 10;
    let server = || Server::with(limits, Leniency::default());
    let body = |n: usize| format!("{n:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(n));
    // What is announced is no fault: what comes is.
    assert_eq!(server().recv(preview(u64::MAX, &body(10))).last().unwrap(), "preview-end");
    assert_eq!(
        fault(server(), preview(u64::MAX, &body(11))),
        (PeerMisbehaved::PreviewTooLong.into(), 413)
    );
    // No preview, no limit.
    assert_eq!(server().recv(respmod("") + &body(11)).last().unwrap(), "end");
}

#[test]
fn s3_ieof_and_plain_end() {
    let mut server = Server::new();
    let events = server.recv(preview(5, "5\r\nhello\r\n0; ieof\r\n\r\n"));
    assert_eq!(events[1..], ["data hello", "preview-end ieof", "end"]);
    let mut server = Server::new();
    let events = server.recv(preview(5, "5\r\nhello\r\n0\r\n\r\n"));
    assert_eq!(events[1..], ["data hello", "preview-end"]);
}

#[test]
fn s3_answered_before_its_end() {
    for (end, after) in [("0\r\n\r\n", true), ("0; ieof\r\n\r\n", true), ("0\r\n", false)] {
        let mut server = Server::new();
        server.recv(preview(5, "2\r\nhe\r\n"));
        server.respond(StatusCode::NO_CONTENT).unwrap();
        // The rest of the preview is read and thrown away; the next request follows.
        assert_eq!(server.recv(format!("2\r\nll\r\n{end}")), NONE);
        assert_eq!(server.closing(), None);
        assert_eq!(server.connection.is_idle(), after);
        if after {
            assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
        }
    }
}

#[test]
fn s3_answered_with_a_body_before_its_end() {
    let mut server = Server::new();
    server.recv(preview(5, "2\r\nhe\r\n"));
    server.respond_http(StatusCode::OK, true).unwrap();
    assert_eq!(server.recv("2\r\nll\r\n0\r\n\r\n"), ["data ll", "preview-end"]);
    assert_eq!(misuse(server.send_continue()), icap_proto::Misuse::ContinueNotDue);
    server.finish().unwrap();
    assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
}

#[test]
fn s3_end_of_the_connection() {
    let whole = preview(5, "2\r\nhe\r\n0\r\n\r\n");
    for cut in preview(5, "").len()..whole.len() {
        let mut server = Server::new();
        server.recv(&whole[..cut]);
        assert_eq!(server.recv_eof(), Some(Error::Closed(Truncated::InBody)));
    }
}

// S4: the owner decides.

#[test]
fn s4_continue_opens_the_body() {
    let mut server = Server::new();
    server.recv(preview(4, "4\r\nhell\r\n0\r\n\r\n"));
    assert!(!server.connection.wants_input());
    server.send_continue().unwrap();
    assert_eq!(server.recv("1\r\no\r\n0\r\n\r\n"), ["data o", "end"]);
}

#[test]
fn s4_continue_and_nothing_more() {
    let mut server = Server::new();
    server.recv(preview(4, "4\r\nhell\r\n0\r\n\r\n"));
    server.send_continue().unwrap();
    assert_eq!(server.recv("0\r\n\r\n"), ["end"]);
}

#[test]
fn s4_final_answer_ends_the_request() {
    for body in [true, false] {
        let mut server = Server::new();
        server.recv(preview(4, "4\r\nhell\r\n0\r\n\r\n"));
        server.respond_http(StatusCode::OK, body).unwrap();
        if body {
            server.finish().unwrap();
        }
        assert_eq!(server.poll(), NONE);
        assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
    }
}

#[test]
fn s4_client_that_does_not_wait() {
    let rest = "1\r\no\r\n0\r\n\r\n";
    let spoke = Error::from(PeerMisbehaved::SpokeOutOfTurn);
    // Seen when the next event is asked for…
    let mut server = Server::new();
    server.recv_until(preview(4, "4\r\nhell\r\n0\r\n\r\n") + rest, "preview-end");
    server.poll();
    assert_eq!(server.error(), spoke);
    server.respond(StatusCode::BAD_REQUEST).unwrap();
    assert_eq!(server.closing(), Some(CloseReason::Failed));
    // … when the rest is asked for…
    let mut server = Server::new();
    server.recv_until(preview(4, "4\r\nhell\r\n0\r\n\r\n") + rest, "preview-end");
    assert_eq!(server.send_continue(), Err(spoke));
    assert_eq!(server.sent(), "");
    server.poll();
    assert_eq!(server.error(), spoke);
    // … and when the answer is final: whose bytes these are is not certain, so they are not read.
    let mut server = Server::new();
    server.recv_until(preview(4, "4\r\nhell\r\n0\r\n\r\n") + rest, "preview-end");
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert!(server.sent().ends_with("Connection: close\r\n\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Asked));
    assert_eq!(server.poll(), NONE);
}

#[test]
fn s4_end_of_the_connection_leaves_the_answer() {
    let mut server = Server::new();
    server.recv(preview(4, "4\r\nhell\r\n0\r\n\r\n"));
    assert_eq!(server.recv_eof(), None);
    assert_eq!(server.closing(), None);
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert_eq!(server.closing(), Some(CloseReason::PeerClosed));
    assert!(!server.sent().is_empty());
}

// S5: the body.

#[test]
fn s5_data_and_trailers() {
    let mut server = Server::new();
    server.recv(respmod(""));
    assert_eq!(server.recv("5\r\nhel"), ["data hel"]);
    assert_eq!(server.recv("lo\r\n"), ["data lo"]);
    assert_eq!(server.recv("0\r\nX-Sum: 1\r\n\r\n"), ["end trailers={X-Sum: 1\\r\\n}"]);
}

/// Fields of a trailer that would frame a head frame nothing (RFC 9110 section 6.5.1).
#[test]
fn s5_framing_fields_in_trailers_have_no_effect() {
    let framing = "Content-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: t\r\n\
        Encapsulated: req-body=0\r\nPreview: 1\r\nTrailer: X\r\n";
    let icap = "Allow: trailers\r\nTrailer: X-Id\r\n";
    for (fields, trailers) in
        [("", format!("0\r\n{framing}\r\n")), (icap, format!("0\r\n\r\n{framing}\r\n"))]
    {
        let mut server = Server::new();
        let events = server.recv(respmod(fields) + "5\r\nhello\r\n" + &trailers);
        assert_eq!(events[1], "data hello");
        assert!(events[2].contains("trailer") && events.len() == 3, "{events:?}");
        server.respond(StatusCode::NOT_FOUND).unwrap();
        assert!(!server.sent().contains("close"));
        assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
    }
}

#[test]
fn s5_trailers_do_not_reach_the_next_request() {
    let mut server = Server::new();
    // The end of the preview has trailers; the request is answered there.
    server.recv(preview(4, "4\r\nhell\r\n0\r\nX-Sum: 1\r\n\r\n"));
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
}

#[test]
fn s5_ieof_outside_a_preview() {
    let bytes = respmod("") + "5\r\nhello\r\n0; ieof\r\n\r\n";
    assert_eq!(Server::new().recv(&bytes).last().unwrap(), "end");
    assert_eq!(kind(fault(Server::strict(), &bytes)).0, Kind::MisplacedIeof);
    // The same behind 100 Continue.
    let mut server = Server::strict();
    server.recv(preview(4, "4\r\nhell\r\n0\r\n\r\n"));
    server.send_continue().unwrap();
    server.recv("0; ieof\r\n\r\n");
    assert!(matches!(server.error(), Error::Parse(error) if error.kind == Kind::MisplacedIeof));
}

#[test]
fn s5_bad_chunk_and_end_of_the_connection() {
    assert_eq!(kind(fault(Server::new(), respmod("") + "x")), (Kind::ChunkSize, 400));
    // The answer was begun: no second one, the connection ends without a last chunk.
    let mut server = Server::new();
    server.recv(respmod(""));
    server.respond_http(StatusCode::OK, true).unwrap();
    server.sent();
    server.recv("x");
    assert_eq!(
        misuse(server.respond(StatusCode::BAD_REQUEST)),
        icap_proto::Misuse::NothingToAnswer
    );
    server.connection.abort();
    assert_eq!((server.sent().as_str(), server.closing()), ("", Some(CloseReason::Abandoned)));

    let whole = respmod("") + "5\r\nhello\r\n0\r\n\r\n";
    for cut in respmod("").len()..whole.len() {
        let mut server = Server::new();
        server.recv(&whole[..cut]);
        assert!(server.connection.wants_input());
        assert_eq!(server.recv_eof(), Some(Error::Closed(Truncated::InBody)));
    }
}

// S6: the ICAP trailer.

#[test]
fn s6_trailer() {
    let fields = "Allow: trailers\r\nTrailer: X-Id\r\n";
    let null_body = respmod(fields).replace("res-body", "null-body");
    let ieof = respmod(&format!("{fields}Preview: 0\r\n")) + "0; ieof\r\n\r\n";
    for bytes in [respmod(fields) + "0\r\n\r\n", null_body, ieof] {
        let mut server = Server::new();
        assert!(!server.recv(&bytes).contains(&"end".to_owned()));
        assert!(server.connection.wants_input());
        assert_eq!(server.recv("X-Id: 1\r\n\r"), NONE);
        assert_eq!(server.recv("\n"), ["end icap-trailer={X-Id: 1\\r\\n}"]);
        server.respond(StatusCode::NOT_FOUND).unwrap();
        assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);

        let mut server = Server::new();
        assert_eq!(server.recv(bytes.clone() + "\r\n").last().unwrap(), "end");

        let mut server = Server::new();
        server.recv(bytes.clone() + "connection: x, close\r\n\r\n");
        server.respond(StatusCode::NOT_FOUND).unwrap();
        assert_eq!(server.closing(), Some(CloseReason::Asked));

        let mut server = Server::new();
        server.recv(bytes + "X-Id: 1\r\n");
        assert_eq!(server.recv_eof(), Some(Error::Closed(Truncated::InBody)));
    }
}

#[test]
fn s6_no_trailer_behind_a_preview_that_goes_on() {
    let fields = "Allow: trailers\r\nTrailer: X-Id\r\nPreview: 0\r\n";
    let mut server = Server::new();
    assert_eq!(server.recv(respmod(fields) + "0\r\n\r\n")[1..], ["preview-end"]);
    server.send_continue().unwrap();
    assert_eq!(server.recv("0\r\n\r\n"), NONE);
    assert_eq!(server.recv("X-Id: 1\r\n\r\n"), ["end icap-trailer={X-Id: 1\\r\\n}"]);
}

#[test]
fn s6_no_trailer_without_parts() {
    let bytes = OPTIONS.replace("\r\n\r\n", "\r\nAllow: trailers\r\nTrailer: X-Id\r\n\r\n");
    assert_eq!(Server::new().recv(bytes).last().unwrap(), "end");
}

#[test]
fn s6_trailer_that_was_not_announced_closes() {
    let bytes = respmod("Trailer: X-Id\r\n") + "0\r\n\r\n";
    let mut server = Server::new();
    assert_eq!(server.recv(&bytes).last().unwrap(), "end");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.sent().contains("Connection: close\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::UnannouncedTrailer));
    assert_eq!(kind(fault(Server::strict(), &bytes)).0, Kind::UnannouncedTrailer);
}

/// Offsets count from the start of the message that is wrong, not of the connection.
#[test]
fn offsets_start_anew_with_each_message() {
    let mut server = Server::new();
    server.recv(OPTIONS);
    server.respond(StatusCode::NOT_FOUND).unwrap();
    server.recv(format!("\r\n{}", respmod("")) + "5\r\nhello\r\n3 x");
    server.recv("\r\n");
    let at = respmod("").len() + "5\r\nhello\r\n3 ".len();
    assert!(
        matches!(server.error(), Error::Parse(error)
            if error.kind == Kind::ChunkExtension && error.offset == at as u64),
        "{:?} is not at {at}",
        server.error()
    );
}

#[test]
fn offsets_go_on_behind_the_preview() {
    let mut server = Server::new();
    let first = preview(4, "4\r\nhell\r\n0\r\n\r\n");
    server.recv(&first);
    server.send_continue().unwrap();
    server.recv("5\r\nhelloX");
    assert!(
        matches!(server.error(), Error::Parse(error)
            if error.kind == Kind::ChunkEnd && error.offset == (first.len() + 8) as u64),
        "{:?}",
        server.error()
    );
}
