//! What a request says that the client takes.

use bytes::Bytes;
use http_body::Body;
use icap_proto::{RequestBuilder, ServiceOptions, Transfer, TransferRules};

use crate::client::Settings;
use crate::message::Message;
use crate::source::Source;

/// The preview for a service that was not asked what it wants.
const UNASKED: u64 = 1024;
/// The most that a service gets as preview without a word of the caller. It is kept until the server has answered.
const MOST: u64 = 64 * 1024;

/// What the caller set for the preview.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PreviewSize {
    Unset,
    AtMost(u64),
    Never,
}

impl PreviewSize {
    /// Bytes of a body that go as preview, none for no preview.
    pub(crate) fn bytes(
        self,
        known: Option<&ServiceOptions>,
        transfer: Transfer,
        asks: bool,
    ) -> Option<u64> {
        let wanted = |known: &ServiceOptions| {
            known.preview_bytes().filter(|_| transfer == Transfer::Preview)
        };
        match (self, known) {
            (Self::Never, _) => None,
            (Self::Unset, Some(known)) => wanted(known).map(|bytes| bytes.min(MOST)),
            (Self::Unset, None) => (!asks).then_some(UNASKED),
            (Self::AtMost(most), Some(known)) => wanted(known).map(|bytes| bytes.min(most)),
            (Self::AtMost(most), None) => Some(most),
        }
    }
}

/// How this message is to be sent. One of an unknown URL has no extension that could be ignored.
pub(crate) fn transfer(known: Option<&ServiceOptions>, message: &Message) -> Transfer {
    let Some(known) = known else { return Transfer::Complete };
    let nameless = known.transfer_for("");
    if nameless != Transfer::Ignore && known.transfer_rules().is_none_or(is_same_for_all) {
        return nameless;
    }
    let url = message.url();
    let transfer = known.transfer_for(url.unwrap_or(""));
    if url.is_none() && transfer == Transfer::Ignore { Transfer::Complete } else { transfer }
}

/// Whether the rules tell no extensions apart.
fn is_same_for_all(rules: &TransferRules) -> bool {
    let ways = [Transfer::Ignore, Transfer::Preview, Transfer::Complete];
    ways.into_iter().all(|way| rules.extensions(way).next().is_none())
}

/// What goes for one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Bytes of the body that go as preview, none for no preview.
    pub(crate) preview: Option<u64>,
    /// Bytes of the body that may be kept behind the preview: what was in the preview may stay.
    pub(crate) replay_bytes: u64,
    pub(crate) kept_by_caller: bool,
}

/// Announces a message: whether it has a body, how much of that goes as preview, and which answers can be followed.
///
/// `known` is what the service said of itself.
pub(crate) fn offer<B: Body<Data = Bytes> + Unpin>(
    settings: &Settings,
    known: Option<&ServiceOptions>,
    terms: Terms,
    mut request: RequestBuilder,
    source: &Source<B>,
) -> RequestBuilder {
    let Terms { preview: most, replay_bytes, kept_by_caller } = terms;
    let mut preview = None;
    let mut replayable = true;
    if !source.is_at_end() {
        let size = source.size_hint().exact();
        preview = most.map(|most| size.map_or(most, |size| size.min(most)));
        replayable = size.is_some_and(|size| size <= replay_bytes);
        request = request.body(true);
    }
    if let Some(preview) = preview {
        request = request.preview(preview);
    }
    // One that does not say may take it.
    let takes = known.is_none_or(|known| known.allow().no_content);
    if (replayable || kept_by_caller) && takes {
        request = request.allow_no_content();
    }
    // Together with 204 it may come at any time, alone only in the preview, of which everything is kept
    // (draft-icap-ext-partial-content section 5.1).
    let followable = (replayable && takes) || (preview.is_some() && !kept_by_caller);
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
