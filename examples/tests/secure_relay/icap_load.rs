//! Mode `icap` with our own client and server at its ends: large bodies, servers that die, reloads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use icap::client::{Client, Outcome, Reqmod, Respmod, Tls};
use icap::proto::{HttpHead, Method, ServiceOptions};
use icap::server::{Listener, ServerHandle};
use icap::{Reply, Request, Server, server};
use tokio::net::TcpStream;

use crate::pki::{Authority, Pair, connect, provider, write_private};
use crate::program::{Program, directory, icap};

/// A server that allows all it sees the beginning of at `/allow` and gives back all at `/echo`.
async fn back() -> (SocketAddr, ServerHandle, tokio::task::JoinHandle<()>) {
    back_at(Listener::bind("127.0.0.1:0").await.unwrap())
}

fn back_at(listener: Listener) -> (SocketAddr, ServerHandle, tokio::task::JoinHandle<()>) {
    let options = || ServiceOptions::reqmod("back").unwrap().method(Method::Respmod).preview(4096);
    let allow = server::service_fn(options(), |request: Request| async move {
        let (_, _preview) = request.preview().await?;
        Ok(Reply::unmodified())
    });
    let echo = server::service_fn(options(), |request: Request| async move {
        let (head, body) = request.into_body().await?;
        let Some(http) = head.adapted_head().cloned() else { return Ok(Reply::unmodified()) };
        Ok(Reply::modified(http, body))
    });
    let address = listener.local_addr().unwrap();
    let server = Server::new().listen(listener);
    let server = server.service("/allow", allow).unwrap().service("/echo", echo).unwrap();
    let handle = server.handle();
    let serving = tokio::spawn(async move { server.serve().await.unwrap() });
    (address, handle, serving)
}

fn head() -> HttpHead {
    HttpHead::request("POST", "http://a/up", [("Host", "a")]).unwrap()
}

#[tokio::test]
async fn large_bodies_come_back_byte_for_byte() {
    const PIECE: usize = 64 * 1024;
    const PIECES: u64 = 1024;
    let (address, _handle, _serving) = back().await;
    let config = icap(&[address], "identity = 'relay.pem'").replace("plain-listen", "listen");
    let program = Program::start(directory(), &config).await;
    let pem = std::fs::read(program.path("relay.pem")).unwrap();
    let tls = Tls::new()
        .crypto_provider(icap_client::rustls::crypto::ring::default_provider().into())
        .roots_pem(pem)
        .server_name("relay.test");
    let client = Client::builder(format!("icaps://{}/echo", program.address).as_str()).tls(tls);
    let client = client.build().unwrap();
    let piece = |number: u64| Bytes::from(number.to_le_bytes().repeat(PIECE / 8));
    let pieces = (0..PIECES)
        .map(move |number| Ok::<_, std::io::Error>(http_body::Frame::data(piece(number))));
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let response = HttpHead::response(200, "OK", [("Content-Type", "a/b")]).unwrap();
    let message = Respmod::new(response, body).request(head());
    let Outcome::Modified(mut echoed) = client.respmod(message).await.unwrap() else {
        panic!("not modified");
    };
    let (mut at, mut whole) = (0u64, true);
    while let Some(frame) = echoed.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        for byte in data {
            whole &= byte == ((at / PIECE as u64).to_le_bytes()[(at % 8) as usize]);
            at += 1;
        }
    }
    assert!(whole && at == PIECES * PIECE as u64, "{at} bytes");
    // Whatever the size.
    let memory = resident(program.id());
    assert!(memory < 40 * 1024, "{memory} KiB");
}

/// The server wants a certificate of the relay, too.
#[tokio::test]
async fn icaps_servers_are_reached_by_tls_and_verified() {
    let (dlp, relays) = (Pair::self_signed("dlp.test"), Authority::new("relays"));
    let tls = server::Tls::new()
        .crypto_provider(provider())
        .identity_parts(dlp.certificate.as_str(), dlp.key.as_str())
        .client_roots_pem(relays.pem.as_str());
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let (address, _handle, _serving) = back_at(listener.tls(tls.acceptor().unwrap()));
    let directory = directory();
    std::fs::write(directory.path().join("dlp.pem"), &dlp.certificate).unwrap();
    let own = relays.issue();
    write_private(directory.path(), "own.pem", &format!("{}{}", own.certificate, own.key));
    let config = |name: &str, identity: &str| {
        let upstream = format!("upstream = [{{ uri = 'icaps://{address}', tls-name = '{name}' }}]");
        icap(&[], &format!("upstream-ca = 'dlp.pem'\n{identity}"))
            .replace("upstream = []", &upstream)
    };
    let identity = "upstream-identity = 'own.pem'";
    let mut program = Program::start(directory, &config("dlp.test", identity)).await;
    let client = Client::builder(format!("icap://{}/echo", program.address).as_str());
    let client = client.negotiate(false).build().unwrap();
    let body = || Full::new(Bytes::from(vec![b'x'; 300_000]));
    let Outcome::Modified(echoed) = client.reqmod(Reqmod::new(head(), body())).await.unwrap()
    else {
        panic!("not modified");
    };
    assert_eq!(echoed.collect().await.unwrap().to_bytes(), vec![b'x'; 300_000]);
    assert_eq!(program.says("transaction complete").await["status"], 200);

    for (name, identity) in [("other.test", identity), ("dlp.test", "")] {
        program.rewrite(&config(name, identity));
        program.signal("-HUP");
        program.says("reloaded").await;
        let failure = client.reqmod(Reqmod::new(head(), body())).await.unwrap_err();
        assert!(failure.to_string().contains("502"), "{failure}");
        program.says("no answer of a server").await;
    }
}

