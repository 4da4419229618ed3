//! The terms of a service: how many at a time, how long, on which messages; methods and bodies beyond RFC 3507.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::{HttpHead, Method, ServiceOptions};
use icap_server::{Reply, ReplyBody, Server, Service, ServiceConfig, Timeouts, service_fn};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use crate::support::*;

fn log() -> Method {
    Method::from_bytes(b"LOG").unwrap()
}

fn log_request() -> String {
    "LOG icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n".into()
}

#[tokio::test(start_paused = true)]
async fn a_service_takes_so_many_at_a_time() {
    let gate = Arc::new(Semaphore::new(0));
    let entrance = Arc::clone(&gate);
    let waiting = service(move |_| {
        let gate = Arc::clone(&entrance);
        async move {
            gate.acquire().await?.forget();
            Ok(Reply::unmodified())
        }
    });
    let waiting = waiting.with_config(ServiceConfig::default().concurrency(2));
    let server = Arc::new(Server::new().service("/x", waiting).unwrap());
    let mut clients = [0; 3].map(|_| connect_through(&server, 1 << 16));
    for client in &mut clients {
        client.say(respmod("Preview: 0\r\n") + LAST).await;
        tokio::task::yield_now().await;
    }
    let answer = clients[2].answer().await;
    assert_eq!((answer.status(), answer.head.close()), (503, false));
    assert!(clients[0].is_silent().await && clients[1].is_silent().await);
    // A place that is given back is taken again, also that of a client that goes away.
    gate.add_permits(1);
    assert_eq!(clients[0].answer().await.status(), 204);
    gate.add_permits(2);
    clients[2].say(respmod("Preview: 0\r\n") + LAST).await;
    assert_eq!(clients[2].answer().await.status(), 204);
    assert_eq!(clients[1].answer().await.status(), 204);
}

fn hurried(seconds: u64) -> ServiceConfig {
    ServiceConfig::default().deadline(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_costs_one_request() {
    let service = service(|request| async move {
        let (_, preview) = request.preview().await?;
        let seconds = std::str::from_utf8(preview.bytes())?.parse()?;
        sleep(Duration::from_secs(seconds)).await;
        Ok(Reply::unmodified())
    });
    let server = Server::new().service("/x", service.with_config(hurried(10))).unwrap();
    let mut client = connect_to(server);
    for (seconds, status, takes) in [(9, 204, 9), (11, 500, 10), (9999, 500, 10), (9, 204, 9)] {
        let start = Instant::now();
        client.say(respmod("Preview: 4\r\n").into_bytes()).await;
        client.say(chunk(seconds.to_string())).await;
        client.say(LAST).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false));
        assert_eq!(start.elapsed().as_secs(), takes);
    }
}

