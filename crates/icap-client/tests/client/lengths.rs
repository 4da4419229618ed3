//! Bodies of another length than their head says (erratum e6): passed on as HTTP they would desynchronize it.

use http_body_util::BodyExt;
use icap_client::{Adapted, Error, Reqmod};
use icap_proto::HttpHead;

use crate::peer::{NO_CONTENT, answered, get, modified, passes, serve, shows, text};

/// The answer to a request with this method: this head and these chunks.
async fn adapt(
    method: &str,
    head: String,
    chunks: &'static str,
) -> Adapted<http_body_util::Full<bytes::Bytes>> {
    let satisfied = head.starts_with("HTTP");
    let (client, server) = serve(move |peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        let kind = if satisfied { "res" } else { "req" };
        let list = format!("Encapsulated: {kind}-hdr=0, {kind}-body={}", head.len());
        peer.write(format!("ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n{list}\r\n\r\n{head}{chunks}"))
            .await;
    })
    .await;
    let message = Reqmod::new(HttpHead::request(method, "/a", [("Host", "h")]).unwrap(), text(""));
    let outcome = client.build().unwrap().reqmod(message).await.unwrap();
    server.await.unwrap();
    if satisfied { answered(outcome) } else { modified(outcome) }
}

const HELLO: &str = "2\r\nHE\r\n3\r\nLLO\r\n0\r\n\r\n";
const NOTHING: &str = "0\r\n\r\n";

/// What is given out is never longer than the head says, and never ends cleanly when it is shorter.
#[tokio::test]
async fn a_body_of_another_length_is_an_error() {
    // What the head says; the chunks; the bytes that come out, and the error behind them.
    for (fields, chunks, bytes, error) in [
        ("Content-Length: 5", HELLO, "HELLO", None),
        ("Content-Length: 5, 5", HELLO, "HELLO", None),
        ("A: 1", HELLO, "HELLO", None),
        ("Content-Length: 0", NOTHING, "", None),
        ("Content-Length: 6", HELLO, "HELLO", Some("is 6, the body has 5 bytes")),
        ("Content-Length: 4", HELLO, "", Some("is 4, the body has 5 bytes")),
        ("Content-Length: 1", HELLO, "", Some("is 1, the body has 5 bytes")),
        ("Content-Length: 0", HELLO, "", Some("is 0, the body has 5 bytes")),
        ("Content-Length: 1", NOTHING, "", Some("is 1, the body has 0 bytes")),
        ("Content-Length: five", HELLO, "HELLO", Some("is not a number")),
        ("Content-Length: 5\r\nContent-Length: 6", HELLO, "HELLO", Some("has two values")),
        // The length does not count.
        ("Transfer-Encoding: chunked\r\nContent-Length: 9", HELLO, "HELLO", None),
    ] {
        for start in ["HTTP/1.1 200 OK", "POST /b HTTP/1.1"] {
            let head = format!("{start}\r\n{fields}\r\n\r\n");
            let mut adapted = adapt("GET", head, chunks).await;
            let mut came = Vec::new();
            let end = loop {
                match adapted.frame().await {
                    None => break None,
                    Some(Ok(frame)) => came.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(error)) => break Some(error),
                }
            };
            assert_eq!(came, bytes.as_bytes(), "{fields}");
            match (end, error) {
                (None, None) => {}
                (Some(end), Some(text)) => {
                    assert!(matches!(end, Error::Length(_)) && !end.is_retryable());
                    shows(&end, &format!("invalid answer: Content-Length {text}"));
                    assert!(adapted.frame().await.unwrap().is_err(), "it stays an error");
                    assert!(!http_body::Body::is_end_stream(&adapted));
                }
                (end, _) => panic!("{fields}: {end:?}"),
            }
        }
    }
}

/// To HEAD, and where the status has no body, the length speaks of another message.
#[tokio::test]
async fn the_length_of_a_body_that_cannot_be_does_not_count() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n");
        let adapted = adapt(method, head, NOTHING).await;
        assert_eq!(adapted.collect().await.unwrap().to_bytes(), "");
    }
}

/// A short body was framed well inside ICAP: the connection is in order.
#[tokio::test]
async fn a_body_that_is_short_keeps_the_connection() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(crate::peer::HELLO.replace("Content-Length: 5", "Content-Length: 6")).await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let adapted = answered(client.reqmod(get()).await.unwrap());
    assert!(matches!(adapted.collect().await, Err(Error::Length(_))));
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}
