//! What a request says that the client takes.

use bytes::Bytes;
use http_body::Body;
use icap_proto::{RequestBuilder, ServiceOptions};

use crate::client::Settings;
use crate::source::Source;

/// Announces a message: whether it has a body, how much of that goes as preview, and which answers can be followed.
///
/// `known` is what the service said of itself.
pub(crate) fn offer<B: Body<Data = Bytes> + Unpin>(
    settings: &Settings,
    known: Option<&ServiceOptions>,
    mut request: RequestBuilder,
    source: &Source<B>,
    kept_by_caller: bool,
) -> RequestBuilder {
    let mut preview = None;
    let mut replayable = true;
    if !source.is_at_end() {
        let size = source.size_hint().exact();
        preview = settings.preview.map(|preview| size.map_or(preview, |size| size.min(preview)));
        replayable = size.is_some_and(|size| size <= settings.replay_bytes());
        request = request.body(true);
    }
    if let Some(preview) = preview {
        request = request.preview(preview);
    }
    if replayable || kept_by_caller {
        request = request.allow_no_content();
    }
    // Together with 204 it may come at any time, alone only in the preview, of which everything is kept
    // (draft-icap-ext-partial-content section 5.1).
    let followable = replayable || (preview.is_some() && !kept_by_caller);
    if followable && takes_partial_content(settings, known) {
        request = request.allow_partial_content();
    }
    if settings.icap_trailers { request.allow_trailers() } else { request }
}

/// Asks in OPTIONS for the extensions that would be used (draft-icap-ext-partial-content section 4.1,
/// draft-rousskov-icap-trailers section 8).
pub(crate) fn ask(settings: &Settings, mut request: RequestBuilder) -> RequestBuilder {
    if settings.partial_content != Some(false) {
        request = request.allow_partial_content();
    }
    if settings.icap_trailers { request.allow_trailers() } else { request }
}

/// Whether a 206 may be offered: the service has to be known to send it
/// (draft-icap-ext-partial-content section 4.2), from its caller or from its OPTIONS.
fn takes_partial_content(settings: &Settings, known: Option<&ServiceOptions>) -> bool {
    let offers = known.is_some_and(|options| options.allow().partial_content);
    settings.partial_content.unwrap_or(offers)
}
