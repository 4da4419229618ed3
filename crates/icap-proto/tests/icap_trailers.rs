//! ICAP trailers on their way out (draft-rousskov-icap-trailers): who may send one, where it stands, and that none
//! that was promised stays out. How they are read is in `client_answers.rs` (R4) and `server_dialogue.rs` (S6).

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use icap_proto::client::{self, SendState};
use icap_proto::{
    Allow, CloseReason, Error, Headers, HttpHead, InvalidHeader, Leniency, Limits, Method, Misuse,
    RequestBuilder, RequestHead, ResponseBuilder, StatusCode,
};
use support::Core;
use support::client::{CONTINUE, Client, NO_CONTENT, OK_NEW};
use support::server::{OPTIONS, OPTIONS_EVENTS, Server, head, misuse, respmod};

const NONE: [(&str, &str); 0] = [];

fn fields(pairs: &[(&str, &str)]) -> Headers {
    Headers::from_pairs(pairs.iter().copied()).unwrap()
}

fn page() -> HttpHead {
    HttpHead::response(200, "OK", NONE).unwrap()
}

fn ask() -> RequestBuilder {
    RequestHead::respmod("icap://s/v".parse().unwrap()).http_response(page())
}

fn promising() -> RequestBuilder {
    ask().icap_trailer(["X-Id"]).unwrap()
}

fn request(name: &str) -> String {
    format!(
        "RESPMOD icap://s/v ICAP/1.0\r\nHost: s:1344\r\nAllow: trailers\r\nTrailer: X-Id\r\n{name}\r\n\
         HTTP/1.1 200 OK\r\n\r\n"
    )
}

fn with_body(more: &str) -> String {
    request(&format!("Encapsulated: res-hdr=0, res-body=19\r\n{more}"))
}

/// A request that was started, and its head.
fn started(builder: RequestBuilder) -> (Client, String) {
    let mut client = Client {
        connection: client::Connection::new(Limits::default(), Leniency::strict()),
        trace: support::Trace::default(),
    };
    client.connection.start(&builder.build().unwrap()).unwrap();
    let sent = client.sent();
    (client, sent)
}

fn refused(result: Result<(), Error>) -> bool {
    misuse(result) == Misuse::NoIcapTrailer
}

// The promise.

#[test]
fn the_promise_in_a_request() {
    let (_, sent) = started(promising().body(true));
    assert_eq!(sent, with_body(""));
    let all = promising().icap_trailer(["X-A", "x-b"]).unwrap().body(true).preview(0);
    let (_, sent) = started(all.allow_no_content().allow_partial_content().close());
    assert!(
        sent.contains(
            "\r\nAllow: 204, 206, trailers\r\nTrailer: X-A, x-b\r\nConnection: close\r\n"
        ),
        "{sent}"
    );
    // To take trailers promises none.
    let (_, sent) = started(ask().allow_trailers().body(true));
    assert!(sent.contains("\r\nAllow: trailers\r\n") && !sent.contains("Trailer"), "{sent}");
}

