//! What an encapsulated head says of its body (RFC 9112 section 6).
//!
//! None of it frames the body inside ICAP, which has chunks of its own. It matters where the message leaves as
//! HTTP: a head that says another length than its body has is how requests are smuggled.

use alloc::string::ToString;

use crate::headers::Headers;
use crate::http_head::HttpHead;
use crate::wire::class;

const CONTENT_LENGTH: &str = "Content-Length";
const TRANSFER_ENCODING: &str = "Transfer-Encoding";

/// The body that a head is going to stand in front of, for [`HttpHead::reframe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyLength {
    /// No body, such as `null-body`.
    None,
    /// A body of this many bytes.
    Known(u64),
    /// A body of unknown length, framed by whoever writes the message: HTTP libraries add
    /// `Transfer-Encoding: chunked` themselves, HTTP/2 needs nothing.
    Unknown,
    /// A body of unknown length that the caller sends in chunks of HTTP/1.1. HTTP/1.0 has none, so such a head
    /// becomes one of HTTP/1.1 (RFC 9112 section 6.1).
    Chunked,
}

/// A `Content-Length` that says nothing that can be relied on (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidContentLength {
    /// Something other than digits, or a number beyond 64 bits.
    #[error("Content-Length is not a number")]
    NotANumber,
    /// Two values that differ.
    #[error("Content-Length has two values")]
    Conflicting,
}

/// A head that says another length than its body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LengthMismatch {
    /// The length cannot be read.
    #[error("{0}")]
    Invalid(InvalidContentLength),
    /// The body is shorter or longer.
    #[error("Content-Length is {declared}, the body has {decoded} bytes")]
    #[non_exhaustive]
    Differs {
        /// What `Content-Length` says.
        declared: u64,
        /// The bytes that came.
        decoded: u64,
    },
}

impl HttpHead {
    /// The value of `Content-Length`, `None` without the field. The same number twice, as two fields or as a list,
    /// is that number (RFC 9112 section 6.3).
    ///
    /// # Errors
    ///
    /// Anything but `1*DIGIT`, and numbers that differ. Such a message must not be forwarded as it is.
    pub fn content_length(&self) -> Result<Option<u64>, InvalidContentLength> {
        let mut length = None;
        for member in self.headers().get_all(CONTENT_LENGTH).flat_map(class::list) {
            let member = class::decimal(member).ok_or(InvalidContentLength::NotANumber)?;
            if length.is_some_and(|length| length != member) {
                return Err(InvalidContentLength::Conflicting);
            }
            length = Some(member);
        }
        Ok(length)
    }

    /// Whether there is a `Transfer-Encoding`. It never describes the body inside ICAP, and must not leave
    /// together with a `Content-Length`; see [`reframe`](Self::reframe).
    #[must_use]
    pub fn has_transfer_encoding(&self) -> bool {
        self.headers().get(TRANSFER_ENCODING).is_some()
    }

    /// Whether this HTTP/1.1 message has or may have a body (RFC 9112 section 6.3); one that has none is
    /// encapsulated with `null-body`.
    ///
    /// A request has one when it says so by a `Transfer-Encoding`, or a `Content-Length` other than 0; a
    /// `Content-Length` that cannot be read counts. A response may always have one, but not as an answer to HEAD,
    /// as a 2xx to CONNECT, and as 1xx, 204 or 304. `request_method` is the method of the request that a response
    /// answers, where it is known; a request is not asked for it.
    ///
    /// A request that came over HTTP/2 or HTTP/3 may have a body without either field: there the body itself has
    /// to be asked.
    ///
    /// ```
    /// use icap_proto::HttpHead;
    ///
    /// let page = HttpHead::response(200, "OK", [("Content-Length", "5")])?;
    /// assert!(page.may_have_body(Some("GET")));
    /// assert!(!page.may_have_body(Some("HEAD")));
    /// # Ok::<(), icap_proto::InvalidHeader>(())
    /// ```
    #[must_use]
    pub fn may_have_body(&self, request_method: Option<&str>) -> bool {
        if self.is_request() {
            return self.has_transfer_encoding()
                || !matches!(self.content_length(), Ok(None | Some(0)));
        }
        // Methods are compared with case (RFC 9110 section 9.1).
        !matches!(
            (self.status(), request_method),
            (Some(100..=199 | 204 | 304), _)
                | (_, Some("HEAD"))
                | (Some(200..=299), Some("CONNECT"))
        )
    }

