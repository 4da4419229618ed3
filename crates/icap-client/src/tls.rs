//! TLS for `icaps` URIs: settings, and the handshake.

use std::io;
use std::sync::Arc;

use icap_proto::ServiceUri;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, Error as RustlsError, RootCertStore};

use crate::connect::BoxTransport;
use crate::error::InvalidTls;

mod pin;

/// Settings of TLS for a client of an `icaps` service.
///
/// By default a server has to show a certificate for the host of the URI that leads to a root certificate of the
/// system. There is no switch that takes any certificate: for a server with one of its own there are
/// [`roots_pem`](Self::roots_pem) and [`fingerprint`](Self::fingerprint).
///
/// ```no_run
/// use icap_client::{Client, Tls};
///
/// let tls = Tls::new()
///     .roots_pem(std::fs::read("/etc/icap/ca.pem")?)
///     .client_pem(std::fs::read("/etc/icap/client.pem")?, std::fs::read("/etc/icap/client.key")?);
/// let client = Client::builder("icaps://av.example/respmod").tls(tls).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// TLS 1.2 and 1.3, no ALPN. The cryptography is that set [here](Self::crypto_provider), else the default of the
/// process, else that of the feature `tls-aws-lc` or `tls-ring`.
#[derive(Clone, Default)]
#[must_use]
pub struct Tls {
    config: Option<Arc<ClientConfig>>,
    provider: Option<Arc<CryptoProvider>>,
    roots: Vec<Vec<u8>>,
    fingerprints: Vec<String>,
    client: Option<ClientPem>,
    server_name: Option<String>,
}

#[derive(Clone)]
struct ClientPem {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A configuration of rustls as it is. Beside it only a [server name](Self::server_name) can be set.
    pub fn with_config(config: Arc<ClientConfig>) -> Self {
        Self { config: Some(config), ..Self::default() }
    }

    /// Trusts these root certificates, and not those of the system. Called again it adds more.
    pub fn roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Trusts the one certificate whose SHA-256 this is, for a server that signs its own: hexadecimal, with or
    /// without colons, as `openssl x509 -noout -fingerprint -sha256` shows it. Called again it adds another, for
    /// the time of a change.
    ///
    /// The certificate itself is what is trusted: its issuer, its names and its dates are not looked at. That the
    /// server has the key of it is checked as ever.
    ///
    /// ```
    /// let tls = icap_client::Tls::new().fingerprint(
    ///     "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08",
    /// );
    /// ```
    pub fn fingerprint(mut self, sha256: impl Into<String>) -> Self {
        self.fingerprints.push(sha256.into());
        self
    }

    /// Shows the server this certificate when it asks for one: the chain with the certificate first, and its
    /// private key (PKCS #8, PKCS #1 or SEC 1).
    pub fn client_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some(ClientPem { chain: chain.into(), key: key.into() });
        self
    }

    /// The name that is sent to the server and that its certificate has to have, in place of the host of the URI.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The cryptography.
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Everything read and checked, for the service at `uri`.
    pub(crate) fn build(self, uri: &ServiceUri) -> Result<Handshaker, InvalidTls> {
        let name = match &self.server_name {
            Some(name) => name.as_str(),
            None => uri.host().trim_start_matches('[').trim_end_matches(']'),
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|_| InvalidTls::ServerName)?;
        let config = match &self.config {
            Some(config) if self.has_no_settings() => Arc::clone(config),
            Some(_) => return Err(InvalidTls::Conflict),
            None => Arc::new(self.config()?),
        };
        Ok(Handshaker { connector: TlsConnector::from(config), name })
    }

    fn has_no_settings(&self) -> bool {
        self.provider.is_none()
            && self.roots.is_empty()
            && self.fingerprints.is_empty()
            && self.client.is_none()
    }

    fn config(self) -> Result<ClientConfig, InvalidTls> {
        let provider = self.provider.or_else(default_provider).ok_or(InvalidTls::CryptoProvider)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| InvalidTls::CryptoProvider)?;
        let builder = match (self.fingerprints.is_empty(), self.roots.is_empty()) {
            (true, true) => builder.with_root_certificates(system_roots()?),
            (true, false) => builder.with_root_certificates(roots(&self.roots)?),
            (false, true) => {
                let pinned = pin::Pinned::new(&self.fingerprints, provider)?;
                // "Dangerous" is any verifier of one's own.
                builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
            }
            (false, false) => return Err(InvalidTls::Conflict),
        };
        match self.client {
            None => Ok(builder.with_no_client_auth()),
            Some(client) => client.set(builder),
        }
    }
}

impl ClientPem {
    fn set(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, InvalidTls> {
        let chain = certificates(&self.chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| InvalidTls::Key)?;
        builder.with_client_auth_cert(chain, key).map_err(|error| match error {
            RustlsError::InvalidCertificate(_) => InvalidTls::Certificates,
            _ => InvalidTls::Key,
        })
    }
}

/// No keys in logs.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("fingerprints", &self.fingerprints)
            .field("client", &self.client.is_some())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Makes TLS of a connection to one server.
pub(crate) struct Handshaker {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Handshaker {
    pub(crate) async fn handshake(&self, io: BoxTransport) -> io::Result<TlsStream<BoxTransport>> {
        self.connector.connect(self.name.clone(), io).await
    }
}

fn default_provider() -> Option<Arc<CryptoProvider>> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Some(Arc::clone(provider));
    }
    #[cfg(feature = "tls-aws-lc")]
    return Some(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "tls-ring", not(feature = "tls-aws-lc")))]
    return Some(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "tls-aws-lc", feature = "tls-ring")))]
    None
}

fn system_roots() -> Result<RootCertStore, InvalidTls> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    let mut store = RootCertStore::empty();
    // Systems have some that are too old to be understood.
    store.add_parsable_certificates(found.certs);
    if store.is_empty() { Err(InvalidTls::NoRoots) } else { Ok(store) }
}

fn roots(pems: &[Vec<u8>]) -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    for pem in pems {
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|_| InvalidTls::Certificates)?;
        }
    }
    Ok(store)
}

/// All certificates of a PEM text, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(InvalidTls::Certificates),
    }
}
