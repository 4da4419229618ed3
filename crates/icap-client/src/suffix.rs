//! The end of an original, behind the beginning that a 206 gave in its place.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;

use crate::error::{BoxError, Error};
use crate::source::Source;

/// So many pieces are passed over at a time: an offset far beyond a body that is always ready must not keep a thread
/// for itself.
const PIECES: usize = 32;

/// The bytes of an original from an offset on: those that were kept, then the rest of the caller's body.
#[derive(Debug)]
pub(crate) struct Suffix<B> {
    source: Box<Source<B>>,
    offset: u64,
    /// Bytes in front of the offset that are still to be passed over.
    skip: u64,
}

impl<B> Suffix<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// # Errors
    ///
    /// The original is known to be shorter, or a part of it is gone: 206 is only allowed when it is kept, which hangs
    /// on what the body said of itself.
    pub(crate) fn new(mut source: Box<Source<B>>, offset: u64) -> Result<Self, Error> {
        if !source.rewind() {
            return Err(Error::Source("the body is longer than its size hint".into()));
        }
        source.stop_keeping();
        match source.size_hint().exact() {
            Some(length) if length < offset => Err(Error::BeyondOriginal { offset, length }),
            _ => Ok(Self { source, offset, skip: offset }),
        }
    }

    /// The next piece, never empty; `None` at the end of the original, which may be the offset itself.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        for _ in 0..PIECES {
            let piece = ready!(self.source.poll_data(cx)).transpose();
            let Some(mut piece) = piece.map_err(|error| Error::Source(error.into()))? else {
                return Poll::Ready(self.end());
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(skipped);
            self.skip = self.skip.saturating_sub(skipped as u64);
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn end(&self) -> Result<Option<Bytes>, Error> {
        match self.skip {
            0 => Ok(None),
            short => Err(Error::BeyondOriginal {
                offset: self.offset,
                length: self.offset.saturating_sub(short),
            }),
        }
    }
}
