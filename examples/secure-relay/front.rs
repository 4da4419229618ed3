//! TLS towards the clients: who the relay is, and who may come in.

use std::sync::Arc;

use anyhow::Context;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::identity::{Facts, Identity};

/// Whose certificate a client has to show.
#[derive(Debug, Clone)]
pub(crate) enum ClientAuth {
    /// Nobody's: any client is served.
    Off,
    /// One of these, or one that leads to one of these; within its dates.
    Issued(Vec<CertificateDer<'static>>),
    /// One of these, whatever its dates and its issuer.
    Pinned(Vec<CertificateDer<'static>>),
}

/// TLS 1.2 and 1.3, no ALPN, no renegotiation. A client that has to show a certificate and has none is refused in
/// the handshake.
pub(crate) fn server_config(
    identity: &Identity,
    clients: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        ClientAuth::Off => builder.with_no_client_auth(),
        ClientAuth::Issued(certificates) => {
            builder.with_client_cert_verifier(Arc::new(Known::issued(certificates, provider)?))
        }
        ClientAuth::Pinned(certificates) => {
            builder.with_client_cert_verifier(Arc::new(Known::pinned(certificates, provider)))
        }
    };
    let key = Arc::new(SingleCertAndKey::from(identity.certified(provider)?));
    Ok(Arc::new(builder.with_cert_resolver(key)))
}

/// Takes certificates that are known themselves, and such as known ones issued.
struct Known {
    exact: Vec<CertificateDer<'static>>,
    chain: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Known {
    fn issued(
        certificates: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.clone()).with_context(|| Facts::of(certificate).to_string())?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let chain = Some(verifier.build()?);
        Ok(Self { exact: certificates.to_vec(), chain, provider: Arc::clone(provider) })
    }

    fn pinned(certificates: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Self {
        Self { exact: certificates.to_vec(), chain: None, provider: Arc::clone(provider) }
    }
}

impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let known = self.exact.iter().find(|exact| *exact == leaf);
        match (&self.chain, known) {
            (None, Some(_)) => Ok(ClientCertVerified::assertion()),
            (None, None) => Err(CertificateError::ApplicationVerificationFailure.into()),
            // A certificate that signed itself is no end entity for webpki, and its dates count all the same.
            (Some(_), Some(exact)) => match Facts::of(exact) {
                facts if facts.is_valid_now() => Ok(ClientCertVerified::assertion()),
                facts if facts.days_left() < 0 => Err(CertificateError::Expired.into()),
                _ => Err(CertificateError::NotValidYet.into()),
            },
            (Some(chain), None) => chain.verify_client_cert(leaf, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("exact", &self.exact.len()).finish_non_exhaustive()
    }
}
