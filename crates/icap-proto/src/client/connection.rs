//! The client's side of one connection.

mod reading;

use bytes::buf::Limit;
use bytes::{BufMut, Bytes, BytesMut};

use super::state::{End, Read, Shape, State, Write};
use super::{Event, SendState};
use crate::error::{CloseReason, Error, Misuse};
use crate::headers::Headers;
use crate::input::Input;
use crate::method::Method;
use crate::output::Output;
use crate::reader::HeadReader;
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::tolerance::Tolerance;
use crate::wire::chunk::{BodyEnd, ChunkDecoder};
use crate::wire::encode::{self, LastChunk};
use crate::wire::scan::HeadScan;
use crate::{Leniency, Limits, StatusCode};

/// One connection to a server: requests go out, answers come in, one exchange after the other.
///
/// The owner moves bytes: it fills [`input`](Self::input) when [`wants_input`](Self::wants_input) says so and
/// writes what [`output`](Self::output) holds. See the [module](super) for a whole exchange.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    tolerance: Tolerance,
    state: State,
    /// What the request in progress was, for the rules of its answer.
    method: Method,
    input: Input,
    output: Output,
    reader: HeadReader<ResponseHead>,
    answer: Answer,
    /// Trailers of a body that ended while 100 Continue was awaited.
    held_trailers: Headers,
    /// The fields of a promised ICAP trailer, until the request ends.
    icap_trailer: Headers,
    /// Bytes of the server were there before anything was asked.
    unasked: bool,
    close: Option<CloseReason>,
    failed: Option<Error>,
}

/// What is known of the answer in progress behind its head.
#[derive(Debug, Default)]
struct Answer {
    status: Option<StatusCode>,
    decoder: ChunkDecoder,
    icap_trailer: bool,
    trailer_scan: HeadScan,
    body_end: BodyEnd,
}

impl Connection {
    /// A fresh connection.
    #[must_use]
    pub fn new(limits: Limits, leniency: Leniency) -> Self {
        Self {
            limits,
            tolerance: Tolerance::new(leniency.of_responses()),
            state: State::new(),
            method: Method::Options,
            input: Input::default(),
            output: Output::default(),
            reader: HeadReader::new(),
            answer: Answer::default(),
            held_trailers: Headers::new(),
            icap_trailer: Headers::new(),
            unasked: false,
            close: None,
            failed: None,
        }
    }

    /// Starts an exchange: queues the head. An ICAP trailer that it promises is empty unless
    /// [`set_icap_trailer`](Self::set_icap_trailer) says more before the body ends.
    ///
    /// # Errors
    ///
    /// [`Misuse::NotIdle`] while another exchange is in progress or when the connection may not be
    /// [reused](Self::reusable).
    pub fn start(&mut self, head: &RequestHead) -> Result<(), Error> {
        self.begin(head, Headers::new())
    }

    /// Starts an exchange whose request ends in an ICAP trailer with these fields: at once behind a head without
    /// body, else behind the body (draft-rousskov-icap-trailers section 6). Fields that frame, route or
    /// authorize are left out.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoIcapTrailer`] when the head [promises none](crate::RequestBuilder::icap_trailer), else as
    /// [`start`](Self::start).
    pub fn start_with_icap_trailer(
        &mut self,
        head: &RequestHead,
        fields: Headers,
    ) -> Result<(), Error> {
        if !head.ends_with_icap_trailer() {
            return Err(Misuse::NoIcapTrailer.into());
        }
        self.begin(head, fields)
    }

    fn begin(&mut self, head: &RequestHead, icap_trailer: Headers) -> Result<(), Error> {
        let fresh = self.state.write == Write::Idle && self.failed.is_none();
        if !fresh && self.reusable().is_err() {
            return Err(Misuse::NotIdle.into());
        }
        head.encode(self.output.framing());
        self.method = head.method().clone();
        self.reader = HeadReader::new();
        self.answer = Answer::default();
        self.held_trailers = Headers::new();
        self.icap_trailer = icap_trailer;
        self.unasked = !self.input.is_empty();
        self.input.start_message();
        if head.close() {
            self.close = Some(CloseReason::Asked);
        }
        self.state.start(Shape {
            body: head.has_body(),
            preview: head.preview(),
            allow_no_content: head.allow().no_content,
            allow_partial_content: head.allow().partial_content,
            icap_trailer: head.ends_with_icap_trailer(),
        });
        if head.ends_with_icap_trailer() && !head.has_body() {
            self.write_icap_trailer();
        }
        Ok(())
    }

    /// Gives the promised ICAP trailer these fields, in place of those given before. They go out when the request
    /// ends; an answer that ends it in its preview leaves no place for them.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoIcapTrailer`] when the head [promised none](crate::RequestBuilder::icap_trailer) or the
    /// request has ended.
    pub fn set_icap_trailer(&mut self, fields: Headers) -> Result<(), Error> {
        if self.state.owes_icap_trailer() {
            self.icap_trailer = fields;
            Ok(())
        } else if self.state.icap_trailer_is_moot() {
            Ok(())
        } else {
            Err(Misuse::NoIcapTrailer.into())
        }
    }

    /// Where the request stands.
    #[must_use]
    pub fn send_state(&self) -> SendState {
        match self.state.write {
            Write::Idle => SendState::Idle,
            Write::Preview(remaining) => SendState::Preview { remaining },
            Write::Paused => SendState::AwaitingContinue,
            Write::Body => SendState::Streaming,
            Write::Done => SendState::Done,
            Write::Abandoned => SendState::Abandoned,
        }
    }

