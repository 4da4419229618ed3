//! What comes of a scan.

use std::time::Duration;

use icap_client::Error;
use icap_proto::{ServiceUri, StatusCode};
use icap_verdict::{Decision, Problem, ProblemKind, Verdict};

/// What came of scanning one file.
///
/// As a serde value (feature `serde`) it is flat: what its verdict has, with `decision`, `status`, `bytes`,
/// `milliseconds` and `server` beside it.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// What the server said. [`Verdict::Error`] when it could not be asked.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub verdict: Verdict,
    /// What becomes of the file by the policy of the scanner.
    pub decision: Decision,
    /// The ICAP status, when there was an answer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_number"))]
    pub status: Option<StatusCode>,
    /// How much of the file was read. Less than all of it when the preview, or the beginning, was enough for the
    /// server.
    pub bytes: u64,
    /// From opening the connection, or waiting for a free one, to the end of the answer.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "milliseconds", serialize_with = "as_milliseconds")
    )]
    pub elapsed: Duration,
    /// The service that was asked; the last one, where several were.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    pub server: Option<ServiceUri>,
}

/// Why there is no answer to be judged.
pub(super) fn problem(error: &Error) -> Problem {
    let kind = match error {
        _ if error.is_timeout() => ProblemKind::Timeout,
        Error::MethodNotAllowed(_) => ProblemKind::MethodNotAllowed,
        Error::Protocol(_) | Error::MissingHead | Error::BeyondOriginal { .. } => {
            ProblemKind::Protocol
        }
        _ => ProblemKind::Connection,
    };
    Problem::new(kind, error.to_string())
}

#[cfg(feature = "serde")]
fn as_number<S: serde::Serializer>(status: &Option<StatusCode>, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&status.map(|status| status.as_u16()), to)
}

#[cfg(feature = "serde")]
fn as_milliseconds<S: serde::Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((elapsed.as_secs_f64() * 1e6).round() / 1e3)
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(uri: &Option<ServiceUri>, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&uri.as_ref().map(ToString::to_string), to)
}
