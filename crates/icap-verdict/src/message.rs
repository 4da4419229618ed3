//! The HTTP message around a bare file.
//!
//! ICAP adapts HTTP, so a file needs a message to travel in: an upload in REQMOD, a download in RESPMOD. The URL
//! is a placeholder, `http://misc/<name>`, which nobody resolves; servers read the file name and type off it and write
//! it to their logs.

use std::borrow::Cow;

#[cfg(feature = "identity")]
use icap_proto::Identity;
use icap_proto::{Headers, HttpHead, InvalidHeader, Method};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::profile::{Direction, Profile};

/// What RFC 3986 calls unreserved stays as it is.
const PATH_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The host of the placeholder for where the file would be sent to or come from.
const PLACEHOLDER: &str = "misc";

impl Direction {
    /// The ICAP method that goes with it.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Upload => Method::Reqmod,
            Self::Download => Method::Respmod,
        }
    }
}

/// A file that is to travel in an HTTP message.
///
/// ```
/// use icap_verdict::message::File;
/// use icap_verdict::{Direction, Profile};
///
/// let profile = Profile::named("trend-visionone-fs").ok_or("no such profile")?;
/// let message = File::new("Q3 report.pdf").length(5).message(profile, Direction::Download)?;
/// assert_eq!(message.request.target(), Some("http://misc/Q3%20report.pdf"));
/// let response = message.response.ok_or("a download has a response")?;
/// assert_eq!(response.headers().get("Content-Type"), Some(&b"application/pdf"[..]));
/// assert_eq!(message.icap.get("X-scan-file-name"), Some(&b"Q3 report.pdf"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a file is nothing on the wire until message"]
pub struct File<'a> {
    name: &'a str,
    length: Option<u64>,
    content_type: Option<&'a str>,
    url: Option<&'a str>,
    #[cfg(feature = "identity")]
    identity: Option<&'a Identity>,
}

/// The heads of a message around a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Message {
    /// The request: the upload itself, or what the download answers. Many servers want to see it in RESPMOD too.
    pub request: HttpHead,
    /// The response of a download.
    pub response: Option<HttpHead>,
    /// Fields for the ICAP request: the file name where the product wants it there, and who sends.
    pub icap: Headers,
}

impl Message {
    /// The head that the file stands behind: what is adapted, and what an answer is compared with.
    #[must_use]
    pub const fn adapted(&self) -> &HttpHead {
        match &self.response {
            Some(response) => response,
            None => &self.request,
        }
    }
}

impl<'a> File<'a> {
    /// A file of this name, without its path. The name decides the media type.
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            length: None,
            content_type: None,
            url: None,
            #[cfg(feature = "identity")]
            identity: None,
        }
    }

    /// Its length, which becomes Content-Length. Some products look at nothing without one.
    pub const fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    /// Its media type, where the name does not tell.
    pub const fn content_type(mut self, media_type: &'a str) -> Self {
        self.content_type = Some(media_type);
        self
    }

    /// Where it would be sent to or comes from, in place of `http://misc/<name>`: an absolute URL, encoded.
    pub const fn url(mut self, url: &'a str) -> Self {
        self.url = Some(url);
        self
    }

    /// Who sends it or gets it. What the service does not ask for is the caller's to leave out
    /// ([`Identity::requested_by`]).
    #[cfg(feature = "identity")]
    pub const fn identity(mut self, identity: &'a Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The heads as the product wants them.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] for a URL that is not absolute or holds blanks, for a media type with control characters, and
    /// for an HTTP method of the profile that is no token. None for any name: what cannot stand in a URL is
    /// percent-encoded.
    pub fn message(
        &self,
        profile: &Profile,
        direction: Direction,
    ) -> Result<Message, InvalidHeader> {
        let (url, host) = match self.url {
            Some(url) => (Cow::Borrowed(url), host(url)?),
            None => (self.placeholder().into(), PLACEHOLDER),
        };
        let host = ("Host", host);
        let content_type = self.content_type.unwrap_or_else(|| guessed(self.name));
        let length = self.length.map(|length| length.to_string());
        let length = length.as_deref().map(|length| ("Content-Length", length));
        let entity = std::iter::once(("Content-Type", content_type)).chain(length);
        let (request, response) = match direction {
            Direction::Upload => {
                let fields = std::iter::once(host).chain(entity);
                (HttpHead::request(&profile.ask.http_method, &url, fields)?, None)
            }
            Direction::Download => {
                let response = HttpHead::response(200, "OK", entity)?;
                (HttpHead::request("GET", &url, [host])?, Some(response))
            }
        };
        Ok(Message { request, response, icap: self.icap_fields(profile)? })
    }

    fn placeholder(&self) -> String {
        // Most names need no encoding, and then this borrows them.
        let segment = Cow::from(utf8_percent_encode(self.name, PATH_SEGMENT));
        ["http://", PLACEHOLDER, "/", &segment].concat()
    }

    fn icap_fields(&self, profile: &Profile) -> Result<Headers, InvalidHeader> {
        let mut icap = Headers::new();
        if let Some(field) = &profile.ask.name_field {
            icap.append(field, utf8_percent_encode(self.name, CONTROLS).to_string())?;
        }
        #[cfg(feature = "identity")]
        if let Some(identity) = self.identity {
            identity.write(&mut icap)?;
        }
        Ok(icap)
    }
}

