//! One call: from a message to its outcome.

mod forward;
mod send;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use icap_proto::client::Event;
use icap_proto::{Method, RequestBuilder, ServiceOptions, StatusCode, Transfer};
use tokio::time::Instant;

pub(crate) use self::forward::{Targets, forward, names_service};
use self::send::{Answer, Call};
use crate::adapted::Adapted;
use crate::client::Shared;
use crate::error::{BoxError, Error, Failure, Invalid};
use crate::exchange::Exchange;
use crate::message::Message;
use crate::offer::{Terms, offer, transfer};
use crate::original::{Original, Replay};
use crate::outcome::Outcome;
use crate::record::Record;
use crate::source::Source;
use crate::timeouts::deadline;

/// What is read of the body of an OPTIONS answer; a longer one costs the connection.
const OPTIONS_BODY: usize = 64 * 1024;

/// A call that failed, with all that another one needs.
pub(crate) struct Failed<B> {
    pub(crate) error: Error,
    pub(crate) message: Box<Message>,
    pub(crate) source: Box<Source<B>>,
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
    message: Box<Message>,
    source: Box<Source<B>>,
    until: Option<Instant>,
) -> Result<Outcome<B>, Failed<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if let Some(note) = &message.sent_to {
        note.set(&shared.dialer.uri);
    }
    let deadline = deadline(shared.settings.timeouts.total).into_iter().chain(until).min();
    // Nothing refers to the body while OPTIONS are waited for: it may be one that is not `Sync`.
    let prepared = match start(shared, &message) {
        Ok(request) => {
            let known = shared.negotiation.known(shared, deadline).await;
            known.and_then(|known| prepare(shared, request, &message, &source, known.as_deref()))
        }
        Err(error) => Err(error),
    };
    let (request, terms) = match prepared {
        Ok(Some(prepared)) => prepared,
        Ok(None) => return Ok(Outcome::Ignored(Replay::new(message.head, source))),
        Err(error) => return Err(Failed { error, message, source }),
    };
    let call = Call {
        shared,
        login: shared.login.as_ref().filter(|_| !message.fields.has_credentials()),
        replay_bytes: terms.replay_bytes,
        deadline,
        limit: Duration::MAX,
    };
    let record = Record::begin(shared, &message.method);
    match call.answer(request, source, record).await {
        Ok(Answer { exchange, response })
            if message.kept_by_caller && response.status() == StatusCode::NO_CONTENT =>
        {
            dismiss(exchange).await;
            Ok(Outcome::NoContent(response))
        }
        Ok(answer) => conclude(shared, message, answer).await,
        Err((error, source)) => Err(Failed { error, message, source }),
    }
}

/// The request with the heads and fields of its message.
fn start(shared: &Shared, message: &Message) -> Result<RequestBuilder, Error> {
    let Message { method, head, context, fields, .. } = message;
    let Shared { templates, login, .. } = shared;
    let mut request = if *method == Method::Reqmod {
        templates.reqmod.clone().http_request(head.clone())
    } else {
        templates.respmod.clone().http_response(head.clone())
    };
    if let Some(context) = context {
        request = request.http_request(context.clone());
    }
    let request = fields.apply(request, templates.has_credentials || login.is_some());
    request.map_err(|error| Error::Invalid(Invalid::Header(error)))
}

/// The request as this service wants it; none when it does not want the message.
fn prepare<B: Body<Data = Bytes> + Unpin>(
    shared: &Shared,
    request: RequestBuilder,
    message: &Message,
    source: &Source<B>,
    known: Option<&ServiceOptions>,
) -> Result<Option<(RequestBuilder, Terms)>, Error> {
    let Shared { settings, negotiation, .. } = shared;
    if known.is_some_and(|known| !takes(known, &message.method)) {
        negotiation.expire();
        return Err(Error::MethodNotAllowed(message.method.clone()));
    }
    let transfer = transfer(known, message);
    if transfer == Transfer::Ignore && settings.transfer_ignore && !message.never_ignored {
        tracing::debug!(uri = %shared.dialer.uri, "not sent: the service ignores such files");
        return Ok(None);
    }
    let preview = settings.preview.bytes(known, transfer, negotiation.asks());
    let terms = Terms {
        preview,
        replay_bytes: settings.replay_limit.max(preview.unwrap_or(0)),
        kept_by_caller: message.kept_by_caller,
    };
    let request = offer(settings, known, terms, request, source);
    #[cfg(feature = "identity")]
    let request = message
        .fields
        .identify(request, known)
        .map_err(|error| Error::Invalid(Invalid::Header(error)))?;
    Ok(Some((request, terms)))
}

/// Whether the service lists the method; some list none. Products write them in either case.
fn takes(known: &ServiceOptions, method: &Method) -> bool {
    let is =
        |listed: &Method| listed == method || listed.as_str().eq_ignore_ascii_case(method.as_str());
    known.methods().is_empty() || known.methods().iter().any(is)
}

/// Asks the service what it can do, for the caller.
pub(crate) async fn options(shared: &Shared) -> Result<ServiceOptions, Error> {
    let deadline = deadline(shared.settings.timeouts.total);
    let options = Arc::new(ask(shared, deadline, Duration::MAX).await?);
    shared.negotiation.learn(&shared.pool, &options);
    Ok(Arc::unwrap_or_clone(options))
}

/// Asks the service what it can do. `limit` is for the exchange alone.
pub(crate) async fn ask(
    shared: &Shared,
    deadline: Option<Instant>,
    limit: Duration,
) -> Result<ServiceOptions, Error> {
    let request = shared.templates.options.clone();
    let call = Call { shared, login: shared.login.as_ref(), replay_bytes: 0, deadline, limit };
    // An empty text is a body that is at its end.
    let record = Record::begin(shared, &Method::Options);
    let answer = call.answer(request, Source::new(String::new()), record).await;
    let Answer { mut exchange, response } = answer.map_err(|(error, _)| error)?;
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
    Ok(ServiceOptions::from_response(&response))
}

/// Sorts the answer.
async fn conclude<B>(
    shared: &Shared,
    message: Box<Message>,
    answer: Answer<B>,
) -> Result<Outcome<B>, Failed<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let Answer { exchange, response } = answer;
    let status = response.status();
    tracing::debug!(uri = %shared.dialer.uri, %status, "answered");
    // Whether a 201 is taken has been decided by the leniency of the connection, whether a 206 by the request.
    if matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::PARTIAL_CONTENT) {
        let Some(adapted) = response.http_response().or_else(|| response.http_request()).cloned()
        else {
            let source = exchange.into_source();
            return Err(Failed { error: Error::MissingHead, message, source });
        };
        let answers = message.method == Method::Reqmod && !adapted.is_request();
        let mut adapted = Adapted::new(response, adapted, message.http_method(), exchange);
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
async fn dismiss<B>(mut exchange: Exchange<B>) -> Box<Source<B>>
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
async fn release<B>(mut exchange: Exchange<B>) -> Box<Source<B>>
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
