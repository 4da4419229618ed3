//! The `Allow` list: which extensions of the answer a peer takes.

use crate::Limits;
use crate::error::ParseErrorKind;
use crate::wire::class;

/// The members of `Allow` (RFC 3507 section 4.6 and the drafts on partial content and trailers).
///
/// Repeated fields merge, unknown members are ignored, members are compared whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allow {
    /// `204`: No Content also outside a preview.
    pub no_content: bool,
    /// `206`: Partial Content (draft-icap-ext-partial-content).
    pub partial_content: bool,
    /// `trailers`: ICAP trailers behind the body (draft-rousskov-icap-trailers).
    pub trailers: bool,
}

impl Allow {
    /// Adds the members of one field value.
    pub(crate) fn add(&mut self, value: &[u8], limits: &Limits) -> Result<(), ParseErrorKind> {
        let mut empty = 0usize;
        for member in class::list(value) {
            match member {
                b"204" => self.no_content = true,
                b"206" => self.partial_content = true,
                b"" => empty = empty.saturating_add(1),
                other if other.eq_ignore_ascii_case(b"trailers") => self.trailers = true,
                _ => {}
            }
        }
        if empty > limits.empty_list_members { Err(ParseErrorKind::List) } else { Ok(()) }
    }

    /// The members in use, in the order of the wire.
    pub(crate) fn members(self) -> impl Iterator<Item = &'static str> {
        [
            self.no_content.then_some("204"),
            self.partial_content.then_some("206"),
            self.trailers.then_some("trailers"),
        ]
        .into_iter()
        .flatten()
    }
}
