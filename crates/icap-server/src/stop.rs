//! The signal that tells connections to end.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Set once, seen by all connections.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    set: AtomicBool,
    notify: Notify,
}

impl Stop {
    pub(crate) fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    pub(crate) fn listen(&self) -> Listener<'_> {
        Listener { stop: self, notified: Box::pin(self.notify.notified()), registered: None }
    }
}

/// Wakes one connection when the signal is set.
pub(crate) struct Listener<'a> {
    stop: &'a Stop,
    notified: Pin<Box<Notified<'a>>>,
    /// The waker that `notified` holds. Asking it again would take a lock that all connections share.
    registered: Option<Waker>,
}

impl Listener<'_> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.is_set() {
            return Poll::Ready(());
        }
        if self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.registered = Some(cx.waker().clone());
        self.notified.as_mut().poll(cx)
    }
}
