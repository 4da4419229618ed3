//! Ways to a server other than the default.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use icap_client::{Connect, Error};
use icap_proto::ServiceUri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::peer::{HELLO, NO_CONTENT, answered, by_hand, get, passes, post, read, serve};

/// Another address under the name of the service.
#[tokio::test]
async fn a_function_connects() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let head = peer.head().await.0;
        peer.write(NO_CONTENT).await;
        head
    })
    .await;
    let port = client.build().unwrap().uri().port();
    let connector = move |uri: ServiceUri| {
        assert_eq!((uri.host(), uri.port()), ("av.example", 1344));
        TcpStream::connect(("127.0.0.1", port))
    };
    let client = by_hand("icap://av.example/s").connector(connector).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    assert!(
        server
            .await
            .unwrap()
            .starts_with("REQMOD icap://av.example/s ICAP/1.0\r\nHost: av.example")
    );
}

#[tokio::test]
async fn what_a_connector_says_is_told() {
    let connector = |_: ServiceUri| async { Err::<TcpStream, _>(io::Error::other("no tunnel")) };
    let client = by_hand("icap://s/").connector(connector).build().unwrap();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert_eq!(failure.to_string(), "cannot connect: no tunnel");
    assert!(matches!(failure.error(), Error::Connect(_)) && failure.original().is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_connect() {
    use icap_client::UnixConnector;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let path = std::env::temp_dir().join(format!("icap-client-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let builder = || by_hand("icap://localhost/s").connector(UnixConnector::new(&path));
    let server = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let mut text = Vec::new();
            while !text.ends_with(b"Host: h\r\n\r\n") {
                assert!(io.read_buf(&mut text).await.unwrap() > 0);
            }
            io.write_all(NO_CONTENT.as_bytes()).await.unwrap();
        }
    });
    let client = builder().build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let failure = builder().build().unwrap().reqmod(get()).await.unwrap_err();
    assert!(failure.to_string().contains(".sock: No such file"), "{failure}");
}

/// A connection that counts vectored writes.
struct Counted {
    io: TcpStream,
    vectored: Arc<AtomicUsize>,
}

struct Counting {
    port: u16,
    vectored: Arc<AtomicUsize>,
}

impl Connect for Counting {
    type Io = Counted;

    async fn connect(&self, _: &ServiceUri) -> io::Result<Counted> {
        let io = TcpStream::connect(("127.0.0.1", self.port)).await?;
        Ok(Counted { io, vectored: Arc::clone(&self.vectored) })
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if buffers.len() > 1 {
            self.vectored.fetch_add(1, Ordering::Relaxed);
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Heads and pieces of a body go out together, whatever kind of connection it is.
#[tokio::test]
async fn vectored_writes_get_through() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let port = client.build().unwrap().uri().port();
    let vectored = Arc::new(AtomicUsize::new(0));
    let connector = Counting { port, vectored: Arc::clone(&vectored) };
    let builder = by_hand("icap://s/").connector(connector);
    let client = builder.no_preview().build().unwrap();
    // Small pieces are copied together.
    let large = Full::new(Bytes::from(vec![b'x'; 50_000]));
    let outcome = client.reqmod(post(large)).await.unwrap();
    assert_eq!(read(answered(outcome)).await, "HELLO");
    assert!(vectored.load(Ordering::Relaxed) > 0);
    server.await.unwrap();
}
