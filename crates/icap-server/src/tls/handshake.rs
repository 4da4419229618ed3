//! The handshake, and who is known after it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::SupportedCipherSuite;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::hash::{Hash, HashAlgorithm};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;

use crate::metrics;
use crate::peer::Peer;
use crate::server::Shared;
use crate::stream::{Socket, Stream};

/// A certificate that an ICAP client showed and that is trusted.
#[derive(Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    fingerprint: String,
}

impl PeerCertificate {
    /// The certificate first, then those that lead to its root, as far as the client sent them.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The SHA-256 of the certificate in lower-case hexadecimal digits, as in the log.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What is inside the TLS; `None` when it does not come to that.
pub(super) async fn shake_hands(
    config: Arc<ServerConfig>,
    socket: Socket,
    addr: Option<SocketAddr>,
    shared: &Shared,
) -> Option<(Stream, Peer)> {
    let client = addr.map(tracing::field::display);
    let provider = Arc::clone(config.crypto_provider());
    let accept = tokio_rustls::TlsAcceptor::from(config).accept(socket);
    let (mut accept, mut stop) = (pin!(accept), shared.life.stop.listen());
    let done = poll_fn(|cx| match accept.as_mut().poll(cx) {
        Poll::Pending => stop.poll(cx).map(|()| None),
        done => done.map(Some),
    });
    match timeout(shared.timeouts.handshake, done).await {
        Ok(Some(Ok(stream))) => {
            let mut peer = Peer::new(addr);
            peer.certificate = certificate(&stream, &provider);
            return Some((Stream::Tls(Box::new(stream)), peer));
        }
        // Who only looks whether somebody listens.
        Ok(Some(Err(error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
            tracing::debug!(client, %error, "TLS handshake broken off");
        }
        Ok(Some(Err(error))) => tracing::warn!(client, %error, "TLS handshake failed"),
        Ok(None) => tracing::debug!(client, "TLS handshake ended by the stop of the server"),
        Err(_) => tracing::warn!(client, "timed out waiting for the TLS handshake"),
    }
    metrics::refused("handshake");
    None
}

fn certificate(
    stream: &TlsStream<Socket>,
    provider: &CryptoProvider,
) -> Option<Arc<PeerCertificate>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    let hash = sha256(provider)?.hash(chain.first()?);
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
    Some(Arc::new(PeerCertificate { chain, fingerprint: digits.collect() }))
}

/// The SHA-256 that a cipher suite brings: whoever does TLS has it already.
pub(super) fn sha256(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    let hashes = provider.cipher_suites.iter().map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    });
    hashes.into_iter().find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
}
