//! How long the server waits.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the server waits for a client. [`Duration::MAX`] means for ever.
///
/// ```
/// let mut timeouts = icap_server::Timeouts::default();
/// timeouts.idle = std::time::Duration::from_secs(300);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For the TLS handshake, 10 s. The connection is dropped.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its heads, 30 s. The client gets 408.
    pub head: Duration,
    /// Between requests, 60 s. The connection is closed without a word.
    pub idle: Duration,
    /// Without a byte of a body that the handler waits for, 30 s. The client gets 408, or sees its answer broken
    /// off when it had begun.
    pub body: Duration,
    /// Bytes of a body for each second that is waited for it, 16; 0 for no such limit. Against clients that send
    /// just enough to stay below `body`: all the waiting for one body together may take the time of `body`, and
    /// as long as its bytes take at this rate. What the handler takes for itself does not count. As in `body`, the
    /// client gets 408.
    pub body_rate: u32,
    /// Without room for a byte of the answer, 30 s. The connection is dropped.
    pub write: Duration,
    /// For throwing away what is left of a request after its answer, 5 s. The connection is closed.
    pub drain: Duration,
    /// For transactions in flight when the server stops, 30 s. They are dropped.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            body_rate: 16,
            write: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// The one timer of a connection. Deadlines mostly move into the future, so it is left to fire too early and set
/// anew then: moving it each time costs more.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The waker that `sleep` holds. To ask it again costs more than to see that it has not fired.
    registered: Option<Waker>,
}

impl Timer {
    /// Whether the deadline has passed; otherwise the task is woken then.
    pub(crate) fn poll_elapsed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        } else if !sleep.is_elapsed()
            && self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        // Without the task's budget: with none left it would not be set at all.
        while pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        self.registered = Some(cx.waker().clone());
        Poll::Pending
    }
}
