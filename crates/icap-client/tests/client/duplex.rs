//! Both directions at once: answers that come before the request is sent (erratum e7).

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::body::{Large, Live, pattern};
use crate::peer::{
    CONTINUE, Connection, NO_CONTENT, get, modified, ok, page, passes, post, read, serve, shows,
    unmodified,
};

const LARGE: u64 = 64 * 1024 * 1024;

/// The head of an answer whose body follows.
const HEAD: &str = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";

/// A server that reads only while its answer is read would deadlock with a client that sends first and reads
/// afterwards: 64 MiB each way, through an echo that holds nothing.
#[tokio::test]
async fn an_echo_of_64_mib_streams() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.write(HEAD).await;
        // The client's first chunk is the preview, which goes before what is echoed: chunks pass as they are.
        peer.write("4\r\n\x00\x01\x02\x03\r\n").await;
        let (mut io, read) = peer.into_parts();
        assert!(read.is_empty());
        let (mut reader, mut writer) = io.split();
        let mut buffer = vec![0u8; 64 * 1024];
        let mut tail = Vec::new();
        while !tail.ends_with(b"\r\n0\r\n\r\n") {
            let count = reader.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the client closed");
            writer.write_all(&buffer[..count]).await.unwrap();
            tail.extend_from_slice(&buffer[..count]);
            tail.drain(..tail.len().saturating_sub(7));
        }
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let adapted = modified(client.respmod(page(Large::new(LARGE))).await.unwrap());
    assert_eq!(check_pattern(adapted).await, LARGE);
    server.await.unwrap();
}

/// The answer comes before the first byte of the body was read, and is as large as the body.
#[tokio::test]
async fn an_early_answer_while_64_mib_go_up() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(HEAD).await;
        let (io, read) = peer.into_parts();
        let (mut reader, mut writer) = io.into_split();
        let up = tokio::spawn(async move {
            let mut count = read.len() as u64;
            let mut buffer = vec![0u8; 64 * 1024];
            let mut tail = read;
            while !tail.ends_with(b"\r\n0\r\n\r\n") {
                let more = reader.read(&mut buffer).await.unwrap();
                assert!(more > 0, "the client closed after {count}");
                count += more as u64;
                tail.extend_from_slice(&buffer[..more]);
                tail.drain(..tail.len().saturating_sub(7));
            }
            (count, reader)
        });
        let mut sent = 0;
        while sent < LARGE {
            let chunk: Vec<u8> = (sent..sent + 65_536).map(pattern).collect();
            writer.write_all(b"10000\r\n").await.unwrap();
            writer.write_all(&chunk).await.unwrap();
            writer.write_all(b"\r\n").await.unwrap();
            sent += 65_536;
        }
        let (up, reader) = up.await.unwrap();
        writer.write_all(b"0\r\n\r\n").await.unwrap();
        // The connection is in order: the next request comes on it.
        let mut peer = Connection::new(reader.reunite(writer).unwrap());
        peer.head().await;
        peer.write(NO_CONTENT).await;
        up
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let adapted = modified(client.respmod(page(Large::new(LARGE))).await.unwrap());
    assert_eq!(check_pattern(adapted).await, LARGE);
    passes(client.reqmod(get()).await.unwrap());
    assert!(server.await.unwrap() > LARGE);
}

/// Reads a body to its end and holds it to the pattern.
async fn check_pattern<B>(mut body: B) -> u64
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let mut at = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        for byte in data {
            assert_eq!(byte, pattern(at), "at {at}");
            at += 1;
        }
    }
    at
}

/// A short page in answer to a long upload: it is there at once, and the rest of the upload is given up.
#[tokio::test]
async fn an_early_page_ends_the_upload() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(ok("blocked")).await;
        let sent = peer.drain().await as u64;
        assert!(sent < LARGE, "{sent}");
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let adapted = modified(client.respmod(page(Large::new(LARGE))).await.unwrap());
    assert_eq!(read(adapted).await, "blocked");
    server.await.unwrap();
}

/// A refusal in the middle of the upload, by a server that reads no further: the call must not hang.
#[tokio::test]
async fn an_early_refusal_while_64_mib_go_up() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write("ICAP/1.0 403 Forbidden\r\nConnection: close\r\n\r\n").await;
        peer
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let failure = client.respmod(page(Large::new(LARGE))).await.unwrap_err();
    shows(failure.error(), "the server answered 403 Forbidden");
    assert!(failure.original().is_none());
    drop(server.await.unwrap());
}

/// The same, with the connection closed under the upload: the answer is read although sending fails.
#[tokio::test]
async fn an_answer_is_read_when_sending_fails() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.write("ICAP/1.0 403 Forbidden\r\n\r\n").await;
        // Closing with bytes unread resets the connection.
        peer.take(1).await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let (sender, body) = Live::new();
    let call = tokio::spawn(async move { client.reqmod(post(body)).await });
    server.await.unwrap();
    // The server is gone, and the writes find out.
    sender.send("hello");
    sender.send("hello");
    let failure = call.await.unwrap().unwrap_err();
    shows(failure.error(), "the server answered 403 Forbidden");
}

/// ICAP-186: an early 204 stops the upload; nothing is lost.
#[tokio::test]
async fn an_early_204_behind_the_preview() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        assert!(icap.contains("\r\nAllow: 204, trailers\r\n"), "{icap}");
        peer.expect("2\r\nhe\r\n").await;
        peer.write(NO_CONTENT).await;
        peer.drain().await
    })
    .await;
    let client = client.no_preview().replay_limit(100).build().unwrap();
    let (sender, live) = Live::new();
    sender.send("he");
    let original = unmodified(client.respmod(page(live.claims(5))).await.unwrap());
    sender.send("llo");
    drop(sender);
    assert_eq!(read(original).await, "hello");
    assert_eq!(server.await.unwrap(), 0, "the rest is not sent");
}

/// What a server has to say while the body is silent is heard.
#[tokio::test]
async fn an_answer_is_heard_while_the_body_is_silent() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.expect("2\r\nhe\r\n").await;
        first.write(ok("enough")).await;
        first.drain().await;
        let mut second = peer.accept().await;
        second.head().await;
        second.write(NO_CONTENT).await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let adapted = modified(client.respmod(page(body)).await.unwrap());
    assert_eq!(read(adapted).await, "enough");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// A body that fails cuts the connection without a last chunk: the server must not take it for whole.
#[tokio::test]
async fn a_body_that_fails_is_cut() {
    let (sender, body) = Live::new();
    sender.send("hello");
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("5\r\nhello\r\n").await;
        sender.fail("the disk is on fire");
        peer.closed().await;
    })
    .await;
    let client = client.no_preview().replay_limit(100).build().unwrap();
    let failure = client.reqmod(post(body)).await.unwrap_err();
    shows(failure.error(), "the body to send failed: the disk is on fire");
    assert!(!failure.error().is_retryable());
    assert!(failure.original().is_none(), "nobody can send on what cannot be read");
    server.await.unwrap();
}

/// The same while the answer streams.
#[tokio::test]
async fn a_body_that_fails_fails_the_answer() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(HEAD).await;
        peer.write("2\r\nHE\r\n").await;
        peer.closed().await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let mut adapted = modified(client.respmod(page(body)).await.unwrap());
    let data = adapted.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(data, "HE");
    sender.fail("gone");
    let error = adapted.frame().await.unwrap().unwrap_err();
    shows(&error, "the body to send failed: gone");
    // It stays an error.
    assert!(adapted.frame().await.unwrap().is_err());
    server.await.unwrap();
}
