//! One connection of the configuration at work: who may come in, which server is behind.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::server::TlsStream;

use crate::allow::{self, AllowList};
use crate::config::{Connection, Mode, Upstream};
use crate::forward::Forward;
use crate::front::{ClientAuth, Front};
use crate::identity::{Certificates, Facts, Identity};
use crate::proxy;
use crate::routes::Routes;
use crate::tunnel::{self, BUFFER, Patience, Side};
use crate::upstream::{self, Group, Server};

/// A connection of the configuration with everything that it names read and checked.
pub(crate) struct Relay {
    pub(crate) settings: Connection,
    front: Option<Front>,
    pub(crate) clients: ClientAuth,
    pub(crate) allow: Option<AllowList>,
    proxies: AllowList,
    /// All servers; in mode `tunnel` connections go there.
    pub(crate) group: Group,
    icap: Option<Icap>,
    /// The relay's own certificate, then those of `client-ca` or `pin-client`.
    pub(crate) certificates: Vec<Facts>,
    /// What is odd but works.
    pub(crate) warnings: Vec<String>,
    state: Arc<State>,
}

/// What mode `icap` has beside that.
struct Icap {
    server: Arc<icap::Server>,
    routes: Arc<Routes>,
    /// Where transactions look for the routes; another configuration may have put others there.
    current: Arc<ArcSwap<Routes>>,
}

/// A client that was let in.
enum Entered {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl From<Entered> for Side {
    fn from(entered: Entered) -> Self {
        match entered {
            Entered::Plain(stream) => Self::plain(stream),
            Entered::Tls(stream) => Self::front(*stream),
        }
    }
}

/// What lives longer than a configuration.
#[derive(Default)]
pub(crate) struct States {
    relays: HashMap<String, Arc<State>>,
    servers: HashMap<(String, String), Arc<upstream::State>>,
    routes: HashMap<String, Arc<ArcSwap<Routes>>>,
}

/// Who is connected.
#[derive(Debug, Default)]
struct State {
    live: AtomicUsize,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

impl Relay {
    /// Reads certificates, keys and lists. `settings` are checked.
    pub(crate) fn load(settings: Connection, states: &mut States) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let mut warnings = Vec::new();
        let mut certificates = Vec::new();
        let clients = clients(&settings)?;
        let front = match &settings.identity {
            Some(path) if !settings.listen.is_empty() => {
                let identity = Identity::load(path, settings.key.as_deref(), &provider)?;
                certificates.push(identity.facts());
                warnings.extend(identity.warnings.iter().cloned());
                Some(Front::new(&identity, &clients, &provider)?)
            }
            _ => None,
        };
        match &clients {
            ClientAuth::Off => {}
            ClientAuth::Issued(known) | ClientAuth::Pinned(known) => {
                certificates.extend(known.list.iter().map(Facts::of));
            }
        }
        let allow = settings.allow.as_deref().map(AllowList::load).transpose()?;
        let proxies = settings.proxy_protocol_from.iter().map(|text| {
            allow::network(text).with_context(|| format!("`proxy-protocol-from`: {text:?}"))
        });
        let proxies = AllowList::of(proxies.collect::<anyhow::Result<_>>()?);
        let group = group(&settings, &provider, states)?;
        let state = states.relays.entry(settings.name.clone()).or_default();
        let state = Arc::clone(state);
        let icap = match settings.mode {
            Mode::Tunnel => None,
            Mode::Icap => Some(Icap::new(&settings, states)?),
        };
        let mut relay = Self {
            settings,
            front,
            clients,
            allow,
            proxies,
            group,
            icap,
            certificates,
            warnings,
            state,
        };
        relay.warn_of_openness();
        Ok(relay)
    }

    /// What is allowed but better were not.
    fn warn_of_openness(&mut self) {
        for address in &self.settings.plain_listen {
            self.warnings.push(format!(
                "{address} takes ICAP without TLS: whoever is on the way can read and change it"
            ));
        }
        let everybody = self.allow.as_ref().is_none_or(AllowList::is_everybody);
        if everybody && self.front.is_some() && matches!(self.clients, ClientAuth::Off) {
            self.warnings.push(
                "any client that can connect is served: neither `client-ca` or `pin-client` nor `allow` is given"
                    .to_owned(),
            );
        }
        if self.allow.as_ref().is_some_and(|list| list.len() == 0) {
            self.warnings.push("the allow-list is empty: nobody may connect".to_owned());
        }
        for server in &self.group.servers {
            let address = upstream::bare_host(&server.uri).parse::<IpAddr>();
            if !server.uri.is_secure() && address.is_ok_and(is_public) {
                self.warnings.push(format!(
                    "{}: plain ICAP to a public address: whoever is on the way can read it; icaps:// or a server \
                     on the same network is better",
                    server.uri
                ));
            }
        }
    }

