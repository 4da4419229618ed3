//! Calls and answers that fail, and what comes back.

use http_body_util::BodyExt;
use icap_client::{Client, Error, Outcome};
use icap_proto::{HttpHead, Truncated};

use crate::body::Frames;
use crate::peer::{
    CONTINUE, HELLO, Peer, by_hand, get, modified, page, passes, post, read, serve, shows, text,
};

#[tokio::test]
async fn connect_refused_gives_the_message_back() {
    let address = Peer::bind().await.address;
    let client = by_hand(&format!("icap://{address}/s")).build().unwrap();
    let (error, original) = client.respmod(page(text("hello"))).await.unwrap_err().into_parts();
    assert!(
        matches!(&error, Error::Connect(io) if io.kind() == std::io::ErrorKind::ConnectionRefused)
    );
    assert!(error.to_string().starts_with(&format!("cannot connect: {address}: ")), "{error}");
    assert!(error.is_retryable());
    let original = original.unwrap();
    assert_eq!(original.head().status(), Some(200));
    assert_eq!(read(original).await, "hello");
}

/// RFC 3507 section 6.2, code 1005.
#[tokio::test]
async fn closed_during_the_preview_gives_the_message_back() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let body = Frames::new(&["hello", "world"]).trailer("x-sum", "1");
    let (error, original) = client.respmod(page(body)).await.unwrap_err().into_parts();
    assert!(matches!(error, Error::Closed(Truncated::InPreview)), "{error}");
    let whole = original.unwrap().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["x-sum"], "1");
    assert_eq!(whole.to_bytes(), "helloworld");
    server.await.unwrap();
}

#[tokio::test]
async fn a_reset_during_the_preview_gives_the_message_back() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.reset();
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let (error, original) = client.respmod(page(text("hello"))).await.unwrap_err().into_parts();
    assert!(matches!(error, Error::Read(_)), "{error}");
    assert_eq!(read(original.unwrap()).await, "hello");
    server.await.unwrap();
}

#[tokio::test]
async fn closed_behind_the_preview_gives_nothing_back() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.until("0\r\n\r\n").await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let (error, original) = client.respmod(page(text("hello"))).await.unwrap_err().into_parts();
    assert!(matches!(error, Error::Closed(Truncated::BeforeHead)), "{error}");
    assert!(original.is_none());
    server.await.unwrap();
}

/// V8, cut behind every byte: never an outcome with a clean end.
#[tokio::test]
async fn an_answer_cut_anywhere_is_an_error() {
    for cut in 0..HELLO.len() {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("2\r\nhi\r\n0; ieof\r\n\r\n").await;
            peer.write(&HELLO[..cut]).await;
        })
        .await;
        let client = client.build().unwrap();
        let error = match client.respmod(page(text("hi"))).await {
            Err(failure) => {
                assert!(cut < 108, "the head was there: {cut}");
                assert_eq!(read(failure.into_parts().1.unwrap()).await, "hi");
                continue;
            }
            Ok(outcome) => {
                assert!(cut >= 108, "the head was not there: {cut}");
                modified(outcome).collect().await.unwrap_err()
            }
        };
        assert!(matches!(error, Error::Closed(Truncated::InBody)), "{cut}: {error}");
        server.await.unwrap();
    }
}

/// An error stays an error, however often one asks.
#[tokio::test]
async fn a_cut_answer_never_ends_cleanly() {
    use http_body::Body;

    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(&HELLO[..HELLO.len() - 2]).await;
    })
    .await;
    let mut adapted = crate::peer::answered(client.build().unwrap().reqmod(get()).await.unwrap());
    assert_eq!(adapted.frame().await.unwrap().unwrap().into_data().unwrap(), "HELLO");
    for _ in 0..3 {
        assert!(!adapted.is_end_stream());
        assert!(adapted.frame().await.unwrap().is_err());
    }
    server.await.unwrap();
}

#[tokio::test]
async fn a_broken_chunk_is_an_error_of_the_body() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(HELLO.replace("\r\n0\r\n\r\n", "\r\nzz\r\n")).await;
        peer.closed().await;
    })
    .await;
    let adapted = crate::peer::answered(client.build().unwrap().reqmod(get()).await.unwrap());
    let error = adapted.collect().await.unwrap_err();
    shows(&error, "invalid answer: malformed chunk size at byte 118 [RFC 9112 section 7.1]");
    server.await.unwrap();
}

