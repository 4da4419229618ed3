//! When the next request goes out, and when the last one has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What ends a run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Bound {
    /// No request starts after this.
    Time(Duration),
    /// So many requests.
    Count(u64),
}

/// Gives each request its time. All connections share it, so that the one that is free takes what is due.
#[derive(Debug)]
pub struct Pace {
    started: Instant,
    bound: Bound,
    /// Requests a second; none for a closed loop.
    rate: Option<f64>,
    given: AtomicU64,
}

/// A request that may go out now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) number: u64,
    /// From when its latency counts.
    pub(super) due: Instant,
}

impl Pace {
    /// Starts now. `rate` is in requests a second; without it each connection sends as soon as it has its answer.
    #[must_use]
    pub fn new(bound: Bound, rate: Option<f64>) -> Self {
        Self { started: Instant::now(), bound, rate, given: AtomicU64::new(0) }
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    pub(super) const fn bound(&self) -> Bound {
        self.bound
    }

    pub(super) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Requests that have got their time.
    pub(super) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// Waits until a request is due; `None` when there are no more.
    ///
    /// In an open loop, a request that found no free connection at its time counts from that time: the wait is what
    /// its user would have seen. One that was waited for counts from when the timer let it go, at most about a
    /// millisecond late, which is no doing of the server.
    pub(super) async fn next(&self) -> Option<Ticket> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        if matches!(self.bound, Bound::Count(count) if number >= count) {
            return None;
        }
        let now = Instant::now();
        let scheduled = self.scheduled(number);
        // Behind the end, what is late stays undone: a server that does not keep up would never be left alone.
        if self.is_over(now) || scheduled.is_some_and(|scheduled| self.is_over(scheduled)) {
            return None;
        }
        let due = match scheduled {
            Some(scheduled) if scheduled > now => {
                sleep_until(scheduled).await;
                Instant::now()
            }
            Some(scheduled) => scheduled,
            None => now,
        };
        Some(Ticket { number, due })
    }

    /// When a request is to go out; none in a closed loop.
    fn scheduled(&self, number: u64) -> Option<Instant> {
        self.rate.map(|rate| self.started + Duration::from_secs_f64(number as f64 / rate))
    }

    fn is_over(&self, at: Instant) -> bool {
        matches!(self.bound, Bound::Time(limit) if at.duration_since(self.started) >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[tokio::test]
    async fn a_closed_loop_is_bounded_by_its_count() {
        let pace = Pace::new(Bound::Count(2), None);
        assert_eq!(pace.next().await.unwrap().number, 0);
        assert_eq!(pace.next().await.unwrap().number, 1);
        assert!(pace.next().await.is_none());
    }

    #[tokio::test]
    async fn an_open_loop_goes_by_the_clock() {
        let pace = Pace::new(Bound::Time(ms(100)), Some(100.0));
        let mut sent = 0;
        while let Some(ticket) = pace.next().await {
            assert!(ticket.due >= pace.started() + ms(10 * sent));
            sent += 1;
        }
        assert_eq!(sent, 10);
    }

    #[tokio::test]
    async fn what_is_late_at_the_end_stays_undone() {
        let pace = Pace::new(Bound::Time(ms(20)), Some(1_000.0));
        pace.next().await.unwrap();
        tokio::time::sleep(ms(30)).await;
        assert!(pace.next().await.is_none());
    }

    /// Coordinated omission: a slow answer must not make the requests behind it look quick.
    #[tokio::test]
    async fn what_is_late_counts_from_when_it_was_due() {
        let pace = Pace::new(Bound::Time(ms(60_000)), Some(100.0));
        pace.next().await.unwrap();
        tokio::time::sleep(ms(50)).await;
        let ticket = pace.next().await.unwrap();
        assert_eq!(ticket.due, pace.started() + ms(10));
    }
}
