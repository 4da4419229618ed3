//! What can go wrong, sorted by the leg of the way on which it went wrong.

use std::convert::Infallible;
use std::io;

use icap_proto::{
    InvalidHeader, LengthMismatch, Method, Misuse, ParseError, ResponseHead, StatusCode, Truncated,
};

use crate::original::Replay;
use crate::outcome::Outcome;
use crate::timeouts::Stage;

/// An error of any type, as bodies give them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call, or the body of its answer, failed.
///
/// The text of an error includes its cause, so [`source`](std::error::Error::source) gives none. It never holds
/// bytes of a message; the error of the caller's own body is shown as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for something that cannot be sent. Nothing was.
    #[error("{0}")]
    Invalid(Invalid),
    /// The service does not list this method in its `Methods` (RFC 3507 section 4.10.2). Nothing was sent.
    #[error("the service does not take {0}")]
    MethodNotAllowed(Method),
    /// The host has no address, or none of its addresses takes a connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The TLS handshake failed: the server's certificate does not fit, or it refused ours.
    #[error("cannot connect by TLS: {0}")]
    Tls(io::Error),
    /// The client was [closed](crate::Client::close).
    #[error("the client is closed")]
    ClientClosed,
    /// Sending failed, and no answer was there to be read.
    #[error("cannot send to the server: {0}")]
    Write(io::Error),
    /// Receiving failed.
    #[error("cannot receive from the server: {0}")]
    Read(io::Error),
    /// The server closed the connection before the end of its answer (RFC 3507 section 6.2, codes 1001 and 1005).
    #[error("the server closed the connection {0}")]
    Closed(Truncated),
    /// The server broke the protocol: the rule, and where in the answer.
    #[error("invalid answer: {0}")]
    Protocol(icap_proto::Error),
    /// The server sent a body without the HTTP head that belongs in front of it.
    #[error("invalid answer: a body without an HTTP head")]
    MissingHead,
    /// The service sent another length than it announced: the [`Content-Length`](icap_proto::HttpHead) of the
    /// adapted head against the bytes that came, for a 206 those of the original behind them included. Passed on,
    /// such a message would cut the next one short or be cut itself.
    #[error("invalid answer: {0}")]
    Length(LengthMismatch),
    /// A 206 goes on at a byte that the original does not have
    /// (draft-icap-ext-partial-content section 5.2).
    #[error("invalid answer: use-original-body={offset} of a body of {length} bytes")]
    #[non_exhaustive]
    BeyondOriginal {
        /// Where the original was to go on.
        offset: u64,
        /// The bytes that it has.
        length: u64,
    },
    /// A time limit of [`Timeouts`](crate::Timeouts) was reached, and where.
    #[error("timeout {0}")]
    Timeout(Stage),
    /// The server answered with a status that carries no adaptation: 4xx, 5xx, or one that ICAP does not know.
    #[error("the server answered {}", Answered(.0))]
    Status(Box<ResponseHead>),
    /// The caller's body failed.
    #[error("the body to send failed: {0}")]
    Source(BoxError),
}

impl Error {
    /// Whether the same call may succeed a second time, here or on another server: the network failed, something
    /// took too long, or the server said that it is busy (408, 502, 503).
    ///
    /// Whether the message is still there to be sent is for [`Failure::original`] to say.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Write(_) | Self::Read(_) | Self::Closed(_) => true,
            Self::Timeout(_) => true,
            // What rustls has to say is invalid data; all else is the network.
            Self::Tls(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Status(response) => matches!(
                response.status(),
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
            ),
            Self::ClientClosed | Self::MethodNotAllowed(_) => false,
            Self::Invalid(_) | Self::Protocol(_) | Self::MissingHead | Self::Source(_) => false,
            Self::Length(_) | Self::BeyondOriginal { .. } => false,
        }
    }

    /// Whether a time limit was reached.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// The head of the answer, when the server answered with a status that is an error.
    #[must_use]
    pub fn response(&self) -> Option<&ResponseHead> {
        match self {
            Self::Status(response) => Some(response),
            _ => None,
        }
    }
}

/// What was wrong with a setting or a message of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The service URI does not parse.
    #[error("{0}")]
    Uri(ParseError),
    /// An `icaps` URI, and the client was built without the feature `tls`.
    #[error("icaps needs the feature `tls` of icap-client")]
    Tls,
    /// A group without members.
    #[error("a group of services without members")]
    NoMembers,
    /// A setting of TLS.
    #[error("{0}")]
    TlsSettings(InvalidTls),
    /// A field that cannot stand in an ICAP head, or a trailer that cannot be sent.
    #[error("cannot send a field: {0}")]
    Header(InvalidHeader),
    /// An HTTP request head where a response head belongs, or the other way round.
    #[error("{0}")]
    Parts(Misuse),
}

