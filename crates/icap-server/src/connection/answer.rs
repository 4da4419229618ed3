//! From a handler's reply to the head of an answer.

use bytes::Bytes;
use icap_proto::server::Connection;
use icap_proto::{
    Allow, Headers, HttpHead, Method, RequestHead, ResponseHead, ServiceOptions, StatusCode,
};

use super::exchange::{Exchange, Rest, Work, catch};
use super::reading::PreviewEnd;
use super::sending_back::Splice;
use super::transport::Transport;
use crate::body_cell::Want;
use crate::forward::{EndingSource, Forwarded};
use crate::reply::{Fields, Kind};
use crate::service::BoxedService;
use crate::{BodyError, Ending, Error, Reply, ReplyBody};

/// What of a request decides how its answer looks.
pub(super) struct Answering {
    /// There is no answer.
    pub(super) one_way: bool,
    /// The method is one that adapts messages.
    pub(super) adapts: bool,
    is_reqmod: bool,
    pub(super) null_body: bool,
    /// The HTTP request is a HEAD, to which no response has a body.
    for_head: bool,
}

impl Answering {
    pub(super) fn new(head: &RequestHead) -> Self {
        Self {
            one_way: false,
            adapts: matches!(head.method(), Method::Reqmod | Method::Respmod),
            is_reqmod: *head.method() == Method::Reqmod,
            null_body: !head.has_body(),
            for_head: head.http_request().is_some_and(|http| http.as_bytes().starts_with(b"HEAD ")),
        }
    }

    /// Whether the answer has a body, perhaps an empty one: `null-body` is for messages that cannot have one, and
    /// for those that had none and got none.
    fn has_body(&self, head: &HttpHead, body: &ReplyBody) -> bool {
        if !body.is_empty() {
            return true;
        }
        let asked_with = self.for_head.then_some("HEAD");
        !self.null_body && (head.is_request() || head.may_have_body(asked_with))
    }
}

