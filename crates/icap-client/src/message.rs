//! What is handed to a service.

use icap_proto::{Headers, HttpHead, InvalidHeader, RequestBuilder};

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
}

impl<B> Reqmod<B> {
    /// The request with this head and body. A body that [is at its end](http_body::Body::is_end_stream) from the start is
    /// no body (`null-body`).
    pub const fn new(head: HttpHead, body: B) -> Self {
        Self { head, body, fields: Fields::NONE, kept_by_caller: false }
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

    pub(crate) fn into_parts(self) -> Parts<B> {
        let Self { head, body, fields, kept_by_caller } = self;
        Parts { head, context: None, body, fields, kept_by_caller }
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
}

impl<B> Respmod<B> {
    /// The response with this head and body. A body that [is at its end](http_body::Body::is_end_stream) from the start is
    /// no body (`null-body`).
    pub const fn new(response: HttpHead, body: B) -> Self {
        Self { head: response, request: None, body, fields: Fields::NONE, kept_by_caller: false }
    }

    /// Adds the head of the request that led to this response. Services that look at addresses need it, and some
    /// refuse a response without it (RFC 3507 section 4.9.1).
    pub fn request(mut self, head: HttpHead) -> Self {
        self.request = Some(head);
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

    pub(crate) fn into_parts(self) -> Parts<B> {
        let Self { head, request: context, body, fields, kept_by_caller } = self;
        Parts { head, context, body, fields, kept_by_caller }
    }
}

/// Either message in pieces.
pub(crate) struct Parts<B> {
    /// The head that is to be adapted.
    pub(crate) head: HttpHead,
    /// The request head that goes with a response.
    pub(crate) context: Option<HttpHead>,
    pub(crate) body: B,
    pub(crate) fields: Fields,
    /// The body need not come back.
    pub(crate) kept_by_caller: bool,
}

/// Fields for an ICAP head. The first that cannot be sent is remembered, so that adding one needs no `Result`
/// that would take the message with it.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    valid: Headers,
    invalid: Option<InvalidHeader>,
}

impl Fields {
    pub(crate) const NONE: Self = Self { valid: Headers::new(), invalid: None };

    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        if let Err(error) = self.valid.append(name, value) {
            self.invalid.get_or_insert(error);
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.valid.get(name).is_some()
    }

    pub(crate) fn apply(
        &self,
        mut request: RequestBuilder,
    ) -> Result<RequestBuilder, InvalidHeader> {
        if let Some(error) = self.invalid {
            return Err(error);
        }
        for field in self.valid.iter() {
            request = request.header(field.name, field.value)?;
        }
        Ok(request)
    }
}
