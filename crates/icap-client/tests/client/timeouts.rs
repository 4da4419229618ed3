//! Time limits, in virtual time: the clock jumps whenever nothing else can happen.

use std::time::Duration;

use http_body_util::BodyExt;
use icap_client::{Error, Stage, Timeouts};
use tokio::time::{Instant, sleep};

use crate::body::{Large, Live};
use crate::peer::{
    CONTINUE, Connection, HELLO, NO_CONTENT, Peer, by_hand, get, modified, page, passes, post,
    read, serve, text,
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
        let (head, body) = HELLO.split_at(HELLO.len() - 15);
        peer.write(head).await;
        for byte in body.as_bytes() {
            sleep(IO - Duration::from_secs(1)).await;
            peer.write([*byte]).await;
        }
    })
    .await;
    let started = Instant::now();
    let adapted = crate::peer::answered(client.build().unwrap().reqmod(get()).await.unwrap());
    assert_eq!(read(adapted).await, "HELLO");
    assert!(started.elapsed() > 14 * IO);
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
    timeouts.head = Duration::MAX;
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

const EDGE: Duration = Duration::from_millis(5);

/// A connector that takes two seconds.
async fn slowly(uri: icap_proto::ServiceUri) -> std::io::Result<tokio::net::TcpStream> {
    sleep(Duration::from_secs(2)).await;
    tokio::net::TcpStream::connect((uri.host(), uri.port())).await
}

#[tokio::test(start_paused = true)]
async fn connecting_may_take_all_its_time() {
    for (early, enough) in [(EDGE, false), (Duration::ZERO, true)] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write(NO_CONTENT).await;
        })
        .await;
        let mut timeouts = Timeouts::default();
        timeouts.connect = Duration::from_secs(2) + EDGE - 2 * early;
        let client = client.connector(slowly).timeouts(timeouts).build().unwrap();
        match client.reqmod(get()).await {
            Ok(outcome) => {
                passes(outcome);
                assert!(enough);
                server.await.unwrap();
            }
            Err(failure) => {
                assert!(!enough);
                assert_eq!(timed_out(failure.error()), Stage::Connect);
                server.abort();
            }
        }
    }
}

/// A head that drips has one time for all of it: at the edge, and short of it.
#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_however_it_drips() {
    for (late, enough) in [(false, true), (true, false)] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            // 100 Continue is no head, but a sign: the time starts anew.
            peer.until("0\r\n\r\n").await;
            sleep(IO - EDGE).await;
            peer.write(CONTINUE).await;
            peer.until("0\r\n\r\n").await;
            let step = if late { IO + 2 * EDGE } else { IO - 2 * EDGE } / 3;
            for piece in ["ICAP/1.0 204 ", "No Content\r\n", "\r\n"] {
                sleep(step).await;
                if late && piece == "\r\n" {
                    peer.closed().await;
                    return;
                }
                peer.write(piece).await;
            }
        })
        .await;
        let client = client.preview(2).replay_limit(5).build().unwrap();
        match client.reqmod(post(text("hello"))).await {
            Ok(outcome) => {
                assert!(enough);
                passes(outcome);
            }
            Err(failure) => {
                assert!(!enough, "{failure}");
                assert_eq!(timed_out(failure.error()), Stage::Answer);
            }
        }
        server.await.unwrap();
    }
}

/// The limits of the head and of silence are two: each can be the longer one.
#[tokio::test(start_paused = true)]
async fn the_head_and_the_body_have_limits_of_their_own() {
    for (head, io) in [(200, 10), (10, 200)] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            let split = HELLO.len() - 5;
            sleep(Duration::from_secs(head) - EDGE).await;
            peer.write(&HELLO[..split]).await;
            sleep(Duration::from_secs(io) - EDGE).await;
            peer.write(&HELLO[split..split + 1]).await;
            peer.closed().await;
        })
        .await;
        let mut timeouts = Timeouts::default();
        (timeouts.head, timeouts.io) = (Duration::from_secs(head), Duration::from_secs(io));
        let client = client.timeouts(timeouts).build().unwrap();
        let started = Instant::now();
        let adapted = crate::peer::answered(client.reqmod(get()).await.unwrap());
        let error = adapted.collect().await.unwrap_err();
        assert_eq!(timed_out(&error), Stage::Body);
        assert_eq!((started.elapsed() + 2 * EDGE).as_secs(), head + 2 * io);
        server.await.unwrap();
    }
}

