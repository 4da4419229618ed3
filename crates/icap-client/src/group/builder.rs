//! The settings of a group.

use std::sync::Arc;
use std::time::Duration;

use super::ServiceGroup;
use super::balance::Balance;
use super::member::Suspension;
use super::table::Table;
use super::watch::LEAST;
use crate::client::Client;
use crate::error::{Error, Invalid};

/// Puts a [`ServiceGroup`] together; see [`ServiceGroup::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until build"]
pub struct ServiceGroupBuilder {
    members: Vec<Client>,
    balance: Balance,
    suspension: Suspension,
    total: Duration,
}

impl ServiceGroupBuilder {
    pub(super) const fn new() -> Self {
        let suspension = Suspension {
            after: 3,
            first: Duration::from_secs(10),
            longest: Duration::from_secs(180),
        };
        Self { members: Vec::new(), balance: Balance::Failover, suspension, total: Duration::MAX }
    }

    /// Adds a server. Its [`max_connections`](crate::ClientBuilder::max_connections) is its cap, its
    /// [`Timeouts`](crate::Timeouts) are those of each attempt, and its
    /// [`replay_limit`](crate::ClientBuilder::replay_limit) says how large a body may be that it has asked for and
    /// that can go to the next all the same.
    pub fn member(mut self, client: Client) -> Self {
        self.members.push(client);
        self
    }

    /// How calls are spread over the members: [`Balance::Failover`] by default.
    pub const fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// After how many failures in a row a member is suspended: 3 by default, 0 for never.
    pub const fn suspend_after(mut self, failures: u32) -> Self {
        self.suspension.after = failures;
        self
    }

    /// How long a suspension lasts: the `first` one, at least 100 milliseconds, and then twice as long each time that
    /// the member has not answered a call in between, up to the `longest`. 10 seconds and 180, which is how long
    /// Squid's take, by default.
    pub fn suspension(mut self, first: Duration, longest: Duration) -> Self {
        let first = first.max(LEAST);
        self.suspension.first = first;
        self.suspension.longest = longest.max(first);
        self
    }

    /// For how long a call may take with all its attempts, to the end of the answer's body, the caller's own time
    /// included. No limit by default.
    pub const fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// The finished group. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Invalid::NoMembers`].
    pub fn build(self) -> Result<ServiceGroup, Error> {
        if self.members.is_empty() {
            return Err(Error::Invalid(Invalid::NoMembers));
        }
        let table = Table::new(self.members, self.balance, self.suspension, self.total);
        Ok(ServiceGroup { table: Arc::new(table) })
    }
}
