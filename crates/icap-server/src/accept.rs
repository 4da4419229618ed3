//! The accept loop: who is let in, and how many.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Sleep, interval, sleep, timeout};

use crate::listener::Accepted;
use crate::peer::Peer;
use crate::server::Shared;
use crate::stream::Stream;
use crate::{AllowList, Listener, connection, metrics};

/// Connections that are told at length that there is no room for them; others get as much as can be written at
/// once.
const REFUSALS: usize = 64;
/// How long to wait when the system has no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a stop says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) max_connections: usize,
    pub(crate) max_per_address: Option<usize>,
    pub(crate) sources: Option<AllowList>,
}

/// All listeners of a server and the connections that came of them.
pub(crate) struct Front {
    listeners: Vec<Listener>,
    door: Door,
    shared: Arc<Shared>,
    addresses: Addresses,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
    /// No connection is taken before this has passed.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Front {
    pub(crate) fn new(listeners: Vec<Listener>, door: Door, shared: Arc<Shared>) -> Self {
        Self {
            listeners,
            door,
            shared,
            addresses: Addresses::default(),
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
            pause: None,
        }
    }

    /// Takes what comes, for ever.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Infallible> {
        loop {
            while let Poll::Ready(Some(ended)) = self.connections.poll_join_next(cx) {
                report(ended);
            }
            while let Poll::Ready(Some(_)) = self.refusals.poll_join_next(cx) {}
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            // One of each, so that no listener waits for another.
            let mut accepted = Vec::new();
            for listener in &self.listeners {
                if let Poll::Ready(result) = listener.poll_accept(cx) {
                    accepted.push(result);
                }
            }
            if accepted.is_empty() {
                return Poll::Pending;
            }
            for result in accepted {
                match result {
                    Ok(accepted) => self.take(accepted),
                    Err(error) => self.survive(&error),
                }
            }
        }
    }

    fn take(&mut self, accepted: Accepted) {
        let ip = accepted.addr.map(|addr| addr.ip().to_canonical());
        if let (Some(sources), Some(ip)) = (&self.door.sources, ip)
            && !sources.allows(ip)
        {
            tracing::warn!(client = %ip, "refused: not an allowed source");
            metrics::refused("source");
            return;
        }
        if self.connections.len() >= self.door.max_connections {
            return self.refuse(accepted, "too many connections", "capacity");
        }
        let place = match (ip, self.door.max_per_address) {
            (Some(ip), Some(max)) => match self.addresses.enter(ip, max) {
                Some(place) => Some(place),
                None => {
                    return self.refuse(
                        accepted,
                        "too many connections of this address",
                        "address",
                    );
                }
            },
            _ => None,
        };
        let shared = Arc::clone(&self.shared);
        self.connections.spawn(async move {
            let _place = place;
            let _open = shared.life.connection();
            if let Some((stream, peer)) = open(accepted, &shared).await {
                connection::serve(stream, peer, &shared).await;
            }
        });
    }

    /// Says 503, which takes its time when the connection has TLS.
    fn refuse(&mut self, accepted: Accepted, why: &str, reason: &'static str) {
        metrics::refused(reason);
        tracing::warn!(client = accepted.addr.map(tracing::field::display), "refused: {why}");
        if self.refusals.len() < REFUSALS {
            let shared = Arc::clone(&self.shared);
            self.refusals.spawn(async move {
                if let Some((stream, _)) = open(accepted, &shared).await {
                    connection::refuse(stream, &shared).await;
                }
            });
        } else if !accepted.is_tls() {
            // The buffer of a new socket has room for it. Whether it arrives is not waited for.
            let _ = accepted.socket.write_and_close(&connection::refusal(&self.shared));
        }
    }

    fn survive(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            tracing::debug!(%error, "a connection was gone before it was accepted");
            return;
        }
        tracing::warn!(%error, "cannot accept a connection");
        metrics::accept_failed();
        // Without a descriptor the next attempt fails at once.
        self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
    }

    /// Ends all connections without losing a transaction. They have the time of
    /// [`Timeouts::shutdown`](crate::Timeouts::shutdown).
    pub(crate) async fn drain(self) {
        let Self { listeners, shared, mut connections, .. } = self;
        drop(listeners);
        shared.life.stop.set();
        let mut progress = interval(PROGRESS);
        let drained = async {
            loop {
                let ended = poll_fn(|cx| match connections.poll_join_next(cx) {
                    Poll::Pending => progress.poll_tick(cx).map(|_| None),
                    ended => ended.map(Some),
                });
                match ended.await {
                    Some(Some(ended)) => report(ended),
                    Some(None) => break,
                    None => {
                        let in_flight = shared.life.in_flight();
                        tracing::info!(connections = connections.len(), in_flight, "stopping");
                    }
                }
            }
        };
        if timeout(shared.timeouts.shutdown, drained).await.is_err() {
            let in_flight = shared.life.in_flight();
            tracing::warn!(
                connections = connections.len(),
                in_flight,
                "stopped before these were done"
            );
        }
    }
}

/// What is served: the socket itself, or what is inside its TLS.
async fn open(accepted: Accepted, shared: &Shared) -> Option<(Stream, Peer)> {
    #[cfg(feature = "tls")]
    if let Some(tls) = accepted.tls {
        // In a box: the state of a handshake is large, and soon over.
        return Box::pin(tls.open(accepted.socket, accepted.addr, shared)).await;
    }
    let _ = shared;
    Some((Stream::Plain(accepted.socket), Peer::new(accepted.addr)))
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// A place for one more of this address, unless it has as many as it may.
    fn enter(&self, ip: IpAddr, max: usize) -> Option<Place> {
        let mut counts = self.lock();
        let count = counts.get(&ip).copied().unwrap_or_default();
        if count >= max {
            return None;
        }
        counts.insert(ip, count.saturating_add(1));
        Some(Place { addresses: self.clone(), ip })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts for its address until this is dropped.
struct Place {
    addresses: Addresses,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.addresses.lock().entry(self.ip) {
            match count.get().saturating_sub(1) {
                0 => drop(count.remove()),
                left => *count.get_mut() = left,
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection was lost to a panic");
    }
}
