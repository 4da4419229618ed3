//! What an intermediary takes out of a head and writes into it (RFC 9110 section 7.6, RFC 3507 section 4.4.2).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::headers::{Field, Headers, InvalidHeader, unfold, write_line};
use crate::http_head::HttpHead;
use crate::wire::class;

/// Fields for one connection only, whether or not `Connection` names them.
const HOP_BY_HOP: [&str; 6] =
    ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"];

/// What RFC 3507 section 4.4.2 wants in the ICAP head instead.
const PROXY_AUTHENTICATION: [&str; 2] = ["Proxy-Authenticate", "Proxy-Authorization"];

/// Fields that `Connection` must not name, since all recipients need them (RFC 9110 section 7.6.1). A peer that
/// names them all the same wants them gone behind the proxy: the framing, who asks, who is asked, or the trace of
/// the way.
const END_TO_END: [&str; 27] = [
    "Age",
    "Allow",
    "Authentication-Info",
    "Authorization",
    "Cache-Control",
    "Cookie",
    "Date",
    "ETag",
    "Expect",
    "Expires",
    "Forwarded",
    "From",
    "Host",
    "Last-Modified",
    "Location",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Range",
    "Referer",
    "Server",
    "Set-Cookie",
    "User-Agent",
    "Vary",
    "Via",
    "Warning",
    "WWW-Authenticate",
];

/// Beginnings of further such names.
const END_TO_END_PREFIXES: [&str; 6] =
    ["Accept", "Access-Control-", "Content-", "If-", "Sec-", "X-Forwarded-"];

/// What happens to the `Trailer` field, which announces the trailer fields of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrailerField {
    /// It stays: the trailers of the body are passed on.
    Keep,
    /// It goes, as the trailers do.
    Remove,
}

/// The lines that [`HttpHead::remove_hop_by_hop`] took out, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HopByHop {
    /// `Proxy-Authenticate` and `Proxy-Authorization`, unfolded: they go into the head of the ICAP request, see
    /// [`RequestBuilder::headers`](crate::RequestBuilder::headers).
    pub proxy_authentication: Headers,
    /// All the others. They go nowhere, but `Upgrade` may interest who passes the message on.
    pub connection: Headers,
}

