//! The message as it was handed in, to be sent on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use icap_proto::{HttpHead, ResponseHead};

use crate::source::Source;

/// A message that the service leaves as it is: a 204 (RFC 3507 section 4.6).
///
/// As a body it gives the bytes that were read already, then the rest of the caller's body, trailers included.
#[derive(Debug)]
#[must_use = "the message is lost unless it is sent on"]
pub struct Original<B> {
    response: Box<ResponseHead>,
    replay: Replay<B>,
}

impl<B> Original<B> {
    pub(crate) const fn new(response: Box<ResponseHead>, replay: Replay<B>) -> Self {
        Self { response, replay }
    }

    /// The head of the answer: its fields may say more than its status.
    #[must_use]
    pub const fn response(&self) -> &ResponseHead {
        &self.response
    }

    /// The head of the message, as it was handed in.
    #[must_use]
    pub const fn head(&self) -> &HttpHead {
        self.replay.head()
    }

    /// The message alone, as a [`Failure`](crate::Failure) has it.
    pub fn into_replay(self) -> Replay<B> {
        self.replay
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Original<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.replay.source.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.replay.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.replay.size_hint()
    }
}

/// The message of a call that failed, whole.
///
/// As a body it gives the bytes that were read already, then the rest of the caller's body, trailers included. It
/// can be sent on, or handed to another [`Client`](crate::Client).
#[derive(Debug)]
#[must_use = "the message is lost unless it is sent on"]
pub struct Replay<B> {
    head: HttpHead,
    source: Source<B>,
}

impl<B> Replay<B> {
    /// `source` must stand at its first byte.
    pub(crate) fn new(head: HttpHead, mut source: Source<B>) -> Self {
        source.stop_keeping();
        Self { head, source }
    }

    /// The head of the message, as it was handed in.
    #[must_use]
    pub const fn head(&self) -> &HttpHead {
        &self.head
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.source.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
