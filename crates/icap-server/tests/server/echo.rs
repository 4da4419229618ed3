//! Unmodified messages for clients that do not take a 204.

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use icap_server::{Error, Reply, Request, Server, Service, ServiceConfig, Spool};
use tokio::io::DuplexStream;

use crate::support::*;

/// Reads so many frames before it lets the message pass.
fn reads(
    frames: usize,
) -> impl Fn(Request) -> BoxFuture<'static, Result<Reply, Error>> + Send + Sync + 'static {
    move |request| {
        Box::pin(async move {
            let (_, mut body) = request.into_body().await?;
            for _ in 0..frames {
                if body.frame().await.transpose()?.is_none() {
                    break;
                }
            }
            Ok(Reply::unmodified().header("X-Seen", "yes")?)
        })
    }
}

fn reading(frames: usize) -> Server {
    server(reads(frames))
}

/// The same with terms of its own.
fn reading_with(frames: usize, config: ServiceConfig) -> Server {
    Server::new().service("/x", service(reads(frames)).with_config(config)).unwrap()
}

async fn is_whole(client: &mut Client<DuplexStream>, body: &[u8]) {
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.field("X-Seen")), (200, Some("yes")));
    assert_eq!(answer.head.http_response().unwrap().as_bytes(), PAGE.as_bytes());
    assert_eq!(answer.body, body);
}

#[tokio::test]
async fn read_to_the_end() {
    let mut client = connect_to(reading(100));
    let large = vec![b'x'; 5000];
    let body = [&b"abc"[..], b"defg", &large, b"hi"];
    for _ in 0..2 {
        client.say(respmod("")).await;
        for piece in body {
            client.say(chunk(piece)).await;
            tokio::task::yield_now().await;
        }
        client.say(LAST).await;
        is_whole(&mut client, &body.concat()).await;
    }
}

#[tokio::test]
async fn read_in_part() {
    for frames in 0..4 {
        let mut client = connect_to(reading(frames));
        client.say(respmod("")).await;
        for piece in ["abc", "defg", "hi"] {
            client.say(chunk(piece)).await;
            tokio::task::yield_now().await;
        }
        client.say(LAST).await;
        is_whole(&mut client, b"abcdefghi").await;
    }
}

