//! Requests of other clients, sent on as they are.

use std::time::Duration;

use http_body_util::BodyExt;
use icap_client::{Balance, Client, Error, Forward, ServiceGroup};
use icap_proto::{Leniency, Limits, RequestHead};

use crate::body::{Frames, Live};
use crate::peer::{CONTINUE, HELLO, NO_CONTENT, Peer, by_hand, read, serve, text};

const HTTP: &str = "POST /p HTTP/1.1\r\nhOst:  h\r\n\r\n";

/// A REQMOD with a body, as a server reads it.
fn head(lines: &str) -> RequestHead {
    head_for("/own?a=b", lines)
}

fn head_for(path: &str, lines: &str) -> RequestHead {
    let text = format!(
        "REQMOD icap://front{path} ICAP/1.0\r\nHost: front\r\n{lines}Encapsulated: req-hdr=0, req-body={}\r\n\r\n{HTTP}",
        HTTP.len()
    );
    let parsed = RequestHead::parse(text.as_bytes(), &Limits::default(), &Leniency::default());
    parsed.unwrap().unwrap().0
}

#[tokio::test]
async fn the_head_is_that_of_the_other_client() {
    let (builder, server) = serve(async |peer: Peer| {
        let mut connection = peer.accept().await;
        let (head, http) = connection.head().await;
        assert_eq!(http, HTTP);
        connection.expect("5\r\nhello\r\n0; ieof\r\n\r\n").await;
        connection.write(NO_CONTENT).await;
        (peer.address, head)
    })
    .await;
    let lines = "X-Odd:  a b\r\nPreview: 1024\r\nAllow: 206, 204\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nUpgrade: x\r\n\
                 Proxy-Authorization: Basic eA==\r\nUser-Agent: other\r\n";
    let client = builder.user_agent("mine").build().unwrap();
    let forward = Forward::new(head(lines), text("hello")).header("X-Client-IP", "10.0.0.1");
    let answer = client.forward(forward).await.unwrap();
    assert_eq!(answer.response().status().as_u16(), 204);
    let (address, sent) = server.await.unwrap();
    assert_eq!(
        sent,
        // The path is that of the client's URI.
        format!(
            "REQMOD icap://{address}/s ICAP/1.0\r\nHost: {address}\r\nX-Odd: a b\r\n\
             Proxy-Authorization: Basic eA==\r\nUser-Agent: other\r\nX-Client-IP: 10.0.0.1\r\n\
             Allow: 204, 206\r\nEncapsulated: req-hdr=0, req-body={}\r\nPreview: 1024\r\n\r\n",
            HTTP.len()
        )
    );
}

#[tokio::test]
async fn a_uri_without_a_path_takes_that_of_the_request() {
    let peer = Peer::bind().await;
    for path in ["", "/"] {
        let client = by_hand(&format!("icap://{}{path}", peer.address)).build().unwrap();
        let serving = async {
            let mut connection = peer.accept().await;
            let (head, _) = connection.head().await;
            connection.write(NO_CONTENT).await;
            head
        };
        let forward = client.forward(Forward::new(head(""), text("hello")));
        let (_, head) = tokio::join!(forward, serving);
        assert!(
            head.starts_with(&format!("REQMOD icap://{}/own?a=b ICAP/1.0\r\n", peer.address)),
            "{head}"
        );
    }
}

