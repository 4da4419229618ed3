//! Memory for bytes on their way. A connection has some only while bytes wait in it; else it belongs to the thread.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of one read or write.
pub(crate) const SIZE: usize = 64 * 1024;

/// How many a thread keeps: what one task uses at once.
const SPARE: usize = 3;

thread_local! {
    static SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A queue of up to [`SIZE`] bytes, without memory when it is empty.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// None at all, or `SIZE`.
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// So many of the first bytes are done with.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.end);
        if self.is_empty() {
            self.release();
        }
    }

    /// Takes as many bytes as there is room for.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        self.lend();
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..taken), bytes.get(..taken)) {
            room.copy_from_slice(bytes);
        }
        self.end = self.end.saturating_add(taken);
        taken
    }

    /// Reads once into it when it is empty; it still is at the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.lend();
        let mut room = ReadBuf::new(&mut self.bytes);
        let result = Pin::new(stream).poll_read(cx, &mut room);
        self.start = 0;
        self.end = room.filled().len();
        if self.is_empty() {
            self.release();
        }
        result
    }

    /// Writes all of it.
    pub(crate) fn poll_drain(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, self.filled()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.consume(written);
        }
        Poll::Ready(Ok(()))
    }

    fn lend(&mut self) {
        if self.bytes.is_empty() {
            let spare = SPARES.with_borrow_mut(Vec::pop);
            self.bytes = spare.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
        }
    }

    fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        (self.start, self.end) = (0, 0);
        SPARES.with_borrow_mut(|spares| {
            if !bytes.is_empty() && spares.len() < SPARE {
                spares.push(bytes);
            }
        });
    }
}

/// A TCP connection below TLS: rustls asks for 4 KiB first, which is two reads for most of what comes.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    stream: TcpStream,
    ahead: Buffer,
}

impl ReadAhead {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: Buffer::default() }
    }

    pub(crate) const fn get_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if buf.remaining() >= direct() {
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            ready!(this.ahead.poll_fill(&mut this.stream, cx))?;
        }
        let bytes = this.ahead.filled();
        let bytes = bytes.get(..buf.remaining()).unwrap_or(bytes);
        buf.put_slice(bytes);
        let taken = bytes.len();
        this.ahead.consume(taken);
        Poll::Ready(Ok(()))
    }
}

fn direct() -> usize {
    static D: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *D.get_or_init(|| std::env::var("DIRECT").ok().and_then(|v| v.parse().ok()).unwrap_or(16000))
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
