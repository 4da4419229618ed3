//! What a service said of itself, and for how long that holds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use icap_proto::{IsTag, ServiceOptions};
use tokio::time::Instant;

use crate::error::Error;
use crate::timeouts::Stage;

/// An answer holds for at least this: a service that says 0 would be asked before every message.
const MIN_TTL: Duration = Duration::from_secs(30);
/// And for at most this.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an answer is used behind its time when the service gives no new one.
const MAX_STALE: Duration = Duration::from_secs(60 * 60);
/// The time without OPTIONS behind the first failure; it doubles with each that follows.
const MIN_BACK_OFF: Duration = Duration::from_secs(30);
const MAX_BACK_OFF: Duration = Duration::from_secs(60 * 60);
/// How long a 503 lowers the number of connections.
const CROWDED: Duration = Duration::from_secs(60);

/// The state of one service as its client sees it. It has no clock: who asks says what time it is.
///
/// ```text
///  unknown ──► fresh ─── 9/10 of the TTL ──► due ─── TTL ──► stale ─── an hour ──► unknown
///     │          ▲                            │                │
///  all wait      │                        one asks          all wait
///     └──────────┴─── the service answered ───┴────────────────┘
/// ```
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    answer: Option<Answer>,
    /// Failures since the last answer.
    failures: u32,
    /// Nobody asks before this.
    quiet_until: Option<Instant>,
    /// Flights that came to an end.
    flights: u64,
    /// The last of them found no server.
    unreachable: Option<Unreachable>,
    istag: Option<IsTag>,
    /// How many connections a 503 left, and until when.
    crowded: Option<(usize, Instant)>,
}

#[derive(Debug)]
struct Answer {
    options: Arc<ServiceOptions>,
    /// None for one that the caller gave.
    validity: Option<Validity>,
}

#[derive(Debug)]
struct Validity {
    received: Instant,
    /// Time to ask anew, while the answer still holds.
    due: Instant,
    expires: Instant,
}

/// What a call does about OPTIONS.
#[derive(Debug)]
pub(crate) enum Next {
    /// Goes on with what there is, or without.
    Use(Option<Arc<ServiceOptions>>),
    /// Asks, unless another call does that already: then it goes on with this.
    Refresh(Arc<ServiceOptions>),
    /// Asks, or waits for the call that does.
    Ask,
}

impl Knowledge {
    /// What the caller says of the service; it holds for ever.
    pub(crate) fn given(options: ServiceOptions) -> Self {
        let answer = Answer { options: Arc::new(options), validity: None };
        Self { answer: Some(answer), ..Self::default() }
    }

    pub(crate) fn next(&self, now: Instant) -> Next {
        let quiet = self.quiet_until.is_some_and(|until| now < until);
        let usable = self.usable(now);
        match (usable, &self.answer) {
            (usable, _) if quiet => Next::Use(usable),
            (Some(options), Some(Answer { validity: Some(validity), .. })) => {
                if now < validity.due {
                    Next::Use(Some(options))
                } else if now < validity.expires {
                    Next::Refresh(options)
                } else {
                    Next::Ask
                }
            }
            (Some(options), _) => Next::Use(Some(options)),
            (None, _) => Next::Ask,
        }
    }

    /// The last answer, unless it is too old for anything.
    pub(crate) fn usable(&self, now: Instant) -> Option<Arc<ServiceOptions>> {
        let Answer { options, validity } = self.answer.as_ref()?;
        let holds = validity.as_ref().is_none_or(|v| now < later(v.expires, MAX_STALE));
        holds.then(|| Arc::clone(options))
    }

    /// The service answered. Its time counts from now, whatever `Date` it says.
    pub(crate) fn learn(&mut self, options: Arc<ServiceOptions>, default: Duration, now: Instant) {
        self.failures = 0;
        self.quiet_until = None;
        self.unreachable = None;
        if self.answer.as_ref().is_some_and(|answer| answer.validity.is_none()) {
            return;
        }
        let ttl = options.time_to_live().unwrap_or(default).clamp(MIN_TTL, MAX_TTL);
        let due = later(now, ttl.saturating_sub(ttl.checked_div(10).unwrap_or_default()));
        let validity = Validity { received: now, due, expires: later(now, ttl) };
        self.answer = Some(Answer { options, validity: Some(validity) });
    }

