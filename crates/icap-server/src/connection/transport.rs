//! Moves the bytes of one connection and watches how long that takes.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use icap_proto::server::Connection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::Timeouts;
use crate::server::Shared;
use crate::timeouts::Timer;

/// Output that is queued before more is asked for. Below it the head of an answer and the data behind it wait for
/// each other, to leave in one write.
const HIGH_WATER: usize = 64 * 1024;
/// Parts of output that are written without room for more of them being prepared.
const FEW_PARTS: usize = 8;
/// Bytes that are read and thrown away behind the last answer, so that closing does not destroy it. A client that
/// sends more is held for [`Timeouts::drain`] and then closed.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_READ: usize = 16 * 1024;

thread_local! {
    /// For input. A connection that waits for a request has no buffer, and one that reads is done with it soon: mostly
    /// one does for all of a thread.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// A stream and the dialogue on it.
pub(super) struct Transport<IO> {
    io: IO,
    pub(super) connection: Connection,
    timeouts: Timeouts,
    timer: Timer,
    /// Since when the client takes nothing.
    write_wait: Option<Instant>,
    /// Something was written that the stream may still hold back.
    unflushed: bool,
}

/// Why a connection ended without being closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the client takes nothing")]
    WriteTimeout,
}

impl<IO> Transport<IO> {
    pub(super) fn new(io: IO, shared: &Shared) -> Self {
        Self {
            io,
            connection: Connection::new(shared.limits, shared.leniency),
            timeouts: shared.timeouts,
            timer: Timer::default(),
            write_wait: None,
            unflushed: false,
        }
    }

    /// Whether so much output waits that no more should be produced.
    pub(super) fn is_full(&mut self) -> bool {
        self.connection.output().remaining() >= HIGH_WATER
    }

    /// Whether the system has taken all there was to write.
    pub(super) fn is_written(&mut self) -> bool {
        !self.connection.output().has_remaining() && !self.unflushed
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Transport<IO> {
    /// Gives back the buffers of a connection that waits for a request.
    pub(super) fn relax(&mut self) {
        if let Some(buffer) = self.connection.relax() {
            SPARE.set(buffer);
        }
    }

    /// Reads once.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.lend(|| SPARE.take());
        let mut room = self.connection.input();
        // The future holds nothing between two polls.
        let read = ready!(pin!(self.io.read_buf(&mut room)).poll(cx))?;
        if read == 0 {
            self.connection.input_closed();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all output; ready when there is none left.
    // Mostly there is none.
    #[inline]
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_written() && self.poll_write_all(cx)?.is_pending() {
            self.write_wait.get_or_insert_with(Instant::now);
            return Poll::Pending;
        }
        self.write_wait = None;
        Poll::Ready(Ok(()))
    }

    // In `poll_write` it would make that too long to be put in place.
    #[inline(never)]
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.output().has_remaining() {
            let written = ready!(self.poll_write_some(cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.write_wait = None;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { io, connection, .. } = self;
        let output = connection.output();
        // A plain write costs the system less than a vectored one.
        if output.chunk().len() == output.remaining() {
            let written = ready!(Pin::new(io).poll_write(cx, output.chunk()))?;
            output.advance(written);
            return Poll::Ready(Ok(written));
        }
        let mut parts = [IoSlice::new(&[]); FEW_PARTS];
        let used = output.chunks_vectored(&mut parts);
        match parts.get(..used) {
            Some(parts) if used < FEW_PARTS && io.is_write_vectored() => {
                let written = ready!(Pin::new(io).poll_write_vectored(cx, parts))?;
                output.advance(written);
                Poll::Ready(Ok(written))
            }
            _ => pin!(io.write_buf(output)).poll(cx),
        }
    }

    /// Waits until `since` is longer ago than `limit`, or fails when the client takes nothing for too long.
    pub(super) fn poll_deadline(
        &mut self,
        waiting: Option<(Instant, Duration)>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        let own = waiting.and_then(|(since, limit)| since.checked_add(limit));
        let write = self.write_wait.and_then(|since| since.checked_add(self.timeouts.write));
        let Some(first) = own.into_iter().chain(write).min() else {
            return Poll::Pending;
        };
        ready!(self.timer.poll_elapsed(first, cx));
        Poll::Ready(if write == Some(first) { Err(Lost::WriteTimeout) } else { Ok(()) })
    }

    /// Writes what is left and closes.
    ///
    /// While bytes of the client are on their way, closing at once would answer them with a reset, which can
    /// destroy the answer that the client has not read yet. So the write side is closed first, and what comes is
    /// read for a while (RFC 9112 section 9.6).
    pub(super) async fn close(&mut self) {
        let linger = self.connection.should_linger();
        let written = poll_fn(|cx| match self.poll_write(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Lost::from)),
            Poll::Pending => self.poll_deadline(None, cx),
        });
        if written.await.is_ok() {
            // What cannot be closed in order within this time is closed by dropping it.
            let limit = self.timeouts.drain;
            let _ = timeout(limit, self.shut_down(linger)).await;
        }
    }

    /// Writes a text that is part of no dialogue, and closes.
    pub(super) async fn say_and_close(&mut self, text: &[u8]) {
        let limit = self.timeouts.drain;
        let say = async {
            self.io.write_all(text).await?;
            self.shut_down(true).await
        };
        // As above.
        let _ = timeout(limit, say).await;
    }

    async fn shut_down(&mut self, linger: bool) -> io::Result<()> {
        self.io.shutdown().await?;
        if !linger {
            return Ok(());
        }
        let mut left = LINGER_BYTES;
        let mut scratch = BytesMut::new();
        while left > 0 {
            scratch.clear();
            scratch.reserve(LINGER_READ);
            match self.io.read_buf(&mut scratch).await? {
                0 => return Ok(()),
                read => left = left.saturating_sub(read),
            }
        }
        // Closing now would be the reset that this is to avoid. What is not read stops the client from sending, but
        // not from taking the answer, which may still be in the buffers of the system.
        std::future::pending().await
    }
}
