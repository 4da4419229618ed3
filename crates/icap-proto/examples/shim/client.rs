//! We are the client.

use bytes::Buf;
use icap_proto::client::{Connection, Event, SendState};
use icap_proto::{
    Error, Headers, HttpHead, Leniency, Limits, Method, Misuse, RequestHead, ServiceUri,
};
use serde_json::Value;

use super::case::{Act, Context, Splits, Step};
use super::values::{self, Message};

pub(super) fn run(context: &Context, steps: &[Step], splits: &Splits) -> Value {
    let mut client = Client {
        connection: Connection::new(Limits::default(), Leniency::strict()),
        answered: false,
        messages: Vec::new(),
    };
    let result = match client.start(context).and_then(|()| client.steps(steps, splits)) {
        Ok(()) if client.answered => "ok",
        Ok(()) => "incomplete",
        Err(Fault) => "reject",
    };
    values::transaction(result, client.messages)
}

/// The server did something wrong, or said more than its answer.
struct Fault;

impl<E: Into<Error>> From<E> for Fault {
    fn from(_: E) -> Self {
        Self
    }
}

struct Client {
    connection: Connection,
    /// The answer is whole.
    answered: bool,
    messages: Vec<Message>,
}

impl Client {
    /// Sends as much of the request as goes before the server speaks. How many bytes a body has does not matter to
    /// its answer, so it has none.
    fn start(&mut self, context: &Context) -> Result<(), Fault> {
        let head = request(context)?;
        self.connection.start(&head)?;
        if head.has_body() {
            match head.preview() {
                Some(_) if !context.ieof => self.connection.end_preview()?,
                _ => self.connection.finish(&Headers::new())?,
            }
        }
        self.drop_output();
        Ok(())
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
                // The rest, behind a 100.
                Step::Act(Act::Continue)
                    if self.connection.send_state() == SendState::Streaming =>
                {
                    self.connection.finish(&Headers::new())?;
                    self.drop_output();
                }
                Step::Act(Act::Continue | Act::Final) => {}
            }
        }
        Ok(())
    }

    /// Feeds a piece, however little of it fits at once, and takes out every event.
    fn recv(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        while !rest.is_empty() {
            if self.answered {
                return Err(Fault);
            }
            let taken = self.connection.feed(rest);
            rest = rest.get(taken..).unwrap_or_default();
            self.poll()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), Fault> {
        while let Some(event) = self.connection.poll_event()? {
            match event {
                Event::Continue => {
                    let mut message = Message::new(None, None, None);
                    message.set("status", 100);
                    message.end(&Headers::new(), &Headers::new());
                    self.messages.push(message);
                }
                Event::Response(head) => {
                    let list = head.encapsulated();
                    let mut message = Message::new(list, head.http_request(), head.http_response());
                    message.set("status", head.status().as_u16());
                    self.messages.push(message);
                }
                Event::Data(data) => self.message(|message| message.data(&data)),
                Event::End { trailers, icap_trailer, .. } => {
                    self.message(|message| message.end(&trailers, &icap_trailer));
                    self.answered = true;
                }
                _ => {}
            }
        }
        // The answer stands, but what follows it belongs to no request.
        if self.answered && !self.connection.input().get_ref().is_empty() {
            return Err(Fault);
        }
        Ok(())
    }

    /// Changes the message in progress.
    fn message(&mut self, change: impl FnOnce(&mut Message)) {
        if let Some(message) = self.messages.last_mut() {
            change(message);
        }
    }

    /// Nobody reads our request.
    fn drop_output(&mut self) {
        let output = self.connection.output();
        output.advance(output.remaining());
    }
}

/// A request of the shape that the line says.
fn request(context: &Context) -> Result<RequestHead, Error> {
    let uri: ServiceUri = "icap://localhost/shim".parse()?;
    let fields = [("Host", "localhost")];
    let mut builder = RequestHead::builder(context.method.clone(), uri);
    match context.method {
        Method::Reqmod => {
            let head = HttpHead::request("POST", "/", fields).map_err(|_| Misuse::Composition)?;
            builder = builder.http_request(head).body(context.has_body());
        }
        Method::Respmod => {
            let head = HttpHead::response(200, "OK", fields).map_err(|_| Misuse::Composition)?;
            builder = builder.http_response(head).body(context.has_body());
        }
        _ => {}
    }
    if let Some(preview) = context.preview {
        builder = builder.preview(preview);
    }
    for member in context.allow() {
        builder = match member.as_str() {
            "204" => builder.allow_no_content(),
            "206" => builder.allow_partial_content(),
            "trailers" => builder.allow_trailers(),
            _ => builder,
        };
    }
    Ok(builder.build()?)
}
