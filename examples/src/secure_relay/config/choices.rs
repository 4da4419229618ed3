//! Settings that are one of a few words.

use serde::Deserialize;

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
