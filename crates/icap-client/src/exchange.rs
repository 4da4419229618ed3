//! The pump: moves one request out and its answer in, at the same time.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use icap_proto::client::{Event, SendState};
use icap_proto::{Headers, Output, RequestHead, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::connect::BoxTransport;
use crate::error::{BoxError, Error, Invalid};
use crate::pool::{Link, Permit, Pool};
use crate::record::Record;
use crate::source::Source;
use crate::timeouts::Stage;

/// The body is asked for more only while less than this waits to be written.
const HIGH_WATER: usize = 64 * 1024;

/// With less than this the slices are all that there is to write.
const FEW_SLICES: usize = 8;

/// How a body is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    /// Bytes of it that may be kept once the preview is over.
    pub(crate) replay_limit: u64,
    /// Its HTTP trailers go with its last chunk.
    pub(crate) trailers: bool,
}

/// One request and its answer on one connection.
///
/// Nothing runs by itself: [`poll_event`](Self::poll_event) takes data from the body, writes, reads, and gives the
/// next event. Dropping it closes the connection.
pub(crate) struct Exchange<B> {
    link: Box<Link>,
    pool: Arc<Pool>,
    source: Box<Source<B>>,
    sending: Sending,
    /// A byte of the answer has come.
    heard: bool,
    /// The head of the final answer has come.
    answered: bool,
    /// Writing is over, but an answer may wait to be read: a server that refuses a request closes its side.
    write_error: Option<io::Error>,
    unflushed: bool,
    pub(crate) record: Record,
}

