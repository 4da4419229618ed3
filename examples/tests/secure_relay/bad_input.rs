//! Clients and servers that misbehave: each has its line in the log, and no other connection notices.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::pki::connect;
use crate::program::{Program, directory, echo, echoes, nobody, rest, serve, tunnel};

/// A relay with a connection that has to outlive what the test does.
async fn relay_with_a_bystander(more: &str) -> (Program, TlsStream<TcpStream>) {
    let program = Program::start(directory(), &tunnel(&[echo().await], more)).await;
    let mut bystander = connect(program.address, None).await.unwrap();
    assert!(echoes(&mut bystander).await);
    (program, bystander)
}

#[tokio::test]
async fn plain_icap_on_the_tls_port() {
    let (mut program, mut bystander) = relay_with_a_bystander("").await;
    let mut plain = TcpStream::connect(program.address).await.unwrap();
    plain.write_all(b"OPTIONS icap://relay/ ICAP/1.0\r\n\r\n").await.unwrap();
    assert!(rest(&mut plain).await.0.is_empty());
    program.says("plain text on the TLS port").await;
    let mut garbage = TcpStream::connect(program.address).await.unwrap();
    garbage.write_all(&[22, 9, 9, 0, 1, 1]).await.unwrap();
    rest(&mut garbage).await.1.unwrap_or_default();
    program.says("TLS handshake").await;
    drop(TcpStream::connect(program.address).await.unwrap());
    program.says("closed before the TLS handshake").await;
    assert!(echoes(&mut bystander).await);
}

#[tokio::test]
async fn hellos_that_stall() {
    let (mut program, mut bystander) = relay_with_a_bystander("handshake-timeout = 1").await;
    let mut silent = TcpStream::connect(program.address).await.unwrap();
    let mut half = TcpStream::connect(program.address).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
    assert!(rest(&mut silent).await.0.is_empty());
    rest(&mut half).await.1.unwrap_or_default();
    program.says("no TLS handshake in time").await;
    program.says("no TLS handshake in time").await;
    assert!(echoes(&mut bystander).await);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_hellos_that_stall_take_the_room_of_their_source_only() {
    let more = "max-per-source = 5\nmax-connections = 6\nhandshake-timeout = 3";
    let (mut program, mut bystander) = relay_with_a_bystander(more).await;
    let mut stalled = Vec::new();
    // One too many; which of them is refused is a matter of chance.
    for _ in 0..5 {
        stalled.push(TcpStream::connect(program.address).await.unwrap());
    }
    program.says("the source has 5 connections already").await;
    assert!(echoes(&mut bystander).await);

    let elsewhere = || async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(program.address).await.unwrap()
    };
    let (_sixth, _seventh) = (elsewhere().await, elsewhere().await);
    program.says("all 6 connections are in use").await;
    // Room comes back with time.
    for _ in 0..5 {
        program.says("refused").await;
    }
    assert!(echoes(&mut connect(program.address, None).await.unwrap()).await);
    assert!(echoes(&mut bystander).await);
}

#[tokio::test]
async fn a_server_that_is_down() {
    let server = nobody().await;
    let config = format!("admin = '127.0.0.1:0'\n{}", tunnel(&[server], ""));
    let mut program = Program::start(directory(), &config).await;
    let mut stream = connect(program.address, None).await.unwrap();
    assert!(rest(&mut stream).await.0.is_empty());
    let line = program.says("closed: no upstream server").await;
    assert!(line["message"].as_str().unwrap().contains(&server.to_string()), "{line}");
    let (status, health) = program.admin("/health").await;
    assert_eq!(status, 503, "{health}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_noticed() {
    let server = nobody().await;
    let config = tunnel(&[server], "").replace("health-interval = 0", "health-interval = 1");
    let mut program = Program::start(directory(), &config).await;
    if !program.has_said("upstream server is down") {
        program.says("upstream server is down").await;
    }
    let listener = tokio::net::TcpListener::bind(server).await.unwrap();
    program.says("upstream server is back").await;
    drop(listener);
}

#[tokio::test]
async fn a_server_that_hangs() {
    let server = serve(|mut stream| async move {
        rest(&mut stream).await.1.unwrap_or_default();
    })
    .await;
    let config = tunnel(&[server], "idle-timeout = 1");
    let mut program = Program::start(directory(), &config).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"OPTIONS").await.unwrap();
    // Cut off is not ended: no close_notify.
    let (bytes, end) = rest(&mut stream).await;
    assert_eq!(bytes, b"");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    program.says("ended: idle timeout").await;
}

#[tokio::test]
async fn a_server_that_dies_in_mid_body() {
    let server = serve(|mut stream| async move {
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"half an ans").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let mut program = Program::start(directory(), &tunnel(&[server], "")).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    let (bytes, end) = rest(&mut stream).await;
    assert_eq!(bytes, b"half an ans");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    program.says("ended: upstream server: ").await;
}
