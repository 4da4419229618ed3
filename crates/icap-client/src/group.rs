//! Several servers for one job.

mod balance;
mod builder;
mod member;
mod table;
mod verdict;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use icap_proto::{ServiceOptions, ServiceUri};

pub use self::balance::Balance;
pub use self::builder::ServiceGroupBuilder;
use self::member::Asked;
use self::table::Table;
use self::verdict::Verdict;
use crate::call::{self, Failed};
use crate::client::Client;
use crate::error::{BoxError, Error, Failure, Invalid};
use crate::forward::{Forward, Forwarded};
use crate::message::{Message, Reqmod, Respmod};
use crate::outcome::Outcome;
use crate::source::Source;
use crate::timeouts::{before, deadline};

/// Several services that do the same, such as two servers of a virus scanner. It has the calls of a [`Client`].
///
/// A call goes to the member that the [`Balance`] names. When that fails and the message is whole, it goes to the
/// next, to each member once at most; see below what counts as failing. No answer is ever let go of for another one:
/// behind the head of an answer there is no failover. Cloning is cheap.
///
/// ```no_run
/// use icap_client::{Balance, Client, ServiceGroup};
///
/// # async fn run(message: icap_client::Reqmod<String>) -> Result<(), Box<dyn std::error::Error>> {
/// let group = ServiceGroup::builder()
///     .member(Client::builder("icap://av1.local/reqmod").replay_limit(1024 * 1024).build()?)
///     .member(Client::builder("icap://av2.local/reqmod").replay_limit(1024 * 1024).build()?)
///     .balance(Balance::LeastConnections)
///     .build()?;
/// // Servers that are down are found, and found to be back, before a call needs them.
/// let watch = tokio::spawn(group.watch(std::time::Duration::from_secs(30)));
/// let outcome = group.reqmod(message).await?;
/// for member in group.members() {
///     println!("{}: {:?}, {} calls", member.uri, member.state, member.in_flight);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Which failures go to the next member
///
/// | the call ended with | next member | counts as a failure |
/// |---|---|---|
/// | no connection, no TLS, a lost connection, a broken answer, [`Error::ClientClosed`] | yes | yes |
/// | a [time limit](crate::Timeouts) | yes | yes, but not those for waiting in our own queue and for the whole call |
/// | 404, 405, 408 and all 5xx | yes | yes |
/// | every other answer: an outcome, 400, 403, 407 | no | no, it ends the count |
/// | a body of the caller that failed, a field that cannot be sent | no | no |
///
/// 404 and 405 say that a member is not set up for the job: one with a wrong path does not fail half of the calls, its
/// suspension is in the log and in [`members`](Self::members). 500 may be about the message alone and is then seen once
/// from each member; three such messages in a row cost the member a suspension, which the last resort below makes
/// harmless. The error of the last attempt is the one that the caller gets.
///
/// Whether the message is whole hangs on the member that failed, as in [`Failure`]: always before it had more than
/// the preview, and beyond that as far as its [`replay_limit`](crate::ClientBuilder::replay_limit) reaches.
///
/// # Suspension and revival
///
/// A member that fails [so often](ServiceGroupBuilder::suspend_after) in a row is left alone for
/// [some time](ServiceGroupBuilder::suspension). Then one call, or one OPTIONS of [`watch`](Self::watch), goes there
/// while the others go elsewhere; when that fails the next suspension is longer. Only what was sent after a suspension
/// began ends it: late answers of before do not.
///
/// When no member takes calls, a call gets one attempt with the member that is suspended since longest: a wrong guess
/// costs some time, a message that nobody saw costs more. Who would rather fail at once asks
/// [`members`](Self::members) before.
///
/// # Caps
///
/// Each member has the cap of its [`Client`]. Members without room are passed over while others have some; when none
/// has, the call waits in the queue of the best. The service lowers the cap by `Max-Connections`, and for a while by a
/// 503.
#[derive(Debug, Clone)]
pub struct ServiceGroup {
    table: Arc<Table>,
}

/// A member of a [`ServiceGroup`] at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemberStatus {
    /// The service.
    pub uri: ServiceUri,
    /// Whether calls go there.
    pub state: MemberState,
    /// Connections in use, those of bodies that are still being read too, and calls that wait for one.
    pub in_flight: usize,
    /// Failures in a row.
    pub failures: u32,
    /// How many connections the service takes, as it said in OPTIONS or as a 503 left it.
    pub cap: Option<usize>,
}

/// Whether calls go to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberState {
    /// They do.
    Healthy,
    /// They do not, until this time. Then the first one does.
    #[non_exhaustive]
    Suspended {
        /// May have passed, if nobody has called since.
        until: Instant,
    },
    /// One does, and the others wait elsewhere for what it comes to.
    Probing,
}

impl ServiceGroup {
    /// Starts a group.
    pub const fn builder() -> ServiceGroupBuilder {
        ServiceGroupBuilder::new()
    }

    /// Has an HTTP request adapted by one of the members, see [`Client::reqmod`].
    ///
    /// # Errors
    ///
    /// That of the last member, with the request as long as it is whole.
    pub async fn reqmod<B>(&self, message: Reqmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (message, body) = message.into_parts();
        self.adapt(message, body).await
    }

