//! Response heads.

use alloc::boxed::Box;

use bytes::{Bytes, BytesMut};

use crate::allow::Allow;
use crate::encapsulated::{Encapsulated, Entity};
use crate::error::{Misuse, ParseError, ParseErrorKind as Kind};
use crate::headers::{Headers, InvalidHeader, unfold};
use crate::http_head::HttpHead;
use crate::istag::IsTag;
use crate::known::{self, WRITTEN_BY_ENCODER};
use crate::method::Method;
use crate::reader::{Head, HeadReader, Message};
use crate::request::{encode_allow, encode_encapsulated, encode_trailer};
use crate::status::StatusCode;
use crate::tolerance::Tolerance;
use crate::wire::cursor::Stop;
use crate::wire::head::{Answer, Common, ResponseParts};
use crate::wire::{encode, start_line};
use crate::{Leniency, Limits};

/// Everything of a response in front of its body: ICAP head and encapsulated HTTP head.
///
/// ```
/// use icap_proto::{HttpHead, IsTag, ResponseHead, StatusCode};
///
/// let page = HttpHead::response(403, "Forbidden", [("Content-Type", "text/plain")])?;
/// let head = ResponseHead::builder(StatusCode::OK)
///     .istag(&IsTag::new("rules-7")?)
///     .http(page)
///     .body(true)
///     .build()?;
/// assert_eq!(head.encapsulated().unwrap().to_string(), "res-hdr=0, res-body=52");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ResponseHead {
    status: StatusCode,
    reason: Bytes,
    headers: Headers,
    allow: Allow,
    preview: Option<u64>,
    close: bool,
    trailer: bool,
    /// Folded values are written as they were read.
    keeps_folds: bool,
    encapsulated: Option<Encapsulated>,
    http_request: Option<HttpHead>,
    http_response: Option<HttpHead>,
}

impl ResponseHead {
    /// Starts a response with this status and its usual reason phrase.
    pub fn builder(status: StatusCode) -> ResponseBuilder {
        ResponseBuilder {
            head: Box::new(Self {
                status,
                reason: Bytes::from_static(status.canonical_reason().as_bytes()),
                headers: Headers::new(),
                allow: Allow::default(),
                preview: None,
                close: false,
                trailer: false,
                keeps_folds: false,
                encapsulated: None,
                http_request: None,
                http_response: None,
            }),
            body: false,
            opt_body: false,
        }
    }

    /// Parses a head at the start of `message`: the head and its length, `None` when it is not all there.
    /// Whether it fits the request that it answers is for [`client::Connection`](crate::client::Connection) to
    /// say.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, or a limit.
    pub fn parse(
        message: &[u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<(Self, usize)>, ParseError> {
        HeadReader::copy(message, limits, &mut Tolerance::new(leniency.of_responses()))
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase; it may hold bytes beyond ASCII.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// The fields of the ICAP head, framing fields included when the head was parsed.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The tag of the service state, quoted or not.
    #[must_use]
    pub fn istag(&self) -> Option<IsTag> {
        IsTag::parse(self.headers.get("ISTag")?, &Leniency::default())
    }

    /// What the service offers, in answers to OPTIONS.
    #[must_use]
    pub const fn allow(&self) -> Allow {
        self.allow
    }

    /// The preview the service wants, in answers to OPTIONS.
    #[must_use]
    pub const fn preview(&self) -> Option<u64> {
        self.preview
    }

    /// Whether the server said `Connection: close`.
    #[must_use]
    pub const fn close(&self) -> bool {
        self.close
    }

    /// Whether an ICAP trailer follows the body: `Trailer` and `Allow: trailers` in one head.
    #[must_use]
    pub const fn has_icap_trailer(&self) -> bool {
        self.trailer && self.allow.trailers
    }

    /// Whether the message as it is written and read ends in an ICAP trailer: only one with parts can (section 3).
    pub(crate) fn ends_with_icap_trailer(&self) -> bool {
        self.has_icap_trailer() && self.parts() != Encapsulated::NONE
    }

    pub(crate) const fn unannounced_trailer(&self) -> bool {
        self.trailer && !self.allow.trailers
    }

    /// The parts of the message, `None` when the field is absent: then there is nothing behind the head.
    #[must_use]
    pub const fn encapsulated(&self) -> Option<&Encapsulated> {
        self.encapsulated.as_ref()
    }

    /// Whether a chunked body follows.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.encapsulated.as_ref().is_some_and(Encapsulated::has_body)
    }

    /// The adapted HTTP request head.
    #[must_use]
    pub const fn http_request(&self) -> Option<&HttpHead> {
        self.http_request.as_ref()
    }

    /// The adapted HTTP response head, or the answer that a REQMOD service gives in place of the origin.
    #[must_use]
    pub const fn http_response(&self) -> Option<&HttpHead> {
        self.http_response.as_ref()
    }

    /// Takes the encapsulated head out, whichever it is.
    #[must_use]
    pub fn into_http(self) -> Option<HttpHead> {
        self.http_response.or(self.http_request)
    }

    /// Changes the fields of the ICAP head, as a proxy does; lines that the closure leaves alone stay byte for byte.
    /// Framing fields are written from what the head says, whatever stands here.
    ///
    /// ```
    /// use icap_proto::{ResponseHead, StatusCode};
    ///
    /// let mut head = ResponseHead::builder(StatusCode::OK).header("Max-Connections", "100")?.build()?;
    /// head.edit(|fields| fields.set("Max-Connections", "16"))?;
    /// assert_eq!(head.headers().get("Max-Connections"), Some(&b"16"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn edit<T>(&mut self, change: impl FnOnce(&mut Headers) -> T) -> T {
        change(&mut self.headers)
    }

    /// The head as a proxy sends it on: without `Connection: close`, which spoke of the connection it came on, and
    /// with folded values as they are. In `X-Violations-Found` the lines of a value have a meaning; otherwise folds
    /// are read and never written (RFC 9112 section 5.2).
    ///
    /// ```
    /// use icap_proto::{Leniency, Limits, ResponseHead};
    ///
    /// let text = b"ICAP/1.0 204 Ok\r\nX-Violations-Found: 1\r\n\tfile.doc\r\n\tEICAR\r\n\r\n";
    /// let parsed = ResponseHead::parse(text, &Limits::default(), &Leniency::default())?;
    /// let (head, _) = parsed.expect("all of it is there");
    /// assert_eq!(head.forwarded().to_bytes(), text[..]);
    /// # Ok::<(), icap_proto::ParseError>(())
    /// ```
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        self.close = false;
        self.keeps_folds = true;
        self
    }

