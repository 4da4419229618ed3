//! One connection: sends a request, and checks what comes back.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use icap_proto::client::{Connection, Event, SendState};
use icap_proto::{CloseReason, Headers, Leniency, Limits, Method, ResponseHead, StatusCode};
use tokio::net::TcpStream;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::message::Message;

/// Data is queued only while less than this waits to be written.
const HIGH_WATER: usize = 64 * 1024;

/// What was wrong with an answer, or kept it away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The request could not be sent.
    #[error("cannot send: {0}")]
    Send(io::Error),
    /// The answer could not be read.
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// Not ICAP, not at this time, or cut off.
    #[error(transparent)]
    Protocol(#[from] icap_proto::Error),
    /// Bytes that nobody asked for.
    #[error("the server sent something that nobody asked for")]
    Unasked,
    /// Nothing for so long.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// Not the status that was expected.
    #[error("status {0}")]
    Status(StatusCode),
    /// The HTTP head is not the one that was sent.
    #[error("another HTTP head than was sent: {0}")]
    Head(String),
    /// A byte of the body is not the one that was sent.
    #[error("byte {0} of the body differs from what was sent")]
    Body(u64),
    /// The body has another length.
    #[error("the body has {got} bytes, {sent} were sent")]
    Length {
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come.
        sent: u64,
    },
}

impl Fault {
    /// A word for counting; such of the same kind share it.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Connect(_) => "connect".into(),
            Self::Send(_) => "send".into(),
            Self::Read(_) => "read".into(),
            Self::Protocol(icap_proto::Error::Closed(_)) => "truncated".into(),
            Self::Protocol(_) => "protocol".into(),
            Self::Unasked => "unasked".into(),
            Self::Timeout(_) => "timeout".into(),
            Self::Status(status) => format!("status {status}"),
            Self::Head(_) => "head differs".into(),
            Self::Body(_) => "body differs".into(),
            Self::Length { .. } => "body length".into(),
        }
    }
}

/// An answer that is as it should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Bytes of body that came back and were compared.
    pub(super) compared: u64,
}

/// Which answers are good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// This status only.
    pub(super) status: Option<StatusCode>,
    /// The HTTP head has to come back byte for byte.
    pub(super) same_head: bool,
}

pub(super) struct Link {
    io: TcpStream,
    connection: Connection,
    /// Sending failed, but an answer may wait to be read.
    send_error: Option<io::Error>,
}

impl Link {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let io = TcpStream::connect(address).await.map_err(Fault::Connect)?;
        io.set_nodelay(true).map_err(Fault::Connect)?;
        let connection = Connection::new(Limits::default(), Leniency::default());
        Ok(Self { io, connection, send_error: None })
    }

    /// Whether the server has left the connection open for another request.
    ///
    /// # Errors
    ///
    /// [`Fault::Unasked`]: taken for an answer, that would give the next request the verdict of another.
    pub(super) fn is_usable(&mut self) -> Result<bool, Fault> {
        if self.connection.reusable().is_err() || self.connection.output().has_remaining() {
            return Ok(false);
        }
        match self.io.try_read(&mut [0]) {
            Ok(0) => Ok(false),
            Ok(_) => Err(Fault::Unasked),
            Err(error) => Ok(error.kind() == io::ErrorKind::WouldBlock),
        }
    }

    /// Sends the request with a body from `start` of the pattern on, and checks the whole answer.
    pub(super) async fn exchange(
        &mut self,
        message: &Message,
        expected: Expected,
        start: u64,
    ) -> Result<Answer, Fault> {
        self.connection.start(&message.head)?;
        let mut sent = 0;
        let mut answer = None;
        loop {
            self.fill(message, start, &mut sent)?;
            let Some(event) = self.connection.poll_event().map_err(|error| self.explain(error))?
            else {
                poll_fn(|cx| self.poll_move(cx)).await?;
                continue;
            };
            match (event, &mut answer) {
                (Event::Response(head), none @ None) => {
                    *none = Some(check(&head, message, expected)?)
                }
                (Event::Data(data), Some(Answer { compared, .. })) => {
                    if let Some(at) = message.pattern.difference(start + *compared, &data) {
                        return Err(Fault::Body(*compared + at));
                    }
                    *compared += data.len() as u64;
                }
                (Event::End { .. }, Some(answer)) => {
                    let sent = if answer.status == StatusCode::OK { message.body } else { 0 };
                    let got = answer.compared;
                    if got != sent {
                        return Err(Fault::Length { got, sent });
                    }
                    if self.connection.reusable() == Err(CloseReason::Surplus) {
                        return Err(Fault::Unasked);
                    }
                    return Ok(*answer);
                }
                // 100 Continue: the next round sends the rest.
                _ => {}
            }
        }
    }

    /// Queues body data while there is room for it.
    fn fill(&mut self, message: &Message, start: u64, sent: &mut u64) -> Result<(), Fault> {
        let connection = &mut self.connection;
        while connection.output().remaining() < HIGH_WATER {
            let room = match connection.send_state() {
                SendState::Streaming => u64::MAX,
                SendState::Preview { remaining, .. } if *sent == message.body || remaining > 0 => {
                    remaining
                }
                SendState::Preview { .. } => return Ok(connection.end_preview()?),
                _ => return Ok(()),
            };
            if *sent == message.body {
                return Ok(connection.finish(&Headers::new())?);
            }
            let mut chunk = message.chunk(start, *sent, room);
            *sent += chunk.len() as u64;
            connection.send_data(&mut chunk)?;
        }
        Ok(())
    }

    /// Writes and reads once each; ready when something moved.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Self { io, connection, send_error } = self;
        let mut moved = false;
        if send_error.is_none() && connection.output().has_remaining() {
            match poll_write_buf(Pin::new(io), cx, connection.output()) {
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(error)) => {
                    connection.abandon();
                    *send_error = Some(error);
                }
                Poll::Pending => {}
            }
        }
        match poll_read_buf(Pin::new(io), cx, &mut connection.input()) {
            Poll::Ready(Ok(0)) => connection.input_closed(),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(send_error.take().map_or(Fault::Read(error), Fault::Send)));
            }
            Poll::Pending if moved => {}
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }

    fn explain(&mut self, error: icap_proto::Error) -> Fault {
        match (error, self.send_error.take()) {
            (icap_proto::Error::Closed(_), Some(error)) => Fault::Send(error),
            (error, _) => Fault::Protocol(error),
        }
    }
}

/// Checks the head of an answer.
fn check(head: &ResponseHead, message: &Message, expected: Expected) -> Result<Answer, Fault> {
    let status = head.status();
    let good = match expected.status {
        Some(expected) => status == expected,
        None => matches!(status, StatusCode::OK | StatusCode::NO_CONTENT),
    };
    if !good {
        return Err(Fault::Status(status));
    }
    if status == StatusCode::OK && *message.head.method() != Method::Options {
        let sent = message.head.adapted_head();
        let got = head.http_response().or_else(|| head.http_request());
        let same = match (sent, got) {
            (Some(sent), Some(got)) if expected.same_head => sent.as_bytes() == got.as_bytes(),
            (Some(sent), Some(got)) => sent.start_line() == got.start_line(),
            _ => false,
        };
        if !same {
            let got =
                got.map_or_else(|| "none".into(), |got| String::from_utf8_lossy(got.start_line()));
            return Err(Fault::Head(got.into_owned()));
        }
    }
    Ok(Answer { status, compared: 0 })
}
