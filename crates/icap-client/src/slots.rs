//! How many connections there may be at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

/// Room for connections: one [`Permit`] each. Who waits longest is first.
#[derive(Debug)]
pub(crate) struct Slots {
    semaphore: Semaphore,
    size: Mutex<Size>,
    /// Who waits for a permit.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Size {
    /// Permits that may be out at once.
    cap: usize,
    /// Permits that are out and go nowhere when they come back: the cap has become lower since.
    excess: usize,
}

impl Slots {
    pub(crate) fn new(cap: usize) -> Self {
        let cap = within_bounds(cap);
        let size = Mutex::new(Size { cap, excess: 0 });
        Self { semaphore: Semaphore::new(cap), size, waiting: AtomicUsize::new(0) }
    }

    /// A permit, if nobody has to wait for one.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Permit> {
        self.semaphore.try_acquire().ok()?.forget();
        Some(Permit { slots: Arc::clone(self) })
    }

    /// A permit as soon as there is one; none when the slots are closed. Whoever drops this leaves the queue.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Permit> {
        let _waiting = Waiting::new(&self.waiting);
        self.semaphore.acquire().await.ok()?.forget();
        Some(Permit { slots: Arc::clone(self) })
    }

    /// Sets how many permits may be out. Those that are out stay.
    pub(crate) fn resize(&self, cap: usize) {
        let cap = within_bounds(cap);
        let mut size = self.lock();
        let lost = size.cap.saturating_sub(cap);
        let won = cap.saturating_sub(size.cap);
        let forgotten = self.semaphore.forget_permits(lost);
        let paid = won.min(size.excess);
        self.semaphore.add_permits(won.saturating_sub(paid));
        size.excess =
            size.excess.saturating_sub(paid).saturating_add(lost.saturating_sub(forgotten));
        size.cap = cap;
    }

    /// Permits that nobody has.
    pub(crate) fn free(&self) -> usize {
        self.semaphore.available_permits()
    }

    /// Permits that are out.
    pub(crate) fn used(&self) -> usize {
        let size = self.lock();
        // One that comes back does so under the lock.
        size.cap.saturating_add(size.excess).saturating_sub(self.free())
    }

    /// Callers that wait for a permit.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether more permits are out than there should be.
    pub(crate) fn has_excess(&self) -> bool {
        self.lock().excess > 0
    }

    /// Gives out no more permits; who waits gets none.
    pub(crate) fn close(&self) {
        self.semaphore.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.semaphore.is_closed()
    }

    fn lock(&self) -> MutexGuard<'_, Size> {
        // Nothing under the lock can panic half-way.
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one connection. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Permit {
    slots: Arc<Slots>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut size = self.slots.lock();
        if size.excess > 0 {
            size.excess = size.excess.saturating_sub(1);
        } else {
            // Under the lock: a change of the cap counts it once.
            self.slots.semaphore.add_permits(1);
        }
    }
}

/// Somebody who waits, counted until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn within_bounds(cap: usize) -> usize {
    cap.min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    #[test]
    fn each_permit_comes_back_once() {
        let slots = Arc::new(Slots::new(2));
        let one = slots.try_take().unwrap();
        let two = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        drop(one);
        assert_eq!(slots.free(), 1);
        drop(two);
        assert_eq!(slots.free(), 2);
    }

    #[test]
    fn the_cap_moves_while_permits_are_out() {
        let slots = Arc::new(Slots::new(4));
        let mut out: Vec<_> = (0..3).map(|_| slots.try_take().unwrap()).collect();
        slots.resize(2);
        assert!(slots.has_excess());
        assert_eq!(slots.free(), 0);
        out.pop();
        assert!(!slots.has_excess());
        assert_eq!(slots.free(), 0);
        slots.resize(1);
        slots.resize(3);
        assert_eq!(slots.free(), 1);
        slots.resize(usize::MAX);
        slots.resize(0);
        assert_eq!(slots.free(), 0);
        drop(out);
        assert_eq!(slots.free(), 0);
        slots.resize(5);
        assert_eq!(slots.free(), 5);
        assert!(!slots.has_excess());
    }

    proptest::proptest! {
        /// Whatever happens, as many permits are out and free as the cap says, or as many more as were out
        /// before.
        #[test]
        fn the_sum_is_the_cap(acts in proptest::collection::vec(0u8..40, 0..200)) {
            let slots = Arc::new(Slots::new(10));
            let (mut out, mut cap) = (Vec::new(), 10);
            for act in acts {
                match act {
                    0..=14 => out.extend(slots.try_take()),
                    15..=29 => drop(out.pop()),
                    size => {
                        cap = usize::from(size) - 30;
                        slots.resize(cap);
                    }
                }
                assert_eq!(slots.free(), cap.saturating_sub(out.len()));
                assert_eq!(slots.has_excess(), out.len() > cap);
                assert_eq!(slots.used(), out.len());
            }
        }
    }
}
