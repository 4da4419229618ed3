//! What is handed to a service.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, request, response};
use icap_proto::{
    Headers, HttpHead, HttpTypeError, InvalidHeader, Method, RequestBuilder, ServiceUri,
    TrailerField,
};
#[cfg(feature = "identity")]
use icap_proto::{Identity, ServiceOptions};

use crate::original::Replay;
use crate::source::Source;

/// An HTTP request on its way to the origin, for [`Client::reqmod`](crate::Client::reqmod)
/// (RFC 3507 section 3.1).
///
/// ```
/// use icap_client::Reqmod;
/// use icap_proto::HttpHead;
///
/// let head = HttpHead::request("GET", "http://www.example/", [("Host", "www.example")])?;
/// let message = Reqmod::new(head, String::new()).header("X-Client-IP", "10.1.2.3");
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a message does nothing until it is given to a client"]
pub struct Reqmod<B> {
    head: HttpHead,
    body: B,
    fields: Fields,
    kept_by_caller: bool,
    never_ignored: bool,
    sent_to: Option<SentTo>,
}

impl<B> Reqmod<B> {
    /// The request with this head and body. The head goes out byte for byte: who forwards a message of a peer calls
    /// [`remove_hop_by_hop`](HttpHead::remove_hop_by_hop) first, or comes from an [`http::Request`]. A body
    /// that [is at its end](http_body::Body::is_end_stream) from the start is no body (`null-body`).
    pub const fn new(head: HttpHead, body: B) -> Self {
        Self {
            head,
            body,
            fields: Fields::NONE,
            kept_by_caller: false,
            never_ignored: false,
            sent_to: None,
        }
    }

    /// Adds a field to the ICAP head of this one request, such as `X-Client-IP`. A field that cannot stand there
    /// fails the call, with the message in hand.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.add(name, value.as_ref());
        self
    }

    /// Says that the caller has the message elsewhere, in a file for instance, and does not want it back. A 204 is
    /// then allowed for a body of any size (RFC 3507 section 4.6) and comes as
    /// [`Outcome::NoContent`](crate::Outcome::NoContent); nothing is kept for it.
    pub const fn kept_by_caller(mut self) -> Self {
        self.kept_by_caller = true;
        self
    }

    /// Says that the service has to see this message, even if it lists the extension in `Transfer-Ignore`: there is
    /// no [`Outcome::Ignored`](crate::Outcome::Ignored).
    pub const fn never_ignored(mut self) -> Self {
        self.never_ignored = true;
        self
    }

    /// Has the call note which service it goes to, for who asks a [group](crate::ServiceGroup).
    pub fn sent_to(mut self, note: &SentTo) -> Self {
        self.sent_to = Some(note.clone());
        self
    }

    /// Says who sent the request, in the fields of draft-stecher-icap-subid section 3. A service that lists fields
    /// in `X-Include` gets no others of them; one that lists none, or is not known, gets all. Not to be given
    /// by [`header`](Self::header) too.
    #[cfg(feature = "identity")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.fields.identity = Some(identity);
        self
    }

    /// The message as it goes on when no service is asked, for who has none for it.
    pub fn skip(self) -> Replay<B> {
        Replay::new(self.head, Source::new(self.body))
    }

    pub(crate) fn into_parts(self) -> (Box<Message>, B) {
        let Self { head, body, fields, kept_by_caller, never_ignored, sent_to } = self;
        let method = Method::Reqmod;
        let context = None;
        let message =
            Message { method, head, context, fields, kept_by_caller, never_ignored, sent_to };
        (Box::new(message), body)
    }
}

/// The request as HTTP/1.1 text, of whatever version it came in (see the conversions of
/// [`HttpHead`]), without [hop-by-hop fields](HttpHead::remove_hop_by_hop). `Proxy-Authorization` goes into the ICAP
/// head (RFC 3507 section 4.4.2), unless the client or [`header`](Reqmod::header) puts its own there: then the user's
/// is dropped. Extensions are dropped.
///
/// ```
/// use icap_client::Reqmod;
///
/// let request = http::Request::post("http://www.example/form").body(String::from("a=1"))?;
/// let message = Reqmod::try_from(request)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<B> TryFrom<Request<B>> for Reqmod<B> {
    type Error = HttpTypeError;

    fn try_from(request: Request<B>) -> Result<Self, HttpTypeError> {
        let (parts, body) = request.into_parts();
        Self::of_parts(&parts, body)
    }
}

impl<B> Reqmod<B> {
    pub(crate) fn of_parts(parts: &request::Parts, body: B) -> Result<Self, HttpTypeError> {
        let (head, fields) = encapsulate(HttpHead::try_from(parts)?);
        Ok(Self { fields, ..Self::new(head, body) })
    }
}

