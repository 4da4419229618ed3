//! Which clients are trusted.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::hash::Hash;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::InvalidTls;
use super::handshake::sha256;

/// Takes clients whose certificate leads to a root or has one of these fingerprints, and which have its key.
pub(super) struct Known {
    fingerprints: Vec<[u8; 32]>,
    roots: Option<Arc<dyn ClientCertVerifier>>,
    optional: bool,
    provider: Arc<CryptoProvider>,
    sha256: &'static dyn Hash,
}

impl Known {
    pub(super) fn new(
        roots: &[Vec<u8>],
        fingerprints: &[String],
        optional: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, InvalidTls> {
        let fingerprints: Option<_> = fingerprints.iter().map(|text| parse(text)).collect();
        Ok(Self {
            fingerprints: fingerprints.ok_or(InvalidTls::Fingerprint)?,
            roots: verifier(roots, &provider)?,
            optional,
            sha256: sha256(&provider).ok_or(InvalidTls::CryptoProvider)?,
            provider,
        })
    }
}

impl ClientCertVerifier for Known {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // With fingerprints any issuer may be right: a client must not be kept from showing its certificate.
        match &self.roots {
            Some(roots) if self.fingerprints.is_empty() => roots.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let hash = self.sha256.hash(leaf);
        if self.fingerprints.iter().any(|pinned| pinned == hash.as_ref()) {
            return Ok(ClientCertVerified::assertion());
        }
        match &self.roots {
            Some(roots) => roots.verify_client_cert(leaf, intermediates, now),
            None => Err(CertificateError::ApplicationVerificationFailure.into()),
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
        f.debug_struct("Known").field("fingerprints", &self.fingerprints).finish_non_exhaustive()
    }
}

/// `None` without roots.
fn verifier(
    pems: &[Vec<u8>],
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, InvalidTls> {
    let mut store = RootCertStore::empty();
    for pem in pems {
        let before = store.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| InvalidTls::Certificates)?;
            store.add(certificate).map_err(|_| InvalidTls::Certificates)?;
        }
        if store.len() == before {
            return Err(InvalidTls::Certificates);
        }
    }
    if store.is_empty() {
        return Ok(None);
    }
    let provider = Arc::clone(provider);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    Ok(Some(verifier.map_err(|_| InvalidTls::Certificates)?))
}

/// 64 hexadecimal digits in pairs, colons between all pairs or none.
fn parse(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let step = match text.len() {
        64 => 2,
        95 => 3,
        _ => return None,
    };
    let mut fingerprint = [0; 32];
    for (byte, pair) in fingerprint.iter_mut().zip(text.as_bytes().chunks(step)) {
        *byte = match *pair {
            [high, low] | [high, low, b':'] => digit(high)? << 4 | digit(low)?,
            _ => return None,
        };
    }
    Some(fingerprint)
}
