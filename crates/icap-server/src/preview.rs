//! The preview: what the client shows before it waits for a decision.

use std::future::poll_fn;

use bytes::Bytes;

use crate::body_cell::{Item, Reader, Want};
use crate::{BodyError, Incoming};

/// The beginning of a body (RFC 3507 section 4.5).
///
/// Answering now means that the client never sends the rest. [`proceed`](Self::proceed) asks for it; from then on
/// a 204 needs the client's permission.
#[derive(Debug)]
#[must_use = "a preview that is dropped leaves the body unread"]
pub struct Preview {
    bytes: Bytes,
    complete: bool,
    /// The client waits for 100 Continue.
    paused: bool,
    /// `None` when there is no body.
    reader: Option<Reader>,
}

impl Preview {
    /// Of a request without a body.
    pub(crate) const fn without_body() -> Self {
        Self { bytes: Bytes::new(), complete: true, paused: false, reader: None }
    }

    /// Of a request with a body and without a preview.
    pub(crate) const fn not_sent(reader: Reader) -> Self {
        Self { bytes: Bytes::new(), complete: false, paused: false, reader: Some(reader) }
    }

    /// A preview that was read to its end.
    pub(crate) const fn read(bytes: Bytes, complete: bool, reader: Reader) -> Self {
        Self { bytes, complete, paused: !complete, reader: Some(reader) }
    }

    /// The previewed bytes in one piece, at most what [`Limits::preview`](icap_proto::Limits::preview) allows.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether this is the whole body: the client said so (`ieof`), or there is no body.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The whole body, whose client is asked for the rest only when it is read beyond the preview: 100 Continue is
    /// sent then, if one is due. For who hands the body on to somebody who decides.
    ///
    /// Behind the head of an answer it is too late for that: who answers with this body or goes on reading it has to
    /// read beyond the preview before, or reading fails with [`BodyError::Answered`].
    pub fn into_body(self) -> Incoming {
        let Self { bytes, complete, paused, reader } = self;
        if paused {
            Incoming::paused(bytes, reader)
        } else {
            Incoming::new(bytes, complete, reader)
        }
    }

    /// The whole body: the previewed bytes again, then the rest. 100 Continue is sent if the client waits for it,
    /// and only then.
    ///
    /// # Errors
    ///
    /// The client did not wait for its 100 Continue, or is gone.
    pub async fn proceed(self) -> Result<Incoming, BodyError> {
        let Self { bytes, complete, paused, mut reader } = self;
        if let (true, Some(reader)) = (paused, &mut reader) {
            while !matches!(poll_fn(|cx| reader.poll(Want::Continue, cx)).await?, Item::Continued) {
            }
        }
        Ok(Incoming::new(bytes, complete, reader))
    }
}
