//! The pump on transports that sockets do not show on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use icap_proto::client::Connection;
use icap_proto::{HttpHead, Leniency, Limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, ReadBuf, duplex};

use super::*;
use crate::adapted::Adapted;
use crate::connect::Transport;
use crate::pool::Keep;
use crate::timeouts::Timeouts;

const TIMEOUT: Duration = Duration::from_secs(60);

fn exchange<B>(io: impl Transport + 'static, body: B) -> Exchange<B> {
    let connection = Connection::new(Limits::default(), Leniency::default());
    let keep = Keep { idle: 1, idle_age: Duration::MAX, lifetime: Duration::MAX, connections: 1 };
    let pool = Arc::new(Pool::new(keep));
    let timeouts = Timeouts::default();
    let link = Link::new(connection, Box::new(io), &timeouts, pool.try_enter().unwrap());
    let sending = Sending { replay_limit: 0, trailers: false };
    Exchange::new(link, pool, Source::new(body), sending)
}

fn large() -> Full<Bytes> {
    Full::new(Bytes::from(vec![b'x'; 10_000]))
}

fn request() -> RequestHead {
    let head = HttpHead::request("POST", "/", [("Host", "h")]).unwrap();
    let request = RequestHead::reqmod("icap://s/".parse().unwrap()).http_request(head);
    request.body(true).build().unwrap()
}

/// Reads a request to its end and answers with its whole text as body.
async fn echo(mut io: DuplexStream) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n0\r\n\r\n") {
        assert!(io.read_buf(&mut text).await.unwrap() > 0);
    }
    let head =
        b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    io.write_all(head).await.unwrap();
    io.write_all(format!("{:x}\r\n", text.len()).as_bytes()).await.unwrap();
    io.write_all(&text).await.unwrap();
    io.write_all(b"\r\n0\r\n\r\n").await.unwrap();
}

async fn ask(mut exchange: Exchange<Full<Bytes>>) -> Bytes {
    let response = exchange.answer(&request()).await.unwrap();
    let head = response.http_response().unwrap().clone();
    Adapted::new(response, head, None, exchange).collect().await.unwrap().to_bytes()
}

/// A transport that takes and gives a few bytes at a time.
#[tokio::test]
async fn bytes_may_come_in_drips() {
    let (near, far) = duplex(3);
    let (_, answer) = tokio::join!(echo(far), ask(exchange(near, large())));
    let body = [b'x'; 10_000];
    assert!(answer.ends_with(&[b"\r\n2710\r\n", &body[..], b"\r\n0\r\n\r\n"].concat()));
}

/// A transport that holds bytes back until it is flushed, as TLS may.
#[tokio::test]
async fn what_is_written_is_flushed() {
    let (near, far) = duplex(100_000);
    let near = BufWriter::with_capacity(50_000, near);
    let (_, answer) = tokio::join!(echo(far), ask(exchange(near, Full::from("hi"))));
    assert!(answer.ends_with(b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n"));
}

/// A server that goes away under the upload, without a word.
#[tokio::test]
async fn a_write_that_fails_is_told_when_no_answer_is_there() {
    let (near, far) = duplex(1_000);
    drop(far);
    let mut exchange = exchange(near, large());
    let error = exchange.answer(&request()).await.unwrap_err();
    assert!(matches!(error, Error::Write(_)), "{error}");
    assert!(exchange.looks_stale(&error));
}

/// An answer that comes while the request is stuck: nobody waits for the rest, and what is half sent cannot
/// be followed by another request.
#[tokio::test]
async fn a_request_that_is_stuck_costs_the_connection() {
    let (near, mut far) = duplex(1_000);
    let mut exchange = exchange(near, large());
    let pool = Arc::clone(&exchange.pool);
    far.write_all(b"ICAP/1.0 404 ICAP Service Not Found\r\n\r\n").await.unwrap();
    let response = exchange.answer(&request()).await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert!(matches!(exchange.ready_event(), Ok(Some(Event::End { .. }))));
    poll_fn(|cx| {
        exchange.settle(cx);
        Poll::Ready(())
    })
    .await;
    exchange.release();
    assert!(pool.take(pool.try_enter().unwrap()).await.is_err());
}

/// Nothing can be sent, and reading either fails or never comes back.
struct Broken {
    reading: Option<io::ErrorKind>,
}

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reading.map_or(Poll::Pending, |kind| Poll::Ready(Err(kind.into())))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A body of which nothing ever comes.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        Poll::Pending
    }
}

/// What went wrong first is told.
#[tokio::test]
async fn a_read_that_fails_behind_a_write_is_told_as_the_write() {
    let io = Broken { reading: Some(io::ErrorKind::ConnectionReset) };
    let error = exchange(io, large()).answer(&request()).await.unwrap_err();
    assert!(matches!(error, Error::Write(_)), "{error}");
}

/// Once nothing can be sent the body does not matter: a silent one must not keep the call waiting for ever.
#[tokio::test(start_paused = true)]
async fn an_answer_behind_a_failed_write_is_waited_for_with_a_limit() {
    let error = exchange(Broken { reading: None }, Silent).answer(&request()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Stage::Answer)), "{error}");
}

/// A server that takes few bytes, but goes on taking them.
#[tokio::test(start_paused = true)]
async fn a_slow_server_is_not_a_stuck_one() {
    let (near, mut far) = duplex(1_000);
    let server = async {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n0\r\n\r\n") {
            tokio::time::sleep(TIMEOUT - Duration::from_secs(1)).await;
            assert!(far.read_buf(&mut text).await.unwrap() > 0);
        }
        far.write_all(b"ICAP/1.0 404 ICAP Service Not Found\r\n\r\n").await.unwrap();
    };
    let request = request();
    let mut exchange = exchange(near, large());
    let (_, response) = tokio::join!(server, exchange.answer(&request));
    assert_eq!(response.unwrap().status().as_u16(), 404);
}

/// A body without end that counts what is taken of it.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.0.fetch_add(1_000, Ordering::Relaxed);
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 1_000])))))
    }
}

/// A server that takes nothing must not fill our memory.
#[tokio::test(start_paused = true)]
async fn a_body_is_not_read_ahead_of_the_server() {
    let (near, far) = duplex(1_000);
    let taken = Arc::new(AtomicUsize::new(0));
    let error = exchange(near, Endless(Arc::clone(&taken))).answer(&request()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Stage::Send)), "{error}");
    let taken = taken.load(Ordering::Relaxed);
    assert!((HIGH_WATER..HIGH_WATER + 4_000).contains(&taken), "{taken}");
    drop(far);
}
