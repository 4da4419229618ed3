//! The settings of a client.

use std::sync::Arc;
use std::time::Duration;

use icap_proto::{Leniency, Limits, Method, RequestBuilder, RequestHead, ServiceUri};

use crate::client::{Client, Settings, Templates};
use crate::connect::{Connect, Dialer, DynConnect};
#[cfg(feature = "tls")]
use crate::error::InvalidTls;
use crate::error::{Error, Invalid};
use crate::message::{CREDENTIALS, Fields};
use crate::offer;
use crate::pool::{Keep, Pool};
use crate::tcp::TcpConnector;
use crate::timeouts::Timeouts;
#[cfg(feature = "tls")]
use crate::tls::{Handshaker, Tls};

/// Puts a [`Client`] together; see [`Client::builder`].
#[must_use = "a builder does nothing until build"]
pub struct ClientBuilder {
    uri: Result<ServiceUri, Invalid>,
    fields: Fields,
    user_agent: String,
    preview: Option<u64>,
    replay_limit: u64,
    partial_content: Option<bool>,
    icap_trailers: bool,
    http_trailers: bool,
    timeouts: Timeouts,
    limits: Limits,
    leniency: Leniency,
    max_idle: usize,
    max_idle_age: Duration,
    max_lifetime: Duration,
    max_connections: usize,
    connector: Arc<dyn DynConnect>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl ClientBuilder {
    pub(crate) fn new(uri: Result<ServiceUri, Invalid>) -> Self {
        Self {
            uri,
            fields: Fields::NONE,
            user_agent: concat!("icap-client/", env!("CARGO_PKG_VERSION")).into(),
            preview: Some(1024),
            replay_limit: 0,
            partial_content: None,
            icap_trailers: true,
            http_trailers: false,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            leniency: Leniency::default(),
            max_idle: 32,
            max_idle_age: Duration::from_secs(50),
            max_lifetime: Duration::MAX,
            max_connections: usize::MAX,
            connector: Arc::new(TcpConnector),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sends so many bytes of a body as preview and waits for what the server makes of them
    /// (RFC 3507 section 4.5). A body whose exact size is smaller announces that size. 1,024 bytes by default; 0
    /// shows the server the heads alone.
    pub const fn preview(mut self, bytes: u64) -> Self {
        self.preview = Some(bytes);
        self
    }

    /// Sends bodies without a preview.
    pub const fn no_preview(mut self) -> Self {
        self.preview = None;
        self
    }

    /// Keeps bodies of up to so many bytes until the server has answered, so that they can be sent once more:
    /// such a body is offered with `Allow: 204` (RFC 3507 section 4.6) and, where the service takes part in it,
    /// with [`Allow: 206`](Self::partial_content), comes back from a failed call, and is sent again when a kept
    /// connection turns out to be dead. What is kept are references to the pieces that the body gave, not copies;
    /// small pieces of large buffers keep these.
    ///
    /// 0 by default: bodies that fit into the preview are kept, of others the part in the preview until the
    /// server asks for the rest. `Allow: 204` needs a body that knows its
    /// [exact size](http_body::Body::size_hint).
    pub const fn replay_limit(mut self, bytes: u64) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// Whether the service knows 206 Partial Content (draft-icap-ext-partial-content): it then may send the
    /// beginning of the adapted body and have the rest taken from the original. [`Adapted`](crate::Adapted) is
    /// one body all the same.
    ///
    /// Only a service that is known to offer it may be told that we take it, so by default no message says
    /// `Allow: 206`. `true` says that this one does; `false` asks for it in OPTIONS no more either. In the preview
    /// a 206 costs nothing, behind it the body has to fit into the [replay limit](Self::replay_limit).
    ///
    /// ```
    /// let client = icap_client::Client::builder("icap://av.local/trickle")
    ///     .replay_limit(1024 * 1024)
    ///     .partial_content(true)
    ///     .build()?;
    /// # Ok::<(), icap_client::Error>(())
    /// ```
    pub const fn partial_content(mut self, offered: bool) -> Self {
        self.partial_content = Some(offered);
        self
    }

    /// Whether requests say `Allow: trailers` (draft-rousskov-icap-trailers): the service may then add fields
    /// behind the body, such as a verdict that it did not have before, for
    /// [`Adapted::icap_trailer`](crate::Adapted::icap_trailer). On by default.
    pub const fn icap_trailers(mut self, taken: bool) -> Self {
        self.icap_trailers = taken;
        self
    }

    /// Whether HTTP trailers of the caller's body are sent with its last chunk (erratum e2).
    ///
    /// Off by default: c-icap takes a last chunk with trailers for a broken one and fails the whole message, while
    /// HTTP lets anybody drop them on the way (RFC 9110 section 6.5). An [`Original`](crate::Original) has its
    /// trailers in either case; an adapted message has those that the service sends.
    pub const fn http_trailers(mut self, sent: bool) -> Self {
        self.http_trailers = sent;
        self
    }

    /// Time limits.
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How much the server may make us hold.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which deviations of the server are taken.
    pub const fn leniency(mut self, leniency: Leniency) -> Self {
        self.leniency = leniency;
        self
    }

    /// How many idle connections are kept, 32 by default. With 0 each call opens its own and says
    /// `Connection: close`.
    pub const fn max_idle(mut self, connections: usize) -> Self {
        self.max_idle = connections;
        self
    }

    /// For how long an idle connection is kept: 50 seconds by default, below the 60 after which servers begin to
    /// close them.
    pub const fn max_idle_age(mut self, age: Duration) -> Self {
        self.max_idle_age = age;
        self
    }

    /// For how long after its opening a connection is used for further calls: no limit by default. With one,
    /// calls follow when a load balancer or a change in the DNS sends them elsewhere.
    pub const fn max_lifetime(mut self, age: Duration) -> Self {
        self.max_lifetime = age;
        self
    }

    /// How many connections there may be at once: 0, the default, for no limit. The `Max-Connections` of the service, once
    /// [known](Client::options), lowers it. Calls beyond it wait in the order of their coming, up to
    /// [`Timeouts::wait`].
    ///
    /// An [`Adapted`](crate::Adapted) body has a connection until it has been read or dropped: whoever holds some
    /// while calling again needs as many more.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = if connections == 0 { usize::MAX } else { connections };
        self
    }

    /// Opens connections in another way than over TCP: see [`Connect`].
    pub fn connector(mut self, connector: impl Connect) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// Settings for an `icaps` URI; without this the defaults of [`Tls`].
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds a field to the ICAP head of every request.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.add(name, value.as_ref());
        self
    }

    /// The value of `User-Agent`, `icap-client/<version>` by default. Empty for no such field.
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = product.into();
        self
    }

