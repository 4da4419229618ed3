//! One call: from a message to its outcome.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use icap_proto::client::Event;
use icap_proto::{
    HttpHead, Method, RequestBuilder, RequestHead, ResponseHead, ServiceOptions, StatusCode,
};
use tokio::time::Instant;

use crate::adapted::Adapted;
use crate::client::Shared;
use crate::error::{BoxError, Error, Failure, Invalid};
use crate::exchange::{Exchange, Sending};
use crate::message::Parts;
use crate::offer::offer;
use crate::original::{Original, Replay};
use crate::outcome::Outcome;
use crate::pool::{Link, Permit};
use crate::source::Source;
use crate::timeouts::{Inactivity, before, deadline};

/// What is read of the body of an OPTIONS answer; a longer one costs the connection.
const OPTIONS_BODY: usize = 64 * 1024;

/// Has a message adapted. `request` is what the method and the client put into the ICAP request.
pub(crate) async fn adapt<B>(
    shared: &Shared,
    request: RequestBuilder,
    parts: Parts<B>,
) -> Result<Outcome<B>, Failure<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let Parts { head, body, fields, kept_by_caller, .. } = parts;
    let request = fields
        .apply(
            offer(&shared.settings, None, request, &body, kept_by_caller),
            shared.templates.has_credentials,
        )
        .map_err(Invalid::Header)
        .and_then(|request| request.build().map_err(Invalid::Parts));
    let source = Source::new(body);
    let request = match request {
        Ok(request) => request,
        Err(invalid) => return Err(failure(Error::Invalid(invalid), head, source)),
    };
    match exchange(shared, &request, source).await {
        Ok((exchange, response))
            if kept_by_caller && response.status() == StatusCode::NO_CONTENT =>
        {
            dismiss(exchange).await;
            Ok(Outcome::NoContent(response))
        }
        Ok((exchange, response)) => conclude(shared, &request, head, exchange, response).await,
        Err((error, source)) => Err(failure(error, head, source)),
    }
}

/// Asks the service what it can do.
pub(crate) async fn options(shared: &Shared) -> Result<ServiceOptions, Error> {
    let request = shared.templates.options.clone().build();
    let request = request.map_err(|error| Error::Invalid(Invalid::Parts(error)))?;
    // An empty text is a body that is at its end.
    let source = Source::new(String::new());
    let (mut exchange, response) =
        exchange(shared, &request, source).await.map_err(|(error, _)| error)?;
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
) -> Result<(Box<Exchange<B>>, Box<ResponseHead>), (Error, Source<B>)>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let deadline = deadline(shared.settings.timeouts.total);
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
    head: HttpHead,
    exchange: Box<Exchange<B>>,
    response: Box<ResponseHead>,
) -> Result<Outcome<B>, Failure<B>>
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
            return Err(failure(Error::MissingHead, head, exchange.into_source()));
        };
        let answers = *request.method() == Method::Reqmod && !adapted.is_request();
        let asked_with = request.http_request().and_then(HttpHead::method);
        let mut adapted = Adapted::new(response, adapted, asked_with, exchange);
        with_context(|cx| adapted.look_ahead(cx)).await;
        return Ok(if answers { Outcome::Answered(adapted) } else { Outcome::Modified(adapted) });
    }
    let mut source = dismiss(exchange).await;
    if status != StatusCode::NO_CONTENT {
        return Err(failure(Error::Status(response), head, source));
    }
    if source.rewind() {
        Ok(Outcome::Unmodified(Original::new(response, Replay::new(head, source))))
    } else {
        // A 204 is only allowed when the body is kept, which hangs on what the body said of itself.
        Err(Failure::new(Error::Source("the body is longer than its size hint".into()), None))
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

/// The error with the message, if that is whole.
fn failure<B>(error: Error, head: HttpHead, mut source: Source<B>) -> Failure<B> {
    let whole = source.rewind();
    Failure::new(error, whole.then(|| Replay::new(head, source)))
}

/// Does what needs a waker but never waits.
async fn with_context(mut act: impl FnMut(&mut Context<'_>)) {
    poll_fn(|cx| {
        act(cx);
        Poll::Ready(())
    })
    .await;
}
