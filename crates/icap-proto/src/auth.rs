//! HTTP authentication between an ICAP client and its server (RFC 3507 section 7.1).

use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;

use base64::Engine;

use crate::headers::{Headers, InvalidHeader, unfold};
use crate::identity::BASE64;
use crate::wire::class;

/// User and password of the Basic scheme (RFC 7617), the value of `Proxy-Authorization` or `Authorization`.
///
/// ICAP authenticates from hop to hop like a proxy: a server that wants credentials answers 407 with
/// `Proxy-Authenticate`, the client asks again with `Proxy-Authorization`. Users of the HTTP messages are never
/// asked (RFC 3507 section 7.1). Base64 hides nothing: without TLS everybody on the way reads the password.
///
/// [`Debug`](core::fmt::Debug) shows neither part and there is no `Display`.
///
/// ```
/// use icap_proto::BasicCredentials;
///
/// let credentials = BasicCredentials::new("Aladdin", "open sesame")?;
/// assert_eq!(credentials.to_value(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
/// let received = BasicCredentials::parse(b"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
/// assert!(received.matches(&credentials));
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Clone)]
pub struct BasicCredentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl BasicCredentials {
    /// Credentials of these texts, mostly UTF-8.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when one of them holds a control character or the user a colon
    /// (RFC 7617 section 2).
    pub fn new(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        let (user, password) = (user.as_ref(), password.as_ref());
        let control = |text: &[u8]| text.iter().any(u8::is_ascii_control);
        if control(user) || control(password) || user.contains(&b':') {
            return Err(InvalidHeader::Value);
        }
        Ok(Self { user: user.into(), password: password.into() })
    }

    /// Parses the value of the field, `None` for another scheme, bad base64, or what [`new`](Self::new) refuses.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let blank = value.iter().position(|&b| b == b' ')?;
        let (scheme, token) = value.split_at_checked(blank)?;
        if !scheme.eq_ignore_ascii_case(b"Basic") {
            return None;
        }
        let text = BASE64.decode(class::trim(token)).ok()?;
        let colon = text.iter().position(|&b| b == b':')?;
        let (user, password) = text.split_at_checked(colon)?;
        Self::new(user, password.get(1..)?).ok()
    }

    /// The credentials of a request: of `Proxy-Authorization`, or of `Authorization`, which some clients use. `None`
    /// when there are none, they are malformed, or the first field that is there comes twice.
    #[must_use]
    pub fn read(request: &Headers) -> Option<Self> {
        let name = ["Proxy-Authorization", "Authorization"]
            .into_iter()
            .find(|name| request.get(name).is_some())?;
        let mut values = request.get_all(name);
        let value = values.next()?;
        if values.next().is_some() { None } else { Self::parse(value) }
    }

    /// The value of the field.
    #[must_use]
    pub fn to_value(&self) -> String {
        let text = [&*self.user, b":", &self.password].concat();
        ["Basic ", &BASE64.encode(text)].concat()
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &[u8] {
        &self.password
    }

    /// Whether these credentials of a client are the `expected` ones. How long it takes depends on the lengths of
    /// what the client sent, not on where the two differ.
    #[must_use]
    pub fn matches(&self, expected: &Self) -> bool {
        // Both are looked at, whatever the first comparison says.
        same(&self.user, &expected.user) & same(&self.password, &expected.password)
    }
}

/// Shows that there are credentials and not which.
impl core::fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BasicCredentials([redacted])")
    }
}

/// Compares without stopping at the first difference.
fn same(sent: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(sent.len() != expected.len());
    for (at, byte) in sent.iter().enumerate() {
        let other = expected.get(at).copied().unwrap_or_default();
        difference = black_box(difference | (byte ^ other));
    }
    difference == 0
}

/// A way to authenticate that a server offers, in `Proxy-Authenticate` (407) or `WWW-Authenticate` (401): the scheme
/// and its realm (RFC 9110 section 11.6.1). Other parameters are checked and left out.
///
/// ```text
/// challenge  = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
/// auth-param = token BWS "=" BWS ( token / quoted-string )
/// ```
///
/// ```
/// use icap_proto::Challenge;
///
/// let offered = Challenge::parse(br#"Negotiate, Basic realm="scan", charset="UTF-8""#).unwrap();
/// assert!(offered[0].is("negotiate") && offered[1].is("basic"));
/// assert_eq!(offered[1].realm(), Some(&b"scan"[..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    realm: Option<Vec<u8>>,
}