#[tokio::test]
async fn the_rest_streams_while_the_client_sends() {
    let mut client = connect_to(reading(1));
    client.say(respmod("") + "3\r\nabc\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    client.say("3\r\ndef\r\n").await;
    client.say("0\r\n\r\n").await;
    assert_eq!(client.body().await.unwrap().0, "abcdef");
}

#[tokio::test]
async fn trailers_are_kept() {
    for frames in [0, 9] {
        let mut client = connect_to(reading(frames));
        client.say(respmod("") + "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!(answer.trailers.as_bytes(), b"X-Sum: 7\r\n");
    }
}

#[tokio::test]
async fn an_empty_body_stays_a_body() {
    let mut client = connect_to(reading(1));
    client.say(respmod("") + LAST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.has_body(), answer.body.len()), (200, true, 0));
}

#[tokio::test]
async fn no_body_stays_no_body() {
    let mut client = connect_to(reading(1));
    client.say(reqmod_get("")).await;
    let answer = client.answer().await;
    assert_eq!(answer.encapsulated(), format!("req-hdr=0, null-body={}", GET.len()));
    assert_eq!(answer.head.http_request().unwrap().as_bytes(), GET.as_bytes());
}

#[tokio::test]
async fn at_the_limit_and_over_it() {
    let unspooled = ServiceConfig::default().spool(Spool::none());
    let mut client = connect_to(reading_with(100, unspooled).echo_limit(10));
    client.say(respmod("") + "4\r\nabcd\r\n6\r\nefghij\r\n0\r\n\r\n").await;
    is_whole(&mut client, b"abcdefghij").await;
    client.say(respmod("") + "4\r\nabcd\r\n7\r\nefghijk\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 500);
    // With permission nothing needs to be kept.
    client.say(respmod("Allow: 204\r\n") + "4\r\nabcd\r\n7\r\nefghijk\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test]
async fn what_was_not_read_does_not_count() {
    let mut client = connect_to(reading(0).echo_limit(0));
    client.say(respmod("") + "4\r\nabcd\r\n0\r\n\r\n").await;
    is_whole(&mut client, b"abcd").await;
}

#[tokio::test]
async fn without_a_head_there_is_no_message() {
    let mut client = connect_to(reading(1));
    client
        .say("RESPMOD icap://s/x ICAP/1.0\r\nHost: s\r\nEncapsulated: res-body=0\r\n\r\n1\r\na\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 418);
}

#[tokio::test]
async fn an_echo_that_breaks_off_has_no_last_chunk() {
    let mut client = connect_to(reading(0));
    client.say(respmod("") + "3\r\nabc\r\nzz\r\n").await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "abc");
}

/// A body in which every position can be told from every other.
fn numbered(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at) % 251).unwrap()).collect()
}

#[tokio::test]
async fn what_does_not_fit_into_memory_comes_from_a_file() {
    for (memory, frames) in [(0, 10_000), (100, 10_000), (70_000, 10_000), (100, 3), (1 << 20, 9)] {
        let config = ServiceConfig::default().echo_limit(memory);
        let mut client = connect_to(reading_with(frames, config));
        let body = numbered(400_000);
        for _ in 0..2 {
            let mut request = respmod("").into_bytes();
            for piece in body.chunks(9_999) {
                request.extend_from_slice(&chunk(piece));
            }
            request.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
            let (mut reader, mut writer) = tokio::io::split(&mut client.io);
            let mut near = Client { io: &mut reader, input: std::mem::take(&mut client.input) };
            let (_, answer) = tokio::join!(
                async { tokio::io::AsyncWriteExt::write_all(&mut writer, &request).await.unwrap() },
                near.answer()
            );
            assert!(answer.status() == 200 && answer.body == body, "{memory} {frames}");
            assert_eq!(answer.trailers.get("X-Sum"), Some(&b"7"[..]));
        }
    }
}

#[tokio::test]
async fn a_spool_has_a_limit_for_each_message() {
    let body = numbered(200_010);
    let spool = Spool::default().limit(200_000);
    for (length, status) in [(200_010, 200), (200_011, 500)] {
        let config = ServiceConfig::default().echo_limit(10).spool(spool.clone());
        let mut client = connect_to(reading_with(10_000, config));
        client.say(respmod("")).await;
        client.say(chunk(&body)).await;
        if length > body.len() {
            client.say(chunk("x")).await;
        }
        client.say(LAST).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false));
        assert!(status == 500 || answer.body == body);
    }
}

#[tokio::test]
async fn a_spool_has_a_limit_for_all_messages() {
    let config = || ServiceConfig::default().echo_limit(0);
    let shared = Spool::default().total(100);
    let server = std::sync::Arc::new(reading_with(10_000, config().spool(shared)));
    let mut first = connect_through(&server, 64 * 1024);
    let mut second = connect_through(&server, 64 * 1024);
    // The first keeps 60 bytes while the second asks for 40, then 41.
    first.say(respmod("")).await;
    first.say(chunk([b'a'; 60])).await;
    tokio::task::yield_now().await;
    for (length, status) in [(40, 200), (41, 500), (40, 200)] {
        second.say(respmod("")).await;
        second.say(chunk(vec![b'b'; length])).await;
        second.say(LAST).await;
        assert_eq!(second.answer().await.status(), status, "{length}");
    }
    // What it kept is free again once it is answered.
    first.say(LAST).await;
    assert_eq!(first.answer().await.body, [b'a'; 60][..]);
    second.say(respmod("")).await;
    second.say(chunk([b'b'; 100])).await;
    second.say(LAST).await;
    assert_eq!(second.answer().await.status(), 200);
}

#[tokio::test]
async fn a_spool_that_fails_costs_the_echo_only() {
    let spool = Spool::default().dir("/nonexistent/spool");
    let config = ServiceConfig::default().echo_limit(0).spool(spool);
    let mut client = connect_to(reading_with(10_000, config));
    for (allow, status) in [("", 500), ("Allow: 204\r\n", 204), ("", 500)] {
        client.say(respmod(allow)).await;
        client.say(chunk(vec![b'x'; 100_000])).await;
        client.say(chunk("y")).await;
        client.say(LAST).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false));
    }
}
