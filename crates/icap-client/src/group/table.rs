//! The members of a group and what is known of them, under one lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::balance::{Balance, Candidate};
use super::member::{Asked, Health, State, Suspension, Ticket};
use super::verdict::Verdict;
use super::{MemberState, MemberStatus};
use crate::client::Client;
use crate::error::Error;

/// What clones of a group share.
#[derive(Debug)]
pub(super) struct Table {
    rows: Mutex<Rows>,
    pub(super) balance: Balance,
    rule: Suspension,
    /// For all attempts of a call together.
    pub(super) total: Duration,
    /// Told when a suspension begins or ends, and when the table goes.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Rows {
    /// Never empty.
    members: Vec<Member>,
    turns: u64,
    ids: u64,
}

#[derive(Debug)]
struct Member {
    /// Stays when the client is replaced by another one of the same service.
    id: u64,
    client: Client,
    health: Health,
    /// When it had its last turn.
    turn: u64,
}

impl Table {
    pub(super) fn new(
        clients: Vec<Client>,
        balance: Balance,
        rule: Suspension,
        total: Duration,
    ) -> Self {
        let mut rows = Rows { members: Vec::new(), turns: 0, ids: 0 };
        rows.replace(clients);
        Self { rows: Mutex::new(rows), balance, rule, total, changed: Arc::default() }
    }

    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The best member for a call, of those that are not in `tried`. If none takes calls, a call that has tried none
    /// gets the one that takes none since longest.
    pub(super) fn next(self: &Arc<Self>, tried: &[Tried]) -> Option<Attempt> {
        let now = Instant::now();
        let mut rows = self.lock();
        let open = rows.members.iter().enumerate().filter(|(_, member)| {
            !tried.iter().any(|tried| tried.is(member)) && member.health.is_open(now)
        });
        let best = self.balance.choose(open.map(|(index, member)| member.candidate(index)));
        let index = best.or_else(|| tried.is_empty().then(|| rows.closed_longest())?)?;
        self.admit(&mut rows, index, now)
    }

    /// Members to be asked for OPTIONS: those whose suspension is over, or `all` that take calls. One without room
    /// has calls that tell as much.
    pub(super) fn due(self: &Arc<Self>, all: bool) -> Vec<Attempt> {
        let now = Instant::now();
        let mut rows = self.lock();
        let due = rows.members.iter().enumerate().filter(|(_, member)| {
            let wanted = all || member.health.state() != State::Up;
            wanted && member.health.is_open(now) && member.client.pool().has_room()
        });
        let due: Vec<_> = due.map(|(index, _)| index).collect();
        due.into_iter().filter_map(|index| self.admit(&mut rows, index, now)).collect()
    }

