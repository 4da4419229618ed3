//! Whether the message that came back is the one that was sent.

use crate::answer::{Answer, Body, Inner};
use crate::fields::Fields;

/// How the message that came back differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It is the same.
    None,
    /// In fields of its head only.
    Fields,
    /// In its body, its address or its status.
    Message,
}

/// Compares start line, fields and body. Of a response the status counts: servers write their own version and
/// phrase.
pub(crate) fn compare(answer: &Answer<'_>, came: &Inner<'_>) -> Difference {
    let sent = Inner {
        start_line: answer.sent.start_line(),
        fields: Fields::Parsed(answer.sent.headers()),
    };
    let same_line = if came.is_request() {
        sent.is_request() && came.part(0) == sent.part(0) && came.part(1) == sent.part(1)
    } else {
        came.status().is_some() && came.status() == sent.status()
    };
    if !same_line || answer.body != Body::Same {
        Difference::Message
    } else if same_fields(came.fields, sent.fields) {
        Difference::None
    } else {
        Difference::Fields
    }
}

/// Whether every field that came back was sent. Servers drop fields and add their mark; neither changes what the
/// message means.
fn same_fields(came: Fields<'_>, sent: Fields<'_>) -> bool {
    const MARKS: [&str; 7] = [
        "Via",
        "Date",
        "Connection",
        "Transfer-Encoding",
        "Content-Length",
        "Cache-Control",
        "Keep-Alive",
    ];
    came.iter().all(|(name, value)| {
        MARKS.iter().any(|mark| name.eq_ignore_ascii_case(mark))
            || name.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-"))
            || sent.all(name).any(|own| own == value)
    })
}