    /// Queues body data as one chunk and takes it off `data`. Inside a preview only so much is taken as the
    /// preview has room for; data that is left over ends the preview, since it shows that there is more.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when the request has no body to send now. Data offered while
    /// [`SendState::AwaitingContinue`] is not taken and is no error.
    pub fn send_data(&mut self, data: &mut Bytes) -> Result<(), Error> {
        match self.state.write {
            Write::Preview(_) | Write::Body => {}
            Write::Paused => return Ok(()),
            // A final answer may end the request between two calls.
            Write::Done | Write::Abandoned if self.state.has_answer() => return Ok(()),
            _ => return Err(Misuse::NoBody.into()),
        }
        let room = usize::try_from(self.state.window()).unwrap_or(usize::MAX);
        let piece = data.split_to(room.min(data.len()));
        self.state.sent(piece.len() as u64);
        encode::chunk(&mut self.output, piece);
        if !data.is_empty() {
            self.end_preview()?;
        }
        Ok(())
    }

    /// Ends the preview although the body may go on: the server decides next. For a body that has given as many
    /// bytes as the preview takes and may have more.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoPreview`] outside a preview.
    pub fn end_preview(&mut self) -> Result<(), Error> {
        let end = self.state.end_preview()?;
        self.write_end(end, &Headers::new());
        Ok(())
    }

    /// Ends the body: with `ieof` inside the preview, else with the last chunk and the trailers. A promised ICAP
    /// trailer follows.
    ///
    /// Trailers of a body that fits into the preview go with it. No server but c-icap is known to refuse
    /// trailers.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no body is being sent.
    pub fn finish(&mut self, trailers: &Headers) -> Result<(), Error> {
        let promised = self.state.owes_icap_trailer();
        let end = self.state.finish()?;
        if end == End::Nothing {
            self.held_trailers = trailers.clone();
        }
        self.write_end(end, trailers);
        if promised && end.is_final() {
            self.write_icap_trailer();
        }
        Ok(())
    }

    /// Gives up sending the body. What answer still comes can be read; the connection cannot be reused.
    pub const fn abandon(&mut self) {
        self.state.abandon();
    }

    fn write_end(&mut self, end: End, trailers: &Headers) {
        match end {
            End::Ieof => encode::last_chunk(&mut self.output, LastChunk::Ieof, trailers),
            End::Body => encode::last_chunk(&mut self.output, LastChunk::Plain, trailers),
            End::Preview => {
                encode::last_chunk(&mut self.output, LastChunk::Plain, &Headers::new());
            }
            End::Nothing => {}
        }
    }

    /// The ICAP trailer: field lines or none, and the empty line (draft-rousskov-icap-trailers section 6).
    fn write_icap_trailer(&mut self) {
        let fields = core::mem::take(&mut self.icap_trailer);
        if fields.has_member("Connection", "close") {
            self.close = Some(CloseReason::Asked);
        }
        encode::trailer_section(self.output.framing(), &fields);
    }

    /// Whether bytes should be read: everything that has arrived is used up and more must come. False while the
    /// owner has not asked for the next event.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        let reading = matches!(self.state.read, Read::Head | Read::Body | Read::Trailer);
        reading && self.failed.is_none() && self.input.is_starved()
    }

    /// Room for bytes that arrived. Its capacity is what may be read at most; it is never empty while
    /// [`wants_input`](Self::wants_input) is true.
    pub fn input(&mut self) -> Limit<&mut BytesMut> {
        self.input.room(self.state.read == Read::Body)
    }

    /// Says that the server closed its side.
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

    /// Gives back buffers that hold nothing.
    pub fn relax(&mut self) {
        self.output.relax();
        self.input.relax();
    }

    /// The next event of the answer; `None` when more input is needed or nothing is awaited.
    ///
    /// # Errors
    ///
    /// What the server did wrong. After an error the same error is given again and no more events come.
    #[must_use = "an event that is dropped is lost"]
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.input.is_starved() {
            return Ok(None);
        }
        self.input.ask();
        let event = self.next_event();
        if let Err(error) = event {
            self.failed = Some(error);
        }
        event
    }

    /// The switches without which the answer would have been refused, as far as it was read since this was asked
    /// last. [`Leniency::strict`] when the server kept to the RFC. With these alone all of it is read the same.
    pub const fn take_used_leniency(&mut self) -> Leniency {
        self.tolerance.take_used()
    }

    /// Whether the exchange is over on both sides.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state.read == Read::Done && matches!(self.state.write, Write::Done | Write::Abandoned)
    }

    /// Whether the connection can carry another exchange.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn reusable(&self) -> Result<(), CloseReason> {
        if self.failed.is_some() {
            return Err(CloseReason::Failed);
        }
        if self.state.write == Write::Abandoned {
            return Err(CloseReason::Abandoned);
        }
        if !self.is_complete() {
            return Err(CloseReason::InProgress);
        }
        if let Some(reason) = self.close {
            return Err(reason);
        }
        if !self.input.is_empty() {
            return Err(CloseReason::Surplus);
        }
        if self.input.is_closed() { Err(CloseReason::PeerClosed) } else { Ok(()) }
    }
}
