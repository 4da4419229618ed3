//! ICAP trailers, of requests and of answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use icap_proto::{Headers, HttpHead};
use icap_server::{Error, Reply, Request};
use tokio::io::DuplexStream;

use crate::support::*;

const ALLOWED: &str = "Allow: 204, trailers\r\n";

fn verdict() -> Headers {
    let mut fields = Headers::new();
    fields.append("X-Verdict", "clean").unwrap();
    fields
}

fn promising(reply: Reply) -> Result<Reply, Error> {
    Ok(reply.icap_trailer(["X-Verdict"], verdict)?)
}

/// What follows the body, up to its empty line.
async fn trailer(client: &mut Client<DuplexStream>) -> String {
    loop {
        let end = client.input.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = end {
            return String::from_utf8(client.input.split_to(end + 4).to_vec()).unwrap();
        }
        assert!(client.more().await);
    }
}

async fn changed(request: Request) -> Result<Reply, Error> {
    let (head, body) = request.into_body().await?;
    promising(Reply::modified(head.adapted_head().ok_or("no head")?.clone(), body))
}

#[tokio::test]
async fn an_answer_ends_in_its_trailer() {
    let mut client = connect(changed);
    for _ in 0..2 {
        client.say(respmod(ALLOWED) + "3\r\nabc\r\n" + LAST).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("Trailer")), (200, Some("X-Verdict")));
        assert_eq!((answer.field("Allow"), &answer.body[..]), (Some("trailers"), &b"abc"[..]));
        assert_eq!(trailer(&mut client).await, "X-Verdict: clean\r\n\r\n");
        // Without a body it follows the head.
        client.say(reqmod_get(ALLOWED)).await;
        let answer = client.answer().await;
        assert_eq!((answer.field("Trailer"), answer.head.has_body()), (Some("X-Verdict"), false));
        assert_eq!(trailer(&mut client).await, "X-Verdict: clean\r\n\r\n");
    }
}

#[tokio::test]
async fn who_does_not_take_trailers_gets_none() {
    let mut client = connect(changed);
    for _ in 0..2 {
        client.say(respmod("Allow: 204\r\n") + "3\r\nabc\r\n" + LAST).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("Trailer")), (200, None));
        assert!(client.is_silent().await);
    }
}

#[tokio::test]
async fn answers_without_a_message_have_none() {
    let mut client = connect(|_| async { promising(Reply::unmodified()) });
    client.say(respmod(ALLOWED) + LAST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.field("Trailer")), (204, None));
    assert!(client.is_silent().await);
    // An echo is a message.
    client.say(respmod("Allow: trailers\r\n") + "3\r\nabc\r\n" + LAST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"abc"[..]));
    assert_eq!(trailer(&mut client).await, "X-Verdict: clean\r\n\r\n");
}

#[tokio::test]
async fn a_206_has_one_too() {
    let mut client = connect(|_| async {
        let page = HttpHead::response(200, "OK", [("X", "y")])?;
        promising(Reply::original_from(page, "NEW", 1))
    });
    client.say(respmod("Preview: 4\r\nAllow: 206, trailers\r\n") + "4\r\nabcd\r\n" + LAST).await;
    assert_eq!(client.answer().await.status(), 206);
    assert_eq!(trailer(&mut client).await, "X-Verdict: clean\r\n\r\n");
}

/// That is what it is for.
#[tokio::test]
async fn the_fields_are_asked_for_when_the_body_is_sent() {
    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let body = body.map_frame(move |frame| {
            counter.fetch_add(frame.data_ref().map_or(0, |data| data.len()), Ordering::SeqCst);
            frame
        });
        let fields = move || {
            let mut fields = Headers::new();
            fields.append("X-Length", seen.load(Ordering::SeqCst).to_string()).unwrap();
            fields
        };
        let http = head.http_response().ok_or("no head")?.clone();
        Ok(Reply::modified(http, body).icap_trailer(["X-Length"], fields)?)
    });
    client.say(respmod(ALLOWED) + "3\r\nabc\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    client.say("4\r\ndefg\r\n".to_owned() + LAST).await;
    assert_eq!(client.body().await.unwrap().0, "abcdefg");
    assert_eq!(trailer(&mut client).await, "X-Length: 7\r\n\r\n");
}

#[tokio::test]
async fn fields_that_panic_cut_the_answer_off() {
    let mut client = connect(|_| async {
        let page = HttpHead::response(403, "Forbidden", [("X", "y")])?;
        let reply = Reply::respond(page, "page");
        Ok(reply.icap_trailer(["X-Verdict"], || panic!("a test panics in a trailer"))?)
    });
    client.say(respmod(&(ALLOWED.to_owned() + "Preview: 0\r\n")) + LAST).await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "page");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn names_that_cannot_be_promised() {
    for names in [&[][..], &["a b"], &["Encapsulated"], &["X", ""]] {
        assert!(Reply::unmodified().icap_trailer(names.iter().copied(), Headers::new).is_err());
    }
}

#[tokio::test]
async fn the_trailer_of_a_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let mut client = connect(move |request| {
        let sink = Arc::clone(&sink);
        async move {
            assert!(request.allows_icap_trailer());
            let (_, mut body) = request.into_body().await?;
            assert!(body.icap_trailer().is_empty());
            while let Some(frame) = body.frame().await {
                frame?;
            }
            sink.lock().unwrap().push(body.icap_trailer().as_bytes().to_vec());
            Ok(Reply::unmodified())
        }
    });
    let request = respmod("Allow: 204, trailers\r\nTrailer: X-Length\r\n");
    client.say(request + "3\r\nabc\r\n" + LAST + "X-Length: 3\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 204);
    assert_eq!(*seen.lock().unwrap(), [b"X-Length: 3\r\n"]);
}
