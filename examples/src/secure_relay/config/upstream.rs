//! One server of a list.

use icap::ServiceUri;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A server: its URI alone, or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) uri: ServiceUri,
    pub(crate) max_connections: Option<usize>,
    pub(crate) tls_name: Option<String>,
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
