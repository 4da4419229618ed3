//! New start lines for encapsulated heads; the fields stay byte for byte.

use alloc::vec::Vec;

use crate::http_head::HttpHead;
use crate::wire::class;
use crate::wire::start_line::HttpKind;

/// A start line that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStartLine {
    /// A request line for a response, or a status line for a request.
    #[error("start line of the other kind of message")]
    Kind,
    /// The method is no token.
    #[error("invalid method")]
    Method,
    /// The target is empty, holds a blank or control character, or does not fit the method.
    #[error("invalid request target")]
    Target,
    /// The status has not three digits.
    #[error("invalid status")]
    Status,
    /// The reason phrase holds a control character.
    #[error("invalid reason phrase")]
    Reason,
}

impl HttpHead {
    /// Gives a request another method and target, such as when a service rewrites addresses. `Host` is not touched:
    /// it has to name the same authority as the target (RFC 9112 section 3.2).
    ///
    /// ```
    /// use icap_proto::HttpHead;
    ///
    /// let mut head = HttpHead::request("GET", "/a", [("Host", "www.example")])?;
    /// head.set_request_line("GET", "/b?safe=1")?;
    /// assert_eq!(head.as_bytes(), b"GET /b?safe=1 HTTP/1.1\r\nHost: www.example\r\n\r\n");
    /// assert!(head.set_request_line("GET", "/ HTTP/1.1\r\nX-Forged: 1").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with the method or target; [`InvalidStartLine::Kind`] on the head of a response.
    pub fn set_request_line(&mut self, method: &str, target: &str) -> Result<(), InvalidStartLine> {
        let version = self.version_of(HttpKind::Request)?;
        let line = request_line(method, target, version)?;
        *self = Self::from_start_line(&line, self.headers(), HttpKind::Request);
        Ok(())
    }

    /// Gives a response another status and reason phrase.
    ///
    /// # Errors
    ///
    /// What is wrong with the status or reason; [`InvalidStartLine::Kind`] on the head of a request.
    pub fn set_status_line(&mut self, status: u16, reason: &str) -> Result<(), InvalidStartLine> {
        let version = self.version_of(HttpKind::Response)?;
        let line = status_line(version, status, reason)?;
        *self = Self::from_start_line(&line, self.headers(), HttpKind::Response);
        Ok(())
    }

    /// `HTTP/1.1` as it stands in the start line.
    pub(crate) fn version(&self) -> &[u8] {
        let mut parts = self.start_line().split(|&b| b == b' ');
        let index = if self.is_request() { 2 } else { 0 };
        parts.nth(index).unwrap_or_default()
    }

    pub(crate) fn set_version(&mut self, version: [u8; 8]) {
        let mut line = self.start_line().to_vec();
        let at = if self.is_request() { line.len().saturating_sub(version.len()) } else { 0 };
        if let Some(own) = line.get_mut(at..).and_then(|line| line.first_chunk_mut()) {
            *own = version;
        }
        let kind = if self.is_request() { HttpKind::Request } else { HttpKind::Response };
        *self = Self::from_start_line(&line, self.headers(), kind);
    }

    fn version_of(&self, kind: HttpKind) -> Result<&[u8], InvalidStartLine> {
        let fits = self.is_request() == (kind == HttpKind::Request);
        fits.then(|| self.version()).ok_or(InvalidStartLine::Kind)
    }
}

pub(crate) fn request_line(
    method: &str,
    target: &str,
    version: &[u8],
) -> Result<Vec<u8>, InvalidStartLine> {
    if !class::is_token(method.as_bytes()) {
        return Err(InvalidStartLine::Method);
    }
    if target.is_empty() || class::target_len(target.as_bytes()) != target.len() {
        return Err(InvalidStartLine::Target);
    }
    Ok([method.as_bytes(), target.as_bytes(), version].join(&b' '))
}

pub(crate) fn status_line(
    version: &[u8],
    status: u16,
    reason: &str,
) -> Result<Vec<u8>, InvalidStartLine> {
    // Servers use numbers beyond 599 too, and a proxy has to pass them on.
    if !(100..=999).contains(&status) {
        return Err(InvalidStartLine::Status);
    }
    if !class::is_value(reason.as_bytes()) {
        return Err(InvalidStartLine::Reason);
    }
    let status = alloc::string::ToString::to_string(&status);
    Ok([version, status.as_bytes(), reason.as_bytes()].join(&b' '))
}
