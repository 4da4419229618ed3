//! Accepting, refusing and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use icap_server::{Reply, Server, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::support::*;

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn start(server: Server) -> Self {
        let addr = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.serve_until(async { stopped.await.unwrap() }));
        Self { addr, stop, ended }
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.addr).await.unwrap())
    }

    /// Stops the server and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

/// A server whose handler waits to be released.
async fn gated(gate: &Arc<Notify>, entered: &Arc<AtomicUsize>) -> Server {
    let (gate, entered) = (Arc::clone(gate), Arc::clone(entered));
    let wait = service(move |request| {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        async move {
            entered.fetch_add(1, Ordering::SeqCst);
            gate.notified().await;
            drop(request);
            Ok(Reply::unmodified())
        }
    });
    let pass = service(|_| async { Ok(Reply::unmodified()) });
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    server.service("/x", wait).unwrap().service("/pass", pass).unwrap()
}

#[tokio::test]
async fn a_stop_loses_no_transaction() {
    let (gate, entered) = (Arc::default(), Arc::default());
    let running = Running::start(gated(&gate, &entered).await);
    let mut idle = running.connect().await;
    idle.say(reqmod_get("Allow: 204\r\n").replace("/x", "/pass")).await;
    assert!(!idle.answer().await.head.close());
    let mut fresh = running.connect().await;
    let mut busy = Vec::new();
    for _ in 0..20 {
        let mut client = running.connect().await;
        client.say(reqmod_get("Allow: 204\r\n")).await;
        busy.push(client);
    }
    while entered.load(Ordering::SeqCst) < 20 {
        tokio::task::yield_now().await;
    }
    let addr = running.addr;
    let stopped = tokio::spawn(running.stop());
    assert!(idle.is_closed().await);
    assert!(fresh.is_closed().await);
    assert!(TcpStream::connect(addr).await.is_err());
    assert!(!stopped.is_finished());
    for _ in 0..20 {
        gate.notify_one();
    }
    for client in &mut busy {
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (204, true));
        assert!(client.is_closed().await);
    }
    stopped.await.unwrap();
}

/// A thousand, half of them in the middle of their bodies, none lost and none cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_a_thousand_transactions() {
    let pass = service(|request| async {
        let (head, body) = request.into_body().await?;
        Ok(Reply::modified(head.http_response().unwrap().clone(), body))
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap().service("/x", pass).unwrap();
    let handle = server.handle();
    let running = Running::start(server);
    let mut clients = Vec::new();
    for number in 0..1000 {
        let mut client = running.connect().await;
        client.say(respmod("")).await;
        if number % 2 == 0 {
            client.say(chunk("first")).await;
        }
        clients.push(client);
    }
    while handle.in_flight() < 1000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(handle.connections(), 1000);
    let addr = running.addr;
    handle.stop();
    let stopped = tokio::spawn(running.ended);
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        client.say([chunk("last"), LAST.into()].concat()).await;
        let answer = client.answer().await;
        assert_eq!(answer.body, if number % 2 == 0 { "firstlast" } else { "last" });
        assert!(client.is_closed().await);
    }
    stopped.await.unwrap().unwrap().unwrap();
    assert_eq!((handle.connections(), handle.in_flight()), (0, 0));
}

#[tokio::test]
async fn a_handle_stops_connections_from_elsewhere_too() {
    let server = Arc::new(server(|_| async { Ok(Reply::unmodified()) }));
    let handle = server.handle();
    let mut client = connect_through(&server, 10_000);
    client.say(reqmod_get("Allow: 204\r\n")).await;
    assert_eq!(client.answer().await.status(), 204);
    assert_eq!((handle.connections(), handle.in_flight()), (1, 0));
    handle.stop();
    assert!(client.is_closed().await);
    while handle.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_answers_what_it_took() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pass = service(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::task::yield_now().await;
            Ok(Reply::unmodified())
        }
    });
    let server = Server::bind("127.0.0.1:0").await.unwrap().service("/x", pass).unwrap();
    let running = Running::start(server);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let addr = running.addr;
            tokio::spawn(async move {
                let mut io = TcpStream::connect(addr).await.unwrap();
                let mut answered = 0;
                let request = reqmod_get("Allow: 204\r\n");
                let mut answer = [0; 200];
                // A request may cross the end of an idle connection: then it was not taken.
                while io.write_all(request.as_bytes()).await.is_ok() {
                    let Ok(length @ 1..) = io.read(&mut answer).await else { break };
                    let answer = &answer[..length];
                    assert!(answer.starts_with(b"ICAP/1.0 204 ") && answer.ends_with(b"\r\n\r\n"));
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop().await;
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert_eq!(answered, taken.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_stop_has_its_time() {
    let (gate, entered) = (Arc::default(), Arc::default());
    let mut timeouts = Timeouts::default();
    timeouts.shutdown = Duration::from_millis(100);
    let running = Running::start(gated(&gate, &entered).await.timeouts(timeouts));
    let mut client = running.connect().await;
    client.say(reqmod_get("Allow: 204\r\n")).await;
    while entered.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn connections_have_a_limit() {
    let (gate, entered) = (Arc::default(), Arc::default());
    let running = Running::start(gated(&gate, &entered).await.max_connections(2));
    let mut clients = [running.connect().await, running.connect().await];
    for client in &mut clients {
        client.say(reqmod_get("Allow: 204\r\n").replace("/x", "/pass")).await;
        assert_eq!(client.answer().await.status(), 204);
    }
    let mut third = running.connect().await;
    third.say(reqmod_get("Allow: 204\r\n").replace("/x", "/pass")).await;
    let refusal = third.answer().await;
    assert_eq!((refusal.status(), refusal.head.close()), (503, true));
    assert!(third.is_closed().await);
    // Those who are refused and do not go away take nobody's place.
    let mut lingering = Vec::new();
    for _ in 0..10 {
        let mut client = running.connect().await;
        assert_eq!(client.answer().await.status(), 503);
        lingering.push(client);
    }
    drop(clients);
    loop {
        let mut client = running.connect().await;
        client.say(reqmod_get("Allow: 204\r\n").replace("/x", "/pass")).await;
        match client.answer().await.status() {
            204 => break,
            status => assert_eq!(status, 503),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_is_dropped_drops_its_connections() {
    let (gate, entered) = (Arc::default(), Arc::default());
    let running = Running::start(gated(&gate, &entered).await);
    let mut client = running.connect().await;
    client.say(reqmod_get("Allow: 204\r\n")).await;
    while entered.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    running.ended.abort();
    assert!(client.is_closed().await);
}
