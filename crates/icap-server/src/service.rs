//! Services: what a server offers under a path.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use icap_proto::ServiceOptions;

use crate::{Error, Reply, Request, ServiceConfig};

/// An ICAP service: it looks at HTTP messages and lets them pass, changes or replaces them.
///
/// The server does the rest of the protocol: OPTIONS, methods that are not offered, 100 Continue, 204 or the echo
/// in its place, `ISTag`, `Encapsulated`, draining and closing.
///
/// ```
/// use icap_proto::{HttpHead, IsTag, ServiceOptions};
/// use icap_server::{Error, Reply, Request, Service};
///
/// struct Blocker {
///     options: ServiceOptions,
/// }
///
/// impl Service for Blocker {
///     fn options(&self) -> ServiceOptions {
///         self.options.clone()
///     }
///
///     async fn call(&self, request: Request) -> Result<Reply, Error> {
///         let (head, preview) = request.preview().await?;
///         let url = head.http_request().and_then(HttpHead::target).unwrap_or_default();
///         if !url.ends_with(".exe") && !preview.bytes().starts_with(b"MZ") {
///             return Ok(Reply::unmodified());
///         }
///         let page = HttpHead::response(403, "Forbidden", [("Content-Type", "text/plain")])?;
///         Ok(Reply::respond(page, "programs are not let through").header("X-Violations-Found", "1")?)
///     }
/// }
///
/// let options = ServiceOptions::respmod("Blocker 1.0")?.istag(IsTag::new("blocker-1")?).preview(2);
/// let blocker = Blocker { options };
/// assert!(blocker.options().has_method(&icap_proto::Method::Respmod));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Service: Send + Sync + 'static {
    /// What the service offers and the tag of its state. Asked for with every request, so that a new tag is seen
    /// at once: give back a clone of prepared options. Without a tag the server's own stands in. 204 is offered
    /// whether they [list](ServiceOptions::allow_no_content) it or not.
    fn options(&self) -> ServiceOptions;

    /// On what terms the server calls the service. Asked for once, when the service is added.
    fn config(&self) -> ServiceConfig {
        ServiceConfig::default()
    }

    /// Answers one request. Write it as `async fn call`.
    ///
    /// It runs in the task of its connection: work that blocks belongs into `tokio::task::spawn_blocking`. How long
    /// it takes is its own business unless there is a [`deadline`](ServiceConfig::deadline). The future is dropped
    /// when the connection is found broken, which is when the body is read or the answer written.
    ///
    /// # Errors
    ///
    /// Any error is logged and answered with 500. A panic is treated the same.
    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> + Send;

    /// The same service on these terms.
    fn with_config(self, config: ServiceConfig) -> impl Service
    where
        Self: Sized,
    {
        WithConfig { service: self, config }
    }
}

struct WithConfig<S> {
    service: S,
    config: ServiceConfig,
}

impl<S: Service> Service for WithConfig<S> {
    fn options(&self) -> ServiceOptions {
        self.service.options()
    }

    fn config(&self) -> ServiceConfig {
        self.config.clone()
    }

    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> + Send {
        self.service.call(request)
    }
}

/// A service that several servers or paths share.
impl<S: Service> Service for std::sync::Arc<S> {
    fn options(&self) -> ServiceOptions {
        (**self).options()
    }

    fn config(&self) -> ServiceConfig {
        (**self).config()
    }

    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> + Send {
        (**self).call(request)
    }
}

/// A service made of its options and an async closure.
///
/// ```
/// use icap_proto::ServiceOptions;
/// use icap_server::{Reply, Service, service_fn};
///
/// let pass = service_fn(ServiceOptions::reqmod("Pass 1.0")?, |_| async { Ok(Reply::unmodified()) });
/// assert_eq!(pass.options().service(), Some("Pass 1.0"));
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
pub fn service_fn<F, Fut>(options: ServiceOptions, call: F) -> impl Service
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    ServiceFn { options, call }
}

struct ServiceFn<F> {
    options: ServiceOptions,
    call: F,
}

impl<F, Fut> Service for ServiceFn<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    fn options(&self) -> ServiceOptions {
        self.options.clone()
    }

    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> + Send {
        (self.call)(request)
    }
}

/// A call that runs.
pub(crate) type Call<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send + 'a>>;

/// [`Service`] as the router holds it.
pub(crate) trait BoxedService: Send + Sync {
    fn options(&self) -> ServiceOptions;
    fn config(&self) -> &ServiceConfig;
    /// A place for one more request, `None` when the service is busy.
    fn enter(&self) -> Option<Permit<'_>>;
    fn call(&self, request: Request) -> Call<'_>;
}

/// A service, its terms, and how many requests it works on.
pub(crate) struct Hosted<S> {
    service: S,
    config: ServiceConfig,
    active: AtomicUsize,
}

impl<S: Service> Hosted<S> {
    pub(crate) fn new(service: S) -> Self {
        let config = service.config();
        Self { service, config, active: AtomicUsize::new(0) }
    }
}

impl<S: Service> BoxedService for Hosted<S> {
    fn options(&self) -> ServiceOptions {
        self.service.options()
    }

    fn config(&self) -> &ServiceConfig {
        &self.config
    }

    fn enter(&self) -> Option<Permit<'_>> {
        let Some(limit) = self.config.concurrency else { return Some(Permit(None)) };
        let more = |active: usize| active.checked_add(1).filter(|active| *active <= limit);
        self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(Some(&self.active)))
    }

    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(self.service.call(request))
    }
}

/// The place of one request, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(Option<&'a AtomicUsize>);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(active) = self.0 {
            active.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
