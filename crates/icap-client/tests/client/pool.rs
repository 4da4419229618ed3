//! Connections that carry more than one exchange.

use std::time::Duration;

use http_body_util::BodyExt;
use icap_client::Error;

use crate::body::Frames;
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, by_hand, get, ok, page, passes, post, read, serve, text,
};

/// Time for what was sent to arrive.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn one_connection_serves_many_exchanges() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for round in 0..20 {
            peer.head().await;
            match round % 4 {
                0 => peer.write(NO_CONTENT).await,
                1 => peer.write(HELLO).await,
                2 => {
                    peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
                    peer.write(CONTINUE).await;
                    peer.expect("1\r\no\r\n0\r\n\r\n").await;
                    peer.write(HELLO).await;
                }
                _ => {
                    peer.expect("2\r\nhi\r\n0; ieof\r\n\r\n").await;
                    peer.write("ICAP/1.0 500 Server Error\r\n\r\n").await;
                }
            }
        }
        peer.closed().await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    for _ in 0..5 {
        passes(client.reqmod(get()).await.unwrap());
        assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
        assert_eq!(
            read(answered(client.reqmod(post(text("hello"))).await.unwrap())).await,
            "HELLO"
        );
        client.reqmod(post(text("hi"))).await.unwrap_err();
    }
    drop(client);
    server.await.unwrap();
}

/// A reader that stops at the last byte, as one that counts does, still frees the connection.
#[tokio::test]
async fn the_last_byte_frees_the_connection() {
    use http_body::Body;

    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for _ in 0..2 {
            peer.head().await;
            peer.write(HELLO).await;
        }
    })
    .await;
    let client = client.build().unwrap();
    let mut adapted = answered(client.reqmod(get()).await.unwrap());
    assert_eq!(adapted.frame().await.unwrap().unwrap().into_data().unwrap(), "HELLO");
    assert!(adapted.is_end_stream());
    assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
    server.await.unwrap();
}

/// Calls at the same time have a connection each; the one used last is used first.
#[tokio::test]
async fn calls_at_the_same_time_have_connections_of_their_own() {
    let (client, server) = serve(|peer| async move {
        let (mut first, mut second) = (peer.accept().await, peer.accept().await);
        first.head().await;
        second.head().await;
        first.write(NO_CONTENT).await;
        settle().await;
        second.write(NO_CONTENT).await;
        second.head().await;
        second.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let (one, two) = tokio::join!(client.reqmod(get()), client.reqmod(get()));
    passes(one.unwrap());
    passes(two.unwrap());
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// The server closes an idle connection; the next call sees that before it sends.
#[tokio::test]
async fn a_connection_closed_while_idle_is_not_used() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(NO_CONTENT).await;
        drop(first);
        let mut second = peer.accept().await;
        second.head().await;
        second.write(NO_CONTENT).await;
    })
    .await;
    // A body that could not be sent twice: the call succeeds only if the dead connection is not tried.
    let client = client.no_preview().build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    settle().await;
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// The same when nobody has looked at the network since.
#[tokio::test]
async fn a_connection_closed_while_the_program_was_busy_is_not_used() {
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("icap://{}/s", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for end in ["Host: h\r\n\r\n", "hello\r\n0\r\n\r\n"] {
            let (mut io, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            while !read.ends_with(end.as_bytes()) {
                let mut buffer = [0; 1000];
                let count = io.read(&mut buffer).unwrap();
                assert!(count > 0);
                read.extend_from_slice(&buffer[..count]);
            }
            io.write_all(HELLO.as_bytes()).unwrap();
            // The client reads the answer first, then is busy while the end arrives.
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let client = by_hand(&uri).no_preview().build().unwrap();
    assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "HELLO");
    std::thread::sleep(Duration::from_millis(200));
    let outcome = client.reqmod(post(text("hello"))).await.unwrap();
    assert_eq!(read(answered(outcome)).await, "HELLO");
    server.join().unwrap();
}

/// ICAP-251: bytes that no request asked for make the connection unusable. Taken for the answer to the next
/// request they would let anything pass.
#[tokio::test]
async fn surplus_bytes_poison_the_connection() {
    for apart in [false, true] {
        let (client, server) = serve(move |peer| async move {
            let mut first = peer.accept().await;
            first.head().await;
            if apart {
                first.write(NO_CONTENT).await;
                settle().await;
                first.write(NO_CONTENT).await;
            } else {
                first.write(NO_CONTENT.repeat(2)).await;
            }
            let mut second = peer.accept().await;
            second.head().await;
            second.write(ok("blocked")).await;
            first.closed().await;
        })
        .await;
        let client = client.build().unwrap();
        passes(client.reqmod(get()).await.unwrap());
        settle().await;
        settle().await;
        assert_eq!(read(answered(client.reqmod(get()).await.unwrap())).await, "blocked");
        server.await.unwrap();
    }
}

/// ICAP-252: the server closes just when the request is under way. It is sent again, once, on a new connection.
#[tokio::test]
async fn a_stale_connection_is_tried_again() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(NO_CONTENT).await;
        first.head().await;
        first.expect("4\r\nhell\r\n0\r\n\r\n").await;
        drop(first);
        let mut second = peer.accept().await;
        second.head().await;
        second.expect("4\r\nhell\r\n0\r\n\r\n").await;
        second.write(CONTINUE).await;
        second.expect("1\r\no\r\n1\r\n!\r\n0\r\n\r\n").await;
        second.write(HELLO).await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    let outcome = client.reqmod(post(Frames::new(&["hello", "!"]))).await.unwrap();
    assert_eq!(read(answered(outcome)).await, "HELLO");
    server.await.unwrap();
}

/// Once is enough: a second death is the caller's to know.
#[tokio::test]
async fn a_stale_connection_is_tried_again_only_once() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(NO_CONTENT).await;
        first.head().await;
        drop(first);
        peer.accept().await.head().await;
    })
    .await;
    let client = client.build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Closed(_)), "{failure}");
    server.await.unwrap();
}

