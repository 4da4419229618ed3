//! Heads, read where they lie: no copy, no allocation.
//!
//! [`Request`] and [`Response`] are the ICAP part of a message, [`HttpBlock`] is one of the header sections behind
//! it. They are for tools that look at messages; a dialogue is read by
//! [`client::Connection`](crate::client::Connection) and [`server::Connection`](crate::server::Connection), which
//! keep what they read as [`RequestHead`](crate::RequestHead) and [`ResponseHead`](crate::ResponseHead).
//!
//! Opt-in switches of [`Leniency`] that rewrite a head or look behind it, such as
//! [`bare_lf_in_head`](Leniency::bare_lf_in_head), do nothing here: these heads lie where they were found.

use core::ops::Range;

use crate::allow::Allow;
use crate::encapsulated::Encapsulated;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::headers::{Field, Line, Lines};
use crate::known::Known;
use crate::method::Method;
use crate::status::StatusCode;
use crate::tolerance::Tolerance;
use crate::wire::cursor::{Cursor, Stop};
use crate::wire::fields;
use crate::wire::start_line::{self, HttpKind};
use crate::wire::target::{LastLine, Target};
use crate::{Leniency, Limits};

/// What both ICAP heads say.
macro_rules! common_parts {
    () => {
        /// The fields in wire order.
        pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
            let lines = self.bytes.get(self.parts.common.fields.clone()).unwrap_or_default();
            Lines::new(lines).map_while(Line::field)
        }

        /// `Encapsulated`, `None` when the field is absent.
        #[must_use]
        pub const fn encapsulated(&self) -> Option<&Encapsulated> {
            self.parts.common.encapsulated.as_ref()
        }

        /// `Allow`.
        #[must_use]
        pub const fn allow(&self) -> Allow {
            self.parts.common.allow
        }

        /// `Preview`, in body bytes.
        #[must_use]
        pub const fn preview(&self) -> Option<u64> {
            self.parts.common.preview
        }

        /// Bytes of the head with its empty line.
        #[must_use]
        #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
        pub const fn len(&self) -> usize {
            self.parts.common.len
        }
    };
}

/// The ICAP part of a request, borrowed from its bytes.
///
/// ```
/// use icap_proto::wire::head::Request;
/// use icap_proto::{Leniency, Limits, Method};
///
/// let bytes = b"OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\nAllow: 204\r\n\r\n";
/// let (limits, leniency) = (Limits::default(), Leniency::strict());
/// let head = Request::parse(bytes, &limits, &leniency)?.expect("it is whole");
/// assert_eq!((head.method(), head.uri()), (&Method::Options, "icap://h/s"));
/// assert_eq!(head.fields().map(|field| field.name).collect::<Vec<_>>(), ["Host", "Allow"]);
/// assert!(Request::parse(&bytes[..40], &limits, &leniency)?.is_none());
/// # Ok::<(), icap_proto::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request<'a> {
    bytes: &'a [u8],
    parts: RequestParts,
}

impl<'a> Request<'a> {
    /// Parses the ICAP part of a request at the start of `bytes`; `None` when it is not all there. Bytes behind it
    /// are not looked at.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, the rules of `Encapsulated`, or a limit.
    pub fn parse(
        bytes: &'a [u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<Self>, ParseError> {
        let mut tolerance = Tolerance::new(leniency.of_requests());
        let parts = whole(bytes, limits, |head| {
            RequestParts::parse(head, limits, &mut tolerance, &LastLine::default())
        })?;
        Ok(parts.map(|parts| Self { bytes, parts }))
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.parts.target.method
    }

    /// The URI as it stands in the request line; it has been checked.
    #[must_use]
    pub fn uri(&self) -> &'a str {
        text(self.bytes, &self.parts.target.uri)
    }

    common_parts!();
}

/// The ICAP part of a response, borrowed from its bytes.
#[derive(Debug, Clone)]
pub struct Response<'a> {
    bytes: &'a [u8],
    parts: ResponseParts,
}

impl<'a> Response<'a> {
    /// Parses the ICAP part of a response at the start of `bytes`; `None` when it is not all there. Bytes behind
    /// it are not looked at.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, or a limit. Rules that need the request are not looked at; see
    /// [`check`](Self::check).
    pub fn parse(
        bytes: &'a [u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<Self>, ParseError> {
        let mut tolerance = Tolerance::new(leniency.of_responses());
        let parts =
            whole(bytes, limits, |head| ResponseParts::parse(head, limits, &mut tolerance))?;
        Ok(parts.map(|parts| Self { bytes, parts }))
    }