    /// When the next suspension is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let rows = self.lock();
        let ends = rows.members.iter().filter_map(|member| match member.health.state() {
            State::Down { until, .. } => Some(until),
            _ => None,
        });
        ends.min()
    }

    pub(super) fn replace(&self, clients: Vec<Client>) {
        let mut rows = self.lock();
        let gone = rows.replace(clients);
        drop(rows);
        // The last of its clones closes connections: not under the lock.
        drop(gone);
        self.changed.notify_waiters();
    }

    pub(super) fn statuses(&self) -> Vec<MemberStatus> {
        self.lock().members.iter().map(Member::status).collect()
    }

    fn admit(self: &Arc<Self>, rows: &mut Rows, index: usize, now: Instant) -> Option<Attempt> {
        let turn = rows.turns;
        let member = rows.members.get_mut(index)?;
        rows.turns = turn.saturating_add(1);
        member.turn = rows.turns;
        Some(Attempt {
            table: Arc::clone(self),
            id: member.id,
            client: member.client.clone(),
            ticket: member.health.admit(now),
            reported: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        // Nothing under the lock panics.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.changed.notify_waiters();
    }
}

impl Rows {
    /// Gives the rows as they were.
    fn replace(&mut self, clients: Vec<Client>) -> Vec<Member> {
        let old = std::mem::take(&mut self.members);
        let mut free: Vec<_> = old.iter().collect();
        for client in clients {
            let same = free.iter().position(|member| member.client.is(&client));
            let same =
                same.or_else(|| free.iter().position(|member| member.client.uri() == client.uri()));
            let known = same.map(|index| free.remove(index));
            self.ids = self.ids.saturating_add(1);
            let (id, health, turn) = known
                .map_or((self.ids, Health::NEW, 0), |known| (known.id, known.health, known.turn));
            self.members.push(Member { id, client, health, turn });
        }
        old
    }

    fn closed_longest(&self) -> Option<usize> {
        let closed = self.members.iter().enumerate();
        let closed =
            closed.filter_map(|(index, member)| Some((member.health.closed_since()?, index)));
        closed.min().map(|(_, index)| index)
    }
}

impl Member {
    fn candidate(&self, index: usize) -> Candidate {
        let pool = self.client.pool();
        Candidate { index, has_room: pool.has_room(), load: pool.load(), turn: self.turn }
    }

    fn status(&self) -> MemberStatus {
        MemberStatus {
            uri: self.client.uri().clone(),
            state: match self.health.state() {
                State::Up => MemberState::Healthy,
                State::Down { until, .. } => MemberState::Suspended { until: until.into_std() },
                State::Trial { .. } => MemberState::Probing,
            },
            in_flight: self.client.pool().load(),
            failures: self.health.failures(),
            cap: self.client.cap(),
        }
    }
}

/// One call, or probe, of a member. Dropped without a report it has come to nothing, and another one may try.
#[derive(Debug)]
pub(super) struct Attempt {
    table: Arc<Table>,
    id: u64,
    pub(super) client: Client,
    ticket: Ticket,
    reported: bool,
}

/// A member that has had the call.
#[derive(Debug)]
pub(super) struct Tried {
    id: u64,
    client: Client,
}

impl Tried {
    /// One that went and came back meanwhile is known by its client.
    fn is(&self, member: &Member) -> bool {
        self.id == member.id || self.client.is(&member.client)
    }
}

impl Attempt {
    pub(super) fn tried(&self) -> Tried {
        Tried { id: self.id, client: self.client.clone() }
    }

    pub(super) fn answered(mut self, asked: Asked) {
        self.reported = true;
        let revived =
            self.with_member(|member, rule| member.health.answered(self.ticket, asked, rule));
        if revived == Some(true) {
            tracing::info!(uri = %self.client.uri(), "the service answers again");
            self.table.changed.notify_waiters();
        }
    }

    /// The call came to no outcome, by this error.
    pub(super) fn failed(mut self, verdict: Verdict, asked: Asked, error: &Error) {
        match verdict {
            Verdict::Answered => return self.answered(asked),
            Verdict::Busy | Verdict::Ours => return,
            Verdict::Failed => {}
        }
        self.reported = true;
        let uri = self.client.uri();
        let suspended = self.with_member(|member, rule| {
            let length = member.health.failed(self.ticket, Instant::now(), rule);
            length.map(|length| (length, member.health.failures()))
        });
        match suspended.flatten() {
            Some((length, failures)) => {
                tracing::warn!(%uri, %error, failures, seconds = length.as_secs(), "suspended");
                self.table.changed.notify_waiters();
            }
            None => tracing::info!(%uri, %error, "a call failed"),
        }
    }

    /// Does something with the member, if it is one still.
    fn with_member<T>(&self, act: impl FnOnce(&mut Member, &Suspension) -> T) -> Option<T> {
        let mut rows = self.table.lock();
        let member = rows.members.iter_mut().find(|member| member.id == self.id)?;
        Some(act(member, &self.table.rule))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.reported {
            self.with_member(|member, _| member.health.given_up(self.ticket, Instant::now()));
            self.table.changed.notify_waiters();
        }
    }
}
