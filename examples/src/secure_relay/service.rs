//! The relay as a service: listeners, reload, stop.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::config::Config;
use super::dialogue::Dialogues;
use super::relay::{Relay, States};

/// What is in force; the admin address shows it.
pub(crate) type Current = Arc<ArcSwap<Vec<Arc<Relay>>>>;

/// All connections of a configuration at work, until it is [stopped](Self::stop) or the runtime ends.
pub struct Service {
    current: Current,
    listeners: HashMap<Place, Listener>,
    states: States,
    /// Those who look after the servers of the configuration in force.
    watchers: JoinSet<()>,
    dialogues: Dialogues,
    /// For tunnels.
    stopping: watch::Sender<bool>,
    /// Every task of a connection has a clone of it: when all are gone, nothing is open.
    open: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
}

/// What tells one listener from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    address: SocketAddr,
    secure: bool,
    /// With port 0 every connection has a listener of its own.
    connection: Option<String>,
}

impl Place {
    fn new(relay: &Relay, address: SocketAddr, secure: bool) -> Self {
        let connection = (address.port() == 0).then(|| relay.settings.name.clone());
        Self { address, secure, connection }
    }
}

struct Listener {
    relay: Arc<ArcSwap<Relay>>,
    /// Where it really is, when port 0 was asked for.
    bound: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    /// Returns when nobody can connect any more.
    async fn close(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Service {
    /// Nothing in force yet.
    #[must_use]
    pub fn new() -> Self {
        let (open, closed) = mpsc::channel(1);
        Self {
            current: Arc::default(),
            listeners: HashMap::new(),
            states: States::default(),
            watchers: JoinSet::new(),
            dialogues: Dialogues::default(),
            stopping: watch::Sender::new(false),
            open,
            closed,
        }
    }

    pub(crate) fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    /// Puts a configuration in force: as a whole, or not at all. Connections that are open go on as they began.
    ///
    /// # Errors
    ///
    /// A file or an address that cannot be used.
    pub async fn apply(&mut self, config: Config) -> anyhow::Result<()> {
        let warning_days = config.expiry_warning;
        let mut relays = Vec::with_capacity(config.connections.len());
        for connection in config.connections {
            let name = connection.name.clone();
            let relay = Relay::load(connection, &mut self.states);
            relays.push(Arc::new(relay.with_context(|| format!("connection {name:?}"))?));
        }
        let mut fresh = Vec::new();
        for (relay, place) in places(&relays) {
            if !self.listeners.contains_key(&place) {
                let address = place.address;
                let listener = TcpListener::bind(address).await;
                let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
                fresh.push((Arc::clone(relay), place, listener));
            }
        }
        // Nothing below can fail.
        let wanted: HashMap<_, _> =
            places(&relays).map(|(relay, place)| (place, Arc::clone(relay))).collect();
        self.current.store(Arc::new(relays.clone()));
        self.watchers = JoinSet::new();
        for relay in &relays {
            announce(relay, warning_days);
            relay.put_in_force(&mut self.dialogues);
            let Some(interval) = relay.settings.health_interval() else { continue };
            match relay.routes() {
                None => drop(self.watchers.spawn(look_after(Arc::clone(relay), interval))),
                Some(routes) => {
                    for group in routes.groups() {
                        self.watchers.spawn(group.watch(interval));
                    }
                }
            }
        }
        let kept = std::mem::take(&mut self.listeners).into_iter();
        for (place, mut listener) in kept {
            if let Some(relay) = wanted.get(&place) {
                listener.relay.store(Arc::clone(relay));
                self.listeners.insert(place, listener);
            } else {
                listener.close().await;
                tracing::info!(listen = %place.address, "no longer listening");
            }
        }
        for (relay, place, listener) in fresh {
            self.listen(relay, place, listener);
        }
        Ok(())
    }

    fn listen(&mut self, relay: Arc<Relay>, place: Place, listener: TcpListener) {
        let secure = place.secure;
        let bound = listener.local_addr().unwrap_or(place.address);
        let name = relay.settings.name.clone();
        tracing::info!(connection = name, listen = %bound, tls = secure, "listening");
        let relay = Arc::new(ArcSwap::new(relay));
        let accepting = accept(
            listener,
            Arc::clone(&relay),
            secure,
            self.stopping.subscribe(),
            self.open.clone(),
        );
        self.listeners.insert(place, Listener { relay, bound, task: tokio::spawn(accepting) });
    }

    /// Where the connection of this name listens.
    #[must_use]
    pub fn addresses(&self, connection: &str) -> Vec<SocketAddr> {
        let listeners = self.listeners.values();
        let listeners = listeners.filter(|one| one.relay.load().settings.name == connection);
        listeners.map(|listener| listener.bound).collect()
    }

    /// Warns of certificates that end soon. To be called once a day.
    pub(crate) fn warn_of_expiry(&self, days: u32) {
        for relay in self.current.load().iter() {
            warn_of_expiry(relay, days);
        }
    }

    /// Accepts nothing more, and waits until what is open has ended or `patience` is over.
    pub async fn stop(mut self, patience: Duration) {
        for listener in self.listeners.values_mut() {
            listener.close().await;
        }
        self.listeners.clear();
        let _ = self.stopping.send(true);
        drop(self.dialogues);
        drop(self.open);
        if tokio::time::timeout(patience, self.closed.recv()).await.is_err() {
            let open: usize = self.current.load().iter().map(|relay| relay.door.live()).sum();
            tracing::warn!(open, "stopped before all connections had ended");
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> =
            self.current.load().iter().map(|relay| relay.settings.name.clone()).collect();
        f.debug_struct("Service").field("connections", &names).finish_non_exhaustive()
    }
}

fn places(relays: &[Arc<Relay>]) -> impl Iterator<Item = (&Arc<Relay>, Place)> {
    relays.iter().flat_map(|relay| {
        let secure = relay.settings.listen.iter().map(|address| (address, true));
        let plain = relay.settings.plain_listen.iter().map(|address| (address, false));
        let all = secure.chain(plain);
        all.map(move |(address, secure)| (relay, Place::new(relay, *address, secure)))
    })
}

async fn accept(
    listener: TcpListener,
    relay: Arc<ArcSwap<Relay>>,
    secure: bool,
    stopping: watch::Receiver<bool>,
    open: mpsc::Sender<()>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let serving = relay.load_full().serve(stream, peer, secure, stopping.clone());
                let open = open.clone();
                tokio::spawn(async move {
                    serving.await;
                    drop(open);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: closing connections give some back.
                tracing::error!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn announce(relay: &Relay, warning_days: u32) {
    let name = relay.settings.name.as_str();
    for warning in relay.warnings() {
        tracing::warn!(connection = name, "{warning}");
    }
    warn_of_expiry(relay, warning_days);
}

fn warn_of_expiry(relay: &Relay, days: u32) {
    let name = relay.settings.name.as_str();
    for certificate in &relay.door.certificates {
        if let Some(warning) = certificate.warning(days) {
            tracing::warn!(connection = name, "{warning}");
        }
        let labels = [("connection", name.to_owned()), ("subject", certificate.subject.clone())];
        let until = u32::try_from(certificate.not_after).unwrap_or(u32::MAX);
        metrics::gauge!("secure_relay_certificate_expiry_seconds", &labels).set(until);
    }
}

/// Connects to each server now and then, and says when one goes or comes back.
async fn look_after(relay: Arc<Relay>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        let patience = relay.settings.connect_timeout();
        for server in &relay.group.servers {
            let had_failed = server.has_failed();
            let name = relay.settings.name.as_str();
            match server.connect(patience).await {
                Ok(_) if had_failed => {
                    tracing::info!(connection = name, upstream = %server.uri, "upstream server is back");
                }
                Err(error) if !had_failed => {
                    tracing::warn!(connection = name, upstream = %server.uri, %error, "upstream server is down");
                }
                _ => {}
            }
        }
    }
}
