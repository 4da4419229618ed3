//! What handlers answer, rightly and wrongly.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use icap_proto::{HttpHead, StatusCode};
use icap_server::{BodyError, Error, Reply, Request};
use tokio::sync::mpsc;

use crate::support::*;

fn block_page() -> HttpHead {
    HttpHead::response(403, "Forbidden", [("Content-Type", "text/plain")]).unwrap()
}

fn page() -> HttpHead {
    HttpHead::response(200, "OK", [("Content-Type", "text/plain")]).unwrap()
}

/// The answer to a RESPMOD of `abcd` as preview.
async fn answer<F, Fut>(call: F) -> Answer
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    let mut client = connect(call);
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    client.answer().await
}

#[tokio::test]
async fn bodies_of_every_kind() {
    let reply = answer(|_| async { Ok(Reply::respond(block_page(), "text")) }).await;
    assert_eq!((reply.status(), &reply.body[..]), (200, &b"text"[..]));
    assert_eq!(reply.head.http_response().unwrap().status(), Some(403));
    let reply = answer(|_| async { Ok(Reply::respond(block_page(), Bytes::from("bytes"))) }).await;
    assert_eq!(reply.body, "bytes");
    let reply = answer(|_| async { Ok(Reply::respond(block_page(), "string".to_owned())) }).await;
    assert_eq!(reply.body, "string");
    let reply = answer(|_| async { Ok(Reply::respond(block_page(), ())) }).await;
    assert_eq!((reply.head.has_body(), reply.body.len()), (true, 0));
    let reply =
        answer(|_| async { Ok(Reply::respond(block_page(), Full::new(Bytes::from("full")))) });
    assert_eq!(reply.await.body, "full");
    let reply = answer(|_| async {
        Ok(Reply::respond(block_page(), Empty::<Bytes>::new().boxed_unsync()))
    });
    assert_eq!(reply.await.body, "");
}

#[tokio::test]
async fn a_large_body() {
    let large = Bytes::from(vec![7; 10_000_000]);
    let body = large.clone();
    let reply = answer(move |_| {
        let body = body.clone();
        async move { Ok(Reply::respond(block_page(), body)) }
    });
    assert!(reply.await.body == large);
}

#[tokio::test]
async fn a_body_that_a_task_produces() {
    let reply = answer(|_| async {
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for word in ["one ", "two ", "", "three"] {
                tokio::task::yield_now().await;
                sender.send(Bytes::from(word)).await.unwrap();
            }
        });
        let frames = polled(move |cx| receiver.poll_recv(cx));
        Ok(Reply::respond(block_page(), frames))
    });
    assert_eq!(reply.await.body, "one two three");
}

#[tokio::test]
async fn trailers_of_a_reply() {
    let reply = answer(|_| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("7"));
        let body = Full::new(Bytes::from("text")).with_trailers(async move { Some(Ok(trailers)) });
        Ok(Reply::respond(block_page(), Box::pin(body)))
    });
    let reply = reply.await;
    assert_eq!((&reply.body[..], reply.trailers.get("X-Sum")), (&b"text"[..], Some(&b"7"[..])));
}

#[tokio::test]
async fn messages_that_cannot_have_a_body_have_none() {
    let reply = answer(|_| async {
        Ok(Reply::modified(HttpHead::response(304, "Not Modified", [("ETag", "\"1\"")])?, ()))
    });
    assert!(!reply.await.head.has_body());
    // An answer to HEAD.
    let head = "HEAD / HTTP/1.1\r\nHost: o\r\n\r\n";
    let mut client = connect(|_| async { Ok(Reply::modified(page(), ())) });
    let request = format!(
        "RESPMOD icap://s/x ICAP/1.0\r\nHost: s\r\nEncapsulated: req-hdr=0, res-hdr={}, null-body={}\r\n\r\n{head}{PAGE}",
        head.len(),
        head.len() + PAGE.len(),
    );
    client.say(request).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.has_body()), (200, false));
}

#[tokio::test]
async fn a_request_can_be_satisfied() {
    let mut client = connect(|_| async { Ok(Reply::respond(block_page(), "no")) });
    client.say(reqmod_get("")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"no"[..]));
    assert_eq!(answer.head.http_response().unwrap().status(), Some(403));
}

#[tokio::test]
async fn fields_of_the_answer() {
    let reply = answer(|_| async {
        let threat = "Type=0; Resolution=2; Threat=EICAR;";
        Ok(Reply::respond(block_page(), "no").header("X-Infection-Found", threat)?)
    });
    assert_eq!(reply.await.field("X-Infection-Found"), Some("Type=0; Resolution=2; Threat=EICAR;"));
    for name in ["ISTag", "istag", "Encapsulated", "Connection", "Preview", "Allow", "a b", ""] {
        assert!(Reply::unmodified().header(name, "x").is_err(), "{name}");
    }
    assert!(Reply::unmodified().header("X", "a\r\nY: b").is_err());
}

