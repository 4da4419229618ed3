//! One end of a tunnel.
//!
//! Memory: TLS sides lend the bytes that rustls has decrypted anyway, plain sides have a buffer only while there is
//! something in it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// Bytes of one read of a plain side, and of unsent TLS records.
pub(crate) const BUFFER: usize = 16 * 1024;

/// A connection as the tunnel sees it.
#[derive(Debug)]
pub(crate) enum Side {
    Plain(Plain),
    Front(Box<server::TlsStream<TcpStream>>),
    Back(Box<client::TlsStream<TcpStream>>),
}

impl Side {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::Plain(Plain { stream, buffer: Vec::new(), start: 0 })
    }

    /// The server's end of TLS.
    pub(crate) fn front(mut stream: server::TlsStream<TcpStream>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(BUFFER));
        Self::Front(Box::new(stream))
    }

    /// The client's end of TLS.
    pub(crate) fn back(mut stream: client::TlsStream<TcpStream>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(BUFFER));
        Self::Back(Box::new(stream))
    }

    /// Makes the end of this side a reset: the other side did not end as it should.
    pub(crate) fn cut(&self) {
        let stream = match self {
            Self::Plain(plain) => &plain.stream,
            Self::Front(tls) => tls.get_ref().0,
            Self::Back(tls) => tls.get_ref().0,
        };
        let _ = stream.set_zero_linger();
    }

    /// Bytes that are there, none at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        match self {
            Self::Plain(plain) => plain.poll_fill(cx),
            Self::Front(tls) => Pin::new(tls).poll_fill_buf(cx),
            Self::Back(tls) => Pin::new(tls).poll_fill_buf(cx),
        }
    }

    /// So many of them have been taken.
    pub(crate) fn consume(&mut self, bytes: usize) {
        match self {
            Self::Plain(plain) => plain.start = plain.start.saturating_add(bytes),
            Self::Front(tls) => Pin::new(tls).consume(bytes),
            Self::Back(tls) => Pin::new(tls).consume(bytes),
        }
    }

    pub(crate) fn writer(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        match self {
            Self::Plain(plain) => &mut plain.stream,
            Self::Front(tls) => tls,
            Self::Back(tls) => tls,
        }
    }
}

/// TCP, with a buffer while there is something to read.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Plain {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        while self.start >= self.buffer.len() {
            if self.stream.poll_read_ready(cx)?.is_pending() {
                self.buffer = Vec::new();
                self.start = 0;
                return Poll::Pending;
            }
            self.buffer.resize(BUFFER, 0);
            match self.stream.try_read(&mut self.buffer) {
                Ok(read) => {
                    self.buffer.truncate(read);
                    self.start = 0;
                    if read == 0 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.buffer.clear(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(self.buffer.get(self.start..).unwrap_or_default()))
    }
}