/// Whoever no longer wants an answer closes the connection under it.
#[tokio::test]
async fn dropping_an_answer_early_closes_the_connection() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(&HELLO[..HELLO.len() - 5]).await;
        peer.closed().await;
    })
    .await;
    let client = client.build().unwrap();
    drop(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// The same for a call that is given up.
#[tokio::test]
async fn dropping_a_call_closes_the_connection() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.closed().await;
    })
    .await;
    let client = client.build().unwrap();
    let limit = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(limit, client.reqmod(get())).await.is_err());
    server.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_the_message() {
    let client = by_hand("icap://127.0.0.1:1/s").build().unwrap();
    let response = HttpHead::response(200, "OK", [("A", "b")]).unwrap();
    for (message, text) in [
        (
            post(text("hi")).header("X-Bad", "a\r\nEncapsulated: x"),
            "cannot send a field: invalid byte in field value",
        ),
        (post(text("hi")).header("X Bad", "a"), "cannot send a field: invalid field name"),
        (
            post(text("hi")).header("Preview", "9"),
            "cannot send a field: field is written by the encoder",
        ),
        (
            icap_client::Reqmod::new(response, text("hi")),
            "the parts of the message do not fit its method or status",
        ),
    ] {
        let (error, original) = client.reqmod(message).await.unwrap_err().into_parts();
        assert!(matches!(error, Error::Invalid(_)));
        shows(&error, text);
        assert_eq!(read(original.unwrap()).await, "hi");
    }
}

#[test]
fn what_is_no_client_is_refused() {
    let refused =
        |builder: icap_client::ClientBuilder| builder.build().err().map(|error| error.to_string());
    #[cfg(not(feature = "tls"))]
    assert!(matches!(
        Client::builder("icaps://av.local/s").build(),
        Err(Error::Invalid(icap_client::Invalid::Tls))
    ));
    assert!(
        refused(Client::builder("http://av.local/s")).unwrap().contains("malformed service URI")
    );
    assert!(
        refused(Client::builder("icap://s/").header("A", "\n")).unwrap().contains("field value")
    );
    assert!(refused(Client::builder("icap://s/").header("Allow", "204")).is_some());
    assert!(refused(Client::builder("icap://s/").user_agent("a\0")).is_some());
    assert_eq!(refused(Client::builder(String::from("icap://[::1]/s"))), None);
}

/// No address, the wrong address, the right address.
#[tokio::test]
async fn ipv6_literals_connect() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
    let client = by_hand(&format!("icap://[::1]:{port}/s")).build().unwrap();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(!matches!(failure.error(), Error::Connect(_)), "{failure}");
    server.await.unwrap().unwrap();
}

/// `localhost` may well have an IPv6 address where nobody listens.
#[tokio::test]
async fn all_addresses_are_tried() {
    let (client, server) = serve(|peer| async move {
        let port = peer.address.port();
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(crate::peer::NO_CONTENT).await;
        port
    })
    .await;
    let port = client.build().unwrap().uri().port();
    let client = by_hand(&format!("icap://localhost:{port}/s")).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// Calls and bodies can move between threads.
#[test]
fn everything_is_send_and_sync() {
    fn check<T: Send + Sync>(value: T) -> T {
        value
    }
    fn send<T: Send>(value: T) -> T {
        value
    }
    let client = check(Client::builder("icap://s/").build().unwrap());
    drop(send(client.reqmod(get())));
    // Of a body only `Send` is asked.
    let body = http_body_util::combinators::UnsyncBoxBody::new(text("a"));
    drop(send(client.reqmod(post(body))));
    drop(send(client.options()));
    let _: fn(icap_client::Adapted<String>) -> _ = check::<icap_client::Adapted<String>>;
    let _: fn(icap_client::Original<String>) -> _ = check::<icap_client::Original<String>>;
    let _: fn(icap_client::Failure<String>) -> _ = check::<icap_client::Failure<String>>;
}

/// Fail-open is one line of the caller's, and possible as long as the message is whole.
#[tokio::test]
async fn a_failure_is_passed_by_when_the_caller_says_so() {
    for (limit, whole) in [(5, true), (0, false)] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.until("0\r\n\r\n").await;
            peer.write(CONTINUE).await;
            peer.until("0\r\n\r\n").await;
        })
        .await;
        let client = client.preview(4).replay_limit(limit).build().unwrap();
        let failure = client.respmod(page(text("hello"))).await.unwrap_err();
        assert!(failure.error().is_retryable() && !failure.error().is_timeout());
        assert_eq!(failure.is_retryable(), whole, "what is gone cannot be sent again");
        match failure.bypass() {
            Ok(Outcome::Bypassed(original)) => {
                assert!(whole);
                assert_eq!(original.head().status(), Some(200));
                assert_eq!(read(original).await, "hello");
            }
            Ok(outcome) => panic!("{outcome:?}"),
            Err(failure) => {
                assert!(!whole);
                assert!(matches!(failure.error(), Error::Closed(Truncated::BeforeHead)));
            }
        }
        server.await.unwrap();
    }
}
