//! An answer on its way out.

use bytes::Bytes;

use super::Connection;
use crate::encapsulated::Encapsulated;
use crate::error::{CloseReason, Error, Misuse, PeerMisbehaved};
use crate::headers::Headers;
use crate::http_head::HttpHead;
use crate::istag::IsTag;
use crate::method::Method;
use crate::request::encode_encapsulated;
use crate::response::ResponseHead;
use crate::server::state::{Read, Write};
use crate::status::StatusCode;
use crate::wire::chunk::ChunkDecoder;
use crate::wire::encode::{self, LastChunk};

/// Room for a head that has a tag and hardly anything else.
const SHORT_HEAD: usize = 128;

impl Connection {
    /// Sends 100 Continue: the rest of the body behind the preview is wanted.
    ///
    /// # Errors
    ///
    /// [`Misuse::ContinueNotDue`] unless the preview has ended without `ieof` and nothing was answered;
    /// [`PeerMisbehaved::SpokeOutOfTurn`] when the client did not wait for it.
    pub fn send_continue(&mut self, istag: &IsTag) -> Result<(), Error> {
        if self.state.read == Read::Paused && !self.input.is_empty() {
            return Err(self.fail(PeerMisbehaved::SpokeOutOfTurn.into()));
        }
        self.state.proceed()?;
        self.decoder = ChunkDecoder::default();
        let out = self.output.framing();
        out.extend_from_slice(b"ICAP/1.0 100 Continue\r\n");
        out.extend_from_slice(istag.line());
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Whether the request in progress can be answered with 204 (RFC 3507 section 4.6): the client allows it,
    /// or is still in its preview.
    #[must_use]
    pub const fn permits_no_content(&self) -> bool {
        self.state.permits_no_content()
    }

    /// Whether the request in progress can be answered with 206 (draft-icap-ext-partial-content section 5.1).
    #[must_use]
    pub const fn permits_partial_content(&self) -> bool {
        self.state.permits_partial_content()
    }

    /// Whether the answer to the request in progress may end in an ICAP trailer: the client allows it
    /// (draft-rousskov-icap-trailers section 9).
    #[must_use]
    pub const fn permits_icap_trailer(&self) -> bool {
        self.state.permits_icap_trailer()
    }

    /// Queues the head of the final answer. After an error of the client the answer is the last.
    ///
    /// `Connection: close` is added where the connection cannot go on: the client asked for it, its bytes are
    /// not understood, or an error is told before the request was read to its end. An error told in a preview
    /// is no such end where the rest of the preview, as it was announced, is within
    /// [`Limits::preview`](crate::Limits::preview) and [`Limits::drain`](crate::Limits::drain): it is read and thrown
    /// away, unless the error is 408.
    ///
    /// A 200 to OPTIONS without parts says `Encapsulated: null-body=0` (RFC 3507 section 4.10.2). An ICAP trailer
    /// that the head promises is empty unless [`set_icap_trailer`](Self::set_icap_trailer) says more before the
    /// body ends.
    ///
    /// # Errors
    ///
    /// [`Misuse`] when there is nothing to answer, the status is 1xx, the client does not take a 204, a 206 or an
    /// ICAP trailer, or the parts do not fit the method. While the head of a request is on its way only an error
    /// can be told.
    pub fn respond(&mut self, head: ResponseHead) -> Result<(), Error> {
        self.answer(head, Headers::new())
    }

    /// Queues the head of a final answer that ends in an ICAP trailer with these fields: at once behind a head
    /// without body, else behind the body (draft-rousskov-icap-trailers section 6). Fields that frame, route or
    /// authorize are left out.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoIcapTrailer`] when the head [promises none](crate::ResponseBuilder::icap_trailer), else as
    /// [`respond`](Self::respond).
    pub fn respond_with_icap_trailer(
        &mut self,
        head: ResponseHead,
        fields: Headers,
    ) -> Result<(), Error> {
        if !head.ends_with_icap_trailer() {
            return Err(Misuse::NoIcapTrailer.into());
        }
        self.answer(head, fields)
    }

    /// Queues a final answer with this tag, no other field and no parts, such as a 204 or an error: what
    /// [`respond`](Self::respond) does with such a head, without putting one together.
    ///
    /// ```
    /// use icap_proto::{IsTag, Leniency, Limits, StatusCode, server::Connection};
    ///
    /// let mut connection = Connection::new(Limits::default(), Leniency::default());
    /// connection.feed(b"OPTIONS icap://h/none ICAP/1.0\r\nHost: h\r\n\r\n");
    /// assert!(connection.poll_event()?.is_some());
    /// connection.respond_without_parts(StatusCode::NOT_FOUND, &IsTag::new("rules-7")?)?;
    /// let answer = bytes::Buf::chunk(connection.output());
    /// assert_eq!(answer, b"ICAP/1.0 404 ICAP Service Not Found\r\nISTag: \"rules-7\"\r\n\r\n");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub fn respond_without_parts(
        &mut self,
        status: StatusCode,
        istag: &IsTag,
    ) -> Result<(), Error> {
        self.answer_shortly(status, istag, None)
    }

