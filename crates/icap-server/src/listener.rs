//! Where connections come from.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};

#[cfg(feature = "tls")]
use crate::TlsAcceptor;
use crate::stream::Socket;

/// Connections that wait to be accepted. The 128 that are usual are too few for a proxy that opens its pool at once:
/// those beyond try again after a second.
const BACKLOG: u32 = 4096;

/// A socket that a [`Server`](crate::Server) listens on.
///
/// Made by [`bind`](Self::bind), or from a listener of tokio that exists already: one that systemd handed over, or
/// a Unix socket.
///
/// ```
/// use icap_server::{Listener, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let passed: std::net::TcpListener = // as from the file descriptor 3
/// #   std::net::TcpListener::bind("127.0.0.1:0")?;
/// passed.set_nonblocking(true)?;
/// let server = Server::new()
///     .listen(Listener::bind("127.0.0.1:0").await?)
///     .listen(tokio::net::TcpListener::from_std(passed)?);
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    #[cfg(feature = "tls")]
    tls: Option<TlsAcceptor>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Listens on this address. ICAP's port is 1344 (RFC 3507 section 4.1), that of ICAP over TLS 11344.
    ///
    /// # Errors
    ///
    /// The address does not resolve or cannot be bound.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for addr in lookup_host(addr).await? {
            match listen(addr) {
                Ok(listener) => return Ok(listener.into()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Speaks TLS from the first byte, as `icaps` has it.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, acceptor: TlsAcceptor) -> Self {
        self.tls = Some(acceptor);
        self
    }

    /// The address it listens on, `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Kind::Unix(_) => None,
        }
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (socket, addr) = match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, addr) = ready!(listener.poll_accept(cx))?;
                // Heads and last chunks are small and waited for.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(client = %addr, %error, "cannot set TCP_NODELAY");
                }
                (Socket::Tcp(stream), Some(addr))
            }
            #[cfg(unix)]
            Kind::Unix(listener) => (Socket::Unix(ready!(listener.poll_accept(cx))?.0), None),
        };
        Poll::Ready(Ok(Accepted {
            socket,
            addr,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        }))
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the last run do not keep the next from its address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self {
            kind: Kind::Tcp(listener),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self {
            kind: Kind::Unix(listener),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// A connection that nothing was read of.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    /// `None` for a Unix socket.
    pub(crate) addr: Option<SocketAddr>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Accepted {
    pub(crate) const fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}
