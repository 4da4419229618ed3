//! Peers that send more than anybody wants, and more peers than there is room for.

use std::thread;
use std::time::{Duration, Instant};

use crate::peer::{LAST, Peer, answers, chunk, head};
use crate::server::Server;

/// What one peer may send in vain: what is read and thrown away behind the last answer (1 MiB), and what the buffers
/// of two sockets hold.
const IN_VAIN: usize = 20_000_000;

/// Sends the same again and again; how many bytes, and what came back.
fn flood(mut peer: Peer, piece: &[u8]) -> (usize, Vec<u8>) {
    let mut sent = 0;
    while sent < 2 * IN_VAIN && peer.say(piece).is_ok() {
        sent += piece.len();
    }
    (sent, peer.read_to_end())
}

/// What has no end.
struct Endless {
    name: &'static str,
    first: Vec<u8>,
    /// Sent for ever.
    then: Vec<u8>,
    /// With which it may end; 200 is for one that is cut.
    statuses: &'static [u16],
}

fn endless() -> Vec<Endless> {
    let start = "OPTIONS icap://s/echo ICAP/1.0\r\nHost: s\r\n";
    let plain = head("");
    let behind = |text: &str| [&plain[..], text.as_bytes()].concat();
    let big = "RESPMOD icap://s/echo ICAP/1.0\r\nHost: s\r\nEncapsulated: res-hdr=0, res-body=4000000000\r\n\r\n\
        HTTP/1.1 200 OK\r\nX: ";
    let extension = format!("1; {}\r\nx\r\n", "y".repeat(1000));
    let of = |name, first: Vec<u8>, again: &str, statuses| {
        let then = again.repeat(10_000_usize.div_ceil(again.len())).into();
        Endless { name, first, then, statuses }
    };
    vec![
        of("noise", Vec::new(), "\x16\x03\x01\x02", &[400]),
        of("method", Vec::new(), "A", &[400, 414]),
        of("URI", "OPTIONS icap://s/".into(), "x", &[414]),
        of("field", format!("{start}X: ").into(), "x", &[400, 431]),
        of("fields", start.into(), "X: y\r\n", &[400, 431]),
        of("HTTP head", big.into(), "x", &[400, 413, 431]),
        of("chunk size", behind("0"), "0", &[400, 200]),
        of("extension", behind("1; x="), "x", &[400, 200]),
        of("extensions", plain.clone(), &extension, &[400, 200]),
        of("trailer", behind("0\r\nX: "), "x", &[400, 431, 200]),
        of("trailers", behind("0\r\n"), "X: y\r\n", &[400, 431, 200]),
        of("empty lines", Vec::new(), "\r\n", &[400]),
    ]
}

#[test]
#[ignore = "run by ci/faults.sh"]
fn without_an_end() {
    let mut server = Server::start(5, &[]);
    let before = server.memory("VmRSS");
    let mut peers = Vec::new();
    for Endless { name, first, then, statuses } in endless() {
        for _ in 0..4 {
            let mut peer = server.connect();
            peer.say(&first).unwrap();
            let (addr, then) = (peer.addr(), then.clone());
            peers.push((name, statuses, addr, thread::spawn(move || flood(peer, &then))));
        }
    }
    let mut addrs = Vec::new();
    for (name, statuses, addr, peer) in peers {
        let (sent, back) = peer.join().unwrap();
        assert!(sent < IN_VAIN, "{name}: {sent} bytes were taken");
        // The reset that answers those who go on may destroy the answer.
        for answer in answers(&back) {
            assert!(statuses.contains(&answer.status) && !answer.is_whole(), "{name}: {answer:?}");
        }
        addrs.push((name, addr));
    }
    let grown = server.memory("VmHWM").saturating_sub(before);
    // Of each peer: heads, 64 KiB and 256 KiB, and the piece that was read over them.
    assert!(grown < addrs.len() as u64 * 512, "{grown} KiB");
    let transactions = server.settle();
    for (name, addr) in addrs {
        assert_eq!(transactions.whole(addr), 0, "{name}");
    }
}

/// Dear for nobody: a million chunks of one byte are a body like any other.
#[test]
#[ignore = "run by ci/faults.sh"]
fn a_million_tiny_chunks() {
    const CHUNKS: usize = 1_000_000;

    let mut server = Server::start(20, &[]);
    let start = Instant::now();
    let mut peer = server.connect();
    let mut writing = Peer(peer.0.try_clone().unwrap());
    let writer = thread::spawn(move || {
        writing.say(&head("Connection: close\r\n")).unwrap();
        let thousand = chunk(b"x").repeat(1000);
        for _ in 0..CHUNKS / 1000 {
            writing.say(&thousand).unwrap();
        }
        writing.say(LAST).unwrap();
    });
    let back = peer.read_to_end();
    writer.join().unwrap();
    let took = start.elapsed();
    let answers = answers(&back);
    assert!(answers[0].body.as_deref() == Some(&[b'x'; CHUNKS][..]));
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("{CHUNKS} chunks of a byte echoed in {took:?}");
    assert_eq!(server.settle().whole(peer.addr()), 1);
}

/// Those beyond the limit are told, each of them, and take the place of nobody.
#[test]
#[ignore = "run by ci/faults.sh"]
fn of_connections() {
    const PLACES: usize = 50;

    let mut server = Server::start(5, &["--max-connections", &PLACES.to_string()]);
    let before = server.descriptors();
    let mut inside: Vec<_> = (0..PLACES).map(|_| server.connect()).collect();
    for round in 0..2 {
        let mut beyond: Vec<_> = (0..500).map(|_| server.connect()).collect();
        for peer in &mut beyond {
            let back = peer.read_to_end();
            assert_eq!(
                answers(&back).first().map(|answer| answer.status),
                Some(503),
                "{round}: {back:?}"
            );
        }
        // 64 of them are told at length.
        assert!(server.descriptors() <= before + PLACES + 64 + 1, "{}", server.descriptors());
        for peer in &mut inside {
            peer.say(b"OPTIONS icap://s/echo ICAP/1.0\r\nHost: s\r\n\r\n").unwrap();
            assert!(peer.read_head().starts_with(b"ICAP/1.0 200 "));
        }
    }
    drop(inside);
    while server.descriptors() > before {
        thread::sleep(Duration::from_millis(5));
    }
    server.settle();
}
