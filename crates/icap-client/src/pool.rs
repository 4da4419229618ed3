//! Connections that wait for their next exchange, and room for more.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use icap_proto::client::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::connect::BoxTransport;
use crate::error::Error;
use crate::slots::Slots;
use crate::timeouts::{Inactivity, Stage, Timeouts, within};

pub(crate) use crate::slots::Permit;

/// Idle connections that keep their buffers: calls that run at the same time take and give back as many in turn.
const WARM: usize = 8;

/// A connection to a server and the dialogue on it. Boxed wherever it goes: it is large.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) io: BoxTransport,
    pub(crate) inactivity: Inactivity,
    opened: Instant,
    /// Its place among the connections. None while it is idle: then it is in the pool's hand.
    permit: Option<Permit>,
}

impl Link {
    pub(crate) fn new(
        connection: Connection,
        io: BoxTransport,
        timeouts: &Timeouts,
        permit: Permit,
    ) -> Box<Self> {
        let (inactivity, opened) = (Inactivity::new(timeouts), Instant::now());
        Box::new(Self { connection, io, inactivity, opened, permit: Some(permit) })
    }

    /// Closes the connection and gives its place out.
    pub(crate) fn into_permit(mut self: Box<Self>) -> Option<Permit> {
        self.permit.take()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // TLS says that it ends; nobody waits until that has gone out. Then the fields go in their order: the
        // socket is closed before its place is free.
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.io).poll_shutdown(&mut cx);
    }
}

/// What a pool keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// Idle connections.
    pub(crate) idle: usize,
    /// How long each may be idle.
    pub(crate) idle_age: Duration,
    /// How long after its opening a connection may be used once more.
    pub(crate) lifetime: Duration,
    /// Connections, idle and in use.
    pub(crate) connections: usize,
}

/// The connections to one server: a place for each in use, and the idle ones, the one used last on top.
///
/// There are never more than there are places: a connection is opened by somebody who holds a place and found
/// none idle.
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
    slots: Arc<Slots>,
    keep: Keep,
}

struct Idle {
    link: Box<Link>,
    /// The last moment at which it may be taken; none when there is always time.
    until: Option<Instant>,
}

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now <= until)
    }
}

impl Pool {
    pub(crate) fn new(keep: Keep) -> Self {
        let slots = Arc::new(Slots::new(keep.connections));
        Self { idle: Mutex::new(Vec::new()), slots, keep }
    }

    /// Room for a connection, if nobody has to wait for it.
    pub(crate) fn try_enter(&self) -> Option<Permit> {
        self.slots.try_take()
    }

