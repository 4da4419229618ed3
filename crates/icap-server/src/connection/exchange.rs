//! One request and its answer.
//!
//! ```text
//!  Calling ──► Sending ──► Done        the handler's reply has a body
//!     ├──────► Echoing ──► Done        unmodified, and the client does not take a 204
//!     └──────────────────► Done        204, error
//! ```
//!
//! All of it is one `poll`: the handler or its reply body is polled, what it asks for is read, what it gives is
//! written, and when nothing moves the task sleeps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use icap_proto::server::Event;
use icap_proto::{Headers, Method, RequestHead};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::answer::Answering;
use super::original::Original;
use super::record::{PreviewResult, Record};
use super::transport::{Lost, Transport};
use crate::body_cell::{Demand, Feeder, Item, Want, cell};
use crate::peer::Peer;
use crate::router::{Found, Place};
use crate::server::Shared;
use crate::service::Call;
use crate::{BodyError, ReplyBody, Request, Timeouts};

/// A request that is being answered.
pub(super) struct Exchange<'a> {
    pub(super) shared: &'a Shared,
    pub(super) work: Work<'a>,
    pub(super) answering: Answering,
    /// The way to the reader of the body; `None` when there is no body to read.
    feeder: Option<Feeder>,
    /// The whole request has arrived.
    ended: bool,
    /// The request broke off.
    pub(super) failure: Option<BodyError>,
    /// For the echo; `None` when a 204 is possible in any case.
    pub(super) original: Option<Original>,
    /// Since when the client sends nothing of what is asked for.
    read_wait: Option<Instant>,
    /// Body bytes that nobody wanted.
    discarded: u64,
    pub(super) record: Record<'a>,
    /// How much of the client's time was waited for its body.
    waited: Duration,
    max_body: u64,
    /// Counts for the service as long as the exchange lasts.
    _place: Option<Place<'a>>,
}

/// What the answer waits for.
pub(super) enum Work<'a> {
    Calling(Call<'a>),
    Sending(ReplyBody),
    /// The rest of the request is sent back.
    Echoing,
    Done,
}

/// What input is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reader,
    Echo,
    /// To keep a client going that writes before it reads.
    Discard,
}

impl<'a> Exchange<'a> {
    /// Calls the service, or answers in its place.
    pub(super) fn start<IO>(
        head: Box<RequestHead>,
        peer: &'a Peer,
        shared: &'a Shared,
        transport: &mut Transport<IO>,
    ) -> Self {
        let route = shared.router.find(&head, &shared.tag);
        let tag = route.as_ref().map_or_else(|refusal| &refusal.tag, |route| &route.tag).clone();
        let mut exchange = Self {
            shared,
            work: Work::Done,
            answering: Answering::new(&head, tag),
            feeder: None,
            ended: false,
            failure: None,
            original: None,
            read_wait: None,
            discarded: 0,
            record: Record::start(&head, peer),
            waited: Duration::ZERO,
            max_body: u64::MAX,
            _place: None,
        };
        if let Ok(route) = &route {
            exchange.record.found(route.path);
        }
        match route {
            Ok(route) if *head.method() == Method::Options => {
                let options = shared.offer(route.options);
                exchange.send_options(&options, head.allow(), transport);
            }
            Ok(route) => exchange.call(route, head, peer),
            Err(refusal) => exchange.refuse(refusal.status, transport),
        }
        exchange
    }

    fn call(&mut self, route: Found<'a>, head: Box<RequestHead>, peer: &Peer) {
        let has_body = head.has_body();
        if !head.allow().no_content {
            let http = head.adapted_head().cloned();
            self.original = Some(Original::new(http, has_body, self.shared.echo_limit));
        }
        let (feeder, reader) = has_body.then(cell).unzip();
        self.feeder = feeder;
        self.max_body = route.max_body;
        self._place = Some(route.place);
        self.work = Work::Calling(route.service.call(Request::new(head, peer.clone(), reader)));
    }