    /// The service did not answer, or not as it should: it is left alone for a while, longer each time.
    pub(crate) fn fail(&mut self, now: Instant) {
        let doubled = 2u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.quiet_until = Some(later(now, MIN_BACK_OFF.saturating_mul(doubled).min(MAX_BACK_OFF)));
        self.unreachable = None;
    }

    /// There is no server to ask. That is for the calls to tell, and the next of them may find one.
    pub(crate) fn miss(&mut self, unreachable: Unreachable) {
        self.unreachable = Some(unreachable);
    }

    /// A flight came to its end.
    pub(crate) const fn land(&mut self) {
        self.flights = self.flights.saturating_add(1);
    }

    pub(crate) const fn flights(&self) -> u64 {
        self.flights
    }

    /// Why the last flight found no server, when it did not.
    pub(crate) const fn unreachable(&self) -> Option<&Unreachable> {
        self.unreachable.as_ref()
    }

    /// Makes the answer stale, though not before its least time: a service that says something else each time is
    /// asked no more often than that.
    pub(crate) fn expire(&mut self, now: Instant) {
        if let Some(Answer { validity: Some(validity), .. }) = &mut self.answer {
            let end = now.max(later(validity.received, MIN_TTL));
            validity.expires = validity.expires.min(end);
            validity.due = validity.due.min(end);
        }
    }

    /// Takes the tag of an answer; whether it differs from the one before it.
    pub(crate) fn changes_tag(&mut self, tag: &IsTag) -> bool {
        if self.istag.as_ref() == Some(tag) {
            return false;
        }
        self.istag.replace(tag.clone()).is_some()
    }

    /// Whether a field of this value, quoted or not, is the tag that is known.
    pub(crate) fn has_tag(&self, value: &[u8]) -> bool {
        let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        self.istag.as_ref().is_some_and(|tag| tag.as_bytes() == quoted.unwrap_or(value))
    }

    pub(crate) const fn istag(&self) -> Option<&IsTag> {
        self.istag.as_ref()
    }

    /// The service refused one of so many connections: one less, for a while, is what it takes.
    pub(crate) fn crowd(&mut self, connections: usize, now: Instant) {
        self.crowded = Some((connections.saturating_sub(1).max(1), later(now, CROWDED)));
    }

    /// Whether a while has just passed.
    pub(crate) fn relieve(&mut self, now: Instant) -> bool {
        self.crowded.take_if(|(_, until)| *until <= now).is_some()
    }

    /// How many connections the service takes.
    pub(crate) fn connections(&self) -> Option<usize> {
        let said = self.answer.as_ref().and_then(|answer| answer.options.connections());
        let said = said.map(|said| usize::try_from(said).unwrap_or(usize::MAX));
        let left = self.crowded.map(|(left, _)| left);
        said.into_iter().chain(left).min()
    }
}

/// Why there was no connection to ask on, for all who waited for it.
#[derive(Debug, Clone)]
pub(crate) enum Unreachable {
    Connect(io::ErrorKind, String),
    Tls(io::ErrorKind, String),
    Timeout(Stage),
}

impl Unreachable {
    /// What an error says of the way to the server; none if there was one.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Connect(error) => Some(Self::Connect(error.kind(), error.to_string())),
            Error::Tls(error) => Some(Self::Tls(error.kind(), error.to_string())),
            Error::Timeout(stage @ (Stage::Wait | Stage::Connect | Stage::Handshake)) => {
                Some(Self::Timeout(*stage))
            }
            _ => None,
        }
    }

    pub(crate) fn to_error(&self) -> Error {
        match self {
            Self::Connect(kind, text) => Error::Connect(io::Error::new(*kind, text.clone())),
            Self::Tls(kind, text) => Error::Tls(io::Error::new(*kind, text.clone())),
            Self::Timeout(stage) => Error::Timeout(*stage),
        }
    }
}

fn later(time: Instant, span: Duration) -> Instant {
    // All spans here are short.
    time.checked_add(span).unwrap_or(time)
}
