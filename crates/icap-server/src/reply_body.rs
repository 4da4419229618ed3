//! Bodies of replies.

use std::any::Any;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};

use crate::Incoming;
use crate::body_cell::Feeder;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What can be the body of a [`Reply`](crate::Reply): every [`http_body::Body`] with [`Bytes`] as data (`IS_BODY`
/// is true), [`Bytes`], `&'static str` and `()` for no more than that, and a [`ReplyBody`] made of a
/// [stream](ReplyBody::from_stream). The parameter is always inferred.
pub trait IntoBody<const IS_BODY: bool> {
    /// The body in the form the server keeps it.
    fn into_body(self) -> ReplyBody;
}

impl<B> IntoBody<true> for B
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_body(self) -> ReplyBody {
        let mut body = Some(self);
        let incoming = (&mut body as &mut dyn Any).downcast_mut().and_then(Option::take);
        ReplyBody(match (incoming, body) {
            (Some(incoming), _) => Repr::Incoming(incoming),
            (None, Some(body)) => Repr::Stream(Box::pin(body)),
            // One of them has it.
            (None, None) => Repr::Whole(Bytes::new()),
        })
    }
}

impl IntoBody<false> for Bytes {
    fn into_body(self) -> ReplyBody {
        ReplyBody(Repr::Whole(self))
    }
}

impl IntoBody<false> for &'static str {
    fn into_body(self) -> ReplyBody {
        Bytes::from_static(self.as_bytes()).into_body()
    }
}

impl IntoBody<false> for () {
    fn into_body(self) -> ReplyBody {
        Bytes::new().into_body()
    }
}

impl IntoBody<false> for ReplyBody {
    fn into_body(self) -> ReplyBody {
        self
    }
}

/// The body of a [`Reply`](crate::Reply).
pub struct ReplyBody(Repr);

enum Repr {
    Whole(Bytes),
    /// Of a request, nearly always the one that is answered.
    Incoming(Incoming),
    Stream(Pin<Box<dyn BoxedBody>>),
}

impl ReplyBody {
    /// A body of the items of a stream. It is polled no faster than the client takes what it gives.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use icap_proto::HttpHead;
    /// use icap_server::{Error, Reply, ReplyBody, Request};
    ///
    /// /// An upper-case copy, made piece by piece.
    /// async fn shout(request: Request) -> Result<Reply, Error> {
    ///     use futures_util::StreamExt;
    ///
    ///     let (head, body) = request.into_body().await?;
    ///     let Some(http) = head.http_response().cloned() else { return Ok(Reply::unmodified()) };
    ///     let loud = body.into_stream().map(|data| data.map(|data| Bytes::from(data.to_ascii_uppercase())));
    ///     Ok(Reply::modified(http, ReplyBody::from_stream(loud)))
    /// }
    /// ```
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Repr::Stream(Box::pin(StreamBody(Box::pin(stream)))))
    }

    /// Whether nothing will come.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Whole(bytes) => bytes.is_empty(),
            Repr::Incoming(body) => {
                Body::is_end_stream(body) && Body::size_hint(body).exact() == Some(0)
            }
            Repr::Stream(body) => body.is_end_stream() && body.size_hint().exact() == Some(0),
        }
    }

    /// Takes what was read of the body of this request, if this is that body and the connection can send back the
    /// rest of it by itself.
    pub(crate) fn take_read(&mut self, feeder: Option<&Feeder>) -> Option<Bytes> {
        match &mut self.0 {
            Repr::Incoming(body) => body.take_read(feeder),
            Repr::Whole(_) | Repr::Stream(_) => None,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Repr::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Repr::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Repr::Incoming(body) => Body::poll_frame(Pin::new(body), cx).map_err(Into::into),
            Repr::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Repr::Whole(bytes) => write!(f, "ReplyBody({} bytes)", bytes.len()),
            Repr::Incoming(_) | Repr::Stream(_) => f.write_str("ReplyBody(stream)"),
        }
    }
}

/// A stream as a body.
struct StreamBody<S>(Pin<Box<S>>);

impl<S, E> Body for StreamBody<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.0.as_mut().poll_next(cx).map(|data| data.map(|data| data.map(Frame::data)))
    }
}

/// [`Body`] with its error boxed, so that one box holds both.
trait BoxedBody: Send {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>;
    fn is_end_stream(&self) -> bool;
    fn size_hint(&self) -> SizeHint;
}

impl<B> BoxedBody for B
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Body::poll_frame(self, cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(self)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(self)
    }
}
