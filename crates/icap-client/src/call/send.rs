//! A request on its way: on an idle connection or a new one, with credentials where the server wants some.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use icap_proto::{Method, RequestBuilder, RequestHead, ResponseHead};
use tokio::time::Instant;

use super::dismiss;
use crate::authentication::{Login, Sent, is_refusal};
use crate::client::Shared;
use crate::error::{BoxError, Error, Invalid};
use crate::exchange::{Exchange, Sending};
use crate::pool::{Link, Permit};
use crate::record::Record;
use crate::source::Source;
use crate::timeouts::{before, deadline};

/// How a request is sent.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    /// The credentials of the client, unless the caller gave others for this request.
    pub(super) login: Option<&'a Login>,
    pub(super) replay_bytes: u64,
    pub(super) deadline: Option<Instant>,
    /// How long an exchange may take.
    pub(super) limit: Duration,
}

/// The head of an answer, and the exchange that goes on behind it.
pub(super) struct Answer<B> {
    pub(super) exchange: Exchange<B>,
    pub(super) response: Box<ResponseHead>,
}

impl Call<'_> {
    /// Sends the request and waits for the head of its answer; once more with credentials if the server wants some.
    pub(super) async fn answer<B>(
        &self,
        request: RequestBuilder,
        mut source: Box<Source<B>>,
        mut record: Record,
    ) -> Result<Answer<B>, (Error, Box<Source<B>>)>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let login = self.login.filter(|_| !self.shared.templates.has_credentials);
        let mut sent = login.and_then(Login::accepted);
        let mut refused = false;
        let again = login.map(|_| request.clone());
        let mut request = request;
        loop {
            let head = match with(request, sent.as_ref()) {
                Ok(head) => head,
                Err(error) => return Err((error, source)),
            };
            let (mut exchange, response) = self.exchange(&head, source, record).await?;
            let (Some(login), Some(again)) = (login, &again) else {
                return Ok(Answer { exchange, response });
            };
            if refused || !is_refusal(&response) {
                if !is_refusal(&response) {
                    login.accept(sent.as_ref());
                }
                return Ok(Answer { exchange, response });
            }
            refused = true;
            record = std::mem::take(&mut exchange.record);
            request = again.clone();
            source = dismiss(exchange).await;
            if !source.rewind() {
                return Err((Error::Status(response), source));
            }
            let next = async { Ok(login.answer(&response, sent.as_ref()).await) };
            sent = match Box::pin(before(self.deadline, next)).await {
                Ok(next) => next,
                Err(error) => return Err((error, source)),
            };
            if sent.is_none() {
                return Err((Error::Status(response), source));
            }
            tracing::debug!(uri = %self.shared.dialer.uri, "sending again with credentials");
        }
    }

    /// Sends a request and waits for the head of its answer: on an idle connection if there is one, and once more
    /// on a new one if that was dead.
    async fn exchange<B>(
        &self,
        request: &RequestHead,
        mut source: Box<Source<B>>,
        mut record: Record,
    ) -> Result<(Exchange<B>, Box<ResponseHead>), (Error, Box<Source<B>>)>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let Self { shared, deadline, .. } = *self;
        let (mut link, mut reused) = match checkout(shared, deadline).await {
            Ok(checked_out) => checked_out,
            Err(error) => {
                record.failed(&error);
                return Err((error, source));
            }
        };
        loop {
            record.connected(reused);
            let mut exchange = self.start(link, source, record);
            let error = match exchange.answer(request).await {
                Ok(response) => {
                    if *request.method() != Method::Options {
                        shared.negotiation.observe(&shared.pool, &response);
                    }
                    return Ok((exchange, response));
                }
                Err(error) => error,
            };
            let stale = reused && exchange.looks_stale(&error);
            let permit;
            (source, record, permit) = exchange.into_retry();
            let Some(permit) = permit.filter(|_| stale) else { return Err((error, source)) };
            if !source.rewind() {
                return Err((error, source));
            }
            tracing::debug!(uri = %shared.dialer.uri, %error, "an idle connection was dead, sending again");
            reused = false;
            link = match open(shared, permit, deadline).await {
                Ok(link) => link,
                Err(error) => {
                    record.failed(&error);
                    return Err((error, source));
                }
            };
        }
    }

    fn start<B>(&self, mut link: Box<Link>, source: Box<Source<B>>, record: Record) -> Exchange<B> {
        let Self { shared, replay_bytes, .. } = *self;
        link.inactivity.begin(deadline(self.limit).into_iter().chain(self.deadline).min());
        let sending =
            Sending { replay_limit: replay_bytes, trailers: shared.settings.http_trailers };
        let pool = Arc::clone(&shared.pool);
        let mut exchange = Exchange::new(link, pool, source, sending);
        exchange.record = record;
        exchange
    }
}

/// The finished request.
fn with(request: RequestBuilder, credentials: Option<&Sent>) -> Result<RequestHead, Error> {
    Sent::add_to(credentials, request)
        .map_err(Invalid::Header)
        .and_then(|request| request.build().map_err(Invalid::Parts))
        .map_err(Error::Invalid)
}

/// A connection, and whether it has been used before.
async fn checkout(shared: &Shared, deadline: Option<Instant>) -> Result<(Box<Link>, bool), Error> {
    // Mostly nobody has to wait, and then there is no need for timers and their room.
    let permit = match shared.pool.try_enter() {
        Some(permit) => permit,
        None => {
            let entering = shared.pool.enter(shared.settings.timeouts.wait);
            Box::pin(before(deadline, entering)).await?
        }
    };
    match shared.pool.take(permit).await {
        Ok(link) => Ok((link, true)),
        Err(permit) => Ok((open(shared, permit, deadline).await?, false)),
    }
}

/// A new connection. Boxed, because it is rare and would make each call several times as large.
async fn open(
    shared: &Shared,
    permit: Permit,
    deadline: Option<Instant>,
) -> Result<Box<Link>, Error> {
    let opening = shared.dialer.open(&shared.settings.timeouts, permit);
    Box::pin(before(deadline, opening)).await
}
