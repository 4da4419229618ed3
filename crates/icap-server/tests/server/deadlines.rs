//! No wait for a client is without an end. Time is paused and jumps to the next deadline.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::HttpHead;
use icap_server::{BodyError, Reply, Request, Server, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

fn reading() -> Server {
    server(|request| async {
        let (_, body) = request.into_body().await?;
        body.collect().await?;
        Ok(Reply::unmodified())
    })
}

fn after(start: Instant) -> u64 {
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_silently() {
    let start = Instant::now();
    let mut client = connect_to(reading());
    assert!(client.is_closed().await);
    assert_eq!(after(start), 60);

    // The time runs anew after each request.
    let mut client = connect_to(reading());
    for _ in 0..3 {
        sleep(Duration::from_secs(50)).await;
        client.say(reqmod_get("Allow: 204\r\n")).await;
        assert_eq!(client.answer().await.status(), 204);
    }
    let start = Instant::now();
    assert!(client.is_closed().await);
    assert_eq!(after(start), 60);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_however_it_drips() {
    let mut client = connect_to(reading());
    sleep(Duration::from_secs(40)).await;
    let start = Instant::now();
    for byte in reqmod("").bytes() {
        if client.io.write_all(&[byte]).await.is_err() || after(start) >= 30 {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close(), after(start)), (408, true, 30));
    assert!(client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn the_second_head_has_the_same_time() {
    let mut client = connect_to(reading());
    client.say(reqmod_get("Allow: 204\r\n") + "REQ").await;
    let start = Instant::now();
    assert_eq!(client.answer().await.status(), 204);
    assert_eq!(client.answer().await.status(), 408);
    assert_eq!(after(start), 30);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_408() {
    for (request, status) in [
        (respmod("Preview: 4\r\n") + "2\r\nab", 408),
        (respmod("") + "2\r\nab\r\n", 408),
        (respmod("") + "2\r\nab\r\n0\r\n", 408),
    ] {
        let start = Instant::now();
        let mut client = connect_to(reading());
        client.say(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close(), after(start)), (status, true, 30));
        assert!(client.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_a_stopped_one() {
    let mut timeouts = Timeouts::default();
    timeouts.body_rate = 0;
    let mut client = connect_to(reading().timeouts(timeouts));
    client.say(respmod("Allow: 204\r\n")).await;
    // Most of these bytes alone come to nothing.
    for byte in "1\r\nx\r\n0000002\r\nyz\r\n0\r\n\r\n".bytes() {
        sleep(Duration::from_secs(29)).await;
        client.say([byte]).await;
    }
    assert_eq!(client.answer().await.status(), 204);
}

/// All the waiting together has 30 s and what the bytes earn, however they are spread.
#[tokio::test(start_paused = true)]
async fn a_body_has_a_least_rate() {
    // A chunk of 160 bytes earns 10 s. The wait for the seventh begins after 78 s, with 30 s + 60 s.
    for (pause, expected) in [(11, (204, 110)), (13, (408, 90))] {
        let mut client = connect_to(reading());
        client.say(respmod("Allow: 204\r\n")).await;
        let start = Instant::now();
        for _ in 0..10 {
            if timeout(Duration::from_secs(pause), client.head()).await.is_ok() {
                break;
            }
            client.say(chunk(vec![b'x'; 160])).await;
        }
        if expected.0 == 204 {
            client.say(LAST).await;
            assert_eq!(client.answer().await.status(), 204);
        }
        assert_eq!(after(start), expected.1, "{pause}");
    }
    // The time that the handler takes is its own.
    let server = server(|request| async {
        let (_, mut body) = request.into_body().await?;
        while let Some(frame) = body.frame().await {
            frame?;
            sleep(Duration::from_secs(1000)).await;
        }
        Ok(Reply::unmodified())
    });
    let mut client = connect_to(server);
    client.say(respmod("Allow: 204\r\n")).await;
    for _ in 0..10 {
        client.say(chunk("x")).await;
        sleep(Duration::from_secs(2)).await;
    }
    client.say(LAST).await;
    assert_eq!(client.answer().await.status(), 204);
}

/// What the echo waits is added to what the handler waited before it gave up.
#[tokio::test(start_paused = true)]
async fn the_waiting_for_one_body_is_counted_together() {
    let call = |request: Request| async move {
        let (_, mut body) = request.into_body().await?;
        assert!(timeout(Duration::from_secs(20), body.frame()).await.is_err());
        drop(body);
        sleep(Duration::from_secs(5)).await;
        Ok(Reply::unmodified())
    };
    let mut client = connect(call);
    client.say(respmod("")).await;
    let start = Instant::now();
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(after(start), 25);
    assert_eq!(client.body().await.unwrap_err(), "");
    assert_eq!(after(start), 35);
}

#[tokio::test(start_paused = true)]
async fn after_100_continue_the_rest_has_its_time() {
    let mut client = connect_to(reading());
    client.say(respmod("Preview: 4\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    let start = Instant::now();
    assert_eq!(client.answer().await.status(), 408);
    assert_eq!(after(start), 30);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_begun_is_cut_off() {
    let mut client = connect(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    client.say(respmod("") + "2\r\nab\r\n").await;
    let start = Instant::now();
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "ab");
    assert_eq!(after(start), 30);
}

#[tokio::test(start_paused = true)]
async fn an_echo_that_stops_is_cut_off() {
    let mut client = connect(|_| async { Ok(Reply::unmodified()) });
    client.say(respmod("") + "2\r\nab\r\n").await;
    let start = Instant::now();
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "ab");
    assert_eq!(after(start), 30);
}

#[tokio::test(start_paused = true)]
async fn the_reader_is_told() {
    let (sender, mut errors) = mpsc::unbounded_channel();
    let mut client = connect(move |request| {
        let sender = sender.clone();
        async move {
            let (_, body) = request.into_body().await?;
            sender.send(body.collect().await.map(|_| ()).unwrap_err()).unwrap();
            // Its reply is not what counts.
            Ok(Reply::unmodified())
        }
    });
    client.say(respmod("Allow: 204\r\n") + "2\r\nab\r\n").await;
    assert_eq!(client.answer().await.status(), 408);
    assert_eq!(errors.recv().await, Some(BodyError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn the_handler_has_all_the_time_it_wants() {
    let mut client = connect(|request| async {
        let (_, preview) = request.preview().await?;
        sleep(Duration::from_secs(1000)).await;
        preview.proceed().await?.collect().await?;
        sleep(Duration::from_secs(1000)).await;
        Ok(Reply::unmodified())
    });
    client.say(respmod("Preview: 4\r\nAllow: 204\r\n") + "4\r\nabcd\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 100);
    client.say(LAST).await;
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_dropped() {
    let (sender, mut done) = mpsc::unbounded_channel::<()>();
    let server = server(|_| async {
        let page = HttpHead::response(200, "OK", [("X", "y")])?;
        Ok(Reply::respond(page, Bytes::from(vec![0; 1_000_000])))
    });
    let (mut client, far) = tokio::io::duplex(1000);
    tokio::spawn(async move {
        server.serve_connection(far, None).await;
        drop(sender);
    });
    client.write_all(reqmod_get("").as_bytes()).await.unwrap();
    let start = Instant::now();
    assert_eq!(done.recv().await, None);
    assert_eq!(after(start), 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_little_is_not() {
    let server = server(|_| async {
        let page = HttpHead::response(200, "OK", [("X", "y")])?;
        Ok(Reply::respond(page, Bytes::from(vec![0; 10_000])))
    });
    let (mut client, far) = tokio::io::duplex(1000);
    tokio::spawn(async move { server.serve_connection(far, None).await });
    client.write_all(reqmod_get("Connection: close\r\n").as_bytes()).await.unwrap();
    let mut taken = 0;
    let mut part = [0; 1000];
    loop {
        match client.read(&mut part).await.unwrap() {
            0 => break,
            read => taken += read,
        }
        sleep(Duration::from_secs(29)).await;
    }
    assert!(taken > 10_000, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_has_its_time() {
    let mut client = connect(|_| async { Ok(Reply::unmodified()) });
    client.say(respmod("Allow: 204\r\n")).await;
    assert_eq!(client.answer().await.status(), 204);
    let start = Instant::now();
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        client.say("1\r\nx\r\n").await;
    }
    assert!(client.is_closed().await);
    assert_eq!(after(start), 5);
}

#[tokio::test(start_paused = true)]
async fn all_times_can_be_set() {
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::MAX;
    timeouts.head = Duration::from_secs(1);
    timeouts.body = Duration::from_secs(2);
    let mut client = connect_to(reading().timeouts(timeouts));
    sleep(Duration::from_secs(1_000_000)).await;
    let start = Instant::now();
    client.say("REQ").await;
    assert_eq!((client.answer().await.status(), after(start)), (408, 1));
    let mut client = connect_to(reading().timeouts(timeouts));
    let start = Instant::now();
    client.say(respmod("")).await;
    assert_eq!((client.answer().await.status(), after(start)), (408, 2));
}
