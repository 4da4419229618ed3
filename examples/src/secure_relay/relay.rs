//! One connection of the configuration at work.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::ring;

use super::back;
use super::config::{Connection, Mode};
use super::dialogue::{self, Dialogue, Dialogues};
use super::door::{Door, Refusal};
use super::places::Places;
use super::routes::{self, Routes};
use super::side::Side;
use super::tunnel::{self, Patience};
use super::upstream::{self, Group, Server};

/// A connection of the configuration with everything that it names read and checked.
pub(crate) struct Relay {
    pub(crate) settings: Connection,
    pub(crate) door: Door,
    /// All servers; in mode `tunnel` connections go there.
    pub(crate) group: Group,
    /// In mode `icap`.
    dialogue: Option<Dialogue>,
}

/// What lives longer than a configuration.
#[derive(Default)]
pub(crate) struct States {
    places: HashMap<String, Arc<Places>>,
    pub(crate) servers: HashMap<(String, String), Arc<upstream::State>>,
    pub(crate) routes: HashMap<String, Arc<ArcSwap<Routes>>>,
}

impl Relay {
    /// Reads certificates, keys and lists. `settings` are checked.
    pub(crate) fn load(settings: Connection, states: &mut States) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let places = Arc::clone(states.places.entry(settings.name.clone()).or_default());
        let door = Door::new(&settings, &provider, places)?;
        let group = back::group(&settings, &provider, states)?;
        let dialogue = match settings.mode {
            Mode::Tunnel => None,
            Mode::Icap => Some(Dialogue::new(&settings, states)?),
        };
        Ok(Self { settings, door, group, dialogue })
    }

    /// Takes one connection from accept to its end. All that goes wrong is logged here and ends nothing else.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        secure: bool,
        stopping: watch::Receiver<bool>,
    ) {
        let began = Instant::now();
        let (entered, source, _place) = match self.door.enter(stream, peer, secure).await {
            Ok(entered) => entered,
            Err(refusal) => return self.refused(&refusal),
        };
        let Some(dialogue) = &self.dialogue else {
            return self.tunnel(entered.into(), source, began, stopping).await;
        };
        let (server, name) = (dialogue.server(), self.settings.name.clone());
        // With it goes the last hold on servers that a newer configuration has no use for.
        drop(self);
        dialogue::speak(&server, entered, source).await;
        count_end(&name, "closed");
        tracing::info!(connection = name, %source, milliseconds = since(began), "ended");
    }

    fn refused(&self, refusal: &Refusal) {
        let Refusal { source, kind, error } = refusal;
        let name = self.settings.name.as_str();
        let labels = [("connection", name.to_owned()), ("kind", (*kind).to_owned())];
        metrics::counter!("secure_relay_refused_total", &labels).increment(1);
        tracing::warn!(connection = name, %source, kind, "refused: {error:#}");
    }

    async fn tunnel(
        &self,
        client: Side,
        source: SocketAddr,
        began: Instant,
        stopping: watch::Receiver<bool>,
    ) {
        let name = self.settings.name.as_str();
        let connecting = self.group.connect(self.settings.connect_timeout());
        let (server, upstream, _room) = match connecting.await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::error!(connection = name, %source, "closed: no upstream server: {error:#}");
                return count_end(name, "no-upstream");
            }
        };
        tracing::debug!(connection = name, %source, upstream = %server.uri, "connected");
        let patience =
            Patience { idle: self.settings.idle_timeout(), close: self.settings.close_timeout() };
        let counters = routes::bytes(name);
        let (moved, end) = tunnel::run(client, upstream, patience, counters, stopping).await;
        count_end(name, end.word());
        tracing::info!(
            connection = name,
            %source,
            upstream = %server.uri,
            bytes_in = moved.up,
            bytes_out = moved.down,
            milliseconds = since(began),
            "ended: {end}"
        );
    }

    /// What is odd but works.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.door.warnings.iter().cloned().chain(back::warnings(&self.group))
    }

    /// Whether at least one server can be reached, as far as is known.
    pub(crate) fn is_healthy(&self) -> bool {
        match &self.dialogue {
            Some(dialogue) => dialogue.routes.is_healthy(),
            None => self.group.servers.iter().any(|server| !server.has_failed()),
        }
    }

    /// Each server, and whether it could be reached when it was last tried.
    pub(crate) fn servers(&self) -> Vec<(String, bool)> {
        let of = |server: &Server| (server.uri.to_string(), !server.has_failed());
        match &self.dialogue {
            Some(dialogue) => dialogue.routes.servers(),
            None => self.group.servers.iter().map(of).collect(),
        }
    }

    /// The routes of mode `icap`.
    pub(crate) fn routes(&self) -> Option<&Routes> {
        self.dialogue.as_ref().map(|dialogue| &*dialogue.routes)
    }

    /// Sends transactions from now on where this configuration says, on connections that are open, too.
    pub(crate) fn put_in_force(&self, dialogues: &mut Dialogues) {
        if let Some(dialogue) = &self.dialogue {
            dialogue.put_in_force(dialogues);
        }
    }
}

fn count_end(name: &str, end: &'static str) {
    let labels = [("connection", name.to_owned()), ("end", end.to_owned())];
    metrics::counter!("secure_relay_connections_total", &labels).increment(1);
}

/// In milliseconds.
fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
