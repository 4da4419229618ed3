//! An answer on its way in.

use super::Connection;
use crate::client::Event;
use crate::client::state::{Continued, End, Read};
use crate::encapsulated::Encapsulated;
use crate::error::{CloseReason, Error, ParseErrorKind, PeerMisbehaved, Truncated};
use crate::headers::Headers;
use crate::response::ResponseHead;
use crate::status::StatusCode;
use crate::wire::chunk::{BodyEnd, OriginalBody, Part};

/// What one step of reading came to.
enum Next {
    Event(Event),
    Again,
    Starved,
}

impl Connection {
    /// The next event; `None` when nothing is awaited or more input is needed.
    pub(super) fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let next = match self.state.read {
                Read::Idle | Read::Done => return Ok(None),
                Read::Head => self.read_head()?,
                Read::Body => self.read_body()?,
                Read::Trailer => self.read_trailer()?,
                Read::End => self.end(Headers::new())?,
            };
            match next {
                Next::Event(event) => return Ok(Some(event)),
                Next::Again => {}
                Next::Starved => return self.starved(),
            }
        }
    }

    fn read_head(&mut self) -> Result<Next, Error> {
        let Self { reader, input, limits, tolerance, .. } = self;
        let Some((head, size)) = reader.read(input.buffer(), limits, tolerance)? else {
            return Ok(Next::Starved);
        };
        self.input.consumed(size as u64);
        let status = head.status();
        if self.unasked && !status.is_error() {
            return Err(PeerMisbehaved::UnsolicitedResponse.into());
        }
        if status == StatusCode::CONTINUE {
            return self.on_continue(&head);
        }
        if status.as_u16() < 200 {
            return Err(PeerMisbehaved::UnknownInterim.into());
        }
        if status == StatusCode::NO_CONTENT && head.has_body() {
            return Err(PeerMisbehaved::UnexpectedBody.into());
        }
        head.check(&self.method, &mut self.tolerance).map_err(|kind| self.input.error(kind))?;
        self.state.on_final(status, &mut self.tolerance)?;
        if head.close() {
            self.close = Some(CloseReason::Asked);
        } else if head.unannounced_trailer() {
            self.close = Some(CloseReason::UnannouncedTrailer);
        }
        self.answer.status = Some(status);
        // Only a message with parts can have a trailer behind them (draft-rousskov-icap-trailers section 3).
        self.answer.icap_trailer = head.ends_with_icap_trailer();
        self.state.read = if head.has_body() { Read::Body } else { self.behind_body() };
        Ok(Next::Event(Event::Response(head)))
    }

    fn on_continue(&mut self, head: &ResponseHead) -> Result<Next, Error> {
        if head.parts() != Encapsulated::NONE {
            return Err(PeerMisbehaved::UnexpectedBody.into());
        }
        let promised = self.state.owes_icap_trailer();
        let continued = self.state.on_continue(&mut self.tolerance)?;
        self.input.start_message();
        match continued {
            Continued::Ignored => Ok(Next::Again),
            Continued::Proceed => Ok(Next::Event(Event::Continue)),
            Continued::ProceedToEnd => {
                let trailers = core::mem::take(&mut self.held_trailers);
                self.write_end(End::Body, &trailers);
                if promised {
                    self.write_icap_trailer();
                }
                Ok(Next::Event(Event::Continue))
            }
        }
    }

    fn read_body(&mut self) -> Result<Next, Error> {
        let Self { answer, input, limits, tolerance, .. } = self;
        let base = input.position();
        let part = answer
            .decoder
            .decode_with(input.buffer(), limits, tolerance)
            .map_err(|error| error.shifted(base))?;
        match part {
            None => Ok(Next::Starved),
            Some(Part::Data(data)) => Ok(Next::Event(Event::Data(data))),
            Some(Part::End(end)) => {
                self.input.consumed(self.answer.decoder.consumed());
                self.answer.body_end = end;
                self.state.read = self.behind_body();
                Ok(Next::Again)
            }
        }
    }

    fn read_trailer(&mut self) -> Result<Next, Error> {
        let Self { answer, input, limits, tolerance, .. } = self;
        match input.trailer(&mut answer.trailer_scan, limits, tolerance)? {
            None => Ok(Next::Starved),
            Some(trailer) => {
                if trailer.has_member("Connection", "close") {
                    self.close = Some(CloseReason::Asked);
                }
                self.end(trailer)
            }
        }
    }

    const fn behind_body(&self) -> Read {
        if self.answer.icap_trailer { Read::Trailer } else { Read::End }
    }

    fn end(&mut self, icap_trailer: Headers) -> Result<Next, Error> {
        let BodyEnd { ieof, original_body, trailers } = core::mem::take(&mut self.answer.body_end);
        let partial = self.answer.status == Some(StatusCode::PARTIAL_CONTENT);
        if ieof && !self.tolerance.takes(|switches| &mut switches.stray_ieof) {
            return Err(self.input.error(ParseErrorKind::MisplacedIeof).into());
        }
        if original_body.is_some()
            && !partial
            && !self.tolerance.takes(|switches| &mut switches.stray_ieof)
        {
            return Err(PeerMisbehaved::MisplacedOriginalBody.into());
        }
        let use_original_body = match original_body.filter(|_| partial) {
            None => None,
            Some(OriginalBody::From(offset)) => Some(offset),
            Some(OriginalBody::Malformed) => {
                return Err(self.input.error(ParseErrorKind::UseOriginalBody).into());
            }
        };
        self.state.finish_answer();
        Ok(Next::Event(Event::End { trailers, icap_trailer, use_original_body }))
    }

    /// More input is needed: say where it was cut when there will be none.
    fn starved(&mut self) -> Result<Option<Event>, Error> {
        self.input.starve();
        if !self.input.is_closed() {
            return Ok(None);
        }
        Err(Error::Closed(match self.state.read {
            Read::Body | Read::Trailer | Read::End => Truncated::InBody,
            _ if !self.input.is_empty() => Truncated::InHead,
            _ if self.state.awaits_preview_answer() => Truncated::InPreview,
            _ => Truncated::BeforeHead,
        }))
    }
}