/// An HTTP response on its way to the user, for [`Client::respmod`](crate::Client::respmod)
/// (RFC 3507 section 3.2).
///
/// ```
/// use icap_client::Respmod;
/// use icap_proto::HttpHead;
///
/// let request = HttpHead::request("GET", "http://www.example/", [("Host", "www.example")])?;
/// let response = HttpHead::response(200, "OK", [("Content-Length", "5")])?;
/// let message = Respmod::new(response, String::from("hello")).request(request);
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a message does nothing until it is given to a client"]
pub struct Respmod<B> {
    head: HttpHead,
    request: Option<HttpHead>,
    body: B,
    fields: Fields,
    kept_by_caller: bool,
    never_ignored: bool,
    sent_to: Option<SentTo>,
}

impl<B> Respmod<B> {
    /// The response with this head and body. The head goes out byte for byte: who forwards a message of a peer calls
    /// [`remove_hop_by_hop`](HttpHead::remove_hop_by_hop) first, or comes from an [`http::Response`]. A body
    /// that [is at its end](http_body::Body::is_end_stream) from the start is no body (`null-body`).
    pub const fn new(response: HttpHead, body: B) -> Self {
        Self {
            head: response,
            request: None,
            body,
            fields: Fields::NONE,
            kept_by_caller: false,
            never_ignored: false,
            sent_to: None,
        }
    }

    /// Adds the head of the request that led to this response. Services that look at addresses need it, and some
    /// refuse a response without it (RFC 3507 section 4.9.1).
    pub fn request(mut self, head: HttpHead) -> Self {
        self.request = Some(head);
        self
    }

    /// The same from an [`http::Request`], as HTTP/1.1 text without
    /// [hop-by-hop fields](HttpHead::remove_hop_by_hop). Its `Proxy-Authorization` goes into the ICAP head, as for
    /// [`Reqmod`].
    ///
    /// ```
    /// use http::{Request, Response, request, response};
    /// use icap_client::Respmod;
    ///
    /// let request = Request::get("http://www.example/").body(())?;
    /// let response = Response::new(String::from("hello"));
    /// let message = Respmod::try_from(response)?.request_of(&request)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A request that has no text in HTTP/1.1, see the conversions of [`HttpHead`].
    pub fn request_of<T>(self, request: &Request<T>) -> Result<Self, HttpTypeError> {
        Ok(self.asked(Asked::new(request)?))
    }

    /// The message as it goes on when no service is asked, for who has none for it.
    pub fn skip(self) -> Replay<B> {
        Replay::new(self.head, Source::new(self.body))
    }

    pub(crate) fn asked(mut self, asked: Asked) -> Self {
        self.fields.forward(&asked.forwarded);
        self.request = Some(asked.head);
        self
    }

    /// Adds a field to the ICAP head of this one request, such as `X-Client-IP`. A field that cannot stand there
    /// fails the call, with the message in hand.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.add(name, value.as_ref());
        self
    }

    /// Says that the caller has the message elsewhere, in a file for instance, and does not want it back. A 204 is
    /// then allowed for a body of any size (RFC 3507 section 4.6) and comes as
    /// [`Outcome::NoContent`](crate::Outcome::NoContent); nothing is kept for it.
    pub const fn kept_by_caller(mut self) -> Self {
        self.kept_by_caller = true;
        self
    }

    /// Says that the service has to see this message, even if it lists the extension in `Transfer-Ignore`: there is
    /// no [`Outcome::Ignored`](crate::Outcome::Ignored).
    pub const fn never_ignored(mut self) -> Self {
        self.never_ignored = true;
        self
    }

    /// Has the call note which service it goes to, for who asks a [group](crate::ServiceGroup).
    pub fn sent_to(mut self, note: &SentTo) -> Self {
        self.sent_to = Some(note.clone());
        self
    }

    /// Says who sent the request that is answered, in the fields of draft-stecher-icap-subid section 3. A service that lists fields
    /// in `X-Include` gets no others of them; one that lists none, or is not known, gets all. Not to be given
    /// by [`header`](Self::header) too.
    #[cfg(feature = "identity")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.fields.identity = Some(identity);
        self
    }

    pub(crate) fn into_parts(self) -> (Box<Message>, B) {
        let Self { head, request: context, body, fields, kept_by_caller, never_ignored, sent_to } =
            self;
        let method = Method::Respmod;
        let message =
            Message { method, head, context, fields, kept_by_caller, never_ignored, sent_to };
        (Box::new(message), body)
    }
}

/// The response as HTTP/1.1 text, of whatever version it came in, without
/// [hop-by-hop fields](HttpHead::remove_hop_by_hop). `Proxy-Authenticate` goes into the ICAP head (RFC 3507
/// section 4.4.2). Extensions are dropped.
impl<B> TryFrom<Response<B>> for Respmod<B> {
    type Error = HttpTypeError;

    fn try_from(response: Response<B>) -> Result<Self, HttpTypeError> {
        let (parts, body) = response.into_parts();
        Self::of_parts(&parts, body)
    }
}

impl<B> Respmod<B> {
    pub(crate) fn of_parts(parts: &response::Parts, body: B) -> Result<Self, HttpTypeError> {
        let (head, fields) = encapsulate(HttpHead::try_from(parts)?);
        Ok(Self { fields, ..Self::new(head, body) })
    }
}

