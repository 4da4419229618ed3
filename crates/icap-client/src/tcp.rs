//! Connections over TCP: whichever address of the host answers first.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use icap_proto::ServiceUri;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep};

use crate::connect::{Connect, named};

/// How long an address has before the next is tried beside it (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// A scanner is silent while it works; firewalls forget connections that are silent for some minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Connects over TCP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TcpConnector;

impl Connect for TcpConnector {
    type Io = TcpStream;

    async fn connect(&self, uri: &ServiceUri) -> io::Result<TcpStream> {
        let host = uri.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addresses = lookup_host((host, uri.port())).await;
        let addresses = addresses.map_err(|error| named(host, &error))?;
        race(interleave(addresses.collect()), open).await
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Heads and last chunks are small: each would wait for the acknowledgement of what went before.
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(stream)
}

/// The addresses with the families taking turns, the family of the first one first (RFC 8305 section 4): the
/// resolver has put the better ones in front.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return VecDeque::new() };
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let mut mixed = VecDeque::with_capacity(one.len().saturating_add(other.len()));
    while !one.is_empty() || !other.is_empty() {
        mixed.extend(one.pop_front());
        mixed.extend(other.pop_front());
    }
    mixed
}

/// The first connection that any of the addresses gives. Each is tried when those before it have failed, or have
/// not answered for [`STAGGER`]; none is given up for another. Without a connection: what the last failure was.
async fn race<T, F>(
    mut addresses: VecDeque<SocketAddr>,
    open: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut attempts = Attempts(Vec::new());
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "no address");
    let mut next = pin!(sleep(Duration::ZERO));
    let mut failed = false;
    poll_fn(|cx| {
        loop {
            let due = !addresses.is_empty() && next.as_mut().poll(cx).is_ready();
            let start = due || failed || attempts.0.is_empty();
            if start {
                failed = false;
                match addresses.pop_front() {
                    Some(address) => attempts.0.push((address, Box::pin(open(address)))),
                    None if attempts.0.is_empty() => {
                        let nothing = io::Error::from(io::ErrorKind::NotFound);
                        return Poll::Ready(Err(std::mem::replace(&mut failure, nothing)));
                    }
                    None => {}
                }
                let now = Instant::now();
                next.as_mut().reset(now.checked_add(STAGGER).unwrap_or(now));
            }
            match attempts.poll(cx) {
                Poll::Ready(Ok(connection)) => return Poll::Ready(Ok(connection)),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "an address does not answer");
                    failure = error;
                    failed = true;
                }
                // Once more, for the timer to be heard.
                Poll::Pending if start => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Attempts under way. They are few: all are polled when one has something to say.
struct Attempts<F>(Vec<(SocketAddr, std::pin::Pin<Box<F>>)>);

impl<F, T> Attempts<F>
where
    F: Future<Output = io::Result<T>>,
{
    /// The first that ends; it is taken out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut attempts = self.0.iter_mut().enumerate();
        let ended = attempts.find_map(|(index, (_, attempt))| match attempt.as_mut().poll(cx) {
            Poll::Ready(result) => Some((index, result)),
            Poll::Pending => None,
        });
        let Some((index, result)) = ended else { return Poll::Pending };
        let (address, _) = self.0.swap_remove(index);
        Poll::Ready(result.map_err(|error| named(address, &error)))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 1344).into()
    }

    fn v6(last: u16) -> SocketAddr {
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 1344).into()
    }

    /// 1 swallows packets, 2 refuses, 3 takes a second to connect, others connect.
    async fn network(address: SocketAddr) -> io::Result<SocketAddr> {
        match address {
            _ if address == v4(1) => std::future::pending().await,
            _ if address == v4(2) => Err(io::ErrorKind::ConnectionRefused.into()),
            _ if address == v4(3) => {
                sleep(Duration::from_secs(1)).await;
                Ok(address)
            }
            _ => Ok(address),
        }
    }

    /// Who connects, and after how many milliseconds; the timer is out by one or two.
    async fn won(addresses: &[SocketAddr]) -> (SocketAddr, u128) {
        let started = Instant::now();
        let winner = race(addresses.iter().copied().collect(), network).await.unwrap();
        (winner, started.elapsed().as_millis() / 10 * 10)
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_race() {
        assert_eq!(won(&[v4(4), v4(5)]).await, (v4(4), 0));
        // One that refuses costs no time.
        assert_eq!(won(&[v4(2), v4(2), v4(4)]).await, (v4(4), 0));
        // One that is silent costs a quarter of a second, a refusal behind it nothing more.
        assert_eq!(won(&[v4(1), v4(4)]).await, (v4(4), 250));
        assert_eq!(won(&[v4(1), v4(2), v4(4)]).await, (v4(4), 250));
        assert_eq!(won(&[v4(1), v4(1), v4(4)]).await, (v4(4), 500));
        // A slow one is not given up.
        assert_eq!(won(&[v4(3), v4(1), v4(1), v4(1)]).await, (v4(3), 1_000));
        assert_eq!(won(&[v4(3), v4(4)]).await, (v4(4), 250));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_told() {
        let error = race([v4(2)].into(), network).await.unwrap_err();
        assert_eq!(error.to_string(), "192.0.2.2:1344: connection refused");
        let error = race(VecDeque::new(), network).await.unwrap_err();
        assert_eq!(error.to_string(), "no address");
    }

    /// Sockets of those who lost are closed.
    #[tokio::test(start_paused = true)]
    async fn losers_are_dropped() {
        struct Open<'a>(&'a Cell<u32>);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let opened = Cell::new(0);
        let attempt = |address| {
            opened.set(opened.get() + 1);
            let open = Open(&opened);
            async move {
                network(address).await?;
                Ok(open)
            }
        };
        let winner = race([v4(1), v4(1), v4(4)].into(), attempt).await.unwrap();
        assert_eq!(opened.get(), 1);
        drop(winner);
    }

    #[test]
    fn families_take_turns() {
        let resolved = vec![v6(1), v6(2), v6(3), v4(1), v4(2)];
        assert_eq!(interleave(resolved), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v4(2), v6(1)]), [v4(1), v6(1), v4(2)]);
        assert_eq!(interleave(vec![]), []);
    }
}
