//! The request on its way out: one test for each row of the client's write side.
//!
//! States: W0 head, W1 preview, W2 paused behind the preview, W3 body, W4 ICAP trailer (in `icap_trailers.rs`),
//! W5 done, WX abandoned. What the answer does is in `client_answers.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use icap_proto::{CloseReason, Error, Headers, Misuse, PeerMisbehaved, StatusCode, Truncated};
use support::client::{Ask, CONTINUE, Client, NO_CONTENT, OK_NEW, OK_NEW_EVENTS, answer};
use support::server::misuse;

fn untimely() -> Error {
    PeerMisbehaved::UntimelyContinue.into()
}

// W0: the head is written.

#[test]
fn w0_no_body_ends_the_request_with_or_without_preview() {
    for ask in [Ask::respmod().no_body(), Ask::respmod().no_body().preview(5)] {
        let mut client = ask.start();
        assert_eq!(client.state(), "done");
        assert_eq!(client.sent(), "");
        // The preview, if announced, counts as the whole body: 204 needs no permission.
        assert_eq!(client.recv(NO_CONTENT), ["response 204 No Content", "end"]);
        assert_eq!(client.reusable(), Ok(()));
    }
}

#[test]
fn w0_body_without_preview_streams() {
    assert_eq!(Ask::respmod().start().state(), "streaming");
}

#[test]
fn w0_empty_preview_of_a_body_of_unknown_length() {
    let mut client = Ask::respmod().preview(0).start();
    assert_eq!(client.state(), "preview 0");
    client.connection.end_preview().unwrap();
    assert_eq!(client.sent(), "0\r\n\r\n");
    assert_eq!(client.state(), "awaitingcontinue");
}

#[test]
fn w0_empty_preview_shown_by_data() {
    let mut client = Ask::respmod().preview(0).start();
    assert_eq!(client.send("hello"), "hello");
    assert_eq!(client.sent(), "0\r\n\r\n");
    assert_eq!(client.state(), "awaitingcontinue");
}

#[test]
fn w0_empty_preview_after_the_final_answer_ends_the_request() {
    let mut client = Ask::respmod().preview(0).start();
    client.recv(NO_CONTENT);
    client.connection.end_preview().unwrap();
    assert_eq!((client.sent().as_str(), client.state().as_str()), ("0\r\n\r\n", "done"));
    assert_eq!(client.reusable(), Ok(()));
}

#[test]
fn w0_empty_body_says_ieof() {
    for preview in [0, 5] {
        let mut client = Ask::respmod().preview(preview).start();
        client.finish();
        assert_eq!(client.sent(), "0; ieof\r\n\r\n");
        assert_eq!(client.state(), "done");
    }
}

#[test]
fn w0_body_with_preview() {
    assert_eq!(Ask::respmod().preview(5).start().state(), "preview 5");
}

// W1: the preview.

