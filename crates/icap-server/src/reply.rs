//! What a handler answers.

use icap_proto::{Headers, HttpHead, InvalidHeader, ResponseHead, StatusCode};

use crate::forward::Forwarded;
use crate::{Ending, IntoBody, ReplyBody};

/// The answer to a request.
///
/// ```
/// use icap_proto::{HttpHead, StatusCode};
/// use icap_server::Reply;
///
/// let page = HttpHead::response(403, "Forbidden", [("Content-Type", "text/plain")])?;
/// let blocked = Reply::respond(page, "There is a virus in this file.")
///     .header("X-Infection-Found", "Type=0; Resolution=2; Threat=EICAR;")?;
/// let busy = Reply::error(StatusCode::SERVICE_UNAVAILABLE);
/// assert!(Reply::unmodified().header("ISTag", "mine").is_err());
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Debug)]
#[must_use = "a reply does nothing unless the handler gives it back"]
pub struct Reply {
    pub(crate) kind: Kind,
    pub(crate) fields: Fields,
}

/// What stands around the message.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) headers: Headers,
    pub(crate) icap_trailer: Option<IcapTrailer>,
}

/// The names that the head promises, and what gives the fields once the body is sent.
pub(crate) struct IcapTrailer {
    pub(crate) names: Vec<String>,
    pub(crate) fields: TrailerFields,
}

pub(crate) type TrailerFields = Box<dyn FnOnce() -> Headers + Send>;

impl std::fmt::Debug for IcapTrailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IcapTrailer").field(&self.names).finish()
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    Unmodified,
    /// An HTTP message of the same kind as was asked about.
    Modified(HttpHead, ReplyBody),
    /// An HTTP response, whatever was asked about.
    Response(HttpHead, ReplyBody),
    /// A new beginning, and the original from this byte on.
    OriginalFrom(HttpHead, ReplyBody, u64),
    Error(StatusCode),
    Forwarded(Box<Forwarded>),
}

impl Reply {
    /// The message stays as it is.
    ///
    /// This is a 204 where the client takes one: with `Allow: 204`, or while it waits in its preview (RFC 3507
    /// section 4.6). Otherwise the server sends the original back with 200: what the handler has read, which the
    /// server kept, and then the unread rest as it arrives. It keeps
    /// [`echo_limit`](crate::ServiceConfig::echo_limit) bytes in memory and those beyond in a
    /// [spool file](crate::Spool); when the handler has read more than that takes, the request is answered with 500
    /// and an event of level `error` says so.
    ///
    /// A message without its HTTP head cannot be sent back: it is answered with 418 (erratum e5).
    pub const fn unmodified() -> Self {
        Self::new(Kind::Unmodified)
    }

    /// The message in a changed form: a request head for REQMOD, a response head for RESPMOD. Any other head is
    /// logged and answered with 500.
    ///
    /// The body may be the [`Incoming`](crate::Incoming) of the request; it is streamed in both directions at once.
    /// An error of the body breaks the connection off without a last chunk, so that the client sees the cut.
    pub fn modified<const IS_BODY: bool>(head: HttpHead, body: impl IntoBody<IS_BODY>) -> Self {
        Self::new(Kind::Modified(head, body.into_body()))
    }

    /// An HTTP response in place of the message: a block page, or for REQMOD an answer instead of the origin's
    /// (RFC 3507 section 3.1.2). A request head is logged and answered with 500.
    pub fn respond<const IS_BODY: bool>(head: HttpHead, body: impl IntoBody<IS_BODY>) -> Self {
        Self::new(Kind::Response(head, body.into_body()))
    }

