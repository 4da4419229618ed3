//! Nothing is made ready for a number that a peer announces, and no input costs more than its length.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use bytes::BufMut;
use icap_proto::{Leniency, Limits, client, server};
use support::client::{Ask, answer};
use support::server::Server;

const READ: usize = 64 * 1024;

fn server_memory(server: &mut server::Connection) -> usize {
    server.input().get_ref().capacity()
}

fn client_memory(client: &mut client::Connection) -> usize {
    client.input().get_ref().capacity()
}

#[test]
fn announced_numbers_of_a_request() {
    for (fields, section, body) in [
        ("Preview: 18446744073709551615", "Encapsulated: res-hdr=0, res-body=19", ""),
        (
            "Preview: 18446744073709551615",
            "Encapsulated: res-hdr=0, res-body=19",
            "7fffffffffffffff\r\nx",
        ),
        ("X: y", "Encapsulated: res-hdr=0, res-body=19", "7fffffffffffffff\r\nx"),
        ("X: y", "Encapsulated: res-hdr=0, res-body=262144", ""),
        ("Content-Length: 18446744073709551615", "Encapsulated: res-hdr=0, res-body=19", ""),
    ] {
        let mut server = Server::new();
        server.recv(format!(
            "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n{fields}\r\n{section}\r\n\r\n\
             HTTP/1.1 200 OK\r\n\r\n{body}"
        ));
        assert_eq!(server.trace.error, None);
        assert!(server.connection.wants_input());
        let memory = server_memory(&mut server.connection);
        assert!(memory <= READ + 16 * 1024, "{fields} {section} {body}: {memory}");
    }
}

#[test]
fn announced_numbers_of_an_answer() {
    for (fields, body) in [
        ("Encapsulated: res-hdr=0, res-body=262144", ""),
        ("Encapsulated: res-hdr=0, res-body=19", "HTTP/1.1 200 OK\r\n\r\n7fffffffffffffff\r\nx"),
        (
            "Max-Connections: 18446744073709551615\r\nPreview: 18446744073709551615\r\n\
          Encapsulated: res-hdr=0, res-body=19",
            "HTTP/1.1 200 OK\r\n\r\n",
        ),
    ] {
        let mut client = Ask::respmod().sent_whole("hello");
        client.recv(answer(icap_proto::StatusCode::OK, &format!("{fields}\r\n")) + body);
        assert_eq!(client.trace.error, None);
        let memory = client_memory(&mut client.connection);
        assert!(memory <= READ + 16 * 1024, "{fields}: {memory}");
    }
}

/// What is held grows with what came, up to the limit of the part that is being read.
#[test]
fn memory_for_what_never_ends() {
    let limits = Limits::default();
    let head = "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n".to_owned();
    let respmod = "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
        HTTP/1.1 200 OK\r\n\r\n";
    let sections = respmod.replace("=19", "=262144");
    for (start, more, limit) in [
        (head, "A: b\r\n".repeat(10_000), limits.head_bytes),
        (sections, "A: b\r\n".repeat(40_000), limits.encapsulated_bytes),
        (respmod.to_owned() + "1;", "a".repeat(5_000), limits.chunk_line),
        (respmod.to_owned() + "0\r\n", "A: b\r\n".repeat(2_700), limits.trailer_bytes),
    ] {
        let mut server = Server::new();
        server.recv(start);
        for piece in more.as_bytes().chunks(1000) {
            if server.trace.error.is_none() && server.connection.wants_input() {
                server.recv(piece);
                let memory = server_memory(&mut server.connection);
                assert!(memory <= READ + 2 * limit, "limit {limit}: {memory}");
            }
        }
    }
}

#[test]
fn an_idle_connection_holds_no_memory() {
    let mut server = Server::new();
    server.recv("OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n\r\n");
    server.respond(icap_proto::StatusCode::NOT_FOUND).unwrap();
    server.sent();
    server.poll();
    server.connection.relax();
    assert!(server.connection.wants_input());
    let mut client = Ask::respmod().preview(10).sent_whole("hello");
    client.recv(support::client::NO_CONTENT);
    client.connection.relax();
    assert_eq!(client.reusable(), Ok(()));
    client.connection.start(&Ask::options().head()).unwrap();
}

/// Where input is wanted there is room for it, however full the buffer is.
#[test]
fn there_is_room_whenever_input_is_wanted() {
    let section = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b0123456789012345\r\n".repeat(150));
    let bytes = format!(
        "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nX: {}\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n\
         {section}64\r\n{}\r\n0\r\n",
        "x".repeat(16_000),
        section.len(),
        "y".repeat(100),
    );
    let mut server = server::Connection::new(Limits::default(), Leniency::default());
    for piece in bytes.as_bytes().chunks(1) {
        while server.poll_event().unwrap().is_some() {}
        assert!(server.wants_input());
        let mut room = server.input();
        assert!(room.remaining_mut() > 0);
        room.put_slice(piece);
        // Bytes that nobody has looked at yet: no more is wanted.
        assert!(!server.wants_input());
    }
}

/// Work grows with the input, not with its square: each of these takes milliseconds, or minutes.
#[test]
fn drip_fed_heads_take_linear_time() {
    const LARGE: usize = 1_500_000;
    let mut limits = Limits::default();
    (limits.start_line, limits.head_bytes, limits.field_line) = (4 * LARGE, 4 * LARGE, 4 * LARGE);
    (limits.encapsulated_bytes, limits.trailer_bytes, limits.fields) =
        (4 * LARGE, 4 * LARGE, LARGE);
    let long = "x".repeat(LARGE);
    let many = "A: b\r\n".repeat(LARGE / 6);
    let respmod = |list: &str, rest: &str| {
        format!(
            "RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: trailers\r\nTrailer: x\r\n\
                 Encapsulated: {list}\r\n\r\n{rest}"
        )
    };
    for (what, bytes) in [
        ("method", long.clone()),
        ("start line", format!("OPTIONS icap://s/{long}")),
        ("fields behind a long start line", format!("OPTIONS icap://s/{long} ICAP/1.0\r\n{many}")),
        ("field", format!("OPTIONS icap://s/v ICAP/1.0\r\nA: {long}")),
        ("many fields", format!("OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n{many}\r\n")),
        (
            "section",
            respmod(
                "res-hdr=0, null-body=1500024",
                &format!("HTTP/1.1 200 OK\r\nA: {long}\r\n\r\n"),
            ),
        ),
        (
            "ICAP trailer",
            respmod(
                "res-hdr=0, null-body=19",
                &format!("HTTP/1.1 200 OK\r\n\r\nA: {long}\r\n{many}\r\n"),
            ),
        ),
    ] {
        let start = Instant::now();
        let mut server = server::Connection::new(limits, Leniency::default());
        for byte in bytes.as_bytes() {
            while server.poll_event().unwrap_or_else(|error| panic!("{what}: {error}")).is_some() {}
            assert_eq!(server.feed(&[*byte]), 1);
        }
        while server.poll_event().unwrap().is_some() {}
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?}", start.elapsed());
    }
    let start = Instant::now();
    let mut client = Ask { limits, ..Ask::options() }.start();
    for byte in format!("ICAP/1.0 200 {long}\r\nA: {long}").as_bytes() {
        assert!(client.connection.poll_event().unwrap().is_none());
        assert_eq!(client.connection.feed(&[*byte]), 1);
    }
    assert!(start.elapsed() < Duration::from_secs(10), "status line: {:?}", start.elapsed());
}
