//! The answer on its way in: one test for each row of the client's read side.
//!
//! States: R0 status line, R1 ICAP head, R2 encapsulated head, R3 body, R4 ICAP trailer, R5 done, RX failed.
//! What the request does meanwhile is in `client_dialogue.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use icap_proto::{
    CloseReason, Error, ParseError, ParseErrorKind as Kind, PeerMisbehaved, StatusCode, Truncated,
};
use support::client::{Ask, CONTINUE, Client, NO_CONTENT, OK_NEW, OK_NEW_EVENTS, answer};

/// The kind of fault that `bytes` are as an answer to `ask`, and where.
fn fault(ask: Ask, bytes: impl AsRef<[u8]>) -> (Kind, u64) {
    let mut client = ask.sent_whole("hello");
    client.recv(bytes);
    match client.error() {
        Error::Parse(ParseError { kind, offset, .. }) => (kind, offset),
        other => panic!("{other:?}"),
    }
}

fn misbehaviour(ask: Ask, bytes: impl AsRef<[u8]>) -> PeerMisbehaved {
    let mut client = ask.sent_whole("hello");
    client.recv(bytes);
    match client.error() {
        Error::Peer(misbehaved) => misbehaved,
        other => panic!("{other:?}"),
    }
}

fn events(ask: Ask, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut client = ask.sent_whole("hello");
    let events = client.recv(bytes);
    assert_eq!(client.trace.error, None);
    assert_eq!(client.reusable(), Ok(()));
    events
}

fn ok(fields: &str, rest: &str) -> String {
    answer(StatusCode::OK, fields) + rest
}

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
const LIST: &str = "Encapsulated: res-hdr=0, res-body=19\r\n";

// R0: the status line.

#[test]
fn r0_end_before_the_answer() {
    for (ask, cut) in [
        (Ask::respmod(), Truncated::BeforeHead),
        (Ask::respmod().preview(1024), Truncated::InPreview),
        (Ask::options(), Truncated::BeforeHead),
    ] {
        let mut client = ask.sent_whole("hello");
        assert_eq!(client.recv(""), [] as [&str; 0]);
        assert!(client.connection.wants_input());
        assert_eq!(client.recv_eof(), Some(Error::Closed(cut)));
        assert_eq!(client.reusable(), Err(CloseReason::Failed));
    }
}

#[test]
fn r0_end_after_the_continue() {
    let mut client = Ask::respmod().preview(4).start();
    client.send("hello");
    client.recv(CONTINUE);
    assert_eq!(client.recv_eof(), Some(Error::Closed(Truncated::BeforeHead)));
}

#[test]
fn r0_end_is_noticed_without_a_poll_before() {
    let mut client = Ask::respmod().sent_whole("hello");
    client.connection.input_closed();
    assert!(client.connection.poll_event().is_err());
}

#[test]
fn r0_other_protocols_are_refused_by_their_first_byte() {
    for bytes in ["HTTP/1.1 200 OK\r\n", "H", "ICAQ", "icap/1.0 200 OK\r\n", "\r\n", "\x16\x03"] {
        assert_eq!(fault(Ask::respmod(), bytes), (Kind::NotIcap, 0), "{bytes:?}");
    }
}

#[test]
fn r0_other_protocols_are_refused_behind_the_continue_too() {
    let mut client = Ask::respmod().preview(4).start();
    client.send("hello");
    assert_eq!(client.recv(format!("{CONTINUE}H")), ["continue"]);
    assert!(matches!(client.error(), Error::Parse(error) if error.kind == Kind::NotIcap));
}

#[test]
fn r0_refusal_before_the_request_is_its_answer() {
    // c-icap refuses a client by address as soon as it is connected.
    let refusal = answer(StatusCode::FORBIDDEN, "");
    for cut in 0..refusal.len() {
        let (early, late) = refusal.split_at(cut);
        let mut client = idle_client();
        client.connection.feed(early.as_bytes());
        client.connection.input_closed_if(late.is_empty());
        client.connection.start(&Ask::options().head()).unwrap();
        assert_eq!(client.recv(late), ["response 403 Forbidden", "end"], "cut at {cut}");
    }
}

