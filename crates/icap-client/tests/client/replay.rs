//! Bodies that are kept so that they can be sent once more.

use http_body::Body;
use http_body_util::BodyExt;
use icap_client::Outcome;

use crate::body::{Frames, Large, pattern};
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, get, modified, page, passes, post, read, serve, shows,
    unmodified,
};

/// ICAP-184: `Allow: 204` exactly when the whole body can be produced again.
#[tokio::test]
async fn allow_204_is_sent_when_the_body_is_kept() {
    for (limit, body, allowed) in [
        (0, Frames::new(&["hello", "world"]).sized(), false),
        (9, Frames::new(&["hello", "world"]).sized(), false),
        (10, Frames::new(&["hello", "world"]).sized(), true),
        // A body that does not tell its size may be longer than what is kept.
        (10, Frames::new(&["hello", "world"]), false),
        // What fits into the preview is kept anyway.
        (0, Frames::new(&["hell"]).sized(), true),
    ] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            let (icap, _) = peer.head().await;
            peer.write(NO_CONTENT).await;
            icap
        })
        .await;
        let client = client.preview(4).replay_limit(limit).build().unwrap();
        passes(client.reqmod(post(body)).await.unwrap());
        assert_eq!(server.await.unwrap().contains("\r\nAllow: 204, trailers\r\n"), allowed);
    }
}

/// A message that the caller keeps takes a 204 at any size, and its body is not kept for that.
#[tokio::test]
async fn a_message_kept_by_the_caller_takes_a_204() {
    for preview in [Some(4), None] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            for _ in 0..2 {
                let (icap, _) = peer.head().await;
                assert!(icap.contains("\r\nAllow: 204, trailers\r\n"), "{icap}");
                if preview.is_some() {
                    peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
                    peer.write(CONTINUE).await;
                }
                peer.until("world\r\n0\r\n\r\n").await;
                peer.write(NO_CONTENT).await;
            }
        })
        .await;
        let client = match preview {
            Some(bytes) => client.preview(bytes),
            None => client.no_preview(),
        };
        let client = client.build().unwrap();
        for _ in 0..2 {
            let message = post(Frames::new(&["hello", "world"])).kept_by_caller();
            let outcome = client.reqmod(message).await.unwrap();
            let Outcome::NoContent(response) = outcome else { panic!("{outcome:?}") };
            assert_eq!(response.status().as_u16(), 204);
        }
        server.await.unwrap();
    }
}

/// It is as whole as before when the call fails, and no more.
#[tokio::test]
async fn a_message_kept_by_the_caller_may_be_adapted() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0; ieof\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let message = page(Frames::new(&["hello"]).sized()).kept_by_caller();
    let adapted = modified(client.build().unwrap().respmod(message).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    server.await.unwrap();
}

#[tokio::test]
async fn a_late_204_replays_the_body() {
    for preview in [Some(4), None] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            for _ in 0..2 {
                peer.head().await;
                if preview.is_some() {
                    peer.expect("4\r\nhell\r\n0\r\n\r\n").await;
                    peer.write(CONTINUE).await;
                    peer.expect("1\r\no\r\n5\r\nworld\r\n0\r\nx-sum: 1\r\n\r\n").await;
                } else {
                    peer.expect("5\r\nhello\r\n5\r\nworld\r\n0\r\nx-sum: 1\r\n\r\n").await;
                }
                peer.write(NO_CONTENT).await;
            }
        })
        .await;
        let client = match preview {
            Some(bytes) => client.preview(bytes),
            None => client.no_preview(),
        };
        let client = client.replay_limit(10).http_trailers(true).build().unwrap();
        for _ in 0..2 {
            let body = Frames::new(&["hello", "world"]).sized().trailer("x-sum", "1");
            let original = unmodified(client.respmod(page(body)).await.unwrap());
            assert_eq!(original.size_hint().exact(), Some(10));
            assert!(!original.is_end_stream());
            let whole = original.collect().await.unwrap();
            assert_eq!(whole.trailers().unwrap()["x-sum"], "1");
            assert_eq!(whole.to_bytes(), "helloworld");
        }
        server.await.unwrap();
    }
}

