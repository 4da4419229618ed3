//! Who sent the message that is adapted, as the client says (draft-stecher-icap-subid section 3).

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::headers::{Headers, InvalidHeader, unfold};
use crate::options::ServiceOptions;
use crate::request::RequestBuilder;
use crate::wire::class;

/// Base64 of RFC 4648 section 4. Products leave the padding out now and then.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const CLIENT_IP: &str = "X-Client-IP";
const SERVER_IP: &str = "X-Server-IP";
const SUBSCRIBER_ID: &str = "X-Subscriber-ID";
const USER: &str = "X-Authenticated-User";
const GROUPS: &str = "X-Authenticated-Groups";
const CLIENT_USERNAME: &str = "X-Client-Username";

/// Who sent the HTTP request and where it went, as fields of a REQMOD or RESPMOD request.
///
/// A client writes what it knows and the service asked for ([`requested_by`](Self::requested_by)); unknown parts are
/// left out. A server may believe the fields only from peers that are configured as its clients and reached over a
/// path that nobody else writes to: anybody who can connect can claim to be anyone. They travel in the clear unless
/// the connection is TLS.
///
/// All of it is personal data: [`Debug`](core::fmt::Debug) shows which parts are there and nothing of them.
///
/// ```
/// use icap_proto::{Headers, Identity, Principal};
///
/// let mut headers = Headers::new();
/// Identity::new()
///     .with_client_ip("192.168.3.67".parse()?)
///     .with_user(Principal::uri("Local", "mike.smith")?)
///     .write(&mut headers)?;
/// assert_eq!(headers.get("X-Authenticated-User"), Some(&b"TG9jYWw6Ly9taWtlLnNtaXRo"[..]));
///
/// let identity = Identity::read(&headers);
/// let user = identity.user().unwrap();
/// assert_eq!((user.scheme(), user.path()), (Some("Local"), &b"mike.smith"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    client_ip: Option<IpAddr>,
    server_ip: Option<IpAddr>,
    subscriber_id: Option<Vec<u8>>,
    user: Option<Principal>,
    groups: Vec<Principal>,
    client_username: Option<Principal>,
}

impl Identity {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the fields. What is malformed, empty, or given twice with different values counts as unknown; it is
    /// still to be read with [`Headers::get_all`].
    #[must_use]
    pub fn read(headers: &Headers) -> Self {
        let ip = |name| core::str::from_utf8(single(headers, name)?).ok()?.parse().ok();
        let principal = |name| Principal::read(single(headers, name)?);
        let mut groups = Vec::new();
        for value in headers.get_all(GROUPS) {
            read_groups(value, &mut groups);
        }
        Self {
            client_ip: ip(CLIENT_IP),
            server_ip: ip(SERVER_IP),
            subscriber_id: single(headers, SUBSCRIBER_ID).map(|id| unfold(id).into_owned()),
            user: principal(USER),
            groups,
            client_username: principal(CLIENT_USERNAME),
        }
    }

    /// The parts that a service asks for with `X-Include`; a client sends no others, unless it is configured to
    /// (draft-stecher-icap-subid section 5.1).
    #[must_use]
    pub fn requested_by(&self, options: &ServiceOptions) -> Self {
        fn only<T: Clone>(part: &Option<T>, asked: bool) -> Option<T> {
            if asked { part.clone() } else { None }
        }
        let asked = |name| options.includes(name);
        Self {
            client_ip: only(&self.client_ip, asked(CLIENT_IP)),
            server_ip: only(&self.server_ip, asked(SERVER_IP)),
            subscriber_id: only(&self.subscriber_id, asked(SUBSCRIBER_ID)),
            user: only(&self.user, asked(USER)),
            groups: if asked(GROUPS) { self.groups.clone() } else { Vec::new() },
            client_username: only(&self.client_username, asked(CLIENT_USERNAME)),
        }
    }

