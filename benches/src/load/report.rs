//! What came out of a run, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// From this part of its cores on, the generator may be what was measured.
const BUSY: f64 = 0.9;

/// The outcome of a run.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The URI that was asked.
    pub service: String,
    /// What was sent.
    pub load: Load,
    /// What came back.
    pub seen: Seen,
    /// How long answers took. In a closed loop that hangs on the number of connections.
    pub latency: Latency,
    /// CPU time of this process as a part of its threads' time: near 1 it is the generator that was measured.
    pub own_cpu: f64,
    /// By kind: how many, and the first in words.
    #[serde(serialize_with = "errors")]
    pub errors: BTreeMap<String, (u64, String)>,
}

/// What was sent.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Load {
    /// The ICAP method.
    pub method: String,
    /// Bytes of the body.
    pub body: u64,
    /// Bytes of the preview.
    pub preview: Option<u64>,
    /// Connections at a time.
    pub connections: usize,
    /// Threads of the generator.
    pub workers: usize,
    /// Requests a second that were asked for; none for a closed loop.
    pub rate: Option<f64>,
}

/// What came back.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// From the end of the warm-up to the last answer.
    pub seconds: f64,
    /// Good answers.
    pub requests: u64,
    /// Good answers a second.
    pub rate: f64,
    /// Bytes of bodies that came back and were compared.
    pub compared_bytes: u64,
    /// Connections opened; more than were asked for when the server closes them.
    pub connections_opened: u64,
    /// Good answers by status.
    pub statuses: BTreeMap<String, u64>,
}

/// Microseconds from when a request was due to the last byte of its answer.
#[derive(Debug, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

impl Report {
    /// Whether there were answers and each was as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors.is_empty() && self.seen.requests > 0
    }
}

impl Latency {
    pub(super) fn of(nanoseconds: &Histogram<u64>) -> Self {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            min: nanoseconds.min() as f64 / 1e3,
            mean: nanoseconds.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: nanoseconds.max() as f64 / 1e3,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, load, seen, latency, own_cpu, errors } = self;
        write!(f, "{} {service}, body {} bytes", load.method, load.body)?;
        if let Some(preview) = load.preview {
            write!(f, ", preview {preview}")?;
        }
        match load.rate {
            None => writeln!(f, ", {} connections, closed loop", load.connections)?,
            Some(rate) => writeln!(f, ", {} connections, {rate} a second", load.connections)?,
        }
        write!(
            f,
            "answers   {} in {:.2} s: {:.1} a second",
            seen.requests, seen.seconds, seen.rate
        )?;
        for (status, count) in &seen.statuses {
            write!(f, ", {count} x {status}")?;
        }
        let mega = seen.compared_bytes as f64 / 1e6;
        writeln!(f, "\nbodies    {mega:.1} MB came back, each byte as it was sent")?;
        let Latency { p50, p90, p99, p99_9, max, .. } = latency;
        writeln!(
            f,
            "latency   p50 {p50:.0} us, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p99_9:.0}, longest {max:.0}"
        )?;
        write!(f, "errors    {}", errors.values().map(|(count, _)| count).sum::<u64>())?;
        for (kind, (count, first)) in errors {
            write!(f, "\n  {kind}: {count}, the first: {first}")?;
        }
        if *own_cpu > BUSY {
            let percent = own_cpu * 100.0;
            write!(
                f,
                "\nicap-load itself used {percent:.0} % of its threads: the server can do more; see --workers"
            )?;
        }
        if load.rate.is_some_and(|rate| seen.rate < rate * 0.95) {
            write!(
                f,
                "\nthe rate was not reached: latencies have the wait for a free connection in them"
            )?;
        }
        Ok(())
    }
}

fn errors<S: Serializer>(
    errors: &BTreeMap<String, (u64, String)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Seen<'a> {
        count: u64,
        first: &'a str,
    }
    serializer.collect_map(
        errors.iter().map(|(kind, (count, first))| (kind, Seen { count: *count, first })),
    )
}
