//! What a service makes of a message.

use icap_proto::ResponseHead;

use crate::adapted::Adapted;
use crate::original::{Original, Replay};

/// The answer of a service (RFC 3507 sections 3.1 and 3.2).
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "the message is lost unless the outcome is followed"]
pub enum Outcome<B> {
    /// Send the message on as it was (204).
    Unmodified(Original<B>),
    /// The same for a message that the [caller keeps](crate::Reqmod::kept_by_caller): the head of the 204.
    NoContent(Box<ResponseHead>),
    /// Send this in place of the message: a request in REQMOD, a response in RESPMOD.
    Modified(Adapted<B>),
    /// Answer the user with this response; the request goes nowhere. REQMOD only.
    Answered(Adapted<B>),
    /// The service does not want to see files of this extension (`Transfer-Ignore`, RFC 3507 section 4.10.2): the
    /// message was not sent, and nobody has looked at it. An extension is what somebody wrote behind a dot; who
    /// wants every message inspected switches [this](crate::ClientBuilder::transfer_ignore) off.
    Ignored(Replay<B>),
    /// Send the message on as it was, although the call failed: only ever made by
    /// [`Failure::bypass`](crate::Failure::bypass).
    Bypassed(Replay<B>),
}
