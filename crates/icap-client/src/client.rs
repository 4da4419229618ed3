//! The client of one service.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use icap_proto::{IsTag, RequestBuilder, ServiceOptions, ServiceUri};

use crate::authentication::Login;
use crate::builder::ClientBuilder;
use crate::call::{self, Failed, Targets};
use crate::connect::Dialer;
use crate::error::{BoxError, Error, Failure, Invalid};
use crate::forward::{Forward, Forwarded};
use crate::message::{Reqmod, Respmod};
use crate::negotiation::Negotiation;
use crate::offer::PreviewSize;
use crate::outcome::Outcome;
use crate::pool::Pool;
use crate::source::Source;
use crate::timeouts::Timeouts;

/// A client of one ICAP service.
///
/// Cloning is cheap, and clones share their connections. Calls run at the same time, each on a connection of its
/// own.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What clones of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dialer: Dialer,
    pub(crate) settings: Settings,
    pub(crate) templates: Templates,
    pub(crate) pool: Arc<Pool>,
    pub(crate) negotiation: Negotiation,
    pub(crate) login: Option<Login>,
    pub(crate) targets: Targets,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) preview: PreviewSize,
    pub(crate) replay_limit: u64,
    /// Files that the service wants ignored are not sent.
    pub(crate) transfer_ignore: bool,
    /// Whether the service knows 206, where the caller said so.
    pub(crate) partial_content: Option<bool>,
    /// ICAP trailers are taken.
    pub(crate) icap_trailers: bool,
    /// HTTP trailers are sent.
    pub(crate) http_trailers: bool,
    pub(crate) timeouts: Timeouts,
}

/// Requests with everything that is the same in all of them.
#[derive(Debug)]
pub(crate) struct Templates {
    pub(crate) reqmod: RequestBuilder,
    pub(crate) respmod: RequestBuilder,
    pub(crate) options: RequestBuilder,
    /// The client has credentials of its own in all of them.
    pub(crate) has_credentials: bool,
}

impl Client {
    /// Starts a client of the service at `uri`: a [`ServiceUri`] or its text. The default port is 1344.
    ///
    /// ```
    /// use icap_client::Client;
    ///
    /// let client = Client::builder("icap://av.local/respmod").preview(4096).build()?;
    /// # Ok::<(), icap_client::Error>(())
    /// ```
    pub fn builder<U>(uri: U) -> ClientBuilder
    where
        U: TryInto<ServiceUri>,
        U::Error: Into<Invalid>,
    {
        ClientBuilder::new(uri.try_into().map_err(Into::into))
    }

