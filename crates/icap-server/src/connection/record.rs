//! What the log says about a transaction.

use std::net::SocketAddr;

use icap_proto::{Method, RequestHead, ServiceUri, StatusCode};
use tokio::time::Instant;

/// One transaction.
pub(super) struct Record {
    client: Option<SocketAddr>,
    method: Method,
    uri: ServiceUri,
    started: Instant,
    /// The status of the answer, once there is one.
    pub(super) status: Option<StatusCode>,
    /// Body bytes that were read.
    pub(super) bytes_in: u64,
    /// Body bytes of the answer.
    pub(super) bytes_out: u64,
    /// The answer was broken off.
    pub(super) aborted: bool,
}

impl Record {
    pub(super) fn start(head: &RequestHead, client: Option<SocketAddr>) -> Self {
        Self {
            client,
            method: head.method().clone(),
            uri: head.uri().clone(),
            started: Instant::now(),
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            aborted: false,
        }
    }

    pub(super) const fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    pub(super) fn service(&self) -> &str {
        self.uri.path()
    }
}

/// Written however the transaction ends.
impl Drop for Record {
    fn drop(&mut self) {
        tracing::info!(
            target: "icap_server::access",
            client = self.client.map(tracing::field::display),
            method = self.method.as_str(),
            service = self.uri.path(),
            status = self.status.map(StatusCode::as_u16),
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            elapsed_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            aborted = self.aborted,
            "transaction",
        );
    }
}
