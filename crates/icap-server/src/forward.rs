//! Answers of another server, handed out as they are.

use icap_proto::{Headers, ResponseHead};

use crate::ReplyBody;

/// What stands behind the body of an answer that is [passed on](crate::Reply::forwarded).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Ending {
    /// The fields of the ICAP trailer that the head promises (draft-rousskov-icap-trailers).
    pub icap_trailer: Headers,
    /// Behind a 206 the original goes on from this byte (draft-icap-ext-partial-content section 5.2).
    pub original_from: Option<u64>,
}

/// An answer of another server.
pub(crate) struct Forwarded {
    pub(crate) head: ResponseHead,
    pub(crate) body: ReplyBody,
    pub(crate) ending: EndingSource,
}

pub(crate) type EndingSource = Box<dyn FnOnce() -> Ending + Send>;

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarded")
            .field("head", &self.head)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
