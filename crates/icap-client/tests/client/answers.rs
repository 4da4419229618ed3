//! What a service can say, and what becomes of it.

use http_body::Body;
use icap_client::Outcome;
use icap_proto::Leniency;

use crate::body::Frames;
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, get, modified, page, passes, post, read, serve, shows,
    text,
};

/// A client that gets `answer` to a request without body.
async fn asks(answer: &'static str) -> Result<Outcome<impl Body>, icap_client::Error> {
    let (client, server) = serve(move |peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(answer).await;
    })
    .await;
    let outcome = client.build().unwrap().reqmod(get()).await;
    server.await.unwrap();
    outcome.map_err(Into::into)
}

#[tokio::test]
async fn a_request_answered_with_a_request_is_modified() {
    let outcome = asks(
        "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nX-Rule: 7\r\nEncapsulated: req-hdr=0, null-body=28\r\n\r\n\
         GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    let adapted = modified(outcome.await.unwrap());
    assert_eq!(adapted.head().target(), Some("/b"));
    assert_eq!(adapted.response().headers().get("x-rule"), Some(&b"7"[..]));
}

/// An answer without a body is at its end from the start.
#[tokio::test]
async fn an_answer_without_body_is_over() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for _ in 0..2 {
            peer.head().await;
            peer.write(
                "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: req-hdr=0, null-body=28\r\n\r\n\
                 GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    let client = client.build().unwrap();
    let adapted = modified(client.reqmod(get()).await.unwrap());
    assert!(adapted.is_end_stream());
    assert_eq!(adapted.size_hint().exact(), Some(0));
    // Nobody has to poll it for the connection to be free.
    let second = modified(client.reqmod(get()).await.unwrap());
    assert_eq!(read(second).await, "");
    server.await.unwrap();
    drop(adapted);
}

/// RFC 3507 section 3.1: the service answers in place of the origin.
#[tokio::test]
async fn a_request_answered_with_a_response_is_answered() {
    let adapted = answered(asks(HELLO).await.unwrap());
    assert_eq!(adapted.head().status(), Some(200));
}

#[tokio::test]
async fn a_response_is_modified_never_answered() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("5\r\nhello\r\n0; ieof\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.build().unwrap();
    let adapted = modified(client.respmod(page(text("hello"))).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    server.await.unwrap();
}

/// Symantec's 201 is a 200, unless that is switched off.
#[tokio::test]
async fn a_201_is_a_200_by_leniency() {
    let created = HELLO.replace("200 OK\r\nISTag", "201 Created\r\nISTag");
    for accepted in [true, false] {
        let mut leniency = Leniency::default();
        leniency.created_as_ok = accepted;
        let created = created.clone();
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write(created).await;
        })
        .await;
        let outcome = client.leniency(leniency).build().unwrap().reqmod(get()).await;
        assert_eq!(outcome.is_ok(), accepted);
        server.await.unwrap();
    }
}

#[tokio::test]
async fn other_statuses_are_errors_with_the_head() {
    for (status, retryable) in [
        ("202 Accepted", false),
        ("302 Found", false),
        ("400 Bad Request", false),
        ("404 ICAP Service Not Found", false),
        ("408 Request Timeout", true),
        ("418 Bad Composition", false),
        ("500 Server Error", false),
        ("503 Service Overloaded", true),
        ("599 \x7f", false),
    ] {
        let answer = format!("ICAP/1.0 {status}\r\nX-Error-Code: 5\r\n\r\n");
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("2\r\nhi\r\n0; ieof\r\n\r\n").await;
            peer.write(answer).await;
        })
        .await;
        let failure = client.build().unwrap().reqmod(post(text("hi"))).await.unwrap_err();
        server.await.unwrap();
        let (error, original) = failure.into_parts();
        if status.starts_with("599") {
            // DEL is no byte of a reason phrase.
            shows(
                &error,
                "invalid answer: invalid byte in reason phrase at byte 13 [RFC 9112 section 4]",
            );
            continue;
        }
        shows(&error, &format!("the server answered {status}"));
        assert_eq!(error.is_retryable(), retryable, "{status}");
        assert_eq!(error.response().unwrap().headers().get("X-Error-Code"), Some(&b"5"[..]));
        let original = original.unwrap();
        assert_eq!(original.head().method(), Some("POST"));
        assert_eq!(read(original).await, "hi");
    }
}

