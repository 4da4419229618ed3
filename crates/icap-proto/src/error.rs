//! What can go wrong, sorted by whose fault it is.

use crate::StatusCode;

/// An error of a [`client`](crate::client) or [`server`](crate::server) connection.
///
/// The variants tell who is at fault. Errors carry a place and a rule, never bytes of the message: what a peer
/// sends may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer's bytes are not ICAP.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The peer's bytes are ICAP, at a time or in a place where they may not be.
    #[error("peer misbehaved: {0}")]
    Peer(#[from] PeerMisbehaved),
    /// Our own caller used the connection in the wrong order. No peer can cause this.
    #[error("misuse of the connection: {0}")]
    Misuse(#[from] Misuse),
    /// The connection ended inside a message.
    #[error("connection closed {0}")]
    Closed(Truncated),
}

impl Error {
    /// The status with which a server answers a request that failed this way.
    #[must_use]
    pub fn status_hint(&self) -> StatusCode {
        match self {
            Self::Parse(error) => error.kind.status_hint(),
            Self::Peer(PeerMisbehaved::PreviewTooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Peer(_) | Self::Closed(_) => StatusCode::BAD_REQUEST,
            Self::Misuse(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Bytes that no rule of the grammar allows, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset} [{}]", kind.rule())]
#[non_exhaustive]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where: bytes from the start of the ICAP message, or of the value when a value was parsed alone.
    pub offset: u64,
}

impl ParseError {
    pub(crate) const fn new(kind: ParseErrorKind, offset: usize) -> Self {
        // usize is at most 64 bits wide on every platform Rust has.
        Self { kind, offset: offset as u64 }
    }

    /// The same error seen from a block that starts `base` bytes further on.
    pub(crate) const fn shifted(self, base: u64) -> Self {
        Self { kind: self.kind, offset: self.offset.saturating_add(base) }
    }
}

/// Declares the kinds with, for each, its message and the rule that it breaks.
macro_rules! parse_error_kinds {
    ($($(#[$doc:meta])* $name:ident => $message:literal, $rule:literal;)*) => {
        /// The rule of the grammar that was broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum ParseErrorKind {
            $($(#[$doc])* #[error($message)] $name,)*
        }

        impl ParseErrorKind {
            /// The document and section of the rule.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)* }
            }
        }
    };
}

parse_error_kinds! {
    /// The first bytes cannot begin an ICAP message.
    NotIcap => "not an ICAP message", "RFC 3507 appendix A";
    /// A start line with the wrong number of parts or blanks.
    StartLine => "malformed start line", "RFC 3507 appendix A";
    /// A method that is no token.
    Method => "malformed method", "RFC 9110 section 5.6.2";
    /// A URI that is not `icap://host[:port][/path][?query]`.
    Uri => "malformed service URI", "RFC 3507 section 4.2";
    /// A version that is not `ICAP/DIGIT.DIGIT`.
    Version => "malformed protocol version", "RFC 3507 appendix A";
    /// A well-formed version other than 1.0.
    UnsupportedVersion => "unsupported protocol version", "RFC 3507 section 4.3.3";
    /// A status that is not three digits from 100 to 599.
    Status => "malformed status code", "RFC 9110 section 15";
    /// A control character in a reason phrase.
    Reason => "invalid byte in reason phrase", "RFC 9112 section 4";
    /// A line feed without its carriage return.
    BareLf => "line feed without carriage return", "RFC 9112 section 2.2";
    /// A carriage return without its line feed.
    BareCr => "carriage return without line feed", "RFC 9112 section 2.2";
    /// A byte that no field name may have.
    FieldName => "invalid byte in field name", "RFC 9110 section 5.1";
    /// Blanks between a field name and its colon.
    SpaceBeforeColon => "whitespace before the colon of a field", "RFC 9112 section 5.1";
    /// A field line without a colon.
    MissingColon => "field line without a colon", "RFC 9112 section 5";
    /// A line that begins with a blank where no field can be continued.
    LeadingWhitespace => "whitespace before the first field", "RFC 9112 section 2.2";
    /// A folded value where none is taken.
    Fold => "folded field value", "RFC 9112 section 5.2";
    /// A control character in a field value.
    FieldValue => "invalid byte in field value", "RFC 9110 section 5.5";
    /// A field that may stand only once stands twice.
    DuplicateField => "field occurs more than once", "RFC 9110 section 5.3";
    /// A `Host` that is no host with an optional port.
    Host => "malformed Host", "RFC 9110 section 7.2";
    /// A request without `Host`.
    MissingHost => "request without Host", "RFC 3507 section 4.3.2";
    /// `Transfer-Encoding` or `Content-Length` in an ICAP head.
    ForbiddenField => "HTTP framing field in an ICAP head", "RFC 3507 section 4.3.1";
    /// A `Preview` that is no number.
    Preview => "malformed Preview", "RFC 3507 section 4.5";
    /// An `ISTag` that is no quoted string of at most 32 octets.
    IsTag => "malformed ISTag", "RFC 3507 section 4.7";
    /// A success answer without `ISTag`.
    MissingIsTag => "answer without ISTag", "RFC 3507 section 4.7";
    /// A comma list with too many empty members.
    List => "too many empty list members", "RFC 9110 section 5.6.1";
    /// `Trailer` without `Allow: trailers`.
    UnannouncedTrailer => "Trailer without Allow: trailers", "draft-rousskov-icap-trailers section 8";
    /// An `Encapsulated` value that does not follow the grammar.
    Encapsulated => "malformed Encapsulated", "RFC 3507 section 4.4.1";
    /// No `Encapsulated` where a body or head must be announced.
    MissingEncapsulated => "message without Encapsulated", "RFC 3507 section 4.4.1";
    /// An entity that ICAP does not know.
    UnknownEntity => "unknown entity in Encapsulated", "RFC 3507 section 4.4.1";
    /// Entities out of wire order, twice, or behind the body.
    EntityOrder => "entities of Encapsulated out of order", "RFC 3507 section 4.4.1";
    /// Offsets that do not start at 0 or do not increase.
    EntityOffset => "offsets of Encapsulated do not increase from 0", "RFC 3507 section 4.4.1";
    /// A list of entities that this message may not have.
    EntityList => "entities not allowed in this message", "RFC 3507 section 4.4.1, errata e1 and e4";
    /// A header section that does not end where `Encapsulated` says.
    SectionEnd => "header section does not end at its offset", "RFC 3507 section 4.4.1";
    /// An encapsulated head without a request line or status line of HTTP.
    HttpStartLine => "malformed HTTP start line", "RFC 9112 sections 3 and 4";
    /// A chunk size without a hexadecimal digit, or with something else in front.
    ChunkSize => "malformed chunk size", "RFC 9112 section 7.1";
    /// A chunk size of more than 16 digits or beyond 2^63-1.
    ChunkSizeOverflow => "chunk size too large", "RFC 9112 section 7.1";
    /// A chunk extension that does not follow the grammar.
    ChunkExtension => "malformed chunk extension", "RFC 9112 section 7.1.1";
    /// Chunk data that is not followed by CRLF.
    ChunkEnd => "chunk data not followed by CRLF", "RFC 9112 section 7.1";
    /// `ieof` where no preview ends.
    MisplacedIeof => "ieof outside the end of a preview", "RFC 3507 section 4.5";
    /// `use-original-body` that is no number or stands in the wrong place.
    UseOriginalBody => "malformed or misplaced use-original-body", "draft-icap-ext-partial-content section 5.2";
    /// A start line over [`Limits::start_line`](crate::Limits::start_line).
    StartLineTooLong => "start line too long", "RFC 9112 section 3";
    /// A head over [`Limits::head_bytes`](crate::Limits::head_bytes).
    HeadTooLong => "head too long", "RFC 9110 section 5.4";
    /// A field line over [`Limits::field_line`](crate::Limits::field_line).
    FieldLineTooLong => "field line too long", "RFC 9110 section 5.4";
    /// More fields than [`Limits::fields`](crate::Limits::fields).
    TooManyFields => "too many fields", "RFC 9110 section 5.4";
    /// Header sections over [`Limits::encapsulated_bytes`](crate::Limits::encapsulated_bytes).
    EncapsulatedTooLong => "encapsulated heads too long", "RFC 9110 section 5.4";
    /// A chunk line over [`Limits::chunk_line`](crate::Limits::chunk_line).
    ChunkLineTooLong => "chunk line too long", "RFC 9112 section 7.1.1";
    /// Extensions over [`Limits::extension_bytes`](crate::Limits::extension_bytes).
    ExtensionsTooLong => "chunk extensions too long", "RFC 9112 section 7.1.1";
    /// A trailer section over [`Limits::trailer_bytes`](crate::Limits::trailer_bytes).
    TrailerTooLong => "trailer section too long", "RFC 9112 section 7.1.2";
}

impl ParseErrorKind {
    /// The status with which a server answers: 414 for a long start line, 505 for a version, else 400.
    #[must_use]
    pub const fn status_hint(self) -> StatusCode {
        match self {
            Self::StartLineTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedVersion => StatusCode::VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Valid bytes at the wrong time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A server sent bytes although nothing was asked, other than one refusal before the first request.
    #[error("answer without a request")]
    UnsolicitedResponse,
    /// 100 Continue where none is due.
    #[error("100 Continue at the wrong time")]
    UntimelyContinue,
    /// A 204 that the request did not allow (RFC 3507 section 4.6).
    #[error("204 that the request did not allow")]
    UnsolicitedNoContent,
    /// A 206 that the request did not allow.
    #[error("206 that the request did not allow")]
    UnsolicitedPartialContent,
    /// 100 or 204 with a body.
    #[error("body on a status that has none")]
    UnexpectedBody,
    /// A 1xx status other than 100.
    #[error("unknown interim status")]
    UnknownInterim,
    /// A client sent more preview than it announced (RFC 3507 section 4.5).
    #[error("preview longer than announced")]
    PreviewOverrun,
    /// More preview than [`Limits::preview`](crate::Limits::preview).
    #[error("preview longer than the limit")]
    PreviewTooLong,
    /// A client went on after its preview without waiting for 100 Continue.
    #[error("bytes after the preview before 100 Continue")]
    SpokeOutOfTurn,
    /// `use-original-body` beyond what a number can hold or outside a 206.
    #[error("use-original-body in an answer that cannot have it")]
    MisplacedOriginalBody,
}

/// A call that does not fit the state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// `start` before the exchange in progress is over, or on a connection that may not be reused.
    #[error("the connection cannot start another exchange")]
    NotIdle,
    /// Body data or an end of body where the message has no body to send.
    #[error("no body is being sent")]
    NoBody,
    /// `end_preview` outside a preview.
    #[error("no preview is being sent")]
    NoPreview,
    /// 100 Continue without a preview that waits for one (RFC 3507 section 4.5).
    #[error("100 Continue is not due")]
    ContinueNotDue,
    /// An answer before a request, or a second one.
    #[error("no request waits for an answer")]
    NothingToAnswer,
    /// A 204 that the request does not allow (RFC 3507 section 4.6).
    #[error("the request does not allow 204")]
    NoContentNotAllowed,
    /// A 206 that the request does not allow.
    #[error("the request does not allow 206")]
    PartialContentNotAllowed,
    /// An ICAP trailer in the answer to a request without `Allow: trailers`
    /// (draft-rousskov-icap-trailers section 9).
    #[error("the request does not allow ICAP trailers")]
    IcapTrailerNotAllowed,
    /// Fields for an ICAP trailer that the head does not promise, or that was sent already.
    #[error("no ICAP trailer is due")]
    NoIcapTrailer,
    /// `dismiss` of a request whose method wants an answer (RFC 3507 section 4.3.2).
    #[error("the method wants an answer")]
    AnswerDue,
    /// A head whose parts do not fit the method or status.
    #[error("the parts of the message do not fit its method or status")]
    Composition,
}

/// Where the peer stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truncated {
    /// Before the first byte of a message that was due.
    BeforeHead,
    /// Inside a head.
    InHead,
    /// Inside a body or trailer.
    InBody,
    /// While the client waited for the answer to its preview.
    InPreview,
}

impl core::fmt::Display for Truncated {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BeforeHead => "before an answer",
            Self::InHead => "inside a head",
            Self::InBody => "inside a body",
            Self::InPreview => "during the preview",
        })
    }
}

/// Why a connection may not carry another exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The exchange is still going on.
    InProgress,
    /// One side said `Connection: close`, or the client sent more behind an early answer than is
    /// [thrown away](crate::Limits::drain) or than it had announced as preview.
    Asked,
    /// The request was given up in the middle.
    Abandoned,
    /// Bytes came after the end of the last message.
    Surplus,
    /// The peer closed its side.
    PeerClosed,
    /// `Trailer` without `Allow: trailers`: where the message ends is not certain.
    UnannouncedTrailer,
    /// An error; the connection reports it.
    Failed,
}
