//! Status codes.

/// A status code from 100 to 599 (RFC 3507 section 4.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatusCode(u16);

/// Declares the codes that mean something in ICAP with their reason phrases.
macro_rules! status_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl StatusCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The reason phrase that goes with the code, empty for codes without a meaning in ICAP.
            #[must_use]
            pub const fn canonical_reason(self) -> &'static str {
                match self.0 { $($code => $reason,)* _ => "" }
            }
        }
    };
}

status_codes! {
    /// 100: send the rest after the preview.
    CONTINUE = 100, "Continue";
    /// 200: adapted message or OPTIONS data.
    OK = 200, "OK";
    /// 201: an adapted message from Symantec servers.
    CREATED = 201, "Created";
    /// 204: no modification needed.
    NO_CONTENT = 204, "No Content";
    /// 206: adapted beginning, original end (draft-icap-ext-partial-content).
    PARTIAL_CONTENT = 206, "Partial Content";
    /// 400: the request could not be understood.
    BAD_REQUEST = 400, "Bad Request";
    /// 401: credentials wanted, in the words of some products.
    UNAUTHORIZED = 401, "Unauthorized";
    /// 403: the server refuses this client.
    FORBIDDEN = 403, "Forbidden";
    /// 404: no such service.
    NOT_FOUND = 404, "ICAP Service Not Found";
    /// 405: the service lacks this method.
    METHOD_NOT_ALLOWED = 405, "Method Not Allowed For Service";
    /// 407: credentials wanted.
    PROXY_AUTHENTICATION_REQUIRED = 407, "Proxy Authentication Required";
    /// 408: the server gave up waiting for the request.
    REQUEST_TIMEOUT = 408, "Request Timeout";
    /// 413: the body or preview is too large.
    PAYLOAD_TOO_LARGE = 413, "Payload Too Large";
    /// 414: the request line is too long.
    URI_TOO_LONG = 414, "URI Too Long";
    /// 418: the service needs other encapsulated sections (erratum e5).
    BAD_COMPOSITION = 418, "Bad Composition";
    /// 500: the server failed.
    INTERNAL_SERVER_ERROR = 500, "Server Error";
    /// 501: the server does not know the method.
    NOT_IMPLEMENTED = 501, "Method Not Implemented";
    /// 502: an ICAP proxy failed upstream.
    BAD_GATEWAY = 502, "Bad Gateway";
    /// 503: over a connection limit of this service.
    SERVICE_UNAVAILABLE = 503, "Service Overloaded";
    /// 504: an ICAP proxy waited too long for the answer of its server.
    GATEWAY_TIMEOUT = 504, "Gateway Timeout";
    /// 505: the server does not speak this version.
    VERSION_NOT_SUPPORTED = 505, "ICAP Version Not Supported";
}

impl StatusCode {
    /// The code, `None` outside 100 to 599 (RFC 9110 section 15).
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 599 { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// 2xx.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 <= 299
    }

    /// 4xx or 5xx.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= 400
    }

    /// The three digits.
    pub(crate) const fn digits(self) -> [u8; 3] {
        // The number has three digits, so each of these is below ten.
        [digit(self.0 / 100), digit(self.0 / 10), digit(self.0)]
    }
}

const fn digit(number: u16) -> u8 {
    b'0'.wrapping_add((number % 10) as u8)
}

impl core::fmt::Display for StatusCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}
