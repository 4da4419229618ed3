//! The message that a service gives back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use icap_proto::client::Event;
use icap_proto::{
    BodyLength, Headers, HttpHead, HttpTypeError, ResponseHead, StatusCode, Truncated,
};

use crate::error::{BoxError, Error};
use crate::exchange::Exchange;
use crate::outgoing;
use crate::suffix::Suffix;

/// A message from the service: its HTTP head, and a body that streams.
///
/// Polling the body moves the rest of the upload and the download together, so it must be read for the exchange
/// to go on. Its end is reached only when the server has sent all of it: an answer that was cut, or that breaks the
/// protocol, ends with an error. At the end the connection goes back to the pool; dropped earlier, it is closed. So
/// it is when the answer ends before the upload: nobody waits for what the server did not.
///
/// Behind the part that a 206 sends, the body goes on with the original from where the service says
/// (draft-icap-ext-partial-content section 5.2). Its trailers are those of the answer; those of the original spoke of
/// another body.
///
/// How long the body is comes from ICAP's own framing. A `Content-Length` in the head is the server's claim: a body
/// of another length ends with [`Error::Length`], and no byte beyond the claim is given out. That is so too where a
/// `Content-Length` cannot be read, and not where it does not count: beside a `Transfer-Encoding`, in answers to HEAD,
/// and without a body. [`into_response`](Self::into_response) and [`into_request`](Self::into_request) leave the
/// field out, who sends [`head`](Self::head) as it is has to [`reframe`](HttpHead::reframe) it.
#[derive(Debug)]
#[must_use = "the exchange ends when this is dropped"]
pub struct Adapted<B> {
    response: Box<ResponseHead>,
    head: HttpHead,
    state: State<B>,
    /// The length in the head counts.
    has_length: bool,
    /// Bytes that may be given out by that length.
    allowance: u64,
    /// Bytes given out.
    given: u64,
    /// Data that was found while looking for the end.
    ahead: Option<Bytes>,
    // Both are rare.
    trailers: Option<Box<HeaderMap>>,
    icap_trailer: Option<Box<Headers>>,
}

#[derive(Debug)]
enum State<B> {
    Open(Box<Exchange<B>>),
    /// The answer is over, and the original goes on behind it.
    Original(Box<Suffix<B>>),
    Ended,
    /// The error, until it was told.
    Failed(Option<Box<Error>>),
}

impl<B> Adapted<B> {
    /// The head of the answer. Its encapsulated head is [`head`](Self::head).
    #[must_use]
    pub const fn response(&self) -> &ResponseHead {
        &self.response
    }

    /// The HTTP head of the message to send: a request or a response.
    #[must_use]
    pub const fn head(&self) -> &HttpHead {
        &self.head
    }

    /// What the service said behind the body, in its ICAP trailer (draft-rousskov-icap-trailers): a verdict, say,
    /// that it reached while the body passed. Never in the HTTP message.
    ///
    /// `None` until all of the answer was read, and when it had none: read the body to its end, also one that is
    /// empty.
    ///
    /// ```no_run
    /// # async fn run(mut page: icap_client::Adapted<String>) -> Result<(), icap_client::Error> {
    /// use http_body_util::BodyExt;
    ///
    /// while let Some(frame) = page.frame().await {
    ///     println!("{:?}", frame?);
    /// }
    /// let virus = page.icap_trailer().and_then(|fields| fields.get("X-Virus-ID"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn icap_trailer(&self) -> Option<&Headers> {
        self.icap_trailer.as_deref()
    }

    /// The message as a request to send: without hop-by-hop fields, and with no length that its body may not have.
    ///
    /// It is HTTP/1.1 whatever the head says: an intermediary sends its own version (RFC 9110 section 2.5), and HTTP
    /// libraries cannot send a body of unknown length as HTTP/1.0. `Host` names the authority of the URI, if that has
    /// one (RFC 9112 section 3.2.2). `Expect: 100-continue` is left out: the body was asked for when it was read
    /// (RFC 9110 section 10.1.1).
    ///
    /// # Errors
    ///
    /// A head that is no request, or that the `http` crate cannot express.
    pub fn into_request(self) -> Result<Request<Self>, HttpTypeError> {
        let request = outgoing::request(&self.head, self.body_length(), false)?;
        Ok(request.map(|()| self))
    }

    /// The message as a response to send to the user, who asked with `request_method`: without hop-by-hop fields,
    /// and with no length that its body may not have. To HEAD the length stays. It is HTTP/1.1, as
    /// [`into_request`](Self::into_request) has it.
    ///
    /// To CONNECT there is no 2xx: services answer with block pages that say 200, which would tell the user that the
    /// tunnel is open. Such a page leaves as 403.
    ///
    /// # Errors
    ///
    /// A head that is no response, or that the `http` crate cannot express.
    pub fn into_response(self, request_method: &Method) -> Result<Response<Self>, HttpTypeError> {
        let response = outgoing::answer(&self.head, self.body_length(), request_method)?;
        Ok(response.map(|()| self))
    }

    fn body_length(&self) -> BodyLength {
        if self.response.has_body() { BodyLength::Unknown } else { BodyLength::None }
    }
}