#[test]
fn the_promise_in_an_answer() {
    let mut server = Server::new();
    server.recv(respmod("Allow: trailers\r\n") + "0\r\n\r\n");
    assert!(server.connection.permits_icap_trailer());
    let answer = head(StatusCode::OK).http(page()).body(true).icap_trailer(["X-Id"]).unwrap();
    // `allow` behind the promise does not take it back.
    let mut allow = Allow::default();
    allow.no_content = true;
    server.connection.respond(answer.allow(allow).build().unwrap()).unwrap();
    assert_eq!(
        server.sent(),
        "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nAllow: 204, trailers\r\nTrailer: X-Id\r\n\
         Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    );
}

#[test]
fn names_that_cannot_be_promised() {
    let name = |name: &str| {
        let answer = head(StatusCode::OK).icap_trailer([name]).err();
        assert_eq!(ask().icap_trailer([name]).err(), answer, "{name}");
        answer
    };
    for banned in BANNED {
        assert_eq!(name(banned), Some(InvalidHeader::Reserved), "{banned}");
        assert_eq!(name(&banned.to_lowercase()), Some(InvalidHeader::Reserved), "{banned}");
    }
    for invalid in ["", "X Id", "X-Id:", "X\r\nY", "X,Y", "\u{e9}"] {
        assert_eq!(name(invalid), Some(InvalidHeader::Name), "{invalid:?}");
    }
    assert_eq!(name("X-Virus-ID"), None);
    assert_eq!(ask().icap_trailer([""; 0]).err(), Some(InvalidHeader::Value));
}

const BANNED: [&str; 8] = [
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Encapsulated",
    "Preview",
    "Trailer",
    "Authorization",
    "Proxy-Authorization",
];

#[test]
fn no_promise_without_parts() {
    let uri = || "icap://s/v".parse().unwrap();
    let log = Method::from_bytes(b"LOG").unwrap();
    for builder in [RequestHead::options(uri()), RequestHead::builder(log, uri())] {
        let built = builder.icap_trailer(["X-Id"]).unwrap().build();
        assert_eq!(built.unwrap_err(), Misuse::Composition);
    }
    for status in [100, 200, 204, 206, 404, 500] {
        let builder = || head(StatusCode::new(status).unwrap()).icap_trailer(["X-Id"]).unwrap();
        assert_eq!(builder().build().unwrap_err(), Misuse::Composition, "{status}");
        assert_eq!(builder().null_body().build().unwrap_err(), Misuse::Composition, "{status}");
        let with_parts = builder().http(page()).build();
        assert_eq!(with_parts.is_ok(), !matches!(status, 100 | 204), "{status}");
    }
    assert!(promising().build().is_ok() && promising().body(true).build().is_ok());
}

/// A parsed head that is sent on keeps its promise, and the trailer is sent.
#[test]
fn the_promise_of_a_parsed_head() {
    let bytes = "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nTrailer:  X-A ,X-B \r\nAllow: trailers\r\n\
        Trailer: X-C\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let parse = |bytes: &str| {
        let (limits, leniency) = (Limits::default(), Leniency::default());
        RequestHead::parse(bytes.as_bytes(), &limits, &leniency).unwrap().unwrap().0
    };
    let mut client = client::Connection::new(Limits::default(), Leniency::default());
    client.start(&parse(bytes)).unwrap();
    assert_eq!(
        support::lossy(&client.take_output()),
        "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: trailers\r\nTrailer: X-A ,X-B\r\n\
         Trailer: X-C\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n"
    );
    // One that could not be read makes none.
    let head = parse(&bytes.replace("Allow: trailers\r\n", ""));
    let mut client = client::Connection::new(Limits::default(), Leniency::default());
    client.start(&head).unwrap();
    assert!(!support::lossy(&client.take_output()).contains("Trailer"));
}

// The client's trailer (W4).

#[test]
fn w4_behind_the_body() {
    for (given, expected) in
        [(None, "\r\n"), (Some(fields(&[("X-Other", "1")])), "X-Other: 1\r\n\r\n")]
    {
        let (mut client, _) = started(promising().body(true));
        client.send("hello");
        if let Some(given) = given {
            // The last word counts.
            client.connection.set_icap_trailer(fields(&[("X-Old", "0")])).unwrap();
            client.connection.set_icap_trailer(given).unwrap();
        }
        client.connection.finish(&fields(&[("X-Sum", "1")])).unwrap();
        assert_eq!(client.sent(), format!("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n{expected}"));
        assert_eq!(client.state(), "done");
        assert!(refused(client.connection.set_icap_trailer(Headers::new())));
        client.recv(OK_NEW);
        assert_eq!(client.reusable(), Ok(()));
        // Nothing of it is left for the next request.
        client.connection.start(&promising().body(true).build().unwrap()).unwrap();
        client.finish();
        assert_eq!(client.sent(), with_body("") + "0\r\n\r\n\r\n");
    }
}

#[test]
fn w4_behind_the_heads_of_a_message_without_body() {
    let heads = request("Encapsulated: res-hdr=0, null-body=19\r\n");
    let (mut client, sent) = started(promising());
    assert_eq!(sent, heads.clone() + "\r\n", "a promised trailer is sent, if empty");
    assert_eq!(client.connection.send_state(), SendState::Done);
    assert!(refused(client.connection.set_icap_trailer(Headers::new())));

    let mut connection = client::Connection::new(Limits::default(), Leniency::strict());
    let head = promising().preview(1024).build().unwrap();
    connection.start_with_icap_trailer(&head, fields(&[("X-Id", "7")])).unwrap();
    let heads = heads.replace("null-body=19\r\n", "null-body=19\r\nPreview: 1024\r\n");
    assert_eq!(support::lossy(&connection.take_output()), heads + "X-Id: 7\r\n\r\n");
}

