//! The message that was asked about, kept in case it has to be sent back.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use icap_proto::{Headers, HttpHead, StatusCode};

/// Pieces below this size are copied together: a piece of its own costs more, and keeps the whole read buffer
/// that it lies in.
const COPY_BELOW: usize = 1024;

/// The HTTP head of a request and what was read of its body.
#[derive(Debug)]
pub(super) struct Original {
    head: Option<HttpHead>,
    has_body: bool,
    limit: usize,
    length: usize,
    pieces: VecDeque<Bytes>,
    /// Small pieces behind the others.
    small: BytesMut,
    /// The body was read to its end.
    trailers: Option<Headers>,
}

/// A message that can be sent back.
pub(super) struct Echo {
    pub(super) head: HttpHead,
    pub(super) has_body: bool,
    pub(super) read: VecDeque<Bytes>,
    /// `None` while the rest is with the client.
    pub(super) trailers: Option<Headers>,
}

/// Why a message cannot be sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Incomplete {
    #[error("more of the body was read than is kept")]
    OverLimit,
    #[error("the request has no HTTP head")]
    NoHead,
    #[error("nothing was kept")]
    NotKept,
}

impl Incomplete {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            // The service needs a part that the client left out (erratum e5).
            Self::NoHead => StatusCode::BAD_COMPOSITION,
            Self::OverLimit | Self::NotKept => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Original {
    pub(super) fn new(head: Option<HttpHead>, has_body: bool, limit: usize) -> Self {
        Self {
            head,
            has_body,
            limit,
            length: 0,
            pieces: VecDeque::new(),
            small: BytesMut::new(),
            trailers: None,
        }
    }

    pub(super) fn keep(&mut self, data: &Bytes) {
        self.length = self.length.saturating_add(data.len());
        if self.length > self.limit {
            self.pieces = VecDeque::new();
            self.small = BytesMut::new();
        } else if data.len() < COPY_BELOW {
            self.small.extend_from_slice(data);
        } else {
            self.seal();
            self.pieces.push_back(data.clone());
        }
    }

    pub(super) fn end(&mut self, trailers: Headers) {
        self.trailers = Some(trailers);
    }

    pub(super) fn into_echo(mut self) -> Result<Echo, Incomplete> {
        if self.length > self.limit {
            return Err(Incomplete::OverLimit);
        }
        self.seal();
        let Self { head, has_body, pieces, trailers, .. } = self;
        Ok(Echo { head: head.ok_or(Incomplete::NoHead)?, has_body, read: pieces, trailers })
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }
}
