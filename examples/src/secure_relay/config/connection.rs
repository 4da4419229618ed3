//! One `[[connection]]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use icap::proto::Method;
use serde::Deserialize;

use super::{Balance, ClientIp, Mode, Upstream};

/// Who listens where, and what is behind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) plain_listen: Vec<SocketAddr>,
    pub(crate) mode: Mode,
    pub(crate) identity: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) pin_client: Option<PathBuf>,
    pub(crate) allow: Option<PathBuf>,
    pub(crate) proxy_protocol_from: Vec<String>,
    pub(crate) upstream: Vec<Upstream>,
    pub(crate) reqmod_upstream: Vec<Upstream>,
    pub(crate) respmod_upstream: Vec<Upstream>,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) upstream_identity: Option<PathBuf>,
    pub(crate) balance: Balance,
    pub(crate) profile: Option<String>,
    pub(crate) client_ip: ClientIp,
    pub(crate) max_connections: usize,
    pub(crate) max_per_source: usize,
    pub(super) handshake_timeout: u64,
    pub(super) connect_timeout: u64,
    pub(super) idle_timeout: u64,
    pub(super) close_timeout: u64,
    pub(super) health_interval: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            name: "relay".to_owned(),
            listen: Vec::new(),
            plain_listen: Vec::new(),
            mode: Mode::default(),
            identity: None,
            key: None,
            client_ca: None,
            pin_client: None,
            allow: None,
            proxy_protocol_from: Vec::new(),
            upstream: Vec::new(),
            reqmod_upstream: Vec::new(),
            respmod_upstream: Vec::new(),
            upstream_ca: None,
            upstream_identity: None,
            balance: Balance::default(),
            profile: None,
            client_ip: ClientIp::default(),
            max_connections: 1024,
            max_per_source: 256,
            handshake_timeout: 10,
            connect_timeout: 5,
            idle_timeout: 600,
            close_timeout: 10,
            health_interval: 30,
        }
    }
}

impl Connection {
    /// Of all files it names.
    pub(crate) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [
            &mut self.identity,
            &mut self.key,
            &mut self.client_ca,
            &mut self.pin_client,
            &mut self.allow,
            &mut self.upstream_ca,
            &mut self.upstream_identity,
        ]
        .into_iter()
        .flatten()
    }

    /// The servers for a method.
    pub(crate) fn servers(&self, method: &Method) -> &[Upstream] {
        let own = match method {
            Method::Respmod => &self.respmod_upstream,
            _ => &self.reqmod_upstream,
        };
        if own.is_empty() { &self.upstream } else { own }
    }

    /// All servers.
    pub(crate) fn all_servers(&self) -> impl Iterator<Item = &Upstream> {
        self.upstream.iter().chain(&self.reqmod_upstream).chain(&self.respmod_upstream)
    }

    /// From the first byte to the end of the handshake.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(self.handshake_timeout)
    }

    /// For one server, TLS included.
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout)
    }

    /// Without a byte either way.
    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout)
    }

    /// For the client to close after the server did.
    pub(crate) fn close_timeout(&self) -> Duration {
        Duration::from_secs(self.close_timeout)
    }

    /// Between two looks at each server; none when it is 0.
    pub(crate) fn health_interval(&self) -> Option<Duration> {
        (self.health_interval > 0).then(|| Duration::from_secs(self.health_interval))
    }
}
