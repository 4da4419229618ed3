//! Why there is no verdict.

use std::fmt;

use icap_proto::StatusCode;

use crate::text::printable;
use crate::verdict::{BlockPage, Details, ServerAction};

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Problem {
    /// What kind of trouble it is.
    pub kind: ProblemKind,
    /// What was seen, for people.
    pub detail: String,
    /// The code that the server gives it, other than its ICAP status.
    pub code: Option<String>,
    /// What the server did with the message all the same.
    pub server_action: ServerAction,
    /// Whether asking again later, or another server, may give a verdict.
    pub retryable: bool,
    /// What the server put in place of the message.
    pub page: Option<BlockPage>,
    /// What goes with every verdict.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub details: Details,
}

impl Problem {
    /// A problem without an answer, such as a connection that was refused.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            code: None,
            server_action: ServerAction::None,
            retryable: kind.is_retryable(),
            page: None,
            details: Details::default(),
        }
    }

    /// What an ICAP status means that brings neither a message nor a 204.
    pub(crate) fn from_status(kind: ProblemKind, status: StatusCode, reason: &[u8]) -> Self {
        let said = printable(reason);
        let reason = if said.is_empty() { status.canonical_reason() } else { &said };
        Self::new(kind, format!("ICAP status {status} {reason}").trim_end())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.kind)?;
        match self.server_action {
            ServerAction::None => Ok(()),
            action => write!(f, ", the server said {}", action.as_str()),
        }
    }
}

/// Declares the kinds with their names.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kind of a [`Problem`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
        #[non_exhaustive]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// The name, as in the serde form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// The server could not be reached or the connection broke.
    Connection = "connection",
    /// A deadline passed, here or at the server (408).
    Timeout = "timeout",
    /// The answer breaks the protocol or has no meaning that is known.
    Protocol = "protocol",
    /// The server does not take the request as it is (400, 418).
    BadRequest = "bad_request",
    /// The server wants credentials (401, 407).
    Auth = "auth",
    /// The server refuses this client (403).
    Forbidden = "forbidden",
    /// No such service (404).
    ServiceNotFound = "service_not_found",
    /// The service lacks the method (405, 501).
    MethodNotAllowed = "method_not_allowed",
    /// The server is over its capacity (503, 506, 551).
    Overload = "overload",
    /// The server has no licence to scan (539, 558).
    License = "license",
    /// The server looked at the message and cannot judge it: encrypted, malformed, too deep.
    Unscannable = "unscannable",
    /// The message is larger than the server scans (413).
    TooLarge = "too_large",
    /// The verdict comes later (202).
    Pending = "pending",
    /// Scanning failed (533).
    ScanFailed = "scan_failed",
    /// Another failure of the server.
    ServerError = "server_error",
    /// The message could not be read on our side.
    Source = "source",
}

impl ProblemKind {
    /// Whether asking again later, or another server, may give a verdict.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        use ProblemKind::{Connection, Overload, Pending, ServerError, Timeout};
        matches!(self, Connection | Timeout | Overload | Pending | ServerError)
    }

    /// What an ICAP status means that brings neither a message nor a 204. Those beyond RFC 3507 are of Symantec
    /// engines; they put words for a missing licence behind several of them.
    pub(crate) fn of_status(status: StatusCode, reason: &[u8]) -> Self {
        let reason = printable(reason).to_ascii_lowercase();
        let code = status.as_u16();
        match code {
            202 => Self::Pending,
            401 | 407 | 511 => Self::Auth,
            402 | 539 => Self::License,
            403 => Self::Forbidden,
            404 => Self::ServiceNotFound,
            405 | 501 => Self::MethodNotAllowed,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            _ if status.is_error() && speaks_of_licence(&reason) => Self::License,
            429 | 503 | 506 | 551 => Self::Overload,
            422 => Self::Unscannable,
            400..=499 => Self::BadRequest,
            505 => Self::Protocol,
            533 | 558 => Self::ScanFailed,
            500..=599 => Self::ServerError,
            _ => Self::Protocol,
        }
    }
}

/// Whether a text in lower case is about a licence.
pub(crate) fn speaks_of_licence(text: &str) -> bool {
    text.contains("license") || text.contains("licence")
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