/// The runtime lets a task do so much at a time and then holds its timers back: the deadline is set all the same.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_busy_before_it_hangs() {
    let service = service(|_| async move {
        for _ in 0..130 {
            tokio::task::consume_budget().await;
        }
        std::future::pending().await
    });
    let server = Server::new().service("/x", service.with_config(hurried(10))).unwrap();
    let mut client = connect_to(server);
    let start = Instant::now();
    client.say(respmod("Preview: 4\r\n") + "1\r\nx\r\n0\r\n\r\n").await;
    let answer = tokio::time::timeout(Duration::from_secs(60), client.answer()).await;
    assert_eq!((answer.expect("an answer").status(), start.elapsed().as_secs()), (500, 10));
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_client_are_not_the_services() {
    let service = service(|request| async move {
        let (_, mut body) = request.into_body().await?;
        while let Some(frame) = body.frame().await {
            frame?;
            sleep(Duration::from_secs(9)).await;
        }
        Ok(Reply::unmodified())
    });
    let server = Server::new().service("/x", service.with_config(hurried(10))).unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.body_rate = 0;
    let mut client = connect_to(server.timeouts(timeouts));
    client.say(respmod("Allow: 204\r\n")).await;
    for _ in 0..9 {
        sleep(Duration::from_secs(29)).await;
        client.say(chunk("x")).await;
    }
    client.say(LAST).await;
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_hangs_is_cut_off() {
    let service = service(|_| async {
        let mut words = vec![Bytes::from("word")];
        let body = polled(move |_| match words.pop() {
            Some(word) => std::task::Poll::Ready(Some(word)),
            None => std::task::Poll::Pending,
        });
        Ok(Reply::respond(HttpHead::response(403, "Forbidden", [("X", "y")])?, body))
    });
    let server = Server::new().service("/x", service.with_config(hurried(10))).unwrap();
    let mut client = connect_to(server);
    let start = Instant::now();
    client.say(reqmod_get("")).await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    assert_eq!(client.body().await.unwrap_err(), "word");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_nobody_reads_is_no_step_of_the_service() {
    let service = service(|_| async {
        let page = HttpHead::response(403, "Forbidden", [("X", "y")])?;
        Ok(Reply::respond(page, polled(|_| std::task::Poll::Pending)))
    });
    let server = Server::new().service("/x", service.with_config(hurried(10))).unwrap();
    let mut client = connect_to(server);
    let start = Instant::now();
    client.say(respmod("")).await;
    assert_eq!(client.head().await.status().as_u16(), 200);
    for _ in 0..2 {
        sleep(Duration::from_secs(4)).await;
        client.say(chunk("x")).await;
    }
    assert_eq!(client.body().await.unwrap_err(), "");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn each_step_of_an_answer_has_its_time() {
    use futures_util::StreamExt;

    let service = service(|_| async {
        let words = futures_util::stream::iter(["one ", "two ", "three"]).then(|word| async move {
            sleep(Duration::from_secs(9)).await;
            Ok::<_, std::io::Error>(Bytes::from(word))
        });
        let page = HttpHead::response(403, "Forbidden", [("X", "y")])?;
        Ok(Reply::respond(page, ReplyBody::from_stream(words)))
    });
    let server = Server::new().service("/x", service.with_config(hurried(10))).unwrap();
    let mut client = connect_to(server);
    client.say(reqmod_get("")).await;
    assert_eq!(client.answer().await.body, "one two three");
}

#[tokio::test]
async fn messages_without_the_parts_that_are_needed_are_418() {
    let whole = format!(
        "RESPMOD icap://s/x ICAP/1.0\r\nHost: s\r\nPreview: 0\r\nEncapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\r\n{GET}{PAGE}{LAST}",
        GET.len(),
        GET.len() + PAGE.len(),
    );
    let no_request = respmod("Preview: 0\r\n") + LAST;
    let no_response = format!(
        "RESPMOD icap://s/x ICAP/1.0\r\nHost: s\r\nPreview: 0\r\nEncapsulated: req-hdr=0, res-body={}\r\n\r\n{GET}{LAST}",
        GET.len(),
    );
    let reqmod = reqmod("Preview: 0\r\n") + LAST;
    let none = ServiceConfig::default();
    let request = none.clone().needs_http_request();
    let response = none.clone().needs_http_response();
    for (config, statuses) in [
        (none, [204, 204, 204, 204]),
        (request.clone(), [204, 418, 204, 204]),
        (response, [204, 204, 418, 204]),
        (request.needs_http_response(), [204, 418, 418, 204]),
    ] {
        let service = service(|_| async { Ok(Reply::unmodified()) }).with_config(config);
        let mut client = connect_to(Server::new().service("/x", service).unwrap());
        for (message, status) in [&whole, &no_request, &no_response, &reqmod].iter().zip(statuses) {
            client.say(message).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.head.close()), (status, false), "{message}");
        }
    }
}

#[tokio::test]
async fn a_method_of_ones_own() {
    let (sender, mut methods) = mpsc::unbounded_channel();
    let service = service_fn(options().method(log()), move |request| {
        sender.send(request.head().method().clone()).unwrap();
        async move {
            // What looks like a preview is none: only REQMOD and RESPMOD have one.
            let (_, preview) = request.preview().await?;
            assert!(preview.bytes().is_empty());
            Ok(Reply::unmodified())
        }
    });
    let mut client = connect_to(Server::new().service("/x", service).unwrap());
    for (fields, status) in [("", 200), ("Allow: 204\r\n", 204), ("Preview: 0\r\n", 200)] {
        client.say(log_request().replace("\r\n\r\n", &format!("\r\n{fields}\r\n"))).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.has_body()), (status, false), "{fields}");
        assert_eq!(methods.recv().await, Some(log()));
    }
    // Known to one service is not known to all.
    for path in ["/x", "/none"] {
        client.say(log_request().replace("LOG", "FROB").replace("/x", path)).await;
        assert_eq!(client.answer().await.status(), 501);
    }
}