#[test]
fn r0_other_answers_before_the_request_are_refused() {
    for bytes in [NO_CONTENT, OK_NEW, CONTINUE] {
        let mut client = idle_client();
        client.connection.feed(bytes.as_bytes());
        client.connection.start(&Ask::respmod().preview(0).head()).unwrap();
        client.recv("");
        assert_eq!(client.error(), PeerMisbehaved::UnsolicitedResponse.into());
    }
}

fn idle_client() -> Client {
    let (limits, leniency) = Default::default();
    Client {
        connection: icap_proto::client::Connection::new(limits, leniency),
        trace: support::Trace::default(),
    }
}

trait CloseIf {
    fn input_closed_if(&mut self, closed: bool);
}

impl CloseIf for icap_proto::client::Connection {
    fn input_closed_if(&mut self, closed: bool) {
        if closed {
            self.input_closed();
        }
    }
}

// R1: the ICAP head.

#[test]
fn r1_continue_may_name_an_empty_list_and_no_other() {
    let mut client = Ask::respmod().preview(4).start();
    client.send("hello");
    let bytes = "ICAP/1.0 100 Continue\r\nEncapsulated: null-body=0\r\n\r\n";
    assert_eq!(client.recv(bytes), ["continue"]);

    let bytes = "ICAP/1.0 100 Continue\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\n";
    let with_head = format!("{bytes}{HEAD}");
    assert_eq!(misbehaviour(Ask::respmod(), with_head), PeerMisbehaved::UnexpectedBody);
}

#[test]
fn r1_other_interims_are_refused() {
    for status in [101, 102, 199] {
        let bytes = format!("ICAP/1.0 {status} x\r\n\r\n");
        assert_eq!(misbehaviour(Ask::respmod(), bytes), PeerMisbehaved::UnknownInterim);
    }
}

/// Who may be answered with 204 and 206 (RFC 3507 section 4.6, draft-icap-ext-partial-content section 5.1).
#[test]
fn r1_permissions() {
    let yes = [
        (Ask::respmod().allow_204(), NO_CONTENT),
        (Ask::respmod().preview(1024), NO_CONTENT),
        (Ask::reqmod().preview(1024), NO_CONTENT),
        (Ask::respmod().preview(1024).no_body(), NO_CONTENT),
        // Nobody allowed it, but a request without body is still whole.
        (Ask::respmod().no_body(), NO_CONTENT),
        (Ask::options(), NO_CONTENT),
        (Ask::respmod().preview(1024).allow_206(), PARTIAL),
        (Ask::respmod().allow_204().allow_206(), PARTIAL),
    ];
    for (ask, bytes) in yes {
        let mut client = ask.clone().sent_whole("hello");
        client.recv(bytes);
        assert_eq!(client.trace.error, None, "{ask:?}");
        assert_eq!(client.reusable(), Ok(()));
    }
    let no = [
        (Ask::respmod(), NO_CONTENT),
        (Ask::respmod().allow_206(), NO_CONTENT),
        (Ask::respmod().no_body().strict(), NO_CONTENT),
        (Ask::respmod(), PARTIAL),
        (Ask::respmod().allow_204(), PARTIAL),
        (Ask::respmod().allow_206(), PARTIAL),
        (Ask::respmod().preview(1024), PARTIAL),
        (Ask::respmod().preview(1024).allow_204(), PARTIAL),
    ];
    for (ask, bytes) in no {
        let error = misbehaviour(ask.clone(), bytes);
        let expected = if bytes == NO_CONTENT {
            PeerMisbehaved::UnsolicitedNoContent
        } else {
            PeerMisbehaved::UnsolicitedPartialContent
        };
        assert_eq!(error, expected, "{ask:?}");
    }
}

const PARTIAL: &str = "ICAP/1.0 206 Partial Content\r\nISTag: \"t1\"\r\n\
    Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n0; use-original-body=0\r\n\r\n";

/// 100 Continue ends what counts as preview.
#[test]
fn r1_permissions_behind_the_continue() {
    for (ask, bytes, allowed) in [
        (Ask::respmod(), NO_CONTENT, false),
        (Ask::respmod().allow_204(), NO_CONTENT, true),
        (Ask::respmod().allow_206(), PARTIAL, false),
        (Ask::respmod().allow_204().allow_206(), PARTIAL, true),
    ] {
        let mut client = ask.preview(4).start();
        client.send("hello");
        client.recv(CONTINUE);
        client.finish();
        client.recv(bytes);
        assert_eq!(client.trace.error.is_none(), allowed);
    }
}

