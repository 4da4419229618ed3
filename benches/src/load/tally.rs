//! What the connections of one thread have seen.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use icap_proto::StatusCode;

use super::link::{Answer, Fault};

/// The longest latency that is told from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000_000;

#[derive(Debug)]
pub(super) struct Tally {
    /// Latency in nanoseconds, to three digits.
    pub(super) latency: Histogram<u64>,
    pub(super) statuses: BTreeMap<StatusCode, u64>,
    /// How often, and the first in words.
    pub(super) errors: BTreeMap<String, (u64, String)>,
    pub(super) connections: u64,
    /// Body bytes that came back and were compared.
    pub(super) compared: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1_000, LONGEST, 3);
        Self {
            latency: latency.expect("the bounds are in order"),
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            connections: 0,
            compared: 0,
        }
    }

    pub(super) fn answer(&mut self, answer: Answer, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanoseconds);
        *self.statuses.entry(answer.status).or_default() += 1;
        self.compared += answer.compared;
    }

    pub(super) fn fault(&mut self, fault: &Fault) {
        let (count, _) = self.errors.entry(fault.kind()).or_insert_with(|| (0, fault.to_string()));
        *count += 1;
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.latency.add(&other.latency).expect("the bounds are the same");
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (kind, (count, first)) in other.errors {
            self.errors.entry(kind).or_insert((0, first)).0 += count;
        }
        self.connections += other.connections;
        self.compared += other.compared;
    }
}