#[tokio::test]
async fn each_request_goes_to_its_own_path() {
    let peer = Peer::bind().await;
    let client = by_hand(&format!("icap://{}", peer.address)).build().unwrap();
    for path in ["/own?a=b", "/own?a=b", "/own", "/own?a=b", "/owN?a=b"] {
        let serving = async {
            let mut connection = peer.accept().await;
            let (head, _) = connection.head().await;
            connection.write(NO_CONTENT).await;
            head
        };
        let forward = client.forward(Forward::new(head_for(path, ""), text("hello")));
        let (_, head) = tokio::join!(forward, serving);
        let expected = format!("REQMOD icap://{}{path} ICAP/1.0\r\n", peer.address);
        assert!(head.starts_with(&expected), "{head}");
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_sent_fails() {
    let client = by_hand("icap://127.0.0.1:1/s").build().unwrap();
    let forward = Forward::new(head(""), text("")).header("X-Bad", "a\r\nb").header("X-Good", "1");
    assert!(matches!(client.forward(forward).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn the_body_is_not_asked_for_more_than_the_preview() {
    let (builder, server) = serve(async |peer: Peer| {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.expect("4\r\nabcd\r\n0\r\n\r\n").await;
        connection.quiet().await;
        connection.write(CONTINUE).await;
        connection.expect("3\r\nefg\r\n0\r\n\r\n").await;
        connection.write(HELLO).await;
    })
    .await;
    let (live, body) = Live::new();
    live.send("abcd");
    let client = builder.build().unwrap();
    let calling = tokio::spawn(async move {
        let answer = client.forward(Forward::new(head("Preview: 4\r\n"), body)).await.unwrap();
        read(answer).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    live.send("efg");
    drop(live);
    assert_eq!(calling.await.unwrap(), "HELLO");
    server.await.unwrap();
}

#[tokio::test]
async fn a_206_gives_its_offset_and_not_the_original() {
    let (builder, _server) = serve(async |peer: Peer| {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.expect("5\r\nhello\r\n0; ieof\r\n\r\n").await;
        let answer = HELLO.replace("200 OK\r\nIS", "206 Partial\r\nIS");
        connection.write(answer.replace("0\r\n\r\n", "0; use-original-body=3\r\n\r\n")).await;
    })
    .await;
    let client = builder.build().unwrap();
    let forward = Forward::new(head("Preview: 9\r\nAllow: 206\r\n"), text("hello"));
    let mut answer = client.forward(forward).await.unwrap();
    assert_eq!(answer.response().status().as_u16(), 206);
    let mut body = Vec::new();
    while let Some(frame) = answer.frame().await {
        body.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!((&body[..], answer.ending().original_from), (&b"HELLO"[..], Some(3)));
}

#[tokio::test]
async fn any_status_is_an_answer_with_its_body() {
    let (builder, _server) = serve(async |peer: Peer| {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.write(HELLO.replace("200 OK\r\nIS", "403 Forbidden\r\nIS")).await;
        connection.drain().await;
    })
    .await;
    let client = builder.build().unwrap();
    let answer = client.forward(Forward::new(head(""), text("hello"))).await.unwrap();
    assert_eq!(answer.response().status().as_u16(), 403);
    assert_eq!(read(answer).await, "HELLO");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_an_error() {
    let (builder, _server) = serve(async |peer: Peer| {
        let mut connection = peer.accept().await;
        connection.head().await;
        connection.write(&HELLO[..HELLO.len() - 5]).await;
    })
    .await;
    let client = builder.build().unwrap();
    let mut answer = client.forward(Forward::new(head(""), text("hello"))).await.unwrap();
    while let Some(frame) = answer.frame().await {
        if frame.is_err() {
            assert!(answer.frame().await.unwrap().is_err());
            return;
        }
    }
    panic!("it looks whole");
}

fn group(peers: &[&Peer]) -> ServiceGroup {
    let client =
        |peer: &Peer| -> Client { by_hand(&format!("icap://{}", peer.address)).build().unwrap() };
    let group = ServiceGroup::builder().balance(Balance::Failover);
    peers.iter().fold(group, |group, peer| group.member(client(peer))).build().unwrap()
}

/// Answers one request.
async fn answer_one(peer: &Peer, answer: &str) {
    let mut connection = peer.accept().await;
    connection.head().await;
    connection.until("0\r\n\r\n").await;
    connection.write(answer).await;
    connection.drain().await;
}

#[tokio::test]
async fn a_busy_member_is_passed_over_and_the_last_answer_stands() {
    let (one, two) = (Peer::bind().await, Peer::bind().await);
    let busy = HELLO.replace("200 OK\r\nIS", "503 Full\r\nIS");
    for (second, status, body) in [(NO_CONTENT, 204, ""), (&busy, 503, "HELLO")] {
        let group = group(&[&one, &two]);
        let body_of = Frames::new(&["abcd", "efgh"]);
        let forwarding = async {
            let answer =
                group.forward(Forward::new(head("Preview: 4\r\n"), body_of)).await.unwrap();
            assert!(answer.server().to_string().contains(&two.address.to_string()));
            assert_eq!(answer.response().status().as_u16(), status);
            assert_eq!(read(answer).await, body);
            drop(group);
        };
        tokio::join!(forwarding, answer_one(&one, &busy), answer_one(&two, second));
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_suspends_nobody() {
    let (one, two) = (Peer::bind().await, Peer::bind().await);
    let group = group(&[&one, &two]);
    for _ in 0..5 {
        let forwarding = async {
            let forward = Forward::new(head("Preview: 4\r\n"), Frames::new(&["abcd", "efgh"]));
            let answer = group.forward(forward).await.unwrap();
            assert_eq!(answer.response().status().as_u16(), 404);
        };
        let missing = "ICAP/1.0 404 No\r\nConnection: close\r\n\r\n";
        tokio::join!(forwarding, answer_one(&one, missing));
    }
    assert_eq!(group.members()[0].failures, 0);
}