#[test]
fn w4_fields_given_at_the_start_wait_for_the_end() {
    let mut connection = client::Connection::new(Limits::default(), Leniency::strict());
    let head = promising().body(true).build().unwrap();
    connection.start_with_icap_trailer(&head, fields(&[("X-Id", "7")])).unwrap();
    assert_eq!(support::lossy(&connection.take_output()), with_body(""));
    connection.finish(&Headers::new()).unwrap();
    assert_eq!(support::lossy(&connection.take_output()), "0\r\n\r\nX-Id: 7\r\n\r\n");
}

#[test]
fn w4_no_trailer_that_was_not_promised() {
    let id = || fields(&[("X-Id", "7")]);
    for builder in [ask(), ask().body(true), ask().allow_trailers().body(true)] {
        let (mut client, _) = started(builder.clone());
        assert!(refused(client.connection.set_icap_trailer(id())));
        let mut connection = client::Connection::new(Limits::default(), Leniency::strict());
        assert!(refused(connection.start_with_icap_trailer(&builder.build().unwrap(), id())));
        assert_eq!(connection.take_output(), b"");
        assert!(refused(connection.set_icap_trailer(id())), "nothing was started");
    }
}

/// Behind `0; ieof` yes; behind the end of a preview that goes on no, only behind the rest.
#[test]
fn w4_at_the_true_end_of_a_preview() {
    let id = || fields(&[("X-Id", "7")]);
    // The body ends inside.
    let (mut client, _) = started(promising().body(true).preview(5));
    client.send("abc");
    client.connection.set_icap_trailer(id()).unwrap();
    client.finish();
    assert_eq!(client.sent(), "3\r\nabc\r\n0; ieof\r\n\r\nX-Id: 7\r\n\r\n");
    // It goes on.
    let (mut client, _) = started(promising().body(true).preview(2));
    assert_eq!(client.send("abc"), "c");
    assert_eq!(client.sent(), "2\r\nab\r\n0\r\n\r\n");
    client.connection.set_icap_trailer(id()).unwrap();
    assert_eq!(client.recv(CONTINUE), ["continue"]);
    assert_eq!(client.sent(), "");
    client.send("c");
    client.finish();
    assert_eq!(client.sent(), "1\r\nc\r\n0\r\n\r\nX-Id: 7\r\n\r\n");
    // It ended while the client waited.
    let (mut client, _) = started(promising().body(true).preview(2));
    client.send("ab");
    client.connection.end_preview().unwrap();
    client.connection.finish(&fields(&[("X-Sum", "1")])).unwrap();
    assert_eq!(client.sent(), "2\r\nab\r\n0\r\n\r\n");
    client.connection.set_icap_trailer(id()).unwrap();
    client.recv(CONTINUE);
    assert_eq!(client.sent(), "0\r\nX-Sum: 1\r\n\r\nX-Id: 7\r\n\r\n");
    assert!(refused(client.connection.set_icap_trailer(id())));
}

#[test]
fn w4_no_trailer_when_the_answer_ends_the_preview() {
    for early in [true, false] {
        let (mut client, _) = started(promising().body(true).preview(2));
        if early {
            client.recv(NO_CONTENT);
        }
        client.send("abc");
        client.recv(if early { "" } else { NO_CONTENT });
        // The source has not noticed: no error, and nothing goes out.
        client.connection.set_icap_trailer(fields(&[("X-Id", "7")])).unwrap();
        client.finish();
        assert_eq!(client.sent(), "2\r\nab\r\n0\r\n\r\n", "early {early}");
        assert_eq!(client.reusable(), Ok(()));
        client.connection.start(&promising().build().unwrap()).unwrap();
        assert!(client.sent().ends_with("HTTP/1.1 200 OK\r\n\r\n\r\n"));
    }
    // Behind `ieof` the server reads on to the trailer, whatever it has answered.
    let (mut client, _) = started(promising().body(true).preview(2));
    client.recv(NO_CONTENT);
    client.send("a");
    client.finish();
    assert_eq!(client.sent(), "1\r\na\r\n0; ieof\r\n\r\n\r\n");
    assert_eq!(client.reusable(), Ok(()));
}

