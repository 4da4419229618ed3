//! The server's side of one connection.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Event;
use super::state::{Read, Shape, State, Write};
use crate::encapsulated::Encapsulated;
use crate::error::{CloseReason, Error, Misuse, PeerMisbehaved, Truncated};
use crate::headers::Headers;
use crate::input::Input;
use crate::istag::IsTag;
use crate::method::Method;
use crate::output::Output;
use crate::reader::HeadReader;
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::tolerance::Tolerance;
use crate::wire::chunk::{BodyEnd, ChunkDecoder, Part};
use crate::wire::encode::{self, LastChunk};
use crate::wire::scan::HeadScan;
use crate::{Leniency, Limits, ParseErrorKind, StatusCode};

/// Room for a head that has a tag and hardly anything else.
const SHORT_HEAD: usize = 128;

/// One connection from a client: requests come in and are answered in order.
///
/// The owner moves bytes: it fills [`input`](Self::input) when [`wants_input`](Self::wants_input) says so,
/// writes what [`output`](Self::output) holds, and closes when [`closing`](Self::closing) says so. Bytes of a
/// pipelined request wait until the one before is answered. See the [module](super) for a whole exchange.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    tolerance: Tolerance,
    state: State,
    method: Option<Method>,
    input: Input,
    output: Output,
    reader: HeadReader<RequestHead>,
    decoder: ChunkDecoder,
    trailer_scan: HeadScan,
    trailers: Headers,
    /// The fields of the ICAP trailer that the answer promises, until it ends.
    icap_trailer: Headers,
    close: Option<CloseReason>,
    failed: Option<Error>,
}

impl Connection {
    /// A fresh connection.
    #[must_use]
    pub fn new(limits: Limits, leniency: Leniency) -> Self {
        Self {
            limits,
            tolerance: Tolerance::new(leniency.of_requests()),
            state: State::new(),
            method: None,
            input: Input::default(),
            output: Output::default(),
            reader: HeadReader::new(),
            decoder: ChunkDecoder::default(),
            trailer_scan: HeadScan::default(),
            trailers: Headers::new(),
            icap_trailer: Headers::new(),
            close: None,
            failed: None,
        }
    }

