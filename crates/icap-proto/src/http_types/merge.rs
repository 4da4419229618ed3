//! Changed views back into a head.

use alloc::vec::Vec;

use http::header::ValueIter;
use http::{HeaderMap, HeaderName, HeaderValue, request, response};

use super::HttpTypeError;
use super::write::{host, target};
use crate::headers::{Headers, InvalidHeader, unfold, write_line};
use crate::http_head::HttpHead;
use crate::http_start_line::InvalidStartLine;
use crate::wire::class;

/// What a merge has yet to write of one name.
struct Pending<'a> {
    values: ValueIter<'a, HeaderValue>,
    /// Lines of the head that are still to come.
    lines: usize,
}

impl HttpHead {
    /// Makes the fields those of `fields`, and leaves every line as it is, byte for byte, whose value is the same.
    ///
    /// The lines of one name are compared one by one: a line with another value is rewritten in its place with its
    /// name as it was, one that is too many is removed, and one that is new stands behind the last of its name, or
    /// behind all others. So a merge of an unchanged [`to_header_map`](Self::to_header_map) changes nothing, and
    /// after a merge that function gives `fields` again (but for blanks around values, which are no part of them).
    ///
    /// ```
    /// use bytes::Bytes;
    /// use icap_proto::{HttpHead, Leniency, Limits};
    ///
    /// let raw = Bytes::from_static(b"HTTP/1.1 200 OK\r\nX-ODD:   a \r\nserver: b\r\nx-odd: c\r\n\r\n");
    /// let mut head = HttpHead::parse_response(raw, &Limits::default(), &Leniency::strict())?;
    /// let mut fields = head.to_header_map()?;
    /// fields.insert("Server", "d".parse()?);
    /// fields.insert("Via", "ICAP/1.0 e".parse()?);
    /// head.merge(&fields)?;
    /// assert_eq!(
    ///     head.as_bytes(),
    ///     b"HTTP/1.1 200 OK\r\nX-ODD:   a \r\nserver: d\r\nx-odd: c\r\nvia: ICAP/1.0 e\r\n\r\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the head as it is exceeds what a [`HeaderMap`] can hold. Nothing is changed.
    pub fn merge(&mut self, fields: &HeaderMap) -> Result<(), HttpTypeError> {
        let merged = merged(self.headers(), fields)?;
        if merged != self.headers().as_bytes() {
            self.edit(|headers| *headers = Headers::from_lines(merged));
        }
        Ok(())
    }

    /// Makes the head that of a changed [`to_request`](Self::to_request): start line and fields stay as they are
    /// where nothing differs. A URI with another authority brings its `Host` along. The version stays.
    ///
    /// # Errors
    ///
    /// The head of a response, a URI that does not fit the method, and what [`merge`](Self::merge) refuses. Nothing
    /// is changed.
    pub fn merge_request(&mut self, parts: &request::Parts) -> Result<(), HttpTypeError> {
        let method = self.http_method()?;
        let same_uri = self.http_uri().is_ok_and(|uri| uri == parts.uri);
        let mut merged = self.clone();
        merged.merge(&parts.headers)?;
        if method != parts.method || !same_uri {
            let target = match same_uri.then(|| self.target()).flatten() {
                // Its bytes are kept, but a target that fits one method need not fit the other.
                Some(own) => target(&parts.method, &parts.uri).map(|_| own.into())?,
                None => target(&parts.method, &parts.uri)?,
            };
            merged.set_request_line(parts.method.as_str(), &target)?;
        }
        if let Some(host) = host(&parts.uri).filter(|_| !same_uri) {
            let is_same = |value: &[u8]| value.eq_ignore_ascii_case(host.as_bytes());
            let mut hosts = merged.headers().get_all("Host");
            if !(hosts.next().is_some_and(is_same) && hosts.next().is_none()) {
                drop(hosts);
                merged.edit(|headers| headers.set("Host", host))?;
            }
        }
        *self = merged;
        Ok(())
    }

    /// Makes the head that of a changed [`to_response`](Self::to_response): the reason phrase stays with the status,
    /// another status gets its usual phrase. The version stays.
    ///
    /// # Errors
    ///
    /// The head of a request, and what [`merge`](Self::merge) refuses. Nothing is changed.
    pub fn merge_response(&mut self, parts: &response::Parts) -> Result<(), HttpTypeError> {
        if self.is_request() {
            return Err(InvalidStartLine::Kind.into());
        }
        let mut merged = self.clone();
        merged.merge(&parts.headers)?;
        if self.status() != Some(parts.status.as_u16()) {
            let reason = parts.status.canonical_reason().unwrap_or_default();
            merged.set_status_line(parts.status.as_u16(), reason)?;
        }
        *self = merged;
        Ok(())
    }
}

fn merged(own: &Headers, fields: &HeaderMap) -> Result<Vec<u8>, HttpTypeError> {
    let mut pending: HeaderMap<Pending<'_>> = HeaderMap::default();
    for field in own.iter() {
        let name = name(field.name)?;
        if let Some(pending) = pending.get_mut(&name) {
            pending.lines = pending.lines.saturating_add(1);
        } else {
            let values = fields.get_all(&name).iter();
            pending.try_insert(name, Pending { values, lines: 1 })?;
        }
    }
    let mut lines = Vec::with_capacity(own.as_bytes().len());
    for field in own.iter() {
        let Some(pending) = pending.get_mut(&name(field.name)?) else { continue };
        pending.lines = pending.lines.saturating_sub(1);
        match pending.values.next() {
            Some(value) if class::trim(value.as_bytes()) == &*unfold(field.value) => {
                lines.extend_from_slice(field.line);
            }
            Some(value) => write_line(&mut lines, field.name, value.as_bytes())?,
            None => {}
        }
        if pending.lines == 0 {
            for value in pending.values.by_ref() {
                write_line(&mut lines, field.name, value.as_bytes())?;
            }
        }
    }
    for (name, value) in fields {
        if !pending.contains_key(name) {
            write_line(&mut lines, name.as_str(), value.as_bytes())?;
        }
    }
    Ok(lines)
}

fn name(name: &str) -> Result<HeaderName, InvalidHeader> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidHeader::Name)
}
