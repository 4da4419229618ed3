//! The servers behind the relay: which one takes a connection, and how it is reached.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use icap::ServiceUri;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::buffer::ReadAhead;
use super::config::Balance;
use super::side::Side;

/// How long a server that could not be reached is asked last.
const SUSPENSION: Duration = Duration::from_secs(10);

/// One server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) uri: ServiceUri,
    tls: Option<Tls>,
    cap: Option<usize>,
    state: Arc<State>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// What is known of a server; kept when the configuration is read anew.
#[derive(Debug, Default)]
pub(crate) struct State {
    live: AtomicUsize,
    failed: AtomicBool,
    failed_at: Mutex<Option<Instant>>,
}

impl Server {
    /// A server of plain TCP, or of TLS with a `connector` when the URI is `icaps`; `name` is the name in its
    /// certificate when that is not the host of the URI.
    pub(crate) fn new(
        uri: ServiceUri,
        connector: Option<TlsConnector>,
        name: Option<&str>,
        cap: Option<usize>,
        state: Arc<State>,
    ) -> anyhow::Result<Self> {
        let tls = match connector {
            None => None,
            Some(connector) => {
                let name = name.unwrap_or_else(|| bare_host(&uri)).to_owned();
                let name = ServerName::try_from(name).context("not a name for TLS")?;
                Some(Tls { connector, name })
            }
        };
        Ok(Self { uri, tls, cap, state })
    }

    /// TCP, and TLS where it is due.
    pub(crate) async fn connect(&self, patience: Duration) -> io::Result<Side> {
        let connecting = async {
            let stream = TcpStream::connect((bare_host(&self.uri), self.uri.port())).await?;
            let _ = stream.set_nodelay(true);
            Ok(match &self.tls {
                None => Side::plain(stream),
                Some(tls) => Side::back(
                    tls.connector.connect(tls.name.clone(), ReadAhead::new(stream)).await?,
                ),
            })
        };
        let result = match timeout(patience, connecting).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        };
        self.state.tell(result.is_ok());
        result
    }

    /// Whether the last attempt failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Relaxed)
    }

    fn is_suspended(&self) -> bool {
        self.has_failed()
            && self.state.failed_at().is_some_and(|failed_at| failed_at.elapsed() < SUSPENSION)
    }

    fn live(&self) -> usize {
        self.state.live.load(Ordering::Relaxed)
    }

    /// Room for one connection, given back when dropped.
    fn room(&self) -> Option<Room> {
        let cap = self.cap.unwrap_or(usize::MAX);
        take(&self.state.live, cap).then(|| Room(Arc::clone(&self.state)))
    }
}

/// The host without the brackets of an IPv6 address.
pub(crate) fn bare_host(uri: &ServiceUri) -> &str {
    uri.host().trim_start_matches('[').trim_end_matches(']')
}

/// Adds one unless that is more than `cap`.
pub(crate) fn take(count: &AtomicUsize, cap: usize) -> bool {
    let one_more = |live: usize| live.checked_add(1).filter(|live| *live <= cap);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
}

impl State {
    fn tell(&self, is_up: bool) {
        self.failed.store(!is_up, Ordering::Relaxed);
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) =
            (!is_up).then(Instant::now);
    }

    fn failed_at(&self) -> Option<Instant> {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that a server may have.
#[derive(Debug)]
pub(crate) struct Room(Arc<State>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Servers for one job.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) servers: Vec<Server>,
    balance: Balance,
    next: AtomicUsize,
}

impl Group {
    pub(crate) fn new(servers: Vec<Server>, balance: Balance) -> Self {
        Self { servers, balance, next: AtomicUsize::new(0) }
    }

    /// A connection to the first server that has room and can be reached. Those that could not be reached of late
    /// are asked last.
    ///
    /// # Errors
    ///
    /// What each of them said.
    pub(crate) async fn connect(
        &self,
        patience: Duration,
    ) -> anyhow::Result<(&Server, Side, Room)> {
        let mut said = Vec::new();
        for server in self.in_order() {
            let Some(room) = server.room() else {
                said.push(format!("{}: has all the connections it may have", server.uri));
                continue;
            };
            match server.connect(patience).await {
                Ok(side) => return Ok((server, side, room)),
                Err(error) => {
                    tracing::warn!(upstream = %server.uri, %error, "upstream server cannot be reached");
                    metrics::counter!("secure_relay_upstream_failures_total", "upstream" => server.uri.to_string())
                        .increment(1);
                    said.push(format!("{}: {error}", server.uri));
                }
            }
        }
        bail!("{}", said.join("; "))
    }

    fn in_order(&self) -> Vec<&Server> {
        let mut servers: Vec<_> = self.servers.iter().collect();
        match self.balance {
            Balance::Failover => {}
            Balance::RoundRobin => {
                let next = self.next.fetch_add(1, Ordering::Relaxed);
                servers.rotate_left(next.checked_rem(self.servers.len()).unwrap_or(0));
            }
            Balance::LeastConnections => servers.sort_by_key(|server| server.live()),
        }
        servers.sort_by_key(|server| server.is_suspended());
        servers
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(balance: Balance, cap: Option<usize>) -> Group {
        let server = |port: u16| {
            let uri = format!("icap://127.0.0.1:{port}").parse().unwrap();
            Server::new(uri, None, None, cap, Arc::default()).unwrap()
        };
        Group::new((1..=3).map(server).collect(), balance)
    }

    fn ports(group: &Group) -> Vec<u16> {
        group.in_order().iter().map(|server| server.uri.port()).collect()
    }

    #[test]
    fn each_balance_has_its_order() {
        let failover = group(Balance::Failover, None);
        assert_eq!([ports(&failover), ports(&failover)], [[1, 2, 3], [1, 2, 3]]);
        let round = group(Balance::RoundRobin, None);
        assert_eq!([ports(&round), ports(&round)], [[1, 2, 3], [2, 3, 1]]);
        let least = group(Balance::LeastConnections, None);
        let _rooms = (least.servers[0].room(), least.servers[0].room(), least.servers[1].room());
        assert_eq!(ports(&least), [3, 2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_is_asked_last_for_a_while() {
        let group = group(Balance::Failover, None);
        group.servers[0].state.tell(false);
        assert_eq!(ports(&group), [2, 3, 1]);
        tokio::time::advance(SUSPENSION).await;
        assert_eq!(ports(&group), [1, 2, 3]);
        group.servers[1].state.tell(false);
        group.servers[1].state.tell(true);
        assert_eq!(ports(&group), [1, 2, 3]);
    }

    #[test]
    fn a_server_has_as_many_connections_as_it_may() {
        let group = group(Balance::Failover, Some(2));
        let server = &group.servers[0];
        let (first, second) = (server.room().unwrap(), server.room().unwrap());
        assert!(server.room().is_none());
        drop(first);
        assert!(server.room().is_some());
        drop(second);
    }
}
