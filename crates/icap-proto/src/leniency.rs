//! Which deviations of real products are taken, each by name.

/// Declares the switches, each with its place in [`Leniency::default`].
macro_rules! leniency {
    (
        default { $($(#[$on_doc:meta])* $on:ident,)* }
        opt_in { $($(#[$off_doc:meta])* $off:ident,)* }
    ) => {
        /// Deviations from the grammar that are accepted, one switch for each.
        ///
        /// [`Leniency::default`] is what real peers need; [`Leniency::strict`] takes none. A switch that is on by
        /// default may widen what a value looks like, never where a line, a chunk, a section or a message ends:
        /// signs in numbers, a second `Encapsulated`, blanks before a colon, bare LF in chunk lines are refused
        /// always. The switches that move such an end are marked *opt-in*; they are off in both, and each is for
        /// one product that leaves no other way.
        ///
        /// Which of them a peer needs, its connection tells:
        /// [`server::Connection::take_used_leniency`](crate::server::Connection::take_used_leniency),
        /// [`client::Connection::take_used_leniency`](crate::client::Connection::take_used_leniency).
        ///
        /// ```
        /// let mut leniency = icap_proto::Leniency::strict();
        /// leniency.missing_host = true;
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Leniency {
            $($(#[$on_doc])* pub $on: bool,)*
            $($(#[$off_doc])* pub $off: bool,)*
        }

        impl Leniency {
            /// Takes nothing that the RFC and its errata do not allow.
            #[must_use]
            pub const fn strict() -> Self {
                Self { $($on: false,)* $($off: false,)* }
            }

            /// The switches that are on in either.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self { $($on: self.$on || other.$on,)* $($off: self.$off || other.$off,)* }
            }

            /// The names of the switches that are on, for logs and counters.
            pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
                let switches = [
                    $((stringify!($on), self.$on),)*
                    $((stringify!($off), self.$off),)*
                ];
                switches.into_iter().filter_map(|(name, on)| on.then_some(name))
            }
        }

        impl Default for Leniency {
            fn default() -> Self {
                Self { $($on: true,)* $($off: false,)* }
            }
        }
    };
}

leniency! {
    default {
        /// Several spaces between the parts of a start line (c-icap skips them).
        spaces_in_start_line,
        /// A status line that ends after the code, without the space and reason phrase.
        missing_reason,
        /// `Req-Hdr` for `req-hdr` in `Encapsulated`.
        entity_case,
        /// An OPTIONS answer without `Encapsulated`, read as `null-body=0` (pyicap, nodecap2).
        options_without_encapsulated,
        /// A success answer without `ISTag` (c-icap services without a tag of their own).
        missing_istag,
        /// An `ISTag` without quotes, or of 33 to 256 octets (nodecap2, squidclamav).
        loose_istag,
        /// A request without `Host`; the URI names the authority.
        missing_host,
        /// A `Host` that is no host name or address with an optional port; the URI names the authority (c-icap does
        /// not look at it).
        malformed_host,
        /// `Host` or `ISTag` again with the value of the first. Another value is refused always.
        repeated_fields,
        /// `Transfer-Encoding` or `Content-Length` in an ICAP head, ignored. They never frame an ICAP message.
        http_framing_fields,
        /// Folded field values outside the framing fields. Names that begin with `X-` may be folded under
        /// [`strict`](Self::strict) too: `X-Violations-Found` is specified that way.
        folded_values,
        /// One empty line before a request (g3).
        leading_empty_line,
        /// `Trailer` without `Allow: trailers`: no trailer is read, and the connection is closed after the message.
        unannounced_trailer,
        /// One 100 Continue at a time that calls for none; it has no body, so nothing can get out of step
        /// (EID 5893).
        untimely_continue,
        /// 201 read as 200 (Symantec Scan Engine).
        created_as_ok,
        /// `ieof` on the last chunk of a body that is no preview, `use-original-body` on one that is no 206:
        /// ignored.
        stray_ieof,
        /// `ieof=value` at the end of a preview, read as `ieof` (c-icap looks no further than the name).
        ieof_with_value,
        /// A 204 that nobody allowed, when the request had no body and so is still whole in the caller's hand.
        unsolicited_no_content,
    }
    opt_in {
        /// *Opt-in.* Lines of the ICAP head that end in LF alone. Never in encapsulated heads, chunk lines and
        /// trailers.
        bare_lf_in_head,
        /// *Opt-in, answers only.* Encapsulated heads end at their empty line, whatever the offsets say
        /// (e2guardian, older McAfee gateways). Where they were wrong, the connection is not used again.
        blank_line_framing,
        /// *Opt-in, answers only.* The entities of `Encapsulated` in any order, sorted by their offsets
        /// (bitz-server).
        unordered_entities,
        /// *Opt-in, requests only.* The last head section of a message without body, when it lacks its empty line
        /// (clients that c-icap's `SupportBuggyClients` is for). The missing line ends are added.
        unterminated_sections,
        /// *Opt-in, answers only.* The lines of `X-Violations-Found` without the blank that would make them folds
        /// (Symantec Scan Engine). At most four lines for each violation that the field counts; one with a colon only where
        /// the two numbers of its violation stand behind it.
        unindented_violations,
        /// *Opt-in, answers only.* A 200 with a head section of no length (`res-hdr=0, null-body=0`), read as a
        /// 204 (c-icap with `Allow204As200okZeroEncaps`). It does nothing beside
        /// [`blank_line_framing`](Self::blank_line_framing), for which such a section has a length all the same.
        empty_section_as_no_content,
    }
}

impl Leniency {
    /// Without the switches that are for answers only.
    pub(crate) const fn of_requests(self) -> Self {
        Self {
            blank_line_framing: false,
            unordered_entities: false,
            unindented_violations: false,
            empty_section_as_no_content: false,
            ..self
        }
    }

    /// Whether an ICAP head may have to be rewritten before it can be parsed.
    pub(crate) const fn rewrites_heads(&self) -> bool {
        self.bare_lf_in_head || self.unindented_violations
    }

    /// Without the switches that are for requests only.
    pub(crate) const fn of_responses(self) -> Self {
        Self { unterminated_sections: false, ..self }
    }
}
