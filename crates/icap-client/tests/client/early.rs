//! Answers and 100s at odd times: the rows of the two state machines that other files do not have.

use http_body_util::BodyExt;
use icap_client::{Error, Failure};
use icap_proto::Leniency;

use crate::body::{Frames, Live};
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, get, modified, ok, page, passes, post, read, serve,
    shows, text,
};

const UNTIMELY: &str = "invalid answer: peer misbehaved: 100 Continue at the wrong time";

/// A source error inside the preview: no terminator that would make the part look whole.
#[tokio::test]
async fn a_body_that_fails_inside_the_preview_is_cut() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.closed().await;
    })
    .await;
    let (sender, body) = Live::new();
    sender.send("he");
    let client = client.build().unwrap();
    let call = tokio::spawn(async move { client.respmod(page(body)).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    sender.fail("gone");
    let failure = call.await.unwrap().unwrap_err();
    shows(failure.error(), "the body to send failed: gone");
    assert!(failure.original().is_none());
    server.await.unwrap();
}

/// A refusal inside the preview ends it like any other answer; the message is whole.
#[tokio::test]
async fn a_refusal_inside_the_preview_ends_it() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write("ICAP/1.0 503 Service Overloaded\r\n\r\n").await;
        peer.expect("0\r\n\r\n").await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let failure = client.respmod(page(body)).await.unwrap_err();
    assert!(failure.is_retryable());
    passes(client.reqmod(get()).await.unwrap());
    sender.send("llo");
    drop(sender);
    assert_eq!(read(failure.into_parts().1.unwrap()).await, "hello");
    server.await.unwrap();
}

/// 100 and the final answer in one piece: the rest goes up while the answer comes down.
#[tokio::test]
async fn a_continue_with_the_answer_behind_it() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(format!("{CONTINUE}{}", &HELLO[..HELLO.len() - 5])).await;
        peer.expect("1\r\no\r\n0\r\n\r\n").await;
        peer.write("0\r\n\r\n").await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let adapted = modified(client.respmod(page(text("hello"))).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// A server that asks for the rest and at once refuses: whole or gone, as far as the body is kept.
#[tokio::test]
async fn a_continue_with_a_refusal_behind_it() {
    for (limit, whole) in [(5, true), (0, false)] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
            peer.write(format!("{CONTINUE}ICAP/1.0 500 Server Error\r\n\r\n")).await;
            peer.drain().await;
        })
        .await;
        let client = client.preview(4).replay_limit(limit).build().unwrap();
        let failure = client.respmod(page(text("hello"))).await.unwrap_err();
        shows(failure.error(), "the server answered 500 Server Error");
        let (_, original) = failure.into_parts();
        assert_eq!(original.is_some(), whole);
        if let Some(original) = original {
            assert_eq!(read(original).await, "hello");
        }
        drop(client);
        server.await.unwrap();
    }
}

/// How a call of this shape ends when 100 comes so often, at a time when none is due.
async fn untimely(
    message: icap_client::Reqmod<Frames>,
    preview: Option<u64>,
    sent: &'static str,
    times: usize,
    strict: bool,
) -> Result<(), Failure<Frames>> {
    let (client, server) = serve(move |peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect(sent).await;
        peer.write(CONTINUE.repeat(times)).await;
        peer.write(NO_CONTENT).await;
        peer.drain().await;
    })
    .await;
    let client = match preview {
        Some(bytes) => client.preview(bytes),
        None => client.no_preview(),
    };
    let client = if strict { client.leniency(Leniency::strict()) } else { client };
    let client = client.replay_limit(100).build().unwrap();
    let outcome = client.reqmod(message).await.map(passes);
    drop(client);
    server.await.unwrap();
    outcome
}

