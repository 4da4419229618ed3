//! Bytes on their way to the peer.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Data of at least this many bytes is queued as it is; less is copied next to the framing around it, since a
/// separate slice in a vectored write costs more than the copy.
const COPY_BELOW: usize = 1024;

/// What an idle connection may keep of its buffer, in bytes: the usual answer fits.
const KEPT: usize = 1024;
/// And of its queue.
const KEPT_PIECES: usize = 4;

/// What a connection wants to write: a queue of slices that a vectored write takes as a whole.
///
/// Heads, chunk lines and small chunks are gathered in one buffer; larger body data is moved in, never copied.
/// Use it through [`Buf`]: write [`chunks_vectored`](Buf::chunks_vectored), then [`advance`](Buf::advance).
#[derive(Default)]
pub struct Output {
    /// All framing, in one buffer: what stands between two pieces of data is a stretch of it.
    framing: BytesMut,
    data: VecDeque<Piece>,
    /// Bytes of the framing that stand in front of some piece.
    claimed: usize,
    data_len: usize,
}

/// Body data and how many bytes of framing go before it.
struct Piece {
    framing: usize,
    data: Bytes,
}

impl Output {
    /// The buffer for framing.
    pub(crate) const fn framing(&mut self) -> &mut BytesMut {
        &mut self.framing
    }

    /// Queues body data.
    #[inline]
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.len() < COPY_BELOW {
            self.framing.extend_from_slice(&data);
            return;
        }
        let framing = self.framing.len().saturating_sub(self.claimed);
        self.claimed = self.framing.len();
        self.data_len = self.data_len.saturating_add(data.len());
        self.data.push_back(Piece { framing, data });
    }

    /// Gives back memory once everything is written, but for a buffer as small as the usual answer needs.
    pub(crate) fn relax(&mut self) {
        if self.has_remaining() {
            return;
        }
        if self.data.capacity() > KEPT_PIECES {
            self.data = VecDeque::new();
        }
        if self.framing.try_reclaim(KEPT.saturating_add(1)) {
            self.framing = BytesMut::new();
        }
        self.claimed = 0;
    }
}

/// Sizes only: the bytes may hold credentials.
impl core::fmt::Debug for Output {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Output").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.framing.len().saturating_add(self.data_len)
    }

    fn chunk(&self) -> &[u8] {
        match self.data.front() {
            Some(Piece { framing: 0, data }) => data,
            Some(piece) => self.framing.get(..piece.framing).unwrap_or_default(),
            None => &self.framing,
        }
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut framing = &self.framing[..];
        let mut used = 0usize;
        let mut show = |bytes: &'a [u8]| {
            let free = slices.get_mut(used).filter(|_| !bytes.is_empty());
            if let Some(slice) = free {
                *slice = std::io::IoSlice::new(bytes);
                used = used.saturating_add(1);
            }
        };
        for piece in &self.data {
            let (before, behind) = framing.split_at_checked(piece.framing).unwrap_or_default();
            framing = behind;
            show(before);
            show(&piece.data);
        }
        show(framing);
        used
    }

    fn advance(&mut self, mut count: usize) {
        // Mostly all of it; then the buffer is used again from its front.
        if count == self.remaining() {
            self.framing.clear();
            self.data.clear();
            (self.claimed, self.data_len) = (0, 0);
            return;
        }
        let mut framing = 0usize;
        while let Some(piece) = self.data.front_mut() {
            let before = count.min(piece.framing);
            count = count.saturating_sub(before);
            framing = framing.saturating_add(before);
            piece.framing = piece.framing.saturating_sub(before);
            let data = count.min(piece.data.len());
            count = count.saturating_sub(data);
            self.data_len = self.data_len.saturating_sub(data);
            if data < piece.data.len() {
                piece.data.advance(data);
                break;
            }
            self.data.pop_front();
        }
        let framing = framing.saturating_add(count);
        self.framing.advance(framing);
        self.claimed = self.claimed.saturating_sub(framing);
    }
}