/// What is kept comes back from a failure too, also of a body of unknown size.
#[tokio::test]
async fn a_kept_body_comes_back_from_a_failure() {
    for (limit, back) in [(100_000, true), (99_999, false)] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.until("0\r\n\r\n").await;
            peer.write(CONTINUE).await;
            let count = peer.count("\r\n0\r\n\r\n").await;
            assert!(count > 98_000);
            peer.write("ICAP/1.0 500 Server Error\r\n\r\n").await;
        })
        .await;
        let client = client.replay_limit(limit).build().unwrap();
        let failure = client.reqmod(post(Large::new(100_000))).await.unwrap_err();
        shows(failure.error(), "the server answered 500 Server Error");
        let original = failure.into_parts().1;
        assert_eq!(original.is_some(), back, "{limit}");
        if let Some(original) = original {
            let bytes = original.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len(), 100_000);
            assert!(bytes.iter().zip(0..).all(|(&byte, at)| byte == pattern(at)));
        }
        server.await.unwrap();
    }
}

/// A stale connection found behind the preview, with a body that is kept.
#[tokio::test]
async fn a_kept_body_is_sent_again_without_a_preview() {
    let (client, server) = serve(|peer| async move {
        let mut first = peer.accept().await;
        first.head().await;
        first.write(NO_CONTENT).await;
        first.head().await;
        first.expect("5\r\nhello\r\n").await;
        drop(first);
        let mut second = peer.accept().await;
        second.head().await;
        second.expect("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n").await;
        second.write(HELLO).await;
    })
    .await;
    let client = client.no_preview().replay_limit(10).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    let outcome = client.reqmod(post(Frames::new(&["hello", "world"]))).await.unwrap();
    assert_eq!(read(answered(outcome)).await, "HELLO");
    server.await.unwrap();
}

/// A body that is longer than it said cannot be given back, and must not come back short.
#[tokio::test]
async fn a_body_that_lies_about_its_size_is_an_error() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        assert!(icap.contains("Allow: 204") && icap.contains("Preview: 5"), "{icap}");
        peer.expect("5\r\nhello\r\n0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("5\r\nworld\r\n0\r\n\r\n").await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.preview(8).build().unwrap();
    let body = Frames::new(&["hello", "world"]).claims(5);
    let failure = client.reqmod(post(body)).await.unwrap_err();
    shows(failure.error(), "the body to send failed: the body is longer than its size hint");
    server.await.unwrap();
}

/// The message of a failed call can go to another server.
#[tokio::test]
async fn a_message_goes_on_to_another_server() {
    let (dead, first) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
    })
    .await;
    let (alive, second) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("5\r\nhello\r\n5\r\nworld\r\n0; ieof\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let failure =
        dead.preview(4).build().unwrap().respmod(page(Frames::new(&["hello", "world"]))).await;
    let original = failure.unwrap_err().into_parts().1.unwrap();
    let outcome = alive.build().unwrap().respmod(page(original)).await.unwrap();
    assert_eq!(read(modified(outcome)).await, "HELLO");
    first.await.unwrap();
    second.await.unwrap();
}

/// Bytes are moved, not copied.
#[tokio::test]
async fn pieces_come_back_as_they_were() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let body = bytes::Bytes::from(vec![7; 10_000]);
    let client = client.build().unwrap();
    let message = post(http_body_util::Full::new(body.clone()));
    let mut original = unmodified(client.reqmod(message).await.unwrap());
    let piece = original.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(piece.as_ptr(), body.as_ptr());
    server.await.unwrap();
}

/// Bytes that tell how many still hold them.
struct Held(std::sync::Arc<[u8; 5]>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// What is kept is let go as soon as an answer does not need it, however long that goes on.
#[tokio::test]
async fn a_200_frees_what_was_kept() {
    for (status, held) in [("200 OK", false), ("206 Partial Content", true)] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("5\r\nhello\r\n0\r\n\r\n").await;
            peer.write(
                HELLO[..HELLO.len() - 5].replace("200 OK\r\nISTag", &format!("{status}\r\nISTag")),
            )
            .await;
            peer.closed().await;
        })
        .await;
        let client = client.no_preview().replay_limit(100).partial_content(true).build().unwrap();
        let alive = std::sync::Arc::new(*b"hello");
        let body = bytes::Bytes::from_owner(Held(std::sync::Arc::clone(&alive)));
        let message = page(http_body_util::Full::new(body));
        let adapted = modified(client.respmod(message).await.unwrap());
        assert_eq!(std::sync::Arc::strong_count(&alive) > 1, held, "{status}");
        drop(adapted);
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
        server.await.unwrap();
    }
}
