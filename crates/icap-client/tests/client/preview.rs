//! Previews: what is announced, how they end, what comes behind them (RFC 3507 section 4.5).

use crate::body::{Frames, Live};
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, get, modified, ok, page, passes, post, read, serve, text,
    unmodified,
};

/// ICAP-172, ICAP-154: a body whose size is known to be smaller announces that size and says that it is all.
#[tokio::test]
async fn a_small_body_is_announced_and_ends_with_ieof() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        peer.expect("5\r\nhello\r\n0; ieof\r\n\r\n").await;
        peer.write(NO_CONTENT).await;
        (icap, http)
    })
    .await;
    let client = client.build().unwrap();
    let original = unmodified(client.respmod(page(text("hello"))).await.unwrap());
    assert_eq!(original.response().status().as_u16(), 204);
    assert_eq!(original.head().status(), Some(200));
    assert_eq!(read(original).await, "hello");
    let (icap, http) = server.await.unwrap();
    let authority = format!("{}:{}", client.uri().host(), client.uri().port());
    assert_eq!(
        icap,
        format!(
            "RESPMOD icap://{authority}/s ICAP/1.0\r\nHost: {authority}\r\nAllow: 204, trailers\r\n\
             Encapsulated: req-hdr=0, res-hdr=28, res-body=73\r\nPreview: 5\r\n\r\n"
        )
    );
    assert_eq!(
        http,
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    );
}

/// ICAP-154 for a body that tells nothing about its size.
#[tokio::test]
async fn a_body_that_ends_inside_the_preview_ends_with_ieof() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        peer.expect("3\r\nabc\r\n2\r\nde\r\n0; ieof\r\n\r\n").await;
        peer.write(NO_CONTENT).await;
        icap
    })
    .await;
    let client = client.preview(8).build().unwrap();
    let original = unmodified(client.reqmod(post(Frames::new(&["abc", "de"]))).await.unwrap());
    assert_eq!(read(original).await, "abcde");
    let icap = server.await.unwrap();
    assert!(icap.contains("\r\nPreview: 8\r\n"), "{icap}");
    assert!(!icap.contains("204"), "{icap}");
}

/// ICAP-155: at the edge, a body that does not say whether it goes on is not waited for.
#[tokio::test]
async fn a_body_of_exactly_the_preview_that_knows_nothing_needs_a_continue() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.quiet().await;
        peer.write(CONTINUE).await;
        peer.expect("0\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let adapted = modified(client.respmod(page(Frames::new(&["hell"]))).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    server.await.unwrap();
}

#[tokio::test]
async fn a_body_of_exactly_the_preview_that_knows_its_end_says_ieof() {
    for body in [
        Frames::new(&["hell"]).knows_end(),
        // Knowing that nothing is left is as good.
        Frames::new(&["hell"]).sized(),
    ] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("4\r\nhell\r\n0; ieof\r\n\r\n").await;
            peer.write(NO_CONTENT).await;
        })
        .await;
        let client = client.preview(4).build().unwrap();
        let original = unmodified(client.respmod(page(body)).await.unwrap());
        assert_eq!(read(original).await, "hell");
        server.await.unwrap();
    }
}

/// At the edge of the preview the body may be silent for ever; the server decides meanwhile.
#[tokio::test]
async fn a_live_body_is_not_waited_for_at_the_edge() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let (sender, body) = Live::new();
    sender.send("hell");
    let original = unmodified(client.respmod(page(body)).await.unwrap());
    sender.send("o");
    drop(sender);
    assert_eq!(read(original).await, "hello");
    server.await.unwrap();
}

/// ICAP-165: the rest starts behind the preview, and never has ieof.
#[tokio::test]
async fn the_rest_follows_a_continue() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.quiet().await;
        peer.write(CONTINUE).await;
        peer.expect("1\r\no\r\n0\r\n\r\n").await;
        peer.write(HELLO).await;
        icap
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let adapted = modified(client.respmod(page(text("hello"))).await.unwrap());
    assert_eq!(adapted.response().istag().unwrap().to_string(), "\"t1\"");
    assert_eq!(adapted.head().start_line(), b"HTTP/1.1 200 OK");
    assert_eq!(read(adapted).await, "HELLO");
    let icap = server.await.unwrap();
    assert!(icap.contains("\r\nPreview: 4\r\n"), "{icap}");
    assert!(!icap.contains("204"), "the rest cannot be replayed: {icap}");
}