impl<B> Adapted<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The answer whose head was just read; `head` is the HTTP head in it, `asked_with` the method of the HTTP
    /// request that led to it.
    pub(crate) fn new(
        response: Box<ResponseHead>,
        head: HttpHead,
        asked_with: Option<&str>,
        mut exchange: Exchange<B>,
    ) -> Self {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            exchange.forget_original();
        }
        let has_length = response.has_body()
            && !head.has_transfer_encoding()
            && (head.is_request() || head.may_have_body(asked_with));
        let declared = head.content_length().ok().flatten().filter(|_| has_length);
        Self {
            response,
            head,
            state: State::Open(Box::new(exchange)),
            has_length,
            allowance: declared.unwrap_or(u64::MAX),
            given: 0,
            ahead: None,
            trailers: None,
            icap_trailer: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if let Some(data) = self.ahead.take() {
                self.given = self.given.saturating_add(data.len() as u64);
                if self.given > self.allowance {
                    self.state = self.ended();
                    continue;
                }
                self.look_ahead(cx);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match &mut self.state {
                State::Open(exchange) => match ready!(exchange.poll_event(cx))? {
                    Event::Data(data) => self.ahead = Some(data),
                    end => self.end(end, cx),
                },
                State::Original(rest) => {
                    self.ahead = ready!(rest.poll_data(cx))?;
                    if self.ahead.is_none() {
                        self.state = self.ended();
                    }
                }
                State::Ended => {
                    return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(*t))));
                }
                State::Failed(error) => {
                    // Whoever asks again after an error must not be told that this was the end.
                    let again = || Error::Closed(Truncated::InBody);
                    return Poll::Ready(Some(Err(error.take().map_or_else(again, |error| *error))));
                }
            }
        }
    }

    /// Ends the exchange as soon as its end is there: many readers stop at the last byte and never ask for more.
    pub(crate) fn look_ahead(&mut self, cx: &mut Context<'_>) {
        let State::Open(exchange) = &mut self.state else { return };
        // The connection gives an error again when it is asked again.
        match exchange.ready_event() {
            Ok(Some(Event::Data(data))) => self.ahead = Some(data),
            Ok(Some(end)) => self.end(end, cx),
            _ => {}
        }
    }

    /// The answer is over: the connection is free, and the original may go on.
    fn end(&mut self, event: Event, cx: &mut Context<'_>) {
        let State::Open(mut exchange) = std::mem::replace(&mut self.state, State::Failed(None))
        else {
            return;
        };
        // A head comes once, and it came; behind it are only data and the end.
        let Event::End { trailers, icap_trailer, use_original_body, .. } = event else { return };
        // Only limits far above the default let something pass that a map cannot hold.
        let map = || Box::new(trailers.to_header_map().unwrap_or_default());
        self.trailers = (!trailers.is_empty()).then(map);
        self.icap_trailer = (!icap_trailer.is_empty()).then(|| Box::new(icap_trailer));
        exchange.settle(cx);
        let source = exchange.release();
        self.state = match use_original_body.map(|offset| Suffix::new(source, offset)) {
            None => self.ended(),
            Some(Ok(rest)) => State::Original(Box::new(rest)),
            Some(Err(error)) => State::Failed(Some(Box::new(error))),
        };
    }

    /// The end of a body as long as its head says.
    fn ended(&self) -> State<B> {
        // Mostly the claim is true; then the fields need not be looked through once more.
        if !self.has_length || self.given == self.allowance {
            return State::Ended;
        }
        match self.head.length_mismatch(self.given) {
            None => State::Ended,
            Some(mismatch) => State::Failed(Some(Box::new(Error::Length(mismatch)))),
        }
    }
}

impl<B> Body for Adapted<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(self.poll(cx));
        if matches!(frame, Some(Err(_))) {
            self.state = State::Failed(None);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Ended => SizeHint::with_exact(0),
            _ => SizeHint::new(),
        }
    }
}
