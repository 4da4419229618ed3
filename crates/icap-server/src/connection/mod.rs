//! One connection: requests are taken and answered in order until one side has enough.

mod answer;
mod exchange;
mod original;
mod reading;
mod record;
mod sending_back;
mod transport;

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use icap_proto::server::Event;
use icap_proto::{Error, RequestHead, ResponseHead, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::exchange::Exchange;
use self::transport::{Lost, Transport};
use crate::handle::Counted;
use crate::peer::Peer;
use crate::server::Shared;
use crate::stop::Listener;

/// Serves a connection to its end.
pub(crate) async fn serve<IO>(io: IO, peer: Peer, shared: &Shared)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut transport = Transport::new(io, shared);
    let mut between = Between::new(&peer, shared);
    let mut requests_left = shared.max_requests;
    let lost = loop {
        match poll_fn(|cx| between.poll_next(&mut transport, cx)).await {
            Ok(Next::Request(head)) => {
                requests_left = requests_left.saturating_sub(1);
                if requests_left == 0 {
                    transport.connection.close_after_answer();
                }
                let in_flight = shared.life.transaction();
                let mut exchange = Exchange::new(&head, &peer, shared);
                exchange.start(head, &peer, &mut transport);
                if let Err(lost) = poll_fn(|cx| exchange.poll(&mut transport, cx)).await {
                    break lost;
                }
                between.ended = exchange.ended();
                if !exchange.sent {
                    between.sending = Some((exchange, in_flight));
                }
            }
            Ok(Next::LookAgain) => tokio::task::yield_now().await,
            Ok(Next::Close) => {
                transport.close().await;
                if transport.is_written() {
                    between.conclude();
                }
                return;
            }
            Err(lost) => break lost,
        }
    };
    tracing::debug!(client = peer.client(), error = %lost, "connection lost");
}

/// Tells a client that there is no room for it, and closes.
pub(crate) async fn refuse<IO>(io: IO, shared: &Shared)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    Transport::new(io, shared).say_and_close(&refusal(shared)).await;
}

/// What a client is told that there is no room for. Nothing was asked, so this is no answer that the dialogue knows;
/// c-icap's clients are used to it.
pub(crate) fn refusal(shared: &Shared) -> Bytes {
    let answer = ResponseHead::builder(StatusCode::SERVICE_UNAVAILABLE).istag(&shared.tag).close();
    answer.build().map(|answer| answer.to_bytes()).unwrap_or_default()
}

/// The time between the answer to one request and the head of the next.
struct Between<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
    stop: Listener<'a>,
    /// What is waited for, and since when.
    waiting: Option<(Phase, Instant)>,
    /// When the last answer was complete, if that is known; written it was at most one turn later.
    ended: Option<Instant>,
    /// A transaction whose answer the client has not taken yet.
    sending: Option<(Exchange<'a>, Counted<'a>)>,
    /// A request that waits until the client has taken the answers before it.
    next: Option<Box<RequestHead>>,
    /// Nothing more can come of what has been read.
    starved: bool,
    /// The server stops, and requests that have arrived were looked for since.
    looked_again: bool,
}

/// What comes next on a connection.
enum Next {
    Request(Box<RequestHead>),
    /// The server stops, but a request may have arrived that the runtime does not know of before its next turn.
    LookAgain,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the first byte of a request.
    Idle,
    /// For the rest of a head.
    Head,
    /// For what is left of a request that is answered.
    Drain,
}

impl<'a> Between<'a> {
    fn new(peer: &'a Peer, shared: &'a Shared) -> Self {
        let stop = shared.life.stop.listen();
        Self {
            shared,
            peer,
            stop,
            waiting: None,
            ended: None,
            sending: None,
            next: None,
            starved: false,
            looked_again: false,
        }
    }

    /// All of the answer has left.
    fn conclude(&mut self) {
        if let Some((mut exchange, _)) = self.sending.take() {
            exchange.sent = true;
        }
    }

