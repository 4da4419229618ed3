//! What goes over the wire, for a person who looks for a fault.

mod framing;
mod redact;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::connect::BoxTransport;
use redact::Redactor;

/// Looks at the bytes of the connections of a client, see [`ClientBuilder::tap`](crate::ClientBuilder::tap). A function
/// of a [`Tapped`] is one.
pub trait Tap: Send + Sync + 'static {
    /// Some bytes were written or read. It is called between two steps of the exchange, which waits for it.
    fn tapped(&self, tapped: &Tapped<'_>);
}

impl<F: Fn(&Tapped<'_>) + Send + Sync + 'static> Tap for F {
    fn tapped(&self, tapped: &Tapped<'_>) {
        self(tapped);
    }
}

/// Bytes of one direction of a connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tapped<'a> {
    /// Counts the connections of the client, from 1.
    pub connection: u64,
    /// Since the connection was opened.
    pub elapsed: Duration,
    /// Which way they went.
    pub direction: Direction,
    /// What was said, with `*` for each byte of a secret, and without what a body has beyond the limit.
    pub bytes: &'a [u8],
    /// Bytes of bodies that were left out so far in this message.
    pub omitted: u64,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// From the client to the server.
    Sent,
    /// From the server to the client.
    Received,
}

/// The tap of a client.
#[derive(Clone)]
pub(crate) struct Taps {
    tap: Arc<dyn Tap>,
    body_limit: u64,
    connections: Arc<AtomicU64>,
}

impl Taps {
    pub(crate) fn new(tap: impl Tap, body_limit: u64) -> Self {
        Self { tap: Arc::new(tap), body_limit, connections: Arc::default() }
    }

    /// The same transport with the tap on it.
    pub(crate) fn wrap(&self, io: BoxTransport) -> BoxTransport {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let redactor = || Redactor::new(self.body_limit);
        Box::new(TappedIo {
            io,
            tap: Arc::clone(&self.tap),
            connection,
            opened: Instant::now(),
            sent: redactor(),
            received: redactor(),
        })
    }
}

/// A transport that shows what passes.
struct TappedIo {
    io: BoxTransport,
    tap: Arc<dyn Tap>,
    connection: u64,
    opened: Instant,
    sent: Redactor,
    received: Redactor,
}

impl TappedIo {
    fn show(&mut self, direction: Direction, raw: &[u8]) {
        let redactor = match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        };
        let bytes = redactor.redact(raw);
        self.tap.tapped(&Tapped {
            connection: self.connection,
            elapsed: self.opened.elapsed(),
            direction,
            bytes: &bytes,
            omitted: redactor.omitted(),
        });
    }
}

impl AsyncRead for TappedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if !read.is_empty() {
            this.show(Direction::Received, read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TappedIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.show(Direction::Sent, bytes.get(..written).unwrap_or(bytes));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, slices))?;
        let mut rest = written;
        for slice in slices {
            let part = slice.get(..rest.min(slice.len())).unwrap_or_default();
            rest = rest.saturating_sub(part.len());
            if !part.is_empty() {
                this.show(Direction::Sent, part);
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