/// The media type that goes with the name.
fn guessed(name: &str) -> &'static str {
    mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream")
}

/// The authority of an absolute URL, without a user.
fn host(url: &str) -> Result<&str, InvalidHeader> {
    let (_, rest) = url.split_once("://").ok_or(InvalidHeader::Value)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() { Err(InvalidHeader::Value) } else { Ok(host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(name: &str) -> Message {
        File::new(name).length(5).message(Profile::auto(), Direction::Upload).unwrap()
    }

    #[test]
    fn any_name_makes_a_message() {
        for name in ["", "a b", "ä\r\nX: y", "../../etc/passwd", "\u{0}", "%41", "a?b#c"] {
            let message = upload(name);
            assert!(message.request.headers().get("X").is_none());
            let target = message.request.target().unwrap();
            let segment = target.strip_prefix("http://misc/").unwrap();
            assert!(!segment.contains(['\r', '\n', ' ', '\0', '/', '?', '#']), "{target}");
            for profile in Profile::built_in() {
                File::new(name).message(profile, Direction::Download).unwrap();
            }
        }
    }

    #[test]
    fn the_heads_of_an_upload() {
        let message = upload("a.txt");
        let expected = b"PUT http://misc/a.txt HTTP/1.1\r\nHost: misc\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(message.adapted().as_bytes(), expected);
        assert!(message.response.is_none() && message.icap.is_empty());
    }

    #[test]
    fn another_url_and_type() {
        let file =
            File::new("a.bin").content_type("image/png").url("https://user@files.example:8443/x?y");
        let message = file.message(Profile::auto(), Direction::Upload).unwrap();
        assert_eq!(message.request.headers().get("Host"), Some(&b"files.example:8443"[..]));
        assert_eq!(message.request.headers().get("Content-Type"), Some(&b"image/png"[..]));
        for bad in ["/x", "http://", "http:///x", "http://a b/", "http://a/\r\nX: y"] {
            assert!(
                File::new("a").url(bad).message(Profile::auto(), Direction::Upload).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_type_is_that_of_the_name() {
        let named = [
            ("a.pdf", "application/pdf"),
            ("A.PDF", "application/pdf"),
            ("a", "application/octet-stream"),
            ("a.nobody-knows", "application/octet-stream"),
        ];
        for (name, media_type) in named {
            let head = upload(name).request;
            assert_eq!(head.headers().get("Content-Type"), Some(media_type.as_bytes()), "{name}");
        }
    }

    #[cfg(feature = "identity")]
    #[test]
    fn who_sends_goes_into_the_icap_head() {
        use icap_proto::Principal;

        let identity =
            Identity::new().with_user(Principal::uri("WinNT", "MYDOMAIN/user1").unwrap());
        let file = File::new("a.txt").identity(&identity);
        let message = file.message(Profile::auto(), Direction::Upload).unwrap();
        let user = message.icap.get("X-Authenticated-User");
        assert_eq!(user, Some(&b"V2luTlQ6Ly9NWURPTUFJTi91c2VyMQ=="[..]));
    }
}
