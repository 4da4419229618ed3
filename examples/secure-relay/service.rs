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

use crate::config::Config;
use crate::relay::{Relay, States};

/// What is in force; the admin address shows it.
pub(crate) type Current = Arc<ArcSwap<Vec<Arc<Relay>>>>;

/// All connections of a configuration at work.
pub(crate) struct Service {
    current: Current,
    listeners: HashMap<(SocketAddr, bool), Listener>,
    states: States,
    /// Those who look after the servers of the configuration in force.
    watchers: JoinSet<()>,
    stopping: watch::Sender<bool>,
    /// Every task of a connection has a clone of it: when all are gone, nothing is open.
    open: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
}

struct Listener {
    relay: Arc<ArcSwap<Relay>>,
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
    pub(crate) fn new() -> Self {
        let (open, closed) = mpsc::channel(1);
        Self {
            current: Arc::default(),
            listeners: HashMap::new(),
            states: States::default(),
            watchers: JoinSet::new(),
            stopping: watch::Sender::new(false),
            open,
            closed,
        }
    }

    pub(crate) fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    /// Puts a configuration in force: as a whole, or not at all. Connections that are open go on as they began.
    pub(crate) async fn apply(&mut self, config: Config) -> anyhow::Result<()> {
        let warning_days = config.expiry_warning;
        let mut relays = Vec::with_capacity(config.connections.len());
        for connection in config.connections {
            let name = connection.name.clone();
            let relay = Relay::load(connection, &mut self.states);
            relays.push(Arc::new(relay.with_context(|| format!("connection {name:?}"))?));
        }
        let mut fresh = Vec::new();
        for (relay, address, secure) in addresses(&relays) {
            if !self.listeners.contains_key(&(address, secure)) {
                let listener = TcpListener::bind(address).await;
                let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
                fresh.push((Arc::clone(relay), address, secure, listener));
            }
        }
        // Nothing below can fail.
        let wanted: HashMap<_, _> = addresses(&relays)
            .map(|(relay, address, secure)| ((address, secure), Arc::clone(relay)))
            .collect();
        self.current.store(Arc::new(relays.clone()));
        self.watchers = JoinSet::new();
        for relay in &relays {
            announce(relay, warning_days);
            relay.put_in_force();
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
        for (key, mut listener) in kept {
            if let Some(relay) = wanted.get(&key) {
                listener.relay.store(Arc::clone(relay));
                self.listeners.insert(key, listener);
            } else {
                listener.close().await;
                tracing::info!(listen = %key.0, "no longer listening");
            }
        }
        for (relay, address, secure, listener) in fresh {
            self.listen(relay, (address, secure), listener);
        }
        Ok(())
    }

    fn listen(&mut self, relay: Arc<Relay>, key: (SocketAddr, bool), listener: TcpListener) {
        let (address, secure) = key;
        let bound = listener.local_addr().unwrap_or(address);
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
        self.listeners.insert(key, Listener { relay, task: tokio::spawn(accepting) });
    }

    /// Warns of certificates that end soon. To be called once a day.
    pub(crate) fn warn_of_expiry(&self, days: u32) {
        for relay in self.current.load().iter() {
            warn_of_expiry(relay, days);
        }
    }

    /// Accepts nothing more, and waits until what is open has ended or `patience` is over.
    pub(crate) async fn stop(mut self, patience: Duration) {
        for listener in self.listeners.values_mut() {
            listener.close().await;
        }
        self.listeners.clear();
        let _ = self.stopping.send(true);
        drop(self.open);
        if tokio::time::timeout(patience, self.closed.recv()).await.is_err() {
            let open: usize = self.current.load().iter().map(|relay| relay.door.live()).sum();
            tracing::warn!(open, "stopped before all connections had ended");
        }
    }
}

fn addresses(relays: &[Arc<Relay>]) -> impl Iterator<Item = (&Arc<Relay>, SocketAddr, bool)> {
    relays.iter().flat_map(|relay| {
        let secure = relay.settings.listen.iter().map(move |address| (relay, *address, true));
        let plain = relay.settings.plain_listen.iter().map(move |address| (relay, *address, false));
        secure.chain(plain)
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
