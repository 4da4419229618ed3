//! Bodies that behave in ways that real ones do.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Frames one after the other, with nothing known about their end.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    frames: VecDeque<io::Result<Frame<Bytes>>>,
    /// Tells the exact size.
    sized: bool,
    /// Tells when it is at its end.
    knows_end: bool,
    /// A length to tell in place of the true one.
    claim: Option<u64>,
}

impl Frames {
    pub(crate) fn new(pieces: &[&'static str]) -> Self {
        let frames =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        Self { frames: frames.collect(), ..Self::default() }
    }

    pub(crate) fn sized(mut self) -> Self {
        self.sized = true;
        self
    }

    pub(crate) fn knows_end(mut self) -> Self {
        self.knows_end = true;
        self
    }

    pub(crate) fn claims(mut self, size: u64) -> Self {
        self.claim = Some(size);
        self
    }

    pub(crate) fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        let mut trailers = http::HeaderMap::new();
        trailers.append(name, http::HeaderValue::from_static(value));
        self.frames.push_back(Ok(Frame::trailers(trailers)));
        self
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.knows_end && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let sizes = self.frames.iter().flatten().filter_map(Frame::data_ref);
        match self.claim {
            Some(size) => SizeHint::with_exact(size),
            None if self.sized => SizeHint::with_exact(sizes.map(|data| data.len() as u64).sum()),
            None => SizeHint::default(),
        }
    }
}

/// A body that gives what is sent into it, when it is sent.
#[derive(Debug)]
pub(crate) struct Live {
    pieces: mpsc::UnboundedReceiver<io::Result<Bytes>>,
    claim: Option<u64>,
}

/// The other end of a [`Live`] body, whose end it is when it is dropped.
#[derive(Debug)]
pub(crate) struct Sender(mpsc::UnboundedSender<io::Result<Bytes>>);

impl Live {
    pub(crate) fn new() -> (Sender, Self) {
        let (sender, pieces) = mpsc::unbounded_channel();
        (Sender(sender), Self { pieces, claim: None })
    }

    pub(crate) const fn claims(mut self, size: u64) -> Self {
        self.claim = Some(size);
        self
    }
}

impl Sender {
    pub(crate) fn send(&self, piece: &'static str) {
        self.0.send(Ok(piece.into())).unwrap();
    }

    pub(crate) fn fail(&self, why: &'static str) {
        self.0.send(Err(io::Error::other(why))).unwrap();
    }
}

impl Body for Live {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(cx).map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.claim.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// So many bytes of a pattern in which no two places within 251 bytes look alike.
#[derive(Debug)]
pub(crate) struct Large {
    left: u64,
    at: u64,
}

impl Large {
    pub(crate) const fn new(bytes: u64) -> Self {
        Self { left: bytes, at: 0 }
    }
}

/// The byte of [`Large`] at this place.
pub(crate) const fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

impl Body for Large {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let size = self.left.min(17_000);
        if size == 0 {
            return Poll::Ready(None);
        }
        let data: Vec<u8> = (self.at..self.at + size).map(pattern).collect();
        self.at += size;
        self.left -= size;
        Poll::Ready(Some(Ok(Frame::data(data.into()))))
    }
}
