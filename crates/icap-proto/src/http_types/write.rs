//! Messages of the `http` crate as HTTP/1.1 text.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use http::header::{CONNECTION, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Request, Response, Uri, Version, request, response};

use super::HttpTypeError;
use crate::headers::{Headers, InvalidHeader, write_line};
use crate::http_head::HttpHead;
use crate::http_start_line::{InvalidStartLine, request_line, status_line};
use crate::wire::start_line::HttpKind;

/// The head as HTTP/1.1 text, see the conversion from [`request::Parts`].
impl<B> TryFrom<&Request<B>> for HttpHead {
    type Error = HttpTypeError;

    fn try_from(request: &Request<B>) -> Result<Self, HttpTypeError> {
        request_head(request.method(), request.uri(), request.version(), request.headers())
    }
}

/// The head as HTTP/1.1 text (RFC 9113 section 8.3.1, RFC 9112 section 3.2):
///
/// * A URI with a scheme is written whole (absolute form), one without as path and query, that of CONNECT as its
///   authority, and the path `*` of OPTIONS as `*`. Other combinations, extended CONNECT among them, are refused, as
///   is an authority without a host.
/// * A user in an `http` or `https` URI is left out (RFC 9110 section 4.2.4), and refused in that of CONNECT.
/// * `Host` names the authority of the URI, if that has one, whatever field came with the request. A `Host` that is
///   missing stands first. Without an authority, more than one `Host` is refused.
/// * Fields of HTTP/2 and HTTP/3 requests that belong to one connection are left out, since those versions forbid
///   them, and the parts of a `Cookie` are joined (RFC 9113 sections 8.2.2 and 8.2.3).
/// * HTTP/1.0 and HTTP/0.9 are written as HTTP/1.0, all other versions as HTTP/1.1.
///
/// Names are in lower case, as the `http` crate has them, and nothing else is added or left out.
impl TryFrom<&request::Parts> for HttpHead {
    type Error = HttpTypeError;

    fn try_from(parts: &request::Parts) -> Result<Self, HttpTypeError> {
        request_head(&parts.method, &parts.uri, parts.version, &parts.headers)
    }
}

/// The head as HTTP/1.1 text, see the conversion from [`response::Parts`].
impl<B> TryFrom<&Response<B>> for HttpHead {
    type Error = HttpTypeError;

    fn try_from(response: &Response<B>) -> Result<Self, HttpTypeError> {
        response_head(response.status(), response.version(), response.headers())
    }
}

/// The head as HTTP/1.1 text, with the usual reason phrase of the status or an empty one. Versions and fields as for
/// [`request::Parts`].
impl TryFrom<&response::Parts> for HttpHead {
    type Error = HttpTypeError;

    fn try_from(parts: &response::Parts) -> Result<Self, HttpTypeError> {
        response_head(parts.status, parts.version, &parts.headers)
    }
}

fn request_head(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<HttpHead, HttpTypeError> {
    let line = request_line(method.as_str(), &target(method, uri)?, version_text(version))?;
    let host = host(uri);
    if host.is_none() && headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(HttpTypeError::Host);
    }
    let mut lines = Vec::new();
    if let Some(host) = host.filter(|_| !headers.contains_key(HOST)) {
        write_line(&mut lines, HOST.as_str(), host.as_bytes())?;
    }
    write_fields(&mut lines, version, headers, host)?;
    Ok(HttpHead::from_start_line(&line, &Headers::from_lines(lines), HttpKind::Request))
}

fn response_head(
    status: http::StatusCode,
    version: Version,
    headers: &HeaderMap,
) -> Result<HttpHead, HttpTypeError> {
    let reason = status.canonical_reason().unwrap_or_default();
    let line = status_line(version_text(version), status.as_u16(), reason)?;
    let mut lines = Vec::new();
    write_fields(&mut lines, version, headers, None)?;
    Ok(HttpHead::from_start_line(&line, &Headers::from_lines(lines), HttpKind::Response))
}

/// The request target in the form that fits the method (RFC 9112 section 3.2).
pub(super) fn target(method: &Method, uri: &Uri) -> Result<String, InvalidStartLine> {
    let path = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    if uri.host().is_some_and(str::is_empty) {
        return Err(InvalidStartLine::Target);
    }
    match (uri.scheme_str(), uri.authority(), path) {
        (None, Some(authority), None) if method == Method::CONNECT => {
            let authority = authority.as_str();
            (!authority.contains('@')).then(|| authority.into()).ok_or(InvalidStartLine::Target)
        }
        _ if method == Method::CONNECT => Err(InvalidStartLine::Target),
        (_, _, Some("*")) if method == Method::OPTIONS => Ok("*".into()),
        (_, _, Some("*")) => Err(InvalidStartLine::Target),
        (Some(scheme @ ("http" | "https")), Some(_), path) => {
            Ok([scheme, "://", host(uri).unwrap_or_default(), path.unwrap_or_default()].concat())
        }
        (Some(_), Some(_), _) => Ok(uri.to_string()),
        (None, None, Some(path)) if path.starts_with('/') => Ok(path.into()),
        _ => Err(InvalidStartLine::Target),
    }
}

/// The authority of the URI without its user, which never goes into `Host` (RFC 9110 section 4.2.4).
pub(super) fn host(uri: &Uri) -> Option<&str> {
    let authority = uri.authority()?.as_str();
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

const fn version_text(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => b"HTTP/1.0",
        _ => b"HTTP/1.1",
    }
}

fn write_fields(
    lines: &mut Vec<u8>,
    version: Version,
    headers: &HeaderMap,
    host: Option<&str>,
) -> Result<(), InvalidHeader> {
    let has_frames = matches!(version, Version::HTTP_2 | Version::HTTP_3);
    for name in headers.keys() {
        if has_frames && is_connection_specific(name) {
            continue;
        }
        let values = headers.get_all(name);
        match host {
            Some(host) if name == HOST => {
                // Another spelling of the same authority is left as it came.
                let first = values.iter().map(|value| value.as_bytes()).next();
                let own = first.filter(|value| value.eq_ignore_ascii_case(host.as_bytes()));
                write_line(lines, name.as_str(), own.unwrap_or(host.as_bytes()))?;
                continue;
            }
            _ => {}
        }
        if has_frames && name == COOKIE {
            let crumbs: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            write_line(lines, name.as_str(), join(&crumbs).as_ref())?;
            continue;
        }
        for value in values {
            write_line(lines, name.as_str(), value.as_bytes())?;
        }
    }
    Ok(())
}

fn join<'a>(crumbs: &[&'a [u8]]) -> Cow<'a, [u8]> {
    match crumbs {
        [only] => Cow::Borrowed(only),
        _ => Cow::Owned(crumbs.join(&b"; "[..])),
    }
}

fn is_connection_specific(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
