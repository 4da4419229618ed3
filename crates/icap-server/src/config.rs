//! On what terms a server calls a service.

use std::time::Duration;

use bytes::Bytes;
use icap_proto::{InvalidHeader, Method, RequestHead, ResponseHead, StatusCode};

#[cfg(feature = "identity")]
use crate::AllowList;
use crate::Spool;
#[cfg(feature = "identity")]
use crate::peer::Peer;

/// On what terms a server calls a [`Service`](crate::Service): what it may use, what it needs, and what it does
/// beyond RFC 3507. Asked for once, when the service is added.
///
/// ```
/// use std::time::Duration;
///
/// use icap_proto::ServiceOptions;
/// use icap_server::{Reply, Server, Service, ServiceConfig, service_fn};
///
/// let pass = service_fn(ServiceOptions::respmod("Pass 1.0")?, |_| async { Ok(Reply::unmodified()) });
/// let config = ServiceConfig::default().concurrency(64).deadline(Duration::from_secs(20));
/// let server = Server::new().service("/pass", pass.with_config(config))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    pub(crate) concurrency: Option<usize>,
    pub(crate) max_body: u64,
    pub(crate) deadline: Option<Duration>,
    pub(crate) echo_limit: Option<usize>,
    pub(crate) spool: Spool,
    needs_http_request: bool,
    needs_http_response: bool,
    one_way: Vec<Method>,
    pub(crate) forwards: bool,
    pub(crate) opt_body: Option<(String, Bytes)>,
    #[cfg(feature = "identity")]
    trusted: AllowList,
}

impl ServiceConfig {
    /// How many requests the service works on at a time, at all paths of its [`Route`](crate::Route) together;
    /// OPTIONS does not count. Those beyond are answered with 503 at once (RFC 3507 section 4.3.3); say fewer
    /// `Max-Connections` in the options than this, and clients wait instead. No bound unless told otherwise.
    #[must_use]
    pub const fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = Some(requests);
        self
    }

    /// Bytes of a body that the service takes, without chunk lines. A longer one is answered with 413; an answer that
    /// has begun and needs the rest is broken off. No bound unless told otherwise: bodies are streamed.
    #[must_use]
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// How long the service may let a client wait without a step: without asking for more of the body, answering,
    /// or giving the next piece of its answer. Then the request is answered with 500, or the answer broken off, and
    /// the call is dropped. Waits for the client do not count. For ever unless told otherwise.
    ///
    /// A call that blocks its thread is not seen: work of that kind belongs into `tokio::task::spawn_blocking`.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Body bytes of a request that are kept in memory in case that the message has to be sent back; that of the
    /// [server](crate::Server::echo_limit) unless told otherwise.
    #[must_use]
    pub const fn echo_limit(mut self, bytes: usize) -> Self {
        self.echo_limit = Some(bytes);
        self
    }

    /// Where those beyond go.
    #[must_use]
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = spool;
        self
    }

    /// The service cannot work without the HTTP request, not even on a response: a request that leaves it out is
    /// answered with 418 (erratum e5 of RFC 3507).
    #[must_use]
    pub const fn needs_http_request(mut self) -> Self {
        self.needs_http_request = true;
        self
    }

    /// The service cannot work on a response without its head: such a request is answered with 418.
    #[must_use]
    pub const fn needs_http_response(mut self) -> Self {
        self.needs_http_response = true;
        self
    }

    /// Requests of this method get no answer, whatever the service says, such as LOG (draft-stecher-icap-subid
    /// section 6). The options must list it. The methods of RFC 3507 are all answered.
    #[must_use]
    pub fn one_way(mut self, method: Method) -> Self {
        if let Method::Extension(_) = method {
            self.one_way.push(method);
        }
        self
    }

    /// The service asks another server and hands out its answers ([`Reply::forwarded`](crate::Reply::forwarded)): it
    /// is called for OPTIONS, too, and nothing is kept of a message to send it back. Other replies than forwarded ones
    /// and errors only go to clients that take a 204 or a whole message.
    #[must_use]
    pub const fn forwards(mut self) -> Self {
        self.forwards = true;
        self
    }

    /// Sends this body with the answer to OPTIONS (`Opt-body-type`, RFC 3507 section 4.10.2), for instance an
    /// `Attribute-List` (draft-stecher-icap-subid section 5.2).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] for a type that cannot stand in a field line.
    pub fn opt_body(
        mut self,
        opt_body_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Self, InvalidHeader> {
        let _ = ResponseHead::builder(StatusCode::OK).opt_body(opt_body_type)?;
        self.opt_body = Some((opt_body_type.into(), body.into()));
        Ok(self)
    }

    /// Believes clients of these networks who their users are: without it
    /// [`Request::identity`](crate::Request::identity) gives nothing. Anybody who can connect can claim to be
    /// anyone, so these are the addresses of proxies that one runs oneself. The list can be
    /// [replaced](AllowList::replace) while the server runs.
    #[cfg(feature = "identity")]
    #[must_use]
    pub fn trust_identity(mut self, clients: AllowList) -> Self {
        self.trusted = clients;
        self
    }

    #[cfg(feature = "identity")]
    pub(crate) fn trusts(&self, peer: &Peer) -> bool {
        peer.addr.is_some_and(|addr| self.trusted.allows(addr.ip()))
    }

    /// Whether a message has the parts that the service needs.
    pub(crate) fn takes(&self, head: &RequestHead) -> bool {
        let request = match head.method() {
            Method::Reqmod | Method::Respmod => head.http_request().is_some(),
            _ => true,
        };
        let response = *head.method() != Method::Respmod || head.http_response().is_some();
        (request || !self.needs_http_request) && (response || !self.needs_http_response)
    }

    pub(crate) fn is_one_way(&self, method: &Method) -> bool {
        self.one_way.contains(method)
    }
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            concurrency: None,
            max_body: u64::MAX,
            deadline: None,
            echo_limit: None,
            spool: Spool::default(),
            needs_http_request: false,
            needs_http_response: false,
            one_way: Vec::new(),
            forwards: false,
            opt_body: None,
            #[cfg(feature = "identity")]
            trusted: AllowList::default(),
        }
    }
}
