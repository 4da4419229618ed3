//! Requests of other clients, and the answers for them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use icap_proto::client::Event;
use icap_proto::{
    Headers, InvalidHeader, RequestBuilder, RequestHead, ResponseHead, ServiceUri, Truncated,
    unfold,
};

use crate::error::{BoxError, Error};
use crate::exchange::Exchange;
use crate::source::Source;

/// Fields of an ICAP request that are about the connection it came on. Those that frame it are written anew anyway.
const HOP_BY_HOP: [&str; 10] = [
    "Host",
    "Upgrade",
    "Connection",
    "Keep-Alive",
    "Encapsulated",
    "Preview",
    "Allow",
    "Trailer",
    "Transfer-Encoding",
    "Content-Length",
];

/// A request of another ICAP client, to be sent on as it is by a proxy, for
/// [`Client::forward`](crate::Client::forward).
///
/// Method, encapsulated heads, fields, preview and `Allow` are those of the head. `Host` is new; `Connection` and what
/// it names, `Upgrade`, and a promise of an ICAP trailer stay behind, credentials do not: a proxy that has to hide
/// them removes them.
///
/// ```no_run
/// use bytes::Bytes;
/// use http_body::Body;
/// use icap_client::{BoxError, Client, Forward};
/// use icap_proto::RequestHead;
///
/// # async fn run<B>(client: Client, head: RequestHead, body: B) -> Result<(), icap_client::Error>
/// # where B: Body<Data = Bytes> + Unpin, B::Error: Into<BoxError> {
/// let answer = client.forward(Forward::new(head, body).header("X-Client-IP", "10.1.2.3")).await?;
/// println!("{} from {}", answer.response().status(), answer.server());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is given to a client"]
pub struct Forward<B> {
    terms: Terms,
    body: B,
}

/// A request without its body.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) head: Box<RequestHead>,
    pub(crate) preview: Option<u64>,
    added: Result<Headers, InvalidHeader>,
}

impl<B> Forward<B> {
    /// The request with this head, boxed or not, and, where that has one, this body.
    ///
    /// The body gives the preview first. It is asked for more only when the server wants that, so a body that then
    /// sends 100 Continue to its own client keeps the preview a preview. One whose
    /// [exact size](http_body::Body::size_hint) is known to be within the preview goes with `ieof`.
    pub fn new(head: impl Into<Box<RequestHead>>, body: B) -> Self {
        let head = head.into();
        let preview = head.preview();
        Self { terms: Terms { head, preview, added: Ok(Headers::new()) }, body }
    }

    /// Announces a preview of another size: for a client that showed less than it announced, and has more.
    pub const fn preview(mut self, bytes: u64) -> Self {
        self.terms.preview = Some(bytes);
        self
    }

    /// Adds a field to the ICAP head. One that cannot stand there fails the call.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let terms = &mut self.terms;
        let added = terms.added.as_mut().map(|added| added.append(name, value));
        if let Ok(Err(error)) = added {
            terms.added = Err(error);
        }
        self
    }

    pub(crate) fn into_parts(self) -> (Terms, B) {
        (self.terms, self.body)
    }
}

impl Terms {
    pub(crate) fn request(&self, uri: ServiceUri) -> Result<RequestBuilder, InvalidHeader> {
        let head = &self.head;
        let mut request = RequestHead::builder(head.method().clone(), uri).body(head.has_body());
        let names_more = head.headers().get("Connection").is_some();
        for field in head.headers().iter() {
            if !self.is_hop_by_hop(field.name, names_more) {
                request = request.header(field.name, unfold(field.value))?;
            }
        }
        match &self.added {
            Ok(added) => request = request.headers(added)?,
            Err(error) => return Err(*error),
        }
        if let Some(http) = head.http_request() {
            request = request.http_request(http.clone());
        }
        if let Some(http) = head.http_response() {
            request = request.http_response(http.clone());
        }
        if let Some(preview) = self.preview {
            request = request.preview(preview);
        }
        let allow = head.allow();
        if allow.no_content {
            request = request.allow_no_content();
        }
        if allow.partial_content {
            request = request.allow_partial_content();
        }
        Ok(if allow.trailers { request.allow_trailers() } else { request })
    }

