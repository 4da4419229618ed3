//! The end of a request and the next one: the server's states S7 (request done) and S8 (drain). The states before
//! them are in `server_dialogue.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use icap_proto::server::Event;
use icap_proto::{CloseReason, Error, Leniency, Limits, Misuse, StatusCode, Truncated};
use support::server::{OPTIONS, OPTIONS_EVENTS, Server, misuse, preview, respmod};

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

/// One buffer goes from connection to connection; what an event still holds of it is not written over.
#[test]
fn s7_an_idle_connection_lends_its_buffer() {
    let (mut first, mut second) = (Server::new(), Server::new());
    first.recv_until(respmod("Allow: 204\r\n") + "5\r\nhello\r\n", "request");
    let Some(Event::Data(data)) = first.connection.poll_event().unwrap() else { panic!("no data") };
    let buffer = first.connection.relax().expect("all of it was taken");
    assert!(first.connection.relax().is_none());
    second.connection.lend(|| buffer);
    second.recv(OPTIONS);
    second.connection.lend(|| unreachable!("there is one"));
    assert_eq!(data, "hello");
    drop(data);

    second.respond(StatusCode::NOT_FOUND).unwrap();
    assert_eq!(second.poll(), NONE);
    let mut buffer = second.connection.relax().unwrap();
    buffer.extend_from_slice(b"thrown away");
    first.connection.lend(|| buffer);
    assert_eq!(first.poll(), NONE);
    assert_eq!(first.recv("0\r\n\r\n"), ["end"]);
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

/// A 204 to a request whose body is on its way, with a budget of 16 bytes for what still comes of it.
fn draining(fields: &str) -> Server {
    let mut limits = Limits::default();
    limits.drain = 16;
    let mut server = Server::with(limits, Leniency::default());
    // What came before the answer does not count.
    server.recv(respmod(&format!("Allow: 204\r\n{fields}")) + "14\r\n01234567890123456789\r\n");
    server.respond(StatusCode::NO_CONTENT).unwrap();
    assert!(!server.sent().contains("close"));
    assert!(server.poll().is_empty() && server.connection.wants_input());
    server
}

/// The budget counts what is on the wire: chunk lines, line ends and trailers as well as data.
#[test]
fn s8_drain_budget() {
    let trailer = "Allow: trailers\r\nTrailer: X\r\n";
    for (fields, rest, kept) in [
        ("", "0\r\n\r\n", true),
        ("", "6\r\nabcdef\r\n0\r\n\r\n", true),
        ("", "7\r\nabcdefg\r\n0\r\n\r\n", false),
        // One byte in a chunk is six on the wire.
        ("", "1\r\na\r\n0\r\n\r\n", true),
        ("", "1\r\na\r\n1\r\nb\r\n0\r\n\r\n", false),
        ("", "0\r\nX-Sum: 12\r\n\r\n", true),
        ("", "0\r\nX-Sum: 123\r\n\r\n", false),
        ("", "0;abcdefghij\r\n\r\n", true),
        ("", "0;abcdefghijk\r\n\r\n", false),
        (trailer, "0\r\n\r\nX: 1234\r\n\r\n", true),
        (trailer, "0\r\n\r\nX: 12345\r\n\r\n", false),
    ] {
        assert_eq!(rest.len() <= 16, kept, "the row is wrong: {rest:?}");
        for cuts in support::every_cut(rest.len()) {
            let mut server = draining(fields);
            let mut trace = support::Trace::default();
            trace.feed_cut(&mut server, rest.as_bytes(), &cuts);
            assert_eq!((trace.lines.len(), trace.error), (0, None), "{rest:?}");
            if kept {
                assert_eq!(server.closing(), None, "{rest:?} {cuts:?}");
                assert_eq!(server.recv(OPTIONS), OPTIONS_EVENTS, "{rest:?}");
            } else {
                assert_eq!(server.closing(), Some(CloseReason::Asked), "{rest:?} {cuts:?}");
                assert!(!server.connection.wants_input());
            }
        }
    }
}

#[test]
fn s8_drain_budget_in_the_middle_of_a_chunk() {
    for (bytes, kept) in [(13, true), (14, false)] {
        let mut server = draining("");
        // Three bytes of chunk line.
        assert_eq!(server.recv(format!("f\r\n{}", "x".repeat(bytes))), NONE);
        assert_eq!(server.closing().is_none(), kept, "{bytes}");
        assert_eq!(server.connection.wants_input(), kept);
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

/// A fault within the budget is told, one behind it is not looked for, however the bytes were cut.
#[test]
fn s8_a_fault_at_the_edge_of_the_drain_budget() {
    for (rest, told) in [
        ("b;x\r\nabcdefghijkZZ", true),
        ("9;x\r\nabcdefghi\r\nZ", true),
        ("a;x\r\nabcdefghij\r\nZ", false),
        ("9\r\nabcdefghi\r\nZ", true),
        ("c\r\nabcdefghijkl\r\nZ", false),
        ("1\r\na\r\n1\r\nb\r\n1;\r\n", true),
        ("1\r\na\r\n1\r\nb\r\n1\r\nZZ", true),
        ("0;a=5678901234\r\nbad name: x\r\n\r\n", true),
        ("0;a=56789012345\r\nbad name: x\r\n\r\n", false),
    ] {
        let mut first = None;
        for cuts in support::every_cut(rest.len()) {
            let mut server = draining("");
            let mut trace = support::Trace::default();
            trace.feed_cut(&mut server, rest.as_bytes(), &cuts);
            let found = (trace.lines, trace.error, server.closing());
            assert_eq!(found.1.is_some(), told, "{rest:?} cut at {cuts:?}: {found:?}");
            let first = first.get_or_insert_with(|| found.clone());
            assert_eq!(found, *first, "{rest:?} cut at {cuts:?}");
        }
    }
}

#[test]
fn s8_a_preview_overrun_while_draining() {
    let rest = "6\r\nabcdef\r\n0\r\n\r\n";
    // With the smaller ones the budget ends within the chunk or with it.
    for drain in [8, 9, 10, 11, 1000] {
        let mut limits = Limits::default();
        limits.drain = drain;
        for cuts in support::every_cut(rest.len()) {
            let mut server = Server::with(limits, Leniency::default());
            server.recv(respmod("Allow: 204\r\nPreview: 5\r\n"));
            server.respond(StatusCode::NO_CONTENT).unwrap();
            let mut trace = support::Trace::default();
            trace.feed_cut(&mut server, rest.as_bytes(), &cuts);
            assert_eq!((trace.lines.len(), trace.error), (0, None), "{cuts:?}");
            assert_eq!(server.closing(), Some(CloseReason::Asked), "{drain} {cuts:?}");
        }
    }
}

// One-way requests: the request is over without an answer.

const LOG: &str = "LOG icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: null-body=0\r\n\r\n";

#[test]
fn s7_one_way_request_and_the_next() {
    let mut server = Server::new();
    assert_eq!(server.recv_until(format!("{LOG}{LOG}{OPTIONS}"), "request").len(), 1);
    // Before its end was told.
    server.connection.dismiss().unwrap();
    assert!(!server.connection.is_unanswered());
    assert_eq!(server.recv_until("", "end"), ["request LOG icap://s/v [null-body=0]", "end"]);
    // After its end was told.
    server.connection.dismiss().unwrap();
    assert_eq!(server.recv_until("", "end"), OPTIONS_EVENTS);
    assert_eq!((server.sent(), server.closing()), (String::new(), None));
    server.respond(StatusCode::NOT_FOUND).unwrap();
    assert_eq!(server.sent().matches("ICAP/1.0 ").count(), 1);
}

#[test]
fn s7_one_way_request_that_ends_the_connection() {
    let bytes = LOG.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut server = Server::new();
    server.recv(bytes);
    assert_eq!(server.closing(), None);
    server.connection.dismiss().unwrap();
    assert_eq!((server.sent(), server.closing()), (String::new(), Some(CloseReason::Asked)));
}

#[test]
fn s7_only_extension_methods_are_one_way() {
    for bytes in [OPTIONS.to_owned(), respmod("") + "0\r\n\r\n", respmod(""), preview(0, "")] {
        let mut server = Server::new();
        server.recv(bytes);
        assert_eq!(misuse(server.connection.dismiss()), Misuse::AnswerDue);
        server.respond(StatusCode::NOT_FOUND).unwrap();
    }
    let answered = || {
        let mut server = Server::new();
        server.recv(LOG);
        server.respond(StatusCode::NOT_IMPLEMENTED).unwrap();
        server
    };
    let dismissed = || {
        let mut server = Server::new();
        server.recv(LOG);
        server.connection.dismiss().unwrap();
        server
    };
    let failed = || {
        let mut server = Server::new();
        server.recv("LOG icap://s/v ICAP/1.0\r\n: \r\n\r\n");
        assert!(server.trace.error.is_some());
        server
    };
    let unfinished = || {
        let mut server = Server::new();
        server.recv("LOG icap://s");
        server
    };
    for mut server in [Server::new(), answered(), dismissed(), failed(), unfinished()] {
        assert_eq!(misuse(server.connection.dismiss()), Misuse::NothingToAnswer);
    }
    // And a request that was dismissed takes no answer.
    assert_eq!(misuse(dismissed().respond(StatusCode::OK)), Misuse::NothingToAnswer);
}

/// The request line of the request before is known. Whatever it was, the next one is read as by a connection that has
/// seen none, in whatever pieces it comes.
#[test]
fn s7_a_request_is_read_the_same_behind_any_other() {
    let long = |len: usize| {
        let path = "p".repeat(len - "OPTIONS icap://h/ ICAP/1.0\r\n".len());
        format!("OPTIONS icap://h/{path} ICAP/1.0")
    };
    let lines = [
        "OPTIONS icap://h/s ICAP/1.0",
        "OPTIONS icap://h/s ICAP/1.0\r\nX: 1",
        "OPTIONS icap://h/s  ICAP/1.0",
        "OPTIONS  icap://h/s ICAP/1.0",
        "OPTIONS icap://h/s ICAP/2.0",
        "OPTIONS icap://h/s ICAP/1.0 ",
        "OPTIONS icap://h/t ICAP/1.0",
        "OPTIONS icap://h ICAP/1.0",
        "OPTIONS icap://other/s?a=b ICAP/1.0",
        "OPTIONS icap://u:secret@h:1/s ICAP/1.0",
        "OPTION icap://h/s ICAP/1.0",
        "options icap://h/s ICAP/1.0",
        "OPTIONS icap://h:x/s ICAP/1.0",
        &long(255),
        &long(256),
        &long(257),
    ];
    let requests: Vec<String> = lines
        .iter()
        .flat_map(|line| {
            [format!("{line}\r\nHost: h\r\n\r\n"), format!("{line}\r\nHost: h_\r\n\r\n")]
        })
        .collect();
    for second in &requests {
        let (fresh, leniency, _) = read(&mut Server::new(), second, 0);
        for first in &requests {
            for cut in [0, 1, 8, second.len() / 2, second.len() - 11, second.len() - 1] {
                let mut server = Server::new();
                if read(&mut server, first, 0).0.is_err() {
                    break;
                }
                server.respond(StatusCode::NOT_FOUND).unwrap();
                server.sent();
                let again = read(&mut server, second, cut);
                assert_eq!(
                    (&again.0, &again.1),
                    (&fresh, &leniency),
                    "{first:?}, {second:?} at {cut}"
                );
                assert!(!again.2.contains("secret"));
            }
        }
    }
}

/// The head of a request that comes in two pieces, what leniency it took, and what the connection shows of itself.
fn read(
    server: &mut Server,
    request: &str,
    cut: usize,
) -> (Result<String, Error>, Vec<String>, String) {
    let mut head = Ok(None);
    let (front, behind) = request.split_at(cut);
    for piece in [front, behind] {
        server.connection.feed(piece.as_bytes());
        while let Ok(None) = head {
            head = match server.connection.poll_event() {
                Ok(Some(Event::Request(head))) => {
                    Ok(Some(format!("{:?} {head:?}", head.uri().path())))
                }
                Ok(None) => break,
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            };
        }
    }
    while matches!(server.connection.poll_event(), Ok(Some(_))) {}
    let used = server.connection.take_used_leniency().names().map(str::to_owned).collect();
    let shown = format!("{:?}", server.connection);
    (head.map(|head| head.expect("it was all there")), used, shown)
}
