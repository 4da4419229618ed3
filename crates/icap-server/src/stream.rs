//! What connections run over: one type for all of them, so that there is one copy of the code that serves them.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

/// What a [`Listener`](crate::Listener) gives.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Writes as much as there is room for, and closes. It asks the system and not the runtime, which may put a task
    /// off that has done much, or know of no room before its next turn.
    pub(crate) fn write_and_close(self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.into_std()?.write(bytes),
            #[cfg(unix)]
            Self::Unix(io) => io.into_std()?.write(bytes),
        }
    }

    /// Sends `parts` as a message: to write them as to a file, which the runtime does, costs the system more.
    fn poll_send(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let sent = match self {
                Self::Tcp(io) => {
                    ready!(io.poll_write_ready(cx))?;
                    io.try_io(Interest::WRITABLE, || SockRef::from(io).send_vectored(parts))
                }
                #[cfg(unix)]
                Self::Unix(io) => {
                    ready!(io.poll_write_ready(cx))?;
                    io.try_io(Interest::WRITABLE, || SockRef::from(io).send_vectored(parts))
                }
            };
            match sent {
                // Room that the runtime knew of and that is gone.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

/// What a connection is served over.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    /// In a box of its own: a plain connection does not pay for it.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(io) => io.poll_send(cx, parts),
            #[cfg(feature = "tls")]
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, parts),
        }
    }
}

macro_rules! delegate {
    ($name:ident { $($(#[$cfg:meta])? $variant:ident),+ $(,)? }) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(io) => Pin::new(io).poll_read(cx, buffer),)+
                }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(io) => Pin::new(io).poll_write(cx, bytes),)+
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                parts: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_send(cx, parts)
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $($(#[$cfg])? Self::$variant(io) => io.is_write_vectored(),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(io) => Pin::new(io).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($(#[$cfg])? Self::$variant(io) => Pin::new(io).poll_shutdown(cx),)+
                }
            }
        }
    };
}

delegate!(Socket {
    Tcp,
    #[cfg(unix)]
    Unix,
});

delegate!(Stream {
    Plain,
    #[cfg(feature = "tls")]
    Tls,
});
