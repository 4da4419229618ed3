//! The services of `scan-server` with bodies that a client without leave for 204 gets back while they are scanned.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use icap::{Client, HttpHead, Outcome, Respmod, Server};
use icap_examples::engine::{self, Engine};
use icap_examples::scan_service;

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