    /// Holds the head to the rules that depend on the method of its request.
    ///
    /// # Errors
    ///
    /// A missing `ISTag` or `Encapsulated`, or parts that this answer may not have (RFC 3507 section 4.4.1).
    pub fn check(&self, method: &Method, leniency: &Leniency) -> Result<(), ParseError> {
        let has = |name: &str| self.fields().any(|field| field.name.eq_ignore_ascii_case(name));
        let answer = Answer {
            status: self.parts.status,
            unannounced_trailer: self.parts.common.unannounced_trailer(),
            encapsulated: self.parts.common.encapsulated,
        };
        let checked = answer.check(method, &mut Tolerance::new(*leniency), has);
        checked.map_err(|kind| ParseError::new(kind, self.parts.common.len))
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The reason phrase; it may hold bytes beyond ASCII.
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        self.bytes.get(self.parts.reason.clone()).unwrap_or_default()
    }

    common_parts!();
}

/// An encapsulated HTTP head, borrowed from its bytes.
///
/// ```
/// use icap_proto::wire::head::HttpBlock;
/// use icap_proto::{Leniency, Limits};
///
/// let block = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\n\r\n";
/// let head = HttpBlock::response(block, &Limits::default(), &Leniency::strict())?;
/// assert_eq!(head.start_line(), b"HTTP/1.1 200 OK");
/// assert_eq!(head.fields().next().map(|field| field.value), Some(&b"\"a\""[..]));
/// # Ok::<(), icap_proto::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct HttpBlock<'a> {
    bytes: &'a [u8],
    start_line_len: usize,
}

impl<'a> HttpBlock<'a> {
    /// Checks a whole request head: start line, fields, and an empty line at its very end and nowhere before.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, or a limit.
    pub fn request(
        block: &'a [u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Self, ParseError> {
        Self::parse(block, HttpKind::Request, limits, &mut Tolerance::new(*leniency))
    }

    /// Checks a whole response head.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn response(
        block: &'a [u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Self, ParseError> {
        Self::parse(block, HttpKind::Response, limits, &mut Tolerance::new(*leniency))
    }

    pub(crate) fn parse(
        block: &'a [u8],
        kind: HttpKind,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Self, ParseError> {
        if block.len() > limits.encapsulated_bytes {
            return Err(ParseError::new(Kind::EncapsulatedTooLong, limits.encapsulated_bytes));
        }
        let mut cursor = Cursor::new(block);
        start_line::http(&mut cursor, kind, limits)
            .map_err(|stop| stop.in_whole(block, Kind::SectionEnd))?;
        let start_line_len = cursor.at();
        fields::check_block(block, cursor, limits, tolerance)?;
        Ok(Self { bytes: block, start_line_len })
    }

    /// Where the field lines stand in the block.
    pub(crate) const fn fields_range(&self) -> Range<usize> {
        self.start_line_len..self.bytes.len().saturating_sub(2)
    }

    /// The start line without its CRLF.
    #[must_use]
    pub fn start_line(&self) -> &'a [u8] {
        self.bytes.get(..self.start_line_len.saturating_sub(2)).unwrap_or_default()
    }

    /// The fields in wire order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let lines = self.bytes.get(self.fields_range()).unwrap_or_default();
        Lines::new(lines).map_while(Line::field)
    }
}

/// Where the parts of a request head stand, and what its framing fields say.
#[derive(Debug, Clone)]
pub(crate) struct RequestParts {
    pub(crate) target: Target,
    pub(crate) common: Common,
}

/// Where the parts of a response head stand, and what its framing fields say.
#[derive(Debug, Clone)]
pub(crate) struct ResponseParts {
    pub(crate) status: StatusCode,
    pub(crate) reason: Range<usize>,
    pub(crate) common: Common,
}

/// What both heads have.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// With the empty line.
    pub(crate) len: usize,
    pub(crate) fields: Range<usize>,
    pub(crate) allow: Allow,
    pub(crate) preview: Option<u64>,
    pub(crate) close: bool,
    pub(crate) trailer: bool,
    pub(crate) encapsulated: Option<Encapsulated>,
}

impl RequestParts {
    /// Parses from the start of a request to the empty line of its ICAP head.
    pub(crate) fn parse(
        bytes: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
        last: &LastLine,
    ) -> Result<Self, Stop> {
        let mut cursor = Cursor::new(bytes);
        let (target, other_version) = match last.again(&mut cursor) {
            Some(target) => (target, None),
            None => Target::parse(&mut cursor, limits, tolerance)?,
        };
        let start = cursor.at();
        let uri = bytes.get(target.uri.clone()).unwrap_or_default();
        let authority = target.uri_parts.host_and_port(uri);
        let known = Known::read(&mut cursor, authority, limits, tolerance)?;
        let len = cursor.at();
        // Only now: a request that is no ICAP at all is malformed, whatever version it claims.
        if let Some(at) = other_version {
            return Err(ParseError::new(Kind::UnsupportedVersion, at).into());
        }
        let common = Common {
            len,
            fields: start..len.saturating_sub(2),
            allow: known.allow,
            // To other methods it says nothing (RFC 3507 section 4.5): what is malformed there counts as absent.
            preview: match target.method {
                Method::Reqmod | Method::Respmod => known.preview.transpose()?,
                _ => known.preview.and_then(Result::ok),
            },
            close: known.close,
            trailer: known.trailer,
            encapsulated: known.encapsulated,
        };
        let parts = Self { target, common };
        match parts.check(known.host.is_some(), tolerance) {
            Ok(()) => Ok(parts),
            Err(kind) => Err(ParseError::new(kind, len).into()),
        }
    }