/// Which service a message went to: of several that a [group](crate::ServiceGroup) tried, the last. Clones share it.
///
/// ```no_run
/// # async fn run(group: icap_client::ServiceGroup, message: icap_client::Reqmod<String>) {
/// use icap_client::SentTo;
///
/// let note = SentTo::new();
/// let outcome = group.reqmod(message.sent_to(&note)).await;
/// println!("{:?}: {outcome:?}", note.uri());
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct SentTo(Arc<Mutex<Option<ServiceUri>>>);

impl SentTo {
    /// Nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The service; `None` before the call.
    #[must_use]
    pub fn uri(&self) -> Option<ServiceUri> {
        // Held for one assignment only, which cannot panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, uri: &ServiceUri) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(uri.clone());
    }
}

/// The request that leads to a response, kept until that is there.
#[derive(Debug)]
pub(crate) struct Asked {
    head: HttpHead,
    /// What of it goes into the ICAP head.
    forwarded: Headers,
}

impl Asked {
    pub(crate) fn new<T>(request: &Request<T>) -> Result<Self, HttpTypeError> {
        let (head, fields) = encapsulate(HttpHead::try_from(request)?);
        Ok(Self { head, forwarded: fields.forwarded })
    }
}

/// A head as it is encapsulated, and what of it goes into the ICAP head instead.
fn encapsulate(mut head: HttpHead) -> (HttpHead, Fields) {
    let removed = head.remove_hop_by_hop(TrailerField::Keep);
    (head, Fields { forwarded: removed.proxy_authentication, ..Fields::NONE })
}

/// Either message without its body. Boxed wherever it goes: it is large.
pub(crate) struct Message {
    /// REQMOD or RESPMOD.
    pub(crate) method: Method,
    /// The head that is to be adapted.
    pub(crate) head: HttpHead,
    /// The request head that goes with a response.
    pub(crate) context: Option<HttpHead>,
    pub(crate) fields: Fields,
    /// The body need not come back.
    pub(crate) kept_by_caller: bool,
    /// The service has to see it.
    pub(crate) never_ignored: bool,
    pub(crate) sent_to: Option<SentTo>,
}

impl Message {
    /// The URL of the message, as far as it is known.
    pub(crate) fn url(&self) -> Option<&str> {
        self.request_head().target()
    }

    /// The method of the HTTP request, as far as it is known.
    pub(crate) fn http_method(&self) -> Option<&str> {
        self.request_head().method()
    }

    /// The request, or a response of which the request is not known.
    fn request_head(&self) -> &HttpHead {
        self.context.as_ref().unwrap_or(&self.head)
    }
}

pub(crate) const CREDENTIALS: &str = "Proxy-Authorization";
/// The field that answers a 401.
pub(crate) const ORIGIN_CREDENTIALS: &str = "Authorization";

/// Fields for an ICAP head. The first that cannot be sent is remembered, so that adding one needs no `Result`
/// that would take the message with it.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    valid: Headers,
    invalid: Option<InvalidHeader>,
    /// What came in the HTTP head. The user's `Proxy-Authorization` stands in the same field as that of this client
    /// and gives way to it: two would be none to the server (RFC 3507 sections 4.4.2 and 7.1).
    forwarded: Headers,
    /// Who sent the message.
    #[cfg(feature = "identity")]
    identity: Option<Identity>,
}

impl Fields {
    pub(crate) const NONE: Self = Self {
        valid: Headers::new(),
        invalid: None,
        forwarded: Headers::new(),
        #[cfg(feature = "identity")]
        identity: None,
    };

    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        if let Err(error) = self.valid.append(name, value) {
            self.invalid.get_or_insert(error);
        }
    }

    fn forward(&mut self, fields: &Headers) {
        for field in fields.iter() {
            if let Err(error) = self.forwarded.append(field.name, field.value) {
                self.invalid.get_or_insert(error);
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.valid.get(name).is_some()
    }

    /// Whether the caller gave credentials for the ICAP server.
    pub(crate) fn has_credentials(&self) -> bool {
        self.has(CREDENTIALS) || self.has(ORIGIN_CREDENTIALS)
    }

    /// Adds the fields to a request that has credentials for the ICAP server already, or has none.
    pub(crate) fn apply(
        &self,
        request: RequestBuilder,
        has_credentials: bool,
    ) -> Result<RequestBuilder, InvalidHeader> {
        if let Some(error) = self.invalid {
            return Err(error);
        }
        let request = request.headers(&self.valid)?;
        if self.forwarded.is_empty() {
            return Ok(request);
        }
        let mut forwarded = self.forwarded.clone();
        if has_credentials || self.has(CREDENTIALS) {
            forwarded.remove(CREDENTIALS);
        }
        request.headers(&forwarded)
    }

    /// Says who sent the message, as far as the service asks for it.
    #[cfg(feature = "identity")]
    pub(crate) fn identify(
        &self,
        request: RequestBuilder,
        known: Option<&ServiceOptions>,
    ) -> Result<RequestBuilder, InvalidHeader> {
        let Some(identity) = &self.identity else { return Ok(request) };
        match known.filter(|options| !options.included().is_empty()) {
            Some(options) => identity.requested_by(options).add_to(request),
            None => identity.add_to(request),
        }
    }
}
