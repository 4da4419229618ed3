//! One request and its answer.
//!
//! ```text
//!  Calling ──► Sending ───────────────────────────► Done      the handler's reply has a body
//!     │           └──► Replaying ──► Echoing ──► Done         ... and ends in the original, without a 206
//!     ├────────────────────────────► Echoing ──► Done         ... and is what is left of the request's
//!     ├──────────────► Replaying ──► Echoing ──► Done         unmodified, and the client does not take a 204
//!     ├──► Proceeding ──► Sending                             the client waits for 100 Continue before that
//!     └───────────────────────────────────────────► Done      204, error, no answer
//! ```
//!
//! All of it is one `poll`: the handler or its reply body is polled, what it asks for is read (`reading`), what it
//! gives is written (`answer`), and when nothing moves the task sleeps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::HeaderMap;
use icap_proto::{Allow, Headers, IsTag, Method, RequestHead, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::answer::Answering;
use super::original::{Original, Replay, Step};
use super::reading::{PreviewEnd, Previewed};
use super::record::Record;
use super::sending_back::Splice;
use super::transport::{Lost, Transport};
use crate::body_cell::{Feeder, cell};
use crate::forward::EndingSource;
use crate::peer::Peer;
use crate::reply::TrailerFields;
use crate::request::has_preview;
use crate::router::{Found, Refusal};
use crate::server::Shared;
use crate::service::{BoxedService, Call, Permit};
use crate::{BodyError, ReplyBody, Request, ServiceConfig, Timeouts};

/// A request that is being answered.
pub(super) struct Exchange<'a> {
    pub(super) shared: &'a Shared,
    /// Who answers.
    found: Result<Found<'a>, Refusal>,
    /// Of the service that is called.
    pub(super) config: Option<&'a ServiceConfig>,
    pub(super) work: Work<'a>,
    pub(super) answering: Answering,
    /// The way to the reader of the body; `None` when there is no body to read.
    pub(super) feeder: Option<Feeder>,
    pub(super) preview: PreviewEnd,
    pub(super) previewed: Previewed,
    /// More has come than the service takes; the reader learns it when it asks on.
    pub(super) too_long: bool,
    /// 100 Continue was sent, and the reader does not know yet.
    pub(super) continued: bool,
    /// The whole request has arrived.
    pub(super) ended: bool,
    /// The request broke off.
    pub(super) failure: Option<BodyError>,
    /// `None` when it will not be sent back in any case.
    pub(super) original: Option<Box<Original<'a>>>,
    /// What follows the body of the reply.
    pub(super) rest: Rest,
    /// The ICAP trailer that the answer promised.
    pub(super) icap_trailer: Option<TrailerFields>,
    /// What stands behind the body of an answer that is passed on.
    pub(super) ending: Option<EndingSource>,
    /// Since when the client sends nothing of what is asked for.
    pub(super) read_wait: Option<Instant>,
    /// How long the client was waited for before that.
    pub(super) read_waited: Duration,
    /// Since when the service takes no step.
    pub(super) service_wait: Option<Instant>,
    /// Body bytes that nobody wanted.
    pub(super) discarded: u64,
    /// The whole answer has left: the system has taken it.
    pub(super) sent: bool,
    pub(super) record: Record<'a>,
    /// Given back when the answer is queued to its end.
    permit: Option<Permit<'a>>,
}

/// What the answer waits for.
pub(super) enum Work<'a> {
    Calling(Call<'a>),
    /// The end of the preview, to send 100 Continue before this answer.
    Proceeding(Box<Splice>),
    Sending(ReplyBody),
    /// What was read of the request is sent back.
    Replaying(Box<Replay>),
    /// The rest of the request is sent back, without so many bytes.
    Echoing {
        skip: u64,
    },
    Done,
}

/// What follows the body of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// The client puts the original there from this byte on.
    UseOriginal(u64),
    /// The server does.
    Replay(u64),
}