    /// The rules that can be held only when all fields are known.
    fn check(&self, has_host: bool, tolerance: &mut Tolerance) -> Result<(), Kind> {
        if !has_host && !tolerance.takes(|switches| &mut switches.missing_host) {
            return Err(Kind::MissingHost);
        }
        if self.common.unannounced_trailer()
            && !tolerance.takes(|switches| &mut switches.unannounced_trailer)
        {
            return Err(Kind::UnannouncedTrailer);
        }
        match &self.common.encapsulated {
            None if matches!(self.target.method, Method::Reqmod | Method::Respmod) => {
                Err(Kind::MissingEncapsulated)
            }
            Some(list) if !list.fits_request(&self.target.method) => Err(Kind::EntityList),
            _ => Ok(()),
        }
    }
}

impl ResponseParts {
    /// Parses from the start of a response to the empty line of its ICAP head.
    pub(crate) fn parse(
        bytes: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Self, Stop> {
        let mut cursor = Cursor::new(bytes);
        let line = start_line::status(&mut cursor, limits, tolerance)?;
        let status = StatusCode::new(line.status)
            .ok_or_else(|| ParseError::new(Kind::Status, b"ICAP/1.0 ".len()))?;
        let start = cursor.at();
        let known = Known::read(&mut cursor, None, limits, tolerance)?;
        let len = cursor.at();
        Ok(Self {
            status: match known.empty_section {
                None => status,
                Some(_) if status == StatusCode::OK => StatusCode::NO_CONTENT,
                Some(error) => return Err(error.into()),
            },
            reason: line.reason_at..line.reason_at.saturating_add(line.reason.len()),
            common: Common {
                len,
                fields: start..len.saturating_sub(2),
                allow: known.allow,
                preview: known.preview.and_then(Result::ok),
                close: known.close,
                trailer: known.trailer,
                encapsulated: known.encapsulated,
            },
        })
    }
}

/// What the rules on answers ask for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) unannounced_trailer: bool,
    pub(crate) encapsulated: Option<Encapsulated>,
}

impl Answer {
    /// Holds a head to the rules that need the method of its request. `has` says whether there is such a field.
    pub(crate) fn check(
        &self,
        method: &Method,
        tolerance: &mut Tolerance,
        has: impl Fn(&str) -> bool,
    ) -> Result<(), Kind> {
        let status = self.status;
        if status.is_success()
            && !has("ISTag")
            && !tolerance.takes(|switches| &mut switches.missing_istag)
        {
            return Err(Kind::MissingIsTag);
        }
        if self.unannounced_trailer
            && !tolerance.takes(|switches| &mut switches.unannounced_trailer)
        {
            return Err(Kind::UnannouncedTrailer);
        }
        // An answer to another method has no parts to announce.
        let rfc_method = !matches!(method, Method::Extension(_));
        if self.encapsulated.is_none() && status == StatusCode::OK && rfc_method {
            let tolerated = *method == Method::Options
                && !has("Opt-body-type")
                && tolerance.takes(|switches| &mut switches.options_without_encapsulated);
            if !tolerated {
                return Err(Kind::MissingEncapsulated);
            }
        }
        let parts = self.encapsulated.unwrap_or(Encapsulated::NONE);
        let created = status == StatusCode::CREATED && parts != Encapsulated::NONE;
        if parts.fits_response(method, status)
            && (!created || tolerance.takes(|switches| &mut switches.created_as_ok))
        {
            Ok(())
        } else {
            Err(Kind::EntityList)
        }
    }
}

impl Common {
    pub(crate) const fn unannounced_trailer(&self) -> bool {
        self.trailer && !self.allow.trailers
    }
}

/// Parses within the limit on heads; `None` while the head may still come to its end.
fn whole<T>(
    bytes: &[u8],
    limits: &Limits,
    parse: impl FnOnce(&[u8]) -> Result<T, Stop>,
) -> Result<Option<T>, ParseError> {
    match parse(bytes.get(..limits.head_bytes).unwrap_or(bytes)) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(Stop::Fault(error)) => Err(error),
        Err(Stop::Incomplete) if bytes.len() > limits.head_bytes => {
            Err(ParseError::new(Kind::HeadTooLong, limits.head_bytes))
        }
        Err(Stop::Incomplete) => Ok(None),
    }
}

/// A part that holds nothing but ASCII.
fn text<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a str {
    core::str::from_utf8(bytes.get(range.clone()).unwrap_or_default()).unwrap_or_default()
}
