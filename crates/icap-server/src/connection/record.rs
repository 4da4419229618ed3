//! What the log and the metrics say about a transaction.

use icap_proto::{Leniency, Method, RequestHead, ServiceUri, StatusCode};
use tokio::time::Instant;
use tracing::Span;

#[cfg(feature = "metrics")]
use crate::metrics;
use crate::peer::Peer;
use crate::reply::Kind;
use crate::request::has_preview;

/// One transaction.
pub(super) struct Record<'a> {
    peer: &'a Peer,
    /// The path of the service that was found.
    route: Option<&'a str>,
    method: Method,
    /// What the client called it, when that is another path.
    uri: Option<ServiceUri>,
    /// Where all that happens meanwhile belongs.
    pub(super) span: Span,
    started: Instant,
    answered: Option<Instant>,
    /// When the answer was complete: with its head, or when it had left.
    ended: Option<Instant>,
    /// The status of the answer, once there is one.
    status: Option<StatusCode>,
    preview: Option<PreviewResult>,
    /// What the handler made of the message.
    verdict: Option<&'static str>,
    /// What of the request is not as the RFC has it.
    leniency: Leniency,
    /// Body bytes that were read.
    pub(super) bytes_in: u64,
    /// Body bytes of the answer.
    pub(super) bytes_out: u64,
    /// The answer was broken off, or the connection lost before it.
    pub(super) aborted: bool,
}

/// What came of a preview.
#[derive(Debug, Clone, Copy)]
pub(super) enum PreviewResult {
    /// The answer needed no more.
    Decided,
    /// It was the whole body.
    Whole,
    /// The rest was asked for.
    Continued,
}

impl<'a> Record<'a> {
    pub(super) fn start(
        head: &RequestHead,
        path: &str,
        peer: &'a Peer,
        route: Option<&'a str>,
    ) -> Self {
        let span = tracing::info_span!(
            target: "icap_server",
            "transaction",
            client = peer.client(),
            method = head.method().as_str(),
            service = path,
        );
        Self {
            peer,
            route,
            method: head.method().clone(),
            uri: (route != Some(path)).then(|| head.uri().clone()),
            span,
            started: Instant::now(),
            answered: None,
            ended: None,
            status: None,
            preview: has_preview(head).then_some(PreviewResult::Decided),
            verdict: None,
            leniency: Leniency::strict(),
            bytes_in: 0,
            bytes_out: 0,
            aborted: false,
        }
    }

    pub(super) fn client(&self) -> Option<tracing::field::DisplayValue<std::net::SocketAddr>> {
        self.peer.client()
    }

    pub(super) fn service(&self) -> &str {
        self.uri.as_ref().map(ServiceUri::path).or(self.route).unwrap_or_default()
    }

    /// A head of an answer is on its way.
    pub(super) fn answer(&mut self, status: StatusCode, has_body: bool) {
        let now = Instant::now();
        self.answered = Some(now);
        self.ended = (!has_body).then_some(now);
        self.status = Some(status);
    }

    /// The answer has left.
    pub(super) fn end(&mut self) {
        self.ended.get_or_insert_with(Instant::now);
    }

    /// When the answer was complete, if that is known.
    pub(super) const fn ended(&self) -> Option<Instant> {
        self.ended
    }

    pub(super) const fn preview(&mut self, result: PreviewResult) {
        self.preview = Some(result);
    }

    /// What was read would have been refused without these switches.
    pub(super) fn needed(&mut self, leniency: Leniency) {
        if leniency != Leniency::strict() {
            self.leniency = self.leniency.union(leniency);
        }
    }

    pub(super) const fn verdict(&mut self, kind: &Kind) {
        self.verdict = Some(match kind {
            Kind::Unmodified => "unmodified",
            Kind::Modified(..) | Kind::OriginalFrom(..) => "modified",
            Kind::Response(..) => "response",
            Kind::Error(_) => "error",
            Kind::Forwarded(_) => "forwarded",
        });
    }

    fn micros_to(&self, then: Instant) -> u64 {
        let elapsed = then.saturating_duration_since(self.started);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }
}

impl PreviewResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Whole => "whole",
            Self::Continued => "continued",
        }
    }
}

/// Written however the transaction ends.
impl Drop for Record<'_> {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or_else(Instant::now);
        let leniency: Vec<_> = match self.leniency == Leniency::strict() {
            true => Vec::new(),
            false => self.leniency.names().collect(),
        };
        tracing::info!(
            target: "icap_server::access",
            parent: &self.span,
            client = self.peer.client(),
            certificate = self.peer.certificate(),
            method = self.method.as_str(),
            service = self.service(),
            route = self.route.filter(|_| self.uri.is_some()),
            status = self.status.map(StatusCode::as_u16),
            verdict = self.verdict,
            preview = self.preview.map(PreviewResult::as_str),
            leniency = (!leniency.is_empty()).then(|| leniency.join(" ")),
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            answer_us = self.answered.map(|answered| self.micros_to(answered)),
            elapsed_us = self.micros_to(ended),
            aborted = self.aborted,
            "transaction",
        );
        #[cfg(feature = "metrics")]
        metrics::transaction(&metrics::Transaction {
            method: self.method.as_str(),
            service: self.route,
            status: self.status.map(StatusCode::as_u16),
            leniency: &leniency,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            elapsed: ended.saturating_duration_since(self.started),
            aborted: self.aborted,
        });
    }
}
