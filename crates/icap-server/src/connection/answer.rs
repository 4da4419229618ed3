//! From a handler's reply to the head of an answer.

use icap_proto::{
    Allow, Headers, HttpHead, IsTag, Method, RequestHead, ResponseHead, ServiceOptions, StatusCode,
};

use super::error_head;
use super::exchange::{Exchange, Work};
use super::original::{Incomplete, Original};
use super::transport::Transport;
use crate::reply::Kind;
use crate::{BodyError, Error, Reply, ReplyBody};

/// What of a request decides how its answer looks.
pub(super) struct Answering {
    pub(super) tag: IsTag,
    is_reqmod: bool,
    null_body: bool,
    /// The HTTP request is a HEAD, to which no response has a body.
    for_head: bool,
}

impl Answering {
    pub(super) fn new(head: &RequestHead, tag: IsTag) -> Self {
        Self {
            tag,
            is_reqmod: *head.method() == Method::Reqmod,
            null_body: !head.has_body(),
            for_head: head.http_request().and_then(HttpHead::method) == Some("HEAD"),
        }
    }

    /// Whether the answer has a body, perhaps an empty one: `null-body` is for messages that cannot have one, and
    /// for those that had none and got none.
    fn has_body(&self, head: &HttpHead, body: &ReplyBody) -> bool {
        let asked_with = self.for_head.then_some("HEAD");
        let bodiless = self.null_body || !(head.is_request() || head.may_have_body(asked_with));
        !(bodiless && body.is_empty())
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
        let original = self.original.take();
        if let Some(failure) = self.failure {
            // A request that broke off is not the one the handler would answer.
            return self.refuse(status_of(failure), transport);
        }
        let Reply { kind, headers } = match reply {
            Ok(reply) => reply,
            Err(error) => return self.blame(&error, transport),
        };
        self.record.verdict(&kind);
        match kind {
            Kind::Unmodified if transport.connection.permits_no_content() => {
                self.respond(StatusCode::NO_CONTENT, None, &headers, transport);
            }
            Kind::Unmodified => self.echo(original, &headers, transport),
            Kind::Modified(head, body) if head.is_request() == self.answering.is_reqmod => {
                self.adapt(head, body, &headers, transport);
            }
            Kind::Response(head, body) if !head.is_request() => {
                self.adapt(head, body, &headers, transport);
            }
            Kind::Modified(..) | Kind::Response(..) => {
                self.blame(&"the head of the reply is of the wrong kind".into(), transport);
            }
            Kind::Error(status) if status.is_error() => {
                self.respond(status, None, &headers, transport);
            }
            Kind::Error(status) => {
                self.blame(&format!("{status} is not the status of an error").into(), transport);
            }
        }
    }

    /// Sends what the service offers, 206 and trailers only to clients that know of them.
    pub(super) fn send_options<IO>(
        &mut self,
        options: &ServiceOptions,
        asked: Allow,
        transport: &mut Transport<IO>,
    ) {
        let sent = options.to_response(asked).map_err(Error::from);
        if let Err(error) = sent.and_then(|head| self.put(head, transport)) {
            self.blame(&error, transport);
        }
    }

    /// Answers with an error of the protocol or of the server.
    pub(super) fn refuse<IO>(&mut self, status: StatusCode, transport: &mut Transport<IO>) {
        let head = error_head(status, &self.answering.tag).map_err(Error::from);
        if let Err(error) = head.and_then(|head| self.put(head, transport)) {
            tracing::error!(%error, "no answer can be sent");
            self.abort(transport);
        }
    }

    /// Answers with 500 what the service did wrong.
    fn blame<IO>(&mut self, error: &Error, transport: &mut Transport<IO>) {
        let service = self.record.service();
        tracing::error!(service, %error, "the service failed");
        self.refuse(StatusCode::INTERNAL_SERVER_ERROR, transport);
    }

    fn adapt<IO>(
        &mut self,
        head: HttpHead,
        body: ReplyBody,
        headers: &Headers,
        transport: &mut Transport<IO>,
    ) {
        let has_body = self.answering.has_body(&head, &body);
        let sent = self.respond(StatusCode::OK, Some((head, has_body)), headers, transport);
        if sent && has_body {
            self.work = Work::Sending(body);
        }
    }

    /// Sends the message back: what was read of it, then the rest as it comes.
    fn echo<IO>(
        &mut self,
        original: Option<Original>,
        headers: &Headers,
        transport: &mut Transport<IO>,
    ) {
        let echo = match original.ok_or(Incomplete::NotKept).and_then(Original::into_echo) {
            Ok(echo) => echo,
            Err(error) => {
                let (client, service) = (self.record.client(), self.record.service());
                tracing::error!(client, service, %error, "an unmodified message cannot be sent back");
                return self.refuse(error.status(), transport);
            }
        };
        let http = Some((echo.head, echo.has_body));
        if !self.respond(StatusCode::OK, http, headers, transport) || !echo.has_body {
            return;
        }
        self.work = Work::Echoing;
        for data in echo.read {
            self.send(data, transport);
        }
        if let Some(trailers) = echo.trailers {
            self.finish(&trailers, transport);
        }
    }

    /// Sends a head; false when it was 500 in its place.
    fn respond<IO>(
        &mut self,
        status: StatusCode,
        http: Option<(HttpHead, bool)>,
        headers: &Headers,
        transport: &mut Transport<IO>,
    ) -> bool {
        let mut builder = ResponseHead::builder(status).istag(&self.answering.tag);
        if let Some((head, has_body)) = http {
            builder = builder.http(head).body(has_body);
        }
        let head = builder.headers(headers).map_err(Error::from);
        let sent = head.and_then(|builder| self.put(builder.build()?, transport));
        if let Err(error) = &sent {
            self.blame(error, transport);
        }
        sent.is_ok()
    }

    fn put<IO>(&mut self, head: ResponseHead, transport: &mut Transport<IO>) -> Result<(), Error> {
        if self.shared.life.stop.is_set() {
            transport.connection.close_after_answer();
        }
        let status = head.status();
        transport.connection.respond(head)?;
        self.record.answer(status);
        Ok(())
    }
}

/// The answer to a request that broke off.
fn status_of(failure: BodyError) -> StatusCode {
    match failure {
        BodyError::Protocol(error) => error.status_hint(),
        BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Disconnected | BodyError::Answered => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
