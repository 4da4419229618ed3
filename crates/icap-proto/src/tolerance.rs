//! The deviations that are taken, and which of them a peer has needed.

use crate::Leniency;

/// The switches of a reader, and those that made a difference.
#[derive(Debug, Clone)]
pub(crate) struct Tolerance {
    allowed: Leniency,
    used: Leniency,
}

impl Tolerance {
    pub(crate) const fn new(allowed: Leniency) -> Self {
        Self { allowed, used: Leniency::strict() }
    }

    /// The switches, for what has to be read another way before it can show whether that was needed.
    pub(crate) const fn allowed(&self) -> &Leniency {
        &self.allowed
    }

    /// Whether the deviation that stands here is taken; it is noted then. Cold: most messages have none.
    #[cold]
    pub(crate) fn takes(&mut self, switch: impl Fn(&mut Leniency) -> &mut bool) -> bool {
        let taken = *switch(&mut self.allowed);
        *switch(&mut self.used) |= taken;
        taken
    }

    /// What was needed so far, for [`restore`](Self::restore).
    pub(crate) const fn used(&self) -> Leniency {
        self.used
    }

    /// Forgets what was needed by a reading that came to nothing.
    pub(crate) const fn restore(&mut self, used: Leniency) {
        self.used = used;
    }

    /// The switches without which what was read since this was asked last would have been refused.
    pub(crate) const fn take_used(&mut self) -> Leniency {
        core::mem::replace(&mut self.used, Leniency::strict())
    }
}
