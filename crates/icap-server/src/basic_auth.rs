//! Clients that must say who they are.

use std::future::Future;

use icap_proto::{BasicCredentials, Challenge, InvalidHeader, ServiceOptions, StatusCode};

use crate::{Error, Reply, Request, Service, ServiceConfig};

/// A service for clients with credentials that `check` knows (RFC 3507 section 7.1); others get 407 with a Basic
/// challenge for this realm, and the service does not see them. OPTIONS is answered for everybody.
///
/// These are the credentials of the ICAP client; users of HTTP are never asked. Compare with
/// [`BasicCredentials::matches`], which takes as long whatever differs. Base64 hides nothing, so use it over TLS
/// only.
///
/// ```
/// use icap_proto::{BasicCredentials, ServiceOptions};
/// use icap_server::{Reply, Server, basic_auth, service_fn};
///
/// let pass = service_fn(ServiceOptions::respmod("Pass 1.0")?, |_| async { Ok(Reply::unmodified()) });
/// let proxy = BasicCredentials::new("proxy", "open sesame")?;
/// let service = basic_auth(pass, "scan", move |sent| std::future::ready(sent.matches(&proxy)))?;
/// let server = Server::new().service("/pass", service)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`InvalidHeader`] for a realm that cannot stand in a field line.
pub fn basic_auth<S, F, Fut>(
    service: S,
    realm: &str,
    check: F,
) -> Result<impl Service + use<S, F, Fut>, InvalidHeader>
where
    S: Service,
    F: Fn(BasicCredentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send + 'static,
{
    let challenge = Challenge::new("Basic", realm)?.to_value();
    Ok(BasicAuth { service, challenge, check })
}

struct BasicAuth<S, F> {
    service: S,
    challenge: Vec<u8>,
    check: F,
}

impl<S, F, Fut> Service for BasicAuth<S, F>
where
    S: Service,
    F: Fn(BasicCredentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send + 'static,
{
    fn options(&self) -> ServiceOptions {
        self.service.options()
    }

    fn config(&self) -> ServiceConfig {
        self.service.config()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        if let Some(credentials) = BasicCredentials::read(request.head().headers())
            && (self.check)(credentials).await
        {
            return self.service.call(request).await;
        }
        let refusal = Reply::error(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        Ok(refusal.header("Proxy-Authenticate", &self.challenge)?)
    }
}