#[test]
fn w1_data_is_cut_at_the_preview_and_the_rest_stays_with_the_caller() {
    let mut client = Ask::respmod().preview(5).start();
    assert_eq!(client.send("abc"), "");
    assert_eq!(client.state(), "preview 2");
    assert_eq!(client.send(""), "");
    assert_eq!(client.send("defg"), "fg");
    assert_eq!(client.sent(), "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.state(), "awaitingcontinue");
}

#[test]
fn w1_source_ends_inside_or_at_the_preview() {
    for (body, chunks) in [("abc", "3\r\nabc\r\n"), ("abcde", "5\r\nabcde\r\n")] {
        let mut client = Ask::respmod().preview(5).start();
        client.send(body);
        client.finish();
        assert_eq!(client.sent(), format!("{chunks}0; ieof\r\n\r\n"));
        assert_eq!(client.state(), "done");
    }
}

#[test]
fn w1_trailers_of_a_body_inside_the_preview_go_with_it() {
    let mut client = Ask::respmod().preview(5).start();
    let trailers =
        Headers::from_pairs([("X-Sum", "1"), ("Content-Length", "9"), ("Host", "x")]).unwrap();
    client.connection.finish(&trailers).unwrap();
    assert_eq!(client.sent(), "0; ieof\r\nX-Sum: 1\r\n\r\n");
}

#[test]
fn w1_full_preview_of_a_body_that_may_go_on() {
    let mut client = Ask::respmod().preview(5).start();
    client.send("abcde");
    assert_eq!(client.state(), "preview 0");
    client.connection.end_preview().unwrap();
    assert_eq!(client.sent(), "5\r\nabcde\r\n0\r\n\r\n");
    assert_eq!(client.state(), "awaitingcontinue");
}

#[test]
fn w1_short_preview_of_a_body_that_may_go_on() {
    let mut client = Ask::respmod().preview(1024).start();
    client.send("abc");
    client.connection.end_preview().unwrap();
    assert_eq!(client.sent(), "3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn w1_final_answer_lets_the_preview_go_on_to_its_end() {
    for whole in [true, false] {
        let mut client = Ask::respmod().preview(5).start();
        client.send("abc");
        assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS);
        assert_eq!(client.state(), "preview 2");
        assert_eq!(client.reusable(), Err(CloseReason::InProgress));
        let end = if whole {
            client.finish();
            "0; ieof\r\n\r\n"
        } else {
            assert_eq!(client.send("defgh"), "fgh");
            "2\r\nde\r\n0\r\n\r\n"
        };
        assert_eq!(client.sent(), format!("3\r\nabc\r\n{end}"));
        assert_eq!(client.state(), "done");
        assert_eq!(client.reusable(), Ok(()));
        // What is left of the body is nobody's business now.
        assert_eq!(client.send("fgh"), "fgh");
        client.finish();
        assert_eq!(client.sent(), "");
    }
}

#[test]
fn w1_early_continue_goes_straight_on_behind_the_preview() {
    let mut client = Ask::respmod().preview(5).start();
    client.send("abc");
    assert_eq!(client.recv(CONTINUE), ["continue"]);
    assert_eq!(client.state(), "preview 2");
    assert_eq!(client.send("defg"), "fg");
    assert_eq!(client.state(), "streaming");
    assert_eq!(client.send("fg"), "");
    client.finish();
    assert_eq!(client.sent(), "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n2\r\nfg\r\n0\r\n\r\n");
    // The 100 has ended the preview: 204 needs permission again.
    client.recv(NO_CONTENT);
    assert_eq!(client.error(), PeerMisbehaved::UnsolicitedNoContent.into());
}

#[test]
fn w1_early_continue_ends_the_permission_at_once() {
    let mut client = Ask::respmod().preview(5).start();
    client.send("abc");
    client.recv(format!("{CONTINUE}{NO_CONTENT}"));
    assert_eq!(client.error(), PeerMisbehaved::UnsolicitedNoContent.into());
}

#[test]
fn w1_early_continue_before_a_body_inside_the_preview() {
    let mut client = Ask::respmod().preview(5).start();
    assert_eq!(client.recv(CONTINUE), ["continue"]);
    client.send("abc");
    client.finish();
    assert_eq!(client.sent(), "3\r\nabc\r\n0; ieof\r\n\r\n");
    assert_eq!(client.state(), "done");
}

#[test]
fn w1_early_continue_strict() {
    let mut client = Ask::respmod().preview(5).strict().start();
    client.recv(CONTINUE);
    assert_eq!(client.error(), untimely());
    assert_eq!(client.reusable(), Err(CloseReason::Failed));
}

#[test]
fn w1_source_fails_without_a_terminator() {
    let mut client = Ask::respmod().preview(5).start();
    client.send("abc");
    client.connection.abandon();
    assert_eq!(client.sent(), "3\r\nabc\r\n");
    assert_eq!(client.state(), "abandoned");
    assert_eq!(client.reusable(), Err(CloseReason::Abandoned));
}

// W2: paused behind the preview.

fn paused(ask: Ask) -> Client {
    let mut client = ask.preview(4).start();
    assert_eq!(client.send("hello"), "o");
    assert_eq!(client.sent(), "4\r\nhell\r\n0\r\n\r\n");
    client
}

#[test]
fn w2_continue_sends_the_rest_and_never_ieof() {
    let mut client = paused(Ask::respmod());
    assert_eq!(client.recv(CONTINUE), ["continue"]);
    assert_eq!(client.state(), "streaming");
    assert_eq!(client.send("o"), "");
    client.finish();
    assert_eq!(client.sent(), "1\r\no\r\n0\r\n\r\n");
    assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS);
    assert_eq!(client.reusable(), Ok(()));
}

#[test]
fn w2_continue_and_the_answer_in_one_piece() {
    let mut client = paused(Ask::respmod());
    let events = client.recv(format!("{CONTINUE}{OK_NEW}"));
    assert_eq!(events[0], "continue");
    assert_eq!(events[1..], OK_NEW_EVENTS);
    assert_eq!(client.state(), "streaming");
    assert_eq!(client.reusable(), Err(CloseReason::InProgress));
}

