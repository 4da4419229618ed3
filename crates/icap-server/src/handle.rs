//! A server from outside: what it is doing, and the word to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics;
use crate::stop::Stop;

/// Watches a [`Server`](crate::Server) and stops it, from wherever it is needed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = icap_server::Server::bind("127.0.0.1:0").await?;
/// let handle = server.handle();
/// let serving = tokio::spawn(server.serve());
/// handle.stop();
/// serving.await??;
/// assert_eq!((handle.connections(), handle.in_flight()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServerHandle(pub(crate) Arc<Life>);

impl ServerHandle {
    /// Connections that are open, those in their TLS handshake among them.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Requests whose answer has not left yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Stops as [`Server::serve_until`](crate::Server::serve_until) does when its signal comes. Connections of
    /// [`Server::serve_connection`](crate::Server::serve_connection) end in the same way.
    pub fn stop(&self) {
        self.0.stop.set();
    }
}

/// What a server, its connections and its handles share.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) stop: Stop,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
}

impl Life {
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a connection until this is dropped.
    pub(crate) fn connection(&self) -> Counted<'_> {
        Counted::new(&self.connections, "icap_server_connections")
    }

    /// Counts a transaction until this is dropped.
    pub(crate) fn transaction(&self) -> Counted<'_> {
        Counted::new(&self.in_flight, "icap_server_in_flight")
    }
}

/// One more, as long as it lives.
#[must_use]
pub(crate) struct Counted<'a> {
    count: &'a AtomicUsize,
    gauge: &'static str,
}

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize, gauge: &'static str) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        metrics::begin(gauge);
        Self { count, gauge }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        metrics::end(self.gauge);
    }
}
