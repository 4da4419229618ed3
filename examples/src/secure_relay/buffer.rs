//! Memory for bytes on their way. A connection has some only while bytes wait in it; else it belongs to the thread.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of one read or write: a record of TLS. Twice as many save a twentieth of the time, and a connection whose
/// peers take nothing would hold more than 64 KiB (docs/performance.md).
pub(crate) const SIZE: usize = 16 * 1024;

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

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is room for as much as is worth a read.
    pub(crate) const fn has_room(&self) -> bool {
        self.end <= SIZE / 2
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
        if bytes.is_empty() {
            return 0;
        }
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
        // A spare one without room would look like the end of a stream to whom it is lent.
        if bytes.len() == SIZE {
            SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARE {
                    spares.push(bytes);
                }
            });
        }
    }
}

/// A TCP connection below TLS, read as much at once as there is: rustls by itself asks for 4 KiB first and never for
/// more than a record.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_takes_its_size_and_no_more() {
        let mut buffer = Buffer::default();
        assert!(buffer.is_empty() && buffer.has_room());
        assert_eq!(buffer.append(&[1; SIZE / 2]), SIZE / 2);
        assert!(buffer.has_room());
        assert_eq!(buffer.append(&[1; SIZE / 2 - 1]), SIZE / 2 - 1);
        assert!(!buffer.has_room());
        assert_eq!(buffer.append(&[2; 2]), 1);
        assert_eq!(buffer.append(&[3]), 0);
        assert_eq!(buffer.filled().last(), Some(&2));
        buffer.consume(SIZE - 1);
        assert_eq!(buffer.filled(), [2]);
    }

    #[test]
    fn an_empty_buffer_has_no_memory_and_lends_what_has_room() {
        let mut buffer = Buffer::default();
        // Twice: the second time there is nothing to give back.
        for _ in 0..2 {
            buffer.consume(0);
            assert!(buffer.bytes.is_empty());
        }
        assert_eq!(buffer.append(b""), 0);
        assert!(buffer.bytes.is_empty());
        assert_eq!(buffer.append(b"abc"), 3);
        buffer.consume(3);
        assert!(buffer.bytes.is_empty() && buffer.filled().is_empty());
        assert_eq!(buffer.append(b"abc"), 3);
        SPARES.with_borrow(|spares| assert!(spares.iter().all(|spare| spare.len() == SIZE)));
    }

    #[test]
    fn a_thread_keeps_few() {
        let mut buffers: Vec<_> = (0..SPARE + 1).map(|_| Buffer::default()).collect();
        for buffer in &mut buffers {
            buffer.append(b"abc");
        }
        for buffer in &mut buffers {
            buffer.consume(3);
        }
        SPARES.with_borrow(|spares| assert_eq!(spares.len(), SPARE));
    }
}
