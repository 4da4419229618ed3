//! ICAP around any HTTP service, as a tower layer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use tower_layer::Layer;
use tower_service::Service;

use crate::client::Client;
use crate::error::{BoxError, Failure};
use crate::message::{Asked, Reqmod, Respmod};
use crate::outcome::Outcome;

/// What becomes of a message when its ICAP service fails. Nobody but the owner of the messages can know, so there is
/// no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// Fail closed: the user is answered with 503 Service Unavailable.
    Refuse,
    /// Fail open: the message passes unseen, if it is still whole. If a part of it is gone, as
    /// [`Refuse`](Self::Refuse).
    Bypass,
}

/// A tower [`Layer`] that has the requests of a service adapted before it sees them (REQMOD), its responses before
/// the user does (RESPMOD), or both.
///
/// A page with which a REQMOD service answers goes to the user at once: neither the inner service nor RESPMOD sees
/// that request. The request head that goes with a response to RESPMOD is the one that the inner service got.
///
/// * A message that is left as it is (204) passes with all that belongs to it: version, extensions, fields of the
///   connection. A layer is no hop; a proxy removes [hop-by-hop fields](icap_proto::HttpHead::remove_hop_by_hop)
///   inside. A modified message keeps the extensions, and has the head that the service gave it, as of
///   [`Adapted::into_request`](crate::Adapted::into_request): a request to change protocols is over with that.
/// * A response that ends HTTP on its connection, 1xx or a 2xx to CONNECT, does not go to RESPMOD.
/// * A request that cannot be written as HTTP/1.1, such as with two `Host`, is answered with 400 without being passed
///   on, whatever [`OnFailure`] says: no user may choose to be bypassed. What cannot be understood of an ICAP service
///   is answered with 503, such a response of the inner service with 502.
/// * A failure behind the head of an answer is an error of the body. HTTP servers then cut the message off, so that
///   no part of it passes for the whole.
///
/// ```
/// use http::{Request, Response};
/// use icap_client::{Client, IcapBody, IcapLayer, OnFailure};
/// use tower::{ServiceBuilder, service_fn};
///
/// let service = ServiceBuilder::new()
///     .layer(
///         IcapLayer::new(OnFailure::Refuse)
///             .reqmod(Client::builder("icap://av.local/reqmod").build()?)
///             .respmod(Client::builder("icap://av.local/respmod").build()?),
///     )
///     .service(service_fn(async |request: Request<IcapBody>| {
///         Ok::<_, std::convert::Infallible>(Response::new(request.uri().to_string()))
///     }));
/// # fn is_service<S: tower::Service<Request<String>>>(_: S) {}
/// # is_service(service);
/// # Ok::<(), icap_client::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct IcapLayer {
    reqmod: Option<Client>,
    respmod: Option<Client>,
    on_failure: OnFailure,
}

impl IcapLayer {
    /// A layer that has nothing adapted yet.
    pub const fn new(on_failure: OnFailure) -> Self {
        Self { reqmod: None, respmod: None, on_failure }
    }

    /// Has requests adapted.
    pub fn reqmod(mut self, client: Client) -> Self {
        self.reqmod = Some(client);
        self
    }

    /// Has responses adapted.
    pub fn respmod(mut self, client: Client) -> Self {
        self.respmod = Some(client);
        self
    }