impl<'a> Exchange<'a> {
    /// Finds out who answers.
    pub(super) fn new(head: &RequestHead, peer: &'a Peer, shared: &'a Shared) -> Self {
        let path = head.uri().path();
        let find = || shared.router.find(head.method(), path, &shared.tag);
        let found = catch(find).unwrap_or_else(|panic| {
            tracing::error!(service = path, error = panic, "the service failed");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, shared.tag.clone()))
        });
        let route = found.as_ref().ok().map(|found| found.path);
        Self {
            shared,
            found,
            config: None,
            work: Work::Done,
            answering: Answering::new(head),
            feeder: None,
            preview: PreviewEnd::None,
            previewed: Previewed::default(),
            too_long: false,
            continued: false,
            ended: false,
            failure: None,
            original: None,
            rest: Rest::Nothing,
            icap_trailer: None,
            ending: None,
            read_wait: None,
            read_waited: Duration::ZERO,
            service_wait: None,
            discarded: 0,
            sent: false,
            record: Record::start(head, path, peer, route),
            permit: None,
        }
    }

    /// Calls the service, or answers in its place.
    pub(super) fn start<IO>(
        &mut self,
        head: Box<RequestHead>,
        peer: &Peer,
        transport: &mut Transport<IO>,
    ) {
        self.record.needed(transport.connection.take_used_leniency());
        match &self.found {
            Ok(found) if *head.method() == Method::Options && !found.service.config().forwards => {
                let (service, options) = (found.service, found.options.clone());
                self.send_options(service, options, head.allow(), transport);
            }
            Ok(found) => {
                let (service, offered) = (found.service, found.options.allow());
                self.call(service, offered, head, peer, transport);
            }
            Err(refusal) => {
                let status = refusal.status;
                self.refuse(status, transport);
            }
        }
    }

    /// The tag of every answer.
    pub(super) fn tag(&self) -> &IsTag {
        match &self.found {
            Ok(found) => found.options.tag().unwrap_or(&self.shared.tag),
            Err(refusal) => &refusal.tag,
        }
    }

    fn call<IO>(
        &mut self,
        service: &'a dyn BoxedService,
        offered: Allow,
        head: Box<RequestHead>,
        peer: &Peer,
        transport: &mut Transport<IO>,
    ) {
        let config = service.config();
        self.config = Some(config);
        self.answering.one_way = config.is_one_way(head.method());
        if !config.takes(&head) {
            return self.refuse(StatusCode::BAD_COMPOSITION, transport);
        }
        self.permit = service.enter();
        if self.permit.is_none() {
            tracing::warn!(service = self.record.service(), "refused: the service is busy");
            return self.refuse(StatusCode::SERVICE_UNAVAILABLE, transport);
        }
        let has_body = head.has_body();
        if has_body && has_preview(&head) {
            self.preview = PreviewEnd::Ahead;
        }
        let allowed = head.allow();
        let may_need_it =
            !allowed.no_content || (offered.partial_content && !allowed.partial_content);
        if may_need_it && !config.forwards {
            self.keep_original(head.adapted_head().cloned());
        }
        let (feeder, reader) = has_body.then(cell).unzip();
        self.feeder = feeder;
        // Of a longer one the handler may want to see nothing.
        let may_have_arrived = head.preview().is_some_and(|announced| announced <= config.max_body);
        let preview = may_have_arrived.then(|| self.arrived_preview(transport)).flatten();
        #[cfg_attr(not(feature = "identity"), expect(unused_mut))]
        let mut request = Request::new(head, peer.clone(), reader, preview);
        #[cfg(feature = "identity")]
        {
            request.is_trusted = config.trusts(peer);
        }
        // What a service does before it gives a future is part of the transaction too.
        match self.record.span.in_scope(|| catch(|| service.call(request))) {
            Ok(call) => self.work = Work::Calling(call),
            Err(panic) => {
                let span = self.record.span.clone();
                span.in_scope(|| self.answer(Err(panic.into()), transport));
            }
        }
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
            self.poll_work(transport, cx);
            if matches!(self.work, Work::Done) {
                self.release();
                self.sent = transport.poll_write(cx)?.is_ready();
                if self.sent {
                    self.record.end();
                }
                return Poll::Ready(Ok(()));
            }
            let demand = self.feeder.as_mut().map(Feeder::demand);
            // Only what is read now can move the work on, which went as far as it can.
            let moved = self.poll_body(demand, transport, cx)?;
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
            let waiting = self.waiting(full);
            ready!(transport.poll_deadline(waiting, cx))?;
            if self.read_wait.is_some() {
                self.fail(BodyError::TimedOut, transport, cx.waker());
            } else {
                self.give_up(transport);
            }
        }
    }

    /// Nothing is read or called any more.
    fn release(&mut self) {
        self.permit = None;
        if !self.record.aborted {
            self.fail_reader(BodyError::Answered, Waker::noop());
        }
    }

    /// When the answer was complete, if that was with its head or it has left.
    pub(super) const fn ended(&self) -> Option<Instant> {
        self.record.ended()
    }

    /// Since when and how long there is nothing to do: the client is waited for, or the service.
    fn waiting(&mut self, full: bool) -> Option<(Instant, Duration)> {
        if let Some(since) = self.read_wait {
            self.service_wait = None;
            return Some((since, self.read_limit()));
        }
        let deadline = self.config?.deadline?;
        let is_due = matches!(self.work, Work::Calling(_) | Work::Sending(_)) && !full;
        self.service_wait = is_due.then(|| self.service_wait.unwrap_or_else(Instant::now));
        Some((self.service_wait?, deadline))
    }

    /// How long to wait for the next byte: what is left of the time for all the waiting, if that is less.
    fn read_limit(&self) -> Duration {
        let Timeouts { body, body_rate, .. } = self.shared.timeouts;
        let Some(earned) = self.record.bytes_in.checked_div(body_rate.into()) else { return body };
        let budget = body.saturating_add(Duration::from_secs(earned));
        body.min(budget.saturating_sub(self.read_waited))
    }

    /// The service takes too long.
    fn give_up<IO>(&mut self, transport: &mut Transport<IO>) {
        tracing::error!(service = self.record.service(), "the service took no step in its time");
        if let Work::Calling(_) = self.work {
            self.work = Work::Done;
            self.refuse(StatusCode::INTERNAL_SERVER_ERROR, transport);
        } else {
            self.abort(transport);
        }
    }

    /// Does what can be done without the client.
    fn poll_work<IO>(&mut self, transport: &mut Transport<IO>, cx: &mut Context<'_>) {
        while matches!(self.work, Work::Calling(_)) || !transport.is_full() {
            let step = match &mut self.work {
                Work::Calling(_) => self.poll_call(transport, cx),
                Work::Sending(_) => self.poll_reply(transport, cx),
                Work::Replaying(_) => self.poll_replay(transport, cx),
                Work::Proceeding(_) | Work::Echoing { .. } | Work::Done => Poll::Pending,
            };
            if step.is_pending() {
                break;
            }
            self.service_wait = None;
        }
    }

    /// Lets the handler go on.
    fn poll_call<IO>(&mut self, transport: &mut Transport<IO>, cx: &mut Context<'_>) -> Poll<()> {
        let Work::Calling(call) = &mut self.work else { return Poll::Pending };
        // A reply is large: it is not moved through `catch` as well.
        let mut reply = Poll::Pending;
        if let Err(panic) = catch(|| reply = call.as_mut().poll(cx)) {
            reply = Poll::Ready(Err(panic.into()));
        }
        self.answer(ready!(reply), transport);
        Poll::Ready(())
    }

    /// Sends the next piece of the reply's body.
    fn poll_reply<IO>(&mut self, transport: &mut Transport<IO>, cx: &mut Context<'_>) -> Poll<()> {
        let Work::Sending(body) = &mut self.work else { return Poll::Pending };
        let frame = match catch(|| body.poll_frame(cx)) {
            Ok(frame) => ready!(frame).transpose(),
            Err(panic) => Err(panic.into()),
        };
        match frame {
            Ok(Some(frame)) => match frame.into_data() {
                Ok(data) => self.send(data, transport),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.end_reply(&headers(&trailers), transport);
                }
            },
            Ok(None) => self.end_reply(&Headers::new(), transport),
            Err(error) => {
                if self.failure.is_none() {
                    let service = self.record.service();
                    tracing::error!(service, %error, "the body of a reply failed");
                }
                self.abort(transport);
            }
        }
        Poll::Ready(())
    }

    /// Sends back the next piece of what was read.
    fn poll_replay<IO>(&mut self, transport: &mut Transport<IO>, cx: &mut Context<'_>) -> Poll<()> {
        let Work::Replaying(replay) = &mut self.work else { return Poll::Pending };
        match ready!(replay.poll_next(cx)) {
            Ok(Step::Data(data)) => self.send(data, transport),
            Ok(Step::End(trailers)) => self.finish(&trailers, transport),
            Ok(Step::Rest { skip }) => self.work = Work::Echoing { skip },
            Ok(Step::TooShort) => self.cut_short(transport),
            Err(error) => {
                tracing::error!(%error, "the spool file failed");
                self.abort(transport);
            }
        }
        Poll::Ready(())
    }
}

/// The log learns what was lost with the connection or the server.
impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.record.aborted |= !self.sent;
    }
}

/// A panic of a service costs one transaction, not the connection's task.
pub(super) fn catch<T>(poll: impl FnOnce() -> T) -> Result<T, String> {
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
