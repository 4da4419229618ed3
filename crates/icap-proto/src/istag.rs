//! `ISTag`: the state of a service.

use bytes::Bytes;

use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::{Leniency, headers::InvalidHeader};

const LINE_START: &[u8] = b"ISTag: \"";
const LINE_END: &[u8] = b"\"\r\n";

/// The tag of a service state (RFC 3507 section 4.7): a quoted string of at most 32 octets. When it changes,
/// everything cached from the service is out of date. Compared without the quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IsTag {
    /// As the field line that every answer of a server has.
    line: Bytes,
}

impl IsTag {
    /// Octets between the quotes that the RFC allows.
    pub const MAX_LEN: usize = 32;
    /// Octets that a lenient parser takes.
    const MAX_LOOSE_LEN: usize = 256;

    /// A tag from the text between the quotes.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when it is empty, longer than 32 octets, or holds a quote, a backslash or a
    /// control character.
    pub fn new(tag: &str) -> Result<Self, InvalidHeader> {
        let fits = !tag.is_empty() && tag.len() <= Self::MAX_LEN;
        if fits && Self::is_plain(tag.as_bytes()) {
            Ok(Self::from_text(tag.as_bytes()))
        } else {
            Err(InvalidHeader::Value)
        }
    }

    /// Parses the value of the field. Without quotes or beyond 32 octets only with
    /// [`Leniency::loose_istag`].
    #[must_use]
    pub fn parse(value: &[u8], leniency: &Leniency) -> Option<Self> {
        Self::text(value, &mut Tolerance::new(*leniency)).map(Self::from_text)
    }

    /// What stands between the quotes of a value that can be taken.
    pub(crate) fn text<'a>(value: &'a [u8], tolerance: &mut Tolerance) -> Option<&'a [u8]> {
        let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let tag = quoted.unwrap_or(value);
        if tag.is_empty() || tag.len() > Self::MAX_LOOSE_LEN || !Self::is_plain(tag) {
            return None;
        }
        let loose = quoted.is_none() || tag.len() > Self::MAX_LEN;
        (!loose || tolerance.takes(|switches| &mut switches.loose_istag)).then_some(tag)
    }

    fn from_text(tag: &[u8]) -> Self {
        Self { line: [LINE_START, tag, LINE_END].concat().into() }
    }

    /// The tag without its quotes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.line
            .strip_prefix(LINE_START)
            .and_then(|rest| rest.strip_suffix(LINE_END))
            .unwrap_or_default()
    }

    /// The field line on the wire, with its CRLF.
    pub(crate) const fn line(&self) -> &Bytes {
        &self.line
    }

    fn is_plain(tag: &[u8]) -> bool {
        class::is_value(tag) && !tag.iter().any(|b| matches!(b, b'"' | b'\\' | b'\t'))
    }
}

/// The tag with its quotes, as it stands on the wire.
impl core::fmt::Display for IsTag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "\"{}\"", alloc::string::String::from_utf8_lossy(self.as_bytes()))
    }
}