    /// The request for the inner service, or the answer for the user.
    async fn request<B>(&self, request: Request<B>) -> Result<Request<IcapBody>, Response<IcapBody>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(client) = &self.reqmod else { return Ok(request.map(IcapBody::new)) };
        let (parts, body) = request.into_parts();
        let Ok(message) = Reqmod::of_parts(&parts, Box::pin(body)) else {
            return Err(refusal(StatusCode::BAD_REQUEST));
        };
        match client.reqmod(message).await.or_else(|failure| self.after(failure)) {
            Ok(Outcome::Unmodified(original)) => {
                Ok(Request::from_parts(parts, IcapBody::new(original.into_replay())))
            }
            Ok(Outcome::Ignored(original) | Outcome::Bypassed(original)) => {
                Ok(Request::from_parts(parts, IcapBody::new(original)))
            }
            Ok(Outcome::Modified(adapted)) => match adapted.into_request() {
                Ok(mut request) => {
                    *request.extensions_mut() = parts.extensions;
                    Ok(request.map(IcapBody::new))
                }
                Err(_) => Err(refusal(StatusCode::SERVICE_UNAVAILABLE)),
            },
            Ok(Outcome::Answered(page)) => Err(page
                .into_response(&parts.method)
                .map_or_else(|_| refusal(StatusCode::SERVICE_UNAVAILABLE), boxed)),
            Ok(Outcome::NoContent(_)) | Err(()) => Err(refusal(StatusCode::SERVICE_UNAVAILABLE)),
        }
    }

    /// The response for the user, who asked with `method`.
    async fn response<R>(
        &self,
        client: &Client,
        method: &Method,
        asked: Asked,
        response: Response<R>,
    ) -> Response<IcapBody>
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        let Ok(message) = Respmod::of_parts(&parts, Box::pin(body)) else {
            return refusal(StatusCode::BAD_GATEWAY);
        };
        match client.respmod(message.asked(asked)).await.or_else(|failure| self.after(failure)) {
            Ok(Outcome::Unmodified(original)) => {
                Response::from_parts(parts, IcapBody::new(original.into_replay()))
            }
            Ok(Outcome::Ignored(original) | Outcome::Bypassed(original)) => {
                Response::from_parts(parts, IcapBody::new(original))
            }
            Ok(Outcome::Modified(adapted)) => match adapted.into_response(method) {
                Ok(mut response) => {
                    *response.extensions_mut() = parts.extensions;
                    boxed(response)
                }
                Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE),
            },
            Ok(Outcome::Answered(_) | Outcome::NoContent(_)) | Err(()) => {
                refusal(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Does with a failed call what was chosen.
    fn after<B>(&self, failure: Failure<B>) -> Result<Outcome<B>, ()> {
        tracing::warn!(error = %failure, on_failure = ?self.on_failure, "an ICAP service failed");
        match self.on_failure {
            OnFailure::Bypass => failure.bypass().map_err(|_| ()),
            OnFailure::Refuse => Err(()),
        }
    }
}

impl<S> Layer<S> for IcapLayer {
    type Service = IcapService<S>;

    fn layer(&self, inner: S) -> IcapService<S> {
        IcapService { inner, layer: self.clone() }
    }
}

/// A service inside an [`IcapLayer`].
#[derive(Debug, Clone)]
pub struct IcapService<S> {
    inner: S,
    layer: IcapLayer,
}

impl<S, B, R> Service<Request<B>> for IcapService<S>
where
    S: Service<Request<IcapBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<IcapBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // It is this one that was polled to be ready; its clone is not.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            let method = request.method().clone();
            let request = match layer.request(request).await {
                Ok(request) => request,
                Err(answer) => return Ok(answer),
            };
            let Some(client) = &layer.respmod else { return Ok(boxed(inner.call(request).await?)) };
            let Ok(asked) = Asked::new(&request) else {
                return Ok(refusal(StatusCode::BAD_REQUEST));
            };
            let response = inner.call(request).await?;
            if ends_http(&method, response.status()) {
                return Ok(boxed(response));
            }
            Ok(layer.response(client, &method, asked, response).await)
        })
    }
}

/// The body of a message that went through an [`IcapLayer`]: as it was, or as it came from the ICAP service.
pub struct IcapBody(UnsyncBoxBody<Bytes, BoxError>);

impl IcapBody {
    fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl Body for IcapBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for IcapBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcapBody").finish_non_exhaustive()
    }
}

fn boxed<B>(response: Response<B>) -> Response<IcapBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(IcapBody::new)
}

/// An answer without a body.
fn refusal(status: StatusCode) -> Response<IcapBody> {
    let mut response = Response::new(IcapBody::new(Empty::<Bytes>::new()));
    *response.status_mut() = status;
    response
}

/// What follows such a response is not HTTP any more, or not that response (RFC 9110 sections 9.3.6 and 15.2).
fn ends_http(method: &Method, status: StatusCode) -> bool {
    status.is_informational() || (method == Method::CONNECT && status.is_success())
}
