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
/// [`Error::Timeout`] after `limit`, else [`Error::Connect`] with what the last address said.
pub(crate) async fn connect(uri: &ServiceUri, limit: Duration) -> Result<TcpStream, Error> {
    let started = Instant::now();
    let host = uri.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addresses: Vec<SocketAddr> = match timeout(limit, lookup_host((host, uri.port()))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(Error::Connect(named(host, &error))),
        Err(_) => return Err(Error::Timeout(Stage::Connect)),
    };
    first(&addresses, limit.saturating_sub(started.elapsed()), open).await
}

/// The first address that takes a connection.
async fn first<T, F>(
    addresses: &[SocketAddr],
    limit: Duration,
    open: impl Fn(SocketAddr) -> F,
) -> Result<T, Error>
where
    F: Future<Output = io::Result<T>>,
{
    let started = Instant::now();
    let mut failure = Error::Connect(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for (index, &address) in addresses.iter().enumerate() {
        // An address that swallows packets must leave time for the others.
        let left = limit.saturating_sub(started.elapsed());
        let waiting = u32::try_from(addresses.len().saturating_sub(index)).unwrap_or(u32::MAX);
        let share = left.checked_div(waiting).unwrap_or(left);
        failure = match timeout(share, open(address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Error::Connect(named(address, &error)),
            Err(_) => Error::Timeout(Stage::Connect),
        };
        tracing::debug!(%address, error = %failure, "an address does not answer");
    }
    Err(failure)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Heads and last chunks are small: each would wait for the acknowledgement of what went before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error with the place where it happened, which the operating system does not tell.
fn named(place: impl std::fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 1344).into()
    }

    /// 1 swallows packets, 2 refuses, others connect.
    async fn network(address: SocketAddr) -> io::Result<SocketAddr> {
        match address {
            _ if address == self::address(1) => std::future::pending().await,
            _ if address == self::address(2) => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(address),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_share_of_the_time() {
        let limit = Duration::from_secs(9);
        let started = Instant::now();
        let addresses = [address(1), address(2), address(3)];
        assert_eq!(first(&addresses, limit, network).await.unwrap(), address(3));
        assert_eq!(started.elapsed().as_secs(), 3);

        let started = Instant::now();
        let addresses = [address(2), address(1)];
        let error = first(&addresses, limit, network).await.unwrap_err();
        assert!(matches!(error, Error::Timeout(Stage::Connect)));
        assert_eq!(started.elapsed().as_secs(), 9);
    }

    #[tokio::test]
    async fn the_last_address_says_why() {
        let limit = Duration::from_secs(9);
        let error = first(&[address(2)], limit, network).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot connect: 192.0.2.2:1344: connection refused");
        let error = first(&[], limit, network).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot connect: no address");
    }
}
