//! Service URIs.

use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;
use core::str::FromStr;

use bytes::{Bytes, BytesMut};

use crate::error::{ParseError, ParseErrorKind};
use crate::wire::{class, encode};

/// The absolute URI of a service (RFC 3507 section 4.2).
///
/// ```text
/// ICAP_URI = ("icap" / "icaps") "://" [ userinfo "@" ] host [ ":" port ] [ abs_path ] [ "?" query ]
/// ```
///
/// The port is 1344 when none is given, 11344 for `icaps`. Path and query are kept byte for byte. User
/// information is accepted but never written to the wire, to `Display` or to `Debug`.
///
/// ```
/// let uri: icap_proto::ServiceUri = "icap://av.local/respmod?mode=strict".parse()?;
/// assert_eq!((uri.host(), uri.port(), uri.path()), ("av.local", 1344, "/respmod"));
/// assert_eq!(uri.query(), Some("mode=strict"));
/// # Ok::<(), icap_proto::ParseError>(())
/// ```
#[derive(Clone)]
pub struct ServiceUri {
    raw: Bytes,
    parts: UriParts,
}

impl ServiceUri {
    /// Parses a URI.
    ///
    /// # Errors
    ///
    /// [`ParseErrorKind::Uri`] with the place of the first byte that does not fit.
    pub fn parse(raw: Bytes) -> Result<Self, ParseError> {
        Ok(Self { parts: UriParts::parse(&raw)?, raw })
    }

    /// The URI `raw`, of which `parts` were parsed.
    pub(crate) const fn from_parts(parts: UriParts, raw: Bytes) -> Self {
        Self { raw, parts }
    }

    /// `icap` or `icaps`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.parts.secure { "icaps" } else { "icap" }
    }

    /// Whether the scheme is `icaps`: TLS from the first byte.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.parts.secure
    }

    /// The host; an IPv6 address with its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text(self.parts.host.clone())
    }

    /// The port: as given, else 1344, or 11344 for `icaps`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.parts.port.unwrap_or(if self.parts.secure { 11344 } else { 1344 })
    }

    /// The path, empty when there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text(self.parts.authority_end..self.parts.query.unwrap_or(self.raw.len()))
    }

    /// What stands behind the `?`: arguments for the service.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.query.map(|mark| self.text(mark.saturating_add(1)..self.raw.len()))
    }

    /// User information as given. It may hold a password.
    #[must_use]
    pub fn userinfo(&self) -> Option<&str> {
        let start = self.scheme().len().saturating_add(3);
        let end = self.parts.host.start.checked_sub(1).filter(|end| *end >= start)?;
        Some(self.text(start..end))
    }

    /// Path and query as they stand in the URI.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.text(self.parts.authority_end..self.raw.len())
    }

    /// Writes the URI as it goes on the wire: without user information.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.scheme().as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(self.bytes(self.parts.host.clone()));
        if let Some(port) = self.parts.port {
            encode::port(out, port);
        }
        out.extend_from_slice(self.bytes(self.parts.authority_end..self.raw.len()));
    }

    /// Writes `host:port` for `Host`, always with the port, as Squid sends it.
    pub(crate) fn encode_authority(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.bytes(self.parts.host.clone()));
        encode::port(out, self.port());
    }

    fn text(&self, range: Range<usize>) -> &str {
        // Only ASCII passes the parser.
        core::str::from_utf8(self.bytes(range)).unwrap_or_default()
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.raw.get(range).unwrap_or_default()
    }
}

/// Where the parts of a URI stand in its bytes.
#[derive(Debug, Clone)]
pub(crate) struct UriParts {
    secure: bool,
    host: Range<usize>,
    port: Option<u16>,
    /// Where host and port end; path and query follow.
    authority_end: usize,
    query: Option<usize>,
}

