//! A handler that panics, hangs, or drops what it was given costs its own transaction, and nothing stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap_proto::{HttpHead, ServiceOptions};
use icap_server::{BodyError, Error, Reply, Request, Server, Service, ServiceConfig};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::support::*;

/// What the query says.
async fn handle(request: Request) -> Result<Reply, Error> {
    let query = request.head().uri().query().unwrap_or_default().to_owned();
    let page = || HttpHead::response(403, "Forbidden", [("X", "y")]);
    match query.as_str() {
        "panic" => panic!("a test panics"),
        "hang" => std::future::pending().await,
        "drop" => return Ok(Reply::respond(page()?, "dropped")),
        _ => {}
    }
    let (head, mut body) = request.into_body().await?;
    let first = body.frame().await.transpose()?;
    match query.as_str() {
        "panic-later" => panic!("a test panics in the middle of a body"),
        "hang-later" => std::future::pending().await,
        "drop-later" => return Ok(Reply::respond(page()?, "dropped")),
        // An answer that never comes to its end, and one that panics there.
        "hang-last" => return Ok(Reply::respond(page()?, polled(|_| std::task::Poll::Pending))),
        "panic-last" => return Ok(Reply::respond(page()?, polled(|_| panic!("a test panics")))),
        _ => {}
    }
    let rest = body.collect().await?.to_bytes();
    let first = first.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
    let head = head.http_response().ok_or("no response")?.clone();
    Ok(Reply::modified(head, Bytes::from([first, rest].concat())))
}

fn ask(query: &str) -> Vec<u8> {
    let head = respmod("").replace("/x", &format!("/x?{query}"));
    [head.into_bytes(), chunk("first"), chunk("last"), LAST.into()].concat()
}

/// Each fault on a connection of its own, with a good transaction before and, where the answer was whole, behind it;
/// beside them connections on which all is well. The service has places for just so many.
#[tokio::test(start_paused = true)]
async fn a_handler_costs_its_own_transaction() {
    const FAULTS: [(&str, Option<u16>); 8] = [
        ("panic", Some(500)),
        ("hang", Some(500)),
        ("drop", Some(200)),
        ("panic-later", Some(500)),
        ("hang-later", Some(500)),
        ("drop-later", Some(200)),
        ("hang-last", None),
        ("panic-last", None),
    ];
    let config = ServiceConfig::default().concurrency(FAULTS.len() + 4);
    let config = config.deadline(Duration::from_secs(10));
    let server = Server::new().service("/x", service(handle).with_config(config)).unwrap();
    let (server, handle) = (Arc::new(server), Handle::current());
    let before = handle.metrics().num_alive_tasks();
    // More rounds than there are places: one that is not given back is missed.
    for _ in 0..4 {
        let mut clients = Vec::new();
        for (query, status) in FAULTS {
            let mut client = connect_through(&server, 64 * 1024);
            client.say(ask("good")).await;
            assert_eq!(client.answer().await.body, "firstlast");
            client.say(ask(query)).await;
            clients.push((client, query, status));
        }
        for _ in 0..3 {
            let mut good = connect_through(&server, 64 * 1024);
            good.say(ask("good")).await;
            assert_eq!(good.answer().await.body, "firstlast");
        }
        for (mut client, query, status) in clients {
            let Some(status) = status else {
                assert_eq!(client.head().await.status().as_u16(), 200);
                assert_eq!(client.body().await.unwrap_err(), "", "{query}");
                assert!(client.is_closed().await);
                continue;
            };
            let answer = client.answer().await;
            assert_eq!(answer.status(), status, "{query}");
            if !answer.head.close() {
                client.say(ask("good")).await;
                assert_eq!(client.answer().await.body, "firstlast", "{query}");
            }
        }
    }
    while handle.metrics().num_alive_tasks() > before {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((server.handle().connections(), server.handle().in_flight()), (0, 0));
}

/// Whoever still holds the body of a call that is over learns it, and no task waits for ever.
#[tokio::test(start_paused = true)]
async fn the_reader_of_a_call_that_panics_is_told() {
    let (sender, mut errors) = tokio::sync::mpsc::unbounded_channel();
    let mut client = connect(move |request| {
        let sender = sender.clone();
        async move {
            let (_, mut body) = request.into_body().await?;
            assert_eq!(body.frame().await.unwrap()?.into_data().unwrap(), "first");
            tokio::spawn(async move { sender.send(body.frame().await.unwrap().unwrap_err()) });
            panic!("a test panics")
        }
    });
    client.say(respmod("")).await;
    client.say(chunk("first")).await;
    assert_eq!(client.answer().await.status(), 500);
    assert_eq!(errors.recv().await, Some(BodyError::Answered));
}

/// A closure may panic before there is a future.
#[tokio::test]
async fn a_call_that_gives_no_future_costs_one_transaction() {
    let mut client = connect(|request: Request| {
        assert!(request.head().uri().query().is_none(), "a test panics");
        async { Ok(Reply::unmodified()) }
    });
    for (path, status) in [("/x ", 204), ("/x?bad ", 500), ("/x ", 204)] {
        client.say(reqmod_get("Allow: 204\r\n").replace("/x ", path)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false));
    }
}

/// Options are asked for with every request, and may fail like a call.
#[tokio::test]
async fn options_that_panic_cost_one_transaction() {
    struct Moody(Arc<AtomicBool>);
    impl Service for Moody {
        fn options(&self) -> ServiceOptions {
            assert!(!self.0.load(Ordering::SeqCst), "a test panics");
            options()
        }
        async fn call(&self, _: Request) -> Result<Reply, Error> {
            Ok(Reply::unmodified())
        }
    }
    let is_bad = Arc::new(AtomicBool::new(false));
    let mut client = connect_to(Server::new().service("/x", Moody(is_bad.clone())).unwrap());
    for (bad, status) in [(false, 204), (true, 500), (false, 204)] {
        is_bad.store(bad, Ordering::SeqCst);
        client.say(reqmod_get("Allow: 204\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false));
    }
}
