//! Requests as handlers see them.

use std::net::SocketAddr;

use bytes::Bytes;
use icap_proto::{Method, RequestHead};

use crate::body_cell::Reader;
use crate::peer::Peer;
use crate::{BodyError, Incoming, Preview};

/// A REQMOD or RESPMOD request; its body is still with the client.
///
/// Go on with [`preview`](Self::preview) to decide early, or with [`into_body`](Self::into_body) when the whole
/// body is needed anyway. A handler that needs neither just answers.
#[derive(Debug)]
pub struct Request {
    head: Box<RequestHead>,
    peer: Peer,
    /// `None` when there is no body.
    body: Option<Reader>,
    /// The preview, when it came with the head, and whether it is the whole body.
    preview: Option<(Bytes, bool)>,
    #[cfg(feature = "identity")]
    pub(crate) is_trusted: bool,
}

impl Request {
    pub(crate) const fn new(
        head: Box<RequestHead>,
        peer: Peer,
        body: Option<Reader>,
        preview: Option<(Bytes, bool)>,
    ) -> Self {
        Self {
            head,
            peer,
            body,
            preview,
            #[cfg(feature = "identity")]
            is_trusted: false,
        }
    }

    /// The ICAP head with the HTTP heads in it.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The address of the ICAP client, `None` when the connection has none.
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.addr
    }

    /// The certificate that the ICAP client showed and the server [checked](crate::Tls::client_roots_pem); `None`
    /// when it showed none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&crate::PeerCertificate> {
        self.peer.certificate.as_deref()
    }

    /// Whether [`Reply::unmodified`](crate::Reply::unmodified) would be a 204 now (RFC 3507 section 4.6): the
    /// client allows it, or waits in its preview. Otherwise the server sends the message back, for which it keeps
    /// what is read of the body.
    #[must_use]
    pub fn allows_no_content(&self) -> bool {
        self.head.allow().no_content || has_preview(&self.head)
    }

    /// Whether the answer may end in an [ICAP trailer](crate::Reply::icap_trailer).
    #[must_use]
    pub fn allows_icap_trailer(&self) -> bool {
        self.head.allow().trailers
    }

    /// Who sent the message, as the client says; `None` unless its address is one of those that the service
    /// [trusts](crate::ServiceConfig::trust_identity).
    #[cfg(feature = "identity")]
    #[must_use]
    pub fn identity(&self) -> Option<icap_proto::Identity> {
        self.is_trusted.then(|| icap_proto::Identity::read(self.head.headers()))
    }

    /// Waits for the preview (RFC 3507 section 4.5) and reads nothing beyond it.
    ///
    /// A request without a preview gives an empty one at once, which is [complete](Preview::is_complete) when there
    /// is no body.
    ///
    /// # Errors
    ///
    /// The client broke the protocol, stopped sending, or is gone.
    pub async fn preview(self) -> Result<(Box<RequestHead>, Preview), BodyError> {
        let Self { head, body, preview, .. } = self;
        let Some(mut reader) = body else {
            return Ok((head, Preview::without_body()));
        };
        if !has_preview(&head) {
            return Ok((head, Preview::not_sent(reader)));
        }
        let (bytes, complete) = match preview {
            Some(arrived) => arrived,
            None => reader.preview().await?,
        };
        Ok((head, Preview::read(bytes, complete, reader)))
    }

    /// The head and the whole body, preview or not: [`preview`](Self::preview), then
    /// [`proceed`](Preview::proceed).
    ///
    /// # Errors
    ///
    /// As both of them.
    pub async fn into_body(self) -> Result<(Box<RequestHead>, Incoming), BodyError> {
        let (head, preview) = self.preview().await?;
        Ok((head, preview.proceed().await?))
    }
}

/// Whether the body begins with a preview: other methods than these two know none (RFC 3507 section 4.5).
pub(crate) const fn has_preview(head: &RequestHead) -> bool {
    matches!(head.method(), Method::Reqmod | Method::Respmod) && head.preview().is_some()
}
