//! Fields of answers that draft-stecher-icap-subid defines: what a service found, and what it knows of a URL.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use crate::headers::{Headers, InvalidHeader, fold_lines, unfold};
use crate::wire::class;

/// The fields of an answer by which a service says what it found and did (draft-stecher-icap-subid section 4).
///
/// Values are what the server claims; nothing here decides anything. A field that does not follow its grammar is
/// `None` here and still to be read with [`Headers::get`]. Of a repeated field the first counts.
///
/// ```
/// use icap_proto::{AnswerInfo, Headers, InfectionKind};
///
/// let headers = Headers::from_pairs([
///     ("X-Infection-Found", "Type=0; Resolution=2; Threat=EICAR Test String;"),
///     ("X-Attribute", "sport, online-sales"),
/// ])?;
/// let info = AnswerInfo::new(&headers);
/// let infection = info.infection().unwrap();
/// assert_eq!(infection.kind, Some(InfectionKind::Virus));
/// assert_eq!(infection.threat.as_ref(), b"EICAR Test String");
/// assert_eq!(info.attributes().count(), 2);
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AnswerInfo<'a> {
    headers: &'a Headers,
}

impl<'a> AnswerInfo<'a> {
    /// The fields of this head.
    #[must_use]
    pub const fn new(headers: &'a Headers) -> Self {
        Self { headers }
    }

    /// `X-ICAP-Profile`: the profile that was applied, for logs (section 4.1).
    #[must_use]
    pub fn profile(&self) -> Option<Cow<'a, [u8]>> {
        self.text("X-ICAP-Profile")
    }

    /// `X-Attribute`: what kind of content it is (section 4.2).
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.headers.list("X-Attribute").map(Attribute::parse)
    }

    /// `X-Attribute-Cacheability`: for whom the attributes may be used again (section 4.3). All when the field is
    /// absent, `None` when it is malformed: then for nobody.
    #[must_use]
    pub fn attribute_cacheability(&self) -> Option<AttributeCacheability<'a>> {
        match self.headers.get("X-Attribute-Cacheability") {
            Some(value) => AttributeCacheability::parse(value),
            None => Some(AttributeCacheability::All),
        }
    }

    /// `X-Attribute-Prefix`: how many bytes of the path of the URL, from its `/` on, a URL must share to have the
    /// same attributes; at least 1 (section 4.4). `None`: they are of the one URL.
    #[must_use]
    pub fn attribute_prefix(&self) -> Option<u64> {
        let length = class::decimal(self.headers.get("X-Attribute-Prefix")?)?;
        (length > 0).then_some(length)
    }

    /// `X-Infection-Found` (section 4.5). That it is present does not say that something was found.
    #[must_use]
    pub fn infection(&self) -> Option<InfectionFound<'a>> {
        InfectionFound::parse(self.headers.get("X-Infection-Found")?)
    }

    /// `X-Violations-Found` (section 4.6).
    #[must_use]
    pub fn violations(&self) -> Option<ViolationsFound<'a>> {
        ViolationsFound::parse(self.headers.get("X-Violations-Found")?)
    }

    /// `X-Virus-ID`: the threat in one line of text (section 4.7).
    #[must_use]
    pub fn virus_id(&self) -> Option<Cow<'a, [u8]>> {
        self.text("X-Virus-ID")
    }

    /// `X-Response-Info`: what was done, in one word (section 4.8).
    #[must_use]
    pub fn response_info(&self) -> Option<&'a str> {
        let word = self.headers.get("X-Response-Info")?;
        core::str::from_utf8(word).ok().filter(|word| class::is_token(word.as_bytes()))
    }

    /// `X-Response-Desc`: what was done, in one line of text (section 4.9).
    #[must_use]
    pub fn response_desc(&self) -> Option<Cow<'a, [u8]>> {
        self.text("X-Response-Desc")
    }

    /// `X-Next-Services`: the services to ask next, by the names they have at the client (Squid). An empty list ends
    /// the chain, `None` leaves it as it is. Only for clients that were told to let this service decide.
    #[must_use]
    pub fn next_services(&self) -> Option<Vec<&'a [u8]>> {
        self.headers.get("X-Next-Services")?;
        Some(self.headers.list("X-Next-Services").collect())
    }

    fn text(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.headers.get(name).map(unfold)
    }
}