/// The whole call has a limit, wherever it is: while it waits, connects, has its answer, or reads the body.
#[tokio::test(start_paused = true)]
async fn the_whole_call_takes_only_so_long() {
    let total = |seconds| {
        let mut timeouts = Timeouts::default();
        timeouts.total = Duration::from_secs(seconds);
        timeouts
    };
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        // Bytes move all the time, and that does not help.
        for byte in HELLO.as_bytes() {
            sleep(Duration::from_secs(1)).await;
            if byte == &b'H' {
                peer.closed().await;
                return;
            }
            peer.write([*byte]).await;
        }
    })
    .await;
    let client = client.connector(slowly).max_connections(1);
    let client = client.timeouts(total(1)).build().unwrap();
    let started = Instant::now();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert_eq!(timed_out(failure.error()), Stage::Total);
    assert_eq!(failure.to_string(), "timeout of the whole call");
    assert_eq!(started.elapsed().as_secs(), 1);
    assert!(failure.original().is_some());
    server.abort();

    for seconds in [30, 100] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            sleep(Duration::from_secs(50)).await;
            for byte in HELLO.as_bytes() {
                sleep(Duration::from_secs(1)).await;
                peer.write([*byte]).await;
            }
        })
        .await;
        let mut timeouts = total(seconds);
        timeouts.head = Duration::MAX;
        timeouts.wait = Duration::MAX;
        let client = client.max_connections(1).timeouts(timeouts).build().unwrap();
        let started = Instant::now();
        // The second waits for the connection of the first.
        let (one, two) = tokio::join!(client.reqmod(get()), client.reqmod(get()));
        for outcome in [one, two] {
            assert_eq!(timed_out(outcome.unwrap_err().error()), Stage::Total);
        }
        assert_eq!(started.elapsed().as_secs(), seconds);
        server.abort();
    }
}

/// A body that always has bytes is not read beyond the limit either.
#[tokio::test(start_paused = true)]
async fn the_limit_of_the_call_reaches_the_body() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(
            "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
             HTTP/1.1 200 OK\r\n\r\n",
        )
        .await;
        loop {
            sleep(Duration::from_secs(1)).await;
            if peer.try_write("1\r\nx\r\n").await.is_err() {
                return;
            }
        }
    })
    .await;
    let mut timeouts = Timeouts::default();
    timeouts.total = Duration::from_secs(20);
    let client = client.timeouts(timeouts).build().unwrap();
    let started = Instant::now();
    let adapted = crate::peer::answered(client.reqmod(get()).await.unwrap());
    assert_eq!(timed_out(&adapted.collect().await.unwrap_err()), Stage::Total);
    assert_eq!(started.elapsed().as_secs(), 20);
    server.await.unwrap();
}

/// A connection that is bound to no runtime, first used in one that is no more or does not run: the wait has a limit in
/// the next one too.
#[test]
fn a_connection_outlives_its_runtime() {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap()
    };
    for is_gone in [true, false] {
        let (near, far) = tokio::io::duplex(4096);
        let near = std::sync::Mutex::new(Some(near));
        let connector = move |_| {
            let near = near.lock().unwrap().take();
            async { near.ok_or_else(|| std::io::Error::other("opened twice")) }
        };
        let client = by_hand("icap://memory/s").connector(connector).build().unwrap();
        let mut peer = Connection::new(far);
        let first = runtime();
        let (outcome, ()) = first.block_on(async {
            tokio::join!(client.reqmod(get()), async {
                peer.head().await;
                peer.write(NO_CONTENT).await;
            })
        });
        passes(outcome.unwrap());
        let first = (!is_gone).then_some(first);
        let failure = runtime().block_on(client.reqmod(get())).unwrap_err();
        assert_eq!(timed_out(failure.error()), Stage::Answer);
        drop(first);
    }
}
