//! Services of tower as services of ICAP.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};

use icap_proto::ServiceOptions;

use crate::{Error, Reply, Request, Service};

/// A service made of its options and a [`tower_service::Service`], with whatever layers there are around it.
///
/// Each request is given to a clone of its own as soon as that clone is ready; until then nothing is read of its
/// body.
///
/// ```
/// use std::convert::Infallible;
/// use std::future::{Ready, ready};
/// use std::task::{Context, Poll};
///
/// use icap_proto::ServiceOptions;
/// use icap_server::{Reply, Request, Server, from_tower};
///
/// #[derive(Clone)]
/// struct Pass;
///
/// impl tower_service::Service<Request> for Pass {
///     type Response = Reply;
///     type Error = Infallible;
///     type Future = Ready<Result<Reply, Infallible>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, _: Request) -> Self::Future {
///         ready(Ok(Reply::unmodified()))
///     }
/// }
///
/// let service = from_tower(ServiceOptions::respmod("Pass 1.0")?, Pass);
/// let server = Server::new().service("/pass", service)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_tower<S>(options: ServiceOptions, service: S) -> impl Service
where
    S: tower_service::Service<Request, Response = Reply> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    FromTower { options, service: Mutex::new(service) }
}

struct FromTower<S> {
    options: ServiceOptions,
    /// Only ever cloned. Few layers can be used from two threads at once.
    service: Mutex<S>,
}

impl<S> Service for FromTower<S>
where
    S: tower_service::Service<Request, Response = Reply> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn options(&self) -> ServiceOptions {
        self.options.clone()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        // A clone that panics leaves the service as it was.
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(into_error)?;
        service.call(request).await.map_err(into_error)
    }
}

fn into_error(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    error.into().into()
}