    /// Writes the known parts in place of fields of their names. Groups go into one field as base64, with LF between
    /// them; if one of them is [`Encoding::Plain`], each goes into a field of its own.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when a value cannot stand in a field. Nothing is changed.
    pub fn write(&self, headers: &mut Headers) -> Result<(), InvalidHeader> {
        let mut written = headers.clone();
        let fields: Vec<_> = self.fields().collect();
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        names.dedup();
        for name in names {
            written.remove(name);
        }
        for (name, value) in fields {
            written.append(name, value)?;
        }
        *headers = written;
        Ok(())
    }

    /// Adds the known parts to a request.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when a value cannot stand in a field.
    pub fn add_to(&self, request: RequestBuilder) -> Result<RequestBuilder, InvalidHeader> {
        self.fields().try_fold(request, |request, (name, value)| request.header(name, value))
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string().into_bytes());
        let single = [
            (CLIENT_IP, ip(self.client_ip)),
            (SERVER_IP, ip(self.server_ip)),
            (SUBSCRIBER_ID, self.subscriber_id.clone()),
            (USER, self.user.as_ref().map(Principal::to_value)),
            (CLIENT_USERNAME, self.client_username.as_ref().map(Principal::to_value)),
        ];
        let plain = self.groups.iter().any(|group| group.encoding == Encoding::Plain);
        let groups = if self.groups.is_empty() {
            Vec::new()
        } else if plain {
            self.groups.iter().map(Principal::to_value).collect()
        } else {
            let names: Vec<&[u8]> = self.groups.iter().map(Principal::as_bytes).collect();
            Vec::from([BASE64.encode(names.join(&b'\n')).into_bytes()])
        };
        let single = single.into_iter().filter_map(|(name, value)| Some((name, value?)));
        single.chain(groups.into_iter().map(|value| (GROUPS, value)))
    }

    /// The address that the HTTP request came from (`X-Client-IP`), also of a RESPMOD.
    #[must_use]
    pub fn with_client_ip(mut self, address: IpAddr) -> Self {
        self.client_ip = Some(address);
        self
    }

    /// The address of the origin server, not that of a proxy on the way (`X-Server-IP`).
    #[must_use]
    pub fn with_server_ip(mut self, address: IpAddr) -> Self {
        self.server_ip = Some(address);
        self
    }

    /// What identifies the subscriber, in a form of the operator's choice (`X-Subscriber-ID`).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when it is empty, holds a control character, or starts or ends in a blank.
    pub fn with_subscriber_id(mut self, id: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        self.subscriber_id = Some(checked(id.as_ref())?.to_vec());
        Ok(self)
    }

    /// The user who sent the request (`X-Authenticated-User`).
    #[must_use]
    pub fn with_user(mut self, user: Principal) -> Self {
        self.user = Some(user);
        self
    }

    /// Another group of the user (`X-Authenticated-Groups`).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] for a name with a comma at which a reader of comma lists would cut it: what stands
    /// behind would be a group that nobody gave the user. Also for base64 of a name without a scheme, which nobody
    /// could tell from a plain name.
    pub fn with_group(mut self, group: Principal) -> Result<Self, InvalidHeader> {
        let readable = group.encoding == Encoding::Plain || group.scheme().is_some();
        if !readable || cut(&group.name) != [&*group.name] {
            return Err(InvalidHeader::Value);
        }
        self.groups.push(group);
        Ok(self)
    }

    /// The user as Squid names it (`X-Client-Username`): plain by default, base64 where the service expects that.
    #[must_use]
    pub fn with_client_username(mut self, user: Principal) -> Self {
        self.client_username = Some(user);
        self
    }

    /// The address that the HTTP request came from.
    #[must_use]
    pub const fn client_ip(&self) -> Option<IpAddr> {
        self.client_ip
    }

    /// The address of the origin server.
    #[must_use]
    pub const fn server_ip(&self) -> Option<IpAddr> {
        self.server_ip
    }

    /// What identifies the subscriber.
    #[must_use]
    pub fn subscriber_id(&self) -> Option<&[u8]> {
        self.subscriber_id.as_deref()
    }

    /// The user who sent the request.
    #[must_use]
    pub const fn user(&self) -> Option<&Principal> {
        self.user.as_ref()
    }

    /// The groups of the user.
    #[must_use]
    pub fn groups(&self) -> &[Principal] {
        &self.groups
    }

    /// The user as Squid names it. Base64 of a name without a scheme cannot be told from a plain name:
    /// [`Principal::decoded`] is for servers that know what their client sends.
    #[must_use]
    pub const fn client_username(&self) -> Option<&Principal> {
        self.client_username.as_ref()
    }
}

