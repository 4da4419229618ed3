//! Which service answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use icap_proto::{IsTag, Method, Misuse, RequestHead, ServiceOptions, StatusCode};

use crate::Service;
use crate::service::BoxedService;

/// A service and where it is: its paths, and how much of it there may be.
///
/// Paths are compared byte by byte; the query is not part of them, it is the service's own.
///
/// ```
/// use icap_proto::ServiceOptions;
/// use icap_server::{Reply, Route, Server, service_fn};
///
/// let scan = service_fn(ServiceOptions::reqmod("Scan 1.0")?, |_| async { Ok(Reply::unmodified()) });
/// let route = Route::new("/scan", scan).alias("/avscan").max_requests(32).max_body(100 << 20);
/// let server = Server::new().route(route)?;
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a route does nothing before a server has it"]
pub struct Route {
    aliases: Vec<String>,
    fallback: bool,
    entry: RouteEntry,
}

impl Route {
    /// A service at this path.
    pub fn new(path: &str, service: impl Service) -> Self {
        let entry = RouteEntry {
            path: path.into(),
            service: Box::new(service),
            max_requests: usize::MAX,
            max_body: u64::MAX,
            running: AtomicUsize::new(0),
        };
        Self { aliases: Vec::new(), fallback: false, entry }
    }

    /// The same service, at this path too.
    pub fn alias(mut self, path: &str) -> Self {
        self.aliases.push(path.into());
        self
    }

    /// The service of all paths that nobody has, in place of 404.
    pub const fn fallback(mut self) -> Self {
        self.fallback = true;
        self
    }

    /// Requests that are answered at a time, at all paths together; those beyond get 503. No limit unless told
    /// otherwise. OPTIONS does not count.
    pub const fn max_requests(mut self, requests: usize) -> Self {
        self.entry.max_requests = requests;
        self
    }

    /// Bytes of a body that is sent to the service, without its chunk lines; a longer one gets 413, or sees its
    /// answer broken off when it had begun. No limit unless told otherwise: bodies are streamed.
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.entry.max_body = bytes;
        self
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("path", &self.entry.path)
            .field("aliases", &self.aliases)
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}

/// A service and its limits.
struct RouteEntry {
    path: String,
    service: Box<dyn BoxedService>,
    max_requests: usize,
    max_body: u64,
    /// Requests that are being answered; counted only when there is a limit.
    running: AtomicUsize,
}

impl RouteEntry {
    fn enter(&self) -> Option<Place<'_>> {
        if self.max_requests == usize::MAX {
            return Some(Place(None));
        }
        let more = |running: usize| running.checked_add(1).filter(|&now| now <= self.max_requests);
        let entered = self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        entered.ok().map(|_| Place(Some(&self.running)))
    }
}

/// One of the requests that a service answers at a time, until this is dropped.
pub(crate) struct Place<'a>(Option<&'a AtomicUsize>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.0 {
            running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The services of a server by path.
#[derive(Default)]
pub(crate) struct Router {
    routes: HashMap<String, Arc<RouteEntry>>,
    fallback: Option<Arc<RouteEntry>>,
}

impl Router {
    pub(crate) fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let Route { aliases, fallback, entry } = route;
        let path = entry.path.clone();
        if entry.service.options().methods().is_empty() {
            return Err(RouteError::Options(path, Misuse::Composition));
        }
        if fallback && self.fallback.is_some() {
            return Err(RouteError::Fallback(path));
        }
        let entry = Arc::new(entry);
        self.fallback = self.fallback.take().or_else(|| fallback.then(|| Arc::clone(&entry)));
        for path in std::iter::once(path).chain(aliases) {
            if !path.starts_with('/') || path.contains('?') {
                return Err(RouteError::Path(path));
            }
            match self.routes.entry(path) {
                Entry::Vacant(vacant) => vacant.insert(Arc::clone(&entry)),
                Entry::Occupied(taken) => return Err(RouteError::Duplicate(taken.key().clone())),
            };
        }
        Ok(())
    }

    /// The service for a request, or the status that refuses it. Methods are checked before paths: a method that
    /// nobody knows is nobody's to offer.
    pub(crate) fn find<'a>(
        &'a self,
        head: &RequestHead,
        default_tag: &IsTag,
    ) -> Result<Found<'a>, Refusal> {
        if let Method::Extension(_) = head.method() {
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, default_tag.clone()));
        }
        // RFC 3986 section 6.2.3: an empty path is the root.
        let path = Some(head.uri().path()).filter(|path| !path.is_empty()).unwrap_or("/");
        let Some(entry) = self.routes.get(path).or(self.fallback.as_ref()) else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, default_tag.clone()));
        };
        let mut options = entry.service.options();
        let tag = options.tag().unwrap_or(default_tag).clone();
        if !options.has_method(head.method()) {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, tag));
        }
        let place = match head.method() {
            Method::Options => Some(Place(None)),
            _ => entry.enter(),
        };
        let Some(place) = place else {
            tracing::warn!(service = path, "refused: too many requests of this service");
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, tag));
        };
        if options.tag().is_none() {
            options = options.istag(tag.clone());
        }
        Ok(Found {
            path: &entry.path,
            service: &*entry.service,
            options,
            tag,
            max_body: entry.max_body,
            place,
        })
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

/// A service and its state at this moment.
pub(crate) struct Found<'a> {
    /// The first of its paths.
    pub(crate) path: &'a str,
    pub(crate) service: &'a dyn BoxedService,
    pub(crate) options: ServiceOptions,
    pub(crate) tag: IsTag,
    pub(crate) max_body: u64,
    pub(crate) place: Place<'a>,
}

/// A request that no service answers.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) tag: IsTag,
}

impl Refusal {
    const fn new(status: StatusCode, tag: IsTag) -> Self {
        Self { status, tag }
    }
}

/// A service that cannot be added to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The path does not start with `/`, or has a query.
    #[error("service path {0:?} is not an absolute path")]
    Path(String),
    /// Another service has this path.
    #[error("two services at {0:?}")]
    Duplicate(String),
    /// The options of the service cannot be sent.
    #[error("options of the service at {0:?}: {1}")]
    Options(String, Misuse),
    /// Another service takes the paths that nobody has.
    #[error("the service at {0:?} is the second for paths that nobody has")]
    Fallback(String),
}
