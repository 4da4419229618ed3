//! The answer on its way out: one test for each row of the server's write side.
//!
//! States: P0 nothing sent, P1 100 Continue sent, P2 head sent, P3 body, P4 done, PX broken off. What the
//! request does meanwhile is in `server_dialogue.rs`.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use bytes::Bytes;
use icap_proto::{
    CloseReason, Headers, HttpHead, Leniency, Limits, Misuse, ResponseHead, StatusCode,
};
use support::server::{Server, head, misuse, preview};

const OPTIONS: &str = "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n";
const NO_CONTENT: &str = "ICAP/1.0 204 No Content\r\nISTag: \"t1\"\r\n\r\n";
const OK_HEAD: &str = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
    HTTP/1.1 200 OK\r\n\r\n";

/// A server that has read a RESPMOD request with these fields, and of its body `body`.
fn asked(fields: &str, body: &str) -> Server {
    let mut server = Server::new();
    server.recv(format!(
        "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n{fields}Encapsulated: res-hdr=0, res-body=19\r\n\r\n\
         HTTP/1.1 200 OK\r\n\r\n{body}"
    ));
    server
}

fn previewed(fields: &str, end: &str) -> Server {
    asked(&format!("{fields}Preview: 4\r\n"), &format!("4\r\nhell\r\n{end}\r\n\r\n"))
}

// P0: nothing was sent.

#[test]
fn p0_continue() {
    let mut server = previewed("", "0");
    server.send_continue().unwrap();
    assert_eq!(server.sent(), "ICAP/1.0 100 Continue\r\nISTag: \"t1\"\r\n\r\n");
    // Once.
    assert_eq!(misuse(server.send_continue()), Misuse::ContinueNotDue);
    assert_eq!(server.sent(), "");
}

