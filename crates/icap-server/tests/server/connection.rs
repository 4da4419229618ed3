//! Several requests on one connection, early answers, and how connections end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::{HttpHead, Limits, StatusCode};
use icap_server::{Reply, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::*;

/// A server that answers each request with the number it has.
fn counting() -> Server {
    let count = AtomicUsize::new(0);
    server(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst).to_string();
        async move {
            tokio::task::yield_now().await;
            Ok(Reply::unmodified().header("X-Number", number)?)
        }
    })
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut client = connect_to(counting());
    let previewed = respmod("Preview: 9\r\n") + "3\r\nabc\r\n0; ieof\r\n\r\n";
    let plain = respmod("Allow: 204\r\n") + "3\r\nabc\r\n0\r\n\r\n";
    let bodiless = reqmod_get("Allow: 204\r\n");
    client.say([&previewed[..], &plain, &bodiless, &previewed, "\r\n", &plain].concat()).await;
    for number in ["0", "1", "2", "3", "4"] {
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("X-Number")), (204, Some(number)));
    }
}

#[tokio::test]
async fn who_does_not_read_answers_is_not_asked_on() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let server = server(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            let page = HttpHead::response(403, "Forbidden", [("X", "y")])?;
            Ok(Reply::respond(page, Bytes::from(vec![0; 100_000])))
        }
    });
    let mut client = connect_through(&Arc::new(server), 1 << 20);
    let requests = reqmod_get("").repeat(100);
    client.say(requests).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(handled.load(Ordering::SeqCst) <= 12, "{handled:?}");
    for _ in 0..100 {
        assert_eq!(client.answer().await.body.len(), 100_000);
    }
}

/// The same with answers so short that they never fill the output: of each request something is left to drain.
#[tokio::test]
async fn short_answers_do_not_pile_up() {
    let previewed = respmod("Preview: 9\r\n") + "3\r\nabc\r\n0; ieof\r\n\r\n";
    let plain = respmod("Allow: 204\r\n") + "3\r\nabc\r\n0\r\n\r\n";
    for request in [previewed, plain, reqmod_get("Allow: 204\r\n")] {
        let handled = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&handled);
        let server = server(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok(Reply::unmodified()) }
        });
        let (mut client, far) = tokio::io::duplex(256);
        let server = tokio::spawn(async move { server.serve_connection(far, None).await });
        let requests = request.repeat(200);
        let sent = client.write_all(requests.as_bytes());
        assert!(tokio::time::timeout(Duration::from_millis(100), sent).await.is_err());
        assert!(handled.load(Ordering::SeqCst) < 20, "{handled:?}");
        server.abort();
    }
}