/// A first connection that fails is no stale one, and an answer that has begun is an answer.
#[tokio::test]
async fn nothing_else_is_tried_again() {
    let (client, server) = serve(|peer| async move {
        peer.accept().await.head().await;
        let mut second = peer.accept().await;
        second.head().await;
        second.write(NO_CONTENT).await;
        second.head().await;
        second.write("ICAP/1.0 2").await;
        drop(second);
        let mut third = peer.accept().await;
        third.head().await;
        third.write(NO_CONTENT).await;
        third.head().await;
        third.expect("5\r\nhello\r\n0\r\n\r\n").await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    client.reqmod(get()).await.unwrap_err();
    passes(client.reqmod(get()).await.unwrap());
    client.reqmod(get()).await.unwrap_err();
    passes(client.reqmod(get()).await.unwrap());
    // Sent without a preview and not kept: gone.
    let failure = client.reqmod(post(text("hello"))).await.unwrap_err();
    assert!(failure.original().is_none());
    server.await.unwrap();
}

#[tokio::test]
async fn connection_close_is_heeded() {
    let (client, server) = serve(|peer| async move {
        for _ in 0..2 {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write("ICAP/1.0 204 No Content\r\nConnection: close\r\n\r\n").await;
            peer.closed().await;
        }
    })
    .await;
    let client = client.build().unwrap();
    for _ in 0..2 {
        passes(client.reqmod(get()).await.unwrap());
    }
    server.await.unwrap();
}

#[tokio::test]
async fn without_a_pool_each_call_says_close() {
    let (client, server) = serve(|peer| async move {
        for _ in 0..2 {
            let mut peer = peer.accept().await;
            assert!(peer.head().await.0.contains("\r\nConnection: close\r\n"));
            peer.write(NO_CONTENT).await;
            peer.closed().await;
        }
    })
    .await;
    let client = client.max_idle(0).build().unwrap();
    for _ in 0..2 {
        passes(client.reqmod(get()).await.unwrap());
    }
    server.await.unwrap();
}

#[tokio::test]
async fn the_pool_has_a_size() {
    let (client, server) = serve(|peer| async move {
        let mut connections = Vec::new();
        for _ in 0..3 {
            let mut connection = peer.accept().await;
            connection.head().await;
            connections.push(connection);
        }
        for connection in &mut connections {
            connection.write(NO_CONTENT).await;
            settle().await;
        }
        // The oldest has made room, the others are there.
        connections[0].closed().await;
        connections[1].quiet().await;
        connections[2].quiet().await;
    })
    .await;
    let client = client.max_idle(2).build().unwrap();
    let calls = tokio::join!(client.reqmod(get()), client.reqmod(get()), client.reqmod(get()));
    for outcome in [calls.0, calls.1, calls.2] {
        passes(outcome.unwrap());
    }
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_connections_grow_old() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        for _ in 0..2 {
            first.head().await;
            first.write(NO_CONTENT).await;
        }
        let mut second = peer.accept().await;
        second.head().await;
        second.write(NO_CONTENT).await;
        first.closed().await;
    })
    .await;
    let client = client.max_idle_age(Duration::from_secs(30)).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    tokio::time::sleep(Duration::from_secs(29)).await;
    passes(client.reqmod(get()).await.unwrap());
    tokio::time::sleep(Duration::from_secs(31)).await;
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// A connection that is never taken again does not stay for ever: the one on top of it goes round.
#[tokio::test(start_paused = true)]
async fn idle_connections_grow_old_below_others() {
    let (client, server) = serve(|peer| async move {
        let (mut first, mut second) = (peer.accept().await, peer.accept().await);
        first.head().await;
        second.head().await;
        first.write(NO_CONTENT).await;
        settle().await;
        second.write(NO_CONTENT).await;
        for _ in 0..2 {
            second.head().await;
            second.write(NO_CONTENT).await;
        }
        first.closed().await;
        second.quiet().await;
    })
    .await;
    let client = client.max_idle_age(Duration::from_secs(30)).build().unwrap();
    let (one, two) = tokio::join!(client.reqmod(get()), client.reqmod(get()));
    passes(one.unwrap());
    passes(two.unwrap());
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        passes(client.reqmod(get()).await.unwrap());
    }
    server.await.unwrap();
}

/// An answer that outlives its client still ends well.
#[tokio::test]
async fn an_answer_outlives_its_client() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0; ieof\r\n\r\n").await;
        peer.write(&HELLO[..HELLO.len() - 5]).await;
        settle().await;
        peer.write(&HELLO[HELLO.len() - 5..]).await;
    })
    .await;
    let client = client.build().unwrap();
    let adapted = crate::peer::modified(client.respmod(page(text("hi"))).await.unwrap());
    drop(client);
    assert_eq!(read(adapted).await, "HELLO");
    server.await.unwrap();
}