#[test]
fn r1_no_content_has_no_body() {
    let list = |list: &str| answer(StatusCode::NO_CONTENT, &format!("Encapsulated: {list}\r\n"));
    let ask = Ask::respmod().allow_204();
    assert_eq!(
        events(ask.clone(), list("null-body=0")),
        ["response 204 No Content [null-body=0]", "end"]
    );
    let body = list("res-hdr=0, res-body=19") + HEAD;
    assert_eq!(misbehaviour(ask.clone(), body), PeerMisbehaved::UnexpectedBody);
    let head = list("res-hdr=0, null-body=19") + HEAD;
    assert_eq!(fault(ask, head).0, Kind::EntityList);
}

#[test]
fn r1_created_is_ok() {
    let bytes = answer(StatusCode::CREATED, LIST) + HEAD + "0\r\n\r\n";
    assert_eq!(
        events(Ask::respmod(), &bytes),
        ["response 201 Created [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)", "end"]
    );
    assert_eq!(fault(Ask::respmod().strict(), &bytes).0, Kind::EntityList);
}

#[test]
fn r1_ok_without_parts() {
    assert_eq!(fault(Ask::respmod(), ok("", "")).0, Kind::MissingEncapsulated);
    assert_eq!(fault(Ask::reqmod(), ok("", "")).0, Kind::MissingEncapsulated);
    assert_eq!(fault(Ask::respmod(), ok("Encapsulated: null-body=0\r\n", "")).0, Kind::EntityList);
}

#[test]
fn r1_partial_without_parts() {
    for list in ["", "Encapsulated: null-body=0\r\n"] {
        let bytes = answer(StatusCode::PARTIAL_CONTENT, list);
        for ask in [Ask::respmod(), Ask::reqmod()] {
            assert_eq!(fault(ask.allow_204().allow_206(), &bytes).0, Kind::EntityList, "{list}");
        }
    }
}

/// Success that means nothing in ICAP, and redirection: read to the end, for the caller to refuse.
#[test]
fn r1_other_statuses_are_read_to_their_end() {
    for status in [202, 203, 205, 300, 302, 307] {
        for (fields, rest, last) in [
            ("", String::new(), "end"),
            ("Encapsulated: null-body=0\r\n", String::new(), "end"),
            (
                LIST,
                format!("{HEAD}3\r\nwhy\r\n0\r\nX-Sum: 1\r\n\r\n"),
                "end trailers={X-Sum: 1\\r\\n}",
            ),
        ] {
            let bytes = answer(StatusCode::new(status).unwrap(), fields) + &rest;
            assert_eq!(events(Ask::respmod(), bytes).last().unwrap(), last, "{status}");
        }
    }
}

