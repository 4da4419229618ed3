//! Every transition of a server exchange. No byte is read or written here.

use crate::error::{Misuse, PeerMisbehaved};
use crate::{Limits, StatusCode};

/// The request on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Between requests; one empty line may have been skipped.
    Idle {
        skipped_line: bool,
    },
    Head,
    /// Reading the preview; the client may send so many bytes more of it.
    Preview {
        left: u64,
    },
    /// The preview has ended and nothing was decided.
    Paused,
    Body,
    /// An ICAP trailer is due.
    Trailer,
    /// Everything is read; the end is still to be told.
    End,
    Done,
}

/// The answer on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Nothing,
    Body {
        status: StatusCode,
    },
    Done,
    /// Broken off; the connection ends without a last chunk.
    Aborted,
}

/// The shape of a request, as far as the dialogue depends on it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) body: bool,
    pub(super) preview: Option<u64>,
    pub(super) icap_trailer: bool,
    pub(super) allow_no_content: bool,
    pub(super) allow_partial_content: bool,
    /// The client takes ICAP trailers.
    pub(super) allow_trailers: bool,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) read: Read,
    pub(super) write: Write,
    shape: Shape,
    continued: bool,
    /// Bytes on the wire thrown away since the answer was complete.
    drained: u64,
    preview_bytes: u64,
    /// The answer in progress promises an ICAP trailer.
    owes_icap_trailer: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            read: Read::Idle { skipped_line: false },
            write: Write::Nothing,
            shape: Shape::default(),
            continued: false,
            drained: 0,
            preview_bytes: 0,
            owes_icap_trailer: false,
        }
    }

    /// A head was read.
    pub(super) const fn on_request(&mut self, shape: Shape) {
        self.shape = shape;
        self.read = match shape.preview {
            Some(left) if shape.body => Read::Preview { left },
            _ if shape.body => Read::Body,
            // Preview or not: without a body there is no chunk to wait for (ICAP-157).
            _ => self.behind_body(),
        };
    }

    /// Body data was read.
    pub(super) fn on_data(&mut self, bytes: u64) {
        if let Read::Preview { left } = &mut self.read {
            *left = left.saturating_sub(bytes);
            self.preview_bytes = self.preview_bytes.saturating_add(bytes);
        }
    }

    /// So many bytes were taken off the wire. What the client sends counts, not what it means: a body in chunks of
    /// one byte is six times the work.
    pub(super) fn on_wire(&mut self, bytes: u64) {
        if self.is_draining() {
            self.drained = self.drained.saturating_add(bytes);
        }
    }

    /// Body bytes that the client may still send before an answer, and what one more would be; `None` outside
    /// a preview.
    pub(super) const fn preview_room(&self, limit: u64) -> Option<(u64, PeerMisbehaved)> {
        let Read::Preview { left } = self.read else { return None };
        let below_limit = limit.saturating_sub(self.preview_bytes);
        Some(if left <= below_limit {
            (left, PeerMisbehaved::PreviewOverrun)
        } else {
            (below_limit, PeerMisbehaved::PreviewTooLong)
        })
    }

    /// The last chunk of the preview was read.
    pub(super) const fn on_preview_end(&mut self, ieof: bool) {
        self.read = match (ieof, self.write) {
            (true, _) => self.behind_body(),
            (false, Write::Nothing) => Read::Paused,
            // Answered before the preview had ended: there is no more to come.
            (false, _) => Read::Done,
        };
    }

    /// The last chunk of the body was read.
    pub(super) const fn on_body_end(&mut self) {
        self.read = self.behind_body();
    }

    const fn behind_body(&self) -> Read {
        if self.shape.icap_trailer { Read::Trailer } else { Read::End }
    }

    /// The owner asks for the rest of the body.
    pub(super) fn proceed(&mut self) -> Result<(), Misuse> {
        if self.read != Read::Paused || self.write != Write::Nothing {
            return Err(Misuse::ContinueNotDue);
        }
        self.continued = true;
        self.read = Read::Body;
        Ok(())
    }

    /// 100 Continue ends what counts as preview (RFC 3507 section 4.6).
    const fn in_preview(&self) -> bool {
        self.shape.preview.is_some() && !self.continued
    }

    pub(super) const fn permits_no_content(&self) -> bool {
        self.shape.allow_no_content || self.in_preview()
    }

    pub(super) const fn permits_partial_content(&self) -> bool {
        self.shape.allow_partial_content && (self.shape.allow_no_content || self.in_preview())
    }

    pub(super) const fn permits_icap_trailer(&self) -> bool {
        self.shape.allow_trailers
    }

    pub(super) const fn owes_icap_trailer(&self) -> bool {
        self.owes_icap_trailer
    }

    /// The head of the final answer was queued.
    pub(super) fn on_answer(&mut self, status: StatusCode, body: bool, icap_trailer: bool) {
        self.write = if body { Write::Body { status } } else { Write::Done };
        self.owes_icap_trailer = body && icap_trailer;
        if self.read == Read::Paused {
            // Nothing follows a preview that was answered finally.
            self.read = Read::Done;
        }
    }

    /// The body of the answer has ended; tells whether its ICAP trailer is due.
    pub(super) const fn on_answer_end(&mut self) -> bool {
        self.write = Write::Done;
        core::mem::replace(&mut self.owes_icap_trailer, false)
    }

    /// The request is over without an answer.
    pub(super) const fn dismiss(&mut self) {
        self.write = Write::Done;
    }

    /// Whether the client is in a preview that, as announced, ends within both limits.
    pub(super) const fn is_in_short_preview(&self, limits: &Limits) -> bool {
        match self.read {
            Read::Preview { left } => {
                left <= limits.drain && self.preview_bytes.saturating_add(left) <= limits.preview
            }
            _ => false,
        }
    }

    /// Whether the request has ended, or ends where the client stands.
    pub(super) const fn request_is_over(&self) -> bool {
        matches!(self.read, Read::Paused | Read::End | Read::Done)
    }

    /// Whether what still comes of the request is thrown away.
    pub(super) fn is_draining(&self) -> bool {
        self.write == Write::Done
            && matches!(self.read, Read::Preview { .. } | Read::Body | Read::Trailer | Read::End)
    }

    pub(super) const fn drained(&self) -> u64 {
        self.drained
    }

    pub(super) fn is_complete(&self) -> bool {
        self.read == Read::Done && self.write == Write::Done
    }
}
