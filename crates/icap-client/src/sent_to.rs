//! Where a message went.

use std::sync::{Arc, Mutex, PoisonError};

use icap_proto::ServiceUri;

/// Which service a message went to: of several that a [group](crate::ServiceGroup) tried, the last. Clones share it.
///
/// ```no_run
/// # async fn run(group: icap_client::ServiceGroup, message: icap_client::Reqmod<String>) {
/// use icap_client::SentTo;
///
/// let note = SentTo::new();
/// let outcome = group.reqmod(message.sent_to(&note)).await;
/// println!("{:?}: {outcome:?}", note.uri());
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct SentTo(Arc<Mutex<Option<ServiceUri>>>);

impl SentTo {
    /// Nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The service; `None` before the call.
    #[must_use]
    pub fn uri(&self) -> Option<ServiceUri> {
        // Held for one assignment only, which cannot panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, uri: &ServiceUri) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(uri.clone());
    }
}