/// Shows which parts are known, and not what they are.
impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let known = |known: bool| if known { "[redacted]" } else { "unknown" };
        f.debug_struct("Identity")
            .field("client_ip", &known(self.client_ip.is_some()))
            .field("server_ip", &known(self.server_ip.is_some()))
            .field("subscriber_id", &known(self.subscriber_id.is_some()))
            .field("user", &known(self.user.is_some()))
            .field("groups", &self.groups.len())
            .field("client_username", &known(self.client_username.is_some()))
            .finish()
    }
}

/// How a name stands in its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Base64, as draft-stecher-icap-subid wants users and groups.
    Base64,
    /// As it is, as many products send it.
    Plain,
}

/// A user or a group: a text, mostly `scheme://path`, and how it is written.
///
/// Schemes of the draft are `WinNT`, `LDAP`, `Radius` and `Local`, of whatever case; any other is kept as it is, as
/// are names without one (`DOMAIN\user`, `user@domain`). Names are bytes in no known encoding.
/// [`Debug`](core::fmt::Debug) does not show them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    name: Vec<u8>,
    encoding: Encoding,
}

impl Principal {
    /// `scheme://path`, to be written as base64: `WinNT` with `domain/user`, `LDAP` with `server/name`, `Local`
    /// with `user`.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Name`] for a scheme that cannot be one, [`InvalidHeader::Value`] as [`new`](Self::new).
    pub fn uri(scheme: &str, path: impl AsRef<[u8]>) -> Result<Self, InvalidHeader> {
        if !is_scheme(scheme.as_bytes()) {
            return Err(InvalidHeader::Name);
        }
        let name = [scheme.as_bytes(), b"://", checked(path.as_ref())?].concat();
        Self::new(name, Encoding::Base64)
    }

    /// A name of any form.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when it is empty, holds a control character (CR, LF and NUL too when base64 would
    /// hide them: behind it the name is cut at LF), starts or ends in a blank, or is to be written plain and would
    /// be read as the base64 of another name.
    pub fn new(name: impl AsRef<[u8]>, encoding: Encoding) -> Result<Self, InvalidHeader> {
        let name = checked(name.as_ref())?;
        if encoding == Encoding::Plain && decode_uris(name).is_some() {
            return Err(InvalidHeader::Value);
        }
        Ok(Self { name: name.to_vec(), encoding })
    }

    /// Reads a value: as base64 if `scheme://path` comes out, else as it stands; `None` for an empty one.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        match decode_uris(value).as_deref() {
            Some([name]) => Some(Self { name: name.clone(), encoding: Encoding::Base64 }),
            _ => Self::plain(value),
        }
    }

    /// The name that this one is the base64 of, for servers whose clients encode names without a scheme (Squid with
    /// `icap_client_username_encode on`). `None` when it is no base64, came as base64 already, or holds a control
    /// character.
    #[must_use]
    pub fn decoded(&self) -> Option<Self> {
        let name = BASE64.decode(&self.name).ok().filter(|_| self.encoding == Encoding::Plain)?;
        checked(&name).is_ok().then_some(Self { name, encoding: Encoding::Base64 })
    }

    fn plain(value: &[u8]) -> Option<Self> {
        let name = unfold(value).trim_ascii().to_vec();
        (!name.is_empty()).then_some(Self { name, encoding: Encoding::Plain })
    }

    /// The part in front of `://`, in the case it came in.
    #[must_use]
    pub fn scheme(&self) -> Option<&str> {
        core::str::from_utf8(split_scheme(&self.name)?.0).ok()
    }

    /// Whether the scheme is this one, of whatever case.
    #[must_use]
    pub fn has_scheme(&self, scheme: &str) -> bool {
        self.scheme().is_some_and(|own| own.eq_ignore_ascii_case(scheme))
    }

    /// What stands behind `://`; all of a name without a scheme.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        split_scheme(&self.name).map_or(&*self.name, |(_, path)| path)
    }

    /// The whole name, decoded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.name
    }

    /// How the name came or is to be written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The value of the field.
    #[must_use]
    pub fn to_value(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Base64 => BASE64.encode(&self.name).into_bytes(),
            Encoding::Plain => self.name.clone(),
        }
    }
}