    /// Takes one connection from accept to its end. All that goes wrong is logged here and ends nothing else.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        secure: bool,
        stopping: watch::Receiver<bool>,
    ) {
        let name = self.settings.name.as_str();
        let began = Instant::now();
        let (entered, source, _place) = match self.enter(stream, peer, secure).await {
            Ok(entered) => entered,
            Err(refusal) => {
                let labels = [("connection", name.to_owned()), ("kind", refusal.kind.to_owned())];
                metrics::counter!("secure_relay_refused_total", &labels).increment(1);
                let (source, reason) = (refusal.source, &refusal.error);
                tracing::warn!(connection = name, %source, kind = refusal.kind, "refused: {reason:#}");
                return;
            }
        };
        if let Some(icap) = &self.icap {
            let (server, name) = (Arc::clone(&icap.server), self.settings.name.clone());
            // With it goes the last hold on servers that a newer configuration has no use for.
            drop(self);
            speak(&server, entered, source, stopping).await;
            count_end(&name, "closed");
            let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(connection = name, %source, milliseconds, "ended");
            return;
        }
        let side = Side::from(entered);
        let (server, upstream, _room) = match self
            .group
            .connect(self.settings.connect_timeout())
            .await
        {
            Ok(connected) => connected,
            Err(error) => {
                tracing::error!(connection = name, %source, "closed: no upstream server: {error:#}");
                count_end(name, "no-upstream");
                return;
            }
        };
        tracing::debug!(connection = name, %source, upstream = %server.uri, "connected");
        let counter = |direction: &'static str| {
            let labels = [("connection", name.to_owned()), ("direction", direction.to_owned())];
            metrics::counter!("secure_relay_bytes_total", &labels)
        };
        let patience =
            Patience { idle: self.settings.idle_timeout(), close: self.settings.close_timeout() };
        let counters = [counter("from-client"), counter("to-client")];
        let (moved, end) = tunnel::run(side, upstream, patience, counters, stopping).await;
        count_end(name, end.word());
        tracing::info!(
            connection = name,
            %source,
            upstream = %server.uri,
            bytes_in = moved.up,
            bytes_out = moved.down,
            milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "ended: {end}"
        );
    }

    /// The door: source address, room, TLS.
    async fn enter(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        secure: bool,
    ) -> Result<(Entered, SocketAddr, Place), Refusal> {
        let now = Instant::now();
        let deadline = now.checked_add(self.settings.handshake_timeout()).unwrap_or(now);
        let refuse = |source: SocketAddr, kind: &'static str| {
            move |error: anyhow::Error| Refusal { source, kind, error }
        };
        // A place is taken before anything is read: what waits counts.
        let (source, mut place) = if self.proxies.contains(peer.ip()) {
            let place = self.place(peer.ip(), usize::MAX).map_err(refuse(peer, "limit"))?;
            let header = tokio::time::timeout_at(deadline, proxy::read(&mut stream)).await;
            let source = match header {
                Ok(Ok(source)) => Ok(source.unwrap_or(peer)),
                Ok(Err(error)) => Err(anyhow::Error::new(error)),
                Err(_) => Err(anyhow::anyhow!("no PROXY header in time")),
            };
            (source.map_err(refuse(peer, "proxy-header"))?, Some(place))
        } else {
            (peer, None)
        };
        if self.allow.as_ref().is_some_and(|list| !list.contains(source.ip())) {
            return Err(refuse(source, "source")(anyhow::anyhow!("not on the allow-list")));
        }
        drop(place.take());
        let limit = self.settings.max_per_source;
        let place = self.place(source.ip(), limit).map_err(refuse(source, "limit"))?;
        let _ = stream.set_nodelay(true);
        let Some(front) = self.front.as_ref().filter(|_| secure) else {
            return Ok((Entered::Plain(stream), source, place));
        };
        let shaken = match tokio::time::timeout_at(deadline, front.accept(stream)).await {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("no TLS handshake in time")),
        };
        let mut shaken = shaken.map_err(refuse(source, "handshake"))?;
        shaken.get_mut().1.set_buffer_limit(Some(BUFFER));
        Ok((Entered::Tls(Box::new(shaken)), source, place))
    }

    /// One of `max-connections`, and of `limit` for its source.
    fn place(&self, source: IpAddr, limit: usize) -> anyhow::Result<Place> {
        if !upstream::take(&self.state.live, self.settings.max_connections) {
            bail!("all {} connections are in use", self.settings.max_connections);
        }
        let source = source.to_canonical();
        let mut place = Place { state: Arc::clone(&self.state), source: None };
        {
            let mut sources = self.state.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let live = sources.entry(source).or_default();
            if *live < limit {
                *live = live.saturating_add(1);
                place.source = Some(source);
            }
        }
        if place.source.is_none() {
            bail!("the source has {limit} connections already");
        }
        Ok(place)
    }

    /// Connections that are open now, those in a handshake included.
    pub(crate) fn live(&self) -> usize {
        self.state.live.load(Ordering::Relaxed)
    }

    /// Whether at least one server can be reached, as far as is known.
    pub(crate) fn is_healthy(&self) -> bool {
        match &self.icap {
            Some(icap) => icap.routes.is_healthy(),
            None => self.group.servers.iter().any(|server| !server.has_failed()),
        }
    }

    /// Each server, and whether it could be reached when it was last tried.
    pub(crate) fn servers(&self) -> Vec<(String, bool)> {
        let of = |server: &Server| (server.uri.to_string(), !server.has_failed());
        match &self.icap {
            Some(icap) => icap.routes.servers(),
            None => self.group.servers.iter().map(of).collect(),
        }
    }

    /// The routes of mode `icap`.
    pub(crate) fn routes(&self) -> Option<&Routes> {
        self.icap.as_ref().map(|icap| &*icap.routes)
    }

    /// Sends transactions from now on where this configuration says, on connections that are open, too.
    pub(crate) fn put_in_force(&self) {
        if let Some(icap) = &self.icap {
            icap.current.store(Arc::clone(&icap.routes));
        }
    }
}

