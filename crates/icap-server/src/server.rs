//! The server: what it offers, how it is set up, and its accept loop.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use icap_proto::{IsTag, Leniency, Limits, ServiceOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, ToSocketAddrs};

use crate::accept::{Door, Front};
use crate::connection;
use crate::handle::Life;
use crate::peer::Peer;
use crate::router::{RouteError, Router};
use crate::{AllowList, Listener, Route, ServerHandle, Service, Timeouts};

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
/// It may have [several listeners](Self::listen). Without one it serves [connections](Self::serve_connection) that
/// come from elsewhere.
#[derive(Debug)]
#[must_use = "a server does nothing until serve"]
pub struct Server {
    listeners: Vec<Listener>,
    door: Door,
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
    /// Requests that one connection may send.
    pub(crate) max_requests: u64,
    /// What `Max-Connections` says for services that say nothing; `None` where nobody counts.
    pub(crate) max_connections: Option<u64>,
    pub(crate) life: Arc<Life>,
}

impl Shared {
    /// What OPTIONS says: that of the service, and of the server what the service leaves open, and 204, which is
    /// there for whoever allows it (RFC 3507 section 4.6): many clients allow it only where it is listed.
    pub(crate) fn offer(&self, options: ServiceOptions) -> ServiceOptions {
        let options = options.allow_no_content();
        match (options.connections(), self.max_connections) {
            (None, Some(connections)) => options.max_connections(connections),
            _ => options,
        }
    }
}

impl Server {
    /// A server without a listener.
    pub fn new() -> Self {
        let shared = Shared {
            router: Router::default(),
            limits: Limits::default(),
            leniency: Leniency::default(),
            timeouts: Timeouts::default(),
            echo_limit: 1024 * 1024,
            tag: start_tag(),
            max_requests: u64::MAX,
            max_connections: None,
            life: Arc::default(),
        };
        let door = Door { max_connections: 10_000, max_per_address: None, sources: None };
        Self { listeners: Vec::new(), door, shared }
    }

    /// A server that listens on this address. ICAP's port is 1344 (RFC 3507 section 4.1).
    ///
    /// # Errors
    ///
    /// The address does not resolve or cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::new().listen(Listener::bind(addr).await?))
    }

    /// A server on a listener that exists already, for instance one handed over by systemd.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::new().listen(listener)
    }

    /// Listens here too.
    pub fn listen(mut self, listener: impl Into<Listener>) -> Self {
        self.listeners.push(listener.into());
        self
    }

    /// The address it listens on, the first if there are several.
    ///
    /// # Errors
    ///
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) when it listens on none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let mut addrs = self.listeners.iter().filter_map(Listener::local_addr);
        addrs.next().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// To watch the server and to stop it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(Arc::clone(&self.shared.life))
    }

    /// Adds a service under a path, which must match exactly; the query is the service's own.
    ///
    /// # Errors
    ///
    /// [`RouteError`] when the path is no absolute path or has a service already, or the service offers no method.
    pub fn service(mut self, path: &str, service: impl Service) -> Result<Self, RouteError> {
        self.shared.router.add(Route::new(path, service))?;
        Ok(self)
    }

    /// Adds a service that has more than a path.
    ///
    /// # Errors
    ///
    /// As [`service`](Self::service), and [`RouteError::Fallback`] when another service takes all other paths.
    pub fn route(mut self, route: Route) -> Result<Self, RouteError> {
        self.shared.router.add(route)?;
        Ok(self)
    }

    /// How many connections are served at a time, 10,000 unless told otherwise. Those beyond get 503.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.door.max_connections = connections;
        self
    }

    /// How many connections one IP address may have at a time; no limit unless told otherwise. Those beyond get 503.
    pub const fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.door.max_per_address = Some(connections);
        self
    }

    /// Takes connections of these addresses only; those of others are closed without a word. Unix sockets have
    /// no address: the modes of their files say who may connect.
    pub fn allow(mut self, sources: AllowList) -> Self {
        self.door.sources = Some(sources);
        self
    }

    /// How many requests one connection may send; no limit unless told otherwise. The last one is answered with
    /// `Connection: close`.
    pub const fn max_requests_per_connection(mut self, requests: u64) -> Self {
        self.shared.max_requests = requests;
        self
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
        let _open = self.shared.life.connection();
        connection::serve(io, Peer::new(peer), &self.shared).await;
    }

    /// Serves until the process ends, until a [handle](Self::handle) stops it, or until the future is dropped, and
    /// the connections with it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) without a listener. What a listener reports is logged and
    /// survived.
    pub async fn serve(self) -> io::Result<()> {
        self.serve_until(std::future::pending()).await
    }

    /// Serves until `shutdown` is done, then stops without losing a transaction: it accepts no more connections,
    /// closes the idle ones, answers what was asked with `Connection: close`, and gives back when all are closed
    /// or [`Timeouts::shutdown`] has passed. A request that crosses the end of an idle connection on the wire was
    /// not taken: no service has seen it, so the client can ask again elsewhere. How far it is can be seen in the
    /// log and by a [handle](Self::handle).
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listeners, door, mut shared } = self;
        if listeners.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no listener"));
        }
        let connections = door.max_per_address.unwrap_or(usize::MAX).min(door.max_connections);
        shared.max_connections = u64::try_from(connections).ok();
        let shared = Arc::new(shared);
        let mut front = Front::new(listeners, door, Arc::clone(&shared));
        {
            let (mut shutdown, mut stop) = (pin!(shutdown), shared.life.stop.listen());
            poll_fn(|cx| {
                if shutdown.as_mut().poll(cx).is_ready() || stop.poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                front.poll_accept(cx).map(|never| match never {})
            })
            .await;
        }
        front.drain().await;
        Ok(())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// A tag that differs from one start of the server to the next, since what it stands for may.
fn start_tag() -> IsTag {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    IsTag::new(&format!("start-{:x}", now.as_secs())).expect("hexadecimal digits fit a tag")
}