/// Shows the encoding and not the name.
impl core::fmt::Debug for Principal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Principal").field(&self.encoding).field(&"[redacted]").finish()
    }
}

/// The value of a field that is there once, or again with the same value, and is not empty.
fn single<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a [u8]> {
    let first = headers.get(name).filter(|value| !value.is_empty())?;
    headers.get_all(name).all(|value| value == first).then_some(first)
}

/// The groups of one field: base64 of a list with LF, a comma list of base64, or plain text.
fn read_groups(value: &[u8], groups: &mut Vec<Principal>) {
    let base64 = |names: Vec<Vec<u8>>| {
        let lists: Vec<_> = names.iter().flat_map(|name| cut(name)).map(<[u8]>::to_vec).collect();
        lists.into_iter().map(|name| Principal { name, encoding: Encoding::Base64 })
    };
    let members = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
    let members = members.filter(|member| !member.is_empty()).map(decode_uris);
    if let Some(names) = decode_uris(value) {
        groups.extend(base64(names));
    } else if let Some(lists) = members.collect::<Option<Vec<_>>>() {
        groups.extend(base64(lists.concat()));
    } else {
        groups.extend(cut(&unfold(value)).into_iter().filter_map(Principal::plain));
    }
}

/// Cuts a text at the commas between names. With schemes a name starts at each scheme, so that the commas of
/// distinguished names do not count; without any, a text that holds `=` is one such name.
fn cut(text: &[u8]) -> Vec<&[u8]> {
    let has_scheme = |part: &[u8]| split_scheme(part.trim_ascii_start()).is_some();
    let (schemes, one_name) = (has_scheme(text), text.contains(&b'='));
    let mut names = Vec::new();
    let (mut start, mut rest) = (0usize, 0usize);
    for part in text.split(|&b| b == b',') {
        let begins = rest > 0 && if schemes { has_scheme(part) } else { !one_name };
        if begins {
            names.push(text.get(start..rest.saturating_sub(1)).unwrap_or_default().trim_ascii());
            start = rest;
        }
        rest = rest.saturating_add(part.len()).saturating_add(1);
    }
    names.push(text.get(start..).unwrap_or_default().trim_ascii());
    names.retain(|name| !name.is_empty());
    names
}

/// The lines of the base64 of `scheme://path` lines, `None` when it is none.
fn decode_uris(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    // A fold may stand anywhere in base64; blanks may not.
    let folded = value.contains(&b'\n');
    let digits = value.iter().copied().filter(|b| !(folded && b.is_ascii_whitespace()));
    let text = BASE64.decode(digits.collect::<Vec<u8>>()).ok()?;
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<Vec<u8>> = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    let fits = |line: &Vec<u8>| class::is_value(line) && split_scheme(line).is_some();
    (!lines.is_empty() && lines.iter().all(fits)).then_some(lines)
}

fn split_scheme(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = name.iter().position(|&b| b == b':')?;
    let (scheme, rest) = name.split_at_checked(colon)?;
    let path = rest.strip_prefix(b"://")?;
    is_scheme(scheme).then_some((scheme, path))
}

/// `scheme` of RFC 3986 section 3.1.
fn is_scheme(scheme: &[u8]) -> bool {
    let rest = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(rest)
}

/// A text that a field gives back as it was put in.
fn checked(text: &[u8]) -> Result<&[u8], InvalidHeader> {
    let fits = !text.is_empty() && class::is_value(text) && text.trim_ascii() == text;
    if fits { Ok(text) } else { Err(InvalidHeader::Value) }
}