    /// The parts, where an absent field means none.
    pub(crate) fn parts(&self) -> Encapsulated {
        self.encapsulated.unwrap_or(Encapsulated::NONE)
    }

    pub(crate) fn set_close(&mut self) {
        self.close = true;
    }

    /// Says `null-body=0` where the field was left out.
    pub(crate) fn set_null_body(&mut self) {
        self.encapsulated.get_or_insert(Encapsulated::NONE);
    }

    /// The bytes that [`encode`](Self::encode) writes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }

    /// Writes the head with the encapsulated heads behind it: the message up to its body.
    ///
    /// Framing fields are written from what the head says, never copied from one that was parsed. A
    /// [connection](crate::server::Connection) writes heads by itself; this is for tools.
    ///
    /// ```
    /// use icap_proto::{IsTag, ResponseHead, StatusCode};
    ///
    /// let head = ResponseHead::builder(StatusCode::NOT_FOUND).istag(&IsTag::new("t1")?).build()?;
    /// let mut out = bytes::BytesMut::new();
    /// head.encode(&mut out);
    /// assert_eq!(out, "ICAP/1.0 404 ICAP Service Not Found\r\nISTag: \"t1\"\r\n\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(self.parts().header_bytes().saturating_add(256));
        encode::status_line(out, self.status, &self.reason);
        if self.keeps_folds {
            encode::lines_except(out, &self.headers, &WRITTEN_BY_ENCODER);
        } else {
            encode::fields_except(out, &self.headers, &WRITTEN_BY_ENCODER);
        }
        encode_allow(out, self.allow);
        if self.ends_with_icap_trailer() {
            encode_trailer(out, &self.headers);
        }
        if let Some(preview) = self.preview {
            out.extend_from_slice(b"Preview: ");
            encode::decimal(out, preview);
            out.extend_from_slice(b"\r\n");
        }
        if self.close {
            out.extend_from_slice(encode::CLOSE);
        }
        if let Some(list) = &self.encapsulated {
            encode_encapsulated(out, list);
        }
        out.extend_from_slice(b"\r\n");
        for section in [&self.http_request, &self.http_response].into_iter().flatten() {
            out.extend_from_slice(section.as_bytes());
        }
    }

    /// Holds a success answer to the rules that need the method of its request.
    pub(crate) fn check(&self, method: &Method, tolerance: &mut Tolerance) -> Result<(), Kind> {
        Answer {
            status: self.status,
            unannounced_trailer: self.unannounced_trailer(),
            encapsulated: self.encapsulated,
        }
        .check(method, tolerance, |name| self.headers.get(name).is_some())
    }
}

/// Puts a [`ResponseHead`] together; offsets are computed, never given.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build"]
pub struct ResponseBuilder {
    /// Boxed, because each step moves the builder.
    head: Box<ResponseHead>,
    body: bool,
    opt_body: bool,
}

impl ResponseBuilder {
    /// The tag of the service state. Every response of a server has one (RFC 3507 section 4.7).
    pub fn istag(mut self, tag: &IsTag) -> Self {
        self.head.headers.set_line("ISTag", tag.line());
        self
    }

    /// The HTTP head: of the adapted message, or of the response that answers a REQMOD.
    pub fn http(mut self, head: HttpHead) -> Self {
        let (request, response) =
            if head.is_request() { (Some(head), None) } else { (None, Some(head)) };
        self.head.http_request = request;
        self.head.http_response = response;
        self
    }

