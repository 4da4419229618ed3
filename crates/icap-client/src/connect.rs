//! From a service URI to an open connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use icap_proto::ServiceUri;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::error::Error;
use crate::timeouts::Stage;

/// Connects to the host of `uri`, trying its addresses in the order of the resolver.
///
/// # Errors
///
/// [`Error::Timeout`] after `limit`, [`Error::Connect`] with what the last address said.
pub(crate) async fn connect(uri: &ServiceUri, limit: Duration) -> Result<TcpStream, Error> {
    let started = Instant::now();
    let host = uri.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let lookup = timeout(limit, lookup_host((host, uri.port())));
    let addresses: Vec<SocketAddr> = match lookup.await {
        Err(_) => return Err(Error::Timeout(Stage::Connect)),
        Ok(Err(error)) => return Err(Error::Connect(named(host, &error))),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    let mut failure = Error::Connect(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for (index, address) in addresses.iter().enumerate() {
        // An address that swallows packets must leave time for the others.
        let left = limit.saturating_sub(started.elapsed());
        let share = u32::try_from(addresses.len().saturating_sub(index)).unwrap_or(u32::MAX);
        let share = left.checked_div(share).unwrap_or(left);
        failure = match timeout(share, open(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Error::Connect(named(address, &error)),
            Err(_) => Error::Timeout(Stage::Connect),
        };
        tracing::debug!(%address, error = %failure, "an address does not answer");
    }
    Err(failure)
}

async fn open(address: &SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Heads and last chunks are small: each would wait for the acknowledgement of what went before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error with the place where it happened, which the operating system does not tell.
fn named(place: impl std::fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}"))
}
