//! Bodies of replies.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What can be the body of a [`Reply`](crate::Reply): every [`http_body::Body`] with [`Bytes`] as data (`IS_BODY`
/// is true), and [`Bytes`], `&'static str` and `()` for no more than that. The parameter is always inferred.
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
        ReplyBody(Repr::Stream(Box::pin(self)))
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

/// The body of a [`Reply`](crate::Reply).
pub struct ReplyBody(Repr);

enum Repr {
    Whole(Bytes),
    Stream(Pin<Box<dyn BoxedBody>>),
}

impl ReplyBody {
    /// Whether nothing will come.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Whole(bytes) => bytes.is_empty(),
            Repr::Stream(body) => body.is_end_stream() && body.size_hint().exact() == Some(0),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Repr::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Repr::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Repr::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Repr::Whole(bytes) => write!(f, "ReplyBody({} bytes)", bytes.len()),
            Repr::Stream(_) => f.write_str("ReplyBody(stream)"),
        }
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
