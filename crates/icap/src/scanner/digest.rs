//! Tells an echo from a change without holding the body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use sha2::{Digest as _, Sha256};

/// Bytes kept of the beginning of an answer: a verdict looks at no more.
const MAX_START: usize = 4096;

/// The SHA-256 of a body that passed by.
#[derive(Debug, Default)]
pub(super) struct Digest(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    hash: Sha256,
    /// The last piece, if it is not in the hash yet. Most files are one piece, and few of them are ever compared.
    last: Bytes,
    bytes: u64,
    whole: bool,
}

impl Passed {
    fn hash(&self) -> impl PartialEq + use<> {
        self.hash.clone().chain_update(&self.last).finalize()
    }
}

impl Digest {
    /// Reads a body to its end, and keeps its first bytes.
    pub(super) async fn of<B>(body: &mut B, start: &mut Vec<u8>) -> Result<Self, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let digest = Self::default();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                digest.update(data);
                let room = MAX_START.saturating_sub(start.len()).min(data.len());
                start.extend_from_slice(data.get(..room).unwrap_or_default());
            }
        }
        digest.end();
        Ok(digest)
    }

    /// Whether the body was seen to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.with(|passed| passed.whole)
    }

    /// The bytes that passed.
    pub(super) fn bytes(&self) -> u64 {
        self.with(|passed| passed.bytes)
    }

    fn update(&self, data: &[u8]) {
        self.with(|passed| {
            passed.hash.update(data);
            passed.bytes = passed.bytes.saturating_add(data.len() as u64);
        });
    }

    /// The same, but hashes the piece only when another one comes or it is compared.
    fn update_later(&self, data: &Bytes) {
        self.with(|passed| {
            let before = std::mem::replace(&mut passed.last, data.clone());
            passed.hash.update(before);
            passed.bytes = passed.bytes.saturating_add(data.len() as u64);
        });
    }

    fn end(&self) {
        self.with(|passed| passed.whole = true);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Passed) -> T) -> T {
        // The lock is held for one update only; nothing in there can panic half-way.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The same bytes.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
            && self.with(|passed| passed.hash()) == other.with(|passed| passed.hash())
    }
}

/// Is told of each piece that is read, how many bytes it has.
pub(super) type OnRead = Arc<dyn Fn(u64) + Send + Sync>;

/// A body that is digested as it is read.
pub(super) struct Tap<'a, B> {
    body: B,
    digest: &'a Digest,
    on_read: Option<&'a OnRead>,
}

impl<'a, B: Body> Tap<'a, B> {
    pub(super) fn new(body: B, digest: &'a Digest, on_read: Option<&'a OnRead>) -> Self {
        if body.is_end_stream() {
            digest.end();
        }
        Self { body, digest, on_read }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tap<'_, B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.digest.update_later(data);
                    if let Some(on_read) = &self.on_read {
                        on_read(data.len() as u64);
                    }
                }
                // Whoever trusts this hint asks for no further frame.
                if self.body.is_end_stream() {
                    self.digest.end();
                }
            }
            Some(Err(_)) => {}
            None => self.digest.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
