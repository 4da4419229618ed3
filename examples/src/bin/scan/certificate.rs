//! The certificate that a server shows, whether or not it is to be trusted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use icap::client::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use icap::client::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use icap::client::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use icap::client::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Begins a handshake to see the certificate, and ends the connection. Nothing is sent over it: whether the server is
/// to be trusted is for the client to say, on a connection of its own.
pub(crate) async fn look(
    stream: TcpStream,
    name: &str,
    limit: Duration,
) -> anyhow::Result<Certificate> {
    let provider = Arc::new(ring::default_provider());
    let seen = Arc::new(Seen { certificate: Mutex::default(), provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned())?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let shaken = tokio::time::timeout(limit, handshake).await;
    // A server that wants a certificate of ours has shown its own before it says so.
    let certificate = seen.certificate.lock().unwrap_or_else(PoisonError::into_inner).take();
    match certificate {
        Some(certificate) => Ok(certificate),
        None => match shaken {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(_)) => anyhow::bail!("the server shows no certificate"),
            Err(_) => anyhow::bail!("no handshake in {} s", limit.as_secs()),
        },
    }
}

/// What a person looks at in a certificate.
#[derive(Debug, Default)]
pub(crate) struct Certificate {
    subject: String,
    issuer: String,
    until: String,
    names: Vec<String>,
    /// For `--pin`.
    pub(crate) sha256: String,
}

impl Certificate {
    fn new(der: &[u8]) -> Self {
        let sha256 = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
        let Ok((_, parsed)) = X509Certificate::from_der(der) else {
            return Self { subject: "unreadable".to_owned(), sha256, ..Self::default() };
        };
        let names = match parsed.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().map(name).collect(),
            _ => Vec::new(),
        };
        Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            until: parsed.validity().not_after.to_datetime().date().to_string(),
            names,
            sha256,
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, issuer, until, names, sha256 } = self;
        let names = names.join(", ");
        let text = format!("{subject}, by {issuer}, until {until}, for {names}, SHA-256 {sha256}");
        // What a stranger wrote is not for the terminal to obey.
        f.write_str(&text.replace(char::is_control, "?"))
    }
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => std::net::Ipv4Addr::new(a, b, c, d).to_string(),
            ref bytes => <[u8; 16]>::try_from(bytes)
                .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
                .unwrap_or_default(),
        },
        other => other.to_string(),
    }
}

/// Notes the certificate and asks no more of it.
#[derive(Debug)]
struct Seen {
    certificate: Mutex<Option<Certificate>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = Certificate::new(certificate);
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
