//! The services of `scan-server` with bodies that a client without leave for 204 gets back while they are scanned.

use bytes::Bytes;
use clap::ValueEnum;
use globset::{Glob, GlobSet};
use http_body_util::{BodyExt, Full};
use icap::verdict::{Profile, Verdict};
use icap::{Client, HttpHead, Outcome, Respmod, Scanner, Server};
use icap_examples::clamd::Clamd;
use icap_examples::engine::{self, Engine};
use icap_examples::inspector::Inspectors;
use icap_examples::scan_service::{self, Personality, Terms};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// More than is held back, and more than one piece.
const LARGE: usize = 300_000;

/// What a client without preview and without `Allow: 204` gets for `body`: the status of the message, what came of
/// its body, and whether that came to its end.
async fn respmod(body: Vec<u8>) -> (Option<u16>, Vec<u8>, bool) {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}/respmod", server.local_addr().expect("an address"));
    let server = scan_service::install(server, &Engine::new()).expect("three services");
    tokio::spawn(server.serve());

    let client = Client::builder(uri).no_preview().build().expect("a good client");
    let head = HttpHead::response(200, "OK", [("Content-Type", "text/plain")]).expect("a head");
    let message = Respmod::new(head, Full::new(Bytes::from(body)));
    let Ok(Outcome::Modified(mut adapted)) = client.respmod(message).await else {
        panic!("no 200 although 204 is not allowed")
    };
    let mut came = Vec::new();
    while let Some(frame) = adapted.frame().await {
        match frame {
            Ok(frame) => came.extend_from_slice(&frame.into_data().expect("data")),
            Err(_) => return (adapted.head().status(), came, false),
        }
    }
    (adapted.head().status(), came, true)
}

fn clean(bytes: usize) -> Vec<u8> {
    b"The quick brown fox jumps over the lazy dog.\n".iter().copied().cycle().take(bytes).collect()
}

#[tokio::test]
async fn clean_bodies_come_back_whole() {
    // Around what is held back, and beyond it. A message without a body takes a 204 from anybody.
    for size in [1, 32 * 1024, 32 * 1024 + 1, LARGE] {
        assert_eq!(respmod(clean(size)).await, (Some(200), clean(size), true), "{size} bytes");
    }
}

#[tokio::test]
async fn what_is_found_within_the_hold_is_answered_with_a_page() {
    let eicar = engine::eicar();
    for body in [eicar.clone(), [eicar, clean(LARGE)].concat()] {
        let (status, page, whole) = respmod(body).await;
        assert_eq!((status, whole), (Some(403), true));
        assert!(page.starts_with(b"<!doctype html>"));
    }
}

#[tokio::test]
async fn what_is_found_later_never_comes_through() {
    // Found as it passes, and found when the body ends: the last card number could still have gone on.
    let cards = b"\n4111 1111 1111 1111\n5555 5555 5555 4444\n6011 1111 1111 1117".to_vec();
    for bad in [engine::eicar(), cards] {
        let (_, came, whole) = respmod([clean(LARGE), bad].concat()).await;
        assert!(!whole, "the body was to be cut");
        assert!(came.len() < LARGE && clean(LARGE).starts_with(&came), "{} bytes", came.len());
    }
}

fn usual() -> Terms {
    Terms::new(Inspectors::default().with(Engine::new()))
}

async fn serve(terms: &Terms) -> String {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}", server.local_addr().expect("an address"));
    let server = scan_service::install_on_terms(server, terms).expect("three services");
    tokio::spawn(server.serve());
    uri
}

/// The verdict on a file that is downloaded.
async fn scan(uri: &str, name: &str, body: Vec<u8>) -> Verdict {
    let profile = Profile::named("generic").expect("built in").clone();
    let scanner = Scanner::builder(profile).uri(format!("{uri}/respmod")).build();
    let scanner = scanner.expect("a good scanner");
    scanner.scan_bytes(name, body).await.expect("bytes can be read").verdict
}

