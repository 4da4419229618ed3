//! Bytes on their way to the peer.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Data of at least this many bytes is queued as it is; less is copied next to the framing around it, since a
/// separate slice in a vectored write costs more than the copy.
const COPY_BELOW: usize = 1024;

/// What a connection wants to write: a queue of slices that a vectored write takes as a whole.
///
/// Heads, chunk lines and small chunks are gathered in one buffer; larger body data is moved in, never copied.
/// Use it through [`Buf`]: write [`chunks_vectored`](Buf::chunks_vectored), then [`advance`](Buf::advance).
#[derive(Default)]
pub struct Output {
    sealed: VecDeque<Bytes>,
    /// The newest bytes, still growing.
    open: BytesMut,
    sealed_len: usize,
}

impl Output {
    /// The buffer for framing.
    pub(crate) fn framing(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Queues body data.
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.len() < COPY_BELOW {
            self.open.extend_from_slice(&data);
            return;
        }
        if !self.open.is_empty() {
            self.seal();
        }
        self.sealed_len = self.sealed_len.saturating_add(data.len());
        self.sealed.push_back(data);
    }

    /// Gives back memory once everything is written.
    pub(crate) fn relax(&mut self) {
        if !self.has_remaining() {
            *self = Self::default();
        }
    }

    fn seal(&mut self) {
        let framing = self.open.split().freeze();
        self.sealed_len = self.sealed_len.saturating_add(framing.len());
        self.sealed.push_back(framing);
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
        self.sealed_len.saturating_add(self.open.len())
    }

    fn chunk(&self) -> &[u8] {
        self.sealed.front().map_or(&self.open[..], |front| &front[..])
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let queued =
            self.sealed.iter().map(|bytes| &bytes[..]).chain(core::iter::once(&self.open[..]));
        let mut used = 0usize;
        for (slice, bytes) in slices.iter_mut().zip(queued.filter(|bytes| !bytes.is_empty())) {
            *slice = std::io::IoSlice::new(bytes);
            used = used.saturating_add(1);
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.sealed.front_mut() {
            let step = count.min(front.len());
            front.advance(step);
            count = count.saturating_sub(step);
            self.sealed_len = self.sealed_len.saturating_sub(step);
            if front.has_remaining() {
                return;
            }
            self.sealed.pop_front();
        }
        self.open.advance(count);
    }
}