impl Exchange<'_> {
    /// The handler is done.
    pub(super) fn answer<IO>(
        &mut self,
        reply: Result<Reply, Error>,
        transport: &mut Transport<IO>,
    ) {
        self.work = Work::Done;
        if let Some(failure) = self.failure {
            // A request that broke off is not the one the handler would answer.
            return self.refuse(status_of(failure), transport);
        }
        let Reply { kind, fields } = match reply {
            Ok(_) if self.answering.one_way => return self.dismiss(transport),
            Ok(reply) => reply,
            Err(error) => return self.blame(&error, transport),
        };
        self.record.verdict(&kind);
        match kind {
            Kind::Unmodified if transport.connection.permits_no_content() => {
                self.respond(StatusCode::NO_CONTENT, None, fields, transport);
            }
            Kind::Unmodified => self.echo(fields, transport),
            Kind::Modified(head, body) if head.is_request() == self.answering.is_reqmod => {
                self.adapt(head, body, fields, transport);
            }
            Kind::Response(head, body) if !head.is_request() => {
                self.adapt(head, body, fields, transport);
            }
            Kind::OriginalFrom(head, prefix, offset)
                if head.is_request() == self.answering.is_reqmod =>
            {
                self.splice(Splice { head, prefix, offset, fields }, transport);
            }
            Kind::Modified(..) | Kind::Response(..) | Kind::OriginalFrom(..) => {
                self.blame(&"the head of the reply is of the wrong kind".into(), transport);
            }
            Kind::Error(status) if status.is_error() => {
                self.respond(status, None, fields, transport);
            }
            Kind::Forwarded(forwarded) => self.pass_on(*forwarded, transport),
            Kind::Error(status) => {
                self.blame(&format!("{status} is not the status of an error").into(), transport);
            }
        }
    }

    /// Sends what the service offers, 206 and trailers only to clients that know of them.
    pub(super) fn send_options<IO>(
        &mut self,
        service: &dyn BoxedService,
        options: ServiceOptions,
        asked: Allow,
        transport: &mut Transport<IO>,
    ) {
        let opt_body = &service.config().opt_body;
        let options = self.shared.offer(options.istag(self.tag().clone()));
        let head = match opt_body {
            None => options.to_response(asked),
            Some((kind, _)) => options.to_response_with_opt_body(asked, kind),
        };
        let sent = head.map_err(Error::from);
        match (sent.and_then(|head| self.put(head, Headers::new(), transport)), opt_body) {
            (Err(error), _) => self.blame(&error, transport),
            (Ok(()), None) => {}
            (Ok(()), Some((_, body))) => {
                self.send(body.clone(), transport);
                self.finish(&Headers::new(), transport);
            }
        }
    }

    /// Answers with an error of the protocol or of the server.
    pub(super) fn refuse<IO>(&mut self, status: StatusCode, transport: &mut Transport<IO>) {
        self.work = Work::Done;
        if self.answering.one_way {
            return self.dismiss(transport);
        }
        if let Err(error) = self.put_plain(status, None, transport) {
            tracing::error!(%error, "no answer can be sent");
            self.abort(transport);
        }
    }

    /// Answers with 500 what the service did wrong.
    pub(super) fn blame<IO>(&mut self, error: &Error, transport: &mut Transport<IO>) {
        let service = self.record.service();
        tracing::error!(service, %error, "the service failed");
        self.refuse(StatusCode::INTERNAL_SERVER_ERROR, transport);
    }

    /// Ends a request that gets no answer.
    pub(super) fn dismiss<IO>(&mut self, transport: &mut Transport<IO>) {
        if transport.connection.dismiss().is_err() {
            self.abort(transport);
        }
    }

    pub(super) fn adapt<IO>(
        &mut self,
        head: HttpHead,
        mut body: ReplyBody,
        fields: Fields,
        transport: &mut Transport<IO>,
    ) {
        self.original = None;
        let has_body = self.answering.has_body(&head, &body);
        let sent = self.respond(StatusCode::OK, Some((head, has_body)), fields, transport);
        if !sent || !has_body {
            return;
        }
        let Some(read) = body.take_read(self.feeder.as_ref()) else {
            self.work = Work::Sending(body);
            return;
        };
        // The rest of the request goes back without passing through the hands of a reader.
        drop(body);
        self.feeder = None;
        self.work = Work::Echoing { skip: 0 };
        if !read.is_empty() {
            self.send(read, transport);
        }
    }

    /// Sends a head; false when it was 500 in its place.
    pub(super) fn respond<IO>(
        &mut self,
        status: StatusCode,
        http: Option<(HttpHead, bool)>,
        fields: Fields,
        transport: &mut Transport<IO>,
    ) -> bool {
        let sent = self.try_respond(status, http, fields, transport);
        if let Err(error) = &sent {
            self.blame(error, transport);
        }
        sent.is_ok()
    }

    fn try_respond<IO>(
        &mut self,
        status: StatusCode,
        http: Option<(HttpHead, bool)>,
        fields: Fields,
        transport: &mut Transport<IO>,
    ) -> Result<(), Error> {
        let Fields { headers, icap_trailer } = fields;
        let permits_trailer = http.is_some() && transport.connection.permits_icap_trailer();
        let promised = icap_trailer.filter(|_| permits_trailer);
        // As nearly all answers are.
        if headers.is_empty() && promised.is_none() {
            let http = http.as_ref().map(|(head, has_body)| (head, *has_body));
            return self.put_plain(status, http, transport);
        }
        let mut builder = ResponseHead::builder(status).istag(self.tag());
        if let Some((head, has_body)) = http {
            builder = builder.http(head).body(has_body);
        }
        builder = builder.headers(&headers)?;
        let Some(trailer) = promised else {
            return self.put(builder.build()?, Headers::new(), transport);
        };
        let head = builder.icap_trailer(&trailer.names)?.build()?;
        if !head.has_body() {
            return self.put(head, catch(trailer.fields)?, transport);
        }
        self.icap_trailer = Some(trailer.fields);
        self.put(head, Headers::new(), transport)
    }

    /// Sends a head that says nothing but its status and what it encapsulates.
    fn put_plain<IO>(
        &mut self,
        status: StatusCode,
        http: Option<(&HttpHead, bool)>,
        transport: &mut Transport<IO>,
    ) -> Result<(), Error> {
        self.close_if_stopping(transport);
        let (connection, tag) = (&mut transport.connection, self.tag());
        match http {
            None => connection.respond_without_parts(status, tag)?,
            Some((head, has_body)) => connection.respond_with_http(status, tag, head, has_body)?,
        }
        self.record.answer(status, http.is_some_and(|(_, has_body)| has_body));
        Ok(())
    }

    fn close_if_stopping<IO>(&self, transport: &mut Transport<IO>) {
        if self.shared.life.stop.is_set() {
            transport.connection.close_after_answer();
        }
    }

    /// Sends a head, with an ICAP trailer where it promises one and has no body.
    fn put<IO>(
        &mut self,
        head: ResponseHead,
        icap_trailer: Headers,
        transport: &mut Transport<IO>,
    ) -> Result<(), Error> {
        self.close_if_stopping(transport);
        let (status, has_body) = (head.status(), head.has_body());
        if icap_trailer.is_empty() {
            transport.connection.respond(head)?;
        } else {
            transport.connection.respond_with_icap_trailer(head, icap_trailer)?;
        }
        self.record.answer(status, has_body);
        Ok(())
    }

    /// Hands out the answer of another server.
    fn pass_on<IO>(&mut self, forwarded: Forwarded, transport: &mut Transport<IO>) {
        let Forwarded { head, body, ending } = forwarded;
        let has_body = head.has_body();
        if let Err(error) = self.continue_first(has_body, transport) {
            return self.refuse(error.status_hint(), transport);
        }
        if let Err(error) = self.put(head, Headers::new(), transport) {
            return self.blame(&error, transport);
        }
        if has_body {
            self.ending = Some(ending);
            self.work = Work::Sending(body);
        }
    }

    /// Sends 100 Continue in front of an answer whose body reads on behind the preview: the other server may have said
    /// both in one breath, and behind the head of the answer it is too late.
    fn continue_first<IO>(
        &mut self,
        has_body: bool,
        transport: &mut Transport<IO>,
    ) -> Result<(), icap_proto::Error> {
        let wanted = self.feeder.as_mut().map(|feeder| feeder.demand().want);
        if has_body && self.preview == PreviewEnd::Waits && wanted == Some(Want::Continue) {
            self.send_continue(transport)?;
            self.continued = true;
        }
        Ok(())
    }

    /// Ends an answer of another server as that did.
    fn end_as<IO>(
        &mut self,
        ending: EndingSource,
        trailers: &Headers,
        transport: &mut Transport<IO>,
    ) {
        let Ok(Ending { icap_trailer, original_from }) = catch(ending) else {
            tracing::error!(service = self.record.service(), "the ending of a reply failed");
            return self.abort(transport);
        };
        if !icap_trailer.is_empty() {
            // Fails where none is promised; then there is no place for it.
            let _ = transport.connection.set_icap_trailer(icap_trailer);
        }
        self.end(transport, |connection| match original_from {
            None => connection.finish(trailers),
            Some(offset) => connection.finish_with_original(offset),
        });
    }

    /// Queues data of the answer.
    pub(super) fn send<IO>(&mut self, data: Bytes, transport: &mut Transport<IO>) {
        self.record.bytes_out = self.record.bytes_out.saturating_add(data.len() as u64);
        if transport.connection.send_data(data).is_err() {
            self.abort(transport);
        }
    }

    /// The body of the reply is at its end.
    pub(super) fn end_reply<IO>(&mut self, trailers: &Headers, transport: &mut Transport<IO>) {
        if let Some(ending) = self.ending.take() {
            return self.end_as(ending, trailers, transport);
        }
        match self.rest {
            Rest::Nothing => self.finish(trailers, transport),
            Rest::UseOriginal(offset) => {
                self.end(transport, |connection| connection.finish_with_original(offset));
            }
            Rest::Replay(offset) => match self.replay(offset) {
                Ok(replay) if self.failure.is_none() => self.work = Work::Replaying(replay),
                Ok(_) => self.abort(transport),
                Err(error) => {
                    self.log_incomplete(error);
                    self.abort(transport);
                }
            },
        }
    }

    /// Ends the answer.
    pub(super) fn finish<IO>(&mut self, trailers: &Headers, transport: &mut Transport<IO>) {
        self.end(transport, |connection| connection.finish(trailers));
    }

    fn end<IO>(
        &mut self,
        transport: &mut Transport<IO>,
        finish: impl FnOnce(&mut Connection) -> Result<(), icap_proto::Error>,
    ) {
        let connection = &mut transport.connection;
        let given = match self.icap_trailer.take().map(catch) {
            None => true,
            Some(Ok(fields)) => connection.set_icap_trailer(fields).is_ok(),
            Some(Err(panic)) => {
                let service = self.record.service();
                tracing::error!(service, error = panic, "the ICAP trailer of a reply failed");
                false
            }
        };
        if given && finish(connection).is_ok() {
            self.work = Work::Done;
        } else {
            self.abort(transport);
        }
    }

    /// Breaks the answer off, so that the client sees the cut.
    pub(super) fn abort<IO>(&mut self, transport: &mut Transport<IO>) {
        transport.connection.abort();
        self.record.aborted = true;
        self.work = Work::Done;
    }
}

/// The answer to a request that broke off.
pub(super) fn status_of(failure: BodyError) -> StatusCode {
    match failure {
        BodyError::Protocol(error) => error.status_hint(),
        BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Disconnected | BodyError::Answered => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