#[tokio::test]
async fn a_monitor_refuses_nothing() {
    let mut terms = usual();
    terms.monitors = true;
    let uri = serve(&terms).await;
    assert!(scan(&uri, "a.bin", engine::eicar()).await.is_allow());
    assert!(scan(&uri, "a.bin", [clean(LARGE), engine::eicar()].concat()).await.is_allow());
    assert!(scan(&uri, "a.bin", [engine::eicar(), clean(LARGE)].concat()).await.is_allow());
}

#[tokio::test]
async fn bodies_below_the_minimum_are_not_looked_at() {
    let mut terms = usual();
    terms.min_bytes = 69;
    let uri = serve(&terms).await;
    assert!(scan(&uri, "a.bin", engine::eicar()).await.is_allow());
    let one_more = [engine::eicar(), vec![b' ']].concat();
    assert_eq!(scan(&uri, "a.bin", one_more).await.as_str(), "block");
}

#[tokio::test]
async fn other_media_types_are_not_looked_at() {
    let mut terms = usual();
    let glob = Glob::new("application/*").expect("a pattern");
    terms.content_types = Some(GlobSet::builder().add(glob).build().expect("a pattern"));
    let uri = serve(&terms).await;
    assert!(scan(&uri, "a.txt", engine::eicar()).await.is_allow());
    assert_eq!(scan(&uri, "a.pdf", engine::eicar()).await.as_str(), "block");
}

#[tokio::test]
async fn the_page_is_the_administrators() {
    let mut terms = usual();
    terms.page = "no {threat} here".to_owned();
    let uri = serve(&terms).await;
    let Verdict::Block(block) = scan(&uri, "a.bin", engine::eicar()).await else { panic!() };
    let page = block.page.expect("a page").start;
    assert_eq!(page, "no Eicar-Test-Signature here");
}

#[tokio::test]
async fn every_personality_is_understood_by_auto() {
    for personality in Personality::value_variants() {
        let mut terms = usual();
        terms.personality = *personality;
        let uri = serve(&terms).await;
        for path in ["reqmod", "respmod"] {
            let scanner = Scanner::builder(Profile::auto().clone()).uri(format!("{uri}/{path}"));
            let scanner = scanner.build().expect("a good scanner");
            let bad = scanner.scan_bytes("a.bin", engine::eicar()).await.expect("bytes");
            assert_eq!(bad.verdict.as_str(), "block", "{personality:?} {path}: {}", bad.verdict);
            let good = scanner.scan_bytes("a.bin", clean(LARGE)).await.expect("bytes");
            assert!(good.verdict.is_allow(), "{personality:?} {path}: {}", good.verdict);
        }
    }
}

/// A clamd that gives this answer to one body, and what that was.
async fn clamd(answer: &'static [u8]) -> (Clamd, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let got = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut command = [0; 10];
        stream.read_exact(&mut command).await.expect("a command");
        assert_eq!(&command, b"zINSTREAM\0");
        let mut body = Vec::new();
        loop {
            let length = stream.read_u32().await.expect("a length");
            if length == 0 {
                break;
            }
            let mut piece = vec![0; length as usize];
            stream.read_exact(&mut piece).await.expect("a piece");
            body.extend(piece);
        }
        stream.write_all(answer).await.expect("a client");
        body
    });
    (address.parse().expect("an address"), got)
}

#[tokio::test]
async fn clamd_sees_each_byte_once() {
    for (answer, verdict) in [
        (&b"stream: OK\0"[..], "allow"),
        (b"stream: Bad.Thing FOUND\0", "block"),
        (b"stream: x ERROR\0", "error"),
        (b"", "error"),
    ] {
        // Of one preview, and beyond it.
        for size in [100, LARGE] {
            let (clamd, got) = clamd(answer).await;
            let uri = serve(&Terms::new(Inspectors::default().with(clamd))).await;
            let came = scan(&uri, "a.bin", clean(size)).await;
            assert_eq!(came.as_str(), verdict, "{came}");
            assert_eq!(got.await.expect("no panic"), clean(size), "{size} bytes");
        }
    }
}

#[tokio::test]
async fn without_clamd_nothing_passes() {
    let clamd: Clamd = "/nonexistent/clamd.ctl".parse().expect("a path");
    let uri = serve(&Terms::new(Inspectors::default().with(clamd))).await;
    assert_eq!(scan(&uri, "a.bin", clean(100)).await.as_str(), "error");
}
