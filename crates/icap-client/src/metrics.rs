//! What is counted with the feature `metrics`, by the facade of that name. Without it nothing is.
//!
//! The names are in the documentation of the crate.

use std::time::Duration;

/// Calls are counted.
pub(crate) const ARE_ON: bool = cfg!(feature = "metrics");

/// The labels and figures of a call.
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody counts"))]
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) service: &'a str,
    pub(crate) status: Option<u16>,
    /// The switches of [`Leniency`](icap_proto::Leniency) that the server needed.
    pub(crate) leniency: &'a [&'static str],
    /// Until there was a connection.
    pub(crate) waited: Option<Duration>,
    pub(crate) reused: bool,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) elapsed: Duration,
    pub(crate) aborted: bool,
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn call(_: &Call<'_>) {}

#[cfg(feature = "metrics")]
pub(crate) fn call(done: &Call<'_>) {
    use metrics::{counter, histogram};

    let service = done.service.to_owned();
    for switch in done.leniency {
        counter!("icap_client_leniency_total", "service" => service.clone(), "switch" => *switch)
            .increment(1);
    }
    let status = done.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    histogram!("icap_client_call_seconds", "method" => done.method)
        .record(done.elapsed.as_secs_f64());
    counter!(
        "icap_client_calls_total",
        "method" => done.method, "service" => service, "status" => status
    )
    .increment(1);
    counter!("icap_client_body_bytes_total", "direction" => "out").increment(done.bytes_out);
    counter!("icap_client_body_bytes_total", "direction" => "in").increment(done.bytes_in);
    if let Some(waited) = done.waited {
        histogram!("icap_client_wait_seconds").record(waited.as_secs_f64());
    }
    if done.reused {
        counter!("icap_client_reused_total").increment(1);
    }
    if done.aborted {
        counter!("icap_client_aborted_total").increment(1);
    }
}