    /// Sends 100 Continue: the rest of the body behind the preview is wanted.
    ///
    /// # Errors
    ///
    /// [`Misuse::ContinueNotDue`] unless the preview has ended without `ieof` and nothing was answered;
    /// [`PeerMisbehaved::SpokeOutOfTurn`] when the client did not wait for it.
    pub fn send_continue(&mut self, istag: &IsTag) -> Result<(), Error> {
        if self.state.read == Read::Paused && !self.input.is_empty() {
            return Err(self.fail(PeerMisbehaved::SpokeOutOfTurn.into()));
        }
        self.state.proceed()?;
        self.decoder = ChunkDecoder::default();
        let out = self.output.framing();
        out.extend_from_slice(b"ICAP/1.0 100 Continue\r\n");
        out.extend_from_slice(istag.line());
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Whether the request in progress can be answered with 204 (RFC 3507 section 4.6): the client allows it,
    /// or is still in its preview.
    #[must_use]
    pub const fn permits_no_content(&self) -> bool {
        self.state.permits_no_content()
    }

    /// Whether the request in progress can be answered with 206 (draft-icap-ext-partial-content section 5.1).
    #[must_use]
    pub const fn permits_partial_content(&self) -> bool {
        self.state.permits_partial_content()
    }

    /// Whether the answer to the request in progress may end in an ICAP trailer: the client allows it
    /// (draft-rousskov-icap-trailers section 9).
    #[must_use]
    pub const fn permits_icap_trailer(&self) -> bool {
        self.state.permits_icap_trailer()
    }

    /// Queues the head of the final answer. After an error of the client the answer is the last.
    ///
    /// `Connection: close` is added where the connection cannot go on: the client asked for it, its bytes are
    /// not understood, or an error is told before the request was read to its end. An error told in a preview
    /// is no such end where the rest of the preview, as it was announced, is within [`Limits::preview`] and
    /// [`Limits::drain`]: it is read and thrown away, unless the error is 408.
    ///
    /// A 200 to OPTIONS without parts says `Encapsulated: null-body=0` (RFC 3507 section 4.10.2). An ICAP trailer
    /// that the head promises is empty unless [`set_icap_trailer`](Self::set_icap_trailer) says more before the
    /// body ends.
    ///
    /// # Errors
    ///
    /// [`Misuse`] when there is nothing to answer, the status is 1xx, the client does not take a 204, a 206 or an
    /// ICAP trailer, or the parts do not fit the method. While the head of a request is on its way only an error
    /// can be told.
    pub fn respond(&mut self, head: ResponseHead) -> Result<(), Error> {
        self.answer(head, Headers::new())
    }

    /// Queues the head of a final answer that ends in an ICAP trailer with these fields: at once behind a head
    /// without body, else behind the body (draft-rousskov-icap-trailers section 6). Fields that frame, route or
    /// authorize are left out.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoIcapTrailer`] when the head [promises none](crate::ResponseBuilder::icap_trailer), else as
    /// [`respond`](Self::respond).
    pub fn respond_with_icap_trailer(
        &mut self,
        head: ResponseHead,
        fields: Headers,
    ) -> Result<(), Error> {
        if !head.ends_with_icap_trailer() {
            return Err(Misuse::NoIcapTrailer.into());
        }
        self.answer(head, fields)
    }

    /// Queues a final answer with this tag, no other field and no parts, such as a 204 or an error: what
    /// [`respond`](Self::respond) does with such a head, without putting one together.
    ///
    /// ```
    /// use icap_proto::{IsTag, Leniency, Limits, StatusCode, server::Connection};
    ///
    /// let mut connection = Connection::new(Limits::default(), Leniency::default());
    /// connection.feed(b"OPTIONS icap://h/none ICAP/1.0\r\nHost: h\r\n\r\n");
    /// assert!(connection.poll_event()?.is_some());
    /// connection.respond_without_parts(StatusCode::NOT_FOUND, &IsTag::new("rules-7")?)?;
    /// let answer = bytes::Buf::chunk(connection.output());
    /// assert_eq!(answer, b"ICAP/1.0 404 ICAP Service Not Found\r\nISTag: \"rules-7\"\r\n\r\n");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub fn respond_without_parts(
        &mut self,
        status: StatusCode,
        istag: &IsTag,
    ) -> Result<(), Error> {
        self.permits(status, Encapsulated::NONE, false)?;
        self.decide_close(status, false);
        let null_body = self.says_null_body(status);
        let out = self.output.framing();
        out.reserve(SHORT_HEAD);
        encode::status_line(out, status, status.canonical_reason().as_bytes());
        out.extend_from_slice(istag.line());
        if self.close.is_some() {
            out.extend_from_slice(encode::CLOSE);
        }
        if null_body {
            out.extend_from_slice(b"Encapsulated: null-body=0\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.state.on_answer(status, false, false);
        Ok(())
    }

    fn answer(&mut self, mut head: ResponseHead, icap_trailer: Headers) -> Result<(), Error> {
        let (status, trailer) = (head.status(), head.ends_with_icap_trailer());
        self.permits(status, head.parts(), trailer)?;
        if self.says_null_body(status) {
            head.set_null_body();
        }
        self.decide_close(status, head.close());
        if self.close.is_some() {
            head.set_close();
        }
        head.encode(self.output.framing());
        self.state.on_answer(status, head.has_body(), trailer);
        self.icap_trailer = icap_trailer;
        if trailer && !head.has_body() {
            self.write_icap_trailer();
        }
        Ok(())
    }

    /// Whether an answer without parts has to say so: a 200 to OPTIONS (RFC 3507 section 4.10.2).
    fn says_null_body(&self, status: StatusCode) -> bool {
        status == StatusCode::OK && self.method == Some(Method::Options)
    }

    /// Ends the connection with an answer of this status where it was asked to end or cannot go on.
    fn decide_close(&mut self, status: StatusCode, asked: bool) {
        // 408 says that the rest is waited for no longer.
        let waits =
            self.state.is_in_short_preview(&self.limits) && status != StatusCode::REQUEST_TIMEOUT;
        let early_error = status.is_error() && !self.state.request_is_over() && !waits;
        // Bytes behind a preview that was not answered yet are the next request or the rest of this one: the
        // client that sent them does not know either.
        let ambiguous = self.state.read == Read::Paused && !self.input.is_empty();
        if early_error || ambiguous || self.failed.is_some() || asked {
            self.close.get_or_insert(CloseReason::Asked);
        }
    }

    /// Whether this can be the answer now. What is taken here a strict client takes too.
    fn permits(
        &self,
        status: StatusCode,
        parts: Encapsulated,
        icap_trailer: bool,
    ) -> Result<(), Misuse> {
        let asked = !matches!(self.state.read, Read::Idle { .. }) || self.failed.is_some();
        if !asked || self.state.write != Write::Nothing {
            return Err(Misuse::NothingToAnswer);
        }
        match status {
            interim if interim.as_u16() < 200 => return Err(Misuse::ContinueNotDue),
            StatusCode::NO_CONTENT if !self.permits_no_content() => {
                return Err(Misuse::NoContentNotAllowed);
            }
            StatusCode::PARTIAL_CONTENT if !self.permits_partial_content() => {
                return Err(Misuse::PartialContentNotAllowed);
            }
            _ => {}
        }
        let bare = parts == Encapsulated::NONE;
        match &self.method {
            // A head that does not come to its end can be refused, nothing else: which parts an answer to it may
            // have depends on its method.
            None if !status.is_error() => return Err(Misuse::NothingToAnswer),
            None if !bare => return Err(Misuse::Composition),
            Some(method) if !parts.fits_response(method, status) => {
                return Err(Misuse::Composition);
            }
            _ if status == StatusCode::CREATED && !bare => return Err(Misuse::Composition),
            _ => {}
        }
        if icap_trailer && !self.permits_icap_trailer() {
            return Err(Misuse::IcapTrailerNotAllowed);
        }
        Ok(())
    }

    /// Gives the promised ICAP trailer these fields, in place of those given before. They go out behind the body.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoIcapTrailer`] when no answer is being sent that [promises
    /// one](crate::ResponseBuilder::icap_trailer).
    pub fn set_icap_trailer(&mut self, fields: Headers) -> Result<(), Error> {
        if !self.state.owes_icap_trailer() {
            return Err(Misuse::NoIcapTrailer.into());
        }
        self.icap_trailer = fields;
        Ok(())
    }

    /// Ends a one-way request, to which the client expects no answer, such as LOG
    /// (draft-stecher-icap-subid section 6). Only the owner can know which methods are such.
    ///
    /// What is left of the request is read and thrown away; then the connection goes on.
    ///
    /// # Errors
    ///
    /// [`Misuse::AnswerDue`] for the methods of RFC 3507, which all are answered;
    /// [`Misuse::NothingToAnswer`] without a request, after an answer and after an error of the client.
    pub fn dismiss(&mut self) -> Result<(), Error> {
        if self.state.write != Write::Nothing || self.failed.is_some() {
            return Err(Misuse::NothingToAnswer.into());
        }
        match self.method {
            None => return Err(Misuse::NothingToAnswer.into()),
            Some(Method::Extension(_)) => {}
            Some(_) => return Err(Misuse::AnswerDue.into()),
        }
        self.state.dismiss();
        Ok(())
    }

    /// Ends the connection with the request in progress: an answer that has not begun says `Connection: close`.
    pub fn close_after_answer(&mut self) {
        self.close.get_or_insert(CloseReason::Asked);
    }

    /// Queues body data of the answer as one chunk.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no answer with a body is being sent.
    #[inline]
    pub fn send_data(&mut self, data: Bytes) -> Result<(), Error> {
        let Write::Body { .. } = self.state.write else { return Err(Misuse::NoBody.into()) };
        encode::chunk(&mut self.output, data);
        Ok(())
    }

    /// Ends the body of the answer. A promised ICAP trailer follows.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no answer with a body is being sent.
    pub fn finish(&mut self, trailers: &Headers) -> Result<(), Error> {
        self.finish_with(LastChunk::Plain, trailers)
    }

    /// Ends the body of a 206: the original goes on from byte `offset`
    /// (draft-icap-ext-partial-content section 5.2).
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no answer with a body is being sent, [`Misuse::PartialContentNotAllowed`] when it
    /// is not a 206.
    pub fn finish_with_original(&mut self, offset: u64) -> Result<(), Error> {
        match self.state.write {
            Write::Body { status: StatusCode::PARTIAL_CONTENT } => {
                self.finish_with(LastChunk::OriginalBody(offset), &Headers::new())
            }
            Write::Body { .. } => Err(Misuse::PartialContentNotAllowed.into()),
            _ => Err(Misuse::NoBody.into()),
        }
    }

    fn finish_with(&mut self, extension: LastChunk, trailers: &Headers) -> Result<(), Error> {
        let Write::Body { .. } = self.state.write else { return Err(Misuse::NoBody.into()) };
        encode::last_chunk(&mut self.output, extension, trailers);
        if self.state.on_answer_end() {
            self.write_icap_trailer();
        }
        Ok(())
    }

    /// The ICAP trailer: field lines or none, and the empty line (draft-rousskov-icap-trailers section 6).
    fn write_icap_trailer(&mut self) {
        let fields = core::mem::take(&mut self.icap_trailer);
        if fields.has_member("Connection", "close") {
            self.close.get_or_insert(CloseReason::Asked);
        }
        encode::trailer_section(self.output.framing(), &fields);
    }

    /// Breaks the answer off: the connection ends without a last chunk, so that the client sees the cut.
    pub const fn abort(&mut self) {
        self.state.write = Write::Aborted;
    }

    /// Whether bytes should be read: everything that has arrived is used up and more must come. False while the
    /// owner has not asked for the next event: what nobody asked for stays in the socket.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        let reading = !matches!(self.state.read, Read::Paused | Read::End | Read::Done);
        reading && self.failed.is_none() && self.closing().is_none() && self.input.is_starved()
    }

    /// Room for bytes that arrived. Its capacity is what may be read at most; it is never empty while
    /// [`wants_input`](Self::wants_input) is true.
    pub fn input(&mut self) -> Limit<&mut BytesMut> {
        self.input.room(self.state.read == Read::Body)
    }

    /// Says that the client closed its side. A request that arrived whole is still answered.
    pub const fn input_closed(&mut self) {
        self.input.close();
    }

    /// Copies `bytes` in and gives back how many were taken: [`input`](Self::input) for tests and tools.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut room = self.input();
        let taken = bytes.len().min(room.remaining_mut());
        room.put_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// Bytes to write, oldest first.
    pub const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Gives back buffers that hold nothing. That for input comes out, for another connection to [use](Self::lend).
    ///
    /// ```
    /// use icap_proto::{Leniency, Limits, server::Connection};
    ///
    /// let mut idle = Connection::new(Limits::default(), Leniency::default());
    /// let mut busy = Connection::new(Limits::default(), Leniency::default());
    /// assert!(idle.input().get_ref().capacity() > 0);
    /// let spare = idle.relax();
    /// busy.lend(|| spare.unwrap_or_default());
    /// ```
    pub fn relax(&mut self) -> Option<BytesMut> {
        self.output.relax();
        self.input.relax()
    }

    /// Uses the buffer of `lender` for input if there is none; its contents are thrown away. One that other bytes still
    /// share, such as those of an event, is not written to.
    pub fn lend(&mut self, lender: impl FnOnce() -> BytesMut) {
        self.input.lend(lender);
    }

    /// The next event; `None` when more input is needed, a decision is due, or the connection is closing.
    ///
    /// # Errors
    ///
    /// What the client did wrong. After an error the same error is given again and no more events come; one
    /// answer can still be given when none was.
    #[must_use = "an event that is dropped is lost"]
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.input.ask();
        let event = self.next_event();
        event.map_err(|error| self.fail(error))
    }

