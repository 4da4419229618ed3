//! Connections that wait for their next exchange.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use icap_proto::client::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What bytes travel on.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

/// A connection to a server and the dialogue on it.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) io: Box<dyn Transport>,
}

/// Idle connections to one server, the one used last on top.
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
    max_idle: usize,
    max_age: Duration,
}

struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    /// A pool of up to `max_idle` connections, each idle for up to `max_age`.
    pub(crate) const fn new(max_idle: usize, max_age: Duration) -> Self {
        Self { idle: Mutex::new(Vec::new()), max_idle, max_age }
    }

    /// An idle connection on which nothing has happened, if there is one.
    pub(crate) async fn take(&self) -> Option<Link> {
        loop {
            let mut link = self.pop()?;
            if is_quiet(&mut link).await {
                return Some(link);
            }
            tracing::debug!("dropped an idle connection: the server closed it or sent something");
        }
    }

    /// Keeps a connection that can carry another exchange.
    pub(crate) fn put(&self, mut link: Link) {
        link.connection.relax();
        let mut idle = self.lock();
        // Nobody else clears what is never taken: the oldest lie at the bottom.
        idle.retain(|idle| self.is_fresh(idle));
        if self.max_idle == 0 {
            return;
        }
        if idle.len() >= self.max_idle {
            idle.remove(0);
        }
        idle.push(Idle { link, since: Instant::now() });
    }

    fn pop(&self) -> Option<Link> {
        let mut idle = self.lock();
        match idle.pop() {
            Some(newest) if self.is_fresh(&newest) => Some(newest.link),
            // What lies below is older still.
            _ => {
                idle.clear();
                None
            }
        }
    }

    fn is_fresh(&self, idle: &Idle) -> bool {
        idle.since.elapsed() <= self.max_age
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
