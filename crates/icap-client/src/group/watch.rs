//! Asking the members how they are.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::member::Asked;
use super::table::{Attempt, Table};
use super::verdict::Verdict;
use crate::timeouts::{Stage, within};

/// No member is asked twice within this time, however short suspensions are.
pub(super) const LEAST: Duration = Duration::from_millis(100);

/// Asks all that take calls every so often, and each whose suspension ends; until the table is gone.
pub(super) async fn watch(table: Weak<Table>, changed: Arc<Notify>, every: Duration) {
    let every = every.max(LEAST);
    let mut round = Instant::now();
    loop {
        // What changes from here on is not missed.
        let notified = changed.notified();
        let Some(strong) = table.upgrade() else { return };
        let started = Instant::now();
        let all = started >= round;
        probe(strong.due(all), every).await;
        if all {
            round = later(started, every);
        }
        let next = strong.next_due().map_or(round, |due| due.min(round));
        drop(strong);
        let next = next.max(later(Instant::now(), LEAST));
        let _ = timeout_at(next, notified).await;
    }
}

/// Asks them for OPTIONS, all at the same time, each within `limit`.
pub(super) async fn probe(attempts: Vec<Attempt>, limit: Duration) {
    // They are few: all are polled when one has something to say.
    let mut asked: Vec<_> =
        attempts.into_iter().map(|attempt| Box::pin(ask(attempt, limit))).collect();
    poll_fn(|cx| {
        asked.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn ask(attempt: Attempt, limit: Duration) {
    match within(limit, Stage::Answer, attempt.client.options()).await.and_then(|asked| asked) {
        Ok(_) => attempt.answered(Asked::Probe),
        Err(error) => {
            let verdict = Verdict::of_probe(&error, attempt.client.uri());
            attempt.failed(verdict, Asked::Probe, &error);
        }
    }
}

/// So much later, or when a clock can count so far no more, at once.
fn later(from: Instant, by: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    from.checked_add(by.min(YEAR)).unwrap_or(from)
}
