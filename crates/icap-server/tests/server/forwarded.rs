//! Services that hand out the answers of other servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use http_body_util::BodyExt;
use icap_proto::{Headers, Leniency, Limits, ResponseHead};
use icap_server::{Ending, Error, Reply, Request, Server, Service, ServiceConfig};

use crate::support::*;

/// An answer as it comes off the wire.
fn head(text: &str) -> ResponseHead {
    let parsed = ResponseHead::parse(text.as_bytes(), &Limits::default(), &Leniency::default());
    parsed.unwrap().unwrap().0
}

fn client<F, Fut>(call: F) -> Client<tokio::io::DuplexStream>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    let forwards = service(call).with_config(ServiceConfig::default().forwards());
    connect_to(Server::new().service("/x", forwards).unwrap())
}

const NO_CONTENT: &str = "ICAP/1.0 204 Nothing  here\r\nISTag: \"o\"\r\nX-Found:  1\r\n\tfile\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_goes_out_as_it_came() {
    let mut client = client(|request| async move {
        let (_, _preview) = request.preview().await?;
        Ok(Reply::forwarded(head(NO_CONTENT).forwarded(), (), Ending::default))
    });
    for _ in 0..2 {
        client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
        let answer = client.answer().await;
        assert!(!answer.head.close());
        assert_eq!(
            answer.head.forwarded().to_bytes(),
            "ICAP/1.0 204 Nothing  here\r\nISTag: \"o\"\r\nX-Found:  1\r\n\tfile\r\n\r\n"
        );
    }
}

#[tokio::test]
async fn options_are_a_call() {
    let mut client = client(|request| async move {
        assert_eq!(request.head().method().as_str(), "OPTIONS");
        let answer = "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nISTag: \"o\"\r\nX-Odd: 1\r\n\r\n";
        Ok(Reply::forwarded(head(answer), (), Ending::default))
    });
    client.say("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.field("X-Odd")), (200, Some("1")));
    assert_eq!(answer.encapsulated(), "null-body=0");
}

#[tokio::test]
async fn what_the_client_does_not_take_is_a_500() {
    let mut client = client(|request| async move {
        let _ = request.into_body().await?;
        Ok(Reply::forwarded(head(NO_CONTENT), (), Ending::default))
    });
    client.say(respmod("") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 500);
}

#[tokio::test]
async fn an_answer_ends_as_the_other_servers_did() {
    let answer = format!(
        "ICAP/1.0 206 Partial\r\nISTag: \"o\"\r\nTrailer: X-V\r\nAllow: trailers\r\n\
         Encapsulated: res-hdr=0, res-body={}\r\n\r\n{PAGE}",
        PAGE.len()
    );
    let mut client = client(move |request| {
        let head = head(&answer);
        async move {
            let (_, _preview) = request.preview().await?;
            Ok(Reply::forwarded(head, "new", || {
                let mut ending = Ending::default();
                ending.original_from = Some(2);
                ending.icap_trailer = Headers::from_pairs([("X-V", "yes")]).unwrap();
                ending
            }))
        }
    });
    let allow = "Preview: 4\r\nAllow: 206, trailers\r\n";
    client.say(respmod(allow) + "4\r\nabcd\r\n0\r\n\r\n").await;
    let mut said = String::new();
    while !said.ends_with("X-V: yes\r\n\r\n") {
        let mut byte = [0; 1];
        tokio::io::AsyncReadExt::read_exact(&mut client.io, &mut byte).await.unwrap();
        said.push(char::from(byte[0]));
    }
    assert!(said.ends_with("3\r\nnew\r\n0; use-original-body=2\r\n\r\nX-V: yes\r\n\r\n"), "{said}");
}

/// Behind the head of the answer it would be too late.
#[tokio::test]
async fn a_continue_that_is_due_goes_before_the_answer() {
    use http_body::Body;
    use http_body_util::BodyExt;
    let answer = format!(
        "ICAP/1.0 200 OK\r\nISTag: \"o\"\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{PAGE}",
        PAGE.len()
    );
    let mut client = client(move |request| {
        let head = head(&answer);
        async move {
            let (_, preview) = request.preview().await?;
            let mut body = preview.into_body();
            let _preview = body.frame().await;
            let _asked = std::future::poll_fn(|cx| {
                let asked = std::pin::Pin::new(&mut body).poll_frame(cx);
                std::task::Poll::Ready(asked.is_pending())
            })
            .await;
            Ok(Reply::forwarded(head, body, Ending::default))
        }
    });
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("2\r\nef\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"ef"[..]));
}

/// 100 Continue is sent when somebody reads on, and not before.
#[tokio::test]
async fn the_rest_is_asked_for_when_it_is_read() {
    use http_body_util::BodyExt;
    let reads = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&reads);
    let mut client = connect(move |request: Request| {
        let reads = flag.load(Ordering::Relaxed);
        async move {
            let (head, preview) = request.preview().await?;
            let mut body = preview.into_body();
            let first = body.frame().await.ok_or("no preview")??;
            assert_eq!(first.into_data().unwrap(), "abcd");
            if !reads {
                return Ok(Reply::unmodified());
            }
            let page = head.http_response().cloned().ok_or("no head")?;
            Ok(Reply::modified(page, body.collect().await?.to_bytes()))
        }
    });
    let asked = respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n";
    client.say(&asked).await;
    assert_eq!(client.answer().await.status(), 204);
    reads.store(true, Ordering::Relaxed);
    client.say(&asked).await;
    assert_eq!(client.answer().await.status(), 100);
    client.say("2\r\nef\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"ef"[..]));
    // A preview that is the whole body needs no word.
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0; ieof\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
}

/// Chunks that came together are there together, and the end behind them: a service that passes them on writes once.
#[tokio::test]
async fn what_has_come_is_there_at_once() {
    let (sender, mut at_once) = tokio::sync::mpsc::unbounded_channel();
    let mut client = client(move |request| {
        let sender = sender.clone();
        async move {
            let (_, mut body) = request.into_body().await?;
            while let Some(frame) = body.frame().await {
                let mut pieces = vec![frame?.into_data().unwrap().len()];
                let mut end = None;
                while end.is_none()
                    && let Some(more) = body.frame().now_or_never()
                {
                    match more {
                        Some(frame) => pieces.push(frame?.into_data().unwrap().len()),
                        None => end = Some(()),
                    }
                }
                sender.send((pieces, end)).unwrap();
                if end.is_some() {
                    break;
                }
            }
            Ok(Reply::forwarded(head(NO_CONTENT).forwarded(), (), Ending::default))
        }
    });
    let chunks = |number: usize| chunk(vec![b'x'; 1000]).repeat(number);
    client.say([respmod("Allow: 204\r\n").into_bytes(), chunks(3)].concat()).await;
    assert_eq!(at_once.recv().await.unwrap(), (vec![1000; 3], None));
    client.say([chunks(2), b"0\r\n\r\n".to_vec()].concat()).await;
    assert_eq!(at_once.recv().await.unwrap(), (vec![1000; 2], Some(())));
    assert_eq!(client.answer().await.status(), 204);
    // What is broken comes behind what was whole.
    let broken = [respmod("Allow: 204\r\n").into_bytes(), chunks(2), b"z\r\n".to_vec()];
    client.say(broken.concat()).await;
    assert_eq!(at_once.recv().await.unwrap(), (vec![1000; 2], None));
    assert_eq!(client.answer().await.status(), 400);
}
