//! A server that does what its script says.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use icap_client::{Adapted, Client, ClientBuilder, Error, Original, Outcome, Reqmod, Respmod};
use icap_proto::HttpHead;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// V9 of the golden vectors.
pub(crate) const NO_CONTENT: &str = "ICAP/1.0 204 No Content\r\nISTag: \"t1\"\r\n\r\n";
pub(crate) const CONTINUE: &str = "ICAP/1.0 100 Continue\r\n\r\n";
/// V8 of the golden vectors.
pub(crate) const HELLO: &str = "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, res-body=38\r\n\r\n\
    HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n5\r\nHELLO\r\n0\r\n\r\n";

/// Where a scripted server listens.
pub(crate) struct Peer {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// A builder for a client of this server that sends no `User-Agent`.
    pub(crate) fn client(&self) -> ClientBuilder {
        by_hand(&format!("icap://{}/s", self.address)).user_agent("")
    }

    pub(crate) async fn accept(&self) -> Connection {
        Connection::new(self.listener.accept().await.unwrap().0)
    }
}

/// A builder for a client that does what the test says and asks for no OPTIONS before.
pub(crate) fn by_hand(uri: &str) -> ClientBuilder {
    Client::builder(uri).negotiate(false)
}

/// Starts a server that plays `script`. The handle gives what the script gives and fails when it fails.
pub(crate) async fn serve<F, R>(script: impl FnOnce(Peer) -> F) -> (ClientBuilder, JoinHandle<R>)
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let peer = Peer::bind().await;
    let builder = peer.client();
    (builder, tokio::spawn(script(peer)))
}

/// A connection that a client opened.
pub(crate) struct Connection<T = TcpStream> {
    io: T,
    read: Vec<u8>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    pub(crate) const fn new(io: T) -> Self {
        Self { io, read: Vec::new() }
    }

    /// Reads a request up to the start of its body: the ICAP head and the HTTP heads behind it.
    pub(crate) async fn head(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let list = head.lines().find_map(|line| line.strip_prefix("Encapsulated: "));
        let length = list.map_or(0, |list| list.rsplit_once('=').unwrap().1.parse().unwrap());
        (head, self.take(length).await)
    }

    /// Reads up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.read.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                return self.take(at + end.len()).await;
            }
            assert!(self.fill().await > 0, "the client closed before {end:?}: {}", self.buffered());
        }
    }

    /// Reads exactly this.
    pub(crate) async fn expect(&mut self, text: &str) {
        assert_eq!(self.take(text.len()).await, text);
    }

    /// Reads so many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> String {
        while self.read.len() < count {
            assert!(self.fill().await > 0, "the client closed: {}", self.buffered());
        }
        let rest = self.read.split_off(count);
        String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned()
    }

    /// Reads to the end of the connection and gives the number of bytes; a reset is an end too.
    pub(crate) async fn drain(&mut self) -> usize {
        let mut count = self.read.len();
        loop {
            self.read.clear();
            match self.io.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return count,
                Ok(more) => count += more,
            }
        }
    }

    /// Reads up to and with `end`, however long it takes, and gives the number of bytes.
    pub(crate) async fn count(&mut self, end: &str) -> usize {
        let mut count = 0;
        while !self.read.ends_with(end.as_bytes()) {
            let keep = self.read.len().saturating_sub(end.len());
            count += self.read.drain(..keep).count();
            assert!(self.fill().await > 0, "the client closed before {end:?}");
        }
        count += self.read.len();
        self.read.clear();
        count
    }

    /// The next request head, if the client sends one more.
    pub(crate) async fn next_head(&mut self) -> Option<(String, String)> {
        if self.read.is_empty() && self.fill().await == 0 {
            return None;
        }
        Some(self.head().await)
    }

    /// The client closes without sending anything more.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(self.drain().await, 0);
    }

    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.io.write_all(text.as_ref()).await.unwrap();
    }

    /// Writes if the client still takes it.
    pub(crate) async fn try_write(&mut self, text: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.io.write_all(text.as_ref()).await
    }

    async fn fill(&mut self) -> usize {
        self.io.read_buf(&mut self.read).await.unwrap()
    }

    fn buffered(&self) -> String {
        self.read.escape_ascii().to_string()
    }
}

impl Connection {
    /// Nothing has arrived that was not read.
    pub(crate) async fn quiet(&mut self) {
        tokio::task::yield_now().await;
        let mut byte = [0u8; 1];
        let error = self.io.try_read(&mut byte).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert!(self.read.is_empty(), "{}", self.buffered());
    }

    /// Closes so that the client sees a reset, not an end.
    pub(crate) fn reset(self) {
        self.io.set_zero_linger().unwrap();
    }

    /// The socket and what was read of it ahead.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.io, self.read)
    }
}

/// `POST /p` with a body.
pub(crate) fn post<B>(body: B) -> Reqmod<B> {
    Reqmod::new(HttpHead::request("POST", "/p", [("Host", "h")]).unwrap(), body)
}

/// `GET /a` without one.
pub(crate) fn get() -> Reqmod<Full<Bytes>> {
    Reqmod::new(HttpHead::request("GET", "/a", [("Host", "h")]).unwrap(), text(""))
}

/// `200 OK` with a body, in answer to `GET /a`.
pub(crate) fn page<B>(body: B) -> Respmod<B> {
    let request = HttpHead::request("GET", "/a", [("Host", "h")]).unwrap();
    let head = HttpHead::response(200, "OK", [("Content-Type", "text/plain")]).unwrap();
    Respmod::new(head, body).request(request)
}

/// A body in one frame that knows its length.
pub(crate) fn text(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

/// An answer with a body.
pub(crate) fn ok(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    format!(
        "ICAP/1.0 200 OK\r\nISTag: \"t1\"\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{head}{:x}\r\n{body}\r\n0\r\n\r\n",
        head.len(),
        body.len()
    )
}

/// The text of a body.
pub(crate) async fn read<B>(body: B) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) fn unmodified<B>(outcome: Outcome<B>) -> Original<B> {
    match outcome {
        Outcome::Unmodified(original) => original,
        _ => panic!("modified"),
    }
}

/// Holds an outcome to be a 204.
pub(crate) fn passes<B>(outcome: Outcome<B>) {
    drop(unmodified(outcome));
}

pub(crate) fn modified<B>(outcome: Outcome<B>) -> Adapted<B> {
    match outcome {
        Outcome::Modified(adapted) => adapted,
        _ => panic!("not modified"),
    }
}

pub(crate) fn answered<B>(outcome: Outcome<B>) -> Adapted<B> {
    match outcome {
        Outcome::Answered(adapted) => adapted,
        _ => panic!("not answered"),
    }
}

/// Holds an error to its text.
pub(crate) fn shows(error: &Error, expected: &str) {
    assert_eq!(error.to_string(), expected);
}
