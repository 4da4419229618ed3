//! A body that is scanned while it passes, a little behind what was seen of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use icap::server::{BodyError, Incoming};

use crate::engine::{Finding, Scan};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is kept back of a body that is passed on. Bodies up to this size get their verdict before anything of
/// them leaves. Squid stops sending when it gets nothing back for 64 KiB, so it must be less.
const HOLD: usize = 32 * 1024;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct PassingBody {
    body: Incoming,
    /// `None` once the whole body has been seen.
    scan: Option<Scan>,
    held: VecDeque<Bytes>,
    held_bytes: usize,
}

/// The body must not go on: something was found in it after its beginning had left.
#[derive(Debug, thiserror::Error)]
#[error("found while the body was passing: {0}")]
struct FoundLate(Finding);

impl PassingBody {
    pub(super) fn new(body: Incoming, scan: Scan) -> Self {
        Self { body, scan: Some(scan), held: VecDeque::new(), held_bytes: 0 }
    }

    /// Reads until the hold is full or the body over, and says what was found so far.
    pub(super) async fn hold(&mut self) -> Result<Option<Finding>, BodyError> {
        while self.held_bytes <= HOLD {
            let found = match self.body.frame().await {
                Some(frame) => self.take(frame?),
                None => return Ok(self.scan.take().and_then(Scan::finish)),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Scans a frame and keeps it.
    fn take(&mut self, frame: Frame<Bytes>) -> Option<Finding> {
        let data = frame.into_data().ok()?;
        let scan = self.scan.as_mut()?;
        scan.update(&data);
        self.held_bytes = self.held_bytes.saturating_add(data.len());
        self.held.push_back(data);
        scan.finding().cloned()
    }

    /// What may leave: everything once the body is over, before that all but the hold.
    fn release(&mut self) -> Option<Frame<Bytes>> {
        let front = self.held.front()?.len();
        let left = self.held_bytes.saturating_sub(front);
        if self.scan.is_some() && left < HOLD {
            return None;
        }
        self.held_bytes = left;
        self.held.pop_front().map(Frame::data)
    }
}

impl Body for PassingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(frame) = self.release() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.scan.is_none() {
                return Poll::Ready(None);
            }
            let late = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(frame) => self.take(frame?),
                None => self.scan.take().and_then(Scan::finish),
            };
            if let Some(finding) = late {
                return Poll::Ready(Some(Err(FoundLate(finding).into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.scan.is_none() && self.held.is_empty()
    }
}