#[test]
fn r1_ok_with_parts_of_another_method() {
    let request = ok("Encapsulated: req-hdr=0, null-body=18\r\n", "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(fault(Ask::respmod(), &request).0, Kind::EntityList);
    assert_eq!(fault(Ask::options(), &request).0, Kind::EntityList);
    assert_eq!(
        events(Ask::reqmod(), &request),
        ["response 200 OK [req-hdr=0, null-body=18] (GET / HTTP/1.1)", "end"]
    );
    // An answer in place of the origin's.
    assert_eq!(events(Ask::reqmod(), OK_NEW), OK_NEW_EVENTS);
}

#[test]
fn r1_options_without_parts() {
    let bytes = ok("Methods: RESPMOD\r\n", "");
    assert_eq!(events(Ask::options(), &bytes), ["response 200 OK", "end"]);
    assert_eq!(fault(Ask::options().strict(), &bytes).0, Kind::MissingEncapsulated);
    let bytes = ok("Methods: RESPMOD\r\nOpt-body-type: Attribute-List\r\n", "");
    assert_eq!(fault(Ask::options(), &bytes).0, Kind::MissingEncapsulated);
}

#[test]
fn r1_options_with_a_body() {
    let bytes = ok("Opt-body-type: x\r\nEncapsulated: opt-body=0\r\n", "2\r\nab\r\n0\r\n\r\n");
    assert_eq!(
        events(Ask::options().strict(), bytes),
        ["response 200 OK [opt-body=0]", "data ab", "end"]
    );
}

#[test]
fn r1_errors_are_read_to_their_end() {
    for status in [StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        let lines = events(Ask::respmod(), answer(status, ""));
        assert_eq!(lines.last().unwrap(), "end");
        let lines = events(Ask::respmod(), answer(status, LIST) + HEAD + "3\r\nwhy\r\n0\r\n\r\n");
        assert_eq!(lines[1..], ["data why", "end"]);
    }
    // A class that nobody knows: as its x00.
    assert_eq!(events(Ask::respmod(), "ICAP/1.0 499 X\r\n\r\n"), ["response 499 X", "end"]);
}

#[test]
fn r1_status_out_of_range() {
    for status in ["099", "600", "999", "2 0", "20", "2000"] {
        let bytes = format!("ICAP/1.0 {status} x\r\n\r\n");
        assert_eq!(fault(Ask::respmod(), bytes).0, Kind::Status, "{status}");
    }
}

#[test]
fn r1_success_without_istag() {
    let bytes = "ICAP/1.0 204 No Content\r\n\r\n";
    events(Ask::respmod().allow_204(), bytes);
    assert_eq!(fault(Ask::respmod().allow_204().strict(), bytes).0, Kind::MissingIsTag);
    // Never needed on an error.
    events(Ask::respmod().strict(), "ICAP/1.0 404 x\r\n\r\n");
}

#[test]
fn r1_trailer_that_was_not_allowed_closes() {
    let bytes = ok(&format!("Trailer: X-Id\r\n{LIST}"), &format!("{HEAD}0\r\n\r\n"));
    let mut client = Ask::respmod().sent_whole("hello");
    assert_eq!(client.recv(&bytes).last().unwrap(), "end");
    assert_eq!(client.reusable(), Err(CloseReason::UnannouncedTrailer));
    assert_eq!(fault(Ask::respmod().strict(), &bytes).0, Kind::UnannouncedTrailer);
}

#[test]
fn r1_connection_close() {
    for value in ["close", "Close", "keep-alive, close", "x,,CLOSE"] {
        let mut client = Ask::respmod().sent_whole("hello");
        client.recv(answer(StatusCode::NOT_FOUND, &format!("Connection: {value}\r\n")));
        assert_eq!(client.reusable(), Err(CloseReason::Asked), "{value}");
    }
    events(Ask::respmod(), answer(StatusCode::NOT_FOUND, "Connection: keep-alive, closed\r\n"));
}

// R2: the encapsulated head.

#[test]
fn r2_section_ends_where_the_list_says() {
    let bytes = |offset: usize| {
        ok(&format!("Encapsulated: res-hdr=0, res-body={offset}\r\n"), HEAD) + "0\r\n\r\n"
    };
    assert_eq!(events(Ask::respmod(), bytes(19)).len(), 2);
    for offset in [1, 2, 15, 17, 18, 20, 21, 22, 24] {
        let (kind, _) = fault(Ask::respmod(), bytes(offset));
        assert!(
            matches!(kind, Kind::SectionEnd | Kind::HttpStartLine | Kind::BareCr | Kind::Status),
            "{offset}: {kind:?}"
        );
    }
    let mut client = Ask::respmod().sent_whole("hello");
    client.recv(bytes(30));
    assert_eq!(client.recv_eof(), Some(Error::Closed(Truncated::InHead)));
}

#[test]
fn r2_no_empty_line_inside_a_section() {
    let bytes = ok(
        "Encapsulated: res-hdr=0, res-body=27\r\n",
        "HTTP/1.1 200 OK\r\n\r\nA: b\r\n\r\n0\r\n\r\n",
    );
    // The offset is that of the first byte behind the empty line.
    let icap = ok("Encapsulated: res-hdr=0, res-body=27\r\n", "").len() as u64;
    assert_eq!(fault(Ask::respmod(), bytes), (Kind::SectionEnd, icap + 19));
}

// R3: the body.

#[test]
fn r3_data_as_it_comes() {
    let mut client = Ask::respmod().sent_whole("hello");
    client.recv(ok(LIST, HEAD));
    assert_eq!(client.recv("5\r\nhel"), ["data hel"]);
    assert_eq!(client.recv("lo\r"), ["data lo"]);
    assert_eq!(client.recv("\n0\r\n"), [] as [&str; 0]);
    assert_eq!(client.recv("\r\n"), ["end"]);
}

#[test]
fn r3_rest_of_the_original() {
    let partial = |end: &str| answer(StatusCode::PARTIAL_CONTENT, LIST) + HEAD + end;
    let ask = || Ask::respmod().preview(1024).allow_206();
    for (end, expected) in [
        ("0; use-original-body=0\r\n\r\n", "end use-original-body=0"),
        (
            "2\r\nAB\r\n0;use-original-body=18446744073709551615\r\n\r\n",
            "end use-original-body=18446744073709551615",
        ),
        ("0\r\n\r\n", "end"),
        ("0; x=y\r\n\r\n", "end"),
    ] {
        assert_eq!(events(ask(), partial(end)).last().unwrap(), expected);
    }
    for end in [
        "0; use-original-body=x\r\n\r\n",
        "0; use-original-body=-1\r\n\r\n",
        "0; use-original-body=+1\r\n\r\n",
        "0; use-original-body=\"1\"\r\n\r\n",
        "0; use-original-body=18446744073709551616\r\n\r\n",
        "0; use-original-body\r\n\r\n",
        "0; use-original-body=1; use-original-body=1\r\n\r\n",
    ] {
        assert_eq!(fault(ask(), partial(end)).0, Kind::UseOriginalBody, "{end}");
    }
}

#[test]
fn r3_rest_of_the_original_outside_a_206() {
    let bytes = ok(LIST, HEAD) + "0; use-original-body=0\r\n\r\n";
    assert_eq!(events(Ask::respmod(), &bytes).last().unwrap(), "end");
    assert_eq!(
        misbehaviour(Ask::respmod().strict(), &bytes),
        PeerMisbehaved::MisplacedOriginalBody
    );
}

#[test]
fn r3_ieof_in_an_answer() {
    let bytes = ok(LIST, HEAD) + "0; ieof\r\n\r\n";
    assert_eq!(events(Ask::respmod(), &bytes).last().unwrap(), "end");
    assert_eq!(fault(Ask::respmod().strict(), &bytes).0, Kind::MisplacedIeof);
}

#[test]
fn r3_trailers_come_apart() {
    let bytes = ok(LIST, HEAD) + "0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(
        events(Ask::respmod(), bytes).last().unwrap(),
        "end trailers={X-Sum: 1\\r\\nContent-Length: 9\\r\\n}"
    );
}