#[test]
fn w2_final_answer_ends_the_request() {
    let partial = "ICAP/1.0 206 Partial Content\r\nISTag: \"t1\"\r\n\
        Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n0; use-original-body=0\r\n\r\n";
    let refusal = answer(StatusCode::NOT_FOUND, "");
    for (bytes, first) in [
        (NO_CONTENT, "response 204 No Content"),
        (OK_NEW, OK_NEW_EVENTS[0]),
        (partial, "response 206 Partial Content [res-hdr=0, res-body=19] (HTTP/1.1 200 OK)"),
        (&refusal, "response 404 ICAP Service Not Found"),
    ] {
        let mut client = paused(Ask::respmod().allow_206());
        assert_eq!(client.recv(bytes).first().map(String::as_str), Some(first));
        assert_eq!(client.state(), "done");
        assert_eq!(client.reusable(), Ok(()), "{first}");
        assert_eq!(client.send("o"), "o");
        client.finish();
        assert_eq!(client.sent(), "");
    }
}

#[test]
fn w2_data_is_held() {
    let mut client = paused(Ask::respmod());
    assert_eq!(client.send("o"), "o");
    assert_eq!(client.sent(), "");
    assert_eq!(misuse(client.connection.end_preview()), Misuse::NoPreview);
}

#[test]
fn w2_source_ends_and_the_end_waits_for_the_continue() {
    let mut client = Ask::respmod().preview(4).start();
    client.send("hell");
    client.connection.end_preview().unwrap();
    let trailers = Headers::from_pairs([("X-Sum", "1")]).unwrap();
    client.connection.finish(&trailers).unwrap();
    assert_eq!(client.sent(), "4\r\nhell\r\n0\r\n\r\n");
    assert_eq!(client.state(), "awaitingcontinue");
    assert_eq!(client.recv(CONTINUE), ["continue"]);
    assert_eq!(client.sent(), "0\r\nX-Sum: 1\r\n\r\n");
    assert_eq!(client.state(), "done");
}

#[test]
fn w2_server_closes() {
    let mut client = paused(Ask::respmod());
    assert_eq!(client.recv_eof(), Some(Error::Closed(Truncated::InPreview)));
    let mut client = paused(Ask::respmod());
    client.recv("ICAP/1.0 20");
    assert_eq!(client.recv_eof(), Some(Error::Closed(Truncated::InHead)));
}

#[test]
fn w2_timeout_gives_up() {
    let mut client = paused(Ask::respmod());
    client.connection.abandon();
    assert_eq!(client.sent(), "");
    assert_eq!(client.reusable(), Err(CloseReason::Abandoned));
}

// W3: the body.

#[test]
fn w3_data_and_end() {
    let mut client = Ask::respmod().start();
    client.send("hello");
    client.send("");
    client.send("0123456789abcdef");
    let trailers = Headers::from_pairs([("X-Sum", "1"), ("Trailer", "x")]).unwrap();
    client.connection.finish(&trailers).unwrap();
    assert_eq!(client.sent(), "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert_eq!(client.state(), "done");
    // Once.
    assert_eq!(misuse(client.connection.finish(&trailers)), Misuse::NoBody);
    let mut more = Bytes::from_static(b"more");
    assert_eq!(misuse(client.connection.send_data(&mut more)), Misuse::NoBody);
    assert_eq!(client.sent(), "");
}

#[test]
fn w3_early_final_answer_and_the_body_is_finished() {
    let mut client = Ask::respmod().start();
    client.send("hello");
    assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS);
    assert_eq!(client.state(), "streaming");
    assert_eq!(client.reusable(), Err(CloseReason::InProgress));
    client.send("world");
    client.finish();
    assert_eq!(client.sent(), "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n");
    assert_eq!(client.reusable(), Ok(()));
}

#[test]
fn w3_early_final_answer_and_the_body_is_given_up() {
    let mut client = Ask::respmod().start();
    client.send("hello");
    client.recv(
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    );
    client.connection.abandon();
    assert_eq!(client.recv("3\r\nnew\r\n0\r\n\r\n"), ["data new", "end"]);
    assert!(client.connection.is_complete());
    assert_eq!(client.reusable(), Err(CloseReason::Abandoned));
    assert_eq!(client.send("more"), "more");
    client.finish();
    assert_eq!(client.sent(), "5\r\nhello\r\n");
}

#[test]
fn w3_early_no_content() {
    let mut client = Ask::respmod().allow_204().start();
    client.send("hello");
    assert_eq!(client.recv(NO_CONTENT), ["response 204 No Content", "end"]);
    assert_eq!(client.state(), "streaming");
    client.finish();
    assert_eq!(client.reusable(), Ok(()));
}

#[test]
fn w3_source_fails_without_a_last_chunk() {
    let mut client = Ask::respmod().start();
    client.send("hello");
    client.connection.abandon();
    assert_eq!(client.sent(), "5\r\nhello\r\n");
    assert_eq!(misuse(client.connection.finish(&Headers::new())), Misuse::NoBody);
}