#[tokio::test]
async fn what_cannot_be_sent_is_500() {
    let request = || HttpHead::request("GET", "/", [("Host", "o")]).unwrap();
    assert_eq!(
        answer(move |_| async move { Ok(Reply::modified(request(), ())) }).await.status(),
        500
    );
    assert_eq!(
        answer(move |_| async move { Ok(Reply::respond(request(), ())) }).await.status(),
        500
    );
    for status in [StatusCode::OK, StatusCode::CONTINUE, StatusCode::NO_CONTENT] {
        assert_eq!(answer(move |_| async move { Ok(Reply::error(status)) }).await.status(), 500);
    }
    let mut client = connect(|_| async { Ok(Reply::modified(page(), "page")) });
    client.say(reqmod_get("")).await;
    assert_eq!(client.answer().await.status(), 500);
}

#[tokio::test]
async fn failures_before_the_answer() {
    let mut client = connect(|request| async {
        let (_, preview) = request.preview().await?;
        match preview.bytes().first() {
            Some(b'e') => Err("out of order".into()),
            Some(b'p') => panic!("a test panics"),
            _ => Ok(Reply::unmodified()),
        }
    });
    for (preview, status) in [("e", 500), ("x", 204), ("p", 500), ("x", 204)] {
        client.say(respmod("Preview: 4\r\n") + &format!("1\r\n{preview}\r\n0\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false));
    }
    let mut client = connect(|_| -> std::future::Ready<_> { panic!("a test panics at once") });
    client.say(respmod("")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (500, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn failures_inside_the_answer_cut_it_off() {
    for panics in [false, true] {
        let mut client = connect(move |_| async move {
            let mut words = ["two", "one"].map(Bytes::from).to_vec();
            let body = polled(move |_| {
                assert!(!(words.is_empty() && panics), "a test panics in a body");
                Poll::Ready(words.pop())
            });
            Ok(Reply::respond(block_page(), Failing(Box::pin(body))))
        });
        client.say(respmod("Preview: 0\r\n") + LAST).await;
        assert_eq!(client.head().await.status().as_u16(), 200);
        assert_eq!(client.body().await.unwrap_err(), "onetwo");
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_an_error_for_its_reader() {
    for broken in ["4\r\nabcd\r\n3\r\nef", "4\r\nabcd\r\n", "4\r\nabcd\r\n0\r\n", "4\r\nabcd"] {
        let (sender, mut errors) = mpsc::unbounded_channel();
        let mut client = connect(move |request| {
            let sender = sender.clone();
            async move {
                let (_, body) = request.into_body().await?;
                let error = body.collect().await.map(|_| ()).unwrap_err();
                sender.send(error).unwrap();
                // Nor is the answer of a handler that takes the error for an end.
                Ok(Reply::unmodified())
            }
        });
        client.say(respmod("Allow: 204\r\n") + broken).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.io).await.unwrap();
        assert!(matches!(
            errors.recv().await,
            Some(BodyError::Protocol(icap_proto::Error::Closed(_)))
        ));
        assert_eq!(client.answer().await.status(), 400);
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_body_with_bad_chunks_is_an_error_for_its_reader() {
    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        let body = body.collect().await?.to_bytes();
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    client.say(respmod("") + "3\r\nabc\r\nzz\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (400, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_streamed_body_with_bad_chunks_cuts_the_answer() {
    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    client.say(respmod("") + "3\r\nabc\r\nzz\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "abc");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn after_the_answer_there_is_no_more_body() {
    let (sender, mut errors) = mpsc::unbounded_channel();
    let mut client = connect(move |request| {
        let sender = sender.clone();
        async move {
            let (_, mut body) = request.into_body().await?;
            assert_eq!(body.frame().await.unwrap()?.into_data().unwrap(), "abc");
            tokio::spawn(async move { sender.send(body.frame().await.unwrap().unwrap_err()) });
            Ok(Reply::unmodified())
        }
    });
    client.say(respmod("Allow: 204\r\n") + "3\r\nabc\r\n").await;
    assert_eq!(client.answer().await.status(), 204);
    assert_eq!(errors.recv().await, Some(BodyError::Answered));
    client.say("3\r\ndef\r\n0\r\n\r\n").await;
    client.say(respmod("Allow: 204\r\n") + "3\r\nabc\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_for_its_reader() {
    let (sender, mut errors) = mpsc::unbounded_channel();
    let mut client = connect(move |request| {
        let sender = sender.clone();
        async move {
            let (_, mut body) = request.into_body().await?;
            let reader = tokio::spawn(async move {
                while body.frame().await.unwrap().map_err(|error| sender.send(error)).is_ok() {}
            });
            reader.await?;
            Ok(Reply::unmodified())
        }
    });
    client.say(respmod("") + "3\r\nabc\r\n").await;
    drop(client);
    assert!(errors.recv().await.is_some());
}

/// A body with an error in place of its end.
struct Failing<B>(Pin<Box<B>>);

impl<B: Body<Data = Bytes, Error = Infallible>> Body for Failing<B> {
    type Data = Bytes;
    type Error = &'static str;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.as_mut().poll_frame(cx).map(|frame| match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            _ => Some(Err("failed")),
        })
    }
}
