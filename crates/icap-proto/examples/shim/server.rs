//! We are the server.

use bytes::Buf;
use icap_proto::server::{Connection, Event};
use icap_proto::{
    Error, Headers, HttpHead, IsTag, Leniency, Limits, Method, Misuse, RequestHead, ResponseHead,
    StatusCode,
};
use serde_json::Value;

use super::case::{Act, Splits, Step};
use super::values::{self, Message};

pub(super) fn run(steps: &[Step], splits: &Splits) -> Value {
    let mut server = Server::new();
    match server.steps(steps, splits) {
        Ok(()) => values::transaction(server.result(), server.messages),
        Err(fault) => {
            let mut answer = values::transaction("reject", server.messages);
            if let (Fault::Reported(error), Some(answer)) = (fault, answer.as_object_mut()) {
                answer.insert("status".into(), error.status_hint().as_u16().into());
            }
            answer
        }
    }
}

/// Why a connection cannot go on.
enum Fault {
    Reported(Error),
    /// There is more behind the last request.
    Surplus,
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Reported(error.into())
    }
}

/// Where the request in progress stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Between,
    Reading,
    /// The preview has ended; what our side does is the next step.
    Paused,
    /// Answered before it was whole; the answer ends when the request does.
    Early,
}

struct Server {
    connection: Connection,
    stage: Stage,
    method: Method,
    /// The preview of the request is on its way.
    previewing: bool,
    messages: Vec<Message>,
}

impl Server {
    fn new() -> Self {
        Self {
            connection: Connection::new(Limits::default(), Leniency::strict()),
            stage: Stage::Between,
            method: Method::Options,
            previewing: false,
            messages: Vec::new(),
        }
    }

    fn steps(&mut self, steps: &[Step], splits: &Splits) -> Result<(), Fault> {
        let mut at = 0u64;
        for step in steps {
            match step {
                Step::Recv(bytes) => {
                    for piece in splits.pieces(at, bytes) {
                        self.recv(piece)?;
                    }
                    at = at.saturating_add(bytes.len() as u64);
                }
                Step::Act(Act::Continue) => self.proceed()?,
                Step::Act(Act::Final) => self.answer_finally()?,
            }
        }
        Ok(())
    }

    /// Feeds a piece, however little of it fits at once, and takes out every event.
    fn recv(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        while !rest.is_empty() {
            if self.connection.closing().is_some() {
                return Err(Fault::Surplus);
            }
            // Also while a preview waits for its answer: then the client speaks out of turn, and it is told.
            let taken = self.connection.feed(rest);
            rest = rest.get(taken..).unwrap_or_default();
            self.poll()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), Fault> {
        while let Some(event) = self.connection.poll_event()? {
            match event {
                Event::Request(head) => self.begin(&head),
                Event::Data(data) => self.message(|message| message.data(&data)),
                Event::PreviewEnd { complete, .. } => self.preview_end(complete)?,
                Event::End { trailers, icap_trailer, .. } => self.end(&trailers, &icap_trailer)?,
                _ => {}
            }
            // Nobody reads our answers.
            let output = self.connection.output();
            output.advance(output.remaining());
        }
        if self.connection.closing().is_some() && self.buffered() > 0 {
            return Err(Fault::Surplus);
        }
        Ok(())
    }

    fn begin(&mut self, head: &RequestHead) {
        let list = head.encapsulated();
        let mut message = Message::new(Some(list), head.http_request(), head.http_response());
        message.set("method", head.method().as_str());
        message.set("uri", values::uri(head.uri()));
        message.set("preview", head.preview());
        message.set("allow", values::allow(head.allow()));
        message.set("continued", false);
        // On OPTIONS the field means nothing.
        let announced = head.preview().is_some() && *head.method() != Method::Options;
        self.previewing = announced && head.has_body();
        if !announced {
            message.set("preview_len", Value::Null);
            message.set("ieof", false);
        }
        self.stage = Stage::Reading;
        self.method = head.method().clone();
        self.messages.push(message);
    }

    fn preview_end(&mut self, complete: bool) -> Result<(), Fault> {
        self.previewing = false;
        self.message(|message| {
            message.set("preview_len", message.body_len());
            message.set("ieof", complete);
        });
        match self.stage {
            // The end of the request is still to be told.
            _ if complete => Ok(()),
            Stage::Early => self.end(&Headers::new(), &Headers::new()),
            _ => {
                self.stage = Stage::Paused;
                Ok(())
            }
        }
    }

    /// The request is over: so is our answer.
    fn end(&mut self, trailers: &Headers, icap_trailer: &Headers) -> Result<(), Fault> {
        self.message(|message| message.end(trailers, icap_trailer));
        if self.stage == Stage::Early {
            self.connection.finish(&Headers::new())?;
        } else {
            let head = self.answer()?;
            self.connection.respond(head)?;
        }
        self.stage = Stage::Between;
        Ok(())
    }

    fn proceed(&mut self) -> Result<(), Fault> {
        if self.stage != Stage::Paused {
            return Ok(());
        }
        self.connection.send_continue(&istag()?)?;
        self.message(|message| message.set("continued", true));
        self.stage = Stage::Reading;
        self.poll()
    }

    fn answer_finally(&mut self) -> Result<(), Fault> {
        match self.stage {
            Stage::Between | Stage::Early => return Ok(()),
            Stage::Paused => self.end(&Headers::new(), &Headers::new())?,
            Stage::Reading => {
                let head = self.early_answer()?;
                self.connection.respond(head)?;
                self.stage = Stage::Early;
            }
        }
        self.poll()
    }

    /// An answer that every request of the kind takes.
    fn answer(&self) -> Result<ResponseHead, Error> {
        let builder = match self.method {
            Method::Options => ResponseHead::builder(StatusCode::OK),
            Method::Extension(_) => ResponseHead::builder(StatusCode::NOT_IMPLEMENTED),
            _ if self.connection.permits_no_content() => {
                ResponseHead::builder(StatusCode::NO_CONTENT)
            }
            _ => ResponseHead::builder(StatusCode::OK).http(page()?),
        };
        Ok(builder.istag(&istag()?).build()?)
    }

    /// An answer with a body, which is open until the request is whole: what still comes of a request that is
    /// answered to the end is told no more.
    fn early_answer(&self) -> Result<ResponseHead, Error> {
        let builder = ResponseHead::builder(StatusCode::OK);
        let builder = match self.method {
            Method::Options => builder.opt_body("X-Shim").map_err(|_| Misuse::Composition)?,
            _ => builder.http(page()?).body(true),
        };
        Ok(builder.istag(&istag()?).build()?)
    }

    /// Changes the message in progress.
    fn message(&mut self, change: impl FnOnce(&mut Message)) {
        if let Some(message) = self.messages.last_mut() {
            change(message);
        }
    }

    /// Bytes that the connection holds and has not used.
    fn buffered(&mut self) -> usize {
        self.connection.input().get_ref().len()
    }

    /// What it came to when no fault was reported.
    fn result(&self) -> &'static str {
        let between = self.stage == Stage::Between && self.connection.is_idle();
        if between { "ok" } else { "incomplete" }
    }
}

fn istag() -> Result<IsTag, Misuse> {
    IsTag::new("shim").map_err(|_| Misuse::Composition)
}

fn page() -> Result<HttpHead, Misuse> {
    let none: [(&str, &str); 0] = [];
    HttpHead::response(200, "OK", none).map_err(|_| Misuse::Composition)
}
