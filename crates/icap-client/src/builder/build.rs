//! From the settings to a client.

#[cfg(feature = "tls")]
use icap_proto::ServiceUri;
use icap_proto::{Method, RequestBuilder, RequestHead};

use super::ClientBuilder;
use crate::client::{Client, Settings, Templates};
use crate::connect::Dialer;
#[cfg(feature = "tls")]
use crate::error::InvalidTls;
use crate::error::{Error, Invalid};
use crate::negotiation::Negotiation;
use crate::offer;
use crate::pool::{Keep, Pool};
#[cfg(feature = "tls")]
use crate::tls::{Handshaker, Tls};

impl ClientBuilder {
    /// The finished client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a URI that does not parse, for settings of TLS that cannot be used, and for a field that
    /// cannot stand in an ICAP head.
    pub fn build(mut self) -> Result<Client, Error> {
        let uri = self.uri.map_err(Error::Invalid)?;
        #[cfg(not(feature = "tls"))]
        if uri.is_secure() {
            return Err(Error::Invalid(Invalid::Tls));
        }
        #[cfg(feature = "tls")]
        let tls = handshaker(self.tls, &uri)?;
        if !self.user_agent.is_empty() && !self.fields.has("User-Agent") {
            self.fields.add("User-Agent", self.user_agent.as_bytes());
        }
        let template = |method| -> Result<RequestBuilder, Error> {
            let request = RequestHead::builder(method, uri.clone()).template();
            let request = if self.max_idle == 0 { request.close() } else { request };
            self.fields
                .apply(request, false)
                .map_err(|error| Error::Invalid(Invalid::Header(error)))
        };
        let settings = Settings {
            preview: self.preview,
            replay_limit: self.replay_limit,
            transfer_ignore: self.transfer_ignore,
            partial_content: self.partial_content,
            icap_trailers: self.icap_trailers,
            http_trailers: self.http_trailers,
            timeouts: self.timeouts,
        };
        let templates = Templates {
            reqmod: template(Method::Reqmod)?,
            respmod: template(Method::Respmod)?,
            options: offer::ask(&settings, template(Method::Options)?),
            has_credentials: self.fields.has_credentials(),
        };
        let dialer = Dialer {
            uri,
            connector: self.connector,
            #[cfg(feature = "tls")]
            tls,
            taps: self.taps,
            limits: self.limits,
            leniency: self.leniency,
        };
        let keep = Keep {
            idle: self.max_idle,
            idle_age: self.max_idle_age,
            lifetime: self.max_lifetime,
            connections: self.max_connections,
        };
        // What the caller says of the service needs no asking.
        let asks = self.negotiate && self.options.is_none();
        let negotiation =
            Negotiation::new(asks, self.options, self.options_ttl, self.on_istag_change);
        Ok(Client::new(dialer, settings, templates, Pool::new(keep), negotiation, self.login))
    }
}

/// What an `icaps` URI needs beside a connection.
#[cfg(feature = "tls")]
fn handshaker(tls: Option<Tls>, uri: &ServiceUri) -> Result<Option<Handshaker>, Error> {
    let invalid = |error| Error::Invalid(Invalid::TlsSettings(error));
    match (tls, uri.is_secure()) {
        (None, false) => Ok(None),
        // Settings that nobody heeds would send in the clear what was meant to be kept.
        (Some(_), false) => Err(invalid(InvalidTls::PlainUri)),
        (tls, true) => tls.unwrap_or_default().build(uri).map(Some).map_err(invalid),
    }
}
