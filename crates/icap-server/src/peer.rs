//! Who is at the other end of a connection.

use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use crate::PeerCertificate;

/// What is known of a client before it says anything.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) addr: Option<SocketAddr>,
    #[cfg(feature = "tls")]
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
}

impl Peer {
    pub(crate) const fn new(addr: Option<SocketAddr>) -> Self {
        Self {
            addr,
            #[cfg(feature = "tls")]
            certificate: None,
        }
    }

    /// The address as the log has it.
    pub(crate) fn client(&self) -> Option<tracing::field::DisplayValue<SocketAddr>> {
        self.addr.map(tracing::field::display)
    }

    /// The fingerprint of the certificate as the log has it.
    pub(crate) fn certificate(&self) -> Option<&str> {
        #[cfg(feature = "tls")]
        return self.certificate.as_ref().map(|certificate| certificate.fingerprint());
        #[cfg(not(feature = "tls"))]
        None
    }
}