    /// Has an HTTP response adapted by one of the members, see [`Client::respmod`].
    ///
    /// # Errors
    ///
    /// That of the last member, with the response as long as it is whole.
    pub async fn respmod<B>(&self, message: Respmod<B>) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (message, body) = message.into_parts();
        self.adapt(message, body).await
    }

    /// Sends on a request of another ICAP client by one of the members, see [`Client::forward`].
    ///
    /// Which failures go to the next member is as above, except that 404, 405 and 501 are answers: what service is
    /// asked for is the other client's choice. An answer that nobody can better is given out as it is.
    ///
    /// # Errors
    ///
    /// That of the last member.
    pub async fn forward<B>(&self, request: Forward<B>) -> Result<Forwarded<B>, Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let until = deadline(self.table.total);
        let (terms, body) = request.into_parts();
        let mut source = Source::new(body);
        let mut tried = Vec::new();
        let mut last = Error::Invalid(Invalid::NoMembers);
        let mut next = self.table.next(&tried);
        while let Some(attempt) = next {
            match call::forward(attempt.client.shared(), &terms, source, until).await {
                Ok(answer) => {
                    let verdict = Verdict::of_forwarded(answer.response().status());
                    if verdict == Verdict::Answered {
                        attempt.answered(Asked::Call);
                        return Ok(answer);
                    }
                    last = Error::Status(Box::new(answer.response().clone()));
                    tried.push(attempt.tried());
                    attempt.failed(verdict, Asked::Call, &last);
                    next = self.table.next(&tried).filter(|_| !is_past(until));
                    if next.is_none() {
                        return Ok(answer);
                    }
                    source = match answer.into_source() {
                        Ok(source) => source,
                        Err(answer) => return Ok(*answer),
                    };
                }
                Err((error, rest)) => {
                    let verdict = Verdict::of(&error);
                    tried.push(attempt.tried());
                    attempt.failed(verdict, Asked::Call, &error);
                    (last, source) = (error, rest);
                    if !verdict.fails_over() || is_past(until) || !source.rewind() {
                        break;
                    }
                    next = self.table.next(&tried);
                }
            }
        }
        Err(last)
    }

    /// Asks one of the members what it can do, see [`Client::options`].
    ///
    /// # Errors
    ///
    /// That of the last member.
    pub async fn options(&self) -> Result<ServiceOptions, Error> {
        let until = deadline(self.table.total);
        let mut tried = Vec::new();
        let mut last = Error::Invalid(Invalid::NoMembers);
        while let Some(attempt) = self.table.next(&tried) {
            tried.push(attempt.tried());
            match before(until, attempt.client.options()).await {
                Ok(options) => {
                    attempt.answered(Asked::Probe);
                    return Ok(options);
                }
                Err(error) => last = error,
            }
            let verdict = Verdict::of_probe(&last, attempt.client.uri());
            attempt.failed(verdict, Asked::Probe, &last);
            if !verdict.fails_over() || is_past(until) {
                break;
            }
        }
        Err(last)
    }

    /// Keeps an eye on the members for as long as it is polled: asks each for OPTIONS `every` so often (at least 100
    /// milliseconds), with as much time for the answer, and once more when its suspension is over. Nothing is spawned
    /// behind the caller's back: without this, calls find out by themselves.
    ///
    /// An answer to OPTIONS ends a suspension, but only one to a call ends the count of failures: the next failure
    /// suspends again, for longer. 405 and 501 are answers here: not every server has OPTIONS.
    ///
    /// It ends when all clones of the group are gone, and may be dropped at any time. One is enough for a group.
    #[must_use = "a future does nothing until it is polled"]
    pub fn watch(&self, every: Duration) -> impl Future<Output = ()> + Send + use<> {
        watch::watch(Arc::downgrade(&self.table), self.table.changed(), every)
    }

    /// The members in the order in which they were added.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        self.table.statuses()
    }

    /// Changes the members, for all clones. Calls that are under way go on where they are, and fail over to the new
    /// ones.
    ///
    /// What is known of a member stays with the one that is a clone of the same client, or else has the same URI: who
    /// reads the settings anew makes new clients.
    ///
    /// # Errors
    ///
    /// [`Invalid::NoMembers`]; then nothing has changed.
    pub fn replace(&self, members: impl IntoIterator<Item = Client>) -> Result<(), Error> {
        let members: Vec<_> = members.into_iter().collect();
        if members.is_empty() {
            return Err(Error::Invalid(Invalid::NoMembers));
        }
        self.table.replace(members);
        Ok(())
    }

    async fn adapt<B>(&self, message: Box<Message>, body: B) -> Result<Outcome<B>, Failure<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let until = deadline(self.table.total);
        let mut tried = Vec::new();
        let error = Error::Invalid(Invalid::NoMembers);
        let mut last = Failed { error, message, source: Source::new(body) };
        while let Some(attempt) = self.table.next(&tried) {
            let Failed { message, source, .. } = last;
            match call::adapt(attempt.client.shared(), message, source, until).await {
                // Nobody was asked.
                Ok(outcome @ Outcome::Ignored(_)) => return Ok(outcome),
                Ok(outcome) => {
                    attempt.answered(Asked::Call);
                    return Ok(outcome);
                }
                Err(failed) => last = failed,
            }
            tried.push(attempt.tried());
            let verdict = Verdict::of(&last.error);
            attempt.failed(verdict, Asked::Call, &last.error);
            if !verdict.fails_over() || is_past(until) || !last.source.rewind() {
                break;
            }
        }
        Err(last.into_failure())
    }
}

fn is_past(until: Option<tokio::time::Instant>) -> bool {
    until.is_some_and(|until| tokio::time::Instant::now() >= until)
}
