//! How much a peer may make us hold.

/// Upper bounds for everything that a peer can make grow.
///
/// A value at the limit is accepted, one byte more is refused. The defaults are the smaller of the figures
/// that trusted HTTP servers ship and that ICAP products are known to live with; all can be changed.
///
/// ```
/// let mut limits = icap_proto::Limits::default();
/// limits.head_bytes = 16 * 1024;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request or status line with its CRLF. RFC 9112 section 3 asks for at least 8,000.
    pub start_line: usize,
    /// Bytes of the ICAP head with its empty line. c-icap grows without bound here.
    pub head_bytes: usize,
    /// Field lines in one head or trailer section.
    pub fields: usize,
    /// Bytes of one field line with its folds and CRLF.
    pub field_line: usize,
    /// Bytes of all encapsulated header sections together.
    pub encapsulated_bytes: usize,
    /// Bytes of a chunk line with its extensions and CRLF. c-icap reads 4,096.
    pub chunk_line: usize,
    /// Bytes of chunk extensions in one body, against the endless-extension attacks (RFC 9112 section 7.1.1). A
    /// preview and what comes behind 100 Continue have each so many.
    pub extension_bytes: usize,
    /// Bytes of one trailer section. hyper allows 16 KiB, Squid 64 KiB.
    pub trailer_bytes: usize,
    /// Body bytes a server takes as preview, whatever number the client announces.
    pub preview: u64,
    /// Bytes on the wire, chunk lines included, that a server throws away to keep a connection whose request was
    /// answered early. What comes behind them is not looked at: the connection ends.
    pub drain: u64,
    /// Empty members in a comma list (RFC 9110 section 5.6.1).
    pub empty_list_members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_line: 16 * 1024,
            head_bytes: 64 * 1024,
            fields: 200,
            field_line: 16 * 1024,
            encapsulated_bytes: 256 * 1024,
            chunk_line: 4 * 1024,
            extension_bytes: 16 * 1024,
            trailer_bytes: 16 * 1024,
            preview: 64 * 1024,
            drain: 1024 * 1024,
            empty_list_members: 32,
        }
    }
}
