//! What a verdict is.

use std::fmt;

use icap_proto::StatusCode;

/// What a server said about a message.
///
/// What to do with an [`Error`](Self::Error) or a [`Modified`](Self::Modified) is the caller's policy; neither
/// is a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The server lets the message through unchanged.
    Allow(AllowReason),
    /// The server does not let the message through.
    Block(Block),
    /// The server gave back another message of the same kind: cleaned, redacted or rewritten.
    Modified,
    /// There is no verdict.
    Error(Problem),
}

impl Verdict {
    /// `allow`, `block`, `modified` or `error`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Block(_) => "block",
            Self::Modified => "modified",
            Self::Error(_) => "error",
        }
    }

    /// Whether the message may go on as it is.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// One line, fit for a log.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(reason) => write!(f, "allow: {reason}"),
            Self::Block(block) => write!(f, "block: {block}"),
            Self::Modified => f.write_str("modified: the server changed the message"),
            Self::Error(problem) => write!(f, "error: {problem}"),
        }
    }
}

/// How a server said that it lets a message through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowReason {
    /// ICAP 204: no modification needed.
    NoContent,
    /// The same message came back.
    Unchanged,
}

impl fmt::Display for AllowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContent => "no modification needed (204)",
            Self::Unchanged => "the message came back unchanged",
        })
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// What told it.
    pub reason: BlockReason,
    /// The name of the threat or rule, printable and at most 200 characters long, where the server gave one.
    pub threat: Option<String>,
    /// The HTTP status of the block page, where there is one.
    pub page_status: Option<u16>,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.threat {
            Some(threat) => write!(f, "{threat} ({})", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}

/// What told a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockReason {
    /// A field of the answer, by its name.
    Header(&'static str),
    /// A request was answered with a response in place of the origin's.
    RequestAnswered,
    /// A response came back with this refusing or redirecting HTTP status.
    HttpStatus(u16),
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => f.write_str(name),
            Self::RequestAnswered => f.write_str("the request was answered with a block page"),
            Self::HttpStatus(status) => write!(f, "HTTP {status} in place of the response"),
        }
    }
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of trouble it is.
    pub kind: ProblemKind,
    /// What was seen, for people.
    pub detail: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What an ICAP status means that brings neither a message nor a 204.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let kind = match status.as_u16() {
            401 | 403 | 407 => ProblemKind::Forbidden,
            404 => ProblemKind::ServiceNotFound,
            405 | 501 => ProblemKind::MethodNotAllowed,
            408 => ProblemKind::Timeout,
            413 => ProblemKind::TooLarge,
            503 => ProblemKind::Overload,
            500..=599 => ProblemKind::ServerError,
            _ => ProblemKind::Protocol,
        };
        let reason = status.canonical_reason();
        Self::new(kind, format!("ICAP status {status} {reason}").trim_end())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The kind of a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The server could not be reached or the connection broke.
    Connection,
    /// A deadline passed.
    Timeout,
    /// The answer breaks the protocol or has no meaning that is known.
    Protocol,
    /// The server refuses this client (401, 403, 407).
    Forbidden,
    /// No such service (404).
    ServiceNotFound,
    /// The service lacks the method (405, 501).
    MethodNotAllowed,
    /// The server is over its capacity (503).
    Overload,
    /// The server found the message too large (413).
    TooLarge,
    /// Another failure of the server, or a failure that it reported inside a 200.
    ServerError,
    /// The message could not be read on our side.
    Source,
}
