//! The server: what it offers, how it is set up, and its accept loop.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use icap_proto::{IsTag, Leniency, Limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::{JoinError, JoinSet};

use crate::connection;
use crate::router::{RouteError, Router};
use crate::stop::Stop;
use crate::{Service, Timeouts};

/// Connections beyond the limit that are told so at the same time; those beyond are dropped without a word.
const REFUSALS: usize = 64;
/// How long to wait when the system has no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An ICAP server and its services.
///
/// ```
/// use icap_proto::ServiceOptions;
/// use icap_server::{Reply, Server, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pass = service_fn(ServiceOptions::reqmod("Pass 1.0")?, |_| async { Ok(Reply::unmodified()) });
/// let server = Server::bind("127.0.0.1:0").await?.service("/pass", pass)?;
/// println!("icap://{}/pass", server.local_addr()?);
/// server.serve_until(async { /* a signal */ }).await?;
/// # Ok(())
/// # }
/// ```
///
/// Without a listener of its own (`Server::new`) it serves [connections](Self::serve_connection) that come from
/// elsewhere.
#[derive(Debug)]
#[must_use = "a server does nothing until serve"]
pub struct Server<L = TcpListener> {
    listener: L,
    max_connections: usize,
    shared: Shared,
}

/// What all connections of a server use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) leniency: Leniency,
    pub(crate) timeouts: Timeouts,
    pub(crate) echo_limit: usize,
    /// For answers that no service gives.
    pub(crate) tag: IsTag,
    pub(crate) stop: Stop,
}

impl Server<()> {
    /// A server without a listener.
    pub fn new() -> Self {
        Self::with_listener(())
    }
}

impl Default for Server<()> {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server that listens on this address. ICAP's port is 1344 (RFC 3507 section 4.1).
    ///
    /// # Errors
    ///
    /// The address does not resolve or cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::from_listener(TcpListener::bind(addr).await?))
    }

    /// A server on a listener that exists already, for instance one handed over by systemd.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::with_listener(listener)
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How many connections are served at a time, 10,000 unless told otherwise. Those beyond get 503.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Serves until the process ends, or until the future is dropped, and the connections with it.
    ///
    /// # Errors
    ///
    /// None at present: what a listener reports is logged and survived.
    pub async fn serve(self) -> io::Result<()> {
        self.serve_until(std::future::pending()).await
    }

    /// Serves until `shutdown` is done, then stops without losing a transaction: it accepts no more connections,
    /// closes the idle ones, answers what was asked with `Connection: close`, and gives back when all are closed
    /// or [`Timeouts::shutdown`] has passed. A request that crosses the end of an idle connection on the wire was
    /// not taken: no service has seen it, so the client can ask again elsewhere.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listener, max_connections, shared } = self;
        let shared = Arc::new(shared);
        let (mut connections, mut refusals) = (JoinSet::new(), JoinSet::new());
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = poll_fn(|cx| {
                if shutdown.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                while let Poll::Ready(Some(ended)) = connections.poll_join_next(cx) {
                    report(ended);
                }
                while let Poll::Ready(Some(_)) = refusals.poll_join_next(cx) {}
                listener.poll_accept(cx).map(Some)
            });
            match accepted.await {
                None => break,
                Some(Ok((stream, peer))) => {
                    let shared = Arc::clone(&shared);
                    if connections.len() < max_connections {
                        connections.spawn(async move { serve_tcp(stream, peer, &shared).await });
                    } else if refusals.len() < REFUSALS {
                        let refuse = async move { connection::refuse(stream, peer, &shared).await };
                        refusals.spawn(refuse);
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Without a descriptor the next attempt fails at once.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        shared.stop.set();
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(shared.timeouts.shutdown, drained).await.is_err() {
            tracing::warn!(connections = connections.len(), "stopped before these were done");
        }
        Ok(())
    }
}

impl<L> Server<L> {
    fn with_listener(listener: L) -> Self {
        let shared = Shared {
            router: Router::default(),
            limits: Limits::default(),
            leniency: Leniency::default(),
            timeouts: Timeouts::default(),
            echo_limit: 1024 * 1024,
            tag: start_tag(),
            stop: Stop::default(),
        };
        Self { listener, max_connections: 10_000, shared }
    }

    /// Adds a service under a path, which must match exactly; the query is the service's own.
    ///
    /// # Errors
    ///
    /// [`RouteError`] when the path is no absolute path or has a service already, or the service offers no method.
    pub fn service(mut self, path: &str, service: impl Service) -> Result<Self, RouteError> {
        self.shared.router.add(path, service)?;
        Ok(self)
    }

    /// How much a client may make the server hold.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.shared.limits = limits;
        self
    }

    /// Which deviations of clients are taken.
    pub const fn leniency(mut self, leniency: Leniency) -> Self {
        self.shared.leniency = leniency;
        self
    }

    /// How long the server waits for clients.
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.shared.timeouts = timeouts;
        self
    }

    /// Body bytes of one request that are kept for [`Reply::unmodified`](crate::Reply::unmodified) where the
    /// client does not allow 204; 1 MiB unless told otherwise. What the handler did not read needs no keeping.
    pub const fn echo_limit(mut self, bytes: usize) -> Self {
        self.shared.echo_limit = bytes;
        self
    }

    /// Serves one connection until it ends. `peer` is what [`Request::peer_addr`](crate::Request::peer_addr) and
    /// the log say.
    ///
    /// ```
    /// use icap_proto::ServiceOptions;
    /// use icap_server::{Reply, Server, service_fn};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pass = service_fn(ServiceOptions::reqmod("Pass 1.0")?, |_| async { Ok(Reply::unmodified()) });
    /// let server = Server::new().service("/pass", pass)?;
    /// let (mut client, stream) = tokio::io::duplex(1024);
    /// let mut answer = String::new();
    /// let talk = async {
    ///     client.write_all(b"OPTIONS icap://s/pass ICAP/1.0\r\nHost: s\r\nConnection: close\r\n\r\n").await?;
    ///     client.read_to_string(&mut answer).await
    /// };
    /// let (_, result) = tokio::join!(server.serve_connection(stream, None), talk);
    /// result?;
    /// assert!(answer.starts_with("ICAP/1.0 200 OK\r\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve_connection<IO>(&self, io: IO, peer: Option<SocketAddr>)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        connection::serve(io, peer, &self.shared).await;
    }
}

async fn serve_tcp(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    // Heads and last chunks are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    connection::serve(stream, Some(peer), shared).await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection was lost to a panic");
    }
}

/// A tag that differs from one start of the server to the next, since what it stands for may.
fn start_tag() -> IsTag {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    IsTag::new(&format!("start-{:x}", now.as_secs())).expect("hexadecimal digits fit a tag")
}
