//! Encapsulated HTTP heads, kept verbatim.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::error::ParseError;
use crate::headers::{Headers, InvalidHeader, write_line};
use crate::http_start_line::{InvalidStartLine, request_line, status_line};
use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::wire::head::HttpBlock;
use crate::wire::start_line::HttpKind;
use crate::{Leniency, Limits};

/// Room for the few fields of a head that is made here, in bytes. It grows with more.
const FIELDS: usize = 128;

/// An HTTP request or response head as it stands in an ICAP message: start line, fields and empty line.
///
/// The bytes are kept as they arrived, so a message that nobody edits is forwarded byte for byte. HTTP/2 and
/// HTTP/3 messages are written as HTTP/1.1 text.
///
/// ```
/// use icap_proto::HttpHead;
///
/// let mut head = HttpHead::response(200, "OK", [("Content-Type", "text/plain")])?;
/// head.edit(|headers| headers.append("X-Scanned", "yes"))?;
/// assert_eq!(head.status(), Some(200));
/// assert_eq!(head.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Scanned: yes\r\n\r\n");
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Clone)]
pub struct HttpHead {
    /// The fields, in a block that is the whole head.
    headers: Headers,
    kind: HttpKind,
}

impl HttpHead {
    /// A request head `METHOD target HTTP/1.1`.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the method or a field name is no token, or the target or a value holds a blank or
    /// control character.
    pub fn request<N, V>(
        method: &str,
        target: &str,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, InvalidHeader>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let line = request_line(method, target, b"HTTP/1.1").map_err(|invalid| match invalid {
            InvalidStartLine::Method => InvalidHeader::Name,
            _ => InvalidHeader::Value,
        })?;
        Self::from_pairs(&line, fields, HttpKind::Request)
    }

    /// A response head `HTTP/1.1 status reason`.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the status has not three digits, the reason or a value holds a control character,
    /// or a field name is no token.
    pub fn response<N, V>(
        status: u16,
        reason: &str,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, InvalidHeader>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let line = status_line(b"HTTP/1.1", status, reason).map_err(|_| InvalidHeader::Value)?;
        Self::from_pairs(&line, fields, HttpKind::Response)
    }

    /// Parses a whole request head with its empty line at the end.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, a second empty line, or a limit.
    pub fn parse_request(
        raw: Bytes,
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Self, ParseError> {
        Self::parse(raw, HttpKind::Request, limits, &mut Tolerance::new(*leniency))
    }

    /// Parses a whole response head with its empty line at the end.
    ///
    /// # Errors
    ///
    /// As [`parse_request`](Self::parse_request).
    pub fn parse_response(
        raw: Bytes,
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Self, ParseError> {
        Self::parse(raw, HttpKind::Response, limits, &mut Tolerance::new(*leniency))
    }

    pub(crate) fn parse(
        raw: Bytes,
        kind: HttpKind,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Self, ParseError> {
        let fields = HttpBlock::parse(&raw, kind, limits, tolerance)?.fields_range();
        Ok(Self::from_block(raw, fields, kind))
    }

    /// A whole head that has been checked.
    pub(crate) const fn from_block(raw: Bytes, fields: Range<usize>, kind: HttpKind) -> Self {
        Self { headers: Headers::within(raw, fields), kind }
    }

    /// The whole head with its empty line, as it goes on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.headers.block()
    }

    /// The start line without its CRLF.
    #[must_use]
    pub fn start_line(&self) -> &[u8] {
        let raw = self.as_bytes();
        let end = memchr::memchr(b'\r', raw).unwrap_or(raw.len());
        raw.get(..end).unwrap_or_default()
    }

    /// The fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Changes the fields; lines that the closure leaves alone stay byte for byte.
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut Headers) -> T) -> T {
        // On a copy, so that a closure that panics leaves a whole head behind.
        let mut headers = self.headers.clone();
        let result = change(&mut headers);
        *self = Self::from_start_line(self.start_line(), &headers, self.kind);
        result
    }

    /// Whether this is the head of a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.kind == HttpKind::Request
    }

    /// The method of a request head.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.part(HttpKind::Request, 0)
    }

    /// The target of a request head, `None` also when it is not UTF-8.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.part(HttpKind::Request, 1)
    }

    /// The status of a response head.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let status = class::decimal(self.part(HttpKind::Response, 1)?.as_bytes())?;
        u16::try_from(status).ok()
    }

    /// A head with this start line, which must be valid, in front of these fields.
    pub(crate) fn from_start_line(line: &[u8], headers: &Headers, kind: HttpKind) -> Self {
        let fields = line.len().saturating_add(2);
        let raw = [line, b"\r\n", headers.as_bytes(), b"\r\n"].concat();
        let end = raw.len().saturating_sub(2);
        Self::from_block(raw.into(), fields..end, kind)
    }

    /// The same with fields that have yet to be written.
    fn from_pairs<N, V>(
        line: &[u8],
        pairs: impl IntoIterator<Item = (N, V)>,
        kind: HttpKind,
    ) -> Result<Self, InvalidHeader>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut raw = Vec::with_capacity(line.len().saturating_add(FIELDS));
        raw.extend_from_slice(line);
        raw.extend_from_slice(b"\r\n");
        let start = raw.len();
        for (name, value) in pairs {
            write_line(&mut raw, name.as_ref(), value.as_ref())?;
        }
        let end = raw.len();
        raw.extend_from_slice(b"\r\n");
        Ok(Self::from_block(raw.into(), start..end, kind))
    }

    fn part(&self, kind: HttpKind, index: usize) -> Option<&str> {
        if self.kind != kind {
            return None;
        }
        let mut rest = self.start_line();
        for _ in 0..index {
            let blank = memchr::memchr(b' ', rest)?;
            rest = rest.get(blank.saturating_add(1)..)?;
        }
        let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        core::str::from_utf8(rest.get(..end)?).ok()
    }
}

/// The same bytes, start line and all. No line begins both a request and a response.
impl PartialEq for HttpHead {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for HttpHead {}

/// Shows the start line without a user and password in it, and the fields as [`Headers`] does.
impl core::fmt::Debug for HttpHead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let line = String::from_utf8_lossy(self.start_line());
        let line = match user_information(&line) {
            Some((before, behind)) => [before, "[redacted]", behind].concat(),
            None => line.into_owned(),
        };
        f.debug_struct("HttpHead")
            .field("start_line", &line)
            .field("headers", &self.headers)
            .finish()
    }
}

/// What stands around the user information of the URI in a request line (RFC 3986 section 3.2.1).
fn user_information(line: &str) -> Option<(&str, &str)> {
    let target = line.find(' ')?.saturating_add(1);
    let authority = match line.get(target..)?.find("://") {
        Some(scheme) => target.saturating_add(scheme).saturating_add(3),
        None => target,
    };
    let (before, rest) = line.split_at_checked(authority)?;
    let end = rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len());
    let at = rest.get(..end)?.rfind('@')?;
    Some((before, rest.get(at..)?))
}
