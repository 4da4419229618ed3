//! What a tap shows.

use std::sync::{Arc, Mutex};

use icap_client::{Direction, Tapped};

use crate::peer::*;

/// What was shown of each direction, and what was left out.
#[derive(Debug, Default, Clone)]
struct Seen {
    sent: String,
    received: String,
    omitted: u64,
    connections: Vec<u64>,
}

/// A tap and what it has seen.
fn tap() -> (impl Fn(&Tapped<'_>) + Send + Sync + 'static, impl Fn() -> Seen) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    let tap = move |tapped: &Tapped<'_>| {
        let mut seen = shared.lock().unwrap();
        let text = std::str::from_utf8(tapped.bytes).unwrap();
        match tapped.direction {
            Direction::Sent => seen.sent += text,
            _ => seen.received += text,
        }
        seen.omitted = seen.omitted.max(tapped.omitted);
        if !seen.connections.contains(&tapped.connection) {
            seen.connections.push(tapped.connection);
        }
    };
    (tap, move || seen.lock().unwrap().clone())
}

#[tokio::test]
async fn a_tap_shows_both_directions_without_secrets() {
    let (builder, server) = serve(|peer| async move {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.until("\r\n0\r\n\r\n").await;
        connection.write(CONTINUE).await;
        connection.until("\r\n0\r\n\r\n").await;
        // In drips: secrets come in pieces.
        let answer = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, res-body=39\r\n\r\n\
            HTTP/1.1 200 OK\r\nSet-Cookie: geheim\r\n\r\n5\r\nHELLO\r\n0\r\n\r\n";
        for piece in answer.as_bytes().chunks(3) {
            connection.write(piece).await;
            tokio::task::yield_now().await;
        }
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.write(NO_CONTENT).await;
    })
    .await;
    let (tap, seen) = tap();
    let builder = builder.preview(4).tap(tap, 3).max_idle(0);
    let client = builder.header("Proxy-Authorization", "Basic geheim").build().unwrap();
    let message = post(text("hello world")).header("X-Authenticated-User", "geheim");
    assert_eq!(read(answered(client.reqmod(message).await.unwrap())).await, "HELLO");
    let before = seen();
    assert_eq!(before.connections, [1]);
    assert!(!before.sent.contains("geheim") && !before.received.contains("geheim"), "{before:?}");
    assert!(before.sent.starts_with("REQMOD icap://127.0.0.1:"), "{}", before.sent);
    assert!(before.sent.contains("\r\nProxy-Authorization:*************\r\n"), "{}", before.sent);
    assert!(before.sent.contains("\r\nX-Authenticated-User:*******\r\n"), "{}", before.sent);
    assert!(before.sent.contains("Host: h\r\n\r\n4\r\nhel\r\n0\r\n\r\n"), "{}", before.sent);
    assert!(before.sent.ends_with("0\r\n\r\n7\r\n\r\n0\r\n\r\n"), "{}", before.sent);
    assert!(before.received.starts_with(CONTINUE), "{}", before.received);
    assert!(
        before.received.ends_with("Set-Cookie:*******\r\n\r\n5\r\nHEL\r\n0\r\n\r\n"),
        "{}",
        before.received
    );
    assert_eq!(before.omitted, 8);
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
    assert_eq!(seen().connections, [1, 2]);
    assert!(seen().received.ends_with(NO_CONTENT));
}
