//! Client and server of this workspace against each other, over loopback.

#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use icap::proto::Method;
use icap::server::{Error, Reply, Request, Server, Service};
use icap::{Client, HttpHead, IsTag, Outcome, Reqmod, Respmod, ServiceOptions};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const MIB: u64 = 1024 * 1024;
/// More than the system buffers: closing too early would lose a part of it.
const ANSWER: u64 = 8 * MIB;

/// Gives every message back in a 200 that begins before the body was read.
struct Echo;

/// Lets every message pass.
struct Pass;

/// Answers every request at once, with a body of its own, and reads nothing of what was sent.
struct Early;

impl Service for Echo {
    fn options(&self) -> ServiceOptions {
        options()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let (head, preview) = request.preview().await?;
        let body = preview.proceed().await?;
        let head = head.adapted_head().cloned().ok_or("a message without a head")?;
        Ok(Reply::modified(head, body))
    }
}

impl Service for Pass {
    fn options(&self) -> ServiceOptions {
        options()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let (_, preview) = request.preview().await?;
        let mut body = preview.proceed().await?;
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(Reply::unmodified())
    }
}

impl Service for Early {
    fn options(&self) -> ServiceOptions {
        options()
    }

    async fn call(&self, _request: Request) -> Result<Reply, Error> {
        let head = HttpHead::response(403, "Forbidden", [("Content-Type", "text/plain")])?;
        Ok(Reply::respond(head, Pattern::new(ANSWER)))
    }
}

fn options() -> ServiceOptions {
    let tag = IsTag::new("e2e").expect("a short tag");
    let options = ServiceOptions::respmod("end to end").expect("plain text");
    options.method(Method::Reqmod).istag(tag).preview(1024)
}

/// A server on loopback that stops when this is dropped.
struct Running {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        let server = Server::bind("127.0.0.1:0").await.expect("a free port");
        let server = server
            .service("/echo", Echo)
            .and_then(|server| server.service("/pass", Pass))
            .and_then(|server| server.service("/early", Early))
            .expect("three paths");
        let address = server.local_addr().expect("an address").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve_until(stopped).await.expect("a clean end");
        });
        Self { address, stop: Some(stop), task }
    }

    fn client(&self, path: &str) -> icap::client::ClientBuilder {
        Client::builder(format!("icap://{}{path}", self.address).as_str())
    }

    async fn stop(mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        self.task.await.expect("no panic");
    }
}

/// A body of `left` bytes in which every byte tells its place, in pieces of 64 KiB.
struct Pattern {
    at: u64,
    left: u64,
}

impl Pattern {
    fn new(bytes: u64) -> Self {
        Self { at: 0, left: bytes }
    }

    fn byte(at: u64) -> u8 {
        // A prime period, so that no shift by a power of two goes unseen.
        (at % 251) as u8
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = self.left.min(64 * 1024);
        let piece: Vec<u8> = (self.at..self.at + bytes).map(Self::byte).collect();
        self.at += bytes;
        self.left -= bytes;
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Reads a body to its end and holds every byte to the pattern.
async fn read_pattern<B>(mut body: B) -> u64
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let mut at = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.expect("a whole body").into_data().expect("data");
        for byte in data {
            assert_eq!(byte, Pattern::byte(at), "at {at}");
            at += 1;
        }
    }
    at
}

fn upload() -> HttpHead {
    HttpHead::request("PUT", "http://h/f", [("Host", "h")]).expect("a good head")
}

fn page() -> HttpHead {
    HttpHead::response(200, "OK", [("Content-Type", "text/plain")]).expect("a good head")
}

#[tokio::test]
async fn sixty_four_mib_go_both_ways_with_an_early_200() {
    let server = Running::start().await;
    let size = 64 * MIB;
    for builder in [server.client("/echo"), server.client("/echo").no_preview()] {
        let client = builder.build().expect("a good client");
        let exchange = async {
            let message = Respmod::new(page(), Pattern::new(size));
            let Outcome::Modified(adapted) = client.respmod(message).await.expect("an answer")
            else {
                panic!("an echo is a modification")
            };
            assert_eq!(read_pattern(adapted).await, size);
        };
        tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("no deadlock");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_original_comes_back_whole() {
    let server = Running::start().await;
    for size in [0, 1, 1023, 1024, 1025, 70_000] {
        let client = server.client("/pass").replay_limit(MIB).build().expect("a good client");
        let message = Reqmod::new(upload(), Pattern::new(size));
        let Outcome::Unmodified(original) = client.reqmod(message).await.expect("an answer") else {
            panic!("{size} bytes were to pass")
        };
        assert_eq!(original.response().status().as_u16(), 204);
        assert_eq!(read_pattern(original).await, size);
    }
    server.stop().await;
}

#[tokio::test]
async fn without_leave_for_204_the_server_echoes() {
    let server = Running::start().await;
    let client = server.client("/pass").no_preview().build().expect("a good client");
    let message = Reqmod::new(upload(), Pattern::new(300_000));
    let Outcome::Modified(adapted) = client.reqmod(message).await.expect("an answer") else {
        panic!("204 was not allowed")
    };
    assert_eq!(adapted.head().as_bytes(), upload().as_bytes());
    assert_eq!(read_pattern(adapted).await, 300_000);
    server.stop().await;
}

#[tokio::test]
async fn a_block_page_answers_an_upload_that_is_not_read() {
    let server = Running::start().await;
    let client = server.client("/early").no_preview().build().expect("a good client");
    for _ in 0..3 {
        let message = Reqmod::new(upload(), Pattern::new(64 * MIB));
        let Outcome::Answered(page) = client.reqmod(message).await.expect("an answer") else {
            panic!("a response was to answer the request")
        };
        assert_eq!(page.head().status(), Some(403));
        assert_eq!(read_pattern(page).await, ANSWER);
    }
    server.stop().await;
}

#[tokio::test]
async fn options_tell_what_a_service_does() {
    let server = Running::start().await;
    let client = server.client("/echo").build().expect("a good client");
    let options = client.options().await.expect("an answer");
    assert_eq!(options.methods(), [Method::Respmod, Method::Reqmod]);
    assert_eq!(options.service(), Some("end to end"));
    let missing = server.client("/nowhere").build().expect("a good client");
    let error = missing.options().await.expect_err("no such service");
    assert_eq!(error.response().map(|head| head.status().as_u16()), Some(404));
    server.stop().await;
}
