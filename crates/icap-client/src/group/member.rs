//! The health of a member, from what its calls come to. No clock and no I/O: the time is handed in.
//!
//! ```text
//!        failures in a row            the time is over: one call or probe
//!   Up ─────────────────────► Down ────────────────────────────────────► Trial
//!   ▲                          ▲ ▲ longer, it failed                      │ │
//!   │                          │ └────────────────────────────────────────┘ │
//!   │                          └── at once again, it was given up            │
//!   └──────────────────────────────────────────── it was answered ◄─────────┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// No suspension is longer, whatever was set: so far a clock counts.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// When a member is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspension {
    /// After so many failures in a row; 0 for never.
    pub(super) after: u32,
    pub(super) first: Duration,
    /// Each one is twice as long as the one before, up to this.
    pub(super) longest: Duration,
}

impl Suspension {
    /// How long a suspension lasts that follows on `earlier` others without an answer between them.
    fn length(&self, earlier: u32) -> Duration {
        let times = 1u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.first.saturating_mul(times).min(self.longest).min(YEAR)
    }
}

/// What is known of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    state: State,
    /// Failures in a row.
    failures: u32,
    /// Suspensions without an answer to a call between them.
    suspensions: u32,
    /// Goes up with each suspension: what began before it says nothing about the time after it.
    epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Up,
    Down { since: Instant, until: Instant },
    Trial { since: Instant },
}

/// Stands for one call, or probe, that was let through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    epoch: u64,
    trial: bool,
}

/// What an answer was an answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A message to adapt.
    Call,
    /// OPTIONS: the server is there, whether it can do its work was not asked.
    Probe,
}