    /// The finished client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a URI that does not parse, for settings of TLS that cannot be used, and for a field that cannot stand in
    /// an ICAP head.
    pub fn build(mut self) -> Result<Client, Error> {
        let uri = self.uri.map_err(Error::Invalid)?;
        #[cfg(not(feature = "tls"))]
        if uri.is_secure() {
            return Err(Error::Invalid(Invalid::Tls));
        }
        #[cfg(feature = "tls")]
        let tls = handshaker(self.tls, &uri)?;
        if !self.user_agent.is_empty() && !self.fields.has("User-Agent") {
            self.fields.add("User-Agent", self.user_agent.as_bytes());
        }
        let template = |method| -> Result<RequestBuilder, Error> {
            let request = RequestHead::builder(method, uri.clone());
            let request = if self.max_idle == 0 { request.close() } else { request };
            self.fields
                .apply(request, false)
                .map_err(|error| Error::Invalid(Invalid::Header(error)))
        };
        let settings = Settings {
            preview: self.preview,
            replay_limit: self.replay_limit,
            partial_content: self.partial_content,
            icap_trailers: self.icap_trailers,
            http_trailers: self.http_trailers,
            timeouts: self.timeouts,
        };
        let templates = Templates {
            reqmod: template(Method::Reqmod)?,
            respmod: template(Method::Respmod)?,
            options: offer::ask(&settings, template(Method::Options)?),
            has_credentials: self.fields.has(CREDENTIALS),
        };
        let dialer = Dialer {
            uri,
            connector: self.connector,
            #[cfg(feature = "tls")]
            tls,
            limits: self.limits,
            leniency: self.leniency,
        };
        let keep = Keep {
            idle: self.max_idle,
            idle_age: self.max_idle_age,
            lifetime: self.max_lifetime,
            connections: self.max_connections,
        };
        Ok(Client::new(dialer, settings, templates, Pool::new(keep)))
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// What an `icaps` URI needs beside a connection.
#[cfg(feature = "tls")]
fn handshaker(tls: Option<Tls>, uri: &ServiceUri) -> Result<Option<Handshaker>, Error> {
    let invalid = |error| Error::Invalid(Invalid::TlsSettings(error));
    match (tls, uri.is_secure()) {
        (None, false) => Ok(None),
        // Settings that nobody heeds would send in the clear what was meant to be kept.
        (Some(_), false) => Err(invalid(InvalidTls::PlainUri)),
        (tls, true) => tls.unwrap_or_default().build(uri).map(Some).map_err(invalid),
    }
}