#[test]
fn r3_end_inside_the_body_is_no_end() {
    let whole = ok(LIST, HEAD) + "3\r\nnew\r\n0\r\n\r\n";
    let head = ok(LIST, HEAD).len();
    for cut in head..whole.len() {
        let mut client = Ask::respmod().sent_whole("hello");
        assert!(!client.recv(&whole[..cut]).contains(&"end".to_owned()));
        assert_eq!(client.recv_eof(), Some(Error::Closed(Truncated::InBody)), "cut at {cut}");
    }
}

#[test]
fn r3_bad_chunk_is_final() {
    let mut client = Ask::respmod().sent_whole("hello");
    let body = ok(LIST, HEAD).len() as u64;
    assert_eq!(client.recv(ok(LIST, HEAD) + "3\r\nnew\r\nx")[1..], ["data new"]);
    let error = client.error();
    assert!(
        matches!(error, Error::Parse(ParseError { kind: Kind::ChunkSize, offset, .. }) if offset == body + 8),
        "{error:?}"
    );
    // The same error again, whatever comes.
    client.connection.feed(b"0\r\n\r\n");
    assert_eq!(client.connection.poll_event().unwrap_err(), error);
    assert_eq!(client.reusable(), Err(CloseReason::Failed));
}

// R4: the ICAP trailer.