    /// The switches without which the client would have been refused, as far as it was read since this was asked
    /// last. [`Leniency::strict`] when it kept to the RFC. With these alone all of it is read the same.
    ///
    /// ```
    /// use icap_proto::{Leniency, Limits, server::Connection};
    ///
    /// let mut connection = Connection::new(Limits::default(), Leniency::default());
    /// connection.feed(b"OPTIONS icap://h/s ICAP/1.0\r\n\r\n");
    /// assert!(connection.poll_event()?.is_some());
    /// assert_eq!(connection.take_used_leniency().names().collect::<Vec<_>>(), ["missing_host"]);
    /// assert_eq!(connection.take_used_leniency(), Leniency::strict());
    /// # Ok::<(), icap_proto::Error>(())
    /// ```
    pub const fn take_used_leniency(&mut self) -> Leniency {
        self.tolerance.take_used()
    }

    /// Whether the connection is between requests.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state.is_complete()
            || (matches!(self.state.read, Read::Idle { .. }) && self.input.is_empty())
    }

    /// Whether no answer was begun for the request in progress.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.state.write == Write::Nothing
    }

    /// Why the connection ends once the output is written; `None` while it goes on.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        match self.state.write {
            Write::Aborted => Some(CloseReason::Abandoned),
            Write::Done if self.failed.is_some() => Some(CloseReason::Failed),
            Write::Done if self.close.is_some() => self.close,
            Write::Done if self.state.drained() > self.limits.drain => Some(CloseReason::Asked),
            _ if self.input.is_closed() && self.is_idle() && self.input.is_empty() => {
                Some(CloseReason::PeerClosed)
            }
            _ => None,
        }
    }

    /// Whether the client may be sending what is not read any more. A connection that closes at once would answer
    /// it with a reset, which can destroy the answer on its way: close the write side first and read on for a
    /// while (RFC 9112 section 9.6).
    #[must_use]
    pub fn should_linger(&self) -> bool {
        let over = self.is_idle() || self.state.request_is_over();
        !over || self.failed.is_some() || !self.input.is_empty()
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error);
        error
    }

    fn next_event(&mut self) -> Result<Option<Event>, Error> {
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
        let part = decoder
            .decode_with(input.buffer(), limits, tolerance)
            .map_err(|error| error.shifted(base))?;
        self.state.on_wire(decoder.consumed().saturating_sub(before));
        match part {
            None => Ok(Next::Starved),
            Some(Part::Data(mut data)) => {
                if let Some((room, fault)) = self.state.preview_room(self.limits.preview)
                    && data.len() as u64 > room
                {
                    self.fail(fault.into());
                    // What is within the preview is still given out: how the bytes were cut must not matter.
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

/// What one step of reading came to.
enum Next {
    Event(Event),
    Again,
    Starved,
}
