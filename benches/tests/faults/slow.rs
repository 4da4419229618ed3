//! Peers that give or take a byte now and then, or nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::peer::{LAST, Peer, answers, chunk, head, request};
use crate::server::Server;

/// How long the server waits, in seconds.
const PATIENCE: u64 = 2;
/// A byte each of these is less than the least rate of a body, 16 bytes a second: what they earn is 0.3 s at most.
const PAUSE: Duration = Duration::from_millis(300);
/// When a peer has to be cut off at the latest: the patience, what the bytes earned, and a second of grace, and another
/// for machines that do something else meanwhile.
const LATEST: Duration = Duration::from_secs(PATIENCE + 3);

/// Sends byte by byte for ever, and what came until the server closed.
fn drip(mut peer: Peer, byte: u8) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    peer.0.set_read_timeout(Some(PAUSE)).unwrap();
    let mut back = Vec::new();
    loop {
        let _ = peer.say(&[byte]);
        let mut piece = [0; 1024];
        match peer.0.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => back.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        assert!(start.elapsed() < 2 * LATEST, "a peer drips for ever: {back:?}");
    }
    (back, start.elapsed())
}

#[test]
#[ignore = "run by ci/faults.sh"]
fn dripping() {
    let plain = head("");
    let cases: [(&str, Vec<u8>, u8); 7] = [
        ("in the start line", b"OPTIONS icap://s/".to_vec(), b'x'),
        ("in the ICAP head", b"OPTIONS icap://s/echo ICAP/1.0\r\nX: ".to_vec(), b'x'),
        ("in the HTTP head", plain[..plain.len() - 4].to_vec(), b'x'),
        ("in a chunk line", [&plain[..], b"0"].concat(), b'0'),
        ("in a chunk extension", [&plain[..], b"1; x="].concat(), b'x'),
        ("in a chunk", [&plain[..], b"1000\r\n"].concat(), b'x'),
        ("in a trailer", [&plain[..], b"0\r\nX: "].concat(), b'x'),
    ];
    let mut server = Server::start(PATIENCE, &[]);
    let mut peers = Vec::new();
    for (place, first, byte) in cases {
        for _ in 0..10 {
            let mut peer = server.connect();
            peer.say(&first).unwrap();
            let addr = peer.addr();
            peers.push((place, addr, thread::spawn(move || drip(peer, byte))));
        }
    }
    let mut addrs = Vec::new();
    for (place, addr, peer) in peers {
        let (back, took) = peer.join().unwrap();
        assert!(took < LATEST, "{place}: cut off after {took:?}");
        assert!(answers(&back).iter().all(|answer| !answer.is_whole()), "{place}");
        assert!(!back.is_empty(), "{place}: not a word");
        addrs.push((place, addr));
    }
    let transactions = server.settle();
    for (place, addr) in addrs {
        assert_eq!(transactions.whole(addr), 0, "{place}");
    }
}

/// Slow is no fault by itself.
#[test]
#[ignore = "run by ci/faults.sh"]
fn a_byte_at_a_time_is_taken() {
    let mut server = Server::start(PATIENCE, &[]);
    let mut addrs = Vec::new();
    for wire in [
        request("Connection: close\r\n", &[b'x'; 300]),
        [&head("Preview: 9\r\nConnection: close\r\n")[..], &chunk(b"abcd"), b"0; ieof\r\n\r\n"]
            .concat(),
    ] {
        let mut peer = server.connect();
        for byte in wire {
            peer.say(&[byte]).unwrap();
        }
        assert!(answers(&peer.read_to_end())[0].is_whole());
        addrs.push(peer.addr());
    }
    let transactions = server.settle();
    assert!(addrs.into_iter().all(|addr| transactions.whole(addr) == 1));
}

/// Writes the same again and again until the server has enough; the time since it took the last byte of it.
fn write_on(peer: &mut Peer, piece: &[u8]) -> Duration {
    peer.0.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let (start, mut at, mut last) = (Instant::now(), 0, Instant::now());
    loop {
        match peer.0.write(&piece[at..]) {
            Ok(count) => (at, last) = ((at + count) % piece.len(), Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return last.elapsed(),
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the server never has enough");
    }
}

/// Peers that write on and read nothing: a body that is echoed, and one request after the other.
#[test]
#[ignore = "run by ci/faults.sh"]
fn reading_nothing() {
    /// In KiB for each peer, buffers of both directions and the state.
    const MEMORY: u64 = 256;
    const PEERS: u64 = 60;

    let mut server = Server::start(PATIENCE, &[]);
    let before = server.memory("VmRSS");
    let body = chunk(&[b'x'; 50_000]);
    let pipelined = request("", &[b'x'; 1000]);
    let mut peers = Vec::new();
    for number in 0..PEERS {
        let mut peer = server.connect_narrow();
        let is_body = number % 2 == 0;
        let piece = if is_body { body.clone() } else { pipelined.clone() };
        if is_body {
            peer.say(&head("")).unwrap();
        }
        let addr = peer.addr();
        let peer = thread::spawn(move || write_on(&mut peer, &piece));
        peers.push((is_body, addr, peer));
    }
    let mut addrs = Vec::new();
    for (is_body, addr, peer) in peers {
        let waited = peer.join().unwrap();
        assert!(waited < LATEST, "dropped {waited:?} after it took nothing");
        addrs.extend(is_body.then_some(addr));
    }
    let grown = server.memory("VmHWM").saturating_sub(before);
    assert!(grown < PEERS * MEMORY, "{grown} KiB for {PEERS} peers");
    let transactions = server.settle();
    for addr in addrs {
        assert_eq!(transactions.whole(addr), 0, "a body without an end was reported as whole");
    }
}

/// Connections on which nothing is ever said are closed when the heads of others would be, at the latest with the
/// time for idle ones; here they only must not cost anything. The last one is still answered.
#[test]
#[ignore = "run by ci/faults.sh"]
fn saying_nothing() -> io::Result<()> {
    let mut server = Server::start(PATIENCE, &[]);
    let before = server.memory("VmRSS");
    let mut silent: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    server.answers_well();
    let grown = server.memory("VmRSS").saturating_sub(before);
    // G9 of idle connections is 16 KiB each; before the first request there is less.
    assert!(grown < 1000 * 16, "{grown} KiB");
    let last = silent.last_mut().unwrap();
    last.say(&[&head("Connection: close\r\n")[..], &chunk(b"abc"), LAST].concat())?;
    assert!(answers(&last.read_to_end())[0].is_whole());
    drop(silent);
    server.settle();
    Ok(())
}