#[test]
fn p0_continue_that_is_not_due() {
    let null_body = || {
        let mut server = Server::new();
        server.recv(
            "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nPreview: 4\r\n\
             Encapsulated: res-hdr=0, null-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        );
        server
    };
    let answered = || {
        let mut server = previewed("", "0");
        server.respond(StatusCode::NO_CONTENT).unwrap();
        server.sent();
        server
    };
    for mut server in [
        Server::new(),
        previewed("", "0; ieof"),
        null_body(),
        asked("", ""),
        asked("Preview: 4\r\n", "4\r\nhell\r\n"),
        answered(),
    ] {
        assert_eq!(misuse(server.send_continue()), Misuse::ContinueNotDue);
        assert_eq!(server.sent(), "");
    }
}

#[test]
fn p0_no_answer_before_a_request() {
    for bytes in ["", "\r\n"] {
        let mut server = Server::new();
        server.recv(bytes);
        assert_eq!(misuse(server.respond(StatusCode::OK)), Misuse::NothingToAnswer);
        assert_eq!(misuse(server.respond(StatusCode::NOT_FOUND)), Misuse::NothingToAnswer);
    }
    // A head that is not whole can be refused, not answered.
    let mut server = Server::new();
    server.recv("OPTIONS icap://s/v ICAP");
    assert_eq!(misuse(server.respond(StatusCode::OK)), Misuse::NothingToAnswer);
    // Its method is not known, so neither is which parts it could take.
    let with_parts = server.respond_http(StatusCode::REQUEST_TIMEOUT, true);
    assert_eq!(misuse(with_parts), Misuse::Composition);
    server.respond(StatusCode::REQUEST_TIMEOUT).unwrap();
    // Nor is a head that was cut answered with success.
    let mut server = Server::new();
    server.recv("OPTIONS icap://s/v ICAP");
    server.connection.input_closed();
    assert!(server.connection.poll_event().is_err());
    assert_eq!(misuse(server.respond(StatusCode::OK)), Misuse::NothingToAnswer);
    server.respond(StatusCode::BAD_REQUEST).unwrap();
    // Between two requests.
    let mut server = Server::new();
    server.recv(OPTIONS);
    server.respond(StatusCode::NOT_FOUND).unwrap();
    server.poll();
    assert_eq!(misuse(server.respond(StatusCode::NOT_FOUND)), Misuse::NothingToAnswer);
}

/// Clients read a 201 with parts as a 200 only when they are lenient, so none is sent.
#[test]
fn p0_no_created_with_parts() {
    let mut server = asked("", "");
    assert_eq!(misuse(server.respond_http(StatusCode::CREATED, true)), Misuse::Composition);
    server.respond_http(StatusCode::OK, false).unwrap();
}

#[test]
fn p0_one_answer() {
    let mut server = asked("Allow: 204\r\n", "");
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert_eq!(misuse(server.respond(StatusCode::NO_CONTENT)), Misuse::NothingToAnswer);
    assert_eq!(server.sent(), NO_CONTENT);
}

/// Who may be answered with 204 and 206.
#[test]
fn p0_permissions() {
    for (fields, previewed, no_content, partial) in [
        ("", false, false, false),
        ("", true, true, false),
        ("Allow: 204\r\n", false, true, false),
        ("Allow: 12046, x204\r\n", false, false, false),
        ("Allow: 206\r\n", false, false, false),
        ("Allow: 206\r\n", true, true, true),
        ("Allow: 204, 206\r\n", false, true, true),
        ("Allow: 204\r\nAllow: 206\r\n", false, true, true),
    ] {
        let server = || match previewed {
            true => self::previewed(fields, "0"),
            false => asked(fields, ""),
        };
        let context = format!("{fields:?} preview {previewed}");
        assert_eq!(server().connection.permits_no_content(), no_content, "{context}");
        assert_eq!(server().connection.permits_partial_content(), partial, "{context}");
        for (status, permitted, refusal) in [
            (StatusCode::NO_CONTENT, no_content, Misuse::NoContentNotAllowed),
            (StatusCode::PARTIAL_CONTENT, partial, Misuse::PartialContentNotAllowed),
        ] {
            let mut server = server();
            let result = match status {
                StatusCode::NO_CONTENT => server.respond(status),
                _ => server.respond_http(status, true),
            };
            if permitted {
                result.unwrap();
            } else {
                assert_eq!(misuse(result), refusal, "{context}");
                assert_eq!(server.sent(), "");
                // Nothing is lost: the whole message can still be given back.
                server.respond_http(StatusCode::OK, false).unwrap();
            }
        }
    }
}

#[test]
fn p0_permissions_of_a_preview_that_was_all() {
    for mut server in [previewed("", "0; ieof"), asked("Preview: 0\r\n", "0; ieof\r\n\r\n")] {
        server.respond(StatusCode::NO_CONTENT).unwrap();
        assert_eq!(server.sent(), NO_CONTENT);
    }
}

// P1: 100 Continue was sent.

#[test]
fn p1_permissions_end_with_the_preview() {
    for (fields, no_content, partial) in [
        ("", false, false),
        ("Allow: 206\r\n", false, false),
        ("Allow: 204\r\n", true, false),
        ("Allow: 204, 206\r\n", true, true),
    ] {
        let mut server = previewed(fields, "0");
        server.send_continue().unwrap();
        assert_eq!(server.connection.permits_no_content(), no_content, "{fields}");
        assert_eq!(server.connection.permits_partial_content(), partial, "{fields}");
    }
}

#[test]
fn p1_answer_before_the_rest_was_read() {
    let mut server = previewed("", "0");
    server.send_continue().unwrap();
    server.recv("1\r\no\r\n");
    server.sent();
    server.respond_http(StatusCode::OK, true).unwrap();
    server.send("new").unwrap();
    server.finish().unwrap();
    assert_eq!(server.sent(), format!("{OK_HEAD}3\r\nnew\r\n0\r\n\r\n"));
    assert_eq!(server.recv("1\r\n!\r\n0\r\n\r\n"), [] as [&str; 0]);
    assert_eq!(server.recv(OPTIONS).len(), 2);
}

// P2: the head.

#[test]
fn p2_parts_and_list() {
    let mut server = asked("", "0\r\n\r\n");
    server.respond_http(StatusCode::OK, false).unwrap();
    assert_eq!(server.sent(), OK_HEAD.replace("res-body", "null-body"));
    assert_eq!(server.closing(), None);
    assert_eq!(misuse(server.send("x")), Misuse::NoBody);
    assert_eq!(misuse(server.finish()), Misuse::NoBody);
    assert_eq!(server.sent(), "");
}

#[test]
fn p2_parts_that_do_not_fit() {
    let request = || HttpHead::request("GET", "/", [] as [(&str, &str); 0]).unwrap();
    let response = || HttpHead::response(200, "OK", [] as [(&str, &str); 0]).unwrap();
    // RESPMOD is not answered with a request, nor with nothing, OPTIONS with neither.
    let ok = || head(StatusCode::OK);
    for builder in [ok().http(request()), ok(), ok().null_body()] {
        let mut server = asked("", "0\r\n\r\n");
        let refused = server.connection.respond(builder.build().unwrap());
        assert_eq!(misuse(refused), Misuse::Composition);
        assert_eq!(server.sent(), "");
    }
    for builder in [ok().http(request()), ok().http(response())] {
        let mut server = Server::new();
        server.recv(OPTIONS);
        let refused = server.connection.respond(builder.build().unwrap());
        assert_eq!(misuse(refused), Misuse::Composition);
    }
    // What cannot be built cannot be sent.
    assert_eq!(ok().body(true).build().unwrap_err(), Misuse::Composition);
    let no_content = || head(StatusCode::NO_CONTENT);
    assert_eq!(no_content().http(response()).build().unwrap_err(), Misuse::Composition);
    assert_eq!(no_content().body(true).build().unwrap_err(), Misuse::Composition);
}

#[test]
fn p2_interim_answers_are_no_answers() {
    for status in [100, 101, 102, 199] {
        let mut server = previewed("", "0");
        let refused = server.respond(StatusCode::new(status).unwrap());
        assert_eq!(misuse(refused), Misuse::ContinueNotDue, "{status}");
        assert_eq!(server.sent(), "");
    }
}

#[test]
fn p2_error_before_the_request_was_read_closes() {
    for (server, closes) in [
        (asked("", "5\r\nhello\r\n"), true),
        // The rest of a preview is bounded: see `p2_error_in_a_preview`.
        (asked("Preview: 5\r\n", "5\r\nhello\r\n"), false),
        (asked("", "5\r\nhello\r\n0\r\n\r\n"), false),
        (previewed("", "0"), false),
        (previewed("", "0; ieof"), false),
    ] {
        let mut server = server;
        server.respond(StatusCode::INTERNAL_SERVER_ERROR).unwrap();
        assert_eq!(server.sent().contains("Connection: close\r\n"), closes);
        assert_eq!(server.closing().is_some(), closes);
    }
}

/// The rest of a preview is read and thrown away when what was announced is within both limits.
#[test]
fn p2_error_in_a_preview() {
    let mut limits = Limits::default();
    (limits.preview, limits.drain) = (20, 10);
    for (announced, read, kept) in [
        // What is left is within the drain budget, or one past it.
        (10, 0, true),
        (11, 0, false),
        (15, 5, true),
        (16, 5, false),
        // All of it is within the limit of previews, or one past it.
        (20, 15, true),
        (21, 15, false),
        (u64::MAX, 15, false),
    ] {
        for status in [400, 404, 500, 599] {
            let mut server = Server::with(limits, Leniency::default());
            let chunk = format!("{read:x}\r\n{}\r\n", "x".repeat(read));
            let chunk = if read == 0 { "" } else { &chunk };
            server.recv(preview(announced, chunk));
            server.respond(StatusCode::new(status).unwrap()).unwrap();
            let context = format!("{announced} {read} {status}");
            assert_eq!(!server.sent().contains("Connection: close\r\n"), kept, "{context}");
            assert_eq!(server.closing().is_none(), kept, "{context}");
            assert!(server.poll().is_empty());
            assert_eq!(server.connection.wants_input(), kept, "{context}");
        }
    }
}

#[test]
fn p2_error_in_a_preview_and_the_next_request() {
    for end in ["0\r\n\r\n", "0; ieof\r\n\r\n"] {
        let mut server = Server::new();
        server.recv(preview(5, "2\r\nhe\r\n"));
        server.respond(StatusCode::NOT_FOUND).unwrap();
        assert!(!server.sent().contains("close"));
        // Neither data nor end are told, and what is inside is no request.
        assert_eq!(server.recv(format!("2\r\nll\r\n{end}")), [] as [&str; 0]);
        assert!(server.connection.is_idle());
        assert_eq!(server.recv(OPTIONS).len(), 2);
    }
    // A client that sends more than it announced.
    let mut server = Server::new();
    server.recv(preview(5, "2\r\nhe\r\n"));
    server.respond(StatusCode::NOT_FOUND).unwrap();
    server.recv("4\r\nllo!\r\n0\r\n\r\n");
    assert_eq!(server.closing(), Some(CloseReason::Asked));
    // A client that was told to go on is past its preview.
    let mut server = previewed("", "0");
    server.send_continue().unwrap();
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.sent().contains("Connection: close\r\n"));
    // Who gave up waiting does not wait for more.
    let mut server = Server::new();
    server.recv(preview(5, "2\r\nhe\r\n"));
    server.respond(StatusCode::REQUEST_TIMEOUT).unwrap();
    assert!(server.sent().contains("Connection: close\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Asked));
    // A request that is not understood is the last, whatever it announced.
    let mut server = Server::new();
    server.recv(preview(5, "x"));
    server.respond(StatusCode::BAD_REQUEST).unwrap();
    assert!(server.sent().contains("Connection: close\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Failed));
}

#[test]
fn p2_options_answers_have_a_list() {
    let mut server = Server::new();
    server.recv(OPTIONS);
    server.connection.respond(head(StatusCode::OK).build().unwrap()).unwrap();
    let null_body = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: null-body=0\r\n\r\n";
    assert_eq!(server.sent(), null_body);
    server.recv(OPTIONS);
    server.connection.respond(head(StatusCode::OK).null_body().build().unwrap()).unwrap();
    assert_eq!(server.sent(), null_body);
    // Errors, and 200 to a method that nobody specified, do without.
    server.recv(OPTIONS);
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(!server.sent().contains("Encapsulated"));
    server.recv("LOG icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n");
    server.respond(StatusCode::OK).unwrap();
    assert!(!server.sent().contains("Encapsulated"));
}

#[test]
fn p2_options_answer_with_a_body() {
    let mut server = Server::new();
    server.recv(OPTIONS);
    let answer = head(StatusCode::OK).opt_body("Attribute-List").unwrap().build().unwrap();
    server.connection.respond(answer).unwrap();
    server.send("X-Attribute: a").unwrap();
    server.finish().unwrap();
    assert_eq!(
        server.sent(),
        "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nOpt-body-type: Attribute-List\r\n\
         Encapsulated: opt-body=0\r\n\r\ne\r\nX-Attribute: a\r\n0\r\n\r\n"
    );
    assert_eq!(server.recv(OPTIONS).len(), 2);
    // Only there.
    let opt_body = || head(StatusCode::OK).opt_body("x").unwrap();
    let mut server = asked("", "0\r\n\r\n");
    let refused = server.connection.respond(opt_body().build().unwrap());
    assert_eq!(misuse(refused), Misuse::Composition);
    let http = HttpHead::response(200, "OK", [] as [(&str, &str); 0]).unwrap();
    assert_eq!(opt_body().http(http).build().unwrap_err(), Misuse::Composition);
    let no_content = head(StatusCode::NO_CONTENT).opt_body("x").unwrap();
    assert_eq!(no_content.build().unwrap_err(), Misuse::Composition);
    assert!(head(StatusCode::OK).opt_body("a\r\nb").is_err());
}

#[test]
fn p2_owner_closes() {
    let mut server = Server::new();
    server.recv(OPTIONS);
    server.connection.respond(head(StatusCode::NOT_FOUND).close().build().unwrap()).unwrap();
    assert_eq!(server.sent().matches("Connection: close\r\n").count(), 1);
    assert_eq!(server.closing(), Some(CloseReason::Asked));
}

// P3: the body.

#[test]
fn p3_chunks() {
    let mut server = asked("", "0\r\n\r\n");
    server.respond_http(StatusCode::OK, true).unwrap();
    server.send("hello").unwrap();
    server.send("").unwrap();
    server.send("0123456789abcdef").unwrap();
    let trailers = Headers::from_pairs([("X-Sum", "1"), ("Transfer-Encoding", "x")]).unwrap();
    server.connection.finish(&trailers).unwrap();
    assert_eq!(
        server.sent(),
        format!("{OK_HEAD}5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n")
    );
    // Once.
    assert_eq!(misuse(server.send("x")), Misuse::NoBody);
    assert_eq!(misuse(server.finish()), Misuse::NoBody);
    assert_eq!(server.sent(), "");
}

#[test]
fn p3_large_data_is_queued_as_it_is() {
    use bytes::Buf;
    let mut server = asked("", "0\r\n\r\n");
    server.respond_http(StatusCode::OK, true).unwrap();
    let data = Bytes::from(vec![b'x'; 5000]);
    server.connection.send_data(data.clone()).unwrap();
    server.finish().unwrap();
    let output = server.connection.output();
    let total = OK_HEAD.len() + 6 + 5000 + 7;
    assert_eq!(output.remaining(), total);
    #[cfg(feature = "std")]
    {
        // All of it in one vectored write, and in parts where there is room for less.
        let mut slices = [std::io::IoSlice::new(b""); 8];
        let used = output.chunks_vectored(&mut slices);
        assert_eq!(slices[..used].iter().map(|slice| slice.len()).sum::<usize>(), total);
        assert_eq!((used, output.chunks_vectored(&mut slices[..2])), (3, 2));
    }
    output.advance(OK_HEAD.len());
    assert_eq!(output.chunk(), b"1388\r\n");
    output.advance(6);
    assert_eq!(output.chunk().as_ptr(), data.as_ptr());
    output.advance(5000);
    assert_eq!(output.chunk(), b"\r\n0\r\n\r\n");
    output.advance(7);
    assert_eq!(output.remaining(), 0);
    server.connection.relax();
}

#[test]
fn p3_rest_of_the_original() {
    let mut server = previewed("Allow: 206\r\n", "0");
    server.respond_http(StatusCode::PARTIAL_CONTENT, true).unwrap();
    server.send("AB").unwrap();
    server.connection.finish_with_original(2).unwrap();
    assert!(server.sent().ends_with("\r\n\r\n2\r\nAB\r\n0; use-original-body=2\r\n\r\n"));
    assert_eq!(misuse(server.connection.finish_with_original(2)), Misuse::NoBody);
}

#[test]
fn p3_rest_of_the_original_outside_a_206() {
    let mut server = asked("Allow: 204, 206\r\n", "0\r\n\r\n");
    assert_eq!(misuse(server.connection.finish_with_original(0)), Misuse::NoBody);
    server.respond_http(StatusCode::OK, true).unwrap();
    assert_eq!(misuse(server.connection.finish_with_original(0)), Misuse::PartialContentNotAllowed);
    server.finish().unwrap();
    assert_eq!(server.sent(), format!("{OK_HEAD}0\r\n\r\n"));
}

/// The extension needs a last chunk to stand on, if the prefix is empty too.
#[test]
fn p3_rest_of_the_original_needs_a_body() {
    let mut server = asked("Allow: 204, 206\r\n", "0\r\n\r\n");
    server.respond_http(StatusCode::PARTIAL_CONTENT, false).unwrap();
    server.sent();
    assert_eq!(misuse(server.connection.finish_with_original(0)), Misuse::NoBody);
    assert_eq!(server.sent(), "");
    let mut server = asked("Allow: 204, 206\r\n", "0\r\n\r\n");
    server.respond_http(StatusCode::PARTIAL_CONTENT, true).unwrap();
    server.sent();
    server.connection.finish_with_original(0).unwrap();
    assert_eq!(server.sent(), "0; use-original-body=0\r\n\r\n");
}

#[test]
fn p3_service_fails_without_a_last_chunk() {
    let mut server = asked("", "0\r\n\r\n");
    server.respond_http(StatusCode::OK, true).unwrap();
    server.send("hello").unwrap();
    server.connection.abort();
    assert_eq!(server.sent(), format!("{OK_HEAD}5\r\nhello\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Abandoned));
    assert_eq!(misuse(server.finish()), Misuse::NoBody);
    assert_eq!(misuse(server.send("x")), Misuse::NoBody);
    assert_eq!(misuse(server.respond(StatusCode::NOT_FOUND)), Misuse::NothingToAnswer);
    assert_eq!(server.sent(), "");
    assert!(!server.connection.wants_input());
}

#[test]
fn p3_abort_at_any_time_ends_the_connection() {
    for mut server in [Server::new(), asked("", ""), previewed("", "0"), previewed("", "0; ieof")] {
        server.connection.abort();
        assert_eq!(server.closing(), Some(CloseReason::Abandoned));
        assert!(!server.connection.wants_input());
        assert_eq!(server.poll(), [] as [&str; 0]);
        assert!(server.send_continue().is_err());
        assert_eq!(server.sent(), "");
    }
}

#[test]
fn p3_echo_while_the_request_arrives() {
    let mut server = asked("", "5\r\nhello\r\n");
    server.respond_http(StatusCode::OK, true).unwrap();
    server.send("hello").unwrap();
    assert_eq!(server.recv("5\r\nworld\r\n"), ["data world"]);
    server.send("world").unwrap();
    assert_eq!(server.recv("0\r\n\r\n"), ["end"]);
    assert!(!server.connection.is_idle());
    server.finish().unwrap();
    assert_eq!(server.sent(), format!("{OK_HEAD}5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"));
    assert_eq!(server.recv(OPTIONS).len(), 2);
}

type Place = (&'static str, fn() -> Server);

/// Servers at each point where an answer may be given or not.
const PLACES: [Place; 10] = [
    ("nothing asked", Server::new),
    ("a broken head", || {
        let mut server = Server::new();
        server.recv("RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: res-body=7\r\n\r\n");
        server
    }),
    ("OPTIONS", || {
        let mut server = Server::new();
        server.recv(OPTIONS);
        server
    }),
    ("REQMOD", || {
        let mut server = Server::new();
        let reqmod =
            "REQMOD icap://s/r ICAP/1.0\r\nHost: s\r\nEncapsulated: req-hdr=0, null-body=28";
        server.recv(format!("{reqmod}\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
        server
    }),
    ("a preview", || previewed("", "0")),
    ("a preview that takes a 206", || previewed("Allow: 206\r\n", "0")),
    ("a preview on its way", || asked("Preview: 4\r\n", "2\r\nhe\r\n")),
    ("a body on its way", || asked("Allow: 204\r\n", "4\r\nhell\r\n")),
    ("a whole body", || asked("", "4\r\nhell\r\n0\r\n\r\n")),
    ("a last request", || asked("Allow: 204\r\nConnection: close\r\n", "0\r\n\r\n")),
];

const STATUSES: [u16; 11] = [100, 200, 201, 204, 206, 302, 400, 404, 408, 500, 503];

/// An answer without parts is the same one however it is put together, and has the same consequences.
#[test]
fn without_parts_as_with_a_builder() {
    let tag = icap_proto::IsTag::new("t1").unwrap();
    for (name, server) in PLACES {
        for status in STATUSES {
            let status = StatusCode::new(status).unwrap();
            let (mut one, mut other) = (server(), server());
            let expected = one.respond(status);
            let answered = other.connection.respond_without_parts(status, &tag);
            assert_eq!(answered, expected, "{name} {status}");
            assert_eq!(other.sent(), one.sent(), "{name} {status}");
            assert_eq!(other.closing(), one.closing(), "{name} {status}");
        }
    }
}

/// And so is one with an HTTP head.
#[test]
fn with_http_as_with_a_builder() {
    let tag = icap_proto::IsTag::new("t1").unwrap();
    let request = HttpHead::request("GET", "/b", [("Host", "h")]).unwrap();
    let response = HttpHead::response(200, "OK", [("Via", "x")]).unwrap();
    let mut taken = [0; 2];
    for (name, server) in PLACES {
        for status in STATUSES.map(|status| StatusCode::new(status).unwrap()) {
            for (http, body) in
                [&request, &response].into_iter().flat_map(|http| [(http, true), (http, false)])
            {
                let context = format!("{name} {status} {body}");
                let (mut one, mut other) = (server(), server());
                let answered = other.connection.respond_with_http(status, &tag, http, body);
                match ResponseHead::builder(status)
                    .istag(&tag)
                    .http(http.clone())
                    .body(body)
                    .build()
                {
                    Ok(head) => assert_eq!(answered, one.connection.respond(head), "{context}"),
                    Err(_) => assert!(answered.is_err(), "{context}"),
                }
                let partial = status == StatusCode::PARTIAL_CONTENT;
                let finish = |server: &mut Server| match partial {
                    true => server.connection.finish_with_original(1),
                    false => server.finish(),
                };
                assert_eq!(
                    (other.sent(), other.closing()),
                    (one.sent(), one.closing()),
                    "{context}"
                );
                assert_eq!(finish(&mut other), finish(&mut one), "{context}");
                assert_eq!(
                    (other.sent(), other.closing()),
                    (one.sent(), one.closing()),
                    "{context}"
                );
                taken[usize::from(partial)] += usize::from(answered.is_ok());
            }
        }
    }
    assert!(taken[0] > 50 && taken[1] > 0, "{taken:?}");
}
