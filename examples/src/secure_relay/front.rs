//! TLS towards the clients: who the relay is, and who may come in.
//!
//! The TLS is that of `icap-server`. The relay accepts connections and shakes hands by itself: source addresses and the
//! PROXY protocol come before TLS, and a tunnel has no ICAP behind it.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use icap::server::Tls;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::{CertificateError, Error};
use tokio_rustls::server::TlsStream;

use super::buffer::ReadAhead;
use super::facts::Facts;
use super::identity::{Certificates, Identity};

/// Whose certificate a client has to show.
#[derive(Debug, Clone)]
pub(crate) enum ClientAuth {
    /// Nobody's: any client is served.
    Off,
    /// One of these, or one that leads to one of these; within its dates.
    Issued(Certificates),
    /// One of these, whatever its dates and its issuer.
    Pinned(Certificates),
}

/// The clients' side of a connection of the configuration.
pub(crate) struct Front {
    acceptor: TlsAcceptor,
    dates_count: bool,
}

impl Front {
    /// TLS 1.2 and 1.3, no ALPN, no renegotiation. A client that has to show a certificate and has none is refused in
    /// the handshake.
    pub(crate) fn new(
        identity: &Identity,
        clients: &ClientAuth,
        provider: &Arc<CryptoProvider>,
    ) -> anyhow::Result<Self> {
        let (chain, key) = identity.parts();
        let tls = Tls::new().crypto_provider(Arc::clone(provider)).identity_der(chain, key);
        let tls = match clients {
            ClientAuth::Off => tls,
            // A certificate that signed itself is often an authority by its own words, and no authority is a client
            // for webpki: those that are known themselves are known by their fingerprints.
            ClientAuth::Issued(known) => pins(tls, known).client_roots_pem(known.pem.as_slice()),
            ClientAuth::Pinned(known) => pins(tls, known),
        };
        let acceptor = TlsAcceptor::from(tls.into_config()?);
        Ok(Self { acceptor, dates_count: matches!(clients, ClientAuth::Issued(_)) })
    }

    /// Shakes hands.
    pub(crate) async fn accept(&self, stream: TcpStream) -> anyhow::Result<TlsStream<ReadAhead>> {
        expect_tls(&stream).await?;
        let stream = self.acceptor.accept(ReadAhead::new(stream)).await.map_err(reason)?;
        self.check_dates(&stream)?;
        Ok(stream)
    }

    /// For a fingerprint they do not count.
    fn check_dates(&self, stream: &TlsStream<ReadAhead>) -> anyhow::Result<()> {
        if !self.dates_count {
            return Ok(());
        }
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let facts = Facts::of(shown.context(NO_CERTIFICATE)?);
        ensure!(facts.days_left() >= 0, EXPIRED);
        ensure!(facts.is_valid_now(), "the certificate of the client is not valid yet");
        Ok(())
    }
}

const NO_CERTIFICATE: &str = "the client shows no certificate";
const EXPIRED: &str = "the certificate of the client has expired";

fn pins(tls: Tls, known: &Certificates) -> Tls {
    known.list.iter().fold(tls, |tls, certificate| {
        let digits = Sha256::digest(certificate).into_iter().map(|byte| format!("{byte:02x}"));
        tls.client_fingerprint(digits.collect::<String>())
    })
}

/// The first byte of a TLS connection is 22, a handshake record; a letter is somebody who speaks ICAP without TLS.
async fn expect_tls(stream: &TcpStream) -> anyhow::Result<()> {
    let mut first = [0; 1];
    match (stream.peek(&mut first).await?, first) {
        (0, _) => bail!("closed before the TLS handshake"),
        (_, [22]) => Ok(()),
        (_, [byte]) if byte.is_ascii_alphabetic() => {
            bail!("plain text on the TLS port: the client is not set to secure ICAP")
        }
        _ => bail!("not TLS"),
    }
}

/// The reason alone, in words that say whose certificate is meant.
fn reason(error: std::io::Error) -> anyhow::Error {
    let known = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match known {
        Some(Error::NoCertificatesPresented) => anyhow::anyhow!(NO_CERTIFICATE),
        Some(Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                anyhow::anyhow!(EXPIRED)
            }
            CertificateError::UnknownIssuer | CertificateError::ApplicationVerificationFailure => {
                anyhow::anyhow!("the certificate of the client is not one that is known here")
            }
            reason => anyhow::anyhow!("the certificate of the client: {reason}"),
        },
        Some(Error::AlertReceived(alert)) => {
            anyhow::anyhow!("the client gives up the handshake: {alert:?}")
        }
        _ => anyhow::Error::new(error).context("TLS handshake"),
    }
}