#[tokio::test]
async fn a_request_in_single_bytes() {
    let mut client = connect_to(counting());
    for _ in 0..2 {
        for byte in (respmod("Allow: 204\r\n") + "3\r\nabc\r\n0\r\n\r\n").bytes() {
            client.say([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await.status(), 204);
    }
}

#[tokio::test]
async fn what_an_early_answer_leaves_is_drained() {
    let mut client = connect_to(counting());
    for number in ["0", "1", "2"] {
        client.say(respmod("Allow: 204\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (204, false));
        assert_eq!(answer.field("X-Number"), Some(number));
        for _ in 0..16 {
            client.say(chunk(vec![b'x'; 50_000])).await;
        }
        client.say(LAST).await;
    }
}

#[tokio::test]
async fn a_drain_has_a_limit() {
    // On the wire: the chunk of 1000 bytes with its line and ends, and the last chunk.
    for (drain, survives) in [(1012, true), (1011, false)] {
        let mut limits = Limits::default();
        limits.drain = drain;
        let mut client = connect_to(counting().limits(limits));
        client.say(respmod("Allow: 204\r\n")).await;
        assert_eq!(client.answer().await.status(), 204);
        client.say(chunk(vec![b'x'; 1000])).await;
        client.say(LAST).await;
        if survives {
            client.say(reqmod_get("Allow: 204\r\n")).await;
            assert_eq!(client.answer().await.status(), 204);
        } else {
            assert!(client.is_closed().await);
        }
    }
}

#[tokio::test]
async fn a_client_that_writes_before_it_reads() {
    let large = Bytes::from(vec![b'x'; 500_000]);
    let body = large.clone();
    let server = server(move |_| {
        let body = body.clone();
        async move { Ok(Reply::respond(HttpHead::response(403, "No", [("X", "y")])?, body)) }
    });
    let mut client = connect_through(&Arc::new(server), 1000);
    for _ in 0..2 {
        client.say(respmod("")).await;
        for _ in 0..9 {
            client.say(chunk(&large[..100_000])).await;
        }
        client.say(LAST).await;
        let answer = client.answer().await;
        assert!(answer.status() == 200 && answer.body == large);
    }
}

#[tokio::test]
async fn close_is_heard() {
    let mut client = connect_to(counting());
    client.say(reqmod_get("Allow: 204\r\nConnection: close\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (204, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_may_close_its_side() {
    let mut client = connect_to(counting());
    client.say(reqmod_get("Allow: 204\r\n").repeat(2)).await;
    client.io.shutdown().await.unwrap();
    assert_eq!(client.answer().await.status(), 204);
    assert_eq!(client.answer().await.status(), 204);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_head_that_breaks_off_is_not_answered() {
    for part in ["", "\r\n", "OPT", "OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n"] {
        let mut client = connect_to(counting());
        client.say(part).await;
        client.io.shutdown().await.unwrap();
        assert!(client.is_closed().await, "{part:?}");
    }
}

/// A server on a socket, where closing with unread input is answered by a reset.
async fn socket(server: Server) -> Client<TcpStream> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        server.serve_connection(stream, Some(peer)).await;
    });
    Client::new(TcpStream::connect(addr).await.unwrap())
}

#[tokio::test]
async fn an_early_error_is_not_lost_by_a_reset() {
    let mut client = socket(counting()).await;
    client.say(respmod("").replace("/x", "/none")).await;
    // The answer is on its way while the client still sends.
    for _ in 0..10 {
        client.say(chunk(vec![b'x'; 50_000])).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.say(LAST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (404, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_malformed_request_is_answered_while_it_is_sent() {
    let mut client = socket(counting()).await;
    client.say("BAD\r\n").await;
    for _ in 0..10 {
        client.say(vec![b'x'; 50_000]).await;
    }
    assert_eq!(client.answer().await.status(), 400);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn lingering_ends() {
    let mut client = socket(counting()).await;
    client.say("BAD\r\n").await;
    assert_eq!(client.answer().await.status(), 400);
    let endless = vec![b'x'; 100_000];
    let sent = tokio::time::timeout(Duration::from_secs(20), async {
        let mut sent = 0usize;
        while client.io.write_all(&endless).await.is_ok() {
            sent += endless.len();
        }
        sent
    });
    // The megabyte that is read, and what the sockets hold.
    assert!(sent.await.unwrap() < 20_000_000);
}

#[tokio::test]
async fn an_error_behind_the_preview_keeps_the_connection() {
    let mut client = connect(|request| async {
        let (_, preview) = request.preview().await?;
        if preview.bytes() == "go" {
            drop(preview.proceed().await?);
        }
        Ok(Reply::error(StatusCode::SERVICE_UNAVAILABLE))
    });
    for _ in 0..2 {
        client.say(respmod("Preview: 2\r\n") + "2\r\nno\r\n0\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (503, false));
    }
    client.say(respmod("Preview: 2\r\n") + "2\r\ngo\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (503, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn the_peer_is_known() {
    let server = server(|request| async move {
        let peer = request.peer_addr().map(|peer| peer.ip().to_string());
        let (_, body) = request.into_body().await?;
        body.collect().await?;
        Ok(Reply::unmodified().header("X-Peer", peer.unwrap_or_default())?)
    });
    let mut client = socket(server).await;
    client.say(reqmod_get("Allow: 204\r\n")).await;
    assert_eq!(client.answer().await.field("X-Peer"), Some("127.0.0.1"));
}
