//! Unmodified messages for clients that do not take a 204.

use http_body_util::BodyExt;
use icap_server::{Reply, Server};
use tokio::io::DuplexStream;

use crate::support::*;

/// A server whose handler reads so many frames before it lets the message pass.
fn reading(frames: usize) -> Server {
    server(move |request| async move {
        let (_, mut body) = request.into_body().await?;
        for _ in 0..frames {
            if body.frame().await.transpose()?.is_none() {
                break;
            }
        }
        Ok(Reply::unmodified().header("X-Seen", "yes")?)
    })
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
    let mut client = connect_to(reading(100).echo_limit(10));
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