#[test]
fn w4_no_trailer_of_a_request_that_is_given_up() {
    let (mut client, _) = started(promising().body(true));
    client.send("abc");
    client.connection.abandon();
    assert_eq!(client.sent(), "3\r\nabc\r\n");
    assert!(refused(client.connection.set_icap_trailer(Headers::new())));
}

#[test]
fn w4_connection_close_in_the_trailer() {
    let (mut client, _) = started(promising().body(true));
    client.connection.set_icap_trailer(fields(&[("Connection", "close")])).unwrap();
    client.finish();
    assert_eq!(client.sent(), "0\r\n\r\nConnection: close\r\n\r\n");
    client.recv(OK_NEW);
    assert_eq!(client.reusable(), Err(CloseReason::Asked));
}

/// Fields that frame, route or authorize go out in no trailer of either kind.
#[test]
fn fields_that_no_trailer_has() {
    let mut all: Vec<(String, &str)> = Vec::new();
    for name in BANNED {
        all.push((name.to_owned(), "1"));
        all.push((name.to_uppercase(), "2"));
    }
    all.push(("X-Kept".to_owned(), "3"));
    let all = Headers::from_pairs(all).unwrap();
    let (mut client, _) = started(promising().body(true));
    client.connection.set_icap_trailer(all.clone()).unwrap();
    client.connection.finish(&all).unwrap();
    assert_eq!(client.sent(), "0\r\nX-Kept: 3\r\n\r\nX-Kept: 3\r\n\r\n");
    let mut server = answering(true);
    server.connection.set_icap_trailer(all.clone()).unwrap();
    server.connection.finish(&all).unwrap();
    assert_eq!(server.sent(), "0\r\nX-Kept: 3\r\n\r\nX-Kept: 3\r\n\r\n");
}

/// Folds are read, never written.
#[test]
fn folded_trailers_come_out_on_one_line() {
    let block =
        Bytes::from_static(b"X-Violations-Found: 1\r\n\tfile\r\n  EICAR\r\nX-B:  2\r\n\r\n");
    let folded = Headers::parse(block, &Limits::default(), &Leniency::default()).unwrap();
    let (mut client, _) = started(promising().body(true));
    client.connection.finish(&folded).unwrap();
    assert_eq!(client.sent(), "0\r\nX-Violations-Found: 1 file EICAR\r\nX-B:  2\r\n\r\n\r\n");
}

// The server's trailer (P3).

fn answer(body: bool) -> ResponseBuilder {
    head(StatusCode::OK).http(page()).body(body).icap_trailer(["X-Id"]).unwrap()
}

/// A server that was asked with `Allow: trailers` and has sent the head of an answer with a trailer.
fn answering(body: bool) -> Server {
    let mut server = Server::new();
    server.recv(respmod("Allow: trailers\r\n") + "0\r\n\r\n");
    server.connection.respond(answer(body).build().unwrap()).unwrap();
    let sent = server.sent();
    assert!(sent.ends_with(if body { "OK\r\n\r\n" } else { "OK\r\n\r\n\r\n" }), "{sent}");
    server
}

#[test]
fn p3_trailer_behind_the_body() {
    for (given, expected) in
        [(None, "\r\n"), (Some(fields(&[("X-Other", "1")])), "X-Other: 1\r\n\r\n")]
    {
        let mut server = answering(true);
        server.send("hello").unwrap();
        if let Some(given) = given {
            server.connection.set_icap_trailer(given).unwrap();
        }
        server.connection.finish(&fields(&[("X-Sum", "1")])).unwrap();
        assert_eq!(server.sent(), format!("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n{expected}"));
        assert!(refused(server.connection.set_icap_trailer(Headers::new())));
        assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
        assert!(refused(server.connection.set_icap_trailer(Headers::new())));
    }
}

