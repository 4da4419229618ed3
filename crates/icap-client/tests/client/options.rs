//! OPTIONS (RFC 3507 section 4.10).

use icap_client::Error;
use icap_proto::Method;

use crate::peer::{NO_CONTENT, serve};

#[tokio::test]
async fn a_service_says_what_it_can_do() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let head = peer.head().await.0;
        peer.write(
            "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nISTag: \"t1\"\r\nAllow: 204, 206\r\nPreview: 1024\r\n\
             Transfer-Preview: *\r\nOptions-TTL: 3600\r\nMax-Connections: 100\r\nEncapsulated: null-body=0\r\n\r\n",
        )
        .await;
        // The connection serves the next.
        peer.head().await;
        peer.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n\r\n").await;
        head
    })
    .await;
    let client = client.header("X-Client-IP", "::1").build().unwrap();
    let options = client.options().await.unwrap();
    assert_eq!(options.methods(), [Method::Respmod]);
    assert_eq!(options.preview_bytes(), Some(1024));
    assert_eq!(options.connections(), Some(100));
    assert!(options.allow().no_content && options.allow().partial_content);
    let options = client.options().await.unwrap();
    assert_eq!(options.methods(), [Method::Reqmod]);
    let head = server.await.unwrap();
    assert!(head.starts_with("OPTIONS icap://127.0.0.1:"), "{head}");
    assert!(!head.contains("Encapsulated") && !head.contains("Preview"), "{head}");
    assert!(head.contains("\r\nX-Client-IP: ::1\r\n"), "{head}");
}

/// A body is thrown away; one without end costs the connection, not the answer.
#[tokio::test]
async fn a_body_is_thrown_away() {
    const HEAD: &str = "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nISTag: \"t1\"\r\nOpt-body-type: X\r\n\
        Encapsulated: opt-body=0\r\n\r\n";
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(HEAD).await;
        first.write("3\r\nabc\r\n0\r\n\r\n").await;
        first.head().await;
        first.write(HEAD).await;
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        for _ in 0..17 {
            first.write(&chunk).await;
        }
        first.closed().await;
    })
    .await;
    let client = client.build().unwrap();
    for _ in 0..2 {
        assert_eq!(client.options().await.unwrap().methods(), [Method::Reqmod]);
    }
    server.await.unwrap();
}

/// ICAP-188: 204 is no answer to OPTIONS, and neither is an error.
#[tokio::test]
async fn every_other_status_is_an_error() {
    for answer in [NO_CONTENT, "ICAP/1.0 404 ICAP Service Not Found\r\n\r\n"] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write(answer).await;
        })
        .await;
        let error = client.build().unwrap().options().await.unwrap_err();
        assert!(matches!(error, Error::Status(_)), "{error}");
        server.await.unwrap();
    }
}
