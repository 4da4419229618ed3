//! The message that was asked about, kept in case it has to be sent back.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use icap_proto::{Headers, HttpHead};

use crate::spool::{Spool, SpoolFile, SpoolReader};

/// Pieces below this size are copied together: a piece of its own costs more, and keeps the whole read buffer
/// that it lies in.
const COPY_BELOW: usize = 1024;

/// The HTTP head of a request and what was read of its body: the beginning in memory, the rest in a file.
#[derive(Debug)]
pub(super) struct Original<'a> {
    head: Option<HttpHead>,
    /// Bytes that are kept in memory.
    limit: usize,
    in_memory: usize,
    pieces: VecDeque<Bytes>,
    /// Small pieces behind the others.
    small: BytesMut,
    spool: &'a Spool,
    file: Option<SpoolFile>,
    lost: Option<Incomplete>,
    /// The body was read to its end.
    trailers: Option<Headers>,
}

/// Why a message cannot be sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Incomplete {
    #[error("more of the body was read than is kept")]
    OverLimit,
    #[error("the spool file failed")]
    Spool,
    #[error("nothing was kept")]
    NotKept,
}

impl<'a> Original<'a> {
    pub(super) fn new(head: Option<HttpHead>, limit: usize, spool: &'a Spool) -> Self {
        Self {
            head,
            limit,
            in_memory: 0,
            pieces: VecDeque::new(),
            small: BytesMut::new(),
            spool,
            file: None,
            lost: None,
            trailers: None,
        }
    }

    pub(super) fn keep(&mut self, data: &Bytes) {
        if self.lost.is_some() {
            return;
        }
        let mut data = data.clone();
        let in_memory = data.len().min(self.limit.saturating_sub(self.in_memory));
        if in_memory > 0 {
            self.keep_in_memory(data.split_to(in_memory));
        }
        if !data.is_empty() && !self.file.get_or_insert_with(|| self.spool.file()).push(&data) {
            self.lose(Incomplete::OverLimit);
        }
    }

    fn keep_in_memory(&mut self, data: Bytes) {
        self.in_memory = self.in_memory.saturating_add(data.len());
        if data.len() < COPY_BELOW {
            self.small.extend_from_slice(&data);
        } else {
            self.seal();
            self.pieces.push_back(data);
        }
    }

    /// Ready when there is room for more.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(file) = &mut self.file else { return Poll::Ready(()) };
        if let Err(error) = ready!(file.poll_room(cx)) {
            tracing::error!(%error, "the spool file failed");
            self.lose(Incomplete::Spool);
        }
        Poll::Ready(())
    }

    pub(super) fn end(&mut self, trailers: Headers) {
        self.trailers = Some(trailers);
    }

    /// What cannot be sent back need not be kept.
    fn lose(&mut self, why: Incomplete) {
        self.lost = Some(why);
        self.pieces = VecDeque::new();
        self.small = BytesMut::new();
        self.file = None;
    }

    /// Whether all that was read is still there.
    pub(super) fn check(&self) -> Result<(), Incomplete> {
        self.lost.map_or(Ok(()), Err)
    }

    pub(super) const fn take_head(&mut self) -> Option<HttpHead> {
        self.head.take()
    }

    /// What was read from byte `skip` on.
    pub(super) fn into_replay(mut self, skip: u64) -> Replay {
        self.seal();
        let Self { pieces, in_memory, file, trailers, .. } = self;
        let file = file.map(|file| file.into_reader(skip.saturating_sub(in_memory as u64)));
        Replay { pieces, skip, file, trailers }
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }
}

/// The way back of what was read.
#[derive(Debug)]
pub(super) struct Replay {
    pieces: VecDeque<Bytes>,
    /// Bytes that are left out.
    skip: u64,
    file: Option<SpoolReader>,
    /// `None` while the rest is with the client.
    trailers: Option<Headers>,
}

/// One step of it.
pub(super) enum Step {
    Data(Bytes),
    /// All that was read is sent back, and it was the whole body.
    End(Headers),
    /// The rest is with the client, and so many bytes of it are to be left out.
    Rest {
        skip: u64,
    },
    /// The body ends before the byte from which on it was to be sent back.
    TooShort,
}

impl Replay {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        while let Some(mut data) = self.pieces.pop_front() {
            skip(&mut self.skip, &mut data);
            if !data.is_empty() {
                return Poll::Ready(Ok(Step::Data(data)));
            }
        }
        if let Some(file) = &mut self.file {
            let data = ready!(file.poll_next(cx))?;
            if !data.is_empty() {
                return Poll::Ready(Ok(Step::Data(data)));
            }
            self.skip = file.missing();
            self.file = None;
        }
        Poll::Ready(Ok(match self.trailers.take() {
            None => Step::Rest { skip: self.skip },
            Some(_) if self.skip > 0 => Step::TooShort,
            Some(trailers) => Step::End(trailers),
        }))
    }
}

/// Leaves out as much of `left` as `data` has.
pub(super) fn skip(left: &mut u64, data: &mut Bytes) {
    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
    data.advance(skipped);
    *left = left.saturating_sub(skipped as u64);
}
