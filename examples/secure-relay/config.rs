//! The configuration file, and flags that go before it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use icap::ServiceUri;
use icap::proto::Method;
use icap::verdict::Profile;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// The longest time that can be set, in seconds.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// All that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Config {
    pub(crate) log: Log,
    pub(crate) admin: Option<SocketAddr>,
    stop_timeout: u64,
    pub(crate) expiry_warning: u32,
    #[serde(rename = "connection")]
    pub(crate) connections: Vec<Connection>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: Log::Text,
            admin: None,
            stop_timeout: 30,
            expiry_warning: 30,
            connections: Vec::new(),
        }
    }
}

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
    handshake_timeout: u64,
    connect_timeout: u64,
    idle_timeout: u64,
    close_timeout: u64,
    health_interval: u64,
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

/// What is done with the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// ICAP is read: each message goes to the server that is best for it
    #[default]
    Icap,
    /// Bytes go through unread, whatever the dialect
    Tunnel,
}

/// What becomes of the field `X-Client-IP` of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientIp {
    /// It goes on as it came
    #[default]
    Keep,
    /// Where there is none, it names who connected to the relay
    Add,
}

/// Which server takes the next connection or transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Balance {
    /// The first that works
    #[default]
    Failover,
    /// One after the other
    RoundRobin,
    /// The one with the fewest
    LeastConnections,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Log {
    /// One JSON object a line
    Json,
    /// For people
    #[default]
    Text,
}

/// A server: its URI alone, or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) uri: ServiceUri,
    pub(crate) max_connections: Option<usize>,
    pub(crate) tls_name: Option<String>,
}

impl Config {
    /// Reads a file. Paths in it are relative to its directory.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut config = Self::parse(&text).with_context(|| path.display().to_string())?;
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        for connection in &mut config.connections {
            for path in connection.paths() {
                *path = directory.join(&*path);
            }
        }
        Ok(config)
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// What is no TOML, and what has a key that does not exist: with the one that may be meant.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text).map_err(|error| {
            let hint = suggestion(error.message()).unwrap_or_default();
            anyhow::anyhow!("{}{hint}", error.to_string().trim_end())
        })
    }

    /// For connections that are still open when the relay stops.
    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_timeout)
    }
}