impl Icap {
    fn new(settings: &Connection, states: &mut States) -> anyhow::Result<Self> {
        let routes = Arc::new(Routes::new(settings)?);
        let current = states.routes.entry(settings.name.clone());
        let current = current.or_insert_with(|| Arc::new(ArcSwap::new(Arc::clone(&routes))));
        let mut timeouts = icap::server::Timeouts::default();
        timeouts.idle = settings.idle_timeout();
        timeouts.body = settings.idle_timeout();
        timeouts.write = settings.idle_timeout();
        let forward = Forward::new(Arc::clone(current))?;
        let server = icap::Server::new()
            .timeouts(timeouts)
            .route(icap::server::Route::new("/", forward).fallback())?;
        Ok(Self { server: Arc::new(server), routes, current: Arc::clone(current) })
    }
}

/// Answers the requests of a client until it or the relay has enough.
async fn speak(
    server: &icap::Server,
    client: Entered,
    source: SocketAddr,
    mut stopping: watch::Receiver<bool>,
) {
    let serving = async {
        match client {
            Entered::Plain(stream) => server.serve_connection(stream, Some(source)).await,
            Entered::Tls(stream) => server.serve_connection(stream, Some(source)).await,
        }
    };
    let stop = async {
        // Fails when nobody is left to say so, which is the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        server.handle().stop();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = serving => {}
        () = stop => {}
    }
}

/// Room for one connection, given back when dropped.
#[derive(Debug)]
struct Place {
    state: Arc<State>,
    source: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.live.fetch_sub(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let mut sources = self.state.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = sources.get_mut(&source) {
            *live = live.saturating_sub(1);
            if *live == 0 {
                sources.remove(&source);
            }
        }
    }
}

/// Why somebody does not come in.
#[derive(Debug)]
struct Refusal {
    source: SocketAddr,
    kind: &'static str,
    error: anyhow::Error,
}

fn count_end(name: &str, end: &'static str) {
    let labels = [("connection", name.to_owned()), ("end", end.to_owned())];
    metrics::counter!("secure_relay_connections_total", &labels).increment(1);
}

fn clients(settings: &Connection) -> anyhow::Result<ClientAuth> {
    Ok(match (&settings.client_ca, &settings.pin_client) {
        (Some(path), _) => ClientAuth::Issued(Certificates::load(path).context("client-ca")?),
        (None, Some(path)) => ClientAuth::Pinned(Certificates::load(path).context("pin-client")?),
        (None, None) => ClientAuth::Off,
    })
}

fn group(
    settings: &Connection,
    provider: &Arc<CryptoProvider>,
    states: &mut States,
) -> anyhow::Result<Group> {
    let connector = match settings.all_servers().any(|upstream| upstream.uri.is_secure()) {
        true => Some(connector(settings, provider)?),
        false => None,
    };
    let mut servers = Vec::new();
    for Upstream { uri, max_connections, tls_name } in settings.all_servers() {
        let key = (settings.name.clone(), uri.to_string());
        let state = Arc::clone(states.servers.entry(key).or_default());
        let connector = connector.clone().filter(|_| uri.is_secure());
        let server =
            Server::new(uri.clone(), connector, tls_name.as_deref(), *max_connections, state);
        servers.push(server.with_context(|| uri.to_string())?);
    }
    Ok(Group::new(servers, settings.balance))
}

/// TLS towards `icaps` servers.
fn connector(
    settings: &Connection,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(settings.upstream_ca.as_deref())?);
    let config = match &settings.upstream_identity {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let identity = Identity::load(path, None, provider).context("upstream-identity")?;
            let key = identity.certified(provider)?;
            let resolver = tokio_rustls::rustls::sign::SingleCertAndKey::from(key);
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in Certificates::load(path).context("upstream-ca")?.list {
                store.add(certificate)?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                bail!("no root certificates on this system: `upstream-ca` names some");
            }
        }
    }
    Ok(store)
}

/// Not loopback, private, link-local or unspecified.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified())
        }
    }
}
