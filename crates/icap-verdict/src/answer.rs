//! What is judged: an answer together with what it answers.

use icap_proto::{HttpHead, Method, ResponseHead, StatusCode};

use crate::fields::Fields;
use crate::text::{decimal, trim};

/// An answer together with what it answers.
///
/// Built from what a client has at the end of an exchange, or from bytes that a strict parser would refuse
/// ([`LooseAnswer`](crate::LooseAnswer)).
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub(crate) method: &'a Method,
    pub(crate) sent: &'a HttpHead,
    pub(crate) status: StatusCode,
    pub(crate) reason: &'a [u8],
    pub(crate) icap: Fields<'a>,
    pub(crate) http: Option<Inner<'a>>,
    pub(crate) body: Body<'a>,
    pub(crate) solicited: bool,
}

/// The HTTP head inside an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inner<'a> {
    pub(crate) start_line: &'a [u8],
    pub(crate) fields: Fields<'a>,
}

/// What came back as body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// None. For a message that was sent without bytes say [`Same`](Self::Same).
    Absent,
    /// Byte for byte what was sent.
    Same,
    /// Something else; these are its first bytes. The first 4096 are looked at.
    Other(&'a [u8]),
    /// It ended before its end: what came is no answer.
    Cut,
}

impl<'a> Answer<'a> {
    /// The answer to a request of this ICAP method with which `sent` was to be adapted: the HTTP request head in
    /// REQMOD, the response head in RESPMOD. `response` is the final one: a 100 Continue is no answer.
    #[must_use]
    pub fn new(
        method: &'a Method,
        sent: &'a HttpHead,
        response: &'a ResponseHead,
        body: Body<'a>,
    ) -> Self {
        let http = response.http_response().or_else(|| response.http_request());
        let inner = |head: &'a HttpHead| Inner {
            start_line: head.start_line(),
            fields: Fields::Parsed(head.headers()),
        };
        Self {
            method,
            sent,
            status: response.status(),
            reason: response.reason(),
            icap: Fields::Parsed(response.headers()),
            http: http.map(inner),
            body,
            solicited: true,
        }
    }

    /// Says that nobody allowed the status: a 204 or 206 outside a preview without `Allow`. There is no verdict in it.
    #[must_use]
    pub const fn unsolicited(mut self) -> Self {
        self.solicited = false;
        self
    }

    /// The HTTP response inside.
    pub(crate) fn page(&self) -> Option<Inner<'a>> {
        self.http.filter(|http| !http.is_request())
    }

    /// Whether a response stands where the message that was sent should come back.
    pub(crate) fn is_refused_by_shape(&self) -> bool {
        match self.page() {
            Some(_) if *self.method == Method::Reqmod => true,
            Some(page) => page.status() != self.sent.status(),
            None => false,
        }
    }
}

impl<'a> Inner<'a> {
    pub(crate) fn is_request(&self) -> bool {
        !self.start_line.starts_with(b"HTTP/")
    }

    /// The HTTP status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        if self.is_request() {
            return None;
        }
        u16::try_from(decimal(self.part(1)?)?).ok()
    }

    /// The reason phrase of a response.
    pub(crate) fn phrase(&self) -> &'a [u8] {
        let mut parts = self.start_line.splitn(3, |&b| b == b' ');
        trim(parts.nth(2).unwrap_or_default())
    }

    pub(crate) fn part(&self, index: usize) -> Option<&'a [u8]> {
        self.start_line.split(|&b| b == b' ').filter(|part| !part.is_empty()).nth(index)
    }
}
