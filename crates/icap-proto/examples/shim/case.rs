//! What a line says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use icap_proto::Method;
use serde::de::{Deserialize, Deserializer, Error};

/// One line.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Case {
    Chunked {
        #[serde(deserialize_with = "base64")]
        input: Vec<u8>,
        preview: bool,
        #[serde(default)]
        splits: Splits,
    },
    Head {
        #[serde(deserialize_with = "base64")]
        input: Vec<u8>,
        #[serde(flatten)]
        side: Side,
        #[serde(default)]
        splits: Splits,
    },
    Transaction {
        #[serde(flatten)]
        role: Role,
        steps: Vec<Step>,
        #[serde(default)]
        splits: Splits,
    },
}

/// Whose head it is.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "side", rename_all = "lowercase")]
pub(super) enum Side {
    Request,
    Response {
        #[serde(deserialize_with = "method")]
        method: Method,
    },
}

/// Who we are.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(super) enum Role {
    Server,
    Client { context: Context },
}

/// What we asked as a client.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Context {
    #[serde(deserialize_with = "method")]
    pub(super) method: Method,
    /// The preview that we announced.
    #[serde(default)]
    pub(super) preview: Option<u64>,
    /// The preview was the whole body.
    #[serde(default)]
    pub(super) ieof: bool,
    #[serde(default)]
    pub(super) allow: Vec<Member>,
    pub(super) body: bool,
}

/// A member of `Allow`.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub(super) enum Member {
    Text(String),
    Status(u16),
}

/// One step of a transaction.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    #[serde(deserialize_with = "base64")]
    Recv(Vec<u8>),
    Act(Act),
}

/// What our side does.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    Continue,
    Final,
}

/// Where the input is cut: increasing.
#[derive(Debug, Default)]
pub(super) struct Splits(Vec<u64>);

impl Splits {
    /// The pieces of `bytes`, which start at position `base` of the whole input.
    pub(super) fn pieces<'a>(&self, base: u64, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let first = self.0.partition_point(|&split| split <= base);
        let mut pieces = Vec::new();
        let (mut rest, mut start) = (bytes, base);
        for &split in self.0.get(first..).unwrap_or_default() {
            let length = usize::try_from(split.saturating_sub(start)).unwrap_or(usize::MAX);
            match rest.split_at_checked(length) {
                Some((piece, after)) if !after.is_empty() => pieces.push(piece),
                _ => break,
            }
            rest = rest.get(length..).unwrap_or_default();
            start = split;
        }
        pieces.push(rest);
        pieces
    }
}

impl<'de> Deserialize<'de> for Splits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut splits = Vec::<u64>::deserialize(deserializer)?;
        splits.sort_unstable();
        splits.dedup();
        Ok(Self(splits))
    }
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
    let name = String::deserialize(deserializer)?;
    Method::from_bytes(name.as_bytes()).ok_or_else(|| D::Error::custom("method is no token"))
}
