//! What a handler answers.

use icap_proto::{Headers, HttpHead, InvalidHeader, ResponseHead, StatusCode};

use crate::{IntoBody, ReplyBody};

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
    pub(crate) headers: Headers,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Unmodified,
    /// An HTTP message of the same kind as was asked about.
    Modified(HttpHead, ReplyBody),
    /// An HTTP response, whatever was asked about.
    Response(HttpHead, ReplyBody),
    Error(StatusCode),
}

impl Reply {
    /// The message stays as it is.
    ///
    /// This is a 204 where the client takes one: with `Allow: 204`, or while it waits in its preview (RFC 3507
    /// section 4.6). Otherwise the server sends the original back with 200: what the handler has read, which the
    /// server kept, and then the unread rest as it arrives. It keeps at most
    /// [`echo_limit`](crate::Server::echo_limit) bytes; when the handler has read more, the request is answered
    /// with 500 and an event of level `error` says so.
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

    /// An ICAP status of 400 or above, without a message. Any other status is logged and answered with 500.
    pub const fn error(status: StatusCode) -> Self {
        Self::new(Kind::Error(status))
    }

    const fn new(kind: Kind) -> Self {
        Self { kind, headers: Headers::new() }
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
        self.headers.append(name, value)?;
        Ok(self)
    }
}
