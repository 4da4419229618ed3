//! Request heads.

use alloc::boxed::Box;

use bytes::{Bytes, BytesMut};

use crate::allow::Allow;
use crate::encapsulated::{Encapsulated, Entity};
use crate::error::{Misuse, ParseError};
use crate::headers::{Headers, InvalidHeader, unfold};
use crate::http_head::HttpHead;
use crate::known::{self, WRITTEN_BY_ENCODER};
use crate::method::Method;
use crate::reader::{Head, HeadReader, Message};
use crate::tolerance::Tolerance;
use crate::uri::ServiceUri;
use crate::wire::cursor::Stop;
use crate::wire::head::{Common, RequestParts};
use crate::wire::target::{LastLine, Target};
use crate::wire::{encode, start_line};
use crate::{Leniency, Limits};

/// Room for a request line and `Host`, in bytes. It grows with more.
const OPENING: usize = 128;

/// Everything of a request in front of its body: ICAP head and encapsulated HTTP heads.
///
/// Values come from the parser or from a [builder](Self::builder); both hold the rules of RFC 3507
/// section 4.4.1, so every value can be written to the wire.
///
/// ```
/// use icap_proto::{HttpHead, RequestHead};
///
/// let page = HttpHead::response(200, "OK", [("Content-Type", "text/html")])?;
/// let head = RequestHead::respmod("icap://av.local/respmod".parse()?)
///     .http_response(page)
///     .body(true)
///     .preview(1024)
///     .allow_no_content()
///     .build()?;
/// assert_eq!(head.encapsulated().to_string(), "res-hdr=0, res-body=44");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RequestHead {
    method: Method,
    uri: ServiceUri,
    headers: Headers,
    allow: Allow,
    preview: Option<u64>,
    close: bool,
    trailer: bool,
    encapsulated: Encapsulated,
    http_request: Option<HttpHead>,
    http_response: Option<HttpHead>,
    /// The request line and `Host` as they are written, if this was made from a template.
    opening: Option<Bytes>,
    /// The fields are written as they are: the builder takes none that is written from what the head says, and no fold.
    plain: bool,
}

impl RequestHead {
    /// Starts a request of any method.
    pub fn builder(method: Method, uri: ServiceUri) -> RequestBuilder {
        RequestBuilder { head: Box::new(Self::new(method, uri)), body: false }
    }

    /// Starts a REQMOD request (RFC 3507 section 4.8).
    pub fn reqmod(uri: ServiceUri) -> RequestBuilder {
        Self::builder(Method::Reqmod, uri)
    }

    /// Starts a RESPMOD request (RFC 3507 section 4.9).
    pub fn respmod(uri: ServiceUri) -> RequestBuilder {
        Self::builder(Method::Respmod, uri)
    }

    /// Starts an OPTIONS request (RFC 3507 section 4.10). It never has a body.
    pub fn options(uri: ServiceUri) -> RequestBuilder {
        Self::builder(Method::Options, uri)
    }

    /// Parses a head at the start of `message`: the head and its length, `None` when it is not all there.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar, the rules of `Encapsulated`, or a limit.
    pub fn parse(
        message: &[u8],
        limits: &Limits,
        leniency: &Leniency,
    ) -> Result<Option<(Self, usize)>, ParseError> {
        HeadReader::copy(message, limits, &mut Tolerance::new(leniency.of_requests()))
    }

    fn new(method: Method, uri: ServiceUri) -> Self {
        Self {
            method,
            uri,
            headers: Headers::new(),
            allow: Allow::default(),
            preview: None,
            close: false,
            trailer: false,
            encapsulated: Encapsulated::NONE,
            http_request: None,
            http_response: None,
            opening: None,
            plain: true,
        }
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The service that is asked.
    #[must_use]
    pub const fn uri(&self) -> &ServiceUri {
        &self.uri
    }

    /// The fields of the ICAP head, framing fields included when the head was parsed.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// What the client takes besides a 200.
    #[must_use]
    pub const fn allow(&self) -> Allow {
        self.allow
    }

    /// The number of body bytes announced as preview (RFC 3507 section 4.5).
    #[must_use]
    pub const fn preview(&self) -> Option<u64> {
        self.preview
    }

    /// Whether the client said `Connection: close`.
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
        self.has_icap_trailer() && self.encapsulated != Encapsulated::NONE
    }

    pub(crate) const fn unannounced_trailer(&self) -> bool {
        self.trailer && !self.allow.trailers
    }

    /// The parts of the message.
    #[must_use]
    pub const fn encapsulated(&self) -> &Encapsulated {
        &self.encapsulated
    }

