//! Credentials for a server that asks for them (RFC 3507 section 7.1).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "identity")]
use icap_proto::{BasicCredentials, Challenge};
use icap_proto::{InvalidHeader, RequestBuilder, ResponseHead, StatusCode};

use crate::fields::{CREDENTIALS, ORIGIN_CREDENTIALS};

/// Answers a server that refuses a request for want of credentials: with 407, or with 401 as some products do.
///
/// The request is sent once more with what this gives, as long as its body can be sent again. What is refused twice
/// is refused. Schemes that take more than one round, or are of one connection (NTLM), cannot be done so.
///
/// With the feature `identity`, `icap_proto::BasicCredentials` is an `Authenticate`. A function from a [`Refusal`]
/// is one too:
///
/// ```
/// use icap_client::{Authorization, Client, Refusal};
///
/// async fn fetch_token() -> Option<String> {
///     Some("t0ken".into())
/// }
///
/// let bearer = |_: Refusal| async {
///     Some(Authorization::lasting(format!("Bearer {}", fetch_token().await?)))
/// };
/// let client = Client::builder("icap://av.example/respmod").credentials(bearer).build()?;
/// # Ok::<(), icap_client::Error>(())
/// ```
pub trait Authenticate: Send + Sync + 'static {
    /// The credentials, `None` to let the refusal stand. [`Timeouts::total`](crate::Timeouts::total) limits it.
    fn authorize(&self, refusal: Refusal) -> impl Future<Output = Option<Authorization>> + Send;
}

impl<F, R> Authenticate for F
where
    F: Fn(Refusal) -> R + Send + Sync + 'static,
    R: Future<Output = Option<Authorization>> + Send,
{
    fn authorize(&self, refusal: Refusal) -> impl Future<Output = Option<Authorization>> + Send {
        self(refusal)
    }
}

/// Answers Basic challenges (RFC 7617), and no others. The user and the password are sent only after the server has
/// asked, and then with every request. To send them from the first request on, give
/// [`to_value`](BasicCredentials::to_value) to [`header`](crate::ClientBuilder::header) as `Proxy-Authorization`.
#[cfg(feature = "identity")]
impl Authenticate for BasicCredentials {
    async fn authorize(&self, refusal: Refusal) -> Option<Authorization> {
        let basic = refusal.challenges().iter().any(|challenge| challenge.is("Basic"));
        basic.then(|| Authorization::lasting(self.to_value()))
    }
}

/// The answer of a server that wants credentials.
#[derive(Debug, Clone)]
pub struct Refusal {
    response: Arc<ResponseHead>,
}

impl Refusal {
    /// The head of the 407 or 401. Its challenges stand in `Proxy-Authenticate` or `WWW-Authenticate`.
    #[must_use]
    pub fn response(&self) -> &ResponseHead {
        &self.response
    }

    /// Scheme and realm of each challenge.
    #[cfg(feature = "identity")]
    #[must_use]
    pub fn challenges(&self) -> Vec<Challenge> {
        let field = match self.response.status() {
            StatusCode::UNAUTHORIZED => "WWW-Authenticate",
            _ => "Proxy-Authenticate",
        };
        Challenge::read(self.response.headers(), field)
    }
}

/// The value of `Proxy-Authorization`, or of `Authorization` in answer to a 401.
///
/// [`Debug`](std::fmt::Debug) does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    value: String,
    lasting: bool,
}

impl Authorization {
    /// Credentials for this request alone.
    pub fn once(value: impl Into<String>) -> Self {
        Self { value: value.into(), lasting: false }
    }

    /// Credentials that, once they were taken, go with every request of the client until the server refuses them.
    pub fn lasting(value: impl Into<String>) -> Self {
        Self { value: value.into(), lasting: true }
    }
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("lasting", &self.lasting).finish_non_exhaustive()
    }
}

/// The credentials of a client.
pub(crate) struct Login {
    authenticate: Arc<dyn DynAuthenticate>,
    accepted: Mutex<Option<Sent>>,
}

/// Credentials in their field.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    field: &'static str,
    authorization: Authorization,
}

impl Sent {
    /// Adds the credentials to a request, if there are any.
    pub(crate) fn add_to(
        sent: Option<&Self>,
        request: RequestBuilder,
    ) -> Result<RequestBuilder, InvalidHeader> {
        match sent {
            Some(Self { field, authorization }) => request.header(field, &authorization.value),
            None => Ok(request),
        }
    }
}

impl Login {
    pub(crate) fn new(authenticate: impl Authenticate) -> Self {
        Self { authenticate: Arc::new(authenticate), accepted: Mutex::new(None) }
    }

    /// What the server took before.
    pub(crate) fn accepted(&self) -> Option<Sent> {
        self.lock().clone()
    }

    /// The server took these.
    pub(crate) fn accept(&self, sent: Option<&Sent>) {
        if let Some(sent) = sent.filter(|sent| sent.authorization.lasting) {
            let mut accepted = self.lock();
            if accepted.as_ref() != Some(sent) {
                *accepted = Some(sent.clone());
            }
        }
    }

    /// Credentials in answer to a refusal of those that were `sent`. The same again would be refused again.
    pub(crate) async fn answer(
        &self,
        response: &ResponseHead,
        sent: Option<&Sent>,
    ) -> Option<Sent> {
        self.lock().take_if(|accepted| sent == Some(accepted));
        let refusal = Refusal { response: Arc::new(response.clone()) };
        let authorization = self.authenticate.authorize(refusal).await?;
        let field = match response.status() {
            StatusCode::UNAUTHORIZED => ORIGIN_CREDENTIALS,
            _ => CREDENTIALS,
        };
        let answer = Sent { field, authorization };
        (sent != Some(&answer)).then_some(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sent>> {
        // Nothing that can panic runs under the lock.
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Whether the server wants credentials.
pub(crate) const fn is_refusal(response: &ResponseHead) -> bool {
    matches!(
        response.status(),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED
    )
}

/// An [`Authenticate`] of any kind.
trait DynAuthenticate: Send + Sync {
    fn authorize(&self, refusal: Refusal) -> BoxAuthorizing<'_>;
}

type BoxAuthorizing<'a> = Pin<Box<dyn Future<Output = Option<Authorization>> + Send + 'a>>;

impl<A: Authenticate> DynAuthenticate for A {
    fn authorize(&self, refusal: Refusal) -> BoxAuthorizing<'_> {
        Box::pin(Authenticate::authorize(self, refusal))
    }
}