impl HttpHead {
    /// Removes the fields that concern one connection only and so are not encapsulated (RFC 3507 section 4.4.2,
    /// RFC 9110 section 7.6.1). All other lines stay byte for byte.
    ///
    /// These are `Connection`, what it names, `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`,
    /// `Upgrade`, `Proxy-Authenticate` and `Proxy-Authorization`. `Authorization` and `WWW-Authenticate` stay.
    ///
    /// A `Transfer-Encoding` takes a `Content-Length` beside it along, which it overrides and which smuggles
    /// requests when it is forwarded (RFC 9112 section 6.3).
    ///
    /// `Connection` has no power over fields that HTTP means for all recipients, such as `Host`, `Cookie`,
    /// `Authorization`, `Via`, and names that begin with `Content-` or `X-Forwarded-`: no sender may name them,
    /// and one that does wants the next hop to see another message than this one.
    ///
    /// ```
    /// use icap_proto::{HttpHead, RequestHead, TrailerField};
    ///
    /// let mut head = HttpHead::request("GET", "http://a.example/", [
    ///     ("Host", "a.example"),
    ///     ("Connection", "X-Hop, Host"),
    ///     ("X-Hop", "1"),
    ///     ("Proxy-Authorization", "Basic dTpw"),
    /// ])?;
    /// let removed = head.remove_hop_by_hop(TrailerField::Keep);
    /// assert_eq!(head.headers().as_bytes(), b"Host: a.example\r\n");
    /// let request = RequestHead::reqmod("icap://av.local/reqmod".parse()?)
    ///     .headers(&removed.proxy_authentication)?
    ///     .http_request(head)
    ///     .build()?;
    /// assert_eq!(request.headers().get("Proxy-Authorization"), Some(&b"Basic dTpw"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_hop_by_hop(&mut self, trailer: TrailerField) -> HopByHop {
        let mut named = connection_options(self.headers());
        if self.has_transfer_encoding() {
            named.insert(b"content-length".to_vec());
        }
        let mut kept = Vec::with_capacity(self.headers().as_bytes().len());
        let mut connection = Vec::new();
        let mut proxy_authentication = Vec::new();
        for field in self.headers().iter() {
            if is_any(field.name, &PROXY_AUTHENTICATION) {
                // Cannot fail: the line is valid, and unfolded.
                let _ = write_line(&mut proxy_authentication, field.name, &unfold(field.value));
            } else if is_hop_by_hop(&field, trailer, &named) {
                connection.extend_from_slice(field.line);
            } else {
                kept.extend_from_slice(field.line);
            }
        }
        if kept.len() < self.headers().as_bytes().len() {
            self.edit(|headers| *headers = Headers::from_lines(kept));
        }
        HopByHop {
            proxy_authentication: Headers::from_lines(proxy_authentication),
            connection: Headers::from_lines(connection),
        }
    }

    /// Adds `Via: ICAP/1.0 received-by (comment)` behind the `Via` that is there, as an ICAP server should
    /// (RFC 3507 section 4.4.2, RFC 9110 section 7.6.3).
    ///
    /// ```
    /// use icap_proto::HttpHead;
    ///
    /// let mut head = HttpHead::response(200, "OK", [("Via", "1.1 cache")])?;
    /// head.add_via("av.example:1344", Some("Example AV 2.1"))?;
    /// let via: Vec<_> = head.headers().get_all("Via").collect();
    /// assert_eq!(via, [&b"1.1 cache"[..], b"ICAP/1.0 av.example:1344 (Example AV 2.1)"]);
    /// # Ok::<(), icap_proto::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when `received_by` is neither a pseudonym nor a host with or without port, or the
    /// comment holds a parenthesis, a backslash or a control character. Nothing is changed.
    pub fn add_via(
        &mut self,
        received_by: &str,
        comment: Option<&str>,
    ) -> Result<(), InvalidHeader> {
        // A pseudonym is a token; a host has brackets and a port besides. Parentheses would begin a comment, a comma
        // another member of the list.
        let is_received_by = |b: u8| class::is_token(&[b]) || matches!(b, b':' | b'[' | b']');
        if received_by.is_empty() || !received_by.bytes().all(is_received_by) {
            return Err(InvalidHeader::Value);
        }
        let mut value = Vec::from(&b"ICAP/1.0 "[..]);
        value.extend_from_slice(received_by.as_bytes());
        if let Some(comment) = comment {
            if comment.bytes().any(|b| matches!(b, b'(' | b')' | b'\\')) {
                return Err(InvalidHeader::Value);
            }
            value.extend_from_slice(b" (");
            value.extend_from_slice(comment.as_bytes());
            value.push(b')');
        }
        let mut headers = self.headers().clone();
        headers.append("Via", value)?;
        self.edit(|own| *own = headers);
        Ok(())
    }
}

fn is_hop_by_hop(field: &Field<'_>, trailer: TrailerField, named: &BTreeSet<Vec<u8>>) -> bool {
    if field.name.eq_ignore_ascii_case("Trailer") {
        return trailer == TrailerField::Remove;
    }
    is_any(field.name, &HOP_BY_HOP) || named.contains(&field.name.as_bytes().to_ascii_lowercase())
}

/// The names that `Connection` may take along, in lower case. A set, so that a long list in front of many fields
/// costs no more than it is long.
fn connection_options(headers: &Headers) -> BTreeSet<Vec<u8>> {
    let mut options = BTreeSet::new();
    for value in headers.get_all("Connection") {
        let value = unfold(value);
        let names = class::list(&value).filter(|name| !is_end_to_end(name));
        options.extend(names.map(<[u8]>::to_ascii_lowercase));
    }
    options
}

fn is_end_to_end(name: &[u8]) -> bool {
    let begins = |prefix: &&str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    END_TO_END.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
        || END_TO_END_PREFIXES.iter().any(begins)
}

fn is_any(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}