#[test]
fn r4_trailer_behind_body_or_head() {
    let fields =
        |list: &str| format!("Allow: trailers\r\nTrailer: X-Id\r\nEncapsulated: {list}\r\n");
    let body = ok(&fields("res-hdr=0, res-body=19"), HEAD) + "0\r\n\r\n";
    let no_body = ok(&fields("res-hdr=0, null-body=19"), HEAD);
    for message in [body, no_body] {
        let mut client = Ask::respmod().sent_whole("hello");
        assert_eq!(client.recv(&message).len(), 1);
        assert_eq!(client.recv("X-Id: 7\r\n\r"), [] as [&str; 0]);
        assert_eq!(client.recv("\n"), ["end icap-trailer={X-Id: 7\\r\\n}"]);
        assert_eq!(client.reusable(), Ok(()));

        let mut client = Ask::respmod().sent_whole("hello");
        assert_eq!(client.recv(message.clone() + "\r\n").last().unwrap(), "end");
        assert_eq!(client.reusable(), Ok(()));

        let mut client = Ask::respmod().sent_whole("hello");
        client.recv(message.clone() + "Connection: close\r\n\r\n");
        assert_eq!(client.reusable(), Err(CloseReason::Asked));

        let mut client = Ask::respmod().sent_whole("hello");
        client.recv(message + "X-Id: 7\r\n");
        assert_eq!(client.recv_eof(), Some(Error::Closed(Truncated::InBody)));
    }
}

#[test]
fn r4_no_trailer_without_parts() {
    let bytes = answer(StatusCode::NO_CONTENT, "Allow: trailers\r\nTrailer: X-Id\r\n");
    assert_eq!(events(Ask::respmod().allow_204(), bytes), ["response 204 No Content", "end"]);
}

#[test]
fn r4_faults_in_the_trailer() {
    let fields = "Allow: trailers\r\nTrailer: X-Id\r\nEncapsulated: res-hdr=0, null-body=19\r\n";
    let message = ok(fields, HEAD);
    let at = message.len() as u64;
    for (trailer, kind, offset) in [
        ("X-Id : 7\r\n\r\n", Kind::SpaceBeforeColon, 4),
        ("X-Id: 7\n\r\n", Kind::BareLf, 7),
        (" X-Id: 7\r\n\r\n", Kind::LeadingWhitespace, 0),
    ] {
        assert_eq!(fault(Ask::respmod(), message.clone() + trailer), (kind, at + offset));
    }
}

// R5: the answer is whole.

#[test]
fn r5_surplus_poisons_the_connection() {
    for surplus in ["X", "\r\n", NO_CONTENT] {
        let mut client = Ask::respmod().allow_204().sent_whole("hello");
        let events = client.recv(format!("{NO_CONTENT}{surplus}"));
        assert_eq!(events, ["response 204 No Content", "end"]);
        assert_eq!(client.reusable(), Err(CloseReason::Surplus));
        assert!(client.connection.start(&Ask::options().head()).is_err());
    }
}

#[test]
fn r5_surplus_that_comes_later() {
    let mut client = Ask::respmod().allow_204().sent_whole("hello");
    client.recv(NO_CONTENT);
    assert_eq!(client.reusable(), Ok(()));
    client.connection.feed(b"X");
    assert_eq!(client.reusable(), Err(CloseReason::Surplus));
}

#[test]
fn r5_end_behind_the_answer_is_no_error() {
    let mut client = Ask::respmod().allow_204().sent_whole("hello");
    client.recv(NO_CONTENT);
    assert_eq!(client.recv_eof(), None);
    assert_eq!(client.reusable(), Err(CloseReason::PeerClosed));
    // The same when the end was known before the answer was looked at.
    let mut client = Ask::respmod().allow_204().sent_whole("hello");
    client.connection.feed(NO_CONTENT.as_bytes());
    client.connection.input_closed();
    assert_eq!(client.recv(""), ["response 204 No Content", "end"]);
}

#[test]
fn r5_exchange_after_exchange() {
    let mut client = Ask::respmod().preview(4).sent_whole("hi");
    for round in 0..5 {
        assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS, "round {round}");
        assert!(!client.connection.wants_input());
        assert_eq!(client.reusable(), Ok(()));
        client.connection.start(&Ask::reqmod().head()).unwrap();
        client.send("hi");
        client.finish();
        client.sent();
        client.connection.relax();
    }
}

/// Offsets count from the start of the message that is wrong, not of the connection.
#[test]
fn offsets_start_anew_with_each_message() {
    let mut client = Ask::respmod().preview(4).start();
    client.send("hello");
    client.recv(CONTINUE);
    client.finish();
    client.recv("ICAP/1.0 200 OK\r\nA b: c\r\n\r\n");
    assert_eq!(
        client.error().to_string(),
        "whitespace before the colon of a field at byte 18 [RFC 9112 section 5.1]"
    );
}
