//! What is told of a call: the fields of its span, and its metrics. Where nobody listens there is no record.
//!
//! The names are in the documentation of the crate.

use std::time::Duration;

use icap_proto::{Leniency, Method, StatusCode};
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::client::Shared;
use crate::error::Error;
use crate::metrics;

/// The record of one call. It goes with the call through its exchanges and is closed when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Record(Option<Box<Facts>>);

#[derive(Debug)]
struct Facts {
    span: Span,
    method: &'static str,
    service: String,
    started: Instant,
    waited: Option<Duration>,
    reused: bool,
    preview: Option<&'static str>,
    status: Option<StatusCode>,
    answered: Option<Duration>,
    leniency: Leniency,
    bytes_out: u64,
    bytes_in: u64,
    error: Option<String>,
    /// The answer was read to its end.
    ended: bool,
}

impl Record {
    /// Begins the record of a call, if anybody wants one.
    pub(crate) fn begin(shared: &Shared, method: &Method) -> Self {
        let method = match method {
            Method::Reqmod => "REQMOD",
            Method::Respmod => "RESPMOD",
            _ => "OPTIONS",
        };
        let span = tracing::debug_span!(
            "call",
            method,
            service = %shared.dialer.uri,
            reused = Empty,
            wait_us = Empty,
            preview = Empty,
            leniency = Empty,
            status = Empty,
            bytes_out = Empty,
            bytes_in = Empty,
            answer_us = Empty,
            elapsed_us = Empty,
            error = Empty,
            aborted = Empty,
        );
        if span.is_disabled() && !metrics::ARE_ON {
            return Self(None);
        }
        Self(Some(Box::new(Facts {
            span,
            method,
            service: shared.dialer.uri.to_string(),
            started: Instant::now(),
            waited: None,
            reused: false,
            preview: None,
            status: None,
            answered: None,
            leniency: Leniency::strict(),
            bytes_out: 0,
            bytes_in: 0,
            error: None,
            ended: false,
        })))
    }

    /// The span, for what happens in it.
    pub(crate) fn span(&self) -> Option<Span> {
        self.0.as_ref().map(|facts| facts.span.clone())
    }

    /// There is a connection. Of several the first counts: the others are not waited for in a queue.
    pub(crate) fn connected(&mut self, reused: bool) {
        let Some(facts) = &mut self.0 else { return };
        facts.waited.get_or_insert_with(|| facts.started.elapsed());
        facts.reused = reused;
    }

    /// The request goes out, for the first time or anew.
    pub(crate) fn started(&mut self, has_preview: bool) {
        let Some(facts) = &mut self.0 else { return };
        (facts.bytes_out, facts.bytes_in) = (0, 0);
        (facts.error, facts.ended) = (None, false);
        facts.leniency = Leniency::strict();
        facts.preview = has_preview.then_some("decided");
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        let Some(facts) = &mut self.0 else { return };
        facts.bytes_out = facts.bytes_out.saturating_add(bytes as u64);
    }

    /// All of the body was in the preview.
    pub(crate) fn previewed_whole(&mut self) {
        let Some(facts) = &mut self.0 else { return };
        facts.preview = Some("whole");
    }

    /// The server asked for the rest.
    pub(crate) fn continued(&mut self) {
        let Some(facts) = &mut self.0 else { return };
        // One behind a preview that was whole means nothing.
        if facts.preview == Some("decided") {
            facts.preview = Some("continued");
        }
    }

    /// The head of the answer came.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        let Some(facts) = &mut self.0 else { return };
        facts.status = Some(status);
        facts.answered = Some(facts.started.elapsed());
    }

    /// What was read would have been refused without these switches.
    pub(crate) fn needed(&mut self, leniency: Leniency) {
        let Some(facts) = &mut self.0 else { return };
        facts.leniency = facts.leniency.union(leniency);
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        let Some(facts) = &mut self.0 else { return };
        facts.bytes_in = facts.bytes_in.saturating_add(bytes as u64);
    }

    /// The answer is over.
    pub(crate) fn ended(&mut self) {
        let Some(facts) = &mut self.0 else { return };
        facts.ended = true;
    }

    pub(crate) fn failed(&mut self, error: &Error) {
        let Some(facts) = &mut self.0 else { return };
        facts.error = Some(error.to_string());
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let aborted = !self.ended;
        let status = self.status.map(StatusCode::as_u16);
        let span = &self.span;
        if let Some(waited) = self.waited {
            span.record("reused", self.reused).record("wait_us", micros(waited));
        }
        if let Some(preview) = self.preview {
            span.record("preview", preview);
        }
        let leniency: Vec<_> = self.leniency.names().collect();
        if !leniency.is_empty() {
            span.record("leniency", leniency.join(" "));
        }
        if let (Some(status), Some(answered)) = (status, self.answered) {
            span.record("status", status).record("answer_us", micros(answered));
        }
        if let Some(error) = &self.error {
            span.record("error", error.as_str());
        }
        span.record("bytes_out", self.bytes_out)
            .record("bytes_in", self.bytes_in)
            .record("elapsed_us", micros(elapsed))
            .record("aborted", aborted);
        metrics::call(&metrics::Call {
            method: self.method,
            service: &self.service,
            status,
            leniency: &leniency,
            waited: self.waited,
            reused: self.reused,
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
            elapsed,
            aborted,
        });
    }
}