#[test]
fn w3_write_error_leaves_a_pending_answer_to_be_read() {
    let mut client = Ask::respmod().start();
    client.send("hello");
    client.connection.abandon();
    assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS);
}

// W5: the request is over.

#[test]
fn w5_continue_after_ieof_is_ignored_once() {
    for ask in [Ask::respmod().preview(5), Ask::respmod().preview(5).no_body(), Ask::respmod()] {
        let mut client = ask.sent_whole("hello");
        assert_eq!(client.recv(CONTINUE), [] as [&str; 0]);
        assert!(client.connection.wants_input());
        assert_eq!(client.sent(), "");
        assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS);
        assert_eq!(client.reusable(), Ok(()));
    }
    let mut client = Ask::respmod().preview(5).sent_whole("hello");
    client.recv(CONTINUE);
    client.recv(CONTINUE);
    assert_eq!(client.error(), untimely());
}

#[test]
fn w5_continue_after_ieof_leaves_the_permission_for_204() {
    let mut client = Ask::respmod().preview(5).sent_whole("hello");
    assert_eq!(client.recv(format!("{CONTINUE}{NO_CONTENT}")), ["response 204 No Content", "end"]);
}

#[test]
fn w5_continue_after_ieof_strict() {
    for ask in [Ask::respmod().preview(5), Ask::respmod()] {
        let mut client = ask.strict().sent_whole("hello");
        client.recv(CONTINUE);
        assert_eq!(client.error(), untimely());
    }
}

#[test]
fn w5_second_continue() {
    let mut client = paused(Ask::respmod());
    assert_eq!(client.recv(CONTINUE), ["continue"]);
    client.recv(CONTINUE);
    assert_eq!(client.error(), untimely());
}

#[test]
fn w5_continue_while_the_body_streams_without_preview() {
    let mut client = Ask::respmod().start();
    client.send("hello");
    assert_eq!(client.recv(CONTINUE), [] as [&str; 0]);
    assert_eq!(client.state(), "streaming");
    client.finish();
    assert_eq!(client.recv(OK_NEW), OK_NEW_EVENTS);
}

// Calls at the wrong time: refused, and nothing is written.

#[test]
fn nothing_can_be_sent_before_a_request() {
    let mut client = idle();
    let mut data = Bytes::from_static(b"hello");
    assert_eq!(misuse(client.connection.send_data(&mut data)), Misuse::NoBody);
    assert_eq!(misuse(client.connection.finish(&Headers::new())), Misuse::NoBody);
    assert_eq!(misuse(client.connection.end_preview()), Misuse::NoPreview);
    client.connection.abandon();
    assert_eq!((client.state().as_str(), client.sent().as_str()), ("idle", ""));
    assert_eq!(client.reusable(), Err(CloseReason::InProgress));
    client.connection.start(&Ask::options().head()).unwrap();
}

fn idle() -> Client {
    let (limits, leniency) = Default::default();
    Client {
        connection: icap_proto::client::Connection::new(limits, leniency),
        trace: support::Trace::default(),
    }
}

#[test]
fn a_request_without_body_sends_none() {
    let mut client = Ask::respmod().no_body().preview(5).start();
    let mut data = Bytes::from_static(b"hello");
    assert_eq!(misuse(client.connection.send_data(&mut data)), Misuse::NoBody);
    assert_eq!(misuse(client.connection.end_preview()), Misuse::NoPreview);
    assert_eq!(misuse(client.connection.finish(&Headers::new())), Misuse::NoBody);
    assert_eq!(client.sent(), "");
}

#[test]
fn no_second_request_before_the_first_is_over() {
    let head = Ask::options().head();
    let start = |client: &mut Client| misuse(client.connection.start(&head));
    let mut client = Ask::options().start();
    assert_eq!(start(&mut client), Misuse::NotIdle);
    client.recv(OK_NEW_OPTIONS);
    client.connection.start(&head).unwrap();

    let mut client = Ask::respmod().start();
    client.recv(OK_NEW);
    assert_eq!(start(&mut client), Misuse::NotIdle);
    client.finish();
    client.connection.start(&head).unwrap();

    let mut client = Ask::respmod().start();
    client.recv("HTTP/1.1 200 OK\r\n");
    assert_eq!(start(&mut client), Misuse::NotIdle);
}

const OK_NEW_OPTIONS: &str =
    "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nMethods: RESPMOD\r\nEncapsulated: null-body=0\r\n\r\n";

#[test]
fn a_request_that_asks_for_the_end_is_the_last() {
    let mut client = Ask::options().close().start();
    client.recv(OK_NEW_OPTIONS);
    assert_eq!(client.reusable(), Err(CloseReason::Asked));
    assert_eq!(misuse(client.connection.start(&Ask::options().head())), Misuse::NotIdle);
}
