//! The request on its way in.

use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use icap_proto::server::Event;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::answer::status_of;
use super::exchange::{Exchange, Rest, Work};
use super::original::skip;
use super::record::PreviewResult;
use super::transport::{Lost, Transport};
use crate::BodyError;
use crate::body_cell::{Demand, Item, Want};

/// What input is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reader,
    /// For a reader that is not there yet.
    Arrived,
    /// To send it back later.
    Keep,
    Echo,
    /// To keep a client going that writes before it reads.
    Discard,
}

/// The end of the preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreviewEnd {
    /// There is no preview, or it is over.
    None,
    /// It is not read yet.
    Ahead,
    /// The client waits for 100 Continue.
    Waits,
    /// The preview was the whole body.
    Whole,
}

/// What was read of the preview, until more is read than that.
#[derive(Debug, Default)]
pub(super) struct Previewed {
    bytes: Bytes,
    gathered: BytesMut,
}

impl Previewed {
    fn push(&mut self, data: Bytes) {
        // Nearly always it comes in one piece.
        if self.bytes.is_empty() {
            self.bytes = data;
            return;
        }
        if self.gathered.is_empty() {
            self.gathered.extend_from_slice(&self.bytes);
        }
        self.gathered.extend_from_slice(&data);
    }

    /// All of it, in one piece.
    pub(super) fn bytes(&mut self) -> Bytes {
        if !self.gathered.is_empty() {
            self.bytes = self.gathered.split().freeze();
        }
        self.bytes.clone()
    }
}

