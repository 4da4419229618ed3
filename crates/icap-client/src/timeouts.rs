//! How long things may take.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::error::Error;

/// Time limits of a [`Client`](crate::Client). [`Duration::MAX`] is no limit.
///
/// ```
/// let mut timeouts = icap_client::Timeouts::default();
/// timeouts.head = std::time::Duration::from_secs(300); // a scanner that unpacks archives
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For room among the connections, where their number is [limited](crate::ClientBuilder::max_connections).
    /// 10 seconds.
    pub wait: Duration,
    /// From the look-up of the host to the open connection, all its addresses together. 10 seconds.
    pub connect: Duration,
    /// For the TLS handshake on a new connection. 10 seconds.
    pub handshake: Duration,
    /// From the last byte of the request, or of its preview, to the end of the head of the answer, however that
    /// drips. 60 seconds.
    ///
    /// A scanner is silent while it works, so this is also the longest that a scan may take.
    pub head: Duration,
    /// For all of an OPTIONS that nobody asked for by hand, from the open connection to the end of the answer. No
    /// call waits longer for what it can do without. 10 seconds.
    pub options: Duration,
    /// For how long the server may do nothing while bytes are expected to move: taking the request, going on with
    /// the body of its answer. Each byte that moves starts it anew; the time that the caller's own body takes does
    /// not count. 60 seconds.
    pub io: Duration,
    /// For everything from the start of the call to the end of the answer's body, the caller's own time included.
    /// No limit by default.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            options: Duration::from_secs(10),
            io: Duration::from_secs(60),
            total: Duration::MAX,
        }
    }
}

/// What was going on when the time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// All connections were in use.
    Wait,
    /// Looking up the host and connecting.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// The server took no bytes of the request.
    Send,
    /// The server had the preview and did not say how to go on.
    Preview,
    /// The server had the request and did not answer.
    Answer,
    /// The server stopped in the middle of the answer's body.
    Body,
    /// Whatever it was: the time for the whole call was up.
    Total,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wait => "while waiting for a free connection",
            Self::Connect => "while connecting",
            Self::Handshake => "in the TLS handshake",
            Self::Send => "while sending the request",
            Self::Preview => "while waiting for the answer to the preview",
            Self::Answer => "while waiting for the answer",
            Self::Body => "inside the body of the answer",
            Self::Total => "of the whole call",
        })
    }
}

/// The future, or [`Error::Timeout`] when it takes longer than `limit`.
pub(crate) async fn within<F: Future>(
    limit: Duration,
    stage: Stage,
    future: F,
) -> Result<F::Output, Error> {
    timeout(limit, future).await.map_err(|_| Error::Timeout(stage))
}

/// When a call that starts now has to be over.
pub(crate) fn deadline(total: Duration) -> Option<Instant> {
    if total == Duration::MAX { None } else { Instant::now().checked_add(total) }
}

/// The future, or [`Error::Timeout`] when the time for the whole call is up first.
pub(crate) async fn before<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else { return future.await };
    let ended = tokio::time::timeout_at(deadline, future).await;
    ended.unwrap_or(Err(Error::Timeout(Stage::Total)))
}

/// A timer that starts anew with everything that moves, under one that does not. It stays with a connection.
#[derive(Debug)]
pub(crate) struct Inactivity {
    head: Duration,
    io: Duration,
    /// When the time is up, once somebody waits.
    deadline: Option<Instant>,
    waiting: Alarm,
    /// When the whole call has to be over.
    total: Option<Instant>,
    over: Alarm,
}

impl Inactivity {
    pub(crate) const fn new(timeouts: &Timeouts) -> Self {
        let Timeouts { head, io, .. } = *timeouts;
        Self { head, io, deadline: None, waiting: Alarm(None), total: None, over: Alarm(None) }
    }

    /// An exchange begins, which has to be over at `total`.
    pub(crate) const fn begin(&mut self, total: Option<Instant>) {
        self.deadline = None;
        self.total = total;
    }

    /// Something moved, or nothing is expected.
    pub(crate) const fn restart(&mut self) {
        self.deadline = None;
    }

    /// Ready when nothing moved for the limit of this stage. The time starts with the first poll after a restart.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, stage: Stage) -> Poll<()> {
        let limit = match stage {
            Stage::Preview | Stage::Answer => self.head,
            _ => self.io,
        };
        if self.deadline.is_none() {
            self.deadline = Instant::now().checked_add(limit);
        }
        self.deadline.map_or(Poll::Pending, |deadline| self.waiting.poll(cx, deadline))
    }

    /// Ready when the time for the whole call is up.
    pub(crate) fn poll_total(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.total.map_or(Poll::Pending, |deadline| self.over.poll(cx, deadline))
    }
}

/// A timer made when it is first waited for, and kept for the next wait: the runtime is told of a new one by a system
/// call. One that is set for earlier runs to its end, which is cheaper than moving it with each byte.
#[derive(Debug)]
struct Alarm(Option<(runtime::Id, Pin<Box<Sleep>>)>);

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let runtime = Handle::current().id();
        // The timer of another runtime stands still with that; when that is no more it has ended, and would panic.
        self.0.take_if(|(owner, sleep)| *owner != runtime || sleep.is_elapsed());
        let fresh = || (runtime, Box::pin(sleep_until(deadline)));
        let (_, sleep) = self.0.get_or_insert_with(fresh);
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
