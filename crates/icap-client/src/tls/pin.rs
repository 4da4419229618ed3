//! Trust in one certificate.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::hash::{Hash, HashAlgorithm};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme, SupportedCipherSuite,
};

use crate::error::InvalidTls;

/// Takes a server whose certificate has one of these fingerprints, and which has its key.
pub(super) struct Pinned {
    fingerprints: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
    sha256: &'static dyn Hash,
}

impl Pinned {
    /// # Errors
    ///
    /// [`InvalidTls::Fingerprint`], or [`InvalidTls::CryptoProvider`] when that has no SHA-256.
    pub(super) fn new(
        fingerprints: &[String],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, InvalidTls> {
        let fingerprints: Option<_> = fingerprints.iter().map(|text| parse(text)).collect();
        Ok(Self {
            fingerprints: fingerprints.ok_or(InvalidTls::Fingerprint)?,
            sha256: sha256(&provider).ok_or(InvalidTls::CryptoProvider)?,
            provider,
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash = self.sha256.hash(leaf);
        if self.fingerprints.iter().any(|pinned| pinned == hash.as_ref()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
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

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").field("fingerprints", &self.fingerprints).finish_non_exhaustive()
    }
}

/// The SHA-256 that a cipher suite brings: whoever does TLS has it already.
fn sha256(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    let hashes = provider.cipher_suites.iter().map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    });
    hashes.into_iter().find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_pairs_of_digits() {
        let colons = ["0a"; 31].join(":") + ":Ff";
        let mut expected = [10; 32];
        expected[31] = 255;
        assert_eq!(parse(&colons), Some(expected));
        assert_eq!(parse(&colons.replace(':', "")), Some(expected));
        for broken in [
            "",
            "0a",
            &colons[1..],
            &colons.replacen(':', "-", 1),
            &colons.replacen('0', "+", 1),
            &format!("{colons}:"),
            &colons.replace(':', "").replacen("0a", "é", 1),
            &format!("{}:", &colons[..94]),
        ] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
