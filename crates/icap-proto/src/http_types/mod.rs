//! Encapsulated heads as the types of the `http` crate.
//!
//! Those types are views: [`HeaderMap`] knows no case, no order across names, no folds and no odd blanks, so a head
//! is never kept as one. Changes made to a view go back with a merge, which rewrites what differs and nothing else.

mod merge;
mod write;

use http::header::MaxSizeReached;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use crate::headers::{Headers, InvalidHeader, unfold};
use crate::http_head::HttpHead;
use crate::http_start_line::InvalidStartLine;

/// A head that cannot be turned into the types of the `http` crate, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpTypeError {
    /// A start line that the other side cannot express, or that of the other kind of message.
    #[error("{0}")]
    StartLine(#[from] InvalidStartLine),
    /// A version that is neither HTTP/1.x nor one of those known to the `http` crate.
    #[error("unknown HTTP version")]
    Version,
    /// A field that the other side cannot express.
    #[error("{0}")]
    Field(#[from] InvalidHeader),
    /// More than one `Host` in a request whose URI names no authority, so that nothing says which one counts
    /// (RFC 9112 section 3.2).
    #[error("more than one Host")]
    Host,
    /// More fields than a [`HeaderMap`] holds.
    #[error("too many fields")]
    TooManyFields,
}

impl From<MaxSizeReached> for HttpTypeError {
    fn from(_: MaxSizeReached) -> Self {
        Self::TooManyFields
    }
}

impl Headers {
    /// The fields in the `http` crate's type: names in lower case, folds as blanks. Order is kept among fields of
    /// one name only.
    ///
    /// # Errors
    ///
    /// Names of 64 KiB and more, and more than some 24,000 names; neither passes the default
    /// [`Limits`](crate::Limits).
    pub fn to_header_map(&self) -> Result<HeaderMap, HttpTypeError> {
        let mut map = HeaderMap::new();
        for field in self.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_bytes(&unfold(field.value));
            let name = name.map_err(|_| InvalidHeader::Name)?;
            map.try_append(name, value.map_err(|_| InvalidHeader::Value)?)?;
        }
        Ok(map)
    }
}

/// The fields as lines, in the order in which the map gives them.
impl TryFrom<&HeaderMap> for Headers {
    type Error = InvalidHeader;

    fn try_from(map: &HeaderMap) -> Result<Self, InvalidHeader> {
        Self::from_pairs(map)
    }
}

impl HttpHead {
    /// The fields in the `http` crate's type, see [`Headers::to_header_map`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn to_header_map(&self) -> Result<HeaderMap, HttpTypeError> {
        self.headers().to_header_map()
    }

    /// A request head in the `http` crate's type. A fragment in the target is left out, as that crate does.
    ///
    /// ```
    /// use icap_proto::HttpHead;
    ///
    /// let head = HttpHead::request("GET", "http://a.example/x?y", [("Host", "a.example")])?;
    /// let request = head.to_request()?;
    /// assert_eq!(request.uri().query(), Some("y"));
    /// assert_eq!(request.headers()["host"], "a.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The head of a response, a target that is no [`Uri`], a version that is no [`Version`], and what
    /// [`Headers::to_header_map`] refuses.
    pub fn to_request(&self) -> Result<Request<()>, HttpTypeError> {
        let method = self.http_method()?;
        let uri = self.http_uri()?;
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = self.http_version()?;
        *request.headers_mut() = self.to_header_map()?;
        Ok(request)
    }

    /// A response head in the `http` crate's type, which has no place for the reason phrase.
    ///
    /// # Errors
    ///
    /// The head of a request, a status below 100, a version that is no [`Version`], and what
    /// [`Headers::to_header_map`] refuses.
    pub fn to_response(&self) -> Result<Response<()>, HttpTypeError> {
        let mut response = Response::new(());
        *response.status_mut() = self.http_status()?;
        *response.version_mut() = self.http_version()?;
        *response.headers_mut() = self.to_header_map()?;
        Ok(response)
    }

    fn http_method(&self) -> Result<Method, InvalidStartLine> {
        let method = self.method().ok_or(InvalidStartLine::Kind)?;
        Method::from_bytes(method.as_bytes()).map_err(|_| InvalidStartLine::Method)
    }

    fn http_uri(&self) -> Result<Uri, InvalidStartLine> {
        // A request whose target is not UTF-8 has none to show.
        let target = self.target().ok_or(InvalidStartLine::Target)?;
        target.parse().map_err(|_| InvalidStartLine::Target)
    }

    fn http_status(&self) -> Result<StatusCode, InvalidStartLine> {
        if self.is_request() {
            return Err(InvalidStartLine::Kind);
        }
        let status = self.status().ok_or(InvalidStartLine::Status)?;
        StatusCode::from_u16(status).map_err(|_| InvalidStartLine::Status)
    }

    fn http_version(&self) -> Result<Version, HttpTypeError> {
        match self.version() {
            b"HTTP/0.9" => Ok(Version::HTTP_09),
            b"HTTP/1.0" => Ok(Version::HTTP_10),
            // A higher minor version is read as the highest one known (RFC 9110 section 2.5).
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _] => Ok(Version::HTTP_11),
            // There is no such text in HTTP, but there are ICAP clients that write it.
            b"HTTP/2.0" => Ok(Version::HTTP_2),
            b"HTTP/3.0" => Ok(Version::HTTP_3),
            _ => Err(HttpTypeError::Version),
        }
    }
}