#[tokio::test]
async fn one_way_requests_are_not_answered() {
    let (sender, mut calls) = mpsc::unbounded_channel();
    let service = service_fn(options().method(log()), move |request| {
        let sender = sender.clone();
        async move {
            if *request.head().method() != log() {
                return Ok(Reply::unmodified());
            }
            let (head, body) = request.into_body().await?;
            let body = body.collect().await?.to_bytes();
            sender.send(body.clone())?;
            match head.headers().get("X-Do") {
                Some(b"fail") => Err("a test fails".into()),
                Some(b"panic") => panic!("a test panics"),
                Some(b"answer") => {
                    Ok(Reply::respond(HttpHead::response(200, "OK", [("X", "y")])?, "x"))
                }
                _ => Ok(Reply::unmodified()),
            }
        }
    });
    let config = ServiceConfig::default().one_way(log()).one_way(Method::Reqmod);
    let mut client = connect_to(Server::new().service("/x", service.with_config(config)).unwrap());
    for what in ["pass", "fail", "panic", "answer"] {
        let log = log_request().replace("Host: s\r\n", &format!("Host: s\r\nX-Do: {what}\r\n"));
        client.say(log + &reqmod_get("Allow: 204\r\n")).await;
        assert_eq!(client.answer().await.status(), 204, "{what}");
        assert_eq!(calls.recv().await, Some(Bytes::new()));
        assert!(client.is_silent().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_service_says_nothing_to_one_way_requests() {
    let config = ServiceConfig::default().one_way(log()).concurrency(0);
    let service = service_fn(options().method(log()), |_| async { Ok(Reply::unmodified()) });
    let mut client = connect_to(Server::new().service("/x", service.with_config(config)).unwrap());
    client.say(log_request() + &reqmod_get("")).await;
    assert_eq!(client.answer().await.status(), 503);
    assert!(client.is_silent().await);
}

#[tokio::test]
async fn the_answer_to_options_can_have_a_body() {
    let config = ServiceConfig::default().opt_body("Attribute-List", "X-A\r\n").unwrap();
    assert!(ServiceConfig::default().opt_body("a\r\nb", "").is_err());
    let service = service(|_| async { Ok(Reply::unmodified()) }).with_config(config);
    let mut client = connect_to(Server::new().service("/x", service).unwrap());
    for _ in 0..2 {
        client.say("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.encapsulated().as_str()), (200, "opt-body=0"));
        assert_eq!(
            (answer.field("Opt-body-type"), &answer.body[..]),
            (Some("Attribute-List"), &b"X-A\r\n"[..])
        );
        assert_eq!(
            ServiceOptions::from_response(&answer.head).opt_body_type(),
            Some("Attribute-List")
        );
    }
}

#[tokio::test]
async fn one_service_at_two_places() {
    let shared = Arc::new(service(|_| async { Ok(Reply::unmodified()) }));
    let server = Server::new().service("/x", Arc::clone(&shared)).unwrap();
    let mut client = connect_to(server.service("/y", shared).unwrap());
    for path in ["/x", "/y"] {
        client.say(reqmod_get("Allow: 204\r\n").replace("/x", path)).await;
        assert_eq!(client.answer().await.status(), 204);
    }
}
