//! The settings of a scanner.

use std::sync::Arc;
use std::time::Duration;

use icap_client::{Balance, Client, ClientBuilder, Error, Invalid, ServiceGroup, Timeouts};
#[cfg(feature = "identity")]
use icap_proto::Identity;
use icap_proto::ServiceUri;
use icap_verdict::{Direction, Policy, Profile};
use tokio::sync::{OnceCell, Semaphore};

use super::digest::OnRead;
use super::services::Services;
use super::{Scanner, Shared};

/// How long a file waits for its turn at a server that takes few connections. Those before it have time limits.
const WAIT: Duration = Duration::from_secs(60 * 60);

/// What is kept of a file that was sent beyond the preview, so that it can go to another server when one fails.
const REPLAY: u64 = 1024 * 1024;

type Configure = Box<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>;

/// Puts a [`Scanner`] together; see [`Scanner::builder`].
#[must_use = "a builder does nothing until build"]
pub struct ScannerBuilder {
    profile: Profile,
    uris: Vec<Result<ServiceUri, Invalid>>,
    services: Option<Services>,
    balance: Balance,
    configure: Vec<Configure>,
    direction: Option<Direction>,
    policy: Policy,
    max_concurrent: Option<usize>,
    on_read: Option<OnRead>,
    #[cfg(feature = "identity")]
    identity: Option<Identity>,
}

impl ScannerBuilder {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            profile,
            uris: Vec::new(),
            services: None,
            balance: Balance::Failover,
            configure: Vec::new(),
            direction: None,
            policy: Policy::default(),
            max_concurrent: None,
            on_read: None,
            #[cfg(feature = "identity")]
            identity: None,
        }
    }

    /// Adds a service: a [`ServiceUri`] or its text. Several are a [`ServiceGroup`]: a file goes to the next one when
    /// the first fails and not more than 1 MiB of the file, or the preview, was sent.
    pub fn uri<U>(mut self, uri: U) -> Self
    where
        U: TryInto<ServiceUri>,
        U::Error: Into<Invalid>,
    {
        self.uris.push(uri.try_into().map_err(Into::into));
        self
    }

    /// How files are spread over several services: [`Balance::Failover`] by default.
    pub const fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// Changes the client of each [`uri`](Self::uri), behind what the profile says: previews, connections, leniency.
    ///
    /// ```
    /// use icap::Scanner;
    /// use icap::verdict::Profile;
    ///
    /// let scanner = Scanner::builder(Profile::auto().clone())
    ///     .uri("icap://av.local/respmod")
    ///     .client(|client| client.user_agent("upload service").preview(4096))
    ///     .build()?;
    /// # Ok::<(), icap::client::Error>(())
    /// ```
    pub fn client(
        mut self,
        configure: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Asks a client or group made elsewhere in place of all [`uri`](Self::uri)s. What the profile says of previews and
    /// leniency is for whoever made it.
    pub fn services(mut self, services: impl Into<Services>) -> Self {
        self.services = Some(services.into());
        self
    }

    /// How files are presented. By default as the profile likes it best of what the service lists in its OPTIONS, which
    /// are asked for before the first file; [`Direction::Download`] when a profile likes nothing.
    pub const fn direction(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// What becomes of files that are neither allowed nor blocked.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How many files are scanned at a time: 0 for as many as there are calls. Files beyond that wait, in the order of
    /// their coming, and are not opened before. By default it is what the profile says of a server, for each
    /// [`uri`](Self::uri). No server gets more than the profile says in either case, or than its `Max-Connections`.
    pub const fn max_concurrent(mut self, files: usize) -> Self {
        self.max_concurrent = Some(files);
        self
    }

    /// Calls a function with the length of each piece that is read of a file: for progress bars.
    pub fn on_read(mut self, read: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_read = Some(Arc::new(read));
        self
    }

    /// Who sends the files. A service gets of it what it asks for.
    #[cfg(feature = "identity")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The finished scanner. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] as from [`ClientBuilder::build`], and [`Invalid::NoMembers`] without a service.
    pub fn build(self) -> Result<Scanner, Error> {
        let servers = self.uris.len().max(1);
        let cap = self.profile.ask.max_concurrent.and_then(|cap| usize::try_from(cap).ok());
        let at_once = match self.max_concurrent {
            Some(0) => None,
            Some(files) => Some(files),
            None => cap.map(|cap| cap.saturating_mul(servers)),
        };
        let services = match self.services {
            Some(services) => services,
            None => connect(&self.profile, cap, self.uris, self.balance, &self.configure)?,
        };
        let shared = Shared {
            services,
            profile: self.profile,
            direction: OnceCell::new_with(self.direction),
            policy: self.policy,
            turns: at_once.map(|files| Semaphore::new(files.min(Semaphore::MAX_PERMITS))),
            on_read: self.on_read,
            #[cfg(feature = "identity")]
            identity: self.identity,
        };
        Ok(Scanner { shared: Arc::new(shared) })
    }
}

impl std::fmt::Debug for ScannerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScannerBuilder")
            .field("profile", &self.profile.name)
            .field("uris", &self.uris)
            .finish_non_exhaustive()
    }
}

/// Clients as the profile wants them.
fn connect(
    profile: &Profile,
    cap: Option<usize>,
    uris: Vec<Result<ServiceUri, Invalid>>,
    balance: Balance,
    configure: &[Configure],
) -> Result<Services, Error> {
    let several = uris.len() > 1;
    let client = |uri: Result<ServiceUri, Invalid>| -> Result<Client, Error> {
        let mut timeouts = Timeouts::default();
        timeouts.wait = WAIT;
        let mut builder = Client::builder(uri.map_err(Error::Invalid)?)
            .leniency(profile.leniency())
            .timeouts(timeouts)
            .max_connections(cap.unwrap_or_default());
        if several {
            builder = builder.replay_limit(REPLAY);
        }
        for change in configure {
            builder = change(builder);
        }
        if !profile.ask.preview {
            builder = builder.no_preview();
        }
        builder.build()
    };
    let mut clients = uris.into_iter().map(client).collect::<Result<Vec<_>, Error>>()?;
    match (several, clients.pop()) {
        (_, None) => Err(Error::Invalid(Invalid::NoMembers)),
        (false, Some(only)) => Ok(only.into()),
        (true, Some(last)) => {
            let group = ServiceGroup::builder().balance(balance);
            let group = clients.into_iter().fold(group, |group, client| group.member(client));
            Ok(group.member(last).build()?.into())
        }
    }
}
