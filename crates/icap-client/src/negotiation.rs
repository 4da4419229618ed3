//! OPTIONS, asked when a call needs to know (RFC 3507 section 4.10).
//!
//! No task asks: a call does, before its own message. There is one such flight at a time. Who holds the lock flies;
//! when that call is dropped the next in the queue takes over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use icap_proto::{IsTag, ResponseHead, ServiceOptions, StatusCode};
use tokio::time::Instant;

use crate::call;
use crate::client::Shared;
use crate::error::Error;
use crate::knowledge::{Knowledge, Next, Unreachable};
use crate::pool::Pool;
use crate::timeouts::before;

/// What is called when the tag of the service changes.
pub(crate) type IsTagHook = Box<dyn Fn(&IsTag) + Send + Sync>;

/// What the calls of a client know of its service.
pub(crate) struct Negotiation {
    knowledge: Mutex<Knowledge>,
    flight: tokio::sync::Mutex<()>,
    /// Calls ask. Otherwise they use what the caller got or gave.
    asks: bool,
    default_ttl: Duration,
    on_istag_change: Option<IsTagHook>,
}

impl Negotiation {
    pub(crate) fn new(
        asks: bool,
        given: Option<ServiceOptions>,
        default_ttl: Duration,
        on_istag_change: Option<IsTagHook>,
    ) -> Self {
        let knowledge = given.map_or_else(Knowledge::default, Knowledge::given);
        Self {
            knowledge: Mutex::new(knowledge),
            flight: tokio::sync::Mutex::new(()),
            asks,
            default_ttl,
            on_istag_change,
        }
    }

    /// Whether calls ask.
    pub(crate) const fn asks(&self) -> bool {
        self.asks
    }

    /// How many connections are known to be wanted.
    pub(crate) fn connections(&self) -> Option<usize> {
        self.lock().connections()
    }

    /// What the service says, asked now if need be. `None` when it does not say.
    ///
    /// # Errors
    ///
    /// What kept the call from a connection; its message would have met the same. All else that OPTIONS meets is
    /// no error: the call goes on without.
    pub(crate) async fn known(
        &self,
        shared: &Shared,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<ServiceOptions>>, Error> {
        let (next, flights) = self.look(&shared.pool);
        let (known, wait) = match next {
            Next::Use(known) => return Ok(known),
            Next::Refresh(known) => (Some(known), false),
            Next::Ask => (None, true),
        };
        if !self.asks {
            return Ok(known);
        }
        // What is boxed here is rare and would make each call twice as large.
        let flight = if wait {
            Some(Box::pin(before(deadline, async { Ok(self.flight.lock().await) })).await?)
        } else {
            self.flight.try_lock().ok()
        };
        if flight.is_none() {
            return Ok(known);
        }
        if let Some(landed) = self.landed_since(flights) {
            return landed;
        }
        Box::pin(self.fly(shared, deadline)).await
    }

    /// What the service said last, if that is still of use.
    pub(crate) fn last(&self) -> Option<Arc<ServiceOptions>> {
        self.lock().usable(Instant::now())
    }

    pub(crate) fn istag(&self) -> Option<IsTag> {
        self.lock().istag().cloned()
    }

    /// Keeps an answer to OPTIONS.
    pub(crate) fn learn(&self, pool: &Pool, options: &Arc<ServiceOptions>) {
        let mut knowledge = self.lock();
        knowledge.learn(Arc::clone(options), self.default_ttl, Instant::now());
        // Under the lock: of two changes the later one stays.
        pool.set_cap(knowledge.connections());
        let changed = options.tag().filter(|tag| knowledge.changes_tag(tag));
        drop(knowledge);
        self.announce(changed);
    }

    /// Looks at the answer to a message. It is called while the connection of that answer is still counted.
    pub(crate) fn observe(&self, pool: &Pool, response: &ResponseHead) {
        let mut knowledge = self.lock();
        match response.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                knowledge.crowd(pool.in_use(), Instant::now());
                pool.set_cap(knowledge.connections());
            }
            // What it said of itself is not so.
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => knowledge.expire(Instant::now()),
            _ => {}
        }
        let changed = match response.headers().get("ISTag") {
            // Mostly it is the same, and is not made into a value of its own.
            Some(tag) if !knowledge.has_tag(tag) => response.istag(),
            _ => None,
        };
        let changed = changed.as_ref().filter(|tag| knowledge.changes_tag(tag));
        if changed.is_some() {
            knowledge.expire(Instant::now());
        }
        drop(knowledge);
        self.announce(changed);
    }

    /// The service was found to be another than it said.
    pub(crate) fn expire(&self) {
        self.lock().expire(Instant::now());
    }

    fn announce(&self, changed: Option<&IsTag>) {
        if let (Some(tag), Some(hook)) = (changed, &self.on_istag_change) {
            hook(tag);
        }
    }

    fn look(&self, pool: &Pool) -> (Next, u64) {
        let now = Instant::now();
        let mut knowledge = self.lock();
        if knowledge.relieve(now) {
            pool.set_cap(knowledge.connections());
        }
        (knowledge.next(now), knowledge.flights())
    }

    /// How the flight ended that this call waited for; none if there was none.
    fn landed_since(&self, flights: u64) -> Option<Result<Option<Arc<ServiceOptions>>, Error>> {
        let knowledge = self.lock();
        if knowledge.flights() == flights {
            return None;
        }
        Some(match knowledge.unreachable() {
            Some(unreachable) => Err(unreachable.to_error()),
            None => Ok(knowledge.usable(Instant::now())),
        })
    }

    /// Asks, for all who wait. Half of the time that is left stays for the message.
    async fn fly(
        &self,
        shared: &Shared,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<ServiceOptions>>, Error> {
        let now = Instant::now();
        let half = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(now).checked_div(2).unwrap_or_default();
            now.checked_add(left).unwrap_or(deadline)
        });
        let answer = call::ask(shared, half, shared.settings.timeouts.options).await;
        let error = match answer {
            Ok(options) => {
                let options = Arc::new(options);
                self.learn(&shared.pool, &options);
                self.lock().land();
                return Ok(Some(options));
            }
            Err(Error::ClientClosed) => return Err(Error::ClientClosed),
            Err(error) => error,
        };
        tracing::debug!(uri = %shared.dialer.uri, %error, "no answer to OPTIONS");
        let unreachable = Unreachable::of(&error);
        let mut knowledge = self.lock();
        knowledge.land();
        match unreachable {
            Some(unreachable) => {
                knowledge.miss(unreachable);
                Err(error)
            }
            None => {
                let now = Instant::now();
                knowledge.fail(now);
                Ok(knowledge.usable(now))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Knowledge> {
        // No code of a caller runs under the lock.
        self.knowledge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Negotiation").field("asks", &self.asks).finish_non_exhaustive()
    }
}
