//! What comes in goes out: whole, both ways, and each end as it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use icap_client::rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::pki::{Pair, connect, connect_with};
use crate::program::{Program, directory, echo, echoes, nobody, rest, serve, tunnel};

/// Bytes in which a missing or doubled piece shows.
fn pattern(length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn megabytes_arrive_whole_in_both_versions_of_tls() {
    let program = Program::start(directory(), &tunnel(&[echo().await], "")).await;
    for version in [&TLS12, &TLS13] {
        let stream = connect_with(program.address, None, &[version]).await.unwrap();
        let (mut from, mut to) = tokio::io::split(stream);
        let sent = pattern(5_000_000);
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            to.write_all(&sent).await.unwrap();
            // close_notify: the server ends, and what is under way still arrives.
            to.shutdown().await.unwrap();
        });
        let (back, end) = rest(&mut from).await;
        sending.await.unwrap();
        end.unwrap();
        assert!(back == expected, "{} bytes of {}", back.len(), expected.len());
    }
}

#[tokio::test]
async fn an_answer_after_the_clients_end_arrives() {
    let server = serve(|mut stream| async move {
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(&asked).await.unwrap();
    })
    .await;
    // The client's end does not start close-timeout.
    let mut program = Program::start(directory(), &tunnel(&[server], "close-timeout = 0")).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let (answer, end) = rest(&mut stream).await;
    end.unwrap();
    assert_eq!(answer, b"question");
    let line = program.says("ended: closed by the client").await;
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&8.into(), &8.into()));
}

#[tokio::test]
async fn a_server_that_ends_first_ends_the_client_with_close_notify() {
    let server = serve(|mut stream| async move {
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
    })
    .await;
    let mut program = Program::start(directory(), &tunnel(&[server], "close-timeout = 1")).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    let (answer, end) = rest(&mut stream).await;
    end.unwrap();
    assert_eq!(answer, b"answer");
    // The client ends nothing: that is waited for no longer than it may take.
    program.says("not by the client").await;
}

#[tokio::test]
async fn an_early_answer_arrives_although_the_server_takes_no_more() {
    let server = serve(|mut stream| async move {
        let mut asked = [0; 1000];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"ICAP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    let program = Program::start(directory(), &tunnel(&[server], "")).await;
    let stream = connect(program.address, None).await.unwrap();
    let (mut from, mut to) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        let _ = to.write_all(&pattern(20_000_000)).await;
    });
    let mut answer = [0; 28];
    from.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"ICAP/1.0 400 Bad Request\r\n\r\n");
    sending.abort();
}

#[tokio::test]
async fn a_client_that_breaks_off_does_not_look_like_one_that_ended() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let server = serve(move |mut stream| {
        let tell = tell.clone();
        async move {
            let (bytes, end) = rest(&mut stream).await;
            let _ = tell.send((bytes, end.map_err(|error| error.kind()))).await;
        }
    })
    .await;
    let mut program = Program::start(directory(), &tunnel(&[server], "")).await;
    let mut stream = connect(program.address, None).await.unwrap();
    stream.write_all(b"half a mess").await.unwrap();
    stream.flush().await.unwrap();
    // TCP ends without close_notify.
    let (mut tcp, _) = stream.into_inner();
    tcp.shutdown().await.unwrap();
    program.says("ended: client: ").await;
    let (_, end) = told.recv().await.unwrap();
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn icaps_servers_are_reached_by_tls_and_verified() {
    let pair = Pair::self_signed("dlp.test");
    let acceptor = TlsAcceptor::from(pair.server_config());
    let server = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            }
        }
    })
    .await;
    let directory = directory();
    std::fs::write(directory.path().join("dlp.pem"), &pair.certificate).unwrap();
    let config = |name: &str| {
        tunnel(&[], "upstream-ca = 'dlp.pem'").replace(
            "upstream = []",
            &format!("upstream = [{{ uri = 'icaps://{server}', tls-name = '{name}' }}]"),
        )
    };
    let mut program = Program::start(directory, &config("dlp.test")).await;
    let mut stream = connect(program.address, None).await.unwrap();
    assert!(echoes(&mut stream).await);
    stream.shutdown().await.unwrap();
    rest(&mut stream).await.1.unwrap();

    program.rewrite(&config("other.test"));
    program.signal("-HUP");
    program.says("reloaded").await;
    let mut stream = connect(program.address, None).await.unwrap();
    assert!(!echoes(&mut stream).await);
    program.says("no upstream server").await;
}

