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

#[test]
#[ignore = "run by ci/faults.sh"]
fn without_an_end() {
    let start = "OPTIONS icap://s/echo ICAP/1.0\r\nHost: s\r\n";
    let plain = head("");
    let many = |text: &str| text.repeat(10_000 / text.len()).into_bytes();
    let big = b"RESPMOD icap://s/echo ICAP/1.0\r\nHost: s\r\nEncapsulated: res-hdr=0, res-body=4000000000\r\n\r\n\
        HTTP/1.1 200 OK\r\nX: ";
    let extension = format!("1; {}\r\nx\r\n", "y".repeat(1000));
    // What is sent first, what then for ever, and the statuses with which it may end; 200 is for one that is cut.
    let cases: [(&str, Vec<u8>, Vec<u8>, &[u16]); 12] = [
        ("noise", b"\x16\x03\x01".to_vec(), many("\x16\x03\x01\x02"), &[400]),
        ("method", Vec::new(), many("A"), &[400, 414]),
        ("URI", b"OPTIONS icap://s/".to_vec(), many("x"), &[414]),
        ("field", [start, "X: "].concat().into(), many("x"), &[400, 431]),
        ("fields", start.into(), many("X: y\r\n"), &[400, 431]),
        ("HTTP head", big.to_vec(), many("x"), &[400, 413, 431]),
        ("chunk size", [&plain[..], b"0"].concat(), many("0"), &[400, 200]),
        ("extension", [&plain[..], b"1; x="].concat(), many("x"), &[400, 200]),
        ("extensions", plain.clone(), extension.into(), &[400, 200]),
        ("trailer", [&plain[..], b"0\r\nX: "].concat(), many("x"), &[400, 431, 200]),
        ("trailers", [&plain[..], b"0\r\n"].concat(), many("X: y\r\n"), &[400, 431, 200]),
        ("empty lines", Vec::new(), many("\r\n"), &[400]),
    ];
    let mut server = Server::start(5, &[]);
    let before = server.memory("VmRSS");
    let mut peers = Vec::new();
    for (name, first, piece, statuses) in cases {
        for _ in 0..4 {
            let mut peer = server.connect();
            peer.say(&first).unwrap();
            let (port, piece) = (peer.port(), piece.clone());
            peers.push((name, statuses, port, thread::spawn(move || flood(peer, &piece))));
        }
    }
    let mut ports = Vec::new();
    for (name, statuses, port, peer) in peers {
        let (sent, back) = peer.join().unwrap();
        assert!(sent < IN_VAIN, "{name}: {sent} bytes were taken");
        // The reset that answers those who go on may destroy the answer.
        for answer in answers(&back) {
            assert!(statuses.contains(&answer.status) && !answer.is_whole(), "{name}: {answer:?}");
        }
        ports.push((name, port));
    }
    let grown = server.memory("VmHWM").saturating_sub(before);
    // Of each peer: heads, 64 KiB and 256 KiB, and the piece that was read over them.
    assert!(grown < ports.len() as u64 * 512, "{grown} KiB");
    let transactions = server.settle();
    for (name, port) in ports {
        assert_eq!(transactions.whole(port), 0, "{name}");
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
    assert_eq!(server.settle().whole(peer.port()), 1);
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
