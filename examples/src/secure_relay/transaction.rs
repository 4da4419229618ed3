//! One transaction in mode `icap`: its bodies as they pass, and its line in the log.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use icap::client;
use icap::proto::{HttpHead, Method, RequestHead, ResponseHead, ServiceUri, StatusCode};
use icap::server::{BodyError, Ending, Incoming};
use icap::verdict;
use tokio::time::Instant;

use super::counters;
use super::log::Address;
use super::routes::Routes;

/// Where the lines of transactions say that they come from.
pub(crate) const TARGET: &str = module_path!();

/// What the log says of a transaction; it is written when this is dropped.
pub(crate) struct Transaction {
    routes: Arc<Routes>,
    source: Option<SocketAddr>,
    method: Method,
    uri: ServiceUri,
    /// The head that the profile of the connection judges with that of the answer.
    sent: Option<HttpHead>,
    began: Instant,
    upstream: Option<ServiceUri>,
    status: Option<StatusCode>,
    /// Boxed, because few have one.
    verdict: Option<Box<verdict::Verdict>>,
    pub(crate) upload: Arc<Progress>,
    bytes_out: u64,
    complete: bool,
}

impl Transaction {
    pub(crate) fn new(routes: Arc<Routes>, source: Option<SocketAddr>, head: &RequestHead) -> Self {
        Self {
            sent: routes.profile.and_then(|_| head.adapted_head()).cloned(),
            routes,
            source,
            method: head.method().clone(),
            uri: head.uri().clone(),
            began: Instant::now(),
            upstream: None,
            status: None,
            verdict: None,
            upload: Arc::default(),
            bytes_out: 0,
            complete: false,
        }
    }

    /// A server has answered.
    pub(crate) fn answered(&mut self, server: &ServiceUri, status: StatusCode) {
        self.upstream = Some(server.clone());
        self.status = Some(status);
    }

    /// What the profile of the connection makes of the head of the answer. For the log: nobody acts on it.
    pub(crate) fn judge(&mut self, response: &ResponseHead) {
        let (Some(profile), Some(sent)) = (self.routes.profile, &self.sent) else { return };
        let body = match response.status() {
            StatusCode::NO_CONTENT => verdict::Body::Same,
            _ if response.has_body() => verdict::Body::Other(&[]),
            _ => verdict::Body::Absent,
        };
        let answer = verdict::Answer::new(&self.method, sent, response, body);
        self.verdict = Some(Box::new(profile.evaluate(&answer)));
    }

    /// The relay answers in place of the servers.
    pub(crate) fn failed(&mut self, status: StatusCode, why: &str) {
        self.status = Some(status);
        self.complete = true;
        tracing::error!(
            connection = &*self.routes.name,
            source = self.source.map(tracing::field::display),
            method = self.method.as_str(),
            service = self.uri.path(),
            status = status.as_u16(),
            "no answer of a server: {why}"
        );
    }

    /// All of the answer was there.
    pub(crate) const fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let (bytes_in, bytes_out) = (self.upload.bytes.load(Ordering::Relaxed), self.bytes_out);
        let connection = &*self.routes.name;
        tracing::info!(
            target: TARGET,
            connection,
            source = self.source.map(Address).map(tracing::field::display),
            method = self.method.as_str(),
            service = self.uri.path(),
            upstream = self.upstream.as_ref().map(tracing::field::display),
            status = self.status.map(StatusCode::as_u16),
            verdict = self.verdict.as_ref().map(tracing::field::display),
            bytes_in,
            bytes_out,
            milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "transaction {}",
            counters::end(self.complete)
        );
        self.routes.transactions.count(&self.method, self.status, self.complete);
        if let Some(verdict) = &self.verdict {
            let labels =
                [("connection", connection.to_owned()), ("verdict", verdict.as_str().to_owned())];
            metrics::counter!("secure_relay_verdicts_total", &labels).increment(1);
        }
        let [from_client, to_client] = &self.routes.bytes;
        from_client.increment(bytes_in);
        to_client.increment(bytes_out);
    }
}

/// How far a body from the client is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    behind_preview: AtomicBool,
}

impl Progress {
    /// Whether the client was asked for what follows its preview.
    pub(crate) fn is_behind_preview(&self) -> bool {
        self.behind_preview.load(Ordering::Relaxed)
    }
}

/// The body from the client.
pub(crate) struct Upload {
    body: Incoming,
    /// Bytes of the preview that were not asked for yet.
    preview: u64,
    progress: Arc<Progress>,
}

impl Upload {
    pub(crate) const fn new(body: Incoming, preview: u64, progress: Arc<Progress>) -> Self {
        Self { body, preview, progress }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.preview == 0 {
            self.progress.behind_preview.store(true, Ordering::Relaxed);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(Some(data))) =
            frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref))
        {
            let length = data.len() as u64;
            self.preview = self.preview.saturating_sub(length);
            self.progress.bytes.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body from a server.
pub(crate) struct Download<B> {
    answer: client::Forwarded<B>,
    ending: Arc<OnceLock<Ending>>,
    transaction: Transaction,
}

impl<B> Download<B> {
    /// `ending` is set when the body is at its end.
    pub(crate) const fn new(
        answer: client::Forwarded<B>,
        ending: Arc<OnceLock<Ending>>,
        transaction: Transaction,
    ) -> Self {
        Self { answer, ending, transaction }
    }

    fn end(&mut self) {
        self.transaction.complete();
        let client::Ending { icap_trailer, original_from, .. } = self.answer.ending().clone();
        let mut ending = Ending::default();
        ending.icap_trailer = icap_trailer;
        ending.original_from = original_from;
        let _ = self.ending.set(ending);
    }
}

impl<B> Body for Download<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<client::BoxError>,
{
    type Data = Bytes;
    type Error = client::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, client::Error>>> {
        let frame = ready!(Pin::new(&mut self.answer).poll_frame(cx));
        match &frame {
            None => self.end(),
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => {
                    let bytes_out = &mut self.transaction.bytes_out;
                    *bytes_out = bytes_out.saturating_add(data.len() as u64);
                }
                None => self.end(),
            },
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }
}
