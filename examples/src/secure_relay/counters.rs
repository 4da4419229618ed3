//! Counters of transactions, each looked for once: their labels cost more than the counting.

use std::sync::{Arc, PoisonError, RwLock};

use icap::proto::{Method, StatusCode};
use metrics::Counter;

/// The counters `secure_relay_transactions_total` of one connection of the configuration.
pub(crate) struct Transactions {
    connection: Arc<str>,
    /// Few, those that came first in front: to look at them is cheaper than to hash.
    known: RwLock<Vec<(Kind, Counter)>>,
}

/// What tells one counter from another: method, status, whether all of the answer was there.
type Kind = (Method, Option<StatusCode>, bool);

impl Transactions {
    pub(crate) fn new(connection: Arc<str>) -> Self {
        Self { connection, known: RwLock::default() }
    }

    pub(crate) fn count(&self, method: &Method, status: Option<StatusCode>, complete: bool) {
        let kind = (method.clone(), status, complete);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(known, _)| *known == kind) {
            return counter.increment(1);
        }
        drop(known);
        let counter = self.counter(&kind);
        counter.increment(1);
        self.known.write().unwrap_or_else(PoisonError::into_inner).push((kind, counter));
    }

    fn counter(&self, (method, status, complete): &Kind) -> Counter {
        let status = status.map_or(0, StatusCode::as_u16);
        let labels = [
            ("connection", self.connection.to_string()),
            ("method", method.as_str().to_owned()),
            ("status", status.to_string()),
            ("end", end(*complete).to_owned()),
        ];
        metrics::counter!("secure_relay_transactions_total", &labels)
    }
}

/// How a transaction ended, as a word.
pub(crate) const fn end(complete: bool) -> &'static str {
    if complete { "complete" } else { "cut" }
}