    /// Whether a chunked body follows.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.encapsulated.has_body()
    }

    /// The encapsulated HTTP request head.
    #[must_use]
    pub const fn http_request(&self) -> Option<&HttpHead> {
        self.http_request.as_ref()
    }

    /// The encapsulated HTTP response head.
    #[must_use]
    pub const fn http_response(&self) -> Option<&HttpHead> {
        self.http_response.as_ref()
    }

    /// The head of the message that is to be adapted: the request in REQMOD, the response in RESPMOD.
    #[must_use]
    pub const fn adapted_head(&self) -> Option<&HttpHead> {
        match self.method {
            Method::Respmod => self.http_response.as_ref(),
            _ => self.http_request.as_ref(),
        }
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
    /// [connection](crate::client::Connection) writes heads by itself; this is for tools.
    ///
    /// ```
    /// use icap_proto::RequestHead;
    ///
    /// let head = RequestHead::options("icap://av.local/scan".parse()?).build()?;
    /// let mut out = bytes::BytesMut::new();
    /// head.encode(&mut out);
    /// assert_eq!(out, "OPTIONS icap://av.local/scan ICAP/1.0\r\nHost: av.local:1344\r\n\r\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(self.encapsulated.header_bytes().saturating_add(512));
        if let Some(opening) = &self.opening {
            out.extend_from_slice(opening);
        } else {
            encode_line(out, &self.method, &self.uri);
            if self.headers.get("Host").is_none() {
                encode_host(out, &self.uri);
            }
        }
        if self.plain {
            out.extend_from_slice(self.headers.as_bytes());
        } else {
            encode::fields_except(out, &self.headers, &WRITTEN_BY_ENCODER);
        }
        encode_allow(out, self.allow);
        if self.ends_with_icap_trailer() {
            encode_trailer(out, &self.headers);
        }
        if self.close {
            out.extend_from_slice(encode::CLOSE);
        }
        if self.encapsulated != Encapsulated::NONE {
            encode_encapsulated(out, &self.encapsulated);
        }
        if let Some(preview) = self.preview {
            out.extend_from_slice(b"Preview: ");
            encode::decimal(out, preview);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        for section in [&self.http_request, &self.http_response].into_iter().flatten() {
            out.extend_from_slice(section.as_bytes());
        }
    }
}

/// Puts a [`RequestHead`] together; offsets are computed, never given.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build"]
pub struct RequestBuilder {
    /// Boxed, because each step moves the builder.
    head: Box<RequestHead>,
    body: bool,
}

impl RequestBuilder {
    /// The HTTP request head: the message itself in REQMOD, its context in RESPMOD.
    pub fn http_request(mut self, head: HttpHead) -> Self {
        self.head.http_request = Some(head);
        self
    }

    /// The HTTP response head, RESPMOD only.
    pub fn http_response(mut self, head: HttpHead) -> Self {
        self.head.http_response = Some(head);
        self
    }

    /// Whether a body follows. A message that cannot have one (HEAD, 204, 304) has `null-body`.
    pub const fn body(mut self, body: bool) -> Self {
        self.body = body;
        self
    }

    /// Announces a preview of up to this many bytes (RFC 3507 section 4.5).
    pub const fn preview(mut self, bytes: u64) -> Self {
        self.head.preview = Some(bytes);
        self
    }

    /// Takes a 204 outside a preview too: the caller can still produce the whole message (RFC 3507 section 4.6).
    pub const fn allow_no_content(mut self) -> Self {
        self.head.allow.no_content = true;
        self
    }

    /// Takes a 206; only for services whose OPTIONS offered it (draft-icap-ext-partial-content section 4.2).
    pub const fn allow_partial_content(mut self) -> Self {
        self.head.allow.partial_content = true;
        self
    }

    /// Takes ICAP trailers in the answer (draft-rousskov-icap-trailers).
    pub const fn allow_trailers(mut self) -> Self {
        self.head.allow.trailers = true;
        self
    }

