//! TLS of a listener: settings, change while running, and the handshake.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

use crate::peer::Peer;
use crate::server::Shared;
use crate::stream::{Socket, Stream};

mod clients;
mod handshake;
mod identity;

pub use self::handshake::PeerCertificate;
use self::identity::Identity;

/// Settings of TLS for a [`Listener`](crate::Listener).
///
/// What is needed is an identity: a certificate and its private key. Clients need none, unless it is said who is
/// trusted: from then on every client has to show a certificate.
///
/// ```no_run
/// use icap_server::{Listener, Server, Tls};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = || -> Result<Tls, std::io::Error> {
///     Ok(Tls::new()
///         .identity_pem(std::fs::read("/etc/icap/server.pem")?)
///         .client_roots_pem(std::fs::read("/etc/icap/proxies-ca.pem")?))
/// };
/// let acceptor = settings()?.acceptor()?;
/// let server = Server::new().listen(Listener::bind("[::]:11344").await?.tls(acceptor.clone()));
/// // Later, when the files have changed:
/// acceptor.reload(settings()?)?;
/// # drop(server);
/// # Ok(())
/// # }
/// ```
///
/// TLS 1.2 and 1.3, no ALPN. The cryptography is that set [here](Self::crypto_provider), else the default of the
/// process, else that of the feature `tls-aws-lc` or `tls-ring`.
#[derive(Clone, Default)]
#[must_use]
pub struct Tls {
    config: Option<Arc<ServerConfig>>,
    provider: Option<Arc<CryptoProvider>>,
    identity: Option<Arc<Identity>>,
    client_roots: Vec<Vec<u8>>,
    client_fingerprints: Vec<String>,
    client_optional: bool,
}

impl Tls {
    /// No identity yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A configuration of rustls as it is. No other setting goes with it.
    pub fn with_config(config: Arc<ServerConfig>) -> Self {
        Self { config: Some(config), ..Self::default() }
    }

    /// The certificate, those that lead from it to its root, and its private key (PKCS #8, PKCS #1 or SEC 1, not
    /// encrypted), all in one text and in any order. The certificate is the one that the key fits.
    pub fn identity_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Arc::new(Identity::Pem { chain: pem.into(), key: None }));
        self
    }

    /// The same in two texts: the certificates, and the private key.
    pub fn identity_parts(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity =
            Some(Arc::new(Identity::Pem { chain: chain.into(), key: Some(key.into()) }));
        self
    }

    /// The same as they come out of a store of keys: the certificate of the key is put first, the others stay in
    /// their order.
    pub fn identity_der(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        self.identity = Some(Arc::new(Identity::Der { chain, key }));
        self
    }

    /// Takes clients with a certificate that leads to one of these roots. Called again it adds more.
    pub fn client_roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_roots.push(pem.into());
        self
    }

    /// Takes clients with the one certificate whose SHA-256 this is, whoever issued it: hexadecimal, with or without
    /// colons, as `openssl x509 -noout -fingerprint -sha256` shows it. Called again it adds another. It goes with
    /// [roots](Self::client_roots_pem): one of the two is enough.
    ///
    /// The certificate itself is what is trusted: its issuer and its dates are not looked at. That the client has
    /// the key of it is checked as ever.
    pub fn client_fingerprint(mut self, sha256: impl Into<String>) -> Self {
        self.client_fingerprints.push(sha256.into());
        self
    }

    /// Takes clients without a certificate too. One that is shown has to be trusted all the same, and
    /// [`Request::peer_certificate`](crate::Request::peer_certificate) tells the two apart.
    pub const fn client_optional(mut self) -> Self {
        self.client_optional = true;
        self
    }

    /// The cryptography.
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Everything read and checked, for [`Listener::tls`](crate::Listener::tls).
    ///
    /// # Errors
    ///
    /// What cannot be used of the settings.
    pub fn acceptor(self) -> Result<TlsAcceptor, InvalidTls> {
        Ok(TlsAcceptor { current: Arc::new(RwLock::new(self.into_config()?)) })
    }

    /// The same as a configuration of rustls, for who shakes hands without a [`Listener`](crate::Listener) and gives
    /// the streams to [`Server::serve_connection`](crate::Server::serve_connection).
    ///
    /// # Errors
    ///
    /// What cannot be used of the settings.
    pub fn into_config(self) -> Result<Arc<ServerConfig>, InvalidTls> {
        match &self.config {
            Some(config) if self.has_no_settings() => Ok(Arc::clone(config)),
            Some(_) => Err(InvalidTls::Conflict),
            None => self.config().map(Arc::new),
        }
    }

    const fn has_no_settings(&self) -> bool {
        self.provider.is_none()
            && self.identity.is_none()
            && self.client_roots.is_empty()
            && self.client_fingerprints.is_empty()
            && !self.client_optional
    }

    fn config(self) -> Result<ServerConfig, InvalidTls> {
        let provider = self.provider.or_else(default_provider).ok_or(InvalidTls::CryptoProvider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| InvalidTls::CryptoProvider)?;
        let builder = if self.client_roots.is_empty() && self.client_fingerprints.is_empty() {
            if self.client_optional {
                return Err(InvalidTls::Conflict);
            }
            builder.with_no_client_auth()
        } else {
            let verifier: Arc<dyn ClientCertVerifier> = Arc::new(clients::Known::new(
                &self.client_roots,
                &self.client_fingerprints,
                self.client_optional,
                Arc::clone(&provider),
            )?);
            builder.with_client_cert_verifier(verifier)
        };
        let (chain, key) = self.identity.ok_or(InvalidTls::NoIdentity)?.read(&provider)?;
        builder.with_single_cert(chain, key).map_err(|_| InvalidTls::Certificates)
    }
}