#[tokio::test]
async fn a_server_that_is_down_is_passed_over() {
    let (down, up) = (nobody().await, echo().await);
    for balance in ["failover", "round-robin", "least-connections"] {
        let config = tunnel(&[down, up], &format!("balance = '{balance}'"));
        let program = Program::start(directory(), &config).await;
        for _ in 0..3 {
            let mut stream = connect(program.address, None).await.unwrap();
            assert!(echoes(&mut stream).await, "{balance}");
        }
    }
}

#[tokio::test]
async fn round_robin_gives_each_its_turn_and_a_cap_is_kept() {
    async fn named(name: &'static [u8; 1]) -> SocketAddr {
        serve(move |mut stream| async move {
            stream.write_all(name).await.unwrap();
            rest(&mut stream).await.1.unwrap_or_default();
        })
        .await
    }
    let servers = [named(b"a").await, named(b"b").await];
    let program = Program::start(directory(), &tunnel(&servers, "balance = 'round-robin'")).await;
    let mut names = Vec::new();
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(program.address, None).await.unwrap();
        names.push(stream.read_u8().await.unwrap());
        open.push(stream);
    }
    assert_eq!(names, b"abab");

    let config = tunnel(&[], "").replace(
        "upstream = []",
        &format!("upstream = [{{ uri = 'icap://{}', max-connections = 2 }}]", servers[0]),
    );
    let mut program = Program::start(directory(), &config).await;
    let mut first = connect(program.address, None).await.unwrap();
    let mut second = connect(program.address, None).await.unwrap();
    assert_eq!((first.read_u8().await.unwrap(), second.read_u8().await.unwrap()), (b'a', b'a'));
    let mut third = connect(program.address, None).await.unwrap();
    assert!(rest(&mut third).await.0.is_empty());
    program.says("has all the connections it may have").await;
}

#[tokio::test]
async fn plain_listeners_work_and_warn() {
    let config = tunnel(&[echo().await], "").replace("listen =", "plain-listen =");
    let program = Program::start(directory(), &config).await;
    assert!(program.has_said("takes ICAP without TLS"));
    assert!(echoes(&mut TcpStream::connect(program.address).await.unwrap()).await);
}

/// Kilobytes that the program holds now.
#[cfg(target_os = "linux")]
fn resident(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Idle after a megabyte each way, and stuck with neither end reading.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_holds_at_most_64_kib() {
    const CONNECTIONS: u64 = 100;
    let server = serve(|mut stream| async move {
        let _ = stream.write_all(&vec![7; 8_000_000]).await;
        std::future::pending::<()>().await;
    })
    .await;
    let echo = echo().await;
    for (upstream, stuck) in [(echo, false), (server, true)] {
        let program = Program::start(directory(), &tunnel(&[upstream], "")).await;
        let mut open = vec![turn(&program, stuck).await];
        let before = resident(&program);
        for _ in 0..CONNECTIONS {
            open.push(turn(&program, stuck).await);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let each = resident(&program).saturating_sub(before) / CONNECTIONS;
        println!("stuck: {stuck}, {each} KiB a connection");
        assert!(each <= 64, "{each} KiB a connection, stuck: {stuck}");
    }
}

#[cfg(target_os = "linux")]
async fn turn(program: &Program, stuck: bool) -> Arc<tokio::task::JoinHandle<()>> {
    let stream = connect(program.address, None).await.unwrap();
    let (mut from, mut to) = tokio::io::split(stream);
    if stuck {
        return Arc::new(tokio::spawn(async move {
            let _ = to.write_all(&pattern(8_000_000)).await;
            drop(from);
        }));
    }
    let sending = tokio::spawn(async move {
        to.write_all(&pattern(1_000_000)).await.unwrap();
        to.flush().await.unwrap();
        to
    });
    let mut back = vec![0; 1_000_000];
    from.read_exact(&mut back).await.unwrap();
    let to = sending.await.unwrap();
    Arc::new(tokio::spawn(async move {
        let _open = (from, to);
        std::future::pending::<()>().await;
    }))
}