/// A member of `X-Attribute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute<'a> {
    /// An unsigned number.
    Number(u64),
    /// A name: a token that is not a number.
    Name(&'a str),
    /// Something else, as it stands there; c-icap writes `name=score`.
    Other(&'a [u8]),
}

impl<'a> Attribute<'a> {
    /// The attribute of a list member.
    #[must_use]
    pub fn parse(member: &'a [u8]) -> Self {
        if let Some(number) = class::decimal(member) {
            return Self::Number(number);
        }
        match core::str::from_utf8(member) {
            Ok(name) if class::is_token(member) => Self::Name(name),
            _ => Self::Other(member),
        }
    }

    /// The value of `X-Attribute` with these members.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] for an empty list, for a name that is no token or would be read as a number, and for
    /// [`Other`](Self::Other), which the grammar does not have.
    pub fn to_value(attributes: &[Self]) -> Result<Vec<u8>, InvalidHeader> {
        let mut value = Vec::new();
        for attribute in attributes {
            if !value.is_empty() {
                value.extend_from_slice(b", ");
            }
            match attribute {
                Self::Number(number) => value.extend_from_slice(format!("{number}").as_bytes()),
                Self::Name(name) if Self::parse(name.as_bytes()) == *attribute => {
                    value.extend_from_slice(name.as_bytes());
                }
                _ => return Err(InvalidHeader::Value),
            }
        }
        if value.is_empty() { Err(InvalidHeader::Value) } else { Ok(value) }
    }
}

/// For whom the attributes of an answer may be used again.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeCacheability<'a> {
    /// For every client.
    All,
    /// For this user, named as in `X-Authenticated-User`: base64, compared as it stands.
    User(&'a [u8]),
    /// For these groups, named as in `X-Authenticated-Groups`: base64, compared as it stands.
    Group(&'a [u8]),
}

impl<'a> AttributeCacheability<'a> {
    /// Parses `all`, `user=name` or `group=names`.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let is_name = |name: &[u8]| {
            let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
            !name.is_empty() && name.iter().all(base64)
        };
        if value.eq_ignore_ascii_case(b"all") {
            return Some(Self::All);
        }
        let equals = value.iter().position(|&b| b == b'=')?;
        let (kind, name) = value.split_at_checked(equals)?;
        let name = name.strip_prefix(b"=").filter(|name| is_name(name))?;
        if kind.eq_ignore_ascii_case(b"user") {
            Some(Self::User(name))
        } else if kind.eq_ignore_ascii_case(b"group") {
            Some(Self::Group(name))
        } else {
            None
        }
    }

    /// The value of the field.
    #[must_use]
    pub fn to_value(&self) -> Vec<u8> {
        match self {
            Self::All => b"all".to_vec(),
            Self::User(name) => [b"user=", *name].concat(),
            Self::Group(name) => [b"group=", *name].concat(),
        }
    }
}

/// Names are personal data and are not shown.
impl core::fmt::Debug for AttributeCacheability<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::User(_) => "User([redacted])",
            Self::Group(_) => "Group([redacted])",
        })
    }
}

/// Declares an enum of the numbers that a field may hold.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            fn from_digits(digits: &[u8]) -> Option<Self> {
                match class::decimal(digits)? {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)* }
            }
        }
    };
}

numbers! {
    /// What was found.
    InfectionKind {
        /// 0: a virus or the like.
        Virus = 0,
        /// 1: a violation of a mail policy, such as a forbidden attachment.
        MailPolicy = 1,
        /// 2: a container that cannot or must not be unpacked.
        Container = 2,
    }
}

numbers! {
    /// What was done about it. Products that block say 0 or 2, so 0 does not mean that a file may pass.
    Resolution {
        /// 0: the file was not repaired.
        NotRepaired = 0,
        /// 1: the answer holds the repaired file.
        Repaired = 1,
        /// 2: the file is to be blocked; of a part of a container, it was removed.
        Blocked = 2,
    }
}

/// `X-Infection-Found` (draft-stecher-icap-subid section 4.5).
///
/// ```text
/// X-Infection-Found: Type=0; Resolution=2; Threat=EICAR Test String;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InfectionFound<'a> {
    /// `Type`; `None` when it is missing or unknown.
    pub kind: Option<InfectionKind>,
    /// `Resolution`; `None` when it is missing or unknown.
    pub resolution: Option<Resolution>,
    /// `Threat`: text for people, perhaps empty, in no known encoding.
    pub threat: Cow<'a, [u8]>,
}

impl<'a> InfectionFound<'a> {
    /// What a service reports. `threat` is checked by [`to_value`](Self::to_value).
    #[must_use]
    pub const fn new(kind: InfectionKind, resolution: Resolution, threat: &'a [u8]) -> Self {
        Self { kind: Some(kind), resolution: Some(resolution), threat: Cow::Borrowed(threat) }
    }