impl UriParts {
    /// Host and port as they stand in the bytes: they can be the value of `Host`.
    pub(crate) fn host_and_port<'a>(&self, raw: &'a [u8]) -> Option<&'a [u8]> {
        raw.get(self.host.start..self.authority_end)
    }

    pub(crate) fn parse(raw: &[u8]) -> Result<Self, ParseError> {
        let fail = |at: usize| ParseError::new(ParseErrorKind::Uri, at);
        let (name, rest) = raw.split_at_checked(b"icap".len()).ok_or_else(|| fail(0))?;
        let secure = matches!(rest, [b's' | b'S', ..]);
        let scheme_end = name.len().saturating_add(usize::from(secure));
        let after_scheme = raw.get(scheme_end..).unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"icap") || after_scheme.first() != Some(&b':') {
            return Err(fail(0));
        }
        let after_slashes = after_scheme.strip_prefix(b"://").ok_or_else(|| fail(scheme_end))?;
        let authority_start = scheme_end.saturating_add(b"://".len());
        // Nearly always host and port alone, of which nothing is escaped.
        let plain_len = class::userinfo(after_slashes).err().unwrap_or(after_slashes.len());
        let is_plain = matches!(after_slashes.get(plain_len), None | Some(b'/' | b'?'));
        let authority_len = match is_plain {
            true => plain_len,
            false => memchr::memchr2(b'/', b'?', after_slashes).unwrap_or(after_slashes.len()),
        };
        let (authority, tail) = after_slashes.split_at_checked(authority_len).unwrap_or_default();
        let authority_end = authority_start.saturating_add(authority_len);

        let mut host_start = authority_start;
        let mut host_port = authority;
        if !is_plain && let Some(at) = memchr::memrchr(b'@', authority) {
            let (userinfo, host) = authority.split_at_checked(at).unwrap_or_default();
            class::userinfo(userinfo).map_err(|bad| fail(authority_start.saturating_add(bad)))?;
            host_start = authority_start.saturating_add(at).saturating_add(1);
            host_port = host.get(1..).unwrap_or_default();
        }
        let (host_len, port) = host_and_port(host_port).ok_or_else(|| fail(host_start))?;

        let at = |place: usize| authority_end.saturating_add(place);
        let query = match class::path(tail) {
            Ok(()) => None,
            Err(mark) if tail.get(mark) == Some(&b'?') => {
                let query = tail.get(mark..).unwrap_or_default();
                class::query(query).map_err(|bad| fail(at(mark.saturating_add(bad))))?;
                Some(at(mark))
            }
            Err(bad) => return Err(fail(at(bad))),
        };
        let host = host_start..host_start.saturating_add(host_len);
        Ok(Self { secure, host, port, authority_end, query })
    }
}

impl FromStr for ServiceUri {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl TryFrom<&str> for ServiceUri {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl TryFrom<String> for ServiceUri {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        Self::parse(text.into())
    }
}

/// Without user information, the port only when it was given.
impl core::fmt::Display for ServiceUri {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.host())?;
        if let Some(port) = self.parts.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path_and_query())
    }
}

impl core::fmt::Debug for ServiceUri {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ServiceUri({self})")
    }
}

/// The same service: scheme, host and port alike, path and query byte for byte.
impl PartialEq for ServiceUri {
    fn eq(&self, other: &Self) -> bool {
        self.parts.secure == other.parts.secure
            && self.port() == other.port()
            && self.host().eq_ignore_ascii_case(other.host())
            && self.path_and_query() == other.path_and_query()
    }
}

impl Eq for ServiceUri {}

impl core::hash::Hash for ServiceUri {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.parts.secure.hash(state);
        self.port().hash(state);
        for byte in self.host().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        self.path_and_query().hash(state);
    }
}

/// Whether this is a value of `Host` (RFC 9110 section 7.2).
pub(crate) fn is_host_and_port(value: &[u8]) -> bool {
    host_and_port(value).is_some()
}

/// Splits `host[:port]`; the length of the host and the port, `None` when either is malformed.
fn host_and_port(authority: &[u8]) -> Option<(usize, Option<u16>)> {
    let host_len = if authority.first() == Some(&b'[') {
        let close = memchr::memchr(b']', authority)?;
        let address = core::str::from_utf8(authority.get(1..close)?).ok()?;
        Ipv6Addr::from_str(address).ok()?;
        close.checked_add(1)?
    } else {
        let len = class::host(authority).err().unwrap_or(authority.len());
        let host = authority.get(..len)?;
        // Resolvers read `1.2.3` or `999.1.1.1` in odd ways.
        let is_numeric = host.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        if is_numeric && !is_ipv4(host) {
            return None;
        }
        len
    };
    match authority.get(host_len..)? {
        [] | [b':'] => Some((host_len, None)),
        [b':', digits @ ..] => Some((host_len, Some(u16::try_from(class::decimal(digits)?).ok()?))),
        _ => None,
    }
}

fn is_ipv4(host: &[u8]) -> bool {
    core::str::from_utf8(host).is_ok_and(|text| Ipv4Addr::from_str(text).is_ok())
}