impl<B> Exchange<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Sends the request and waits for the head of the final answer.
    pub(crate) async fn answer(
        &mut self,
        request: &RequestHead,
    ) -> Result<Box<ResponseHead>, Error> {
        self.link.connection.start(request).map_err(Error::Protocol)?;
        self.record.started(request.preview().is_some());
        if request.preview().is_none() {
            self.source.set_limit(self.sending.replay_limit);
        }
        loop {
            // The head is the first event.
            if let Event::Response(head) = poll_fn(|cx| self.poll_event(cx)).await? {
                return Ok(head);
            }
        }
    }

    /// The next event but 100 Continue, which concerns nobody else.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let Some(span) = self.record.span() else { return self.advance(cx) };
        let _entered = span.enter();
        let event = self.advance(cx);
        if let Poll::Ready(Err(error)) = &event {
            self.record.failed(error);
        }
        event
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        if self.link.inactivity.poll_total(cx).is_ready() {
            return Poll::Ready(Err(Error::Timeout(Stage::Total)));
        }
        loop {
            let wrote = self.upload(cx)?;
            match self.ready_event()? {
                Some(Event::Continue) => {
                    self.record.continued();
                    self.source.set_limit(self.sending.replay_limit);
                    self.link.inactivity.restart();
                    continue;
                }
                Some(event) => return Poll::Ready(Ok(event)),
                None => {}
            }
            // Both directions take turns: an answer is heard between two writes.
            if self.poll_read(cx)?.is_ready() || wrote {
                continue;
            }
            if !self.waits_for_server() {
                return Poll::Pending;
            }
            let stage = self.stage();
            ready!(self.link.inactivity.poll(cx, stage));
            return Poll::Ready(Err(Error::Timeout(stage)));
        }
    }

    /// The next event of what was read already.
    pub(crate) fn ready_event(&mut self) -> Result<Option<Event>, Error> {
        let event = self.link.connection.poll_event().map_err(|error| self.explain(error))?;
        let Some(event) = event else { return Ok(None) };
        if matches!(event, Event::Response(_) | Event::End { .. }) {
            self.record.needed(self.link.connection.take_used_leniency());
        }
        match &event {
            Event::Response(head) => {
                self.answered = true;
                self.link.inactivity.restart();
                self.record.answered(head.status());
            }
            Event::Data(data) => self.record.received(data.len()),
            Event::End { .. } => self.record.ended(),
            _ => {}
        }
        Ok(Some(event))
    }

    /// Takes data from the body and writes once; whether more may be written now.
    pub(crate) fn upload(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        self.fill(cx)?;
        Ok(self.write(cx))
    }

    /// Queues data of the body while the request has room for it.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Self { link, source, sending, record, .. } = self;
        let connection = &mut link.connection;
        while connection.output().remaining() < HIGH_WATER {
            match connection.send_state() {
                // Nobody looks at more of the preview than the server took to answer.
                SendState::Preview { .. } if self.answered => {
                    return connection.end_preview().map_err(Error::Protocol);
                }
                SendState::Preview { remaining: 0, .. } if source.is_at_end() => {}
                // Whether there is more is for the server to ask: finding out could take for ever. Unless the
                // body says that there is not.
                SendState::Preview { remaining: 0, .. }
                    if source.size_hint().exact() != Some(0) =>
                {
                    return connection.end_preview().map_err(Error::Protocol);
                }
                SendState::Preview { .. } | SendState::Streaming => {}
                _ => return Ok(()),
            }
            match source.poll_data(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => {
                    if let SendState::Preview { .. } = connection.send_state() {
                        record.previewed_whole();
                    }
                    let trailers = source.trailers().filter(|_| sending.trailers);
                    let trailers = trailers.map_or_else(|| Ok(Headers::new()), Headers::try_from);
                    let trailers =
                        trailers.map_err(|error| Error::Invalid(Invalid::Header(error)))?;
                    return connection.finish(&trailers).map_err(Error::Protocol);
                }
                Poll::Ready(Some(Err(error))) => return Err(Error::Source(error.into())),
                Poll::Ready(Some(Ok(mut data))) => {
                    let offered = data.len();
                    connection.send_data(&mut data).map_err(Error::Protocol)?;
                    record.sent(offered.saturating_sub(data.len()));
                    source.put_back(data);
                }
            }
        }
        Ok(())
    }

    /// Writes once; whether more may be written now.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.write_error.is_some() {
            return false;
        }
        let Link { connection, io, inactivity, .. } = &mut *self.link;
        if connection.output().has_remaining() {
            let error = match poll_write(io, connection.output(), cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0)) => Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => None,
                Poll::Ready(Err(error)) => Some(error),
            };
            if let Some(error) = error {
                tracing::debug!(%error, "sending failed, an answer may still be there");
                connection.abandon();
                self.write_error = Some(error);
                return false;
            }
            self.unflushed = true;
            inactivity.restart();
            if self.is_sending() {
                return true;
            }
        }
        if self.unflushed && Pin::new(&mut self.link.io).poll_flush(cx).is_ready() {
            // An error here comes again with the next write or read.
            self.unflushed = false;
        }
        false
    }

    /// Reads once. The state machine is asked first: it has used up what there was.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        let Link { connection, io, .. } = &mut *self.link;
        match pin!(io.read_buf(&mut connection.input())).poll(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => connection.input_closed(),
            // TLS without a word of farewell.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                connection.input_closed();
            }
            Poll::Ready(Ok(_)) => self.heard = true,
            Poll::Ready(Err(error)) => {
                return Err(self.write_error.take().map_or(Error::Read(error), Error::Write));
            }
        }
        // The head of an answer has one time, however it drips.
        if self.answered {
            self.link.inactivity.restart();
        }
        Ok(Poll::Ready(()))
    }

    /// Whether bytes of the request wait to be written or may still come.
    fn is_sending(&mut self) -> bool {
        self.link.connection.output().has_remaining() || self.takes_data()
    }

    /// Whether the next move is the server's, not the body's.
    fn waits_for_server(&mut self) -> bool {
        let sending = self.link.connection.output().has_remaining() && self.write_error.is_none();
        sending || !self.takes_data()
    }

    /// Whether the request goes on with data of the body.
    fn takes_data(&self) -> bool {
        matches!(
            self.link.connection.send_state(),
            SendState::Preview { .. } | SendState::Streaming
        )
    }

    fn stage(&mut self) -> Stage {
        if self.link.connection.output().has_remaining() && self.write_error.is_none() {
            Stage::Send
        } else if self.answered {
            Stage::Body
        } else if self.link.connection.send_state() == SendState::AwaitingContinue {
            Stage::Preview
        } else {
            Stage::Answer
        }
    }

    /// A connection that ended because of a failed write is told as that.
    fn explain(&mut self, error: icap_proto::Error) -> Error {
        match (error, self.write_error.take()) {
            (icap_proto::Error::Closed(_), Some(error)) => Error::Write(error),
            (icap_proto::Error::Closed(place), None) => Error::Closed(place),
            (error, _) => Error::Protocol(error),
        }
    }

    /// Brings the request to its end once the answer has ended, without waiting.
    ///
    /// What is left of a body that the server did not wait for is not sent: that could take longer than a new
    /// connection.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        if let SendState::Preview { .. } = self.link.connection.send_state() {
            // In this state there is a preview to end.
            let _ = self.link.connection.end_preview();
        }
        while self.write(cx) {}
    }
}