/// ICAP-162, ICAP-164, ICAP-166: one is passed over, a second or a strict reader ends it, and the message comes back.
#[tokio::test]
async fn a_continue_that_is_not_due() {
    let body = || post(Frames::new(&["hi"]).sized());
    let empty = || post(Frames::new(&[]).knows_end());
    for (message, preview, sent) in [
        (body as fn() -> _, Some(4), "2\r\nhi\r\n0; ieof\r\n\r\n"),
        (body, None, "2\r\nhi\r\n0\r\n\r\n"),
        (empty, Some(4), ""),
        (empty, None, ""),
    ] {
        for (times, strict, taken) in
            [(0, true, true), (1, false, true), (1, true, false), (2, false, false)]
        {
            let outcome = untimely(message(), preview, sent, times, strict).await;
            let Err(failure) = outcome else {
                assert!(taken, "{sent:?} {times} {strict}");
                continue;
            };
            assert!(!taken, "{sent:?} {times} {strict}: {failure}");
            assert!(matches!(failure.error(), Error::Protocol(_)));
            shows(failure.error(), UNTIMELY);
            let expected = if sent.is_empty() { "" } else { "hi" };
            assert_eq!(read(failure.into_parts().1.unwrap()).await, expected);
        }
    }
}

/// ICAP-166 for a 100 that was due, and one more.
#[tokio::test]
async fn a_second_continue_is_refused() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
        peer.write(CONTINUE.repeat(2)).await;
        peer.drain().await;
    })
    .await;
    let client = client.preview(4).replay_limit(5).build().unwrap();
    let failure = client.respmod(page(text("hello"))).await.unwrap_err();
    shows(failure.error(), UNTIMELY);
    assert!(failure.original().is_some());
    server.await.unwrap();
}

/// ICAP-163 of a strict reader: the whole message is still there.
#[tokio::test]
async fn an_impatient_continue_can_be_refused() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n").await;
        peer.write(CONTINUE).await;
        peer.closed().await;
    })
    .await;
    let client = client.preview(4).leniency(Leniency::strict()).build().unwrap();
    let (sender, body) = Live::new();
    sender.send("he");
    let failure = client.respmod(page(body)).await.unwrap_err();
    shows(failure.error(), UNTIMELY);
    sender.send("llo");
    drop(sender);
    assert_eq!(read(failure.into_parts().1.unwrap()).await, "hello");
    server.await.unwrap();
}

/// Two answers to one request: the first counts, the second ends the connection.
#[tokio::test]
async fn a_second_answer_is_never_taken_for_the_next() {
    for answer in [ok("first"), HELLO.to_owned()] {
        let (client, server) = serve(|peer| async move {
            let mut first = peer.accept().await;
            first.head().await;
            first.write(format!("{answer}{NO_CONTENT}")).await;
            first.closed().await;
            let mut second = peer.accept().await;
            second.head().await;
            second.write("ICAP/1.0 500 Server Error\r\n\r\n").await;
        })
        .await;
        let client = client.build().unwrap();
        let adapted = answered(client.reqmod(get()).await.unwrap());
        assert_eq!(adapted.collect().await.unwrap().to_bytes().len(), 5);
        let failure = client.reqmod(get()).await.unwrap_err();
        shows(failure.error(), "the server answered 500 Server Error");
        server.await.unwrap();
    }
}

/// Heads, chunk sizes and trailers without end run into a limit, not into our memory.
#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let body = HELLO.replace("\r\n0\r\n\r\n", "\r\n");
    for start in [
        "ICAP/1.0 200 ",
        "ICAP/1.0 200 OK\r\nX-A: ",
        &format!("{body}5;"),
        &format!("{body}0\r\nX-A: "),
    ] {
        let start = start.to_owned();
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write(start).await;
            let (mut io, _) = peer.into_parts();
            while tokio::io::AsyncWriteExt::write_all(&mut io, &[b'a'; 1_000]).await.is_ok() {}
        })
        .await;
        let client = client.build().unwrap();
        let error = match client.reqmod(get()).await {
            Ok(outcome) => answered(outcome).collect().await.unwrap_err(),
            Err(failure) => {
                assert!(failure.original().is_some());
                failure.into()
            }
        };
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        server.await.unwrap();
    }
}
