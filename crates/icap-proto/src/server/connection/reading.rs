//! A request on its way in.

use bytes::Buf;

use super::Connection;
use crate::error::{CloseReason, Error, ParseErrorKind, PeerMisbehaved, Truncated};
use crate::headers::Headers;
use crate::method::Method;
use crate::server::Event;
use crate::server::state::{Read, Shape, State};
use crate::wire::chunk::{BodyEnd, ChunkDecoder, Part};
use crate::wire::scan::HeadScan;

/// What one step of reading came to.
enum Next {
    Event(Event),
    Again,
    Starved,
}

impl Connection {
    /// The next event; `None` when more input is needed, a decision is due, or the connection is closing.
    pub(super) fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if self.closing().is_some() {
                return Ok(None);
            }
            let next = match self.state.read {
                Read::Idle { skipped_line } => self.read_start(skipped_line),
                Read::Head => self.read_head()?,
                Read::Preview { .. } | Read::Body => self.read_body()?,
                Read::Paused if !self.input.is_empty() => {
                    return Err(PeerMisbehaved::SpokeOutOfTurn.into());
                }
                Read::Paused => return Ok(None),
                Read::Trailer => self.read_trailer()?,
                Read::End => self.end(Headers::new()),
                Read::Done if self.state.is_complete() => {
                    self.next_request();
                    Next::Again
                }
                Read::Done => return Ok(None),
            };
            match next {
                // The answer is complete: nobody waits for what is left of the request, nor for its end.
                Next::Event(_) if self.state.is_draining() || self.state.is_complete() => {}
                Next::Event(event) => return Ok(Some(event)),
                Next::Again => {}
                Next::Starved => return self.starved(),
            }
        }
    }

    fn next_request(&mut self) {
        self.state = State::new();
        self.method = None;
        self.trailers = Headers::new();
        self.input.start_message();
    }

    fn read_start(&mut self, skipped_line: bool) -> Next {
        match self.input.buffer().get(..) {
            Some([b'\r', b'\n', ..])
                if !skipped_line
                    && self.tolerance.takes(|switches| &mut switches.leading_empty_line) =>
            {
                self.input.buffer().advance(2);
                self.state.read = Read::Idle { skipped_line: true };
                Next::Again
            }
            Some([] | [b'\r']) | None => Next::Starved,
            Some(_) => {
                self.state.read = Read::Head;
                Next::Again
            }
        }
    }

    fn read_head(&mut self) -> Result<Next, Error> {
        let Self { reader, input, limits, tolerance, .. } = self;
        let Some((head, size)) = reader.read(input.buffer(), limits, tolerance)? else {
            return Ok(Next::Starved);
        };
        self.input.consumed(size as u64);
        if head.close() {
            self.close = Some(CloseReason::Asked);
        } else if head.unannounced_trailer() {
            self.close = Some(CloseReason::UnannouncedTrailer);
        }
        let previewing = matches!(head.method(), Method::Reqmod | Method::Respmod);
        self.state.on_request(Shape {
            body: head.has_body(),
            preview: head.preview().filter(|_| previewing),
            icap_trailer: head.ends_with_icap_trailer(),
            allow_no_content: head.allow().no_content,
            allow_partial_content: head.allow().partial_content,
            allow_trailers: head.allow().trailers,
        });
        self.method = Some(head.method().clone());
        self.decoder = ChunkDecoder::default();
        self.trailer_scan = HeadScan::default();
        Ok(Next::Event(Event::Request(head)))
    }

    fn read_body(&mut self) -> Result<Next, Error> {
        let Self { decoder, input, limits, tolerance, .. } = self;
        let base = input.position();
        let before = decoder.consumed();
        let part = decoder.decode_with(input.buffer(), limits, tolerance);
        self.state.on_wire(decoder.consumed().saturating_sub(before));
        // Comes before what is wrong behind it: how the bytes were cut must not matter.
        if self.has_drained_enough() {
            return Ok(Next::Again);
        }
        match part.map_err(|error| error.shifted(base))? {
            None => Ok(Next::Starved),
            Some(Part::Data(mut data)) => {
                if let Some((room, fault)) = self.state.preview_room(self.limits.preview)
                    && data.len() as u64 > room
                {
                    // Of chunks that came as one it is not known whether the budget ended before this byte or behind
                    // it: either way the connection just ends.
                    if self.state.is_draining() {
                        self.close.get_or_insert(CloseReason::Asked);
                        return Ok(Next::Again);
                    }
                    self.fail(fault.into());
                    // What is within the preview is still given out, again because of the cuts.
                    data.truncate(usize::try_from(room).unwrap_or(usize::MAX));
                    if data.is_empty() {
                        return Err(fault.into());
                    }
                }
                self.state.on_data(data.len() as u64);
                Ok(Next::Event(Event::Data(data)))
            }
            Some(Part::End(end)) => {
                self.input.consumed(self.decoder.consumed());
                self.body_end(end)
            }
        }
    }

    fn body_end(&mut self, end: BodyEnd) -> Result<Next, Error> {
        let in_preview = matches!(self.state.read, Read::Preview { .. });
        if end.ieof && !in_preview && !self.tolerance.takes(|switches| &mut switches.stray_ieof) {
            return Err(self.input.error(ParseErrorKind::MisplacedIeof).into());
        }
        self.trailers = end.trailers;
        if !in_preview {
            self.state.on_body_end();
            return Ok(Next::Again);
        }
        self.state.on_preview_end(end.ieof);
        Ok(Next::Event(Event::PreviewEnd { complete: end.ieof }))
    }

    fn read_trailer(&mut self) -> Result<Next, Error> {
        let Self { trailer_scan, input, limits, tolerance, .. } = self;
        let before = input.position();
        let Some(trailer) = input.trailer(trailer_scan, limits, tolerance)? else {
            return Ok(Next::Starved);
        };
        self.state.on_wire(input.position().saturating_sub(before));
        if trailer.has_member("Connection", "close") {
            self.close = Some(CloseReason::Asked);
        }
        Ok(self.end(trailer))
    }

    fn end(&mut self, icap_trailer: Headers) -> Next {
        self.state.read = Read::Done;
        let trailers = core::mem::take(&mut self.trailers);
        Next::Event(Event::End { trailers, icap_trailer })
    }

    /// More input is needed: say where it was cut when there will be none.
    fn starved(&mut self) -> Result<Option<Event>, Error> {
        self.input.starve();
        if !self.input.is_closed() {
            return Ok(None);
        }
        match self.state.read {
            Read::Idle { .. } if self.input.is_empty() => Ok(None),
            Read::Idle { .. } | Read::Head => Err(Error::Closed(Truncated::InHead)),
            _ => Err(Error::Closed(Truncated::InBody)),
        }
    }
}
