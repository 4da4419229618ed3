//! The body on its way out, with what is needed to send it once more.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A body whose pieces are kept while they may be needed again.
///
/// Keeping a piece is a reference count, not a copy.
#[derive(Debug)]
pub(crate) struct Source<B> {
    body: B,
    /// Pieces of `body` to be handed out and, while `keeping`, those that were.
    pieces: Pieces,
    /// How many of `pieces` were handed out. 0 unless `keeping`.
    handed: usize,
    /// What was handed out and given back.
    rest: Bytes,
    keeping: bool,
    /// Bytes in `pieces`.
    kept: u64,
    /// Bytes that may be kept.
    limit: u64,
    end: Option<End>,
}

/// A queue that takes no memory of its own for one piece: there is mostly no second.
#[derive(Debug, Default)]
struct Pieces {
    first: Option<Bytes>,
    /// Empty without a first.
    others: VecDeque<Bytes>,
}

impl Pieces {
    fn push_back(&mut self, piece: Bytes) {
        match &self.first {
            None => self.first = Some(piece),
            Some(_) => self.others.push_back(piece),
        }
    }

    fn pop_front(&mut self) -> Option<Bytes> {
        std::mem::replace(&mut self.first, self.others.pop_front())
    }

    fn drop_front(&mut self, count: usize) {
        self.others.drain(..count.saturating_sub(1).min(self.others.len()));
        if count > 0 {
            self.pop_front();
        }
    }

    fn get(&self, index: usize) -> Option<&Bytes> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.others.get(index),
        }
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()).saturating_add(self.others.len())
    }

    const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.others)
    }
}

/// How `body` ended.
#[derive(Debug)]
enum End {
    Clean(Option<HeaderMap>),
    Failed,
}

impl<B> Source<B> {
    /// A body that has not been read. All of it is kept until a limit is set. Boxed, because a call hands it through
    /// many hands.
    pub(crate) fn new(body: B) -> Box<Self> {
        Box::new(Self {
            body,
            pieces: Pieces::default(),
            handed: 0,
            rest: Bytes::new(),
            keeping: true,
            kept: 0,
            limit: u64::MAX,
            end: None,
        })
    }

    /// Changes how much is kept. A body that has given more already is no longer kept at all.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.hold_to_limit();
    }

    /// Takes back what was not used of a piece.
    pub(crate) fn put_back(&mut self, rest: Bytes) {
        self.rest = rest;
    }

    /// Trailers, once the body is at its end.
    pub(crate) const fn trailers(&self) -> Option<&HeaderMap> {
        match &self.end {
            Some(End::Clean(trailers)) => trailers.as_ref(),
            _ => None,
        }
    }

    /// Whether nothing of the body is gone.
    pub(crate) const fn is_whole(&self) -> bool {
        self.keeping && !matches!(self.end, Some(End::Failed))
    }

    /// Goes back to the first byte, and keeps all again until a limit is set; false when a part of the body is gone.
    pub(crate) fn rewind(&mut self) -> bool {
        if !self.is_whole() {
            return false;
        }
        self.handed = 0;
        self.rest = Bytes::new();
        self.limit = u64::MAX;
        true
    }

    /// Whether the body was never asked for a piece, as far as a source at its first byte knows.
    pub(crate) fn is_unread(&self) -> bool {
        self.pieces.is_empty() && self.end.is_none()
    }

    /// Lets go of each piece as it is handed out.
    pub(crate) fn stop_keeping(&mut self) {
        self.pieces.drop_front(self.handed);
        self.handed = 0;
        self.keeping = false;
    }

    fn hold_to_limit(&mut self) {
        if self.kept > self.limit {
            self.stop_keeping();
        }
    }

    /// The next piece that was taken off the body before.
    fn next_kept(&mut self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            return Some(std::mem::take(&mut self.rest));
        }
        if !self.keeping {
            return self.pieces.pop_front();
        }
        let piece = self.pieces.get(self.handed)?.clone();
        self.handed = self.handed.saturating_add(1);
        Some(piece)
    }

    fn has_kept(&self) -> bool {
        !self.rest.is_empty() || self.handed < self.pieces.len()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Source<B> {
    /// The next piece of data, never empty; `None` at the end.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        if let Some(piece) = self.next_kept() {
            return Poll::Ready(Some(Ok(piece)));
        }
        while self.end.is_none() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.end = Some(End::Clean(None)),
                Some(Err(error)) => {
                    self.end = Some(End::Failed);
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if piece.is_empty() => {}
                    Ok(piece) => {
                        self.keep(&piece);
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    // Nothing comes behind trailers.
                    Err(frame) => self.end = Some(End::Clean(frame.into_trailers().ok())),
                },
            }
        }
        Poll::Ready(None)
    }

    /// The rest of the body in frames: kept pieces, the body itself, trailers.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(data) = ready!(self.poll_data(cx)) {
            return Poll::Ready(Some(data.map(Frame::data)));
        }
        let trailers = match &mut self.end {
            Some(End::Clean(trailers)) => trailers.take(),
            _ => None,
        };
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// Whether the end is known without asking the body.
    pub(crate) fn is_at_end(&self) -> bool {
        !self.has_kept()
            && match &self.end {
                Some(End::Clean(trailers)) => trailers.is_none(),
                Some(End::Failed) => false,
                None => self.body.is_end_stream(),
            }
    }

    /// Bytes that are still to come, trailers apart.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let waiting = self.pieces.iter().skip(self.handed).map(|piece| piece.len() as u64);
        let waiting = waiting.fold(self.rest.len() as u64, u64::saturating_add);
        let body = match self.end {
            None => self.body.size_hint(),
            Some(_) => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(waiting));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint
    }

    /// Remembers a piece that is handed out now.
    fn keep(&mut self, piece: &Bytes) {
        if !self.keeping {
            return;
        }
        self.kept = self.kept.saturating_add(piece.len() as u64);
        self.pieces.push_back(piece.clone());
        self.handed = self.pieces.len();
        self.hold_to_limit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever happens, it is the same queue.
        #[test]
        fn pieces_are_a_queue(acts in proptest::collection::vec(0usize..9, 0..50)) {
            let (mut pieces, mut queue) = (Pieces::default(), VecDeque::new());
            for (number, act) in acts.into_iter().enumerate() {
                match act {
                    0..=4 => {
                        let piece = Bytes::from(number.to_string());
                        pieces.push_back(piece.clone());
                        queue.push_back(piece);
                    }
                    5 => assert_eq!(pieces.pop_front(), queue.pop_front()),
                    count => {
                        let count = count.saturating_sub(6);
                        pieces.drop_front(count);
                        queue.drain(..count.min(queue.len()));
                    }
                }
                assert!(pieces.iter().eq(&queue));
                assert_eq!((pieces.len(), pieces.is_empty()), (queue.len(), queue.is_empty()));
                assert!((0..=queue.len()).all(|index| pieces.get(index) == queue.get(index)));
            }
        }
    }
}