impl Connection {
    /// What cannot be, in a sentence; and the address that is the default.
    pub(crate) fn check(mut self) -> anyhow::Result<Self> {
        if self.listen.is_empty() && self.plain_listen.is_empty() {
            self.listen.push(SocketAddr::from(([0, 0, 0, 0], 11344)));
        }
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
        Ok(self)
    }

    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
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

impl From<ServiceUri> for Upstream {
    fn from(uri: ServiceUri) -> Self {
        Self { uri, max_connections: None, tls_name: None }
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
    }
}

/// Not an untagged enum, which could not say what is wrong.
struct UpstreamVisitor;

impl<'de> Visitor<'de> for UpstreamVisitor {
    type Value = Upstream;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a URI such as \"icap://10.0.0.5:1344\", or a table with one")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Upstream, E> {
        let uri = text.parse::<ServiceUri>();
        uri.map(Upstream::from).map_err(|error| E::custom(format!("{text:?}: {error}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Upstream, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct Table {
            uri: String,
            max_connections: Option<usize>,
            tls_name: Option<String>,
        }
        let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let upstream = self.visit_str(&table.uri)?;
        Ok(Upstream {
            max_connections: table.max_connections,
            tls_name: table.tls_name,
            ..upstream
        })
    }
}

/// "unknown field `x`, expected one of `a`, `b`": which of them is nearest to x.
fn suggestion(message: &str) -> Option<String> {
    let mut names = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let distance = |name: &&str| strsim::damerau_levenshtein(unknown, name);
    let nearest = names.min_by_key(distance)?;
    (distance(&nearest) <= 3).then(|| format!("\ndid you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("secure-relay.toml");

    fn error(text: &str) -> String {
        match Config::parse(text) {
            Err(error) => format!("{error:#}"),
            Ok(config) => {
                let checked: Result<Vec<_>, _> =
                    config.connections.into_iter().map(Connection::check).collect();
                format!("{:#}", checked.unwrap_err())
            }
        }
    }

    /// The names of all keys of a type: its deserialiser says them when it meets one that it does not know.
    fn keys(text: &str) -> Vec<String> {
        let error = toml::from_str::<Config>(text).unwrap_err();
        let names = error.message().split('`').skip(3).step_by(2).map(ToOwned::to_owned);
        names.collect()
    }

    #[test]
    fn the_example_is_read_and_names_every_key() {
        let config = Config::parse(EXAMPLE).unwrap();
        assert_eq!(config.connections.len(), 1);
        config.connections[0].clone().check().unwrap();
        // What is commented out is right, too.
        let all = EXAMPLE.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line));
        let all = Config::parse(&all.collect::<Vec<_>>().join("\n")).unwrap();
        assert!(all.connections.len() > 1);
        let names = |text: &str| keys(text).into_iter();
        let upstream = "[[connection]]\nupstream = [{ uri = \"icap://a\", x = 1 }]";
        let all = names("x = 1").chain(names("[[connection]]\nx = 1")).chain(names(upstream));
        let all: Vec<_> = all.collect();
        assert!(all.len() > 30, "{all:?}");
        for key in all {
            let is_named = EXAMPLE.lines().any(|line| {
                let line = line.strip_prefix("#: ").unwrap_or(line);
                line.starts_with(&format!("{key} ="))
                    || line.contains(&format!(" {key} ="))
                    || line == format!("[[{key}]]")
            });
            assert!(is_named, "{key} is not in the example");
        }
    }

    #[test]
    fn the_example_has_the_defaults() {
        let config = Config::parse("[[connection]]").unwrap();
        let bare = &config.connections[0];
        for (key, value) in [
            ("stop-timeout", config.stop_timeout.to_string()),
            ("expiry-warning", config.expiry_warning.to_string()),
            ("max-connections", bare.max_connections.to_string()),
            ("max-per-source", bare.max_per_source.to_string()),
            ("handshake-timeout", bare.handshake_timeout.to_string()),
            ("connect-timeout", bare.connect_timeout.to_string()),
            ("idle-timeout", bare.idle_timeout.to_string()),
            ("close-timeout", bare.close_timeout.to_string()),
            ("health-interval", bare.health_interval.to_string()),
        ] {
            let line = format!("#: {key} = {value}");
            assert!(EXAMPLE.lines().any(|text| text == line), "{line}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_a_suggestion() {
        assert!(error("lgo = 'json'").contains("did you mean `log`?"));
        let text = error("[[connection]]\nidle-timout = 3");
        assert!(text.contains("line 2") && text.contains("did you mean `idle-timeout`?"), "{text}");
        let text = error("[[connection]]\nupstream = [{ uri = 'icap://a', max-conections = 3 }]");
        assert!(text.contains("did you mean `max-connections`?"), "{text}");
        assert!(error("[[connection]]\nbalance = 'round-robbin'").contains("`round-robin`?"));
        assert!(!error("entirely-different = 1").contains("did you mean"));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let tunnel = "[[connection]]\nmode = 'tunnel'\n";
        let whole = format!("{tunnel}identity = 'a'\nupstream = ['icap://b']\n");
        assert!(Config::parse(&whole).unwrap().connections.pop().unwrap().check().is_ok());
        for (text, word) in [
            ("[[connection]]".to_owned(), "no identity"),
            (
                "[[connection]]\nidentity = 'a'\nreqmod-upstream = ['icap://a']".to_owned(),
                "no upstream",
            ),
            (
                "[[connection]]\nidentity = 'a'\nupstream = ['icap://a']\nprofile = 'x'".to_owned(),
                "no profile is called \"x\"",
            ),
            (tunnel.to_owned(), "no identity"),
            (format!("{tunnel}identity = 'a'"), "no upstream"),
            (format!("{tunnel}upstream = ['http://a']"), "http://a"),
            (format!("{whole}client-ca = 'a'\npin-client = 'b'"), "give one of them"),
            (format!("{whole}profile = 'a'"), "need mode `icap`"),
            (format!("{whole}reqmod-upstream = ['icap://a']"), "need mode `icap`"),
            (format!("{whole}client-ip = 'add'"), "need mode `icap`"),
            (format!("{whole}idle-timeout = 0"), "`idle-timeout` is 0"),
            (format!("{whole}idle-timeout = 31536001"), "longer than a year"),
            (format!("{whole}plain-listen = ['[::1]:1']\nclient-ca = 'a'\n"), "TLS listener"),
        ] {
            assert!(error(&text).contains(word), "{text}: {}", error(&text));
        }
    }
}
