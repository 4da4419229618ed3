//! Which deviations of real products are taken, each by name.

/// Deviations from the grammar that are accepted, one switch for each.
///
/// [`Leniency::default`] is what real peers need; [`Leniency::strict`] takes none. A switch may widen what a
/// value looks like, never where a line, a chunk, a section or a message ends: bare LF, signs in numbers, a
/// second `Encapsulated`, offsets that disagree with the empty line, blanks before a colon are refused always.
///
/// ```
/// let mut leniency = icap_proto::Leniency::strict();
/// leniency.missing_host = true;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leniency {
    /// Several spaces between the parts of a start line (c-icap skips them).
    pub spaces_in_start_line: bool,
    /// A status line that ends after the code, without the space and reason phrase.
    pub missing_reason: bool,
    /// `Req-Hdr` for `req-hdr` in `Encapsulated`.
    pub entity_case: bool,
    /// An OPTIONS answer without `Encapsulated`, read as `null-body=0` (pyicap, nodecap2).
    pub options_without_encapsulated: bool,
    /// A success answer without `ISTag` (c-icap services without a tag of their own).
    pub missing_istag: bool,
    /// An `ISTag` without quotes, or of 33 to 256 octets (nodecap2, squidclamav).
    pub loose_istag: bool,
    /// A request without `Host`; the URI names the authority.
    pub missing_host: bool,
    /// `Transfer-Encoding` or `Content-Length` in an ICAP head, ignored. They never frame an ICAP message.
    pub http_framing_fields: bool,
    /// Folded field values outside the framing fields (`X-Violations-Found` is specified that way).
    pub folded_values: bool,
    /// One empty line before a request (g3).
    pub leading_empty_line: bool,
    /// `Trailer` without `Allow: trailers`: no trailer is read, and the connection is closed after the message.
    pub unannounced_trailer: bool,
    /// One 100 Continue at a time that calls for none; it has no body, so nothing can get out of step (EID 5893).
    pub untimely_continue: bool,
    /// 201 read as 200 (Symantec Scan Engine).
    pub created_as_ok: bool,
    /// `ieof` on the last chunk of a body that is no preview, `use-original-body` on one that is no 206: ignored.
    pub stray_ieof: bool,
    /// `ieof=value` at the end of a preview, read as `ieof` (c-icap looks no further than the name).
    pub ieof_with_value: bool,
    /// A 204 that nobody allowed, when the request had no body and so is still whole in the caller's hand.
    pub unsolicited_no_content: bool,
}

impl Leniency {
    /// Takes nothing that the RFC and its errata do not allow.
    #[must_use]
    pub const fn strict() -> Self {
        Self::all(false)
    }

    const fn all(on: bool) -> Self {
        Self {
            spaces_in_start_line: on,
            missing_reason: on,
            entity_case: on,
            options_without_encapsulated: on,
            missing_istag: on,
            loose_istag: on,
            missing_host: on,
            http_framing_fields: on,
            folded_values: on,
            leading_empty_line: on,
            unannounced_trailer: on,
            untimely_continue: on,
            created_as_ok: on,
            stray_ieof: on,
            ieof_with_value: on,
            unsolicited_no_content: on,
        }
    }
}

impl Default for Leniency {
    fn default() -> Self {
        Self::all(true)
    }
}