    /// The message with another head and another beginning: `prefix`, and behind it the original body from byte
    /// `offset` on, which the handler need not have read. A `Content-Length` in the head is the handler's to
    /// correct.
    ///
    /// This is a 206 where the client takes one, and the rest never crosses the wire
    /// (draft-icap-ext-partial-content). To other clients the server sends the whole with 200, as for
    /// [`unmodified`](Self::unmodified); for that it keeps what the handler reads only if the options of the service
    /// say [`allow_partial_content`](icap_proto::ServiceOptions::allow_partial_content).
    ///
    /// An offset behind the end is logged and answered with 500, or the answer is broken off when that comes out
    /// later. A head of the other kind is 500, too.
    ///
    /// ```
    /// use icap_server::{Error, Reply, Request};
    ///
    /// /// Puts a new tag in front of an MP3 file in place of the old one.
    /// async fn retag(request: Request) -> Result<Reply, Error> {
    ///     let (head, preview) = request.preview().await?;
    ///     let Some(http) = head.http_response().filter(|_| preview.bytes().starts_with(b"ID3")) else {
    ///         return Ok(Reply::unmodified());
    ///     };
    ///     let mut http = http.clone();
    ///     http.edit(|headers| headers.remove("Content-Length"));
    ///     Ok(Reply::original_from(http, "ID3 mine", 128))
    /// }
    /// ```
    pub fn original_from<const IS_BODY: bool>(
        head: HttpHead,
        prefix: impl IntoBody<IS_BODY>,
        offset: u64,
    ) -> Self {
        Self::new(Kind::OriginalFrom(head, prefix.into_body(), offset))
    }

    /// An ICAP status of 400 or above, without a message. Any other status is logged and answered with 500.
    pub const fn error(status: StatusCode) -> Self {
        Self::new(Kind::Error(status))
    }

    /// The answer of another server, which a service that [forwards](crate::ServiceConfig::forwards) hands out as it
    /// is: status, `ISTag`, fields and encapsulated heads byte for byte. Only what frames the message and what is
    /// about the connection is the server's own.
    ///
    /// The body is sent if the head says that there is one. When it has been sent `ending` is called for what stands
    /// behind it. An answer that this client does not take (a 204, a 206 or parts where the request does not allow
    /// them) is logged and answered with 500.
    pub fn forwarded<const IS_BODY: bool>(
        head: ResponseHead,
        body: impl IntoBody<IS_BODY>,
        ending: impl FnOnce() -> Ending + Send + 'static,
    ) -> Self {
        let (body, ending) = (body.into_body(), Box::new(ending));
        Self::new(Kind::Forwarded(Box::new(Forwarded { head, body, ending })))
    }

    const fn new(kind: Kind) -> Self {
        Self { kind, fields: Fields { headers: Headers::new(), icap_trailer: None } }
    }

    /// Adds a field to the ICAP head.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] for a name or value that cannot stand in a field line, and for fields that the server
    /// writes itself: `ISTag`, `Encapsulated`, `Connection` and what else frames the message.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        if name.eq_ignore_ascii_case("ISTag") {
            return Err(InvalidHeader::Reserved);
        }
        // The builder knows which fields it writes itself.
        let _ = ResponseHead::builder(StatusCode::OK).header(name, &value)?;
        self.fields.headers.append(name, value)?;
        Ok(self)
    }

    /// Ends the answer in an ICAP trailer (draft-rousskov-icap-trailers): the head promises these names, and
    /// `fields` is called for them when the body has been sent, for what is known only then. Others than the
    /// promised may come; fields that frame, route or authorize are left out.
    ///
    /// Without effect where the client does not [take a trailer](crate::Request::allows_icap_trailer), and on
    /// answers that carry no message, such as a 204: `fields` is not called then. When it panics the answer is
    /// broken off.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when there is no name, one is no token, or one may not stand in a trailer.
    pub fn icap_trailer<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        fields: impl FnOnce() -> Headers + Send + 'static,
    ) -> Result<Self, InvalidHeader> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let _ = ResponseHead::builder(StatusCode::OK).icap_trailer(&names)?;
        self.fields.icap_trailer = Some(IcapTrailer { names, fields: Box::new(fields) });
        Ok(self)
    }
}
