//! Where transactions go: the servers of both directions as groups.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use icap::client::{Balance, Client, MemberState, ServiceGroup, Timeouts, Tls};
use icap::proto::Method;
use icap::verdict::Profile;
use icap_client::rustls::crypto::ring;

use super::config::{self, ClientIp, Connection, Upstream};
use super::counters::Transactions;

/// Bytes of a body that are kept until a server has answered, so that another one can be asked.
const REPLAY: u64 = 64 * 1024;

/// Idle connections that are kept to each server.
const IDLE: usize = 256;

/// What a transaction needs to know of the configuration.
pub(crate) struct Routes {
    pub(crate) name: Arc<str>,
    pub(crate) client_ip: ClientIp,
    pub(crate) profile: Option<&'static Profile>,
    reqmod: Direction,
    /// None when the servers are those of REQMOD.
    respmod: Option<Direction>,
    /// Connections that one client may have.
    most: u64,
    pub(crate) transactions: Transactions,
    /// Counters of bytes from clients and to them.
    pub(crate) bytes: [metrics::Counter; 2],
}

struct Direction {
    group: ServiceGroup,
    /// The paths of its servers, where they have one.
    paths: Vec<String>,
    /// Connections that all its servers together may have, where each has a cap.
    cap: Option<u64>,
}

impl Routes {
    /// Reads certificates. `settings` are checked.
    pub(crate) fn new(settings: &Connection) -> anyhow::Result<Self> {
        let mut clients = HashMap::new();
        let mut direction =
            |upstream: &[Upstream]| Direction::new(settings, upstream, &mut clients);
        let (reqmod, respmod) =
            (settings.servers(&Method::Reqmod), settings.servers(&Method::Respmod));
        let reqmod_group = direction(reqmod)?;
        let respmod_group = match reqmod == respmod {
            true => None,
            false => Some(direction(respmod)?),
        };
        let most = settings.max_connections.min(settings.max_per_source);
        let name: Arc<str> = settings.name.as_str().into();
        Ok(Self {
            client_ip: settings.client_ip,
            profile: settings.profile.as_deref().and_then(Profile::named),
            reqmod: reqmod_group,
            respmod: respmod_group,
            most: u64::try_from(most).unwrap_or(u64::MAX),
            transactions: Transactions::new(name.clone()),
            bytes: bytes(&settings.name),
            name,
        })
    }

    pub(crate) fn group(&self, method: &Method) -> &ServiceGroup {
        match (&self.respmod, method) {
            (Some(respmod), Method::Respmod) => &respmod.group,
            _ => &self.reqmod.group,
        }
    }

    /// The groups that may have the service at a path, and what they have it for: OPTIONS does not say what it asks
    /// about.
    pub(crate) fn groups_for(&self, path: &str) -> Vec<(Method, &ServiceGroup)> {
        let reqmod = (Method::Reqmod, &self.reqmod.group);
        let Some(other) = &self.respmod else { return vec![reqmod] };
        let respmod = (Method::Respmod, &other.group);
        if other.has_path(path) && !self.reqmod.has_path(path) {
            vec![respmod, reqmod]
        } else {
            vec![reqmod, respmod]
        }
    }

    /// How many connections a client is told to open, when one server of the group takes `offered`.
    pub(crate) fn connections(&self, group: &ServiceGroup, offered: Option<u64>) -> u64 {
        let members = u64::try_from(group.members().len()).unwrap_or(u64::MAX);
        let offered = offered.map(|one| one.saturating_mul(members));
        let is_respmod =
            self.respmod.as_ref().is_some_and(|respmod| std::ptr::eq(&respmod.group, group));
        let cap = match &self.respmod {
            Some(respmod) if is_respmod => respmod.cap,
            _ => self.reqmod.cap,
        };
        offered.into_iter().chain(cap).fold(self.most, u64::min)
    }

    /// All groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &ServiceGroup> {
        [Some(&self.reqmod), self.respmod.as_ref()].into_iter().flatten().map(|one| &one.group)
    }

    /// Each server, and whether it answered when it was last asked.
    pub(crate) fn servers(&self) -> Vec<(String, bool)> {
        let mut servers = Vec::new();
        for member in self.groups().flat_map(ServiceGroup::members) {
            let up = member.state == MemberState::Healthy && member.failures == 0;
            servers.push((member.uri.to_string(), up));
        }
        servers.sort();
        servers.dedup_by(|one, other| one.0 == other.0);
        servers
    }

    /// Whether each direction has a server that answers, as far as is known.
    pub(crate) fn is_healthy(&self) -> bool {
        self.groups().all(|group| {
            let mut members = group.members().into_iter();
            members.any(|member| member.state == MemberState::Healthy && member.failures == 0)
        })
    }
}

impl Direction {
    fn new(
        settings: &Connection,
        upstream: &[Upstream],
        clients: &mut HashMap<String, Client>,
    ) -> anyhow::Result<Self> {
        let mut group = ServiceGroup::builder().balance(match settings.balance {
            config::Balance::Failover => Balance::Failover,
            config::Balance::RoundRobin => Balance::RoundRobin,
            config::Balance::LeastConnections => Balance::LeastConnections,
        });
        for server in upstream {
            let uri = server.uri.to_string();
            // One that is there for both directions has one cap.
            let client = match clients.get(&uri) {
                Some(client) => client.clone(),
                None => client(settings, server).with_context(|| uri.clone())?,
            };
            clients.insert(uri, client.clone());
            group = group.member(client);
        }
        let caps = upstream.iter().map(|server| server.max_connections);
        let caps: Option<Vec<_>> = caps.collect();
        let cap = caps.map(|caps| caps.into_iter().fold(0, usize::saturating_add));
        Ok(Self {
            group: group.build()?,
            paths: upstream.iter().map(|server| server.uri.path().to_owned()).collect(),
            cap: cap.and_then(|cap| u64::try_from(cap).ok()),
        })
    }

    fn has_path(&self, path: &str) -> bool {
        self.paths.iter().any(|own| own == path)
    }
}

/// The counters of what goes through a connection of the configuration: from its clients, and to them.
pub(crate) fn bytes(connection: &str) -> [metrics::Counter; 2] {
    ["from-client", "to-client"].map(|direction| {
        let labels = [("connection", connection.to_owned()), ("direction", direction.to_owned())];
        metrics::counter!("secure_relay_bytes_total", &labels)
    })
}

/// The client of one server. It adds nothing of its own to what it sends.
pub(crate) fn client(settings: &Connection, server: &Upstream) -> anyhow::Result<Client> {
    let mut timeouts = Timeouts::default();
    timeouts.connect = settings.connect_timeout();
    timeouts.handshake = settings.connect_timeout();
    timeouts.head = settings.idle_timeout();
    timeouts.io = settings.idle_timeout();
    let builder = Client::builder(server.uri.clone())
        .user_agent("")
        .negotiate(false)
        .replay_limit(REPLAY)
        .http_trailers(true)
        .max_idle(IDLE)
        .max_connections(server.max_connections.unwrap_or(0))
        .timeouts(timeouts);
    if !server.uri.is_secure() {
        return Ok(builder.build()?);
    }
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let mut tls = Tls::new().crypto_provider(ring::default_provider().into());
    if let Some(path) = &settings.upstream_ca {
        tls = tls.roots_pem(read(path)?);
    }
    if let Some(path) = &settings.upstream_identity {
        let pem = read(path)?;
        tls = tls.client_pem(pem.clone(), pem);
    }
    if let Some(name) = &server.tls_name {
        tls = tls.server_name(name);
    }
    Ok(builder.tls(tls).build()?)
}
