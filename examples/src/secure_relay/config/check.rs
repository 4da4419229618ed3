//! What no configuration can be.

use std::net::SocketAddr;

use anyhow::ensure;
use icap::proto::Method;
use icap::verdict::Profile;

use super::{ClientIp, Config, Connection, Mode};

/// The longest time that can be set, in seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;

impl Config {
    /// What cannot be, in a sentence; and the addresses that are the default.
    pub(crate) fn checked(mut self) -> anyhow::Result<Self> {
        let connections = std::mem::take(&mut self.connections).into_iter();
        self.connections = connections
            .map(|connection| {
                let name = connection.name.clone();
                connection.check().map_err(|error| error.context(format!("connection {name:?}")))
            })
            .collect::<anyhow::Result<_>>()?;
        all_differ(&self.connections)?;
        Ok(self)
    }
}

impl Connection {
    /// What cannot be, in a sentence; and the address that is the default.
    pub(crate) fn check(mut self) -> anyhow::Result<Self> {
        if self.listen.is_empty() && self.plain_listen.is_empty() {
            self.listen.push(SocketAddr::from(([0, 0, 0, 0], 11344)));
        }
        self.check_mode()?;
        self.check_sides()?;
        self.check_numbers()?;
        Ok(self)
    }

    fn check_mode(&self) -> anyhow::Result<()> {
        match self.mode {
            Mode::Icap => {
                if let Some(name) = &self.profile {
                    ensure!(Profile::named(name).is_some(), "no profile is called {name:?}");
                }
            }
            Mode::Tunnel => {
                let separate =
                    !self.reqmod_upstream.is_empty() || !self.respmod_upstream.is_empty();
                ensure!(
                    !separate && self.profile.is_none() && self.client_ip == ClientIp::Keep,
                    "`reqmod-upstream`, `respmod-upstream`, `profile` and `client-ip` need mode `icap`: a tunnel \
                     does not know what is said in it"
                );
            }
        }
        Ok(())
    }

    fn check_sides(&self) -> anyhow::Result<()> {
        ensure!(
            self.listen.is_empty() || self.identity.is_some(),
            "no identity: TLS needs the certificate and the key of the relay (`identity`, `--identity`; \
             `secure-relay new-identity` makes one)"
        );
        let has_servers =
            [Method::Reqmod, Method::Respmod].iter().all(|method| !self.servers(method).is_empty());
        ensure!(has_servers, "no upstream server (`upstream`, `--upstream`)");
        ensure!(
            self.client_ca.is_none() || self.pin_client.is_none(),
            "`client-ca` and `pin-client` are two answers to one question: give one of them"
        );
        ensure!(
            !self.listen.is_empty() || (self.client_ca.is_none() && self.pin_client.is_none()),
            "`client-ca` and `pin-client` need a TLS listener: on a plain one nobody shows a certificate"
        );
        Ok(())
    }

    fn check_numbers(&self) -> anyhow::Result<()> {
        for (key, value) in [
            ("handshake-timeout", self.handshake_timeout),
            ("connect-timeout", self.connect_timeout),
            ("idle-timeout", self.idle_timeout),
            ("max-connections", u64::try_from(self.max_connections).unwrap_or(u64::MAX)),
            ("max-per-source", u64::try_from(self.max_per_source).unwrap_or(u64::MAX)),
        ] {
            ensure!(value > 0, "`{key}` is 0: nothing would ever pass");
        }
        for (key, seconds) in [
            ("handshake-timeout", self.handshake_timeout),
            ("connect-timeout", self.connect_timeout),
            ("idle-timeout", self.idle_timeout),
            ("close-timeout", self.close_timeout),
            ("health-interval", self.health_interval),
        ] {
            ensure!(seconds <= YEAR, "`{key}` is longer than a year; it is in seconds");
        }
        Ok(())
    }
}

/// No two connections have one name, no two listeners one address.
fn all_differ(connections: &[Connection]) -> anyhow::Result<()> {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for connection in connections {
        let name = &connection.name;
        ensure!(!names.contains(&name), "two connections are called {name:?}");
        names.push(name);
        for address in connection.listen.iter().chain(&connection.plain_listen) {
            let taken = address.port() != 0 && addresses.contains(&address);
            ensure!(!taken, "two listeners on {address}");
            addresses.push(address);
        }
    }
    Ok(())
}
