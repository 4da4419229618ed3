//! Which service answers.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use icap_proto::{IsTag, Method, Misuse, ServiceOptions, StatusCode};

use crate::Service;
use crate::service::{BoxedService, Hosted};

/// A service and its paths. How much of it there may be is in its [`ServiceConfig`](crate::ServiceConfig), and holds
/// for all paths together.
///
/// Paths are compared byte by byte; the query is not part of them, it is the service's own.
///
/// ```
/// use icap_proto::ServiceOptions;
/// use icap_server::{Reply, Route, Server, service_fn};
///
/// let scan = service_fn(ServiceOptions::reqmod("Scan 1.0")?, |_| async { Ok(Reply::unmodified()) });
/// let server = Server::new().route(Route::new("/scan", scan).alias("/avscan").fallback())?;
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a route does nothing before a server has it"]
pub struct Route {
    entry: Entry,
    aliases: Vec<String>,
    fallback: bool,
}

impl Route {
    /// A service at this path.
    pub fn new(path: &str, service: impl Service) -> Self {
        let entry = Entry { path: path.into(), service: Box::new(Hosted::new(service)) };
        Self { entry, aliases: Vec::new(), fallback: false }
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

/// A service under the first of its paths.
struct Entry {
    path: String,
    service: Box<dyn BoxedService>,
}

/// The services of a server by path.
#[derive(Default)]
pub(crate) struct Router {
    routes: BTreeMap<String, Arc<Entry>>,
    fallback: Option<Arc<Entry>>,
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
                btree_map::Entry::Vacant(vacant) => vacant.insert(Arc::clone(&entry)),
                btree_map::Entry::Occupied(taken) => {
                    return Err(RouteError::Duplicate(taken.key().clone()));
                }
            };
        }
        Ok(())
    }

    /// The service for a request, or the status that refuses it. A method that neither RFC 3507 nor the service
    /// knows is 501, whatever the path.
    pub(crate) fn find<'a>(
        &'a self,
        method: &Method,
        path: &str,
        default_tag: &IsTag,
    ) -> Result<Found<'a>, Refusal> {
        let is_extension = matches!(method, Method::Extension(_));
        let or_unknown = |status| if is_extension { StatusCode::NOT_IMPLEMENTED } else { status };
        // RFC 3986 section 6.2.3: an empty path is the root.
        let path = if path.is_empty() { "/" } else { path };
        let Some(entry) = self.routes.get(path).or(self.fallback.as_ref()) else {
            return Err(Refusal::new(or_unknown(StatusCode::NOT_FOUND), default_tag.clone()));
        };
        let options = entry.service.options();
        if !options.has_method(method) {
            let tag = options.tag().unwrap_or(default_tag).clone();
            return Err(Refusal::new(or_unknown(StatusCode::METHOD_NOT_ALLOWED), tag));
        }
        Ok(Found { path: &entry.path, service: &*entry.service, options })
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
}

/// A request that no service answers.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) tag: IsTag,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, tag: IsTag) -> Self {
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