/// An error answer without a body leaves the connection in order; one with a body is not read.
#[tokio::test]
async fn an_error_without_body_keeps_the_connection() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write("ICAP/1.0 404 ICAP Service Not Found\r\n\r\n").await;
        first.head().await;
        let page = HELLO.replace("200 OK\r\nISTag", "500 Server Error\r\nISTag");
        first.write(page).await;
        first.closed().await;
    })
    .await;
    let client = client.build().unwrap();
    for status in [404, 500] {
        let failure = client.reqmod(get()).await.unwrap_err();
        assert_eq!(failure.error().response().unwrap().status().as_u16(), status);
        assert!(failure.original().is_some());
    }
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_with_a_body_but_no_head_is_refused() {
    let answer = asks(
        "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-body=0\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    shows(&answer.await.err().unwrap(), "invalid answer: a body without an HTTP head");
}

/// The rule that was broken, and where.
#[tokio::test]
async fn protocol_errors_name_rule_and_place() {
    for (answer, text) in [
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            "invalid answer: not an ICAP message at byte 0 [RFC 3507 appendix A]",
        ),
        (
            "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\n\r\n",
            "invalid answer: message without Encapsulated at byte 32 [RFC 3507 section 4.4.1]",
        ),
        (
            "ICAP/1.0 101 Switching\r\n\r\n",
            "invalid answer: peer misbehaved: unknown interim status",
        ),
        ("ICAP/1.0 200 OK\r\n", "the server closed the connection inside a head"),
    ] {
        let error = asks(answer).await.err().unwrap();
        shows(&error, text);
    }
}

#[tokio::test]
async fn a_206_that_nobody_asked_for_is_refused() {
    let error = asks(
        "ICAP/1.0 206 Partial Content\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, res-body=38\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0; use-original-body=0\r\n\r\n",
    );
    let error = error.await.err().unwrap();
    shows(&error, "invalid answer: peer misbehaved: 206 that the request did not allow");
}

/// ICAP-182: behind the preview a 204 needs leave.
#[tokio::test]
async fn a_204_behind_the_preview_without_leave_is_refused() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("1\r\no\r\n0\r\n\r\n").await;
        peer.write(NO_CONTENT).await;
        peer.closed().await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let failure = client.reqmod(post(Frames::new(&["hell", "o"]))).await.unwrap_err();
    shows(failure.error(), "invalid answer: peer misbehaved: 204 that the request did not allow");
    assert!(failure.original().is_none(), "the last byte is gone");
    server.await.unwrap();
}

/// EID 5893: one 100 that nothing calls for is passed over.
#[tokio::test]
async fn a_stray_continue_is_ignored() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhi\r\n0; ieof\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.build().unwrap();
    assert_eq!(read(answered(client.reqmod(post(text("hi"))).await.unwrap())).await, "HELLO");
    server.await.unwrap();
}

/// Fields from the client, the message and the library, and none that would break the framing.
#[tokio::test]
async fn fields_are_sent() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        peer.write(NO_CONTENT).await;
        icap
    })
    .await;
    let client =
        client.user_agent("test/1").header("X-Authenticated-User", "am9l").build().unwrap();
    passes(client.reqmod(get().header("X-Client-IP", "10.1.2.3")).await.unwrap());
    let icap = server.await.unwrap();
    for field in ["User-Agent: test/1", "X-Authenticated-User: am9l", "X-Client-IP: 10.1.2.3"] {
        assert_eq!(icap.matches(&format!("\r\n{field}\r\n")).count(), 1, "{icap}");
    }
}
