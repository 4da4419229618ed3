//! What becomes of a message after its verdict.

use crate::problem::ProblemKind;
use crate::verdict::Verdict;

/// What to do with what is neither allowed nor blocked.
///
/// A policy stands beside the verdict and changes nothing in it. The default lets nothing pass that a server has not
/// let pass: no verdict is a refusal, and a modified message is handed back, for only the caller knows whether it can
/// take the new one.
///
/// ```
/// use icap_verdict::{Action, Policy, Problem, ProblemKind, Verdict};
///
/// let down = Verdict::Error(Problem::new(ProblemKind::Connection, "connection refused"));
/// assert_eq!(Policy::default().decide(&down).action, Action::Block);
///
/// let mut open = Policy::default();
/// open.error = Action::Allow;
/// assert_eq!(open.decide(&down).action, Action::Allow);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Policy {
    /// The server failed, refused to work or was not there.
    pub error: Action,
    /// The server cannot judge the message: unscannable or too large.
    pub unscannable: Action,
    /// The verdict comes later.
    pub pending: Action,
    /// Another message came back. [`Action::Allow`] lets the original pass.
    pub modified: Action,
    /// Nothing is held back, blocks and failures included; what would be done is still said.
    pub monitor_only: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            error: Action::Block,
            unscannable: Action::Block,
            pending: Action::Block,
            modified: Action::HandBack,
            monitor_only: false,
        }
    }
}

impl Policy {
    /// What becomes of a message with this verdict.
    #[must_use]
    pub const fn decide(&self, verdict: &Verdict) -> Decision {
        let enforced = match verdict {
            Verdict::Allow(_) => Action::Allow,
            Verdict::Block(_) => Action::Block,
            Verdict::Modified(_) => self.modified,
            Verdict::Error(problem) => match problem.kind {
                ProblemKind::Unscannable | ProblemKind::TooLarge => self.unscannable,
                ProblemKind::Pending => self.pending,
                _ => self.error,
            },
        };
        let action = if self.monitor_only { Action::Allow } else { enforced };
        Decision { action, enforced }
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// What would be done without [`Policy::monitor_only`].
    pub enforced: Action,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Action {
    /// Let the message pass as it was sent.
    Allow,
    /// Hold it back.
    Block,
    /// Give message and verdict to whoever asked: they decide.
    HandBack,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn error(kind: ProblemKind) -> Verdict {
        Verdict::Error(Problem::new(kind, "test"))
    }

    #[test]
    fn each_kind_has_its_setting() {
        let mut policy = Policy::default();
        for kind in [
            ProblemKind::Overload,
            ProblemKind::Unscannable,
            ProblemKind::TooLarge,
            ProblemKind::Pending,
            ProblemKind::License,
        ] {
            assert_eq!(policy.decide(&error(kind)).action, Action::Block, "{kind}");
        }
        policy.unscannable = Action::Allow;
        policy.pending = Action::HandBack;
        assert_eq!(policy.decide(&error(ProblemKind::Unscannable)).action, Action::Allow);
        assert_eq!(policy.decide(&error(ProblemKind::TooLarge)).action, Action::Allow);
        assert_eq!(policy.decide(&error(ProblemKind::Pending)).action, Action::HandBack);
        assert_eq!(policy.decide(&error(ProblemKind::Forbidden)).action, Action::Block);
    }

    #[test]
    fn a_monitor_holds_nothing_back_and_says_what_it_would() {
        let policy = Policy { monitor_only: true, ..Policy::default() };
        let decision = policy.decide(&error(ProblemKind::Timeout));
        assert_eq!((decision.action, decision.enforced), (Action::Allow, Action::Block));
    }
}
