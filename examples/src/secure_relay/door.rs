//! Who comes in: source address, room, TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::server::TlsStream;

use super::allow::{self, AllowList};
use super::buffer::{self, ReadAhead};
use super::config::Connection;
use super::facts::Facts;
use super::front::{ClientAuth, Front};
use super::identity::{Certificates, Identity};
use super::places::{Place, Places};
use super::proxy;
use super::side::Side;

/// The clients' side of a connection of the configuration.
pub(crate) struct Door {
    front: Option<Front>,
    pub(crate) clients: ClientAuth,
    pub(crate) allow: Option<AllowList>,
    proxies: AllowList,
    places: Arc<Places>,
    most: usize,
    most_per_source: usize,
    patience: Duration,
    /// The relay's own certificate, then those of `client-ca` or `pin-client`.
    pub(crate) certificates: Vec<Facts>,
    /// What is odd but works.
    pub(crate) warnings: Vec<String>,
}

impl Door {
    /// Reads certificates, keys and lists.
    pub(crate) fn new(
        settings: &Connection,
        provider: &Arc<CryptoProvider>,
        places: Arc<Places>,
    ) -> anyhow::Result<Self> {
        let clients = clients(settings)?;
        let mut certificates = Vec::new();
        let mut warnings = Vec::new();
        let front = match &settings.identity {
            Some(path) if !settings.listen.is_empty() => {
                let identity = Identity::load(path, settings.key.as_deref(), provider)?;
                certificates.push(identity.facts());
                warnings.extend(identity.warnings.iter().cloned());
                Some(Front::new(&identity, &clients, provider)?)
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
        let mut door = Self {
            front,
            clients,
            allow,
            proxies,
            places,
            most: settings.max_connections,
            most_per_source: settings.max_per_source,
            patience: settings.handshake_timeout(),
            certificates,
            warnings,
        };
        door.warn_of_openness(settings);
        Ok(door)
    }

    /// What is allowed but better were not.
    fn warn_of_openness(&mut self, settings: &Connection) {
        for address in &settings.plain_listen {
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
    }

    /// Source address, room, TLS, in this order; `secure` when the listener is one for TLS.
    pub(crate) async fn enter(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        secure: bool,
    ) -> Result<(Entered, SocketAddr, Place), Refusal> {
        let now = Instant::now();
        let deadline = now.checked_add(self.patience).unwrap_or(now);
        let refuse = |source: SocketAddr, kind: &'static str| {
            move |error: anyhow::Error| Refusal { source, kind, error }
        };
        // A place is taken before anything is read: what waits counts.
        let (source, mut place) = if self.proxies.contains(peer.ip()) {
            let place = self.take(peer.ip(), usize::MAX).map_err(refuse(peer, "limit"))?;
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
        let place =
            self.take(source.ip(), self.most_per_source).map_err(refuse(source, "limit"))?;
        let _ = stream.set_nodelay(true);
        let Some(front) = self.front.as_ref().filter(|_| secure) else {
            return Ok((Entered::Plain(stream), source, place));
        };
        let shaken = match tokio::time::timeout_at(deadline, front.accept(stream)).await {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("no TLS handshake in time")),
        };
        let mut shaken = shaken.map_err(refuse(source, "handshake"))?;
        shaken.get_mut().1.set_buffer_limit(Some(buffer::SIZE));
        Ok((Entered::Tls(Box::new(shaken)), source, place))
    }

    fn take(&self, source: IpAddr, limit: usize) -> anyhow::Result<Place> {
        self.places.take(self.most, source, limit)
    }

    /// Connections that are open now, those in a handshake included.
    pub(crate) fn live(&self) -> usize {
        self.places.live()
    }
}

/// A client that was let in.
pub(crate) enum Entered {
    Plain(TcpStream),
    Tls(Box<TlsStream<ReadAhead>>),
}

impl From<Entered> for Side {
    fn from(entered: Entered) -> Self {
        match entered {
            Entered::Plain(stream) => Self::plain(stream),
            Entered::Tls(stream) => Self::front(*stream),
        }
    }
}

/// Why somebody does not come in.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) source: SocketAddr,
    pub(crate) kind: &'static str,
    pub(crate) error: anyhow::Error,
}

fn clients(settings: &Connection) -> anyhow::Result<ClientAuth> {
    Ok(match (&settings.client_ca, &settings.pin_client) {
        (Some(path), _) => ClientAuth::Issued(Certificates::load(path).context("client-ca")?),
        (None, Some(path)) => ClientAuth::Pinned(Certificates::load(path).context("pin-client")?),
        (None, None) => ClientAuth::Off,
    })
}
