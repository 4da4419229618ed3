//! The configuration file.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

mod check;
mod choices;
mod connection;
mod upstream;

pub(crate) use self::choices::{Balance, ClientIp, Log, Mode};
pub(crate) use self::connection::Connection;
pub(crate) use self::upstream::Upstream;

/// All that can be set; docs/secure-relay.md and `secure-relay.toml` say what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
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

    /// Reads a text and checks what it says. Paths in it are as they are.
    ///
    /// # Errors
    ///
    /// What is no TOML, what has a key that does not exist (with the one that may be meant), and what cannot be.
    pub fn from_toml(text: &str) -> anyhow::Result<Self> {
        Self::parse(text)?.checked()
    }

    /// Reads a text. Flags may change it before it is checked.
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

    const EXAMPLE: &str = include_str!("../../secure-relay/secure-relay.toml");

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
