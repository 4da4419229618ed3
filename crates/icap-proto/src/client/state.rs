//! Every transition of a client exchange. No byte is read or written here.
//!
//! Two automata run side by side, the request going out and the answer coming in; what each does to the other
//! is in these methods.

use crate::StatusCode;
use crate::error::{Misuse, PeerMisbehaved};
use crate::tolerance::Tolerance;

/// The request on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Idle,
    /// Sending the preview; so many bytes of it are left.
    Preview(u64),
    /// The preview has ended and the server has not spoken.
    Paused,
    Body,
    Done,
    /// Given up in the middle of a body.
    Abandoned,
}

/// The answer on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Idle,
    Head,
    Body,
    /// An ICAP trailer is due.
    Trailer,
    /// Everything is read; the end is still to be told.
    End,
    Done,
}

/// What to write at the end of a preview or body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// `0; ieof`: the preview was the whole body.
    Ieof,
    /// `0`, without trailers: there may be more behind the preview.
    Preview,
    /// `0` with the trailers.
    Body,
    /// Nothing: the answer has ended the request, or 100 Continue has to come first.
    Nothing,
}

impl End {
    /// Whether nothing of the request comes behind it but the ICAP trailer
    /// (draft-rousskov-icap-trailers section 8).
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Ieof | Self::Body)
    }
}

/// The shape of a request, as far as the dialogue depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) body: bool,
    pub(super) preview: Option<u64>,
    pub(super) allow_no_content: bool,
    pub(super) allow_partial_content: bool,
    /// An ICAP trailer was promised.
    pub(super) icap_trailer: bool,
}

/// What 100 Continue means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continued {
    /// The rest of the body may be sent.
    Proceed,
    /// The rest may be sent, and it is empty: the end of the body is due.
    ProceedToEnd,
    /// Nothing: it came at a time when none was due.
    Ignored,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) write: Write,
    pub(super) read: Read,
    shape: Shape,
    /// The preview was the whole body.
    ieof: bool,
    /// 100 Continue came before the preview had ended.
    proceed_after_preview: bool,
    /// The source ended while 100 Continue was awaited.
    source_ended: bool,
    /// 100 Continue has taken the exchange out of the preview.
    outside_preview: bool,
    interims: u8,
}

impl State {
    pub(super) const fn new() -> Self {
        let shape = Shape {
            body: false,
            preview: None,
            allow_no_content: false,
            allow_partial_content: false,
            icap_trailer: false,
        };
        Self {
            write: Write::Idle,
            read: Read::Idle,
            shape,
            ieof: false,
            proceed_after_preview: false,
            source_ended: false,
            outside_preview: false,
            interims: 0,
        }
    }

    /// The head of a request has been queued.
    pub(super) fn start(&mut self, shape: Shape) {
        let write = match shape.preview {
            _ if !shape.body => Write::Done,
            Some(bytes) => Write::Preview(bytes),
            None => Write::Body,
        };
        *self = Self {
            write,
            read: Read::Head,
            shape,
            // Without a body the preview, if announced, is all there is.
            ieof: !shape.body,
            outside_preview: shape.preview.is_none(),
            ..Self::new()
        };
    }

    pub(super) const fn has_answer(&self) -> bool {
        !matches!(self.read, Read::Idle | Read::Head)
    }

    /// Body bytes that may be sent now.
    pub(super) const fn window(&self) -> u64 {
        match self.write {
            Write::Preview(left) => left,
            Write::Body => u64::MAX,
            _ => 0,
        }
    }

    /// So many bytes within the window have been queued.
    pub(super) const fn sent(&mut self, bytes: u64) {
        if let Write::Preview(left) = self.write {
            self.write = Write::Preview(left.saturating_sub(bytes));
        }
    }

    /// Whether the end of the request, and with it the promised ICAP trailer, is still to be written.
    pub(super) const fn owes_icap_trailer(&self) -> bool {
        self.shape.icap_trailer
            && matches!(self.write, Write::Preview(_) | Write::Paused | Write::Body)
    }

