//! The message that a service gives back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use icap_proto::client::Event;
use icap_proto::{
    BodyLength, Headers, HttpHead, HttpTypeError, InvalidStartLine, ResponseHead, TrailerField,
    Truncated,
};

use crate::error::{BoxError, Error};
use crate::exchange::Exchange;

/// A message from the service: its HTTP head, and a body that streams.
///
/// Polling the body moves the rest of the upload and the download together, so it must be read for the exchange
/// to go on. Its end is reached only when the server has sent all of it: an answer that was cut, or that breaks the
/// protocol, ends with an error. At the end the connection goes back to the pool; dropped earlier, it is closed.
///
/// How long the body is comes from ICAP's own framing. A `Content-Length` in the head is the server's claim;
/// [`into_response`](Self::into_response) and [`into_request`](Self::into_request) leave it out, who sends
/// [`head`](Self::head) as it is has to [`reframe`](HttpHead::reframe) it.
#[derive(Debug)]
#[must_use = "the exchange ends when this is dropped"]
pub struct Adapted<B> {
    response: Box<ResponseHead>,
    head: HttpHead,
    state: State<B>,
    /// Data that was found while looking for the end.
    ahead: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

#[derive(Debug)]
enum State<B> {
    Open(Box<Exchange<B>>),
    Ended,
    Failed,
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

    /// The message as a request to send: without hop-by-hop fields, and with no length that its body may not have.
    ///
    /// It is HTTP/1.1 whatever the head says: an intermediary sends its own version (RFC 9110 section 2.5), and HTTP
    /// libraries cannot send a body of unknown length as HTTP/1.0. `Host` names the authority of the URI, if that has
    /// one (RFC 9112 section 3.2.2).
    ///
    /// # Errors
    ///
    /// A head that is no request, or that the `http` crate cannot express.
    pub fn into_request(self) -> Result<Request<Self>, HttpTypeError> {
        let mut request = self.outgoing_head(None).to_request()?;
        *request.version_mut() = Version::HTTP_11;
        if let Some(authority) = request.uri().authority().map(Authority::as_str) {
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let host = HeaderValue::from_str(host).map_err(|_| InvalidStartLine::Target)?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(request.map(|()| self))
    }

    /// The message as a response to send to the user, who asked with `request_method`: without hop-by-hop fields,
    /// and with no length that its body may not have. To HEAD the length stays. It is HTTP/1.1, as
    /// [`into_request`](Self::into_request) has it.
    ///
    /// # Errors
    ///
    /// A head that is no response, or that the `http` crate cannot express.
    pub fn into_response(self, request_method: &Method) -> Result<Response<Self>, HttpTypeError> {
        let head = self.outgoing_head(Some(request_method.as_str()));
        let mut response = head.to_response()?;
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(|()| self))
    }

    /// The head as it may leave as HTTP (RFC 9112 section 6.3).
    fn outgoing_head(&self, request_method: Option<&str>) -> HttpHead {
        let mut head = self.head.clone();
        let has_body = self.response.has_body();
        head.reframe(if has_body { BodyLength::Unknown } else { BodyLength::None }, request_method);
        head.remove_hop_by_hop(TrailerField::Keep);
        head
    }
}

impl<B> Adapted<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The answer whose head was just read; `head` is the HTTP head in it.
    pub(crate) const fn new(
        response: Box<ResponseHead>,
        head: HttpHead,
        exchange: Box<Exchange<B>>,
    ) -> Self {
        Self { response, head, state: State::Open(exchange), ahead: None, trailers: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let exchange = match &mut self.state {
            State::Open(exchange) => exchange,
            State::Ended => {
                return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t))));
            }
            // Whoever asks again after an error must not be told that this was the end.
            State::Failed => return Poll::Ready(Some(Err(Error::Closed(Truncated::InBody)))),
        };
        let data = match self.ahead.take() {
            Some(data) => data,
            None => match ready!(exchange.poll_event(cx))? {
                Event::Data(data) => data,
                Event::End { trailers, .. } => {
                    self.end(&trailers, cx);
                    return self.poll(cx);
                }
                // A head comes once, and it came.
                _ => return Poll::Ready(Some(Err(Error::Closed(Truncated::InBody)))),
            },
        };
        self.look_ahead(cx);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Ends the exchange as soon as its end is there: many readers stop at the last byte and never ask for more.
    pub(crate) fn look_ahead(&mut self, cx: &mut Context<'_>) {
        let State::Open(exchange) = &mut self.state else { return };
        // The connection gives an error again when it is asked again.
        match exchange.ready_event() {
            Ok(Some(Event::Data(data))) => self.ahead = Some(data),
            Ok(Some(Event::End { trailers, .. })) => self.end(&trailers, cx),
            _ => {}
        }
    }

    fn end(&mut self, trailers: &Headers, cx: &mut Context<'_>) {
        // Only limits far above the default let something pass that a map cannot hold.
        self.trailers =
            (!trailers.is_empty()).then(|| trailers.to_header_map().unwrap_or_default());
        if let State::Open(mut exchange) = std::mem::replace(&mut self.state, State::Ended) {
            exchange.settle(cx);
            exchange.release();
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
            self.state = State::Failed;
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