impl Challenge {
    /// A challenge of this scheme for this realm.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Name`] when the scheme is no token, [`InvalidHeader::Value`] when the realm holds a control
    /// character.
    pub fn new(scheme: &str, realm: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        let realm = realm.as_ref();
        if !class::is_token(scheme.as_bytes()) {
            return Err(InvalidHeader::Name);
        }
        if !class::is_value(realm) {
            return Err(InvalidHeader::Value);
        }
        Ok(Self { scheme: scheme.into(), realm: Some(realm.into()) })
    }

    /// The challenges of all fields of this name, in wire order; those of a malformed field are left out.
    #[must_use]
    pub fn read(headers: &Headers, name: &str) -> Vec<Self> {
        headers.get_all(name).filter_map(Self::parse).flatten().collect()
    }

    /// Parses the value of one field, `None` when it breaks the grammar anywhere.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Vec<Self>> {
        let mut challenges: Vec<Self> = Vec::new();
        for element in elements(&unfold(value)) {
            if let Some((name, argument)) = parameter(element) {
                challenges.last_mut()?.take(name, argument);
                continue;
            }
            let (scheme, rest) = token(element)?;
            let mut challenge = Self { scheme: scheme.into(), realm: None };
            let rest = match rest {
                [] => rest,
                [b' ', rest @ ..] => class::trim(rest),
                _ => return None,
            };
            if let Some((name, argument)) = parameter(rest) {
                challenge.take(name, argument);
            } else if !rest.is_empty() && !is_token68(rest) {
                return None;
            }
            challenges.push(challenge);
        }
        Some(challenges)
    }

    fn take(&mut self, name: &str, argument: Vec<u8>) {
        if name.eq_ignore_ascii_case("realm") {
            self.realm.get_or_insert(argument);
        }
    }

    /// The scheme in the case it came in.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether the scheme is this one, of whatever case.
    #[must_use]
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The realm without its quotes.
    #[must_use]
    pub fn realm(&self) -> Option<&[u8]> {
        self.realm.as_deref()
    }

    /// The value of the field.
    #[must_use]
    pub fn to_value(&self) -> Vec<u8> {
        let mut value = self.scheme.clone().into_bytes();
        if let Some(realm) = &self.realm {
            value.extend_from_slice(b" realm=\"");
            for &byte in realm {
                if matches!(byte, b'"' | b'\\') {
                    value.push(b'\\');
                }
                value.push(byte);
            }
            value.push(b'"');
        }
        value
    }
}

/// The members of a list, cut at commas outside quoted strings, without empty ones. A string that is still open at
/// the end is for [`parameter`] to refuse.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let elements = value.split(move |&byte| {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = byte == b'\\';
            quoted = byte != b'"';
        } else {
            quoted = byte == b'"';
            return byte == b',';
        }
        false
    });
    elements.map(class::trim).filter(|element| !element.is_empty())
}

/// The token at the start and what follows it.
fn token(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (token, rest) = bytes.split_at_checked(class::token_len(bytes))?;
    let token = core::str::from_utf8(token).ok().filter(|token| !token.is_empty())?;
    Some((token, rest))
}

/// `token BWS "=" BWS ( token / quoted-string )`, the argument without its quotes.
fn parameter(element: &[u8]) -> Option<(&str, Vec<u8>)> {
    let (name, rest) = token(element)?;
    let argument = class::trim(class::trim(rest).strip_prefix(b"=")?);
    let Some(quoted) = argument.strip_prefix(b"\"") else {
        return class::is_token(argument).then(|| (name, argument.to_vec()));
    };
    let (mut text, mut escaped) = (Vec::new(), false);
    for (at, &byte) in quoted.iter().enumerate() {
        match byte {
            _ if escaped => {
                text.push(byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => return (at.saturating_add(1) == quoted.len()).then_some((name, text)),
            _ => text.push(byte),
        }
    }
    None
}

fn is_token68(bytes: &[u8]) -> bool {
    let end = bytes.iter().rposition(|&b| b != b'=').map_or(0, |last| last.saturating_add(1));
    let digit = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    end > 0 && bytes.iter().take(end).all(digit)
}
