//! Answers that hold the original, or its end.

use icap_proto::{HttpHead, StatusCode};

use super::exchange::{Exchange, Rest, Work};
use super::original::{Incomplete, Original, Replay};
use super::reading::PreviewEnd;
use super::transport::Transport;
use crate::ReplyBody;
use crate::reply::Fields;

/// A new beginning of a message, which goes on with the original.
pub(super) struct Splice {
    pub(super) head: HttpHead,
    pub(super) prefix: ReplyBody,
    pub(super) offset: u64,
    pub(super) fields: Fields,
}

impl Exchange<'_> {
    /// Sends the message back: what was read of it, then the rest as it comes.
    pub(super) fn echo<IO>(&mut self, fields: Fields, transport: &mut Transport<IO>) {
        if !self.answering.adapts {
            self.respond(StatusCode::OK, None, fields, transport);
            return;
        }
        let head = self.original.as_mut().and_then(|original| original.take_head());
        let replay = match self.replay(0) {
            Ok(replay) => replay,
            Err(error) => {
                self.log_incomplete(error);
                return self.refuse(StatusCode::INTERNAL_SERVER_ERROR, transport);
            }
        };
        let Some(head) = head else {
            // The service needs a part that the client left out (erratum e5).
            return self.refuse(StatusCode::BAD_COMPOSITION, transport);
        };
        let has_body = !self.answering.null_body;
        let sent = self.respond(StatusCode::OK, Some((head, has_body)), fields, transport);
        if sent && has_body {
            self.work = Work::Replaying(replay);
        }
    }

    /// Sends a new beginning, and says where in the original it goes on or sends that as well.
    pub(super) fn splice<IO>(&mut self, splice: Splice, transport: &mut Transport<IO>) {
        let is_whole = self.ended || self.preview == PreviewEnd::Whole;
        let length = if self.answering.null_body { Some(0) } else { None };
        let length = length.or_else(|| is_whole.then_some(self.record.bytes_in));
        let offset = splice.offset;
        if length.is_some_and(|length| offset > length) {
            let error = format!("the original has no byte {offset}").into();
            return self.blame(&error, transport);
        }
        if length == Some(offset) {
            let Splice { head, prefix, fields, .. } = splice;
            return self.adapt(head, prefix, fields, transport);
        }
        if transport.connection.permits_partial_content() {
            self.original = None;
            self.rest = Rest::UseOriginal(offset);
            return self.begin(StatusCode::PARTIAL_CONTENT, splice, transport);
        }
        if self.original.is_none() {
            self.keep_unread();
        }
        if let Err(error) = self.is_kept() {
            self.log_incomplete(error);
            return self.refuse(StatusCode::INTERNAL_SERVER_ERROR, transport);
        }
        self.work = Work::Proceeding(Box::new(splice));
        if self.preview != PreviewEnd::Ahead {
            self.begin_splice(transport);
        }
    }

    /// Sends 100 Continue if it is due, and the beginning of an answer that goes on with the original.
    pub(super) fn begin_splice<IO>(&mut self, transport: &mut Transport<IO>) {
        let Work::Proceeding(splice) = std::mem::replace(&mut self.work, Work::Done) else {
            return;
        };
        if self.preview == PreviewEnd::Waits
            && let Err(error) = self.send_continue(transport)
        {
            return self.refuse(error.status_hint(), transport);
        }
        self.rest = Rest::Replay(splice.offset);
        self.begin(StatusCode::OK, *splice, transport);
    }

    fn begin<IO>(&mut self, status: StatusCode, splice: Splice, transport: &mut Transport<IO>) {
        let Splice { head, prefix, fields, .. } = splice;
        if self.respond(status, Some((head, true)), fields, transport) {
            self.work = Work::Sending(prefix);
        }
    }

    /// What was read of the original, from this byte on.
    pub(super) fn replay(&mut self, offset: u64) -> Result<Box<Replay>, Incomplete> {
        self.is_kept()?;
        let original = self.original.take().ok_or(Incomplete::NotKept)?;
        Ok(Box::new(original.into_replay(offset)))
    }

    /// What is read from now on may have to be sent back.
    pub(super) fn keep_original(&mut self, head: Option<HttpHead>) {
        self.original = self.config.map(|config| {
            let limit = config.echo_limit.unwrap_or(self.shared.echo_limit);
            Box::new(Original::new(head, limit, &config.spool))
        });
    }

    /// The same, when nothing was read but the preview.
    fn keep_unread(&mut self) {
        let arrived = self.previewed.bytes();
        if !self.ended && self.record.bytes_in == arrived.len() as u64 {
            self.keep_original(None);
            if let Some(original) = &mut self.original {
                original.keep(&arrived);
            }
        }
    }

    fn is_kept(&self) -> Result<(), Incomplete> {
        self.original.as_ref().ok_or(Incomplete::NotKept)?.check()
    }

    pub(super) fn log_incomplete(&self, error: Incomplete) {
        let (client, service) = (self.record.client(), self.record.service());
        tracing::error!(client, service, %error, "the original cannot be sent back");
    }

    /// The original ends before the byte from which on it was to be sent.
    pub(super) fn cut_short<IO>(&mut self, transport: &mut Transport<IO>) {
        let service = self.record.service();
        tracing::error!(service, "the original is shorter than the reply says");
        self.abort(transport);
    }
}