/// What was wrong with the settings of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTls {
    /// There are settings of TLS for an `icap` URI, which has none.
    #[error("TLS is set up for an icap URI; icaps is the one with TLS")]
    PlainUri,
    /// A configuration of rustls that is whole, and settings that it would not heed. Or a pinned certificate,
    /// which needs no roots, and roots.
    #[error("settings of TLS that exclude each other")]
    Conflict,
    /// No cryptography: neither a feature of the crate, nor one set, nor one of the process; or it lacks what TLS
    /// needs.
    #[error("no cryptography for TLS")]
    CryptoProvider,
    /// The system has no root certificates.
    #[error("no root certificates found on this system")]
    NoRoots,
    /// No PEM, no certificate in it, or one that cannot be used.
    #[error("malformed certificates")]
    Certificates,
    /// No PEM, no private key in it, or one that does not fit to its certificate.
    #[error("malformed private key, or not that of the certificate")]
    Key,
    /// Not the SHA-256 of anything.
    #[error("malformed fingerprint")]
    Fingerprint,
    /// Neither a DNS name nor an IP address.
    #[error("malformed server name")]
    ServerName,
}

/// For texts that become a [`ServiceUri`](icap_proto::ServiceUri).
impl From<ParseError> for Invalid {
    fn from(error: ParseError) -> Self {
        Self::Uri(error)
    }
}

/// For what is a [`ServiceUri`](icap_proto::ServiceUri) already.
impl From<Infallible> for Invalid {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A failed call: the error and, where it can still be sent on, the message.
///
/// The message is there as long as nothing of it was let go: always when connecting failed, in a preview, and
/// beyond that as far as [`replay_limit`](crate::ClientBuilder::replay_limit) reaches. Letting it pass or not is
/// the caller's decision, see [`bypass`](Self::bypass).
pub struct Failure<B> {
    error: Error,
    /// In a box because results are moved around and failures are rare.
    original: Option<Box<Replay<B>>>,
}

impl<B> Failure<B> {
    pub(crate) fn new(error: Error, original: Option<Replay<B>>) -> Self {
        Self { error, original: original.map(Box::new) }
    }

    /// What went wrong.
    #[must_use]
    pub const fn error(&self) -> &Error {
        &self.error
    }

    /// The message as it was given to the call, unless a part of it is gone.
    #[must_use]
    pub fn original(&self) -> Option<&Replay<B>> {
        self.original.as_deref()
    }

    /// Whether it makes sense to make the call again: the error [may pass](Error::is_retryable), and the message is
    /// still there.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.original.is_some() && self.error.is_retryable()
    }

    /// Lets the message pass as if the service had no objection: fail-open, in one line. A call without this line
    /// fails closed.
    ///
    /// ```no_run
    /// # async fn run(client: icap_client::Client, message: icap_client::Reqmod<String>) {
    /// use icap_client::{Failure, Outcome};
    ///
    /// match client.reqmod(message).await.or_else(Failure::bypass) {
    ///     Ok(Outcome::Bypassed(original)) => println!("sent on unseen: {:?}", original.head()),
    ///     Ok(outcome) => println!("{outcome:?}"),
    ///     Err(failure) => println!("{failure}, and a part of the message is gone"),
    /// }
    /// # }
    /// ```
    ///
    /// Some failures and not others, here those of which a second try may be free:
    ///
    /// ```
    /// use icap_client::{Failure, Outcome};
    ///
    /// fn open<B>(failure: Failure<B>) -> Result<Outcome<B>, Failure<B>> {
    ///     if failure.is_retryable() { failure.bypass() } else { Err(failure) }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The failure itself, when the message is not whole.
    pub fn bypass(self) -> Result<Outcome<B>, Self> {
        match self.original {
            Some(original) => Ok(Outcome::Bypassed(*original)),
            None => Err(self),
        }
    }

    /// The error and the message.
    #[must_use]
    pub fn into_parts(self) -> (Error, Option<Replay<B>>) {
        (self.error, self.original.map(|original| *original))
    }
}

impl<B> From<Failure<B>> for Error {
    fn from(failure: Failure<B>) -> Self {
        failure.error
    }
}

impl<B> std::fmt::Debug for Failure<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failure")
            .field("error", &self.error)
            .field("original", &self.original.is_some())
            .finish()
    }
}

impl<B> std::fmt::Display for Failure<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for Failure<B> {}

/// Shows a status with its reason phrase. What the server wrote may hold terminal controls, so bytes beyond
/// visible ASCII are escaped.
struct Answered<'a>(&'a ResponseHead);

impl std::fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.status().fmt(f)?;
        if self.0.reason().is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.0.reason().escape_ascii())
    }
}
