//! What is handed to a service.

use http::{Request, Response, request, response};
#[cfg(feature = "identity")]
use icap_proto::Identity;
use icap_proto::{Headers, HttpHead, HttpTypeError, Method, TrailerField};

use crate::fields::Fields;
use crate::original::Replay;
use crate::sent_to::SentTo;
use crate::source::Source;

/// What can be said of either message.
macro_rules! common_terms {
    () => {
        /// Adds a field to the ICAP head of this one request, such as `X-Client-IP`. A field that cannot stand there
        /// fails the call, with the message in hand.
        pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
            self.message.fields.add(name, value.as_ref());
            self
        }

        /// Says that the caller has the message elsewhere, in a file for instance, and does not want it back. A 204 is
        /// then allowed for a body of any size (RFC 3507 section 4.6) and comes as
        /// [`Outcome::NoContent`](crate::Outcome::NoContent); nothing is kept for it.
        pub fn kept_by_caller(mut self) -> Self {
            self.message.kept_by_caller = true;
            self
        }

        /// Says that the service has to see this message, even if it lists the extension in `Transfer-Ignore`: there
        /// is no [`Outcome::Ignored`](crate::Outcome::Ignored).
        pub fn never_ignored(mut self) -> Self {
            self.message.never_ignored = true;
            self
        }

        /// Has the call note which service it goes to, for who asks a [group](crate::ServiceGroup).
        pub fn sent_to(mut self, note: &SentTo) -> Self {
            self.message.sent_to = Some(note.clone());
            self
        }

        /// Says who sent the request, or the one that is answered, in the fields of draft-stecher-icap-subid section
        /// 3. A service that lists fields in `X-Include` gets no others of them; one that lists none, or is not
        /// known, gets all. Not to be given by [`header`](Self::header) too.
        #[cfg(feature = "identity")]
        pub fn identity(mut self, identity: Identity) -> Self {
            self.message.fields.identity = Some(identity);
            self
        }

        /// The message as it goes on when no service is asked, for who has none for it.
        pub fn skip(self) -> Replay<B> {
            Replay::new(self.message.head, Source::new(self.body))
        }

        pub(crate) fn into_parts(self) -> (Box<Message>, B) {
            (self.message, self.body)
        }
    };
}

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
    message: Box<Message>,
    body: B,
}

impl<B> Reqmod<B> {
    /// The request with this head and body. The head goes out byte for byte: who forwards a message of a peer calls
    /// [`remove_hop_by_hop`](HttpHead::remove_hop_by_hop) first, or comes from an [`http::Request`]. A body
    /// that [is at its end](http_body::Body::is_end_stream) from the start is no body (`null-body`).
    pub fn new(head: HttpHead, body: B) -> Self {
        Self { message: Message::new(Method::Reqmod, head), body }
    }

    common_terms!();
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
        let (head, forwarded) = encapsulate(HttpHead::try_from(parts)?);
        let mut encapsulated = Self::new(head, body);
        encapsulated.message.fields.forward(&forwarded);
        Ok(encapsulated)
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
    message: Box<Message>,
    body: B,
}

impl<B> Respmod<B> {
    /// The response with this head and body. The head goes out byte for byte: who forwards a message of a peer calls
    /// [`remove_hop_by_hop`](HttpHead::remove_hop_by_hop) first, or comes from an [`http::Response`]. A body
    /// that [is at its end](http_body::Body::is_end_stream) from the start is no body (`null-body`).
    pub fn new(response: HttpHead, body: B) -> Self {
        Self { message: Message::new(Method::Respmod, response), body }
    }

    /// Adds the head of the request that led to this response. Services that look at addresses need it, and some
    /// refuse a response without it (RFC 3507 section 4.9.1).
    pub fn request(mut self, head: HttpHead) -> Self {
        self.message.context = Some(head);
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

    pub(crate) fn asked(mut self, asked: Asked) -> Self {
        self.message.fields.forward(&asked.forwarded);
        self.message.context = Some(asked.head);
        self
    }

    common_terms!();
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
        let (head, forwarded) = encapsulate(HttpHead::try_from(parts)?);
        let mut encapsulated = Self::new(head, body);
        encapsulated.message.fields.forward(&forwarded);
        Ok(encapsulated)
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
        let (head, forwarded) = encapsulate(HttpHead::try_from(request)?);
        Ok(Self { head, forwarded })
    }
}

/// A head as it is encapsulated, and what of it goes into the ICAP head instead.
fn encapsulate(mut head: HttpHead) -> (HttpHead, Headers) {
    let removed = head.remove_hop_by_hop(TrailerField::Keep);
    (head, removed.proxy_authentication)
}

/// Either message without its body. Boxed wherever it goes: it is large.
#[derive(Debug, Clone)]
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
    fn new(method: Method, head: HttpHead) -> Box<Self> {
        Box::new(Self {
            method,
            head,
            context: None,
            fields: Fields::NONE,
            kept_by_caller: false,
            never_ignored: false,
            sent_to: None,
        })
    }

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
