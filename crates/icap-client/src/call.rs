//! One call: from a message to its outcome.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use icap_proto::client::Event;
use icap_proto::{HttpHead, Method, RequestHead, ResponseHead, ServiceOptions, StatusCode};
use tokio::time::Instant;

use crate::adapted::Adapted;
use crate::client::Shared;
use crate::error::{BoxError, Error, Failure, Invalid};
use crate::exchange::{Exchange, Sending};
use crate::message::Message;
use crate::offer::offer;
use crate::original::{Original, Replay};
use crate::outcome::Outcome;
use crate::pool::{Link, Permit};
use crate::source::Source;
use crate::timeouts::{Inactivity, before, deadline};

/// What is read of the body of an OPTIONS answer; a longer one costs the connection.
const OPTIONS_BODY: usize = 64 * 1024;

/// A call that failed, with all that another one needs.
pub(crate) struct Failed<B> {
    pub(crate) error: Error,
    pub(crate) message: Message,
    pub(crate) source: Source<B>,
}

impl<B> Failed<B> {
    /// The error with the message, if that is whole.
    pub(crate) fn into_failure(mut self) -> Failure<B> {
        let whole = self.source.rewind();
        Failure::new(self.error, whole.then(|| Replay::new(self.message.head, self.source)))
    }
}

/// Has a message adapted, by `until` if there is such a time, and within the time that the client gives to a call.
/// `source` stands at its first byte and keeps what it gives.
pub(crate) async fn adapt<B>(
    shared: &Shared,
    message: Message,
    source: Source<B>,
    until: Option<Instant>,
) -> Result<Outcome<B>, Failed<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let request = match request(shared, &message, &source) {
        Ok(request) => request,
        Err(invalid) => return Err(Failed { error: Error::Invalid(invalid), message, source }),
    };
    match exchange(shared, &request, source, until).await {
        Ok((exchange, response))
            if message.kept_by_caller && response.status() == StatusCode::NO_CONTENT =>
        {
            dismiss(exchange).await;
            Ok(Outcome::NoContent(response))
        }
        Ok((exchange, response)) => conclude(shared, &request, message, exchange, response).await,
        Err((error, source)) => Err(Failed { error, message, source }),
    }
}

/// The ICAP head for a message.
fn request<B: Body<Data = Bytes> + Unpin>(
    shared: &Shared,
    message: &Message,
    source: &Source<B>,
) -> Result<RequestHead, Invalid> {
    let Message { method, head, context, fields, kept_by_caller } = message;
    let templates = &shared.templates;
    let mut request = if *method == Method::Reqmod {
        templates.reqmod.clone().http_request(head.clone())
    } else {
        templates.respmod.clone().http_response(head.clone())
    };
    if let Some(context) = context {
        request = request.http_request(context.clone());
    }
    let request = offer(&shared.settings, None, request, source, *kept_by_caller);
    let request = fields.apply(request, templates.has_credentials).map_err(Invalid::Header)?;
    request.build().map_err(Invalid::Parts)
}

/// Asks the service what it can do.
pub(crate) async fn options(shared: &Shared) -> Result<ServiceOptions, Error> {
    let request = shared.templates.options.clone().build();
    let request = request.map_err(|error| Error::Invalid(Invalid::Parts(error)))?;
    // An empty text is a body that is at its end.
    let source = Source::new(String::new());
    let (mut exchange, response) =
        exchange(shared, &request, source, None).await.map_err(|(error, _)| error)?;
    if response.status() != StatusCode::OK {
        dismiss(exchange).await;
        return Err(Error::Status(response));
    }
    let mut read = 0usize;
    while read <= OPTIONS_BODY {
        match poll_fn(|cx| exchange.poll_event(cx)).await? {
            Event::Data(data) => read = read.saturating_add(data.len()),
            _ => {
                release(exchange).await;
                break;
            }
        }
    }
    let options = ServiceOptions::from_response(&response);
    let cap = options.connections().map(|cap| usize::try_from(cap).unwrap_or(usize::MAX));
    shared.pool.set_cap(cap);
    Ok(options)
}

