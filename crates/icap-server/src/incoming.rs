//! The body of a request on its way in.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use icap_proto::Headers;

use crate::BodyError;
use crate::body_cell::{Feeder, Item, Reader, Want};

/// The body of a request, read from the client as it is polled: the socket is not read ahead of that.
///
/// It is an [`http_body::Body`] that can be sent back in a [`Reply`](crate::Reply) as it is, or moved to another
/// task. It lives as long as its request: once the answer is complete, reading fails with
/// [`BodyError::Answered`]. Only a body that arrived whole ends without an error. Trailers come as a frame
/// (erratum e2 of RFC 3507).
#[derive(Debug)]
#[must_use = "bodies do nothing unless polled"]
pub struct Incoming {
    /// Read before, given out first.
    preview: Bytes,
    /// Nothing follows the preview but trailers.
    complete: bool,
    state: State,
    icap_trailer: Headers,
}

#[derive(Debug)]
enum State {
    /// The client waits for 100 Continue.
    Paused(Reader),
    Reading(Reader),
    Ended,
    Failed(BodyError),
}

impl Incoming {
    /// A body that begins with what was read of it; the client need not be asked for the rest.
    pub(crate) fn new(preview: Bytes, complete: bool, reader: Option<Reader>) -> Self {
        let state = reader.map_or(State::Ended, State::Reading);
        Self { preview, complete, state, icap_trailer: Headers::new() }
    }

    /// The same, of a client that waits until it is asked for the rest.
    pub(crate) fn paused(preview: Bytes, reader: Option<Reader>) -> Self {
        let state = reader.map_or(State::Ended, State::Paused);
        Self { preview, complete: false, state, icap_trailer: Headers::new() }
    }

    /// The ICAP trailer of the request (draft-rousskov-icap-trailers), once the body was read to its end; empty
    /// when the client sent none.
    #[must_use]
    pub const fn icap_trailer(&self) -> &Headers {
        &self.icap_trailer
    }

    /// The data as a [`Stream`](futures_core::Stream), without trailers. With `tokio_util::io::StreamReader` it
    /// is an `AsyncRead`.
    pub const fn into_stream(self) -> DataStream {
        DataStream { body: self, failed: false }
    }

    /// Takes what was read of the body and not given out, if all the rest is still with the connection at the other
    /// end.
    pub(crate) fn take_read(&mut self, feeder: Option<&Feeder>) -> Option<Bytes> {
        let (State::Reading(reader), Some(feeder)) = (&self.state, feeder) else { return None };
        feeder.has_all(reader).then(|| std::mem::take(&mut self.preview))
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, BodyError>> {
        match &mut self.state {
            State::Paused(reader) => reader.poll(Want::Continue, cx),
            State::Reading(reader) => reader.poll(Want::Item, cx),
            State::Ended => Poll::Ready(Ok(Item::End {
                trailers: Headers::new(),
                icap_trailer: Headers::new(),
            })),
            State::Failed(error) => Poll::Ready(Err(*error)),
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.preview.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.preview)))));
        }
        loop {
            let item = match ready!(self.poll_item(cx)) {
                Ok(item) => item,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Poll::Ready(Some(Err(error)));
                }
            };
            match item {
                Item::Data(data) | Item::Preview { bytes: data, .. } => {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Item::Continued => {
                    let state = std::mem::replace(&mut self.state, State::Ended);
                    self.state = match state {
                        State::Paused(reader) => State::Reading(reader),
                        state => state,
                    };
                }
                Item::End { trailers, icap_trailer } => {
                    if let State::Reading(_) = self.state {
                        self.icap_trailer = icap_trailer;
                    }
                    self.state = State::Ended;
                    if trailers.is_empty() {
                        return Poll::Ready(None);
                    }
                    // Only limits far above the default let something pass that a map cannot hold.
                    let frame = Frame::trailers(trailers.to_header_map().unwrap_or_default());
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.preview.is_empty() && matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        let preview = self.preview.len() as u64;
        if self.complete || matches!(self.state, State::Ended) {
            return SizeHint::with_exact(preview);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(preview);
        hint
    }
}

/// The data of a body of a request, from [`Incoming::into_stream`]. An error is its last item.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct DataStream {
    body: Incoming,
    failed: bool,
}

impl DataStream {
    /// The body, with what is left of it.
    pub fn into_inner(self) -> Incoming {
        self.body
    }
}

impl Stream for DataStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.failed {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => {
                    self.failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => break,
            }
        }
        Poll::Ready(None)
    }
}