/// KiB of memory of a process.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_idle_connection_costs_little() {
    const CONNECTIONS: u64 = 200;
    let (address, _handle, _serving) = back().await;
    let config = icap(&[address], "identity = 'relay.pem'").replace("plain-listen", "listen");
    let program = Program::start(directory(), &config).await;
    let mut open = vec![connect(program.address, None).await.unwrap()];
    let before = resident(program.id());
    for _ in 0..CONNECTIONS {
        open.push(connect(program.address, None).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let each = resident(program.id()).saturating_sub(before) / CONNECTIONS;
    assert!(each < 64, "{each} KiB a connection");
}

/// Sends messages until it is told to stop; how many were sent.
struct Load {
    stop: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
    sent: Arc<AtomicU64>,
}

impl Load {
    /// 200 a second by four senders.
    fn start(relay: SocketAddr) -> Self {
        let client = Client::builder(format!("icap://{relay}/allow").as_str()).preview(4096);
        let client = client.build().unwrap();
        let (stop, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..4).map(|_| {
            let (client, stop, sent) = (client.clone(), Arc::clone(&stop), Arc::clone(&sent));
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                while stop.load(Ordering::Relaxed) == 0 {
                    ticks.tick().await;
                    let body = Full::new(Bytes::from(vec![b'x'; 8192]));
                    match client.reqmod(Reqmod::new(head(), body)).await {
                        Ok(Outcome::Unmodified(_)) => {}
                        Ok(outcome) => failures.push(format!("{outcome:?}")),
                        Err(failure) => failures.push(failure.to_string()),
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        Self { tasks: tasks.collect(), stop, sent }
    }

    /// Waits for so many more.
    async fn more(&self, messages: u64) {
        let (goal, began) = (self.sent.load(Ordering::Relaxed) + messages, Instant::now());
        while self.sent.load(Ordering::Relaxed) < goal {
            assert!(began.elapsed() < Duration::from_secs(60), "the load stands still");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) -> Vec<String> {
        self.stop.store(1, Ordering::Relaxed);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.unwrap());
        }
        failures
    }
}

#[tokio::test]
async fn a_server_that_is_killed_under_load_costs_no_transaction() {
    let (first, _, serving) = back().await;
    let (second, ..) = back().await;
    let config = icap(&[first, second], "balance = 'round-robin'");
    let config = config.replace("health-interval = 0", "health-interval = 1");
    let mut program =
        Program::start(directory(), &format!("admin = '127.0.0.1:0'\n{config}")).await;
    let load = Load::start(program.address);
    load.more(100).await;
    serving.abort();
    load.more(200).await;
    program.says("suspended").await;
    let (_, health) = program.admin("/health").await;
    assert!(health.contains("false"), "{health}");
    // It comes back at the same address.
    let options = ServiceOptions::reqmod("back").unwrap().preview(4096);
    let allow = server::service_fn(options, |request: Request| async move {
        let (_, _preview) = request.preview().await?;
        Ok(Reply::unmodified())
    });
    let revived = Server::bind(first).await.unwrap().service("/allow", allow).unwrap();
    let handle = revived.handle();
    tokio::spawn(async move { revived.serve().await.unwrap() });
    let began = Instant::now();
    while handle.connections() == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "nobody came back");
        load.more(20).await;
    }
    assert_eq!(load.end().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_reload_under_load_loses_nothing_and_moves_all() {
    let (first, one, _) = back().await;
    let (second, two, _) = back().await;
    let mut program = Program::start(directory(), &icap(&[first], "")).await;
    let load = Load::start(program.address);
    load.more(50).await;
    assert_eq!(two.connections(), 0);
    for upstream in [second, first, second] {
        program.rewrite(&icap(&[upstream], ""));
        program.signal("-HUP");
        program.says("reloaded").await;
        load.more(30).await;
    }
    // On connections of the client that are open all the time.
    assert!(two.connections() > 0);
    let began = Instant::now();
    while one.connections() > 0 && began.elapsed() < Duration::from_secs(5) {
        load.more(10).await;
    }
    assert_eq!(one.connections(), 0);
    assert_eq!(load.end().await, Vec::<String>::new());
    drop(TcpStream::connect(program.address).await.unwrap());
}
