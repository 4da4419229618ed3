//! Which service answers.

use std::collections::HashMap;

use icap_proto::{IsTag, Method, Misuse, RequestHead, ServiceOptions, StatusCode};

use crate::Service;
use crate::service::{BoxedService, Hosted};

/// The services of a server by path.
#[derive(Default)]
pub(crate) struct Router {
    routes: HashMap<String, Box<dyn BoxedService>>,
}

impl Router {
    pub(crate) fn add(&mut self, path: &str, service: impl Service) -> Result<(), RouteError> {
        if !path.starts_with('/') || path.contains('?') {
            return Err(RouteError::Path(path.into()));
        }
        if self.routes.contains_key(path) {
            return Err(RouteError::Duplicate(path.into()));
        }
        if service.options().methods().is_empty() {
            return Err(RouteError::Options(path.into(), Misuse::Composition));
        }
        self.routes.insert(path.into(), Box::new(Hosted::new(service)));
        Ok(())
    }

    /// The service for a request, or the status that refuses it. A method that neither RFC 3507 nor the service
    /// knows is 501, whatever the path.
    pub(crate) fn find<'a>(
        &'a self,
        head: &RequestHead,
        default_tag: &IsTag,
    ) -> Result<Route<'a>, Refusal> {
        let is_extension = matches!(head.method(), Method::Extension(_));
        let or_unknown = |status| if is_extension { StatusCode::NOT_IMPLEMENTED } else { status };
        // RFC 3986 section 6.2.3: an empty path is the root.
        let path = Some(head.uri().path()).filter(|path| !path.is_empty()).unwrap_or("/");
        let Some(service) = self.routes.get(path) else {
            return Err(Refusal::new(or_unknown(StatusCode::NOT_FOUND), default_tag.clone()));
        };
        let mut options = service.options();
        let tag = options.tag().unwrap_or(default_tag).clone();
        if !options.has_method(head.method()) {
            return Err(Refusal::new(or_unknown(StatusCode::METHOD_NOT_ALLOWED), tag));
        }
        if options.tag().is_none() {
            options = options.istag(tag.clone());
        }
        Ok(Route { service: &**service, options, tag })
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

/// A service and its state at this moment.
pub(crate) struct Route<'a> {
    pub(crate) service: &'a dyn BoxedService,
    pub(crate) options: ServiceOptions,
    pub(crate) tag: IsTag,
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
}