    /// Makes the head say the length that the body has, before the message is used as HTTP again. Afterwards there
    /// is at most one of `Content-Length` and `Transfer-Encoding`, and a `Content-Length` is right. All other lines
    /// stay byte for byte, as does a `Content-Length` that is right.
    ///
    /// * A response that cannot have a body, see [`may_have_body`](Self::may_have_body), gets no length whatever
    ///   `body` is. For HEAD and 304 a valid `Content-Length` stays: there it tells what a GET would have got.
    /// * Without a body, a response says `Content-Length: 0`, and so does a request that spoke of a body before.
    ///
    /// ```
    /// use icap_proto::{BodyLength, HttpHead};
    ///
    /// let mut head = HttpHead::response(200, "OK", [
    ///     ("Transfer-Encoding", "chunked"),
    ///     ("Content-Length", "5"),
    /// ])?;
    /// head.reframe(BodyLength::Known(7), Some("GET"));
    /// assert_eq!(head.headers().as_bytes(), b"Content-Length: 7\r\n");
    /// # Ok::<(), icap_proto::InvalidHeader>(())
    /// ```
    pub fn reframe(&mut self, body: BodyLength, request_method: Option<&str>) {
        let (length, chunked) = if !self.is_request() && !self.may_have_body(request_method) {
            (self.length_without_body(request_method), false)
        } else {
            let spoke_of_body =
                self.has_transfer_encoding() || self.headers().get(CONTENT_LENGTH).is_some();
            match body {
                BodyLength::None if self.is_request() && !spoke_of_body => (None, false),
                BodyLength::None => (Some(0), false),
                BodyLength::Known(length) => (Some(length), false),
                BodyLength::Unknown => (None, false),
                BodyLength::Chunked => (None, true),
            }
        };
        let length = length.map(|length| length.to_string());
        let length = length.as_ref().map(|digits| digits.as_bytes());
        let coding = chunked.then_some(&b"chunked"[..]);
        if chunked && self.version() == b"HTTP/1.0" {
            self.set_version(*b"HTTP/1.1");
        }
        if is_only(self.headers(), CONTENT_LENGTH, length)
            && is_only(self.headers(), TRANSFER_ENCODING, coding)
        {
            return;
        }
        self.edit(|headers| {
            set_only(headers, CONTENT_LENGTH, length);
            set_only(headers, TRANSFER_ENCODING, coding);
        });
    }

    /// Compares `Content-Length` with the number of bytes that the ICAP body had: for a 206, the bytes of the answer
    /// and those of the original behind them. `None` when they agree or there is no such field.
    ///
    /// Not for answers to HEAD and for 304, whose `Content-Length` speaks of a body that is not there.
    #[must_use]
    pub fn length_mismatch(&self, decoded: u64) -> Option<LengthMismatch> {
        match self.content_length() {
            Ok(Some(declared)) if declared != decoded => {
                Some(LengthMismatch::Differs { declared, decoded })
            }
            Ok(_) => None,
            Err(invalid) => Some(LengthMismatch::Invalid(invalid)),
        }
    }

    /// The `Content-Length` of a response that cannot have a body. It is forbidden in 1xx, 204 and 2xx to CONNECT
    /// (RFC 9110 section 8.6).
    fn length_without_body(&self, request_method: Option<&str>) -> Option<u64> {
        match (self.status(), request_method) {
            (Some(100..=199 | 204), _) => None,
            (Some(200..=299), Some("CONNECT")) => None,
            _ => self.content_length().ok().flatten(),
        }
    }
}

/// Whether the field stands once with this value, or not at all.
fn is_only(headers: &Headers, name: &str, value: Option<&[u8]>) -> bool {
    let mut found = headers.get_all(name);
    found.next() == value && found.next().is_none()
}

fn set_only(headers: &mut Headers, name: &str, value: Option<&[u8]>) {
    if is_only(headers, name, value) {
        return;
    }
    match value {
        // Cannot fail: digits and `chunked` are valid values.
        Some(value) => drop(headers.set(name, value)),
        None => drop(headers.remove(name)),
    }
}
