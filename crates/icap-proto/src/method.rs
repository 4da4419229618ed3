//! Request methods.

use bytes::Bytes;

use crate::wire::class;

/// A request method (RFC 3507 section 4.3.2). Methods are case-sensitive tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Adapts an HTTP request (RFC 3507 section 4.8).
    Reqmod,
    /// Adapts an HTTP response (RFC 3507 section 4.9).
    Respmod,
    /// Asks a service what it can do (RFC 3507 section 4.10).
    Options,
    /// Another token; a server that does not know it answers 501.
    Extension(ExtensionMethod),
}

impl Method {
    /// The method of these bytes, `None` when they are no token.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"REQMOD" => Self::Reqmod,
            b"RESPMOD" => Self::Respmod,
            b"OPTIONS" => Self::Options,
            _ => Self::Extension(ExtensionMethod::new(name)?),
        })
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Reqmod => "REQMOD",
            Self::Respmod => "RESPMOD",
            Self::Options => "OPTIONS",
            Self::Extension(name) => name.as_str(),
        }
    }
}

impl core::fmt::Display for Method {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a method that RFC 3507 does not define: a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtensionMethod(Bytes);

impl ExtensionMethod {
    fn new(name: &[u8]) -> Option<Self> {
        class::is_token(name).then(|| Self(Bytes::copy_from_slice(name)))
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // A token is ASCII, so this never falls back.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}
