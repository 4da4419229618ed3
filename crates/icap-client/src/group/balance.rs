//! Which member is the next.

/// How calls are spread over the members of a [`ServiceGroup`](crate::ServiceGroup).
///
/// In all of them a member that has no room for one more connection comes behind those that have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Balance {
    /// The first one in the order in which they were added; the others stand by. The default.
    #[default]
    Failover,
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest connections in use and calls that wait for one; those with as many in turn. A body
    /// that is still being read is a connection in use.
    LeastConnections,
}

/// What is looked at of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Its place among the members.
    pub(super) index: usize,
    pub(super) has_room: bool,
    pub(super) load: usize,
    /// When it had its last turn; the lower, the longer ago.
    pub(super) turn: u64,
}

impl Balance {
    /// The place of the best one.
    pub(super) fn choose(self, candidates: impl Iterator<Item = Candidate>) -> Option<usize> {
        let best = candidates.min_by_key(|candidate| {
            let (load, turn) = match self {
                Self::Failover => (0, 0),
                Self::RoundRobin => (0, candidate.turn),
                Self::LeastConnections => (candidate.load, candidate.turn),
            };
            // Of equals the first is the smallest.
            (!candidate.has_room, load, turn)
        });
        best.map(|best| best.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(index: usize, load: usize, turn: u64) -> Candidate {
        Candidate { index, has_room: true, load, turn }
    }

    #[test]
    fn each_has_its_own_best() {
        let members = [member(0, 5, 9), member(1, 4, 8), member(2, 4, 7), member(3, 6, 1)];
        for (balance, best) in
            [(Balance::Failover, 0), (Balance::RoundRobin, 3), (Balance::LeastConnections, 2)]
        {
            assert_eq!(balance.choose(members.into_iter()), Some(best), "{balance:?}");
            assert_eq!(balance.choose([].into_iter()), None);
        }
    }

    #[test]
    fn room_comes_first() {
        let full = |mut member: Candidate| {
            member.has_room = false;
            member
        };
        let members = [full(member(0, 0, 0)), member(1, 9, 9), full(member(2, 0, 0))];
        for balance in [Balance::Failover, Balance::RoundRobin, Balance::LeastConnections] {
            assert_eq!(balance.choose(members.into_iter()), Some(1), "{balance:?}");
            assert_eq!(balance.choose(members.into_iter().map(full)), Some(0), "{balance:?}");
        }
    }
}
