//! The server's side of one connection.

mod answering;
mod reading;

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};

use super::Event;
use super::state::{Read, State, Write};
use crate::error::{CloseReason, Error};
use crate::headers::Headers;
use crate::input::Input;
use crate::method::Method;
use crate::output::Output;
use crate::reader::HeadReader;
use crate::request::RequestHead;
use crate::tolerance::Tolerance;
use crate::wire::chunk::ChunkDecoder;
use crate::wire::scan::HeadScan;
use crate::{Leniency, Limits};

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
    /// last. [`Leniency::strict`] when it kept to the RFC. With these alone all of it is read the same. Where
    /// [`Limits::drain`] ends the connection, what stands behind that byte may count, as it arrived.
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
            Write::Done if self.has_drained_enough() => Some(CloseReason::Asked),
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

    /// Whether more was thrown away behind the answer than a client may leave there.
    fn has_drained_enough(&self) -> bool {
        self.state.drained() > self.limits.drain
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error);
        error
    }
}
