//! A request of another client, sent on as it is.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use icap_proto::{Method, RequestHead, ServiceOptions, ServiceUri, StatusCode};
use tokio::time::Instant;

use super::{Answer, Call};
use crate::client::Shared;
use crate::error::{BoxError, Error, Invalid};
use crate::fields::{CREDENTIALS, ORIGIN_CREDENTIALS};
use crate::forward::{Forwarded, Terms};
use crate::record::Record;
use crate::source::Source;
use crate::timeouts::deadline;

/// Sends a request on, by `until` if there is such a time, and within the time that the client gives to a call.
/// `source` stands at its first byte and keeps what it gives.
pub(crate) async fn forward<B>(
    shared: &Shared,
    terms: &Terms,
    source: Box<Source<B>>,
    until: Option<Instant>,
) -> Result<Forwarded<B>, (Error, Box<Source<B>>)>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let Shared { settings, negotiation, pool, dialer, targets, .. } = shared;
    let request = match targets.target(&dialer.uri, &terms.head).map(|uri| terms.request(uri)) {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return Err((Error::Invalid(Invalid::Header(error)), source)),
        Err(error) => return Err((error, source)),
    };
    let has = |name| terms.head.headers().get(name).is_some();
    let call = Call {
        shared,
        login: shared.login.as_ref().filter(|_| !has(CREDENTIALS) && !has(ORIGIN_CREDENTIALS)),
        replay_bytes: settings.replay_limit.max(terms.preview.unwrap_or(0)),
        deadline: deadline(settings.timeouts.total).into_iter().chain(until).min(),
        limit: Duration::MAX,
    };
    let record = Record::begin(shared, terms.head.method());
    let Answer { exchange, response } = call.answer(request, source, record).await?;
    if *terms.head.method() == Method::Options && response.status() == StatusCode::OK {
        negotiation.learn(pool, &Arc::new(ServiceOptions::from_response(&response)));
    }
    let mut forwarded = Forwarded::new(dialer.uri.clone(), response, exchange);
    super::with_context(|cx| forwarded.look_ahead(cx)).await;
    Ok(forwarded)
}

/// Where requests that are sent on go. It keeps the last URI that it made: the next request is mostly for the same
/// service.
#[derive(Default)]
pub(crate) struct Targets(Mutex<Option<ServiceUri>>);

impl Targets {
    /// To the path of the client's URI, and if that has none to the request's own.
    fn target(&self, uri: &ServiceUri, head: &RequestHead) -> Result<ServiceUri, Error> {
        if names_service(uri) {
            return Ok(uri.clone());
        }
        let path = head.uri().path_and_query();
        if let Some(last) = self.last().as_ref().filter(|last| last.path_and_query() == path) {
            return Ok(last.clone());
        }
        let text = format!("{}://{}:{}{path}", uri.scheme(), uri.host(), uri.port());
        let target: ServiceUri =
            text.parse().map_err(|error| Error::Invalid(Invalid::Uri(error)))?;
        Ok(self.last().insert(target).clone())
    }

    fn last(&self) -> MutexGuard<'_, Option<ServiceUri>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the URI: its path and query are the words of another client, and may hold a secret.
impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Targets").finish_non_exhaustive()
    }
}

/// Whether a URI is that of a service; one without a path is that of a server.
pub(crate) fn names_service(uri: &ServiceUri) -> bool {
    !matches!(uri.path_and_query(), "" | "/")
}
