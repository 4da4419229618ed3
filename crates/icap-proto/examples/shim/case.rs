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
        #[serde(default, deserialize_with = "or_default")]
        preview: bool,
        #[serde(default, deserialize_with = "or_default")]
        splits: Splits,
    },
    Head {
        #[serde(deserialize_with = "base64")]
        input: Vec<u8>,
        #[serde(flatten)]
        side: Side,
        #[serde(default, deserialize_with = "or_default")]
        splits: Splits,
    },
    Transaction {
        #[serde(flatten)]
        role: Role,
        steps: Vec<Step>,
        #[serde(default, deserialize_with = "or_default")]
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
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ieof: bool,
    #[serde(default, deserialize_with = "or_default")]
    allow: Allow,
    body: Option<bool>,
}

impl Context {
    /// The members of `Allow`, in one text or in several.
    pub(super) fn allow(&self) -> Vec<String> {
        let members = match &self.allow {
            Allow::One(member) => std::slice::from_ref(member),
            Allow::List(members) => members,
        };
        let texts = members.iter().map(|member| match member {
            Member::Text(text) => text.clone(),
            Member::Status(status) => status.to_string(),
        });
        texts.collect::<Vec<_>>().join(",").split(',').map(|one| one.trim().to_owned()).collect()
    }

    /// Whether our request had a body. Where nothing is said one that is to be adapted had.
    pub(super) fn has_body(&self) -> bool {
        self.body.unwrap_or(matches!(self.method, Method::Reqmod | Method::Respmod))
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Allow {
    List(Vec<Member>),
    One(Member),
}

impl Default for Allow {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Member {
    Text(String),
    Status(u16),
}

/// One step of a transaction.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "Keys")]
pub(super) enum Step {
    Recv(Vec<u8>),
    Act(Act),
}

/// The keys of a step. Others are passed over.
#[derive(Debug, serde::Deserialize)]
struct Keys {
    recv: Option<String>,
    act: Option<Act>,
}

impl TryFrom<Keys> for Step {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        match (keys.recv, keys.act) {
            (Some(text), None) => {
                STANDARD.decode(text).map(Self::Recv).map_err(|error| error.to_string())
            }
            (None, Some(act)) => Ok(Self::Act(act)),
            _ => Err("a step has either `recv` or `act`".to_owned()),
        }
    }
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

/// A value that is left out may as well be null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
    let name = String::deserialize(deserializer)?;
    Method::from_bytes(name.as_bytes()).ok_or_else(|| D::Error::custom("method is no token"))
}