    /// Parses the value of the field, `None` when it has none of the three parameters.
    ///
    /// Products leave parameters or the last semicolon out and write names in another case; all that is taken. Of a
    /// parameter that comes twice the first counts, unless it is empty.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut found = Self { kind: None, resolution: None, threat: Cow::Borrowed(b"") };
        let mut any = false;
        for parameter in value.split(|&b| b == b';') {
            let Some(equals) = parameter.iter().position(|&b| b == b'=') else { continue };
            let (name, text) = parameter.split_at_checked(equals).unwrap_or_default();
            let text = text.strip_prefix(b"=").unwrap_or_default().trim_ascii();
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case(b"type") {
                found.kind = found.kind.or_else(|| InfectionKind::from_digits(text));
            } else if name.eq_ignore_ascii_case(b"resolution") {
                found.resolution = found.resolution.or_else(|| Resolution::from_digits(text));
            } else if name.eq_ignore_ascii_case(b"threat") {
                if found.threat.is_empty() {
                    found.threat = unfold(text);
                }
            } else {
                continue;
            }
            any = true;
        }
        any.then_some(found)
    }

    /// The value of the field in the form of the draft.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when the type or resolution is not known, or the threat holds a semicolon or a
    /// control character.
    pub fn to_value(&self) -> Result<Vec<u8>, InvalidHeader> {
        let (Some(kind), Some(resolution)) = (self.kind, self.resolution) else {
            return Err(InvalidHeader::Value);
        };
        if !class::is_value(&self.threat) || self.threat.contains(&b';') {
            return Err(InvalidHeader::Value);
        }
        let start = format!("Type={}; Resolution={}; Threat=", kind.number(), resolution.number());
        Ok([start.as_bytes(), self.threat.trim_ascii(), b";"].concat())
    }
}

/// `X-Violations-Found` (draft-stecher-icap-subid section 4.6): a count, then four lines for each violation.
///
/// ```text
/// X-Violations-Found: 1
///     test.zip/dir1/eicar.com
///     EICAR Test String
///     11101
///     2
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViolationsFound<'a> {
    count: u64,
    value: &'a [u8],
}

impl<'a> ViolationsFound<'a> {
    /// Parses the value of the field with its folds, `None` when its first line is no number. Some products write
    /// `-` for none, and a proxy that unfolds leaves one line that cannot be cut again.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let count = class::decimal(fold_lines(value).next()?)?;
        Some(Self { count, value })
    }

    /// The number in the first line. Some products count wrong; what is there is what [`iter`](Self::iter) gives.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The violations whose four lines are all there.
    pub fn iter(&self) -> impl Iterator<Item = Violation<'a>> + use<'a> {
        let mut lines = fold_lines(self.value).skip(1);
        core::iter::from_fn(move || {
            Some(Violation {
                file: lines.next()?,
                description: lines.next()?,
                problem_id: class::decimal(lines.next()?),
                resolution: Resolution::from_digits(lines.next()?),
            })
        })
    }
}

/// One violation of [`ViolationsFound`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation<'a> {
    /// The file, perhaps one inside an archive; `-` from products that do not say.
    pub file: &'a [u8],
    /// The threat or the rule: text for people, in no known encoding.
    pub description: &'a [u8],
    /// The number of the problem; `None` when there is none in the line.
    pub problem_id: Option<u64>,
    /// What was done; `None` when the line holds nothing that is known.
    pub resolution: Option<Resolution>,
}

/// The body of an answer to OPTIONS whose `Opt-body-type` is `Attribute-List`: every member that `X-Attribute` may
/// have (draft-stecher-icap-subid section 5.2).
///
/// ```
/// let body = b"X-ICAP-Attribute-XYZTech\r\n  gambling\r\n  jobs\r\n;\r\n";
/// let list = icap_proto::AttributeList::parse(body).unwrap();
/// assert_eq!((list.service_id(), list.attributes().len()), (&b"XYZTech"[..], 2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeList<'a> {
    service_id: &'a [u8],
    attributes: Vec<Attribute<'a>>,
}

impl<'a> AttributeList<'a> {
    /// Parses a whole body, `None` when it lacks the first line or the semicolon at the end. The caller bounds the
    /// size of the body.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut lines = fold_lines(body).filter(|line| !line.is_empty());
        let service_id = lines.next()?.strip_prefix(b"X-ICAP-Attribute-")?;
        let mut attributes = Vec::new();
        loop {
            match lines.next()? {
                b";" => return Some(Self { service_id, attributes }),
                line => attributes.push(Attribute::parse(line)),
            }
        }
    }

    /// The `Service-ID` of the service whose attributes these are.
    #[must_use]
    pub const fn service_id(&self) -> &'a [u8] {
        self.service_id
    }

    /// The attributes in the order of the list.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }
}
