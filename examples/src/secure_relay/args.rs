//! Flags and sub-commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Parser, Subcommand};
use icap::ServiceUri;

use super::config::{Balance, Config, Connection, Log, Mode, Upstream};

/// Takes files for inspection over TLS and hands them to ICAP servers on the own network
///
/// Exit code: 0 stopped as asked, or nothing wrong; 1 something failed, or `check` found something wrong; 2 flags or
/// configuration are wrong.
#[derive(Debug, Parser)]
#[command(name = "secure-relay", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Looks at configuration, certificates and lists, and asks the servers
    Check(Flags),
    /// Turns the services of a stunnel.conf into a configuration on stdout
    ImportStunnel {
        /// The stunnel.conf
        file: PathBuf,
    },
    /// Makes a certificate that signs itself, and its key, in one file
    NewIdentity(NewIdentity),
}

#[derive(Debug, Args)]
pub(crate) struct NewIdentity {
    /// The file to make; one that exists is left alone
    pub(crate) file: PathBuf,
    /// Days until it expires
    #[arg(long, default_value_t = 1095, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: u32,
    /// A host name or an address for the certificate; repeatable
    #[arg(long = "name", value_name = "NAME", default_value = "secure-relay")]
    pub(crate) names: Vec<String>,
}

/// What can be set without a file; what a file sets, too, is overridden.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct Flags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port for TLS; repeatable [default: 0.0.0.0:11344]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address and port for ICAP without TLS, for tests; repeatable
    #[arg(long, value_name = "ADDR")]
    pub(crate) plain_listen: Vec<SocketAddr>,
    /// Certificate and private key of the relay, in one file and any order
    #[arg(long, value_name = "PEM")]
    pub(crate) identity: Option<PathBuf>,
    /// Clients have to show a certificate of this file, or one that it has issued
    #[arg(long, value_name = "PEM", conflicts_with = "pin_client")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Clients have to show exactly a certificate of this file
    #[arg(long, value_name = "PEM")]
    pub(crate) pin_client: Option<PathBuf>,
    /// A server, such as icap://10.0.0.5:1344; repeatable
    #[arg(long, value_name = "URI")]
    pub(crate) upstream: Vec<ServiceUri>,
    /// Which server takes a new connection [default: failover]
    #[arg(long, value_enum)]
    pub(crate) balance: Option<Balance>,
    /// What is done with the bytes [default: icap]
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Addresses and networks that may connect
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
    /// Address and port for health and metrics
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// Form of the log [default: text]
    #[arg(long, value_enum)]
    pub(crate) log: Option<Log>,
}

impl Flags {
    /// The file, the flags over it, and all of it checked.
    ///
    /// # Errors
    ///
    /// Whatever is wrong, and flags of a connection beside a file that has several.
    pub(crate) fn resolve(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        config.admin = self.admin.or(config.admin);
        config.log = self.log.unwrap_or(config.log);
        if config.connections.is_empty() {
            config.connections.push(Connection::default());
        }
        if self.is_about_a_connection() {
            ensure!(
                config.connections.len() == 1,
                "the configuration has {} connections: flags cannot say which of them is meant",
                config.connections.len()
            );
        }
        for connection in &mut config.connections {
            self.apply(connection);
        }
        config.checked()
    }

    fn is_about_a_connection(&self) -> bool {
        !(self.listen.is_empty() && self.plain_listen.is_empty() && self.upstream.is_empty())
            || self.identity.is_some()
            || self.client_ca.is_some()
            || self.pin_client.is_some()
            || self.balance.is_some()
            || self.mode.is_some()
            || self.allow.is_some()
    }

    fn apply(&self, connection: &mut Connection) {
        if !self.listen.is_empty() {
            connection.listen.clone_from(&self.listen);
        }
        if !self.plain_listen.is_empty() {
            connection.plain_listen.clone_from(&self.plain_listen);
        }
        if !self.upstream.is_empty() {
            connection.upstream = self.upstream.iter().cloned().map(Upstream::from).collect();
        }
        if self.identity.is_some() {
            connection.identity.clone_from(&self.identity);
            connection.key = None;
        }
        if self.client_ca.is_some() || self.pin_client.is_some() {
            connection.client_ca.clone_from(&self.client_ca);
            connection.pin_client.clone_from(&self.pin_client);
        }
        connection.balance = self.balance.unwrap_or(connection.balance);
        connection.mode = self.mode.unwrap_or(connection.mode);
        if self.allow.is_some() {
            connection.allow.clone_from(&self.allow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> Flags {
        Arguments::try_parse_from([&["secure-relay"], arguments].concat()).unwrap().flags
    }

    #[test]
    fn flags_alone_are_a_connection() {
        let arguments = [
            "--mode",
            "tunnel",
            "--identity",
            "a.pem",
            "--upstream",
            "icap://a",
            "--upstream",
            "icaps://b",
        ];
        let config = flags(&arguments).resolve().unwrap();
        let connection = &config.connections[0];
        assert_eq!(connection.listen, ["0.0.0.0:11344".parse().unwrap()]);
        assert_eq!((connection.upstream.len(), connection.balance), (2, Balance::Failover));
    }

    #[test]
    fn the_mode_is_icap_unless_said() {
        let config = flags(&["--identity", "a.pem", "--upstream", "icap://a"]).resolve().unwrap();
        assert_eq!(config.connections[0].mode, Mode::Icap);
    }

    #[test]
    fn flags_go_before_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("relay.toml");
        let text = "admin = '127.0.0.1:1'\n[[connection]]\nmode = 'tunnel'\nidentity = 'a.pem'\n\
                    key = 'a.key'\nupstream = ['icap://a']\nclient-ca = 'ca.pem'\n";
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let config = flags(&["--config", path]).resolve().unwrap();
        let connection = &config.connections[0];
        assert_eq!(connection.identity, Some(directory.path().join("a.pem")));

        let arguments = [
            "--config",
            path,
            "--identity",
            "b.pem",
            "--pin-client",
            "c.pem",
            "--admin",
            "[::1]:2",
        ];
        let config = flags(&arguments).resolve().unwrap();
        let connection = &config.connections[0];
        assert_eq!(config.admin, Some("[::1]:2".parse().unwrap()));
        assert_eq!(
            (connection.identity.clone(), connection.key.clone()),
            (Some("b.pem".into()), None)
        );
        assert_eq!((&connection.client_ca, &connection.pin_client), (&None, &Some("c.pem".into())));

        let second = format!(
            "{text}[[connection]]\nname = 'b'\nmode = 'tunnel'\nidentity = 'a.pem'\nupstream = ['icap://a']\n"
        );
        std::fs::write(&file, &second).unwrap();
        let error = |arguments: &[&str]| format!("{:#}", flags(arguments).resolve().unwrap_err());
        assert!(error(&["--config", path]).contains("two listeners on 0.0.0.0:11344"));
        assert!(error(&["--config", path, "--balance", "failover"]).contains("2 connections"));
        std::fs::write(&file, second.replace("'b'", "'relay'")).unwrap();
        assert!(error(&["--config", path]).contains("two connections are called"));
    }
}