    /// Waits for room for a connection; who waits longest is first.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after `limit`, [`Error::ClientClosed`] when the pool is or was closed.
    pub(crate) async fn enter(&self, limit: Duration) -> Result<Permit, Error> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        within(limit, Stage::Wait, self.slots.take()).await?.ok_or(Error::ClientClosed)
    }

    /// An idle connection on which nothing has happened, else the permit again.
    pub(crate) async fn take(&self, permit: Permit) -> Result<Box<Link>, Permit> {
        while let Some(mut link) = self.pop() {
            if is_quiet(&mut link).await {
                link.permit = Some(permit);
                return Ok(link);
            }
            tracing::debug!("dropped an idle connection: the server closed it or sent something");
        }
        Err(permit)
    }

    /// Keeps a connection that can carry another exchange.
    pub(crate) fn put(&self, mut link: Box<Link>) {
        let mut idle = self.lock();
        // Nobody else clears what is never taken.
        let now = Instant::now();
        let mut old: Vec<_> = idle.extract_if(.., |idle| !idle.is_fresh(now)).collect();
        if self.keep.idle == 0 || self.slots.is_closed() || self.slots.has_excess() {
            drop(idle);
            return;
        }
        if idle.len() >= self.keep.idle {
            old.push(idle.remove(0));
        }
        // Its place is free only once it lies where the next can find it.
        let permit = link.permit.take();
        // Those on top are taken next and keep their buffers.
        let below = idle.len().checked_sub(WARM).and_then(|index| idle.get_mut(index));
        if let Some(below) = below {
            below.link.connection.relax();
        }
        let Keep { idle_age, lifetime, .. } = self.keep;
        let until = [now.checked_add(idle_age), link.opened.checked_add(lifetime)];
        idle.push(Idle { link, until: until.into_iter().flatten().min() });
        drop(permit);
        // Closing is I/O.
        drop(idle);
        drop(old);
    }

    /// Sets how many connections the service takes, on top of what the caller set. Those in use go on; who waits
    /// sees the new number.
    pub(crate) fn set_cap(&self, connections: Option<usize>) {
        let cap = connections.unwrap_or(usize::MAX).min(self.keep.connections);
        self.slots.resize(cap);
        let mut idle = self.lock();
        let surplus = idle.len().saturating_sub(self.slots.free());
        let surplus: Vec<_> = idle.drain(..surplus).collect();
        drop(idle);
        drop(surplus);
    }

    /// Connections in use, and callers that wait for one.
    pub(crate) fn load(&self) -> usize {
        self.slots.used().saturating_add(self.slots.waiting())
    }

    /// Connections that carry an exchange or are about to.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.used()
    }

    /// Whether a caller would not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.free() > 0
    }

    /// Closes the idle connections, and those in use when they come back.
    pub(crate) fn close(&self) {
        self.slots.close();
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
    }

    fn pop(&self) -> Option<Box<Link>> {
        let mut idle = self.lock();
        let now = Instant::now();
        let old: Vec<_> = idle.extract_if(.., |idle| !idle.is_fresh(now)).collect();
        let newest = idle.pop();
        drop(idle);
        drop(old);
        newest.map(|newest| newest.link)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        // No code that can panic runs under the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &self.lock().len()).finish_non_exhaustive()
    }
}

/// Whether neither data nor an end has arrived. Data before a request belongs to no answer: taken for one, it
/// would give the next message the verdict of the last.
async fn is_quiet(link: &mut Link) -> bool {
    // What has arrived is only seen once the runtime has asked the operating system.
    tokio::task::yield_now().await;
    // A task that has used up its budget would find every connection quiet.
    let probe = poll_fn(|cx| {
        let mut byte = [0u8; 1];
        let read = Pin::new(&mut link.io).poll_read(cx, &mut ReadBuf::new(&mut byte));
        Poll::Ready(read.is_pending())
    });
    tokio::task::unconstrained(probe).await
}

#[cfg(test)]
mod tests {
    use icap_proto::{Leniency, Limits};

    use super::*;

    const LARGE: usize = 100_000;

    /// Its buffer is larger than one that is made anew.
    fn used(pool: &Pool) -> Box<Link> {
        let connection = Connection::new(Limits::default(), Leniency::default());
        let (io, permit) = (Box::new(tokio::io::empty()), pool.try_enter().unwrap());
        let mut link = Link::new(connection, io, &Timeouts::default(), permit);
        link.connection.input().get_mut().reserve(LARGE);
        link
    }

    /// As `ClientBuilder::max_idle` says.
    #[test]
    fn eight_keep_their_buffers() {
        let (idle_age, lifetime) = (Duration::MAX, Duration::MAX);
        let pool = Pool::new(Keep { idle: 9, idle_age, lifetime, connections: 9 });
        let links: Vec<_> = (0..9).map(|_| used(&pool)).collect();
        for link in links {
            pool.put(link);
        }
        let mut idle = pool.lock();
        let buffers = idle.iter_mut().map(|idle| idle.link.connection.input().get_ref().capacity());
        let kept: Vec<_> = buffers.map(|capacity| capacity >= LARGE).collect();
        assert_eq!(kept, [false, true, true, true, true, true, true, true, true]);
    }
}
