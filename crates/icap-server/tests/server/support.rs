//! A scripted client.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{Headers, IsTag, Leniency, Limits, Method, ResponseHead, ServiceOptions};
use icap_server::{Error, Reply, Request, Server, Service, service_fn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub(crate) const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
pub(crate) const FORM: &str = "POST http://o/form HTTP/1.1\r\nHost: o\r\n\r\n";
pub(crate) const GET: &str = "GET http://o/ HTTP/1.1\r\nHost: o\r\n\r\n";

/// Options of a service that takes both methods.
pub(crate) fn options() -> ServiceOptions {
    ServiceOptions::respmod("Test 1.0")
        .unwrap()
        .method(Method::Reqmod)
        .istag(IsTag::new("test-1").unwrap())
        .preview(4)
        .allow_no_content()
}

pub(crate) fn service<F, Fut>(call: F) -> impl Service
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    service_fn(options(), call)
}

/// A server with one service at `/x`.
pub(crate) fn server<F, Fut>(call: F) -> Server
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    Server::new().service("/x", service(call)).unwrap()
}

/// A client of that server.
pub(crate) fn connect<F, Fut>(call: F) -> Client<DuplexStream>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    connect_to(server(call))
}

pub(crate) fn connect_to(server: Server) -> Client<DuplexStream> {
    connect_through(&Arc::new(server), 64 * 1024)
}

pub(crate) fn connect_through(server: &Arc<Server>, buffer: usize) -> Client<DuplexStream> {
    let (near, far) = tokio::io::duplex(buffer);
    let server = Arc::clone(server);
    tokio::spawn(async move { server.serve_connection(far, None).await });
    Client::new(near)
}

/// RESPMOD of [`PAGE`] up to the body.
pub(crate) fn respmod(fields: &str) -> String {
    format!(
        "RESPMOD icap://s/x ICAP/1.0\r\nHost: s\r\n{fields}Encapsulated: res-hdr=0, res-body={}\r\n\r\n{PAGE}",
        PAGE.len(),
    )
}

/// REQMOD of [`FORM`] up to the body.
pub(crate) fn reqmod(fields: &str) -> String {
    format!(
        "REQMOD icap://s/x ICAP/1.0\r\nHost: s\r\n{fields}Encapsulated: req-hdr=0, req-body={}\r\n\r\n{FORM}",
        FORM.len(),
    )
}

/// REQMOD of [`GET`], which has no body.
pub(crate) fn reqmod_get(fields: &str) -> String {
    format!(
        "REQMOD icap://s/x ICAP/1.0\r\nHost: s\r\n{fields}Encapsulated: req-hdr=0, null-body={}\r\n\r\n{GET}",
        GET.len(),
    )
}

/// One chunk.
pub(crate) fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Longer than any wait that the tests are about, where the clock is paused; a server that hangs fails its test.
const PATIENCE: Duration = Duration::from_secs(100_000);

pub(crate) const LAST: &str = "0\r\n\r\n";
pub(crate) const IEOF: &str = "0; ieof\r\n\r\n";

/// A body of what a closure gives.
pub(crate) fn polled(
    poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Bytes>> + Send + Unpin + 'static,
) -> impl Body<Data = Bytes, Error = Infallible> + Send {
    struct Polled<F>(F);
    impl<F: FnMut(&mut Context<'_>) -> Poll<Option<Bytes>> + Unpin> Body for Polled<F> {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            (self.0)(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }
    Polled(poll)
}

pub(crate) struct Client<IO> {
    pub(crate) io: IO,
    pub(crate) input: BytesMut,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: ResponseHead,
    pub(crate) body: Bytes,
    pub(crate) trailers: Headers,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| std::str::from_utf8(value).unwrap())
    }
    pub(crate) fn encapsulated(&self) -> String {
        self.head.encapsulated().map(ToString::to_string).unwrap_or_default()
    }
}

impl<IO> Client<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, input: BytesMut::new() }
    }
}

impl<IO: AsyncWrite + Unpin> Client<IO> {
    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.io.write_all(text.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }
}

impl<IO: AsyncRead + Unpin> Client<IO> {
    /// The next answer, which must have an `ISTag`.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let (body, trailers) = if head.has_body() {
            self.body().await.expect("the body is whole")
        } else {
            <_>::default()
        };
        Answer { head, body, trailers }
    }

    pub(crate) async fn head(&mut self) -> ResponseHead {
        let (limits, leniency) = (Limits::default(), Leniency::strict());
        loop {
            if let Some((head, size)) =
                ResponseHead::parse(&self.input, &limits, &leniency).unwrap()
            {
                let _ = self.input.split_to(size);
                assert!(head.istag().is_some(), "no ISTag in {head:?}");
                return head;
            }
            assert!(self.more().await, "closed inside a head: {:?}", self.input);
        }
    }

    /// The chunked body; what came of it when it is cut off.
    pub(crate) async fn body(&mut self) -> Result<(Bytes, Headers), Bytes> {
        let (limits, leniency) = (Limits::default(), Leniency::strict());
        let mut decoder = ChunkDecoder::default();
        let mut body = BytesMut::new();
        loop {
            match decoder.decode(&mut self.input, &limits, &leniency).unwrap() {
                Some(Part::Data(data)) => body.extend_from_slice(&data),
                Some(Part::End(end)) => return Ok((body.freeze(), end.trailers)),
                Some(_) => unreachable!(),
                None if self.more().await => {}
                None => return Err(body.freeze()),
            }
        }
    }

    pub(crate) async fn more(&mut self) -> bool {
        self.input.reserve(64 * 1024);
        let read = tokio::time::timeout(PATIENCE, self.io.read_buf(&mut self.input));
        read.await.expect("something comes, or the end").unwrap_or(0) > 0
    }

    /// Nothing comes, for now.
    pub(crate) async fn is_silent(&mut self) -> bool {
        self.input.is_empty()
            && tokio::time::timeout(Duration::from_millis(50), self.more()).await.is_err()
    }

    /// The server closes, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.input.is_empty() && !self.more().await
    }
}