    /// Queues the head of a final answer with this tag, no other field and this HTTP head, and says whether a body
    /// follows: what [`respond`](Self::respond) does with such a head, without putting one together.
    ///
    /// ```
    /// use icap_proto::{HttpHead, IsTag, Leniency, Limits, StatusCode, server::Connection};
    ///
    /// let mut connection = Connection::new(Limits::default(), Leniency::default());
    /// connection.feed(b"REQMOD icap://h/s ICAP/1.0\r\nHost: h\r\nEncapsulated: req-hdr=0, null-body=18\r\n\r\n");
    /// connection.feed(b"GET / HTTP/1.1\r\n\r\n");
    /// assert!(connection.poll_event()?.is_some());
    /// let page = HttpHead::response(403, "Forbidden", [("Content-Length", "0")])?;
    /// connection.respond_with_http(StatusCode::OK, &IsTag::new("rules-7")?, &page, false)?;
    /// let answer = bytes::Buf::chunk(connection.output());
    /// assert!(answer.starts_with(b"ICAP/1.0 200 OK\r\nISTag: \"rules-7\"\r\nEncapsulated: res-hdr=0, null-body="));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub fn respond_with_http(
        &mut self,
        status: StatusCode,
        istag: &IsTag,
        http: &HttpHead,
        body: bool,
    ) -> Result<(), Error> {
        self.answer_shortly(status, istag, Some((http, body)))
    }

    fn answer_shortly(
        &mut self,
        status: StatusCode,
        istag: &IsTag,
        http: Option<(&HttpHead, bool)>,
    ) -> Result<(), Error> {
        let parts = http.map_or(Encapsulated::NONE, |(http, body)| Encapsulated::of(http, body));
        self.permits(status, parts, false)?;
        self.decide_close(status, false);
        let says_parts = http.is_some() || self.says_null_body(status);
        let out = self.output.framing();
        out.reserve(SHORT_HEAD.saturating_add(parts.header_bytes()));
        encode::status_line(out, status, status.canonical_reason().as_bytes());
        out.extend_from_slice(istag.line());
        if self.close.is_some() {
            out.extend_from_slice(encode::CLOSE);
        }
        if says_parts {
            encode_encapsulated(out, &parts);
        }
        out.extend_from_slice(b"\r\n");
        if let Some((http, _)) = http {
            out.extend_from_slice(http.as_bytes());
        }
        self.state.on_answer(status, parts.has_body(), false);
        Ok(())
    }

    fn answer(&mut self, mut head: ResponseHead, icap_trailer: Headers) -> Result<(), Error> {
        let (status, trailer) = (head.status(), head.ends_with_icap_trailer());
        self.permits(status, head.parts(), trailer)?;
        if self.says_null_body(status) {
            head.set_null_body();
        }
        self.decide_close(status, head.close());
        if self.close.is_some() {
            head.set_close();
        }
        head.encode(self.output.framing());
        self.state.on_answer(status, head.has_body(), trailer);
        self.icap_trailer = icap_trailer;
        if trailer && !head.has_body() {
            self.write_icap_trailer();
        }
        Ok(())
    }

    /// Whether an answer without parts has to say so: a 200 to OPTIONS (RFC 3507 section 4.10.2).
    fn says_null_body(&self, status: StatusCode) -> bool {
        status == StatusCode::OK && self.method == Some(Method::Options)
    }

    /// Ends the connection with an answer of this status where it was asked to end or cannot go on.
    fn decide_close(&mut self, status: StatusCode, asked: bool) {
        // 408 says that the rest is waited for no longer.
        let waits =
            self.state.is_in_short_preview(&self.limits) && status != StatusCode::REQUEST_TIMEOUT;
        let early_error = status.is_error() && !self.state.request_is_over() && !waits;
        // Bytes behind a preview that was not answered yet are the next request or the rest of this one: the
        // client that sent them does not know either.
        let ambiguous = self.state.read == Read::Paused && !self.input.is_empty();
        if early_error || ambiguous || self.failed.is_some() || asked {
            self.close.get_or_insert(CloseReason::Asked);
        }
    }

    /// Whether this can be the answer now. What is taken here a strict client takes too.
    fn permits(
        &self,
        status: StatusCode,
        parts: Encapsulated,
        icap_trailer: bool,
    ) -> Result<(), Misuse> {
        let asked = !matches!(self.state.read, Read::Idle { .. }) || self.failed.is_some();
        if !asked || self.state.write != Write::Nothing {
            return Err(Misuse::NothingToAnswer);
        }
        match status {
            interim if interim.as_u16() < 200 => return Err(Misuse::ContinueNotDue),
            StatusCode::NO_CONTENT if !self.permits_no_content() => {
                return Err(Misuse::NoContentNotAllowed);
            }
            StatusCode::PARTIAL_CONTENT if !self.permits_partial_content() => {
                return Err(Misuse::PartialContentNotAllowed);
            }
            _ => {}
        }
        let bare = parts == Encapsulated::NONE;
        match &self.method {
            // A head that does not come to its end can be refused, nothing else: which parts an answer to it may
            // have depends on its method.
            None if !status.is_error() => return Err(Misuse::NothingToAnswer),
            None if !bare => return Err(Misuse::Composition),
            Some(method) if !parts.fits_response(method, status) => {
                return Err(Misuse::Composition);
            }
            _ if status == StatusCode::CREATED && !bare => return Err(Misuse::Composition),
            _ => {}
        }
        if icap_trailer && !self.permits_icap_trailer() {
            return Err(Misuse::IcapTrailerNotAllowed);
        }
        Ok(())
    }

    /// Gives the promised ICAP trailer these fields, in place of those given before. They go out behind the body.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoIcapTrailer`] when no answer is being sent that [promises
    /// one](crate::ResponseBuilder::icap_trailer).
    pub fn set_icap_trailer(&mut self, fields: Headers) -> Result<(), Error> {
        if !self.state.owes_icap_trailer() {
            return Err(Misuse::NoIcapTrailer.into());
        }
        self.icap_trailer = fields;
        Ok(())
    }

    /// Ends a one-way request, to which the client expects no answer, such as LOG
    /// (draft-stecher-icap-subid section 6). Only the owner can know which methods are such.
    ///
    /// What is left of the request is read and thrown away; then the connection goes on.
    ///
    /// # Errors
    ///
    /// [`Misuse::AnswerDue`] for the methods of RFC 3507, which all are answered;
    /// [`Misuse::NothingToAnswer`] without a request, after an answer and after an error of the client.
    pub fn dismiss(&mut self) -> Result<(), Error> {
        if self.state.write != Write::Nothing || self.failed.is_some() {
            return Err(Misuse::NothingToAnswer.into());
        }
        match self.method {
            None => return Err(Misuse::NothingToAnswer.into()),
            Some(Method::Extension(_)) => {}
            Some(_) => return Err(Misuse::AnswerDue.into()),
        }
        self.state.dismiss();
        Ok(())
    }

    /// Ends the connection with the request in progress: an answer that has not begun says `Connection: close`.
    pub fn close_after_answer(&mut self) {
        self.close.get_or_insert(CloseReason::Asked);
    }

    /// Queues body data of the answer as one chunk.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no answer with a body is being sent.
    #[inline]
    pub fn send_data(&mut self, data: Bytes) -> Result<(), Error> {
        let Write::Body { .. } = self.state.write else { return Err(Misuse::NoBody.into()) };
        encode::chunk(&mut self.output, data);
        Ok(())
    }

    /// Ends the body of the answer. A promised ICAP trailer follows.
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no answer with a body is being sent.
    pub fn finish(&mut self, trailers: &Headers) -> Result<(), Error> {
        self.finish_with(LastChunk::Plain, trailers)
    }

    /// Ends the body of a 206: the original goes on from byte `offset`
    /// (draft-icap-ext-partial-content section 5.2).
    ///
    /// # Errors
    ///
    /// [`Misuse::NoBody`] when no answer with a body is being sent, [`Misuse::PartialContentNotAllowed`] when it
    /// is not a 206.
    pub fn finish_with_original(&mut self, offset: u64) -> Result<(), Error> {
        match self.state.write {
            Write::Body { status: StatusCode::PARTIAL_CONTENT } => {
                self.finish_with(LastChunk::OriginalBody(offset), &Headers::new())
            }
            Write::Body { .. } => Err(Misuse::PartialContentNotAllowed.into()),
            _ => Err(Misuse::NoBody.into()),
        }
    }

    fn finish_with(&mut self, extension: LastChunk, trailers: &Headers) -> Result<(), Error> {
        let Write::Body { .. } = self.state.write else { return Err(Misuse::NoBody.into()) };
        encode::last_chunk(&mut self.output, extension, trailers);
        if self.state.on_answer_end() {
            self.write_icap_trailer();
        }
        Ok(())
    }

    /// The ICAP trailer: field lines or none, and the empty line (draft-rousskov-icap-trailers section 6).
    fn write_icap_trailer(&mut self) {
        let fields = core::mem::take(&mut self.icap_trailer);
        if fields.has_member("Connection", "close") {
            self.close.get_or_insert(CloseReason::Asked);
        }
        encode::trailer_section(self.output.framing(), &fields);
    }

    /// Breaks the answer off: the connection ends without a last chunk, so that the client sees the cut.
    pub const fn abort(&mut self) {
        self.state.write = Write::Aborted;
    }
}