/// No keys in logs.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("identity", &self.identity.is_some())
            .field("client_fingerprints", &self.client_fingerprints)
            .field("client_optional", &self.client_optional)
            .finish_non_exhaustive()
    }
}

/// TLS ready for use, and changeable while it is used: all clones are one.
#[derive(Debug, Clone)]
pub struct TlsAcceptor {
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsAcceptor {
    /// Uses other settings for the connections that come from now on. Those that are open stay as they are; none
    /// of them is resumed under settings that it was not made with.
    ///
    /// # Errors
    ///
    /// What cannot be used of the settings; those before stay in use.
    pub fn reload(&self, tls: Tls) -> Result<(), InvalidTls> {
        let config = tls.into_config()?;
        // Nothing panics while the lock is held.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Shakes hands, unless the client takes too long or the server stops.
    pub(crate) async fn open(
        &self,
        socket: Socket,
        addr: Option<SocketAddr>,
        shared: &Shared,
    ) -> Option<(Stream, Peer)> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        handshake::shake_hands(config, socket, addr, shared).await
    }
}

/// What was wrong with the settings of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTls {
    /// A configuration of rustls that is whole, and settings that it would not heed. Or certificates of clients are
    /// optional, and none is trusted.
    #[error("settings of TLS that exclude each other")]
    Conflict,
    /// No cryptography: neither a feature of the crate, nor one set, nor one of the process; or it lacks what TLS
    /// needs.
    #[error("no cryptography for TLS")]
    CryptoProvider,
    /// Neither a certificate nor a key was set.
    #[error("no certificate and private key to show to clients")]
    NoIdentity,
    /// No PEM, no certificate in it, or one that cannot be used.
    #[error("malformed certificates")]
    Certificates,
    /// No PEM, no private key in it, or one that cannot be used.
    #[error("malformed private key")]
    Key,
    /// The private key needs a password.
    #[error(
        "the private key is encrypted; it has to be in the clear, in a file that only the server can read"
    )]
    EncryptedKey,
    /// Two private keys that are not the same.
    #[error("two different private keys in one PEM; was a new one appended to the old?")]
    SeveralKeys,
    /// No certificate has the public key to this private key.
    #[error("the private key does not fit to the certificate")]
    KeyMismatch,
    /// Not the SHA-256 of anything.
    #[error("malformed fingerprint")]
    Fingerprint,
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
