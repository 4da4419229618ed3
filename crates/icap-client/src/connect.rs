//! From a service URI to an open connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use icap_proto::ServiceUri;
use icap_proto::client::Connection;
use icap_proto::{Leniency, Limits};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::Error;
use crate::pool::{Link, Permit};
use crate::tap::Taps;
use crate::timeouts::{Stage, Timeouts, within};

/// Opens the connections of a [`Client`](crate::Client): through a tunnel, to a socket of another kind, or to the
/// other end of a test. Without one a client connects over TCP.
///
/// For an `icaps` URI the client does TLS inside what this gives. A function from a [`ServiceUri`] is a `Connect`
/// too:
///
/// ```
/// use icap_client::Client;
/// use icap_proto::ServiceUri;
/// use tokio::net::TcpStream;
///
/// // The same service behind a port forward. Requests and certificates keep the name of the URI.
/// let tunnel = |_: ServiceUri| TcpStream::connect("127.0.0.1:9344");
/// let client = Client::builder("icap://av.example/respmod").connector(tunnel).build()?;
/// # Ok::<(), icap_client::Error>(())
/// ```
pub trait Connect: Send + Sync + 'static {
    /// The connection. Vectored writes are used where it [has them](AsyncWrite::is_write_vectored).
    type Io: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static;

    /// Opens a connection to the host and port of `uri`. [`Timeouts::connect`] limits it; when the time is up the
    /// future is dropped.
    ///
    /// # Errors
    ///
    /// Whatever there is to say; a call shows it as [`Error::Connect`].
    fn connect(&self, uri: &ServiceUri) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl<F, R, T> Connect for F
where
    F: Fn(ServiceUri) -> R + Send + Sync + 'static,
    R: Future<Output = io::Result<T>> + Send,
    T: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    type Io = T;

    fn connect(&self, uri: &ServiceUri) -> impl Future<Output = io::Result<T>> + Send {
        self(uri.clone())
    }
}

/// Connects to a Unix socket, whatever the host of the URI.
///
/// ```
/// use icap_client::{Client, UnixConnector};
///
/// let connector = UnixConnector::new("/run/icap/av.sock");
/// let client = Client::builder("icap://localhost/respmod").connector(connector).build()?;
/// # Ok::<(), icap_client::Error>(())
/// ```
#[cfg(unix)]
#[derive(Debug, Clone)]
pub struct UnixConnector {
    path: std::path::PathBuf,
}

#[cfg(unix)]
impl UnixConnector {
    /// Connects to the socket at `path`.
    pub fn new(path: impl Into<std::path::PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[cfg(unix)]
impl Connect for UnixConnector {
    type Io = tokio::net::UnixStream;

    async fn connect(&self, _: &ServiceUri) -> io::Result<Self::Io> {
        let stream = tokio::net::UnixStream::connect(&self.path).await;
        stream.map_err(|error| named(self.path.display(), &error))
    }
}

/// What bytes travel on.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

/// A transport of any kind. The box passes vectored writes on.
pub(crate) type BoxTransport = Box<dyn Transport>;

/// A [`Connect`] of any kind.
pub(crate) trait DynConnect: Send + Sync {
    fn connect<'a>(&'a self, uri: &'a ServiceUri) -> BoxConnecting<'a>;
}

type BoxConnecting<'a> = Pin<Box<dyn Future<Output = io::Result<BoxTransport>> + Send + 'a>>;

impl<C: Connect> DynConnect for C {
    fn connect<'a>(&'a self, uri: &'a ServiceUri) -> BoxConnecting<'a> {
        Box::pin(async move {
            let io = Connect::connect(self, uri).await?;
            Ok(Box::new(io) as BoxTransport)
        })
    }
}

/// Opens connections that are ready for a request.
pub(crate) struct Dialer {
    pub(crate) uri: ServiceUri,
    pub(crate) connector: Arc<dyn DynConnect>,
    /// There if the URI is `icaps`.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Handshaker>,
    pub(crate) taps: Option<Taps>,
    pub(crate) limits: Limits,
    pub(crate) leniency: Leniency,
}

impl Dialer {
    /// Opens a connection for which there is room.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Connect`] or [`Error::Tls`].
    pub(crate) async fn open(
        &self,
        timeouts: &Timeouts,
        permit: Permit,
    ) -> Result<Box<Link>, Error> {
        let connecting = self.connector.connect(&self.uri);
        let io = within(timeouts.connect, Stage::Connect, connecting).await?;
        let io = io.map_err(Error::Connect)?;
        #[cfg(feature = "tls")]
        let io = match &self.tls {
            None => io,
            Some(tls) => {
                let io = within(timeouts.handshake, Stage::Handshake, tls.handshake(io)).await?;
                Box::new(io.map_err(Error::Tls)?)
            }
        };
        let io = match &self.taps {
            None => io,
            Some(taps) => taps.wrap(io),
        };
        tracing::debug!(uri = %self.uri, "connected");
        Ok(Link::new(Connection::new(self.limits, self.leniency), io, timeouts, permit))
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// The error with the place where it happened, which the operating system does not tell.
pub(crate) fn named(place: impl std::fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}"))
}