impl Health {
    pub(super) const NEW: Self = Self { state: State::Up, failures: 0, suspensions: 0, epoch: 0 };

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a call may go there now.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match self.state {
            State::Up => true,
            State::Down { until, .. } => now >= until,
            State::Trial { .. } => false,
        }
    }

    /// Since when no calls go there.
    pub(super) const fn closed_since(&self) -> Option<Instant> {
        match self.state {
            State::Up => None,
            State::Down { since, .. } | State::Trial { since } => Some(since),
        }
    }

    /// Lets one through. The first behind a suspension is a trial: no other is let through before its end. One that
    /// is let through although the member is not open is no trial, but its answer counts.
    pub(super) fn admit(&mut self, now: Instant) -> Ticket {
        let mut trial = false;
        if let State::Down { since, until } = self.state
            && now >= until
        {
            self.state = State::Trial { since };
            trial = true;
        }
        Ticket { epoch: self.epoch, trial }
    }

    /// The member answered; whether that ended a suspension.
    ///
    /// To a probe it may answer and yet fail at its work: behind one it is suspended with the next failure, and for
    /// longer than before, until it has answered a call.
    pub(super) fn answered(&mut self, ticket: Ticket, asked: Asked, rule: &Suspension) -> bool {
        if ticket.epoch != self.epoch {
            return false;
        }
        let revived = self.state != State::Up;
        self.state = State::Up;
        if asked == Asked::Call {
            self.failures = 0;
            self.suspensions = 0;
        } else if revived {
            self.failures = rule.after.saturating_sub(1);
        }
        revived
    }

    /// The member failed; for how long that suspended it.
    pub(super) fn failed(
        &mut self,
        ticket: Ticket,
        now: Instant,
        rule: &Suspension,
    ) -> Option<Duration> {
        if ticket.epoch != self.epoch {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let suspended = match self.state {
            State::Up => rule.after > 0 && self.failures >= rule.after,
            State::Trial { .. } => ticket.trial,
            State::Down { .. } => false,
        };
        if !suspended {
            return None;
        }
        let length = rule.length(self.suspensions);
        // A year ahead is within any clock.
        let until = now.checked_add(length).unwrap_or(now);
        self.state = State::Down { since: now, until };
        self.suspensions = self.suspensions.saturating_add(1);
        self.epoch = self.epoch.saturating_add(1);
        Some(length)
    }

    /// It did not come to an answer, and not by the fault of the member: another may try.
    pub(super) fn given_up(&mut self, ticket: Ticket, now: Instant) {
        if let State::Trial { since } = self.state
            && ticket.trial
            && ticket.epoch == self.epoch
        {
            self.state = State::Down { since, until: now };
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    const RULE: Suspension =
        Suspension { after: 3, first: Duration::from_secs(10), longest: Duration::from_secs(180) };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail(health: &mut Health, now: Instant) -> Option<Duration> {
        let ticket = health.admit(now);
        health.failed(ticket, now, &RULE)
    }

    fn suspended(now: Instant) -> Health {
        let mut health = Health::NEW;
        for _ in 0..3 {
            fail(&mut health, now);
        }
        health
    }

    #[test]
    fn two_failures_are_none_and_three_suspend() {
        let (mut health, now) = (Health::NEW, Instant::now());
        assert_eq!(fail(&mut health, now), None);
        assert_eq!(fail(&mut health, now), None);
        assert_eq!((health.is_open(now), health.failures()), (true, 2));
        assert_eq!(fail(&mut health, now), Some(seconds(10)));
        assert!(!health.is_open(now));
        assert_eq!(health.closed_since(), Some(now));
    }

    #[test]
    fn an_answer_between_them_starts_the_count_anew() {
        let (mut health, now) = (Health::NEW, Instant::now());
        for _ in 0..5 {
            fail(&mut health, now);
            fail(&mut health, now);
            let ticket = health.admit(now);
            assert!(!health.answered(ticket, Asked::Call, &RULE));
            assert_eq!(health.failures(), 0);
        }
    }

    #[test]
    fn an_answer_to_a_probe_does_not() {
        let (mut health, now) = (Health::NEW, Instant::now());
        fail(&mut health, now);
        fail(&mut health, now);
        let ticket = health.admit(now);
        health.answered(ticket, Asked::Probe, &RULE);
        assert_eq!(fail(&mut health, now), Some(seconds(10)));
    }

    #[test]
    fn zero_never_suspends() {
        let (mut health, now) = (Health::NEW, Instant::now());
        for _ in 0..1000 {
            let ticket = health.admit(now);
            assert_eq!(health.failed(ticket, now, &Suspension { after: 0, ..RULE }), None);
        }
    }

    #[test]
    fn each_suspension_is_twice_as_long_up_to_the_longest() {
        let mut now = Instant::now();
        let mut health = suspended(now);
        for length in [10, 20, 40, 80, 160, 180, 180] {
            assert!(!health.is_open(now + seconds(length) - Duration::from_nanos(1)), "{length}");
            now += seconds(length);
            assert!(health.is_open(now), "{length}");
            fail(&mut health, now);
        }
    }

    #[test]
    fn the_length_never_overflows() {
        let rule = Suspension { after: 1, first: Duration::MAX, longest: Duration::MAX };
        for earlier in [0, 1, 31, 32, u32::MAX] {
            assert_eq!(rule.length(earlier), YEAR);
            assert_eq!(RULE.length(earlier.max(5)), RULE.longest);
        }
        assert_eq!(Suspension { first: Duration::ZERO, ..RULE }.length(40), Duration::ZERO);
    }

    #[test]
    fn one_trial_at_a_time() {
        let now = Instant::now();
        let mut health = suspended(now);
        let later = now + seconds(10);
        let trial = health.admit(later);
        assert!(!health.is_open(later));
        health.given_up(trial, later);
        assert!(health.is_open(later));
        let trial = health.admit(later);
        assert!(!health.is_open(later));
        assert!(health.answered(trial, Asked::Call, &RULE));
        assert!(health.is_open(later));
        // As if nothing had been.
        assert_eq!(fail(&mut health, later), None);
        assert_eq!(fail(&mut health, later), None);
        assert_eq!(fail(&mut health, later), Some(seconds(10)));
    }

    #[test]
    fn what_began_before_the_suspension_does_not_count() {
        let now = Instant::now();
        let mut health = Health::NEW;
        let old = health.admit(now);
        for _ in 0..3 {
            fail(&mut health, now);
        }
        assert!(!health.answered(old, Asked::Call, &RULE));
        assert!(!health.is_open(now));
        let later = now + seconds(10);
        let trial = health.admit(later);
        assert_eq!(health.failed(old, later, &RULE), None);
        health.given_up(old, later);
        assert!(matches!(health.state(), State::Trial { .. }));
        assert!(health.answered(trial, Asked::Call, &RULE));
        assert_eq!(health.failed(old, later, &RULE), None);
        assert_eq!(health.failures(), 0);
    }

    #[test]
    fn a_last_resort_revives_but_does_not_prolong() {
        let now = Instant::now();
        let mut health = suspended(now);
        for _ in 0..10 {
            assert_eq!(fail(&mut health, now + seconds(5)), None);
        }
        assert!(health.is_open(now + seconds(10)));
        let ticket = health.admit(now + seconds(6));
        assert!(health.answered(ticket, Asked::Call, &RULE));
        assert_eq!(health.state(), State::Up);
    }

    #[test]
    fn behind_a_probe_the_next_failure_suspends_for_longer() {
        let now = Instant::now();
        let mut health = suspended(now);
        let later = now + seconds(10);
        let probe = health.admit(later);
        assert!(health.answered(probe, Asked::Probe, &RULE));
        assert_eq!(fail(&mut health, later), Some(seconds(20)));
        let probe = health.admit(later + seconds(20));
        assert!(health.answered(probe, Asked::Probe, &RULE));
        let call = health.admit(later + seconds(20));
        assert!(!health.answered(call, Asked::Call, &RULE));
        assert_eq!(health.failures(), 0);
    }
}
