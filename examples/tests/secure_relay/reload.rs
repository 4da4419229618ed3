//! SIGHUP and SIGTERM: what changes, what stays, and what nobody loses.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pki::{Pair, connect, write_private};
use crate::program::{Program, directory, echo, echoes, rest, serve, tunnel};

/// The certificate that a new client sees.
async fn certificate(program: &Program) -> Vec<u8> {
    let stream = connect(program.address, None).await.unwrap();
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    certificates[0].to_vec()
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_clients_and_old_ones_stay() {
    let mut program = Program::start(directory(), &tunnel(&[echo().await], "")).await;
    let before = certificate(&program).await;
    let mut old = connect(program.address, None).await.unwrap();
    Pair::self_signed("relay.test").write(program.directory.path(), "relay.pem");
    program.signal("-HUP");
    program.says("reloaded").await;
    assert_ne!(certificate(&program).await, before);
    assert!(echoes(&mut old).await);
}

#[tokio::test]
async fn what_is_broken_changes_nothing() {
    let server = echo().await;
    let good = tunnel(&[server], "allow = 'allow.txt'");
    let directory = directory();
    std::fs::write(directory.path().join("allow.txt"), "127.0.0.1\n").unwrap();
    let mut program = Program::start(directory, &good).await;
    let mut old = connect(program.address, None).await.unwrap();
    let before = certificate(&program).await;
    let pem = std::fs::read_to_string(program.path("relay.pem")).unwrap();
    let write = |directory: &Path, name: &str, text: &str| {
        write_private(directory, name, text);
    };
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = format!("['127.0.0.1:0', '{}']", taken.local_addr().unwrap());
    for (name, text, good_text, word) in [
        ("relay.toml", good[..good.len() / 2].to_owned(), &good, "relay.toml"),
        ("relay.toml", good.replace("allow", "alow"), &good, "did you mean `allow`"),
        ("relay.toml", good.replace("['127.0.0.1:0']", &taken), &good, "cannot listen on"),
        ("relay.pem", pem[..pem.len() / 2].to_owned(), &pem, "relay.pem"),
        ("relay.pem", String::new(), &pem, "no certificate in it"),
        ("allow.txt", "127.0.0.1\nnonsense".to_owned(), &"127.0.0.1\n".to_owned(), "line 2"),
    ] {
        write(program.directory.path(), name, &text);
        program.signal("-HUP");
        let line = program.says("not reloaded, all stays as it was").await;
        assert!(line["message"].as_str().unwrap().contains(word), "{line}");
        assert_eq!(certificate(&program).await, before);
        assert!(echoes(&mut old).await);
        write(program.directory.path(), name, good_text);
    }
    program.signal("-HUP");
    program.says("reloaded").await;
}

#[tokio::test]
async fn listeners_come_and_go_and_servers_change() {
    let (first, second) = (echo().await, echo().await);
    let mut program = Program::start(directory(), &tunnel(&[first], "")).await;
    let (old_address, mut old) = (program.address, connect(program.address, None).await.unwrap());
    program.rewrite(&tunnel(&[second], "").replace("127.0.0.1:0", "[::1]:0"));
    program.signal("-HUP");
    program.says("no longer listening").await;
    program.address = program.listens().await;
    program.says("reloaded").await;
    assert!(TcpStream::connect(old_address).await.is_err());
    assert!(echoes(&mut old).await);
    let mut new = connect(program.address, None).await.unwrap();
    assert!(echoes(&mut new).await);
    drop(new);
    let line = program.says("ended").await;
    assert!(line["upstream"].as_str().unwrap().contains(&second.to_string()), "{line}");
}

#[tokio::test]
async fn a_stop_waits_for_the_answer_that_is_due() {
    let server = serve(|mut stream| async move {
        let mut asked = [0; 8];
        while stream.read_exact(&mut asked).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
            stream.write_all(b"answer").await.unwrap();
        }
    })
    .await;
    let mut program = Program::start(directory(), &tunnel(&[server], "")).await;
    let mut idle = connect(program.address, None).await.unwrap();
    let mut waiting = connect(program.address, None).await.unwrap();
    waiting.write_all(b"question").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    program.signal("-TERM");
    program.says("stopping").await;
    // Nothing is due: an end as it should be.
    rest(&mut idle).await.1.unwrap();
    let (answer, end) = rest(&mut waiting).await;
    end.unwrap();
    assert_eq!(answer, b"answer");
    program.says("stopped").await;
    assert_eq!(program.ends().await, Some(0));
}

#[tokio::test]
async fn a_stop_has_a_deadline() {
    let server = serve(|mut stream| async move {
        rest(&mut stream).await.1.unwrap_or_default();
    })
    .await;
    let config = format!("stop-timeout = 1\n{}", tunnel(&[server], ""));
    let mut program = Program::start(directory(), &config).await;
    let mut waiting = connect(program.address, None).await.unwrap();
    waiting.write_all(b"question").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    program.signal("-TERM");
    let line = program.says("stopped before all connections had ended").await;
    assert_eq!(line["open"], 1);
    assert_eq!(program.ends().await, Some(0));
}

/// More than the sockets between hold, and then nothing.
async fn long_answer() -> SocketAddr {
    serve(|mut stream| async move {
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).await.unwrap();
        let _ = stream.write_all(&vec![7; LONG_ANSWER]).await;
        rest(&mut stream).await.1.unwrap_or_default();
    })
    .await
}

const LONG_ANSWER: usize = 20_000_000;

#[tokio::test]
async fn a_stop_waits_for_a_client_that_pauses_in_an_answer() {
    let server = long_answer().await;
    let mut program = Program::start(directory(), &tunnel(&[server], "")).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    program.signal("-TERM");
    program.says("stopping").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (answer, end) = rest(&mut stream).await;
    end.unwrap();
    assert_eq!(answer.len(), LONG_ANSWER);
    program.says("ended: the relay stops").await;
}

#[tokio::test]
async fn an_answer_that_a_stop_cuts_does_not_look_like_one_that_ended() {
    let server = long_answer().await;
    let config = format!("stop-timeout = 3\n{}", tunnel(&[server], "close-timeout = 1"));
    let mut program = Program::start(directory(), &config).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    program.signal("-TERM");
    assert_eq!(program.ends().await, Some(0));
    let (answer, end) = rest(&mut stream).await;
    assert!(answer.len() < LONG_ANSWER);
    end.unwrap_err();
}

/// systemd hears that the relay is ready, reloads, is ready again, and stops.
#[tokio::test]
async fn systemd_is_told() {
    let directory = directory();
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let file = directory.path().join("relay.toml");
    std::fs::write(&file, tunnel(&[echo().await], "")).unwrap();
    let mut command = crate::program::binary();
    command.arg("--config").arg(&file).env("NOTIFY_SOCKET", &path);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let hear = || async {
        let mut message = [0; 100];
        let length = tokio::time::timeout(crate::program::LONG, socket.recv(&mut message)).await;
        String::from_utf8_lossy(&message[..length.unwrap().unwrap()]).into_owned()
    };
    let signal = |name: &str| {
        let id = child.id().unwrap().to_string();
        std::process::Command::new("kill").args([name, &id]).status().unwrap();
    };
    assert!(hear().await.contains("READY=1"));
    signal("-HUP");
    let reloading = hear().await;
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="));
    assert!(hear().await.contains("READY=1"));
    signal("-TERM");
    assert!(hear().await.contains("STOPPING=1"));
    assert!(child.wait().await.unwrap().success());
}