/// Sends a request and waits for the head of its answer: on an idle connection if there is one, and once more on
/// a new one if that was dead.
async fn exchange<B>(
    shared: &Shared,
    request: &RequestHead,
    mut source: Source<B>,
    until: Option<Instant>,
) -> Result<(Box<Exchange<B>>, Box<ResponseHead>), (Error, Source<B>)>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let deadline = [deadline(shared.settings.timeouts.total), until].into_iter().flatten().min();
    let (mut link, mut reused) = match before(deadline, checkout(shared)).await {
        Ok(checked_out) => checked_out,
        Err(error) => return Err((error, source)),
    };
    loop {
        let mut exchange = start(shared, link, source, deadline);
        let error = match exchange.answer(request).await {
            Ok(response) => return Ok((exchange, response)),
            Err(error) => error,
        };
        let stale = reused && exchange.looks_stale(&error);
        let permit;
        (source, permit) = exchange.into_retry();
        let Some(permit) = permit.filter(|_| stale) else { return Err((error, source)) };
        if !source.rewind() {
            return Err((error, source));
        }
        tracing::debug!(uri = %shared.dialer.uri, %error, "an idle connection was dead, sending again");
        reused = false;
        link = match before(deadline, open(shared, permit)).await {
            Ok(link) => link,
            Err(error) => return Err((error, source)),
        };
    }
}

/// A connection, and whether it has been used before.
async fn checkout(shared: &Shared) -> Result<(Link, bool), Error> {
    let permit = shared.pool.enter(shared.settings.timeouts.wait).await?;
    match shared.pool.take(permit).await {
        Ok(link) => Ok((link, true)),
        Err(permit) => Ok((open(shared, permit).await?, false)),
    }
}

async fn open(shared: &Shared, permit: Permit) -> Result<Link, Error> {
    shared.dialer.open(&shared.settings.timeouts, permit).await
}

fn start<B>(
    shared: &Shared,
    link: Link,
    source: Source<B>,
    deadline: Option<Instant>,
) -> Box<Exchange<B>> {
    let inactivity = Inactivity::new(&shared.settings.timeouts, deadline);
    let sending = Sending {
        replay_limit: shared.settings.replay_bytes(),
        trailers: shared.settings.http_trailers,
    };
    Exchange::new(link, Arc::clone(&shared.pool), source, sending, inactivity)
}

/// Sorts the answer.
async fn conclude<B>(
    shared: &Shared,
    request: &RequestHead,
    message: Message,
    exchange: Box<Exchange<B>>,
    response: Box<ResponseHead>,
) -> Result<Outcome<B>, Failed<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let status = response.status();
    tracing::debug!(uri = %shared.dialer.uri, %status, "answered");
    // Whether a 201 is taken has been decided by the leniency of the connection, whether a 206 by the request.
    if matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::PARTIAL_CONTENT) {
        let Some(adapted) = response.http_response().or_else(|| response.http_request()).cloned()
        else {
            let source = exchange.into_source();
            return Err(Failed { error: Error::MissingHead, message, source });
        };
        let answers = *request.method() == Method::Reqmod && !adapted.is_request();
        let asked_with = request.http_request().and_then(HttpHead::method);
        let mut adapted = Adapted::new(response, adapted, asked_with, exchange);
        with_context(|cx| adapted.look_ahead(cx)).await;
        return Ok(if answers { Outcome::Answered(adapted) } else { Outcome::Modified(adapted) });
    }
    let mut source = dismiss(exchange).await;
    if status != StatusCode::NO_CONTENT {
        return Err(Failed { error: Error::Status(response), message, source });
    }
    if source.rewind() {
        Ok(Outcome::Unmodified(Original::new(response, Replay::new(message.head, source))))
    } else {
        // A 204 is only allowed when the body is kept, which hangs on what the body said of itself.
        let error = Error::Source("the body is longer than its size hint".into());
        Err(Failed { error, message, source })
    }
}

/// Ends an exchange whose answer is read no further than its head: a body in it costs the connection.
async fn dismiss<B>(mut exchange: Box<Exchange<B>>) -> Source<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    match exchange.ready_event() {
        Ok(Some(Event::End { .. })) => release(exchange).await,
        _ => exchange.into_source(),
    }
}

/// Gives the connection back behind the end of an answer.
async fn release<B>(mut exchange: Box<Exchange<B>>) -> Source<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    with_context(|cx| exchange.settle(cx)).await;
    exchange.release()
}

/// Does what needs a waker but never waits.
async fn with_context(mut act: impl FnMut(&mut Context<'_>)) {
    poll_fn(|cx| {
        act(cx);
        Poll::Ready(())
    })
    .await;
}