impl Exchange<'_> {
    /// The preview if it has come with the head: the handler need not wait for it. Nothing is read for it.
    pub(super) fn arrived_preview<IO>(
        &mut self,
        transport: &mut Transport<IO>,
    ) -> Option<(Bytes, bool)> {
        // What may have to be sent back waits for room to keep it.
        while self.preview == PreviewEnd::Ahead && self.original.is_none() && self.failure.is_none()
        {
            // An error comes again when the handler asks.
            let Ok(Some(event)) = transport.connection.poll_event() else { return None };
            self.take(event, Purpose::Arrived, transport, Waker::noop());
        }
        let complete = self.preview == PreviewEnd::Whole;
        if !complete && self.preview != PreviewEnd::Waits {
            return None;
        }
        Some((self.previewed.bytes(), complete))
    }

    /// Reads what is asked for; true when something came of it.
    pub(super) fn poll_body<IO>(
        &mut self,
        demand: Option<Demand>,
        transport: &mut Transport<IO>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Lost>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let moved = self.poll_read_body(demand, transport, cx)?;
        if let Some(feeder) = &mut self.feeder {
            feeder.hand_over(cx.waker());
        }
        Ok(moved)
    }

    fn poll_read_body<IO>(
        &mut self,
        demand: Option<Demand>,
        transport: &mut Transport<IO>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Lost>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        if demand.is_some_and(|demand| demand.want == Want::Continue) {
            self.proceed(transport, cx.waker());
            return Ok(true);
        }
        let mut waiting = self.read_wait.take();
        let Some(purpose) = self.purpose(demand, transport) else {
            self.count_wait(waiting);
            return Ok(false);
        };
        if self.too_long && purpose == Purpose::Reader {
            self.fail(BodyError::TooLong, transport, cx.waker());
            return Ok(true);
        }
        if let (Purpose::Reader | Purpose::Keep, Some(original)) = (purpose, &mut self.original)
            && original.poll_room(cx).is_pending()
        {
            return Ok(false);
        }
        loop {
            match transport.connection.poll_event() {
                Ok(Some(event)) => {
                    let is_data = matches!(event, Event::Data(_));
                    self.take(event, purpose, transport, cx.waker());
                    if is_data && matches!(purpose, Purpose::Reader | Purpose::Echo) {
                        self.take_more(purpose, transport, cx.waker());
                    }
                    return Ok(true);
                }
                Ok(None) if !transport.connection.wants_input() => return Ok(false),
                Ok(None) => {
                    if transport.poll_read(cx)?.is_pending() {
                        break;
                    }
                    self.count_wait(waiting.take());
                }
                Err(error) => {
                    self.fail(error.into(), transport, cx.waker());
                    return Ok(true);
                }
            }
        }
        if purpose != Purpose::Discard {
            self.read_wait = Some(waiting.unwrap_or_else(Instant::now));
        }
        Ok(false)
    }

    /// Gives the reader what has been read already, or the client: one turn does for many chunks. It is never more
    /// than the connection's buffer has.
    fn take_more<IO>(&mut self, purpose: Purpose, transport: &mut Transport<IO>, own: &Waker) {
        // What may have to be sent back waits for room to keep it.
        let mut is_data = self.original.is_none();
        while is_data && self.failure.is_none() {
            if purpose == Purpose::Echo && self.purpose(None, transport).is_none() {
                return;
            }
            // An error comes again when more is asked for.
            let Ok(Some(event)) = transport.connection.poll_event() else { return };
            is_data = matches!(&event, Event::Data(_));
            if let (Event::Data(data), Purpose::Reader) = (&event, purpose)
                && self.is_too_long(data.len() as u64)
            {
                self.too_long = true;
                return;
            }
            self.take(event, purpose, transport, own);
        }
    }

    /// Whether so many bytes more are more than the service takes.
    fn is_too_long(&self, more: u64) -> bool {
        let length = self.record.bytes_in.saturating_add(more);
        self.config.is_some_and(|config| length > config.max_body)
    }

    /// A wait for the client is over.
    fn count_wait(&mut self, since: Option<Instant>) {
        let waited = since.map(|since| since.elapsed()).unwrap_or_default();
        self.read_waited = self.read_waited.saturating_add(waited);
    }

    fn purpose<IO>(
        &self,
        demand: Option<Demand>,
        transport: &mut Transport<IO>,
    ) -> Option<Purpose> {
        if self.ended || self.failure.is_some() {
            return None;
        }
        match (&self.work, demand) {
            (Work::Echoing { .. }, _) => (!transport.is_full()).then_some(Purpose::Echo),
            (Work::Proceeding(_), _) => Some(Purpose::Keep),
            // What comes now belongs behind what is being sent.
            (Work::Replaying(_), _) => None,
            (_, Some(Demand { want: Want::Item, .. })) => Some(Purpose::Reader),
            (Work::Sending(_), Some(Demand { reader_gone: true, .. })) => {
                let is_unwanted = !matches!(self.rest, Rest::Replay(_));
                (is_unwanted && self.discarded <= self.shared.limits.drain)
                    .then_some(Purpose::Discard)
            }
            _ => None,
        }
    }

    fn take<IO>(
        &mut self,
        event: Event,
        purpose: Purpose,
        transport: &mut Transport<IO>,
        own: &Waker,
    ) {
        if !matches!(event, Event::Data(_)) {
            self.record.needed(transport.connection.take_used_leniency());
        }
        match event {
            Event::Data(data) => self.take_data(data, purpose, transport, own),
            Event::PreviewEnd { complete, .. } => {
                self.preview = if complete { PreviewEnd::Whole } else { PreviewEnd::Waits };
                if complete {
                    self.record.preview(PreviewResult::Whole);
                }
                match purpose {
                    Purpose::Reader => {
                        let bytes = self.previewed.bytes();
                        self.deliver(Item::Preview { bytes, complete });
                    }
                    Purpose::Keep => self.begin_splice(transport),
                    Purpose::Arrived | Purpose::Echo | Purpose::Discard => {}
                }
            }
            Event::End { trailers, icap_trailer, .. } => {
                self.ended = true;
                if let (Purpose::Reader | Purpose::Keep, Some(original)) =
                    (purpose, &mut self.original)
                {
                    original.end(trailers.clone());
                }
                match purpose {
                    Purpose::Reader => self.deliver(Item::End { trailers, icap_trailer }),
                    Purpose::Echo if self.skips() => self.cut_short(transport),
                    Purpose::Echo => self.finish(&trailers, transport),
                    Purpose::Arrived | Purpose::Keep | Purpose::Discard => {}
                }
            }
            _ => {}
        }
    }

    fn take_data<IO>(
        &mut self,
        mut data: Bytes,
        purpose: Purpose,
        transport: &mut Transport<IO>,
        own: &Waker,
    ) {
        let length = data.len() as u64;
        let too_long = self.is_too_long(length);
        self.record.bytes_in = self.record.bytes_in.saturating_add(length);
        if too_long {
            return self.fail(BodyError::TooLong, transport, own);
        }
        if self.preview != PreviewEnd::Ahead && !self.previewed.bytes.is_empty() {
            self.previewed = Previewed::default();
        }
        if let (Purpose::Reader | Purpose::Keep, Some(original)) = (purpose, &mut self.original) {
            original.keep(&data);
        }
        match purpose {
            Purpose::Reader | Purpose::Arrived if self.preview == PreviewEnd::Ahead => {
                self.previewed.push(data);
            }
            Purpose::Arrived => {}
            Purpose::Reader => self.deliver(Item::Data(data)),
            Purpose::Keep => {}
            Purpose::Echo => {
                if let Work::Echoing { skip: left } = &mut self.work {
                    skip(left, &mut data);
                }
                self.send(data, transport);
            }
            Purpose::Discard => self.discarded = self.discarded.saturating_add(length),
        }
    }

    /// Whether bytes are still to be left out of the echo.
    const fn skips(&self) -> bool {
        matches!(self.work, Work::Echoing { skip: 1.. })
    }

    /// The reader asks for what follows the preview.
    fn proceed<IO>(&mut self, transport: &mut Transport<IO>, own: &Waker) {
        if std::mem::take(&mut self.continued) {
            return self.deliver(Item::Continued);
        }
        if !matches!(self.work, Work::Calling(_)) {
            return self.fail_reader(BodyError::Answered, own);
        }
        match self.send_continue(transport) {
            Ok(()) => self.deliver(Item::Continued),
            Err(error) => self.fail(error.into(), transport, own),
        }
    }

    /// Asks the client for what follows the preview.
    pub(super) fn send_continue<IO>(
        &mut self,
        transport: &mut Transport<IO>,
    ) -> Result<(), icap_proto::Error> {
        transport.connection.send_continue(self.tag())?;
        self.preview = PreviewEnd::None;
        self.record.preview(PreviewResult::Continued);
        Ok(())
    }

    /// Gives the service something to go on with.
    fn deliver(&mut self, item: Item) {
        self.service_wait = None;
        if let Some(feeder) = &mut self.feeder {
            feeder.push(item);
        }
    }

    /// The request breaks off.
    pub(super) fn fail<IO>(
        &mut self,
        error: BodyError,
        transport: &mut Transport<IO>,
        own: &Waker,
    ) {
        tracing::warn!(
            client = self.record.client(),
            service = self.record.service(),
            %error,
            "broken request",
        );
        self.failure = Some(error);
        self.read_wait = None;
        self.fail_reader(error, own);
        match self.work {
            Work::Echoing { .. } => self.abort(transport),
            Work::Proceeding(_) => self.refuse(status_of(error), transport),
            _ => {}
        }
    }

    pub(super) fn fail_reader(&mut self, error: BodyError, own: &Waker) {
        if let Some(feeder) = &mut self.feeder {
            feeder.fail(error, own);
        }
    }
}
