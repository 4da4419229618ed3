//! Heads as they leave as HTTP, in the types of the `http` crate.

use http::header::{EXPECT, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use icap_proto::{BodyLength, HttpHead, HttpTypeError, InvalidStartLine, TrailerField};

/// A request without hop-by-hop fields that says of its body what is so (RFC 9110 section 7.6, RFC 9112 section 6.3).
///
/// `unread`: nothing was taken off the body yet, so its sender may still wait to be asked for it.
pub(crate) fn request(
    head: &HttpHead,
    body: BodyLength,
    unread: bool,
) -> Result<Request<()>, HttpTypeError> {
    let mut request = forwarded(head.clone(), body, None).to_request()?;
    *request.version_mut() = Version::HTTP_11;
    if let Some(authority) = request.uri().authority().map(Authority::as_str) {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = HeaderValue::from_str(host).map_err(|_| InvalidStartLine::Target)?;
        request.headers_mut().insert(HOST, host);
    }
    if body == BodyLength::None || !unread {
        forget_expectation(&mut request);
    }
    Ok(request)
}

/// A response to `request_method`, in the same way.
pub(crate) fn response(
    head: &HttpHead,
    body: BodyLength,
    request_method: &Method,
) -> Result<Response<()>, HttpTypeError> {
    let head = forwarded(head.clone(), body, Some(request_method.as_str()));
    let mut response = head.to_response()?;
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

/// The head of the page that a service answers a request with. A 2xx to CONNECT would be no page but an open tunnel
/// (RFC 9110 section 9.3.6): it becomes 403.
pub(crate) fn answer(
    head: &HttpHead,
    body: BodyLength,
    request_method: &Method,
) -> Result<Response<()>, HttpTypeError> {
    let opens_tunnel =
        *request_method == Method::CONNECT && matches!(head.status(), Some(200..=299));
    if !opens_tunnel {
        return response(head, body, request_method);
    }
    let mut head = head.clone();
    head.set_status_line(StatusCode::FORBIDDEN.as_u16(), "Forbidden")?;
    response(&head, body, request_method)
}

fn forwarded(mut head: HttpHead, body: BodyLength, request_method: Option<&str>) -> HttpHead {
    head.reframe(body, request_method);
    head.remove_hop_by_hop(TrailerField::Keep);
    head
}

/// Whoever wrote `Expect: 100-continue` was asked for the body by being read, or has none to be asked for
/// (RFC 9110 section 10.1.1). Other expectations are for the origin to refuse.
fn forget_expectation(request: &mut Request<()>) {
    let mut expected = request.headers().get_all(EXPECT).iter();
    if expected.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        request.headers_mut().remove(EXPECT);
    }
}
