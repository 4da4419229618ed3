//! Time limits, in virtual time: the clock jumps whenever nothing else can happen.

use std::time::Duration;

use http_body_util::BodyExt;
use icap_client::{Error, Stage, Timeouts};
use tokio::time::{Instant, sleep};

use crate::body::{Large, Live};
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, Peer, get, modified, page, passes, post, read, serve, text,
};

const IO: Duration = Duration::from_secs(60);

fn timed_out(error: &Error) -> Stage {
    assert!(error.is_timeout() && error.is_retryable());
    match error {
        Error::Timeout(stage) => *stage,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.closed().await;
    })
    .await;
    let started = Instant::now();
    let failure = client.build().unwrap().reqmod(get()).await.unwrap_err();
    assert_eq!(timed_out(failure.error()), Stage::Answer);
    assert_eq!(failure.to_string(), "timeout while waiting for the answer");
    assert!(started.elapsed() >= IO && started.elapsed() < IO + Duration::from_millis(10));
    assert!(failure.original().is_some());
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_the_preview() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.closed().await;
    })
    .await;
    let client = client.preview(2).build().unwrap();
    let failure = client.reqmod(post(text("hello"))).await.unwrap_err();
    assert_eq!(timed_out(failure.error()), Stage::Preview);
    assert_eq!(read(failure.into_parts().1.unwrap()).await, "hello");
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_bytes() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let failure = client.reqmod(post(Large::new(64 * 1024 * 1024))).await.unwrap_err();
    assert_eq!(timed_out(failure.error()), Stage::Send);
    drop(server.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_inside_the_answer() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(&HELLO[..HELLO.len() - 5]).await;
        peer.closed().await;
    })
    .await;
    let client = client.build().unwrap();
    let mut adapted = crate::peer::answered(client.reqmod(get()).await.unwrap());
    adapted.frame().await.unwrap().unwrap();
    // A reader that takes its time is not the server's fault.
    sleep(2 * IO).await;
    let started = Instant::now();
    let error = adapted.frame().await.unwrap().unwrap_err();
    assert_eq!(timed_out(&error), Stage::Body);
    assert!(started.elapsed() >= IO);
    server.await.unwrap();
}

/// Each byte starts the time anew.
#[tokio::test(start_paused = true)]
async fn a_slow_server_is_not_a_silent_one() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        for byte in HELLO.as_bytes() {
            sleep(IO - Duration::from_secs(1)).await;
            peer.write([*byte]).await;
        }
    })
    .await;
    let started = Instant::now();
    let adapted = crate::peer::answered(client.build().unwrap().reqmod(get()).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    assert!(started.elapsed() > 100 * IO);
    server.await.unwrap();
}

/// The time that the body takes does not count, neither in the preview nor behind it.
#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_a_silent_server() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.expect("2\r\nhe\r\n2\r\nll\r\n0\r\n\r\n").await;
        peer.write(CONTINUE).await;
        peer.expect("1\r\no\r\n0\r\n\r\n").await;
        sleep(IO - Duration::from_secs(1)).await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.preview(4).build().unwrap();
    let (sender, body) = Live::new();
    tokio::spawn(async move {
        for piece in ["he", "ll", "o"] {
            sender.send(piece);
            sleep(3 * IO).await;
        }
    });
    assert_eq!(read(modified(client.respmod(page(body)).await.unwrap())).await, "HELLO");
    server.await.unwrap();
}

/// A timer that was started for an earlier wait does not cut a later one short.
#[tokio::test(start_paused = true)]
async fn waits_do_not_add_up() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        sleep(Duration::from_secs(45)).await;
        peer.write(CONTINUE).await;
        peer.until("0\r\n\r\n").await;
        sleep(Duration::from_secs(45)).await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.preview(2).replay_limit(5).build().unwrap();
    passes(client.reqmod(post(text("hello"))).await.unwrap());
    server.await.unwrap();
}

/// Longer than forever.
#[tokio::test(start_paused = true)]
async fn no_limit() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        sleep(Duration::from_secs(1_000_000)).await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let mut timeouts = Timeouts::default();
    timeouts.io = Duration::MAX;
    timeouts.connect = Duration::MAX;
    passes(client.timeouts(timeouts).build().unwrap().reqmod(get()).await.unwrap());
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_only_so_long() {
    let peer = Peer::bind().await;
    let mut timeouts = Timeouts::default();
    timeouts.connect = Duration::ZERO;
    let client = peer.client().timeouts(timeouts).build().unwrap();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert_eq!(timed_out(failure.error()), Stage::Connect);
    assert!(failure.original().is_some());
}
