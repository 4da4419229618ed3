//! The end of a request and the next one: the server's states S7 (request done) and S8 (drain). The states before
//! them are in `server_dialogue.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use icap_proto::{CloseReason, Error, Leniency, Limits, StatusCode, Truncated};
use support::server::{OPTIONS, OPTIONS_EVENTS, Server, preview, respmod};

const NONE: [&str; 0] = [];

// S7: the request is done.

#[test]
fn s7_pipelined_requests_are_answered_in_order() {
    let post = respmod("Allow: 204\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    let mut server = Server::new();
    let mut events = server.recv_until(format!("{OPTIONS}{post}{OPTIONS}"), "end");
    assert_eq!(events, OPTIONS_EVENTS);
    // Nothing of the second before the first is answered.
    assert_eq!(server.poll(), NONE);
    assert!(!server.connection.wants_input());
    server.respond(StatusCode::NOT_FOUND).unwrap();
    events = server.recv_until("", "end");
    assert_eq!(events[1..], ["data hello", "end"]);
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert_eq!(server.recv_until("", "end"), OPTIONS_EVENTS);
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert_eq!(server.sent().matches("ICAP/1.0 ").count(), 3);
    assert_eq!(server.poll(), NONE);
    assert!(server.connection.is_idle() && server.connection.wants_input());
}

#[test]
fn s7_request_pipelined_behind_a_whole_preview() {
    let first = preview(5, "5\r\nhello\r\n0; ieof\r\n\r\n");
    let mut server = Server::new();
    server.recv_until(first + OPTIONS, "end");
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert!(!server.sent().contains("close"));
    assert_eq!(server.recv_until("", "end"), OPTIONS_EVENTS);
}

#[test]
fn s7_close_is_said_and_nothing_more_is_read() {
    let bytes = OPTIONS.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut server = Server::new();
    server.recv_until(bytes + OPTIONS, "end");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.sent().contains("\r\nConnection: close\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Asked));
    assert_eq!(server.poll(), NONE);
    assert!(!server.connection.wants_input());
}

#[test]
fn s7_the_owner_ends_the_connection_with_the_answer() {
    let mut server = Server::new();
    server.recv(OPTIONS);
    server.connection.close_after_answer();
    assert_eq!(server.closing(), None, "the answer is still due");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.sent().contains("\r\nConnection: close\r\n"));
    assert_eq!(server.closing(), Some(CloseReason::Asked));
}

#[test]
fn s7_to_linger_is_for_clients_that_may_still_be_sending() {
    // A whole request, answered: nothing can be on its way.
    let mut server = Server::new();
    server.recv_until(OPTIONS, "end");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(!server.connection.should_linger());
    // The same with bytes of another request behind it.
    let mut server = Server::new();
    server.recv_until(format!("{OPTIONS}{OPTIONS}"), "end");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.connection.should_linger());
    // An answer in the middle of a body.
    let mut server = Server::new();
    server.recv(respmod("") + "5\r\nhello\r\n");
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert!(server.connection.should_linger());
    // Something that is no request.
    let mut server = Server::new();
    server.recv("\x16\x03\x01");
    server.respond(StatusCode::BAD_REQUEST).unwrap();
    assert!(server.connection.should_linger());
}

#[test]
fn s7_end_of_the_connection_leaves_the_answer() {
    let mut server = Server::new();
    server.recv(OPTIONS);
    assert_eq!(server.recv_eof(), None);
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert_eq!(server.closing(), Some(CloseReason::PeerClosed));
}

// S8: the rest of an answered request is thrown away.

#[test]
fn s8_drain_budget() {
    let mut limits = Limits::default();
    limits.drain = 10;
    for (bytes, kept) in [(0, true), (10, true), (11, false), (100, false)] {
        let mut server = Server::with(limits, Leniency::default());
        // What came before the answer does not count.
        server.recv(respmod("Allow: 204\r\n") + "5\r\nhello\r\n");
        server.respond(StatusCode::NO_CONTENT).unwrap();
        assert!(!server.sent().contains("close"));
        assert!(server.poll().is_empty() && server.connection.wants_input());
        let chunk = format!("{bytes:x}\r\n{}\r\n", "x".repeat(bytes));
        let chunk = if bytes == 0 { "" } else { &chunk };
        if kept {
            assert_eq!(server.recv(format!("{chunk}0\r\n\r\n{OPTIONS}")), OPTIONS_EVENTS);
        } else {
            server.recv(chunk.strip_suffix("\r\n").unwrap());
            assert_eq!(server.closing(), Some(CloseReason::Asked));
            assert!(!server.connection.wants_input());
        }
    }
}

#[test]
fn s8_a_request_inside_the_drained_body_is_data() {
    let mut server = Server::new();
    server.recv(respmod("Allow: 204\r\n"));
    server.respond(StatusCode::NO_CONTENT).unwrap();
    let chunk = format!("{:x}\r\n{OPTIONS}\r\n0\r\n\r\n", OPTIONS.len());
    assert_eq!(server.recv(chunk), NONE);
    assert!(server.connection.is_idle());
    assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS);
}

#[test]
fn s8_fault_while_draining() {
    let mut server = Server::new();
    server.recv(respmod("Allow: 204\r\n"));
    server.respond(StatusCode::NO_CONTENT).unwrap();
    server.recv("x");
    assert_eq!(server.closing(), Some(CloseReason::Failed));
    let mut server = Server::new();
    server.recv(respmod("Allow: 204\r\n"));
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert_eq!(server.recv_eof(), Some(Error::Closed(Truncated::InBody)));
    assert_eq!(server.closing(), Some(CloseReason::Failed));
}