/// ICAP-152: a preview of nothing shows the heads.
#[tokio::test]
async fn a_preview_of_zero_bytes() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        assert!(icap.contains("\r\nPreview: 0\r\n"), "{icap}");
        peer.expect("0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("5\r\nhello\r\n0\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.preview(0).build().unwrap();
    let adapted = modified(client.respmod(page(text("hello"))).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    server.await.unwrap();
}

#[tokio::test]
async fn without_a_preview_the_body_goes_at_once() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        assert!(!icap.contains("Preview") && !icap.contains("204"), "{icap}");
        peer.expect("5\r\nhello\r\n0\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let adapted = modified(client.respmod(page(text("hello"))).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    server.await.unwrap();
}

/// V1: no body, no preview; a 204 is always welcome.
#[tokio::test]
async fn a_message_without_body_has_null_body() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        peer.quiet().await;
        peer.write(NO_CONTENT).await;
        (icap, http)
    })
    .await;
    let client = client.build().unwrap();
    let original = unmodified(client.reqmod(get()).await.unwrap());
    assert_eq!(read(original).await, "");
    let (icap, http) = server.await.unwrap();
    assert!(
        icap.contains("\r\nAllow: 204, trailers\r\nEncapsulated: req-hdr=0, null-body=28\r\n\r\n"),
        "{icap}"
    );
    assert_eq!(http, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
}

/// ICAP-168: a final answer in the middle of the preview ends it; the connection lives on.
#[tokio::test]
async fn an_answer_inside_the_preview_ends_it() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(ok("early")).await;
        peer.expect("0\r\n\r\n").await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let adapted = modified(client.respmod(page(body)).await.unwrap());
    assert_eq!(read(adapted).await, "early");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// The same when the server waits for the end of the preview before it goes on.
#[tokio::test]
async fn an_answer_that_goes_on_inside_the_preview_ends_it() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(&HELLO[..HELLO.len() - 5]).await;
        peer.expect("0\r\n\r\n").await;
        peer.write(&HELLO[HELLO.len() - 5..]).await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let adapted = modified(client.respmod(page(body)).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// The same with a 204: what was taken off the body comes again.
#[tokio::test]
async fn a_204_inside_the_preview_ends_it() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(NO_CONTENT).await;
        peer.expect("0\r\n\r\n").await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let original = unmodified(client.respmod(page(body)).await.unwrap());
    passes(client.reqmod(get()).await.unwrap());
    sender.send("llo");
    drop(sender);
    assert_eq!(read(original).await, "hello");
    server.await.unwrap();
}

/// ICAP-163: an impatient 100 is remembered.
#[tokio::test]
async fn a_continue_before_the_end_of_the_preview() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("2\r\nll\r\n0\r\n\r\n1\r\no\r\n0\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let message = page(body);
    let call = tokio::spawn(async move { client.respmod(message).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    sender.send("llo");
    drop(sender);
    assert_eq!(read(modified(call.await.unwrap().unwrap())).await, "HELLO");
    server.await.unwrap();
}

/// Erratum e2: trailers of the body travel with its last chunk, and come back as frames.
#[tokio::test]
async fn trailers_go_both_ways() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("1\r\no\r\n0\r\nx-sum: 1\r\n\r\n").await;
        peer.write(ok("HELLO").replace("\r\n0\r\n\r\n", "\r\n0\r\nX-Sum: 2\r\n folded\r\n\r\n"))
            .await;
    })
    .await;
    let client = client.preview(4).http_trailers(true).build().unwrap();
    let body = Frames::new(&["hell", "o"]).trailer("x-sum", "1");
    let adapted = modified(client.respmod(page(body)).await.unwrap());
    let answer = http_body_util::BodyExt::collect(adapted).await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-sum"], "2 folded");
    assert_eq!(answer.to_bytes(), "HELLO");
    server.await.unwrap();
}