impl<B> Exchange<B> {
    /// An exchange that has not started; `source` stands at its first byte.
    pub(crate) fn new(
        link: Box<Link>,
        pool: Arc<Pool>,
        source: Box<Source<B>>,
        sending: Sending,
    ) -> Self {
        Self {
            link,
            pool,
            source,
            sending,
            heard: false,
            answered: false,
            write_error: None,
            unflushed: false,
            record: Record::default(),
        }
    }

    /// Gives the connection back to the pool if it can carry another exchange, and the body out.
    pub(crate) fn release(self) -> Box<Source<B>> {
        let Self { mut link, pool, source, write_error, unflushed, .. } = self;
        let sent = !link.connection.output().has_remaining() && !unflushed && write_error.is_none();
        match link.connection.reusable() {
            Ok(()) if sent => pool.put(link),
            reusable => tracing::debug!(?reusable, sent, "closed the connection"),
        }
        source
    }

    /// Lets go of what was kept of the body: its answer does not need it.
    pub(crate) fn forget_original(&mut self) {
        self.source.stop_keeping();
    }

    /// Whether nothing of the body is gone.
    pub(crate) const fn is_replayable(&self) -> bool {
        self.source.is_whole()
    }

    /// Closes the connection and gives the body out.
    pub(crate) fn into_source(self) -> Box<Source<B>> {
        self.source
    }

    /// Closes the connection, and gives out the body, the record and the place of the connection.
    pub(crate) fn into_retry(self) -> (Box<Source<B>>, Record, Option<Permit>) {
        let Self { source, record, link, .. } = self;
        (source, record, link.into_permit())
    }

    /// Whether the server closed an idle connection just when it was taken: no byte of an answer came
    /// (RFC 9112 section 9.3.1).
    pub(crate) const fn looks_stale(&self, error: &Error) -> bool {
        !self.heard && matches!(error, Error::Closed(_) | Error::Read(_) | Error::Write(_))
    }
}

impl<B> std::fmt::Debug for Exchange<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

/// Writes as much as goes. The runtime makes room for many more slices than most writes have, each time.
fn poll_write(
    io: &mut BoxTransport,
    output: &mut Output,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); FEW_SLICES];
    let used = output.chunks_vectored(&mut slices);
    match slices.get(..used) {
        Some(slices) if used < FEW_SLICES && io.is_write_vectored() => {
            let written = ready!(Pin::new(io).poll_write_vectored(cx, slices))?;
            output.advance(written);
            Poll::Ready(Ok(written))
        }
        _ => pin!(io.write_buf(output)).poll(cx),
    }
}

#[cfg(test)]
mod cancel;
#[cfg(test)]
mod tests;