#[test]
fn p3_trailer_behind_the_heads_of_a_message_without_body() {
    let mut server = answering(false);
    assert!(refused(server.connection.set_icap_trailer(Headers::new())));
    assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);

    let mut server = Server::new();
    server.recv(respmod("Allow: trailers\r\n") + "0\r\n\r\n");
    let id = fields(&[("X-Id", "7")]);
    server.connection.respond_with_icap_trailer(answer(false).build().unwrap(), id).unwrap();
    assert!(server.sent().ends_with("null-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\nX-Id: 7\r\n\r\n"));
    assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
}

#[test]
fn p3_fields_given_with_the_head_wait_for_the_end() {
    let mut server = Server::new();
    server.recv(respmod("Allow: trailers\r\n") + "0\r\n\r\n");
    let id = fields(&[("X-Id", "7")]);
    server.connection.respond_with_icap_trailer(answer(true).build().unwrap(), id).unwrap();
    server.sent();
    server.finish().unwrap();
    assert_eq!(server.sent(), "0\r\n\r\nX-Id: 7\r\n\r\n");
}

#[test]
fn p3_trailer_behind_the_rest_of_the_original() {
    let mut server = Server::new();
    server.recv(respmod("Allow: 204, 206, trailers\r\n") + "5\r\nhello\r\n0\r\n\r\n");
    let answer = head(StatusCode::PARTIAL_CONTENT).http(page()).body(true);
    let answer = answer.icap_trailer(["X-Id"]).unwrap().build().unwrap();
    server.connection.respond_with_icap_trailer(answer, fields(&[("X-Id", "7")])).unwrap();
    server.sent();
    server.connection.finish_with_original(2).unwrap();
    assert_eq!(server.sent(), "0; use-original-body=2\r\n\r\nX-Id: 7\r\n\r\n");
}

#[test]
fn p3_no_trailer_to_a_client_that_does_not_take_it() {
    for fields in ["", "Allow: 204\r\n", "Allow: xtrailers\r\n"] {
        for body in [true, false] {
            let mut server = Server::new();
            server.recv(respmod(fields) + "0\r\n\r\n");
            assert!(!server.connection.permits_icap_trailer());
            let head = answer(body).build().unwrap();
            let result = server.connection.respond(head.clone());
            assert_eq!(misuse(result), Misuse::IcapTrailerNotAllowed);
            let result = server.connection.respond_with_icap_trailer(head, Headers::new());
            assert_eq!(misuse(result), Misuse::IcapTrailerNotAllowed);
            assert_eq!(server.sent(), "");
            // Nothing is lost.
            server.respond_http(StatusCode::OK, body).unwrap();
        }
    }
    // What one request allowed the next does not.
    let mut server = answering(false);
    server.recv(respmod("") + "0\r\n\r\n");
    let result = server.connection.respond(answer(false).build().unwrap());
    assert_eq!(misuse(result), Misuse::IcapTrailerNotAllowed);
}

#[test]
fn p3_no_trailer_that_was_not_promised() {
    let mut server = Server::new();
    server.recv(respmod("Allow: trailers\r\n") + "0\r\n\r\n");
    let plain = || head(StatusCode::OK).http(page()).body(true).build().unwrap();
    assert!(refused(server.connection.set_icap_trailer(Headers::new())));
    assert!(refused(server.connection.respond_with_icap_trailer(plain(), Headers::new())));
    assert_eq!(server.sent(), "");
    server.connection.respond(plain()).unwrap();
    server.sent();
    assert!(refused(server.connection.set_icap_trailer(Headers::new())));
    server.finish().unwrap();
    assert_eq!(server.sent(), "0\r\n\r\n");
}

#[test]
fn p3_connection_close_in_the_trailer() {
    let mut server = answering(true);
    server.connection.set_icap_trailer(fields(&[("Connection", "close")])).unwrap();
    server.finish().unwrap();
    assert_eq!(server.sent(), "0\r\n\r\nConnection: close\r\n\r\n");
    assert_eq!(server.closing(), Some(CloseReason::Asked));
}

#[test]
fn p3_no_trailer_of_an_answer_that_broke_off() {
    let mut server = answering(true);
    server.connection.abort();
    assert!(server.connection.finish(&Headers::new()).is_err());
    assert_eq!(server.sent(), "");
}