    /// Whether a body follows.
    pub const fn body(mut self, body: bool) -> Self {
        self.body = body;
        self
    }

    /// What the service offers, for answers to OPTIONS.
    pub const fn allow(mut self, allow: Allow) -> Self {
        self.head.allow = allow;
        self
    }

    /// The preview the service wants, for answers to OPTIONS.
    pub const fn preview(mut self, bytes: u64) -> Self {
        self.head.preview = Some(bytes);
        self
    }

    /// Says that an `opt-body` of this type follows: `Opt-body-type`, in answers to OPTIONS (RFC 3507
    /// section 4.10.2).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] for a type that cannot stand in a field line.
    pub fn opt_body(mut self, opt_body_type: &str) -> Result<Self, InvalidHeader> {
        self.head.headers.set("Opt-body-type", opt_body_type)?;
        self.opt_body = true;
        Ok(self)
    }

    /// Writes `Encapsulated: null-body=0` where the field could be left out. A
    /// [connection](crate::server::Connection::respond) does so by itself for a 200 to OPTIONS (RFC 3507
    /// section 4.10.2).
    pub const fn null_body(mut self) -> Self {
        self.head.encapsulated = Some(Encapsulated::NONE);
        self
    }

    /// Promises an ICAP trailer with these fields behind the message: writes `Trailer` and adds `trailers` to
    /// `Allow` (draft-rousskov-icap-trailers sections 7 and 8). Only for requests that allow
    /// it.
    ///
    /// The fields themselves are given to the [connection](crate::server::Connection::set_icap_trailer); others than
    /// the promised may come. Where none are given an empty trailer is sent.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when there is no name, one is no token, or one may not stand in a trailer.
    pub fn icap_trailer<N: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidHeader> {
        self.head.headers.set("Trailer", encode::trailer_names(names)?)?;
        self.head.trailer = true;
        self.head.allow.trailers = true;
        Ok(self)
    }

    /// Says that the connection ends with this response.
    pub const fn close(mut self) -> Self {
        self.head.close = true;
        self
    }

    /// Adds a field to the ICAP head; `Host` and `ISTag`, which stand once, are replaced.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] for a name or value that cannot stand in a field line or that no strict reader takes
    /// (`Host`, `ISTag`), and for fields that the encoder writes itself.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        known::add(&mut self.head.headers, name, value.as_ref())?;
        Ok(self)
    }

    /// Adds all these fields to the ICAP head; folded values come out on one line.
    ///
    /// # Errors
    ///
    /// As [`header`](Self::header).
    pub fn headers(mut self, headers: &Headers) -> Result<Self, InvalidHeader> {
        for field in headers.iter() {
            self = self.header(field.name, unfold(field.value))?;
        }
        Ok(self)
    }

    /// The finished head.
    ///
    /// # Errors
    ///
    /// [`Misuse::Composition`] for 100 and 204 with a head or body, for a body without a head or an `opt-body`
    /// with one, and for an ICAP trailer behind a message without parts.
    pub fn build(mut self) -> Result<ResponseHead, Misuse> {
        let head = &mut self.head;
        let bodiless = matches!(head.status, StatusCode::CONTINUE | StatusCode::NO_CONTENT);
        let http = head.http_request.as_ref().or(head.http_response.as_ref());
        let parts = http.is_some() || self.opt_body;
        if (bodiless && parts) || (head.trailer && !parts) {
            return Err(Misuse::Composition);
        }
        // `allow` may have been given behind the promise.
        head.allow.trailers |= head.trailer;
        head.encapsulated = match http {
            Some(_) if self.opt_body => return Err(Misuse::Composition),
            Some(http) => Some(Encapsulated::of(http, self.body)),
            None if self.opt_body => Some(Encapsulated::new(None, None, Entity::OptBody)),
            None if self.body => return Err(Misuse::Composition),
            None => head.encapsulated,
        };
        Ok(*self.head)
    }
}

impl Head for ResponseHead {
    type Parts = ResponseParts;
    type Last = ();

    fn parse(
        bytes: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
        (): &(),
    ) -> Result<ResponseParts, Stop> {
        ResponseParts::parse(bytes, limits, tolerance)
    }

    fn keep(_parts: &ResponseParts, _bytes: &[u8], (): &mut ()) {}

    fn begins(bytes: &[u8], _seen: usize) -> Option<bool> {
        start_line::begins_response(bytes)
    }

    fn common(parts: &ResponseParts) -> &Common {
        &parts.common
    }

    fn assemble(parts: &mut ResponseParts, message: Message) -> Box<Self> {
        let ResponseParts { status, reason, common } = parts;
        Box::new(Self {
            status: *status,
            reason: message.icap.slice(reason.clone()),
            headers: Headers::within(message.icap, common.fields.clone()),
            allow: common.allow,
            preview: common.preview,
            close: common.close || message.misframed,
            trailer: common.trailer,
            keeps_folds: false,
            encapsulated: common.encapsulated.map(|_| message.list),
            http_request: message.http_request,
            http_response: message.http_response,
        })
    }
}
