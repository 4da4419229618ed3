//! What a failed call says about the member, and whether another one is asked.

use icap_proto::{ServiceUri, StatusCode};

use crate::call::names_service;
use crate::error::Error;
use crate::timeouts::Stage;

/// Whose fault a call is that came to no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody's: the service answered, and another one would say the same.
    Answered,
    /// The member's; another one may do better.
    Failed,
    /// Not the member's, but another one may do better.
    Busy,
    /// The caller's: it says nothing about the member, and no other helps.
    Ours,
}

impl Verdict {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Connect(_) | Error::Tls(_) | Error::ClientClosed => Self::Failed,
            Error::MethodNotAllowed(_) => Self::Failed,
            Error::Write(_) | Error::Read(_) | Error::Closed(_) => Self::Failed,
            Error::Protocol(icap_proto::Error::Misuse(_)) => Self::Ours,
            Error::Protocol(_) | Error::MissingHead => Self::Failed,
            // Our own limit, and a time that runs while the caller's body gives nothing.
            Error::Timeout(Stage::Wait | Stage::Total) => Self::Busy,
            Error::Timeout(_) => Self::Failed,
            Error::Status(response) => Self::of_status(response.status()),
            // Of a body, when the message has been let go.
            Error::Length(_) | Error::BeyondOriginal { .. } => Self::Answered,
            Error::Invalid(_) | Error::Source(_) => Self::Ours,
        }
    }

    /// The same for OPTIONS, which some servers do not have. A URI without a path is that of a server, which need not
    /// have a service there.
    pub(super) fn of_probe(error: &Error, uri: &ServiceUri) -> Self {
        match error.response().map(|response| response.status()) {
            Some(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) => Self::Answered,
            Some(StatusCode::NOT_FOUND) if !names_service(uri) => Self::Answered,
            _ => Self::of(error),
        }
    }

    /// The same for a request that was sent on: which service is asked for is not the member's choice.
    pub(super) fn of_forwarded(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => Self::Answered,
            status => Self::of_status(status),
        }
    }

    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT => Self::Failed,
            // Beyond those of the RFC too: 506, 539 and 551 of Symantec's scanners are states of the server.
            status if (500..600).contains(&status.as_u16()) => Self::Failed,
            _ => Self::Answered,
        }
    }

    /// Whether the message goes to another member, if it is whole.
    pub(super) const fn fails_over(self) -> bool {
        matches!(self, Self::Failed | Self::Busy)
    }
}