    pub(crate) fn new(
        dialer: Dialer,
        settings: Settings,
        templates: Templates,
        pool: Pool,
        negotiation: Negotiation,
        login: Option<Login>,
    ) -> Self {
        pool.set_cap(negotiation.connections());
        let pool = Arc::new(pool);
        let targets = Targets::default();
        let shared = Shared { dialer, settings, templates, pool, negotiation, login, targets };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How many connections the service takes, where it says or showed that.
    pub(crate) fn cap(&self) -> Option<usize> {
        self.shared.negotiation.connections()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Whether the other is a clone of this one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The service.
    #[must_use]
    pub fn uri(&self) -> &ServiceUri {
        &self.shared.dialer.uri
    }

    /// Has an HTTP request adapted (RFC 3507 section 4.8).
    ///
    /// The call comes back with the head of the answer; bodies go on behind it. Dropping it closes the
    /// connection.
    ///
    /// ```no_run
    /// # async fn run(client: icap_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use icap_client::{Outcome, Reqmod};
    /// use icap_proto::HttpHead;
    ///
    /// let head = HttpHead::request("GET", "http://www.example/", [("Host", "www.example")])?;
    /// let message = Reqmod::new(head, String::new()).header("X-Client-IP", "10.1.2.3");
    /// match client.reqmod(message).await {
    ///     Ok(Outcome::Answered(page)) => println!("blocked: {:?}", page.head()),
    ///     Ok(Outcome::Ignored(original)) => println!("of no interest: {:?}", original.head()),
    ///     Ok(_) => println!("goes on"),
    ///     Err(failure) => {
    ///         let (error, original) = failure.into_parts();
    ///         println!("{error}; the request can still be sent: {}", original.is_some());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`Failure`], which carries the request as long as it is whole.
    pub async fn reqmod<B>(&self, message: Reqmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (message, body) = message.into_parts();
        let adapted = call::adapt(&self.shared, message, Source::new(body), None).await;
        adapted.map_err(Failed::into_failure)
    }

    /// Has an HTTP response adapted (RFC 3507 section 4.9).
    ///
    /// The call comes back with the head of the answer; bodies go on behind it. Dropping it closes the
    /// connection.
    ///
    /// ```no_run
    /// # async fn run(client: icap_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt, Full};
    /// use icap_client::{Outcome, Respmod};
    /// use icap_proto::HttpHead;
    ///
    /// let request = HttpHead::request("GET", "http://www.example/", [("Host", "www.example")])?;
    /// let response = HttpHead::response(200, "OK", [("Content-Type", "text/plain")])?;
    /// let message = Respmod::new(response, Full::new(Bytes::from_static(b"hi"))).request(request);
    /// let body = match client.respmod(message).await? {
    ///     Outcome::Unmodified(original) => original.collect().await?.to_bytes(),
    ///     Outcome::Modified(adapted) => adapted.collect().await?.to_bytes(),
    ///     _ => return Err("not an answer to RESPMOD".into()),
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`Failure`], which carries the response as long as it is whole.
    pub async fn respmod<B>(&self, message: Respmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (message, body) = message.into_parts();
        let adapted = call::adapt(&self.shared, message, Source::new(body), None).await;
        adapted.map_err(Failed::into_failure)
    }

    /// Sends on a request of another ICAP client, as proxies do: with its own method, preview and `Allow`, and any
    /// answer is one. Nothing is negotiated for it. It goes to the path of the [client's URI](Self::uri), and when
    /// that has none to its own.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn forward<B>(&self, request: Forward<B>) -> Result<Forwarded<B>, Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (terms, body) = request.into_parts();
        let forwarded = call::forward(&self.shared, &terms, Source::new(body), None).await;
        forwarded.map_err(|(error, _)| error)
    }

    /// Asks the service now what it can do (RFC 3507 section 4.10), however fresh the last answer is. The calls
    /// that follow go by the new one, unless the caller [gave](ClientBuilder::options) one for good.
    ///
    /// There is no need to call this: the client asks by itself, see [`negotiate`](ClientBuilder::negotiate).
    ///
    /// # Errors
    ///
    /// As any call; every status but 200 is [`Error::Status`].
    pub async fn options(&self) -> Result<ServiceOptions, Error> {
        call::options(&self.shared).await
    }

    /// What the service said of itself last, without asking it: which fields it [wants](ServiceOptions::included)
    /// for instance. `None` before the first answer, or when that is too old to be used.
    #[must_use]
    pub fn known_options(&self) -> Option<Arc<ServiceOptions>> {
        self.shared.negotiation.last()
    }

    /// The tag of the last answer that had one (RFC 3507 section 4.7). What was cached from the service under
    /// another tag is out of date; [`on_istag_change`](ClientBuilder::on_istag_change) tells when that happens.
    #[must_use]
    pub fn istag(&self) -> Option<IsTag> {
        self.shared.negotiation.istag()
    }

    /// Closes the idle connections now and each connection in use behind its exchange, for all clones. Later
    /// calls, and those that wait for a connection, fail with [`Error::ClientClosed`].
    ///
    /// Dropping the last clone does the same, but nobody is left to call.
    pub fn close(&self) {
        self.shared.pool.close();
    }
}
