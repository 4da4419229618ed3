//! The client of one service.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use icap_proto::{RequestBuilder, ServiceOptions, ServiceUri};

use crate::builder::ClientBuilder;
use crate::call::{self, Failed};
use crate::connect::Dialer;
use crate::error::{BoxError, Error, Failure, Invalid};
use crate::message::{Reqmod, Respmod};
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
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) preview: Option<u64>,
    pub(crate) replay_limit: u64,
    /// Whether the service knows 206, where the caller said so.
    pub(crate) partial_content: Option<bool>,
    /// ICAP trailers are taken.
    pub(crate) icap_trailers: bool,
    /// HTTP trailers are sent.
    pub(crate) http_trailers: bool,
    pub(crate) timeouts: Timeouts,
}

impl Settings {
    /// Bytes of a body that may be kept behind the preview: what was in the preview may stay.
    pub(crate) fn replay_bytes(&self) -> u64 {
        self.replay_limit.max(self.preview.unwrap_or(0))
    }
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
    ) -> Self {
        Self { shared: Arc::new(Shared { dialer, settings, templates, pool: Arc::new(pool) }) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
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

    /// Asks the service what it can do (RFC 3507 section 4.10).
    ///
    /// # Errors
    ///
    /// As any call; every status but 200 is [`Error::Status`].
    pub async fn options(&self) -> Result<ServiceOptions, Error> {
        call::options(&self.shared).await
    }

    /// Closes the idle connections now and each connection in use behind its exchange, for all clones. Later
    /// calls, and those that wait for a connection, fail with [`Error::ClientClosed`].
    ///
    /// Dropping the last clone does the same, but nobody is left to call.
    pub fn close(&self) {
        self.shared.pool.close();
    }
}
