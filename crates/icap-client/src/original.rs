//! The message as it was handed in, to be sent on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use icap_proto::{BodyLength, HttpHead, HttpTypeError, ResponseHead};

use crate::outgoing;
use crate::source::Source;

/// A message that the service leaves as it is: a 204 (RFC 3507 section 4.6).
///
/// As a body it gives the bytes that were read already, then the rest of the caller's body, trailers included.
#[derive(Debug)]
#[must_use = "the message is lost unless it is sent on"]
pub struct Original<B> {
    response: Box<ResponseHead>,
    replay: Replay<B>,
}

impl<B> Original<B> {
    pub(crate) const fn new(response: Box<ResponseHead>, replay: Replay<B>) -> Self {
        Self { response, replay }
    }

    /// The head of the answer: its fields may say more than its status.
    #[must_use]
    pub const fn response(&self) -> &ResponseHead {
        &self.response
    }

    /// The head of the message, as it was handed in.
    #[must_use]
    pub const fn head(&self) -> &HttpHead {
        self.replay.head()
    }

    /// The message alone, as a [`Failure`](crate::Failure) has it.
    pub fn into_replay(self) -> Replay<B> {
        self.replay
    }
}

impl<B: Body<Data = Bytes> + Unpin> Original<B> {
    /// The message as a request to send; see [`Replay::into_request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn into_request(self) -> Result<Request<Replay<B>>, HttpTypeError> {
        self.replay.into_request()
    }

    /// The message as a response to send to the user, who asked with `request_method`; see
    /// [`Replay::into_response`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn into_response(
        self,
        request_method: &Method,
    ) -> Result<Response<Replay<B>>, HttpTypeError> {
        self.replay.into_response(request_method)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Original<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.replay.source.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.replay.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.replay.size_hint()
    }
}

/// The message of a call that failed, whole.
///
/// As a body it gives the bytes that were read already, then the rest of the caller's body, trailers included. It
/// can be sent on, or handed to another [`Client`](crate::Client).
#[derive(Debug)]
#[must_use = "the message is lost unless it is sent on"]
pub struct Replay<B> {
    head: HttpHead,
    source: Box<Source<B>>,
}

impl<B> Replay<B> {
    /// `source` must stand at its first byte.
    pub(crate) fn new(head: HttpHead, mut source: Box<Source<B>>) -> Self {
        source.stop_keeping();
        Self { head, source }
    }

    /// The head of the message, as it was handed in.
    #[must_use]
    pub const fn head(&self) -> &HttpHead {
        &self.head
    }
}

impl<B: Body<Data = Bytes> + Unpin> Replay<B> {
    /// The message as a request to send: without hop-by-hop fields, with the length of its body if that is known, and
    /// with `Host` and version as [`Adapted::into_request`](crate::Adapted::into_request) has them. Extensions of the
    /// request that was handed in are not kept.
    ///
    /// `Expect: 100-continue` stays while nothing of the body was read: an HTTP server asks the user for the body when
    /// it is first read, and then there is nothing left to wait for (RFC 9110 section 10.1.1).
    ///
    /// ```no_run
    /// # async fn run(client: icap_client::Client) -> Result<(), icap_client::BoxError> {
    /// use bytes::Bytes;
    /// use http::Request;
    /// use http_body_util::{BodyExt, Either, Full};
    /// use icap_client::{Outcome, Reqmod};
    ///
    /// let request = Request::post("http://www.example/form").body(Full::new(Bytes::from("a=1")))?;
    /// let request = match client.reqmod(Reqmod::try_from(request)?).await? {
    ///     Outcome::Unmodified(original) => original.into_request()?.map(Either::Left),
    ///     Outcome::Modified(adapted) => adapted.into_request()?.map(Either::Right),
    ///     _ => return Err("refused".into()),
    /// };
    /// println!("{}", request.uri());
    /// println!("{} bytes", request.into_body().collect().await?.to_bytes().len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A head that is no request, or that the `http` crate cannot express.
    pub fn into_request(self) -> Result<Request<Self>, HttpTypeError> {
        let request = outgoing::request(&self.head, self.body_length(), self.source.is_unread())?;
        Ok(request.map(|()| self))
    }

    /// The message as a response to send to the user, who asked with `request_method`: without hop-by-hop fields, and
    /// with the length of its body if that is known. To HEAD and in a 304 the length of the head stays. It is HTTP/1.1.
    ///
    /// # Errors
    ///
    /// A head that is no response, or that the `http` crate cannot express.
    pub fn into_response(self, request_method: &Method) -> Result<Response<Self>, HttpTypeError> {
        let response = outgoing::response(&self.head, self.body_length(), request_method)?;
        Ok(response.map(|()| self))
    }

    fn body_length(&self) -> BodyLength {
        if self.source.is_at_end() {
            return BodyLength::None;
        }
        self.source.size_hint().exact().map_or(BodyLength::Unknown, BodyLength::Known)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.source.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