    /// `names_more`: whether there is a `Connection` field, which may name others.
    fn is_hop_by_hop(&self, name: &str, names_more: bool) -> bool {
        HOP_BY_HOP.iter().any(|known| known.eq_ignore_ascii_case(name))
            || names_more && self.head.headers().has_member("Connection", name)
    }
}

/// The answer to a request that was sent on: its head, and a body that streams.
///
/// Polling the body moves the rest of the upload and the download together. Its end is reached only when the server
/// has sent all of it. Nothing is looked at beyond the protocol: any status is an answer, and the lengths in
/// encapsulated heads are not held against the body.
#[derive(Debug)]
#[must_use = "the exchange ends when this is dropped"]
pub struct Forwarded<B> {
    server: ServiceUri,
    response: Box<ResponseHead>,
    state: State<B>,
    /// Data that was found while looking for the end.
    ahead: Option<Bytes>,
    /// Boxed, because they are rare and the answer goes through many hands.
    trailers: Option<Box<HeaderMap>>,
    ending: Ending,
}

#[derive(Debug)]
enum State<B> {
    Open(Box<Exchange<B>>),
    Ended,
    Failed,
}

/// What stands behind the body of a [`Forwarded`] answer.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Ending {
    /// The fields of the ICAP trailer (draft-rousskov-icap-trailers); empty when there was none.
    pub icap_trailer: Headers,
    /// Behind a 206 the original goes on from this byte (`use-original-body`).
    pub original_from: Option<u64>,
}

impl<B> Forwarded<B> {
    pub(crate) fn new(
        server: ServiceUri,
        response: Box<ResponseHead>,
        exchange: Exchange<B>,
    ) -> Self {
        let state = State::Open(Box::new(exchange));
        Self { server, response, state, ahead: None, trailers: None, ending: Ending::default() }
    }

    /// The URI of the [client](crate::Client::uri), or of the member of the group, that was asked.
    #[must_use]
    pub const fn server(&self) -> &ServiceUri {
        &self.server
    }

    /// The head of the answer, as it came.
    #[must_use]
    pub const fn response(&self) -> &ResponseHead {
        &self.response
    }

    /// What stood behind the body; empty before all of it was read.
    #[must_use]
    pub const fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Lets go of the answer: the body of the request, if all of it can be sent once more. Otherwise the answer.
    pub(crate) fn into_source(self) -> Result<Box<Source<B>>, Box<Self>> {
        match self.state {
            State::Open(exchange) if exchange.is_replayable() => {
                let mut source = exchange.into_source();
                source.rewind();
                Ok(source)
            }
            state => Err(Box::new(Self { state, ..self })),
        }
    }
}

impl<B> Forwarded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
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

    fn end(&mut self, event: Event, cx: &mut Context<'_>) {
        // A head comes once, and it came; behind it are only data and the end.
        let Event::End { trailers, icap_trailer, use_original_body, .. } = event else { return };
        let State::Open(mut exchange) = std::mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        // Only limits far above the default let something pass that a map cannot hold.
        self.trailers =
            (!trailers.is_empty()).then(|| Box::new(trailers.to_header_map().unwrap_or_default()));
        self.ending = Ending { icap_trailer, original_from: use_original_body };
        exchange.settle(cx);
        let _ = exchange.release();
    }
}

impl<B> Body for Forwarded<B>
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
        loop {
            if let Some(data) = self.ahead.take() {
                self.look_ahead(cx);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            match &mut self.state {
                State::Open(exchange) => match ready!(exchange.poll_event(cx)) {
                    Ok(Event::Data(data)) => self.ahead = Some(data),
                    Ok(end) => self.end(end, cx),
                    Err(error) => {
                        self.state = State::Failed;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Ended => {
                    return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(*t))));
                }
                // Whoever asks again after an error must not be told that this was the end.
                State::Failed => {
                    return Poll::Ready(Some(Err(Error::Closed(Truncated::InBody))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.trailers.is_none() && matches!(self.state, State::Ended)
    }
}
