//! The servers' side of a connection of the configuration.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::config::{Connection, Upstream};
use super::identity::{Certificates, Identity};
use super::relay::States;
use super::upstream::{self, Group, Server};

/// All its servers, as connections of a tunnel reach them.
pub(crate) fn group(
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

/// What is allowed but better were not.
pub(crate) fn warnings(group: &Group) -> impl Iterator<Item = String> {
    let is_open = |server: &&Server| {
        let address = upstream::bare_host(&server.uri).parse::<IpAddr>();
        !server.uri.is_secure() && address.is_ok_and(is_public)
    };
    group.servers.iter().filter(is_open).map(|server| {
        format!(
            "{}: plain ICAP to a public address: whoever is on the way can read it; icaps:// or a server on the same \
             network is better",
            server.uri
        )
    })
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
