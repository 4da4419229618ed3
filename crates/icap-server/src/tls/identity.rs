//! The server's certificate and key.

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{PemObject, SectionKind};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use super::InvalidTls;

pub(super) enum Identity {
    Pem {
        chain: Vec<u8>,
        /// `None` when it is beside the chain.
        key: Option<Vec<u8>>,
    },
    Der {
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    },
}

impl Identity {
    /// The chain with the certificate of the key first, and the key.
    pub(super) fn read(
        &self,
        provider: &CryptoProvider,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), InvalidTls> {
        let (mut chain, key) = match self {
            Self::Pem { chain, key } => {
                let certificates: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(chain).collect();
                let certificates = certificates.map_err(|_| InvalidTls::Certificates)?;
                (certificates, only_key(key.as_ref().unwrap_or(chain))?)
            }
            Self::Der { chain, key } => (chain.clone(), key.clone_key()),
        };
        if chain.is_empty() {
            return Err(InvalidTls::Certificates);
        }
        let own = own_certificate(&chain, &key, provider)?;
        if let Some(head) = chain.get_mut(..=own) {
            head.rotate_right(1);
        }
        Ok((chain, key))
    }
}

/// Which of the certificates the key belongs to.
fn own_certificate(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<usize, InvalidTls> {
    let key = provider.key_provider.load_private_key(key.clone_key());
    let key = key.map_err(|_| InvalidTls::Key)?;
    let mut problem = InvalidTls::KeyMismatch;
    for (index, certificate) in chain.iter().enumerate() {
        match CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match() {
            // Unknown: a key that does not say what its public key is.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => return Ok(index),
            Err(Error::InconsistentKeys(_)) => {}
            Err(_) => problem = InvalidTls::Certificates,
        }
    }
    Err(problem)
}

/// The private key of a PEM text, which may be there twice but not beside another.
fn only_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, InvalidTls> {
    let encrypted = pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
    if encrypted {
        return Err(InvalidTls::EncryptedKey);
    }
    let mut found: Option<PrivateKeyDer<'static>> = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|_| InvalidTls::Key)?;
        let Some(key) = PrivateKeyDer::from_pem(kind, der) else { continue };
        match &found {
            Some(other) if other.secret_der() != key.secret_der() => {
                return Err(InvalidTls::SeveralKeys);
            }
            _ => found = Some(key),
        }
    }
    found.ok_or(InvalidTls::Key)
}

/// In the label of PKCS #8, in a field of the older forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";
