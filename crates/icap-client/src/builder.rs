//! The settings of a client.

mod build;

use std::sync::Arc;
use std::time::Duration;

use icap_proto::{IsTag, Leniency, Limits, ServiceOptions, ServiceUri};

use crate::authentication::{Authenticate, Login};
use crate::connect::{Connect, DynConnect};
use crate::error::Invalid;
use crate::fields::Fields;
use crate::negotiation::IsTagHook;
use crate::offer::PreviewSize;
use crate::tap::{Tap, Taps};
use crate::tcp::TcpConnector;
use crate::timeouts::Timeouts;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Puts a [`Client`](crate::Client) together; see [`Client::builder`](crate::Client::builder).
#[must_use = "a builder does nothing until build"]
pub struct ClientBuilder {
    uri: Result<ServiceUri, Invalid>,
    fields: Fields,
    user_agent: String,
    preview: PreviewSize,
    replay_limit: u64,
    transfer_ignore: bool,
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
    negotiate: bool,
    options: Option<ServiceOptions>,
    options_ttl: Duration,
    on_istag_change: Option<IsTagHook>,
    login: Option<Login>,
    connector: Arc<dyn DynConnect>,
    taps: Option<Taps>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl ClientBuilder {
    pub(crate) fn new(uri: Result<ServiceUri, Invalid>) -> Self {
        Self {
            uri,
            fields: Fields::NONE,
            user_agent: concat!("icap-client/", env!("CARGO_PKG_VERSION")).into(),
            preview: PreviewSize::Unset,
            replay_limit: 0,
            transfer_ignore: true,
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
            negotiate: true,
            options: None,
            options_ttl: Duration::from_secs(60 * 60),
            on_istag_change: None,
            login: None,
            connector: Arc::new(TcpConnector),
            taps: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Whether the client asks the service what it can do (OPTIONS, RFC 3507 section 4.10), unasked. On by default:
    /// the first call asks before it sends its message, while others wait for the same answer.
    ///
    /// - The answer is for the [whole URI](crate::Client::uri) and all clones. It holds for its `Options-TTL`, counted
    ///   from its arrival and held between 30 seconds and a day, or for [`options_ttl`](Self::options_ttl).
    /// - In the last tenth of that time one call asks anew before its own message; the others go on with the old
    ///   answer. Behind it, and when the `ISTag` has changed or the service answered 404, 405 or 501 to a message, all
    ///   wait for a new one. An answer is not replaced before it is 30 seconds old.
    /// - A service that does not answer, or with anything but a 200, is used as well as it can be: with the last
    ///   answer for an hour behind its time, without one after that. It is asked again after 30 seconds, and after
    ///   each failure later by twice the time, up to an hour. [`Timeouts::options`] limits the asking.
    /// - Where no connection can be had for OPTIONS, the calls that wait fail with that error.
    ///
    /// What is known decides the [preview](Self::preview), `Allow: 204` and `206`, which files are sent
    /// [at all](Self::transfer_ignore), how many [connections](Self::max_connections) there are, and which methods.
    ///
    /// Off, the client asks [by hand](crate::Client::options) only; such an answer is used until its time is
    /// over.
    pub const fn negotiate(mut self, asks: bool) -> Self {
        self.negotiate = asks;
        self
    }

    /// What the service can do, for a service that cannot tell it or tells it wrong. It is never asked.
    ///
    /// ```
    /// use icap_client::Client;
    /// use icap_proto::ServiceOptions;
    ///
    /// let options = ServiceOptions::respmod("av")?.preview(4096).allow_no_content();
    /// let client = Client::builder("icap://av.local/respmod").options(options).build()?;
    /// assert_eq!(client.known_options().unwrap().preview_bytes(), Some(4096));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn options(mut self, options: ServiceOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// How long an answer without `Options-TTL` holds: an hour by default, and within the bounds of the others. By
    /// the RFC it would hold for ever.
    pub const fn options_ttl(mut self, ttl: Duration) -> Self {
        self.options_ttl = ttl;
        self
    }

    /// Calls a function with each new `ISTag` of the service (RFC 3507 section 4.7): with the tag of an answer, of
    /// whatever kind, that differs from the one before it. Who caches answers throws them away then. The first tag
    /// is no change. Servers of one name that do not share their state change it to and fro.
    ///
    /// ```
    /// let client = icap_client::Client::builder("icap://av.local/respmod")
    ///     .on_istag_change(|tag| println!("new signatures: {tag}"))
    ///     .build()?;
    /// # Ok::<(), icap_client::Error>(())
    /// ```
    pub fn on_istag_change(mut self, changed: impl Fn(&IsTag) + Send + Sync + 'static) -> Self {
        self.on_istag_change = Some(Box::new(changed));
        self
    }

    /// Answers a server that wants credentials (407, RFC 3507 section 7.1): see [`Authenticate`]. Where a caller
    /// gives `Proxy-Authorization` or `Authorization` by [`header`](Self::header), that is sent and this not asked.
    /// The credentials of users, forwarded from an HTTP message, are not sent to such a server.
    pub fn credentials(mut self, authenticate: impl Authenticate) -> Self {
        self.login = Some(Login::new(authenticate));
        self
    }

    /// Sends at most so many bytes of a body as preview and waits for what the server makes of them
    /// (RFC 3507 section 4.5); 0 shows it the heads alone. A body whose exact size is smaller announces that size.
    ///
    /// A service of which [OPTIONS](Self::negotiate) are known gets no more than it asks for there, and no preview
    /// where it does not; by default it gets what it asks for, up to 64 KiB. A service that says nothing gets these
    /// bytes, and without this setting no preview if it was asked, 1,024 bytes if it was not.
    pub const fn preview(mut self, bytes: u64) -> Self {
        self.preview = PreviewSize::AtMost(bytes);
        self
    }

    /// Sends bodies without a preview.
    pub const fn no_preview(mut self) -> Self {
        self.preview = PreviewSize::Never;
        self
    }

    /// Whether files that the service lists in `Transfer-Ignore` are not sent to it, as it asks (RFC 3507
    /// section 4.10.2). Such a call is [`Outcome::Ignored`](crate::Outcome::Ignored). On by default; off, they are
    /// sent whole. A single message is sent with [`never_ignored`](crate::Reqmod::never_ignored).
    ///
    /// The extension is that of the URL, which a user may have chosen. A message without a known URL is sent.
    pub const fn transfer_ignore(mut self, heeded: bool) -> Self {
        self.transfer_ignore = heeded;
        self
    }

    /// Keeps bodies of up to so many bytes until the server has answered, so that they can be sent once more: such a
    /// body is sent with `Allow: 204` (RFC 3507 section 4.6) unless the service is known not to give one, and, where it
    /// takes part in that, with [`Allow: 206`](Self::partial_content); it comes back from a failed call, and is sent
    /// again when a kept connection turns out to be dead. What is kept are references to the pieces that the body gave,
    /// not copies; small pieces of large buffers keep these.
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
    /// Only a service that is known to offer it may be told that we take it: by default one that says so in
    /// [OPTIONS](Self::negotiate). `true` says that this one does; `false` asks for it in OPTIONS no more either. In
    /// the preview a 206 costs nothing, behind it the body has to fit into the
    /// [replay limit](Self::replay_limit).
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
    ///
    /// The 8 that are used next keep their buffers: 16 KiB each after small answers, mostly 64 to 80 KiB after large
    /// ones, and more where heads are large or bodies are sent in pieces below 1 KiB.
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

    /// How many connections there may be at once: 0, the default, for no limit. The `Max-Connections` of the
    /// service, once [known](Self::negotiate), lowers it. So does a 503 (RFC 3507 section 4.3.3): for a minute there
    /// are no more connections than were in use beside the one that was refused, and at least one. Calls beyond the
    /// limit wait in the order of their coming, up to [`Timeouts::wait`].
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

    /// Shows all that is sent and received to `tap`, for a person who looks for a fault: what goes through TLS too. Of
    /// each body the first `body_limit` bytes are shown.
    ///
    /// Credentials, cookies and who the user is are blanked: the values of `Authorization`, `Proxy-Authorization`,
    /// `Cookie`, `Set-Cookie`, `X-Authenticated-User`, `X-Authenticated-Groups`, `X-Subscriber-ID` and
    /// `X-Client-Username` in all heads and trailers, and user and password in URIs. What else heads and bodies hold is
    /// shown as it is.
    ///
    /// ```
    /// use icap_client::{Client, Tapped};
    ///
    /// let show = |tapped: &Tapped<'_>| {
    ///     eprintln!("{:?} {}", tapped.direction, tapped.bytes.escape_ascii());
    /// };
    /// let client = Client::builder("icap://av.local/respmod").tap(show, 256).build()?;
    /// # Ok::<(), icap_client::Error>(())
    /// ```
    pub fn tap(mut self, tap: impl Tap, body_limit: u64) -> Self {
        self.taps = Some(Taps::new(tap, body_limit));
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
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("uri", &self.uri).finish_non_exhaustive()
    }
}
