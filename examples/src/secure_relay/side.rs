//! One end of a tunnel.
//!
//! Memory: a side has some only for bytes that the other does not take yet; each holds at most [`buffer::SIZE`] of
//! those that it is to send and as many that it has read, with TLS a record or two more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::buffer::{self, Buffer, ReadAhead};

/// A connection as the tunnel sees it.
#[derive(Debug)]
pub(crate) enum Side {
    Plain(Plain),
    Front(Box<server::TlsStream<ReadAhead>>),
    Back(Box<client::TlsStream<ReadAhead>>),
}

impl Side {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::Plain(Plain { stream, input: Buffer::default(), output: Buffer::default() })
    }

    /// The server's end of TLS.
    pub(crate) fn front(mut stream: server::TlsStream<ReadAhead>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(buffer::SIZE));
        Self::Front(Box::new(stream))
    }

    /// The client's end of TLS.
    pub(crate) fn back(mut stream: client::TlsStream<ReadAhead>) -> Self {
        stream.get_mut().1.set_buffer_limit(Some(buffer::SIZE));
        Self::Back(Box::new(stream))
    }

    /// Makes the end of this side a reset: the other side did not end as it should.
    pub(crate) fn cut(&self) {
        let stream = match self {
            Self::Plain(plain) => &plain.stream,
            Self::Front(tls) => tls.get_ref().0.get_ref(),
            Self::Back(tls) => tls.get_ref().0.get_ref(),
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
            Self::Plain(plain) => plain.input.consume(bytes),
            Self::Front(tls) => Pin::new(tls).consume(bytes),
            Self::Back(tls) => Pin::new(tls).consume(bytes),
        }
    }

    /// Whether it holds what has to be sent before more is read for it.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            // What is read in vain lies in TLS, with what came behind it.
            Self::Plain(plain) => !plain.output.has_room(),
            // It sends at once all that can be sent.
            Self::Front(tls) => tls.get_ref().1.wants_write(),
            Self::Back(tls) => tls.get_ref().1.wants_write(),
        }
    }

    pub(crate) fn writer(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        match self {
            Self::Plain(plain) => plain,
            Self::Front(tls) => tls,
            Self::Back(tls) => tls,
        }
    }
}

/// TCP. What is written is sent with the next flush, or when it is much.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
    input: Buffer,
    output: Buffer,
}

impl Plain {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.input.is_empty() {
            ready!(self.input.poll_fill(&mut self.stream, cx))?;
        }
        Poll::Ready(Ok(self.input.filled()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, output, .. } = &mut *self;
        // A small record is copied to go with the next. To copy more would save no write.
        if output.is_empty() && bytes.len() > buffer::SIZE / 2 {
            return Pin::new(stream).poll_write(cx, bytes);
        }
        match output.append(bytes) {
            0 => {
                ready!(output.poll_drain(stream, cx))?;
                Poll::Ready(Ok(output.append(bytes)))
            }
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, output, .. } = &mut *self;
        output.poll_drain(stream, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, output, .. } = &mut *self;
        ready!(output.poll_drain(stream, cx))?;
        Pin::new(stream).poll_shutdown(cx)
    }
}