    fn poll_next<IO>(
        &mut self,
        transport: &mut Transport<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, Lost>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let written = transport.poll_write(cx)?.is_ready();
            if written {
                self.conclude();
                if let Some(head) = self.next.take() {
                    return Poll::Ready(Ok(self.request(head)));
                }
            }
            if transport.connection.closing().is_some() {
                return Poll::Ready(Ok(Next::Close));
            }
            // Whoever asks on without reading the answers waits: they would pile up here. What is left of the last
            // request is read all the same, for clients that read nothing before they have written all.
            if self.next.is_none() && (written || !transport.connection.is_idle()) {
                if !std::mem::take(&mut self.starved) {
                    match transport.connection.poll_event() {
                        Ok(Some(Event::Request(head))) if written => {
                            return Poll::Ready(Ok(self.request(head)));
                        }
                        Ok(Some(Event::Request(head))) => {
                            self.next = Some(head);
                            continue;
                        }
                        // The rest of an answered request is thrown away by the connection itself.
                        Ok(Some(_)) => continue,
                        Ok(None) => {}
                        Err(error) if self.refuse(error, transport) => continue,
                        Err(_) => return Poll::Ready(Ok(Next::Close)),
                    }
                }
                if transport.connection.wants_input() {
                    if transport.poll_read(cx)?.is_ready() {
                        continue;
                    }
                    self.starved = true;
                } else if transport.connection.closing().is_some() {
                    continue;
                }
            }
            if transport.connection.is_idle() {
                transport.relax();
                if written && self.stop.poll(cx).is_ready() {
                    let next = if self.looked_again { Next::Close } else { Next::LookAgain };
                    self.looked_again = true;
                    return Poll::Ready(Ok(next));
                }
            }
            let waiting = self.waiting(transport, written);
            ready!(transport.poll_deadline(waiting, cx))?;
            self.starved = false;
            if !matches!(self.waiting, Some((Phase::Head, _))) || !self.time_out(transport) {
                return Poll::Ready(Ok(Next::Close));
            }
        }
    }

    const fn request(&mut self, head: Box<RequestHead>) -> Next {
        self.waiting = None;
        Next::Request(head)
    }

    /// What is waited for, since when and how long.
    fn waiting<IO>(
        &mut self,
        transport: &Transport<IO>,
        written: bool,
    ) -> Option<(Instant, Duration)> {
        let timeouts = &self.shared.timeouts;
        let connection = &transport.connection;
        if !written && (connection.is_idle() || self.next.is_some()) {
            // For the client to take the last answer, which has a deadline of its own.
            self.waiting = None;
            self.ended = None;
            return None;
        }
        let (phase, limit) = match (connection.is_idle(), connection.is_unanswered()) {
            (true, _) => (Phase::Idle, timeouts.idle),
            (false, true) => (Phase::Head, timeouts.head),
            (false, false) => (Phase::Drain, timeouts.drain),
        };
        let since = match self.waiting {
            Some((same, since)) if same == phase => since,
            _ => self.ended.take().unwrap_or_else(Instant::now),
        };
        self.waiting = Some((phase, since));
        Some((since, limit))
    }

    /// Answers what is no request; false when there is nobody to answer.
    fn refuse<IO>(&self, error: Error, transport: &mut Transport<IO>) -> bool {
        if let Error::Closed(_) = error {
            return false;
        }
        tracing::warn!(client = self.peer.client(), %error, "malformed request");
        self.answer(error.status_hint(), transport)
    }

    /// Answers a head that does not come to its end.
    fn time_out<IO>(&self, transport: &mut Transport<IO>) -> bool {
        tracing::warn!(client = self.peer.client(), "timed out waiting for the head of a request",);
        self.answer(StatusCode::REQUEST_TIMEOUT, transport)
    }

    fn answer<IO>(&self, status: StatusCode, transport: &mut Transport<IO>) -> bool {
        transport.connection.respond_without_parts(status, &self.shared.tag).is_ok()
    }
}
