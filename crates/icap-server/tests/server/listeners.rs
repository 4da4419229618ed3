//! Where connections come from, and which are let in.

use std::time::Duration;

use icap_server::{AllowList, Listener, Reply, Server};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::stopping::Running;
use crate::support::*;

fn pass() -> Server {
    server(|request| async move {
        let peer = request.peer_addr().map(|peer| peer.ip().to_string());
        Ok(Reply::unmodified().header("X-Peer", peer.as_deref().unwrap_or("none"))?)
    })
}

/// One request; the peer that the service saw.
async fn ask<IO>(client: &mut Client<IO>) -> String
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    client.say(reqmod_get("Allow: 204\r\n")).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 204);
    answer.field("X-Peer").unwrap().into()
}

/// A connection from this address of the loopback network.
#[cfg(target_os = "linux")]
async fn connect_from(source: &str, running: &Running) -> Client<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    Client::new(socket.connect(running.addr).await.unwrap())
}

#[tokio::test]
async fn several_listeners() {
    let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    passed.set_nonblocking(true).unwrap();
    let addr = passed.local_addr().unwrap();
    let server = pass()
        .listen(Listener::bind("127.0.0.1:0").await.unwrap())
        .listen(TcpListener::from_std(passed).unwrap());
    let running = Running::start(server);
    assert_ne!(running.addr, addr);
    for _ in 0..3 {
        for addr in [running.addr, addr] {
            let mut client = Client::new(TcpStream::connect(addr).await.unwrap());
            assert_eq!(ask(&mut client).await, "127.0.0.1");
        }
    }
    let first = running.addr;
    running.stop().await;
    for addr in [first, addr] {
        assert!(TcpStream::connect(addr).await.is_err());
    }
}

#[tokio::test]
async fn a_server_without_a_listener_cannot_serve() {
    assert_eq!(pass().serve().await.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    assert!(pass().local_addr().is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket() {
    let path = std::env::temp_dir().join(format!("icap-server-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    // Addresses do not matter here.
    let server = pass()
        .listen(tokio::net::UnixListener::bind(&path).unwrap())
        .listen(Listener::bind("127.0.0.1:0").await.unwrap())
        .allow(AllowList::default())
        .max_connections_per_address(0);
    let running = Running::start(server);
    for _ in 0..2 {
        let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        assert_eq!(ask(&mut Client::new(stream)).await, "none");
    }
    running.stop().await;
    std::fs::remove_file(&path).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn only_allowed_sources_are_served() {
    let list: AllowList = "127.0.1.0/24".parse().unwrap();
    let server = pass().listen(Listener::bind("127.0.0.1:0").await.unwrap()).allow(list.clone());
    let handle = server.handle();
    let running = Running::start(server);
    let mut allowed = connect_from("127.0.1.255", &running).await;
    assert_eq!(ask(&mut allowed).await, "127.0.1.255");
    for source in ["127.0.0.1", "127.0.2.0"] {
        let mut refused = connect_from(source, &running).await;
        assert!(refused.is_closed().await, "{source}");
    }
    assert_eq!(handle.connections(), 1);
    // What is open stays; what comes is held to the new list.
    list.replace("127.0.2.0".parse().unwrap());
    assert_eq!(ask(&mut allowed).await, "127.0.1.255");
    assert_eq!(ask(&mut connect_from("127.0.2.0", &running).await).await, "127.0.2.0");
    assert!(connect_from("127.0.1.255", &running).await.is_closed().await);
    running.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_has_so_many_connections() {
    let server = pass().listen(Listener::bind("127.0.0.1:0").await.unwrap());
    let server = server.max_connections_per_address(2);
    let handle = server.handle();
    let running = Running::start(server);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = connect_from("127.0.0.2", &running).await;
        ask(&mut client).await;
        held.push(client);
    }
    for _ in 0..2 {
        let mut third = connect_from("127.0.0.2", &running).await;
        let refusal = third.answer().await;
        assert_eq!((refusal.status(), refusal.head.close()), (503, true));
    }
    // Another address has its own, one after the other as many as it likes.
    for _ in 0..3 {
        ask(&mut connect_from("127.0.0.3", &running).await).await;
        while handle.connections() > 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    held.pop();
    while handle.connections() > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ask(&mut connect_from("127.0.0.2", &running).await).await;
    running.stop().await;
}

/// However many come beyond the limit, and at once, each is told.
#[tokio::test]
async fn nobody_is_refused_in_silence() {
    for places in 0..3 {
        let server = pass().listen(Listener::bind("127.0.0.1:0").await.unwrap());
        let addr = server.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..400 {
            clients.push(Client::new(TcpStream::connect(addr).await.unwrap()));
        }
        let running = Running::start(server.max_connections(places));
        for client in &mut clients[places..] {
            assert_eq!(client.answer().await.status(), 503);
        }
        running.stop().await;
    }
}

/// Run by the test below in a process of its own, which may open few files.
#[tokio::test]
#[ignore = "needs a process with few file descriptors"]
async fn with_few_descriptors() {
    let running = Running::start(pass().listen(Listener::bind("127.0.0.1:0").await.unwrap()));
    let mut kept = running.connect().await;
    ask(&mut kept).await;
    let mut clients = Vec::new();
    while let Ok(stream) = TcpStream::connect(running.addr).await {
        clients.push(stream);
        tokio::task::yield_now().await;
    }
    assert!(clients.len() > 3, "{}", clients.len());
    // Those that are there are served, and those that come when there is room again.
    ask(&mut kept).await;
    clients.clear();
    let mut late = loop {
        match TcpStream::connect(running.addr).await {
            Ok(stream) => break Client::new(stream),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    ask(&mut late).await;
    drop((kept, late));
    running.stop().await;
    println!("survived");
}

#[cfg(target_os = "linux")]
#[test]
fn a_lack_of_descriptors_is_survived() {
    let run =
        "ulimit -n 30 && exec \"$0\" --exact listeners::with_few_descriptors --ignored --nocapture";
    let output = std::process::Command::new("sh")
        .args(["-c", run])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("survived"), "{output:?}");
}
