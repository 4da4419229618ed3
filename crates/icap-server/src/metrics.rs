//! What is counted with the feature `metrics`, by the facade of that name. Without it nothing is.
//!
//! The names are in the documentation of the crate.

#[cfg(feature = "metrics")]
use std::time::Duration;

/// A gauge goes up as long as something lasts.
pub(crate) fn begin(gauge: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(gauge).increment(1.0);
    let _ = gauge;
}

pub(crate) fn end(gauge: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(gauge).decrement(1.0);
    let _ = gauge;
}

/// A connection was not served.
pub(crate) fn refused(reason: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("icap_server_refused_total", "reason" => reason).increment(1);
    let _ = reason;
}

pub(crate) fn accept_failed() {
    #[cfg(feature = "metrics")]
    metrics::counter!("icap_server_accept_errors_total").increment(1);
}

/// The labels and figures of a transaction.
#[cfg(feature = "metrics")]
pub(crate) struct Transaction<'a> {
    pub(crate) method: &'a str,
    /// The path that a service has, not what a client wrote: labels must not be made by clients.
    pub(crate) service: Option<&'a str>,
    pub(crate) status: Option<u16>,
    /// The switches of [`Leniency`](icap_proto::Leniency) that the client needed.
    pub(crate) leniency: &'a [&'static str],
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) elapsed: Duration,
    pub(crate) aborted: bool,
}

#[cfg(feature = "metrics")]
pub(crate) fn transaction(done: &Transaction<'_>) {
    let method = match done.method {
        method @ ("REQMOD" | "RESPMOD" | "OPTIONS") => method.to_owned(),
        _ => "other".to_owned(),
    };
    let service = done.service.unwrap_or("none").to_owned();
    let status = done.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    metrics::histogram!("icap_server_transaction_seconds", "method" => method.clone())
        .record(done.elapsed.as_secs_f64());
    metrics::counter!(
        "icap_server_transactions_total",
        "method" => method, "service" => service, "status" => status
    )
    .increment(1);
    metrics::counter!("icap_server_body_bytes_total", "direction" => "in").increment(done.bytes_in);
    metrics::counter!("icap_server_body_bytes_total", "direction" => "out")
        .increment(done.bytes_out);
    for switch in done.leniency {
        metrics::counter!("icap_server_leniency_total", "switch" => *switch).increment(1);
    }
    if done.aborted {
        metrics::counter!("icap_server_aborted_total").increment(1);
    }
}