    /// Whether the promised ICAP trailer needs no fields any more: an answer has ended the request without it, or
    /// came when it was written.
    pub(super) const fn icap_trailer_is_moot(&self) -> bool {
        self.shape.icap_trailer && self.has_answer()
    }

    /// The preview ends here although the body may go on.
    pub(super) fn end_preview(&mut self) -> Result<End, Misuse> {
        let Write::Preview(_) = self.write else { return Err(Misuse::NoPreview) };
        self.write = if self.has_answer() {
            Write::Done
        } else if self.proceed_after_preview {
            self.outside_preview = true;
            Write::Body
        } else {
            Write::Paused
        };
        Ok(End::Preview)
    }

    /// The body ends here.
    pub(super) fn finish(&mut self) -> Result<End, Misuse> {
        match self.write {
            Write::Preview(_) => {
                self.write = Write::Done;
                self.ieof = true;
                Ok(End::Ieof)
            }
            Write::Body => {
                self.write = Write::Done;
                Ok(End::Body)
            }
            Write::Paused => {
                self.source_ended = true;
                Ok(End::Nothing)
            }
            // A final answer has ended the request before its source noticed.
            Write::Done | Write::Abandoned if self.has_answer() => Ok(End::Nothing),
            _ => Err(Misuse::NoBody),
        }
    }

    /// The caller gives up sending.
    pub(super) const fn abandon(&mut self) {
        if !matches!(self.write, Write::Idle | Write::Done) {
            self.write = Write::Abandoned;
        }
    }

    /// 100 Continue.
    pub(super) fn on_continue(
        &mut self,
        tolerance: &mut Tolerance,
    ) -> Result<Continued, PeerMisbehaved> {
        self.interims = self.interims.saturating_add(1);
        if self.interims > 1 {
            return Err(PeerMisbehaved::UntimelyContinue);
        }
        match self.write {
            Write::Paused => {
                self.outside_preview = true;
                if self.source_ended {
                    self.write = Write::Done;
                    return Ok(Continued::ProceedToEnd);
                }
                self.write = Write::Body;
                Ok(Continued::Proceed)
            }
            _ if !tolerance.takes(|switches| &mut switches.untimely_continue) => {
                Err(PeerMisbehaved::UntimelyContinue)
            }
            Write::Preview(_) => {
                self.proceed_after_preview = true;
                Ok(Continued::Proceed)
            }
            _ => Ok(Continued::Ignored),
        }
    }

    /// The head of the final answer.
    pub(super) fn on_final(
        &mut self,
        status: StatusCode,
        tolerance: &mut Tolerance,
    ) -> Result<(), PeerMisbehaved> {
        // "In preview" ends when 100 Continue is taken (RFC 3507 section 4.6).
        let in_preview = !self.outside_preview && !self.proceed_after_preview;
        match status {
            // A request without body is whole in the caller's hand.
            StatusCode::NO_CONTENT
                if !in_preview
                    && !self.shape.allow_no_content
                    && (self.shape.body
                        || !tolerance.takes(|switches| &mut switches.unsolicited_no_content)) =>
            {
                return Err(PeerMisbehaved::UnsolicitedNoContent);
            }
            StatusCode::PARTIAL_CONTENT => {
                let allowed = in_preview || self.shape.allow_no_content;
                if !(self.shape.allow_partial_content && allowed) {
                    return Err(PeerMisbehaved::UnsolicitedPartialContent);
                }
            }
            _ => {}
        }
        if self.write == Write::Paused {
            // The request ended with its preview.
            self.write = Write::Done;
        }
        Ok(())
    }

    /// The answer is over.
    pub(super) const fn finish_answer(&mut self) {
        self.read = Read::Done;
    }

    /// Whether the client waits for the verdict on its preview.
    pub(super) fn awaits_preview_answer(&self) -> bool {
        matches!(self.write, Write::Preview(_) | Write::Paused)
            || (self.ieof && self.shape.preview.is_some())
    }
}
