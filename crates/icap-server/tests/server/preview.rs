//! Previews: what is sent when, and what the handler sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::{HttpHead, Limits};
use icap_server::Reply;

use crate::support::*;

/// A handler that lets pass what starts with `safe` and replaces the rest by its body in upper case.
fn shout() -> Client<tokio::io::DuplexStream> {
    connect(|request| async {
        let seen = request.head().http_response().is_some();
        let (head, preview) = request.preview().await?;
        if preview.bytes().starts_with(b"safe") {
            return Ok(Reply::unmodified());
        }
        let first = preview.bytes().clone();
        let complete = preview.is_complete();
        let body = preview.proceed().await?.collect().await?.to_bytes();
        assert!(seen && body.starts_with(&first));
        let head = head.http_response().unwrap().clone();
        let body = body.to_ascii_uppercase();
        let reply = Reply::modified(head, String::from_utf8(body)?);
        Ok(reply.header("X-Complete", complete.to_string())?)
    })
}

#[tokio::test]
async fn a_verdict_on_the_preview_ends_the_request() {
    let mut client = shout();
    for _ in 0..2 {
        client.say(respmod("Preview: 4\r\n") + "4\r\nsafe\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 204);
    }
    assert!(client.is_silent().await);
}

#[tokio::test]
async fn the_rest_comes_after_100_continue() {
    let mut client = shout();
    for _ in 0..2 {
        client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 100);
        assert!(client.is_silent().await);
        client.say("3\r\nefg\r\n0\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"ABCDEFG"[..]));
        assert_eq!(answer.field("X-Complete"), Some("false"));
        assert_eq!(answer.encapsulated(), format!("res-hdr=0, res-body={}", PAGE.len()));
    }
}

#[tokio::test]
async fn nothing_may_follow_the_preview() {
    let mut client = shout();
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("0\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "ABCD");
}

#[tokio::test]
async fn a_complete_preview_needs_no_continue() {
    let mut client = shout();
    client.say(respmod("Preview: 4\r\n") + "3\r\nabc\r\n0; ieof\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"ABC"[..]));
    assert_eq!(answer.field("X-Complete"), Some("true"));
    client.say(respmod("Preview: 4\r\n") + IEOF).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b""[..]));
    assert!(answer.head.has_body());
}

#[tokio::test]
async fn a_preview_in_pieces_is_one_piece() {
    let mut client = connect(|request| async {
        let (_, preview) = request.preview().await?;
        assert_eq!(preview.bytes(), "abcd");
        assert!(!preview.is_complete());
        Ok(Reply::unmodified())
    });
    for byte in (respmod("Preview: 1024\r\n") + "1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n0\r\n\r\n").bytes()
    {
        client.say([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test]
async fn a_preview_of_nothing() {
    let mut client = shout();
    client.say(respmod("Preview: 0\r\n") + LAST).await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("3\r\nefg\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "EFG");
}

#[tokio::test]
async fn without_a_body_the_preview_is_complete() {
    let mut client = connect(|request| async {
        assert!(request.allows_no_content());
        let (_, preview) = request.preview().await?;
        assert!(preview.is_complete() && preview.bytes().is_empty());
        let mut body = preview.proceed().await?;
        assert!(body.frame().await.is_none());
        Ok(Reply::unmodified())
    });
    client.say(reqmod_get("Preview: 1024\r\n")).await;
    assert_eq!(client.answer().await.status(), 204);
    client.say(reqmod_get("Preview: 0\r\n")).await;
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test]
async fn without_a_preview_the_body_streams() {
    let pieces = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&pieces);
    let mut client = connect(move |request| {
        let seen = Arc::clone(&seen);
        async move {
            assert!(!request.allows_no_content());
            let (head, preview) = request.preview().await?;
            assert!(!preview.is_complete() && preview.bytes().is_empty());
            let mut body = preview.proceed().await?;
            while let Some(frame) = body.frame().await {
                assert_eq!(frame?.into_data().unwrap(), "piece");
                seen.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Reply::modified(head.http_request().unwrap().clone(), "other"))
        }
    });
    client.say(reqmod("")).await;
    for count in 1..=3 {
        client.say(chunk("piece")).await;
        while pieces.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
    client.say(LAST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"other"[..]));
    assert_eq!(answer.encapsulated(), format!("req-hdr=0, req-body={}", FORM.len()));
}

#[tokio::test]
async fn head_and_body_at_once() {
    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("3\r\nefg\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "abcdefg");
    client.say(respmod("Preview: 4\r\n") + "3\r\nabc\r\n" + IEOF).await;
    assert_eq!(client.answer().await.body, "abc");
    client.say(respmod("") + "3\r\nxyz\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((&answer.body[..], answer.trailers.get("X-Sum")), (&b"xyz"[..], Some(&b"7"[..])));
}

#[tokio::test]
async fn a_message_without_body_is_given_back_without_body() {
    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_request().unwrap().clone(), body))
    });
    client.say(reqmod_get("Allow: 204\r\n")).await;
    let answer = client.answer().await;
    assert_eq!(answer.encapsulated(), format!("req-hdr=0, null-body={}", GET.len()));
    assert_eq!(answer.head.http_request().unwrap().as_bytes(), GET.as_bytes());
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_refused() {
    let mut client = shout();
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n3\r\nefg\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (400, true));
    drop(client);
}

#[tokio::test]
async fn a_preview_longer_than_announced_is_refused() {
    let mut client = shout();
    client.say(respmod("Preview: 4\r\n") + "5\r\nabcde\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (400, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_preview_over_the_limit_is_refused() {
    let mut limits = Limits::default();
    limits.preview = 4;
    let pass = || {
        server(|request| async {
            request.preview().await.map(|_| Reply::unmodified()).map_err(Into::into)
        })
    };
    let mut client = connect_to(pass().limits(limits));
    client.say(respmod("Preview: 1000\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 204);
    client.say(respmod("Preview: 1000\r\n") + "5\r\nabcde\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (413, true));
}

#[tokio::test]
async fn after_continue_204_needs_permission() {
    let read = |allow: &'static str| async move {
        let mut client = connect(|request| async {
            let (_, preview) = request.preview().await?;
            let _ = preview.proceed().await?.collect().await?;
            Ok(Reply::unmodified())
        });
        client.say(respmod(&format!("Preview: 4\r\n{allow}")) + "4\r\nabcd\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 100);
        client.say("3\r\nefg\r\n0\r\n\r\n").await;
        client.answer().await
    };
    assert_eq!(read("Allow: 204\r\n").await.status(), 204);
    let echo = read("").await;
    assert_eq!((echo.status(), &echo.body[..]), (200, &b"abcdefg"[..]));
    assert_eq!(echo.head.http_response().unwrap().as_bytes(), PAGE.as_bytes());
}

#[tokio::test]
async fn the_body_may_be_read_in_another_task() {
    let mut client = connect(|request| async {
        let (head, preview) = request.preview().await?;
        let body = preview.proceed().await?;
        let body = tokio::spawn(async { body.collect().await.map(|all| all.to_bytes()) }).await??;
        Ok(Reply::respond(HttpHead::response(200, "OK", [("X", "y")])?, body)
            .header("X-Was", head.http_response().unwrap().start_line())?)
    });
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("3\r\nefg\r\n").await;
    tokio::task::yield_now().await;
    client.say("3\r\nhij\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.body, Bytes::from("abcdefghij"));
}