    /// Promises an ICAP trailer with these fields behind the message: writes `Trailer` and adds `trailers` to
    /// `Allow` (draft-rousskov-icap-trailers sections 7 and 8). Only for services whose OPTIONS offered
    /// it.
    ///
    /// The fields themselves are given to the [connection](crate::client::Connection::set_icap_trailer); others than
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
        self.head.plain = false;
        Ok(self)
    }

    /// Says that this is the last request on the connection.
    pub const fn close(mut self) -> Self {
        self.head.close = true;
        self
    }

    /// Adds a field to the ICAP head; `Host` and `ISTag`, which stand once, are replaced.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] for a name or value that cannot stand in a field line or that no strict reader takes
    /// (`Host`, `ISTag`), and for fields that the encoder writes itself (`Encapsulated`, `Preview`, `Allow`,
    /// `Connection`, `Trailer`, HTTP framing fields).
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        known::add(&mut self.head.headers, name, value.as_ref())?;
        if name.eq_ignore_ascii_case("Host") {
            self.head.opening = None;
        }
        Ok(self)
    }

    /// Adds all these fields to the ICAP head, such as those that
    /// [`HttpHead::remove_hop_by_hop`](crate::HttpHead::remove_hop_by_hop) took out of the HTTP head; folded values
    /// come out on one line.
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

    /// Writes the request line and `Host` now, once for all requests that are made from clones of this.
    ///
    /// ```
    /// use icap_proto::RequestHead;
    ///
    /// let template = RequestHead::options("icap://av.local/scan".parse()?).template();
    /// let head = template.clone().header("X-Client-IP", "10.1.2.3")?.build()?;
    /// let wire = b"OPTIONS icap://av.local/scan ICAP/1.0\r\nHost: av.local:1344\r\nX-Client-IP: 10.1.2.3\r\n\r\n";
    /// assert_eq!(head.to_bytes(), wire[..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn template(mut self) -> Self {
        if self.head.headers.get("Host").is_none() {
            let mut opening = BytesMut::with_capacity(OPENING);
            encode_line(&mut opening, &self.head.method, &self.head.uri);
            encode_host(&mut opening, &self.head.uri);
            self.head.opening = Some(opening.freeze());
        }
        self
    }

    /// The finished head.
    ///
    /// # Errors
    ///
    /// [`Misuse::Composition`] when the parts do not fit the method, a request head stands in the place of a
    /// response head, an OPTIONS request has a body, or an ICAP trailer is promised behind a message without parts.
    pub fn build(mut self) -> Result<RequestHead, Misuse> {
        let head = &mut self.head;
        let kinds_fit = head.http_request.as_ref().is_none_or(HttpHead::is_request)
            && head.http_response.as_ref().is_none_or(|response| !response.is_request());
        let body = match (self.body, &head.method) {
            (false, _) => Entity::NullBody,
            (true, Method::Reqmod) => Entity::ReqBody,
            (true, Method::Respmod) => Entity::ResBody,
            (true, _) => return Err(Misuse::Composition),
        };
        head.encapsulated = Encapsulated::new(
            head.http_request.as_ref().map(|head| head.as_bytes().len()),
            head.http_response.as_ref().map(|head| head.as_bytes().len()),
            body,
        );
        let trailer_fits = !head.trailer || head.encapsulated != Encapsulated::NONE;
        if kinds_fit && trailer_fits && head.encapsulated.fits_request(&head.method) {
            Ok(*self.head)
        } else {
            Err(Misuse::Composition)
        }
    }
}

impl Head for RequestHead {
    type Parts = RequestParts;
    type Last = LastLine;

    fn parse(
        bytes: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
        last: &LastLine,
    ) -> Result<RequestParts, Stop> {
        RequestParts::parse(bytes, limits, tolerance, last)
    }

    fn keep(parts: &RequestParts, bytes: &[u8], last: &mut LastLine) {
        last.keep(bytes, parts.common.fields.start, &parts.target);
    }

    fn begins(bytes: &[u8], seen: usize) -> Option<bool> {
        start_line::begins_request(bytes, seen)
    }

    fn common(parts: &RequestParts) -> &Common {
        &parts.common
    }

    fn assemble(parts: &mut RequestParts, message: Message) -> Box<Self> {
        let RequestParts { target: Target { method, uri, uri_parts }, common } = parts;
        let uri = message.icap.slice(uri.clone());
        Box::new(Self {
            method: core::mem::replace(method, Method::Options),
            uri: ServiceUri::from_parts(uri_parts.clone(), uri),
            headers: Headers::within(message.icap, common.fields.clone()),
            allow: common.allow,
            preview: common.preview,
            close: common.close,
            trailer: common.trailer,
            encapsulated: message.list,
            http_request: message.http_request,
            http_response: message.http_response,
            opening: None,
            plain: false,
        })
    }
}

fn encode_line(out: &mut BytesMut, method: &Method, uri: &ServiceUri) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    uri.encode(out);
    out.extend_from_slice(b" ICAP/1.0\r\n");
}

fn encode_host(out: &mut BytesMut, uri: &ServiceUri) {
    out.extend_from_slice(b"Host: ");
    uri.encode_authority(out);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn encode_allow(out: &mut BytesMut, allow: Allow) {
    let mut separator: &[u8] = b"Allow: ";
    for member in allow.members() {
        out.extend_from_slice(separator);
        out.extend_from_slice(member.as_bytes());
        separator = b", ";
    }
    if allow != Allow::default() {
        out.extend_from_slice(b"\r\n");
    }
}

/// The promise of an ICAP trailer, on one line however it was read.
pub(crate) fn encode_trailer(out: &mut BytesMut, headers: &Headers) {
    for names in headers.get_all("Trailer") {
        encode::field(out, "Trailer", names);
    }
}

pub(crate) fn encode_encapsulated(out: &mut BytesMut, list: &Encapsulated) {
    match (list.req_hdr(), list.res_hdr()) {
        (Some(length), Some(_)) => {
            out.extend_from_slice(b"Encapsulated: req-hdr=0, res-hdr=");
            encode::decimal(out, length as u64);
            out.extend_from_slice(b", ");
        }
        (Some(_), None) => out.extend_from_slice(b"Encapsulated: req-hdr=0, "),
        (None, Some(_)) => out.extend_from_slice(b"Encapsulated: res-hdr=0, "),
        (None, None) => out.extend_from_slice(b"Encapsulated: "),
    }
    out.extend_from_slice(list.body().as_str().as_bytes());
    out.extend_from_slice(b"=");
    encode::decimal(out, list.header_bytes() as u64);
    out.extend_from_slice(b"\r\n");
}
