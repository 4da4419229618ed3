//! How long things may take.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Time limits of a [`Client`](crate::Client). [`Duration::MAX`] is no limit.
///
/// ```
/// let mut timeouts = icap_client::Timeouts::default();
/// timeouts.io = std::time::Duration::from_secs(300); // a scanner that unpacks archives
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the look-up of the host to the open connection, all its addresses together. 10 seconds.
    pub connect: Duration,
    /// For how long the server may do nothing while something is expected of it: taking bytes, answering,
    /// going on with its answer. Each byte that moves starts it anew; the time that the caller's own body takes
    /// does not count. 60 seconds.
    ///
    /// A scanner is silent while it works, so this is also the longest that a scan may take.
    pub io: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), io: Duration::from_secs(60) }
    }
}

/// What was going on when the time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the host and connecting.
    Connect,
    /// The server took no bytes of the request.
    Send,
    /// The server had the preview and did not say how to go on.
    Preview,
    /// The server had the request and did not answer.
    Answer,
    /// The server stopped in the middle of the answer's body.
    Body,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "while connecting",
            Self::Send => "while sending the request",
            Self::Preview => "while waiting for the answer to the preview",
            Self::Answer => "while waiting for the answer",
            Self::Body => "inside the body of the answer",
        })
    }
}

/// A timer that every byte starts anew.
#[derive(Debug)]
pub(crate) struct Inactivity {
    limit: Duration,
    /// When the time is up, once somebody waits.
    deadline: Option<Instant>,
    /// Made when it is first waited for: most answers are quick.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Inactivity {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, deadline: None, sleep: None }
    }

    /// Something moved, or nothing is expected.
    pub(crate) const fn restart(&mut self) {
        self.deadline = None;
    }

    /// Ready when nothing moved for the limit. The time starts with the first poll after a restart.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => match Instant::now().checked_add(self.limit) {
                Some(deadline) => *self.deadline.insert(deadline),
                None => return Poll::Pending,
            },
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            // A timer set for an earlier deadline may run to its end: cheaper than moving it with each byte.
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
