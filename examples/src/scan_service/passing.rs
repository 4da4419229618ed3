//! A body that is scanned while it passes, a little behind what was seen of it.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use icap::server::Incoming;

use crate::engine::Finding;
use crate::inspector::Inspections;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is kept back of a body that is passed on. Bodies up to this size get their verdict before anything of
/// them leaves. Squid stops sending when it gets nothing back for 64 KiB, so it must be less.
const HOLD: usize = 32 * 1024;

/// See the [module](self).
pub(super) struct Passing {
    body: Incoming,
    /// `None` once the whole body has been seen.
    inspections: Option<Inspections>,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// What is found is logged and lets the body pass.
    monitors: bool,
}

/// The body must not go on: something was found in it after its beginning had left.
#[derive(Debug, thiserror::Error)]
#[error("found while the body was passing: {0}")]
struct FoundLate(Finding);

impl Passing {
    /// With what the inspectors have seen of the body already.
    pub(super) fn new(body: Incoming, inspections: Inspections, monitors: bool) -> Self {
        let inspections = Some(inspections);
        Self { body, inspections, held: VecDeque::new(), held_bytes: 0, monitors }
    }

    /// Reads until the hold is full or the body over, and says what was found so far. `seen` are the bytes of the
    /// preview, which come out of the body once more and are not looked at again.
    pub(super) async fn hold(&mut self, mut seen: usize) -> Result<Option<Finding>, BoxError> {
        while self.held_bytes <= HOLD {
            let found = self.take(&mut seen).await?;
            if found.is_some() {
                return Ok(found);
            }
            if self.inspections.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// The body as it goes back.
    pub(super) fn into_body(self) -> impl Body<Data = Bytes, Error = BoxError> + Send + use<> {
        StreamBody::new(stream::try_unfold(self, |mut passing| async move {
            loop {
                if let Some(frame) = passing.release() {
                    return Ok(Some((frame, passing)));
                }
                if passing.inspections.is_none() {
                    return Ok(None);
                }
                if let Some(finding) = passing.take(&mut 0).await? {
                    return Err(BoxError::from(FoundLate(finding)));
                }
            }
        }))
    }

    /// Looks at the next frame and keeps it, or at the end of the body.
    async fn take(&mut self, seen: &mut usize) -> Result<Option<Finding>, BoxError> {
        let Some(frame) = self.body.frame().await else {
            let found = match self.inspections.take() {
                Some(inspections) => inspections.finish().await?,
                None => None,
            };
            return Ok(self.heed(found));
        };
        let Ok(data) = frame?.into_data() else { return Ok(None) };
        self.held_bytes = self.held_bytes.saturating_add(data.len());
        self.held.push_back(data.clone());
        let known = data.len().min(*seen);
        *seen = seen.saturating_sub(known);
        let found = match &mut self.inspections {
            Some(inspections) => inspections.update(&data.slice(known..)).await?,
            None => None,
        };
        Ok(self.heed(found))
    }

    fn heed(&self, found: Option<Finding>) -> Option<Finding> {
        match found {
            Some(finding) if self.monitors => {
                tracing::warn!(%finding, "found, and let pass: this is a monitor");
                None
            }
            found => found,
        }
    }

    /// What may leave: everything once the body is over, before that all but the hold.
    fn release(&mut self) -> Option<Frame<Bytes>> {
        let front = self.held.front()?.len();
        let left = self.held_bytes.saturating_sub(front);
        if self.inspections.is_some() && left < HOLD {
            return None;
        }
        self.held_bytes = left;
        self.held.pop_front().map(Frame::data)
    }
}