    /// Ready when the answer is queued to its end, or broken off.
    pub(super) fn poll<IO>(
        &mut self,
        transport: &mut Transport<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(feeder) = &mut self.feeder {
            feeder.unpark();
        }
        let span = self.record.span.clone();
        let _entered = span.enter();
        loop {
            let mut moved = self.poll_work(transport, cx);
            if matches!(self.work, Work::Done) {
                return Poll::Ready(Ok(()));
            }
            let demand = self.feeder.as_ref().map(Feeder::demand);
            moved |= self.poll_body(demand, transport, cx)?;
            let full = transport.is_full();
            if moved && !full {
                continue;
            }
            let _ = transport.poll_write(cx)?;
            if moved || (full && !transport.is_full()) {
                continue;
            }
            if let (Some(feeder), Some(seen)) = (&mut self.feeder, demand)
                && !feeder.park(seen, cx)
            {
                continue;
            }
            let waiting = self.read_wait.map(|since| (since, self.read_limit()));
            ready!(transport.poll_deadline(waiting, cx))?;
            self.fail(BodyError::TimedOut, transport, cx);
        }
    }

    /// Polls the handler or its body; true when something came of it.
    fn poll_work<IO>(&mut self, transport: &mut Transport<IO>, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Work::Calling(call) = &mut self.work {
            let reply = match catch(|| call.as_mut().poll(cx)) {
                Ok(Poll::Pending) => return false,
                Ok(Poll::Ready(reply)) => reply,
                Err(panic) => Err(panic.into()),
            };
            self.answer(reply, transport);
            moved = true;
        }
        while let Work::Sending(body) = &mut self.work
            && !transport.is_full()
        {
            let frame = match catch(|| body.poll_frame(cx)) {
                Ok(Poll::Pending) => break,
                Ok(Poll::Ready(frame)) => frame.transpose(),
                Err(panic) => Err(panic.into()),
            };
            match frame {
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => self.send(data, transport),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.finish(&headers(&trailers), transport);
                    }
                },
                Ok(None) => self.finish(&Headers::new(), transport),
                Err(error) => {
                    if self.failure.is_none() {
                        let service = self.record.service();
                        tracing::error!(service, %error, "the body of a reply failed");
                    }
                    self.abort(transport);
                }
            }
            moved = true;
        }
        moved
    }

    /// Reads what is asked for; true when something came of it.
    fn poll_body<IO>(
        &mut self,
        demand: Option<Demand>,
        transport: &mut Transport<IO>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Lost>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        if demand.is_some_and(|demand| demand.want == Want::Continue) {
            self.proceed(transport, cx);
            return Ok(true);
        }
        let mut waited = self.read_wait.take();
        let Some(purpose) = self.purpose(demand, transport) else { return Ok(false) };
        loop {
            match transport.connection.poll_event() {
                Ok(Some(event)) => {
                    self.take(event, purpose, transport, cx);
                    return Ok(true);
                }
                Ok(None) if !transport.connection.wants_input() => return Ok(false),
                Ok(None) => {
                    if transport.poll_read(cx)?.is_pending() {
                        break;
                    }
                    if let Some(since) = waited.take() {
                        self.waited = self.waited.saturating_add(since.elapsed());
                    }
                }
                Err(error) => {
                    self.fail(error.into(), transport, cx);
                    return Ok(true);
                }
            }
        }
        if purpose != Purpose::Discard {
            self.read_wait = Some(waited.unwrap_or_else(Instant::now));
        }
        Ok(false)
    }

    /// How long to wait for the next byte.
    fn read_limit(&self) -> Duration {
        let Timeouts { body, body_rate, .. } = self.shared.timeouts;
        let Some(earned) = self.record.bytes_in.checked_div(body_rate.into()) else { return body };
        let budget = body.saturating_add(Duration::from_secs(earned));
        body.min(budget.saturating_sub(self.waited))
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
            (Work::Echoing, _) => (!transport.is_full()).then_some(Purpose::Echo),
            (_, Some(Demand { want: Want::Item, .. })) => Some(Purpose::Reader),
            (Work::Sending(_), Some(Demand { reader_gone: true, .. })) => {
                (self.discarded <= self.shared.limits.drain).then_some(Purpose::Discard)
            }
            _ => None,
        }
    }

    fn take<IO>(
        &mut self,
        event: Event,
        purpose: Purpose,
        transport: &mut Transport<IO>,
        cx: &Context<'_>,
    ) {
        match (event, purpose) {
            (Event::Data(data), _) => {
                let length = data.len() as u64;
                self.record.bytes_in = self.record.bytes_in.saturating_add(length);
                if self.record.bytes_in > self.max_body {
                    return self.fail(BodyError::TooLong, transport, cx);
                }
                match purpose {
                    Purpose::Reader => {
                        if let Some(original) = &mut self.original {
                            original.keep(&data);
                        }
                        self.deliver(Item::Data(data), cx);
                    }
                    Purpose::Echo => self.send(data, transport),
                    Purpose::Discard => self.discarded = self.discarded.saturating_add(length),
                }
            }
            (Event::PreviewEnd { complete, .. }, Purpose::Reader) => {
                if complete {
                    self.record.preview(PreviewResult::Whole);
                }
                self.deliver(Item::PreviewEnd { complete }, cx);
            }
            (Event::End { trailers, .. }, _) => {
                self.ended = true;
                match purpose {
                    Purpose::Reader => {
                        if let Some(original) = &mut self.original {
                            original.end(trailers.clone());
                        }
                        self.deliver(Item::End(trailers), cx);
                    }
                    Purpose::Echo => self.finish(&trailers, transport),
                    Purpose::Discard => {}
                }
            }
            _ => {}
        }
    }

    /// The reader asks for what follows the preview.
    fn proceed<IO>(&mut self, transport: &mut Transport<IO>, cx: &Context<'_>) {
        if !matches!(self.work, Work::Calling(_)) {
            return self.fail_reader(BodyError::Answered, cx.waker());
        }
        match transport.connection.send_continue(&self.answering.tag) {
            Ok(()) => {
                self.record.preview(PreviewResult::Continued);
                self.deliver(Item::Continued, cx);
            }
            Err(error) => self.fail(error.into(), transport, cx),
        }
    }

    fn deliver(&mut self, item: Item, cx: &Context<'_>) {
        if let Some(feeder) = &mut self.feeder {
            feeder.deliver(item, cx);
        }
    }

    /// The request breaks off.
    fn fail<IO>(&mut self, error: BodyError, transport: &mut Transport<IO>, cx: &Context<'_>) {
        tracing::warn!(
            client = self.record.client(),
            service = self.record.service(),
            %error,
            "broken request",
        );
        self.failure = Some(error);
        self.read_wait = None;
        self.fail_reader(error, cx.waker());
        if let Work::Echoing = self.work {
            self.abort(transport);
        }
    }

    fn fail_reader(&mut self, error: BodyError, own: &Waker) {
        if let Some(feeder) = &mut self.feeder {
            feeder.fail(error, own);
        }
    }

    /// Queues data of the answer.
    pub(super) fn send<IO>(&mut self, data: Bytes, transport: &mut Transport<IO>) {
        self.record.bytes_out = self.record.bytes_out.saturating_add(data.len() as u64);
        if transport.connection.send_data(data).is_err() {
            self.abort(transport);
        }
    }

    /// Ends the answer.
    pub(super) fn finish<IO>(&mut self, trailers: &Headers, transport: &mut Transport<IO>) {
        match transport.connection.finish(trailers) {
            Ok(()) => self.work = Work::Done,
            Err(_) => self.abort(transport),
        }
    }

    /// Breaks the answer off, so that the client sees the cut.
    pub(super) fn abort<IO>(&mut self, transport: &mut Transport<IO>) {
        transport.connection.abort();
        self.record.aborted = true;
        self.work = Work::Done;
    }
}

/// Whoever reads on learns that it is over.
impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if let (Work::Done, false) = (&self.work, self.record.aborted) {
            self.fail_reader(BodyError::Answered, Waker::noop());
        }
    }
}

/// A panic of a service costs one transaction, not the connection's task.
fn catch<T>(poll: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(poll)).map_err(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        format!("panic: {}", text.unwrap_or("no message"))
    })
}

/// Trailer fields for the wire. Names and values of the `http` crate hold nothing that a field line cannot.
fn headers(map: &HeaderMap) -> Headers {
    Headers::try_from(map).unwrap_or_default()
}
