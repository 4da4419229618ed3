//! What is known of a product, as data.

#[cfg(feature = "toml")]
mod from_toml;

use std::borrow::Cow;

use icap_proto::{Headers, Leniency};

use crate::answer::Answer;
use crate::evaluate;
use crate::fields::Fields;
use crate::problem::ProblemKind;
use crate::profiles;
use crate::threat::Category;
use crate::verdict::Verdict;

#[cfg(feature = "toml")]
pub use from_toml::ProfileError;

/// What is known of a product: how to ask it, how to read its answers, and what its administrator must switch on
/// for blocks to be seen.
///
/// Built in are the products of [`Profile::built_in`]; others are made by changing one of them, in code or, with the
/// feature `toml`, in a file (`Profile::from_toml`). A profile can make the reading stricter or explain what a product
/// says in its own way; no setting turns a finding into a permission.
///
/// ```
/// use icap_verdict::Profile;
///
/// let symantec = Profile::named("symantec-dlp").ok_or("no such profile")?;
/// assert_eq!(symantec.ask.max_concurrent, Some(16));
/// assert!(symantec.operator.checklist.iter().any(|line| line.contains("Trial Mode")));
///
/// let mut own = Profile::named("reqmod").ok_or("no such profile")?.clone();
/// own.name = "our-dlp".into();
/// own.ask.min_bytes = Some(30);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Profile {
    /// The name by which it is chosen.
    pub name: Text,
    /// Other names for it.
    pub aliases: Texts,
    /// The product, for people.
    pub product: Text,
    /// Fields of answers by which [`Profile::recognise`] knows the product.
    pub marks: Cow<'static, [Mark]>,
    /// Whether another profile takes its place when the marks of that one are seen.
    pub recognises: bool,
    /// How the product wants to be asked.
    pub ask: Ask,
    /// How its answers are read.
    pub read: Reading,
    /// What its administrator has to know.
    pub operator: Operator,
}

/// Text of a built-in profile or of the user's own.
pub type Text = Cow<'static, str>;
/// A list of [`Text`].
pub type Texts = Cow<'static, [Text]>;

/// How a product wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Ask {
    /// Paths of its services, the likeliest first; some are guesses of what administrators choose.
    pub paths: Texts,
    /// How a file is presented, the better way first.
    pub directions: Cow<'static, [Direction]>,
    /// Whether a preview may be sent. Where not, it would let everything through.
    pub preview: bool,
    /// Requests at a time that one server takes.
    pub max_concurrent: Option<u32>,
    /// Bodies of fewer bytes are let through unseen with the settings that the product comes with.
    pub min_bytes: Option<u64>,
    /// Bodies of more bytes are let through unseen with the settings that the product comes with.
    pub max_bytes: Option<u64>,
    /// The HTTP method of an upload.
    pub http_method: Text,
    /// A field of the ICAP request that carries the file name.
    pub name_field: Option<Text>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            paths: Cow::Borrowed(&[]),
            directions: Cow::Borrowed(&[Direction::Download, Direction::Upload]),
            preview: true,
            max_concurrent: None,
            min_bytes: None,
            max_bytes: None,
            http_method: Cow::Borrowed("PUT"),
            name_field: None,
        }
    }
}

/// How a file is presented to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Direction {
    /// As an upload, `PUT http://misc/<name>`, with REQMOD.
    Upload,
    /// As a download, the response to `GET http://misc/<name>`, with RESPMOD.
    Download,
}

/// How the answers of a product are read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Reading {
    /// What another message in place of the one that was sent means.
    pub replaced: Replaced,
    /// ICAP statuses with which the product refuses.
    pub refusing_statuses: Cow<'static, [u16]>,
    /// ICAP statuses that mean something of their own.
    pub statuses: Cow<'static, [StatusRule]>,
    /// What an HTTP status from 500 in place of the response means.
    pub page_failure: ProblemKind,
    /// What `X-Violations-Found` lists.
    pub violations: Violations,
    /// What a container is that cannot be unpacked (`Type=2`).
    pub containers: Containers,
    /// Fields of the product's own or with names that an administrator chose.
    pub fields: Cow<'static, [FieldRule]>,
    /// Words by which a refusal without a threat is a scan that failed. They are looked for in the reason that the
    /// server gives, the first of its texts that says more than `Blocked`, at the beginning of a word and in any case.
    pub failure_words: Texts,
    /// Whether a 200 with a head section of no length means a 204.
    pub empty_section_allows: bool,
    /// Whether field-like lines of a block page may name the threat.
    pub page_fields: bool,
    /// Whether the lines of `X-Violations-Found` may come without the blank of a fold
    /// ([`Leniency::unindented_violations`]).
    pub unindented_violations: bool,
    /// The category of a refusal that says nothing more.
    pub category: Option<Category>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            replaced: Replaced::Modified,
            refusing_statuses: Cow::Borrowed(&[]),
            statuses: Cow::Borrowed(&[]),
            page_failure: ProblemKind::ServerError,
            violations: Violations::Threats,
            containers: Containers::Block,
            fields: Cow::Borrowed(&[]),
            failure_words: Cow::Borrowed(&[]),
            empty_section_allows: false,
            page_fields: false,
            unindented_violations: false,
            category: None,
        }
    }
}

/// What another message in place of the one that was sent means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Replaced {
    /// The server repaired or redacted it.
    Modified,
    /// The server refused it: the new body is a block page.
    Block,
}

/// What `X-Violations-Found` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Violations {
    /// What was found.
    Threats,
    /// What went wrong while scanning (Dr.Web).
    ScanErrors,
}

/// What a container is that cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Containers {
    /// Refused.
    Block,
    /// No verdict: a [`Policy`](crate::Policy) says what becomes of it.
    Unscannable,
}

/// What an ICAP status means beyond RFC 3507.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "a row of a table; users write it")]
pub struct StatusRule {
    /// The status.
    pub status: u16,
    /// What it means.
    pub means: ProblemKind,
}

/// What a field means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "a row of a table; users write it")]
pub struct FieldRule {
    /// The name of the field.
    pub field: Text,
    /// What it means.
    pub means: FieldMeans,
    /// The values with which it does, compared without case; any that says something when there is none here.
    #[cfg_attr(feature = "serde", serde(default))]
    pub values: Texts,
}

/// What a field can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FieldMeans {
    /// It names a threat.
    Threat,
    /// The message is refused.
    Block,
    /// The message could not be scanned.
    Unscannable,
    /// A success answer without a message is a permission.
    Allow,
}

/// A field of an answer that gives a product away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "a row of a table; users write it")]
pub struct Mark {
    /// The name of the field.
    pub field: Text,
    /// What its value holds, compared without case; any value when this is empty.
    #[cfg_attr(feature = "serde", serde(default))]
    pub contains: Text,
}

/// What an administrator has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Operator {
    /// What must be switched on for blocks to be seen.
    pub checklist: Texts,
    /// What lets a message pass without a sign of it on the wire.
    pub unseen: Texts,
}

impl Profile {
    /// The profiles that come with the crate, the general ones first.
    pub fn built_in() -> &'static [Self] {
        profiles::all()
    }

    /// The built-in profile of this name or alias, compared without case.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let is = |profile: &&Self| {
            profile.name.eq_ignore_ascii_case(name)
                || profile.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        };
        Self::built_in().iter().find(is)
    }

    /// The profile that recognises the product by each answer. What it does not know it reads as `generic` does.
    #[must_use]
    pub fn auto() -> &'static Self {
        profiles::auto()
    }

    /// The built-in profile of the product that sent these fields: an answer to OPTIONS tells it best.
    ///
    /// ```
    /// use icap_proto::Headers;
    /// use icap_verdict::Profile;
    ///
    /// let options = Headers::from_pairs([("Service", "McAfee Web Gateway 7.7.2 build 25114"), ("Methods", "RESPMOD")])?;
    /// assert_eq!(Profile::recognise(&options).map(|profile| &*profile.name), Some("skyhigh-mwg"));
    /// # Ok::<(), icap_proto::InvalidHeader>(())
    /// ```
    #[must_use]
    pub fn recognise(headers: &Headers) -> Option<&'static Self> {
        profiles::recognise([Fields::Parsed(headers)])
    }

    /// The verdict of an answer.
    ///
    /// The first step that speaks decides: how the answer was delivered, the ICAP status, marks of a failed scan,
    /// fields that name a finding, the shape of the message inside, the comparison with what was sent. A finding
    /// beats the steps before it: a server that says 204 beside an infection has found something. What none of them
    /// knows is an error.
    #[must_use]
    pub fn evaluate(&self, answer: &Answer<'_>) -> Verdict {
        let profile = if self.recognises {
            let inside = answer.http.map(|http| http.fields);
            profiles::recognise([Some(answer.icap), inside].into_iter().flatten()).unwrap_or(self)
        } else {
            self
        };
        evaluate::evaluate(answer, profile)
    }

    /// What a client has to put up with to read this product's answers, beyond the default.
    #[must_use]
    pub fn leniency(&self) -> Leniency {
        let mut leniency = Leniency::default();
        leniency.unindented_violations = self.read.unindented_violations;
        leniency.empty_section_as_no_content = self.read.empty_section_allows;
        leniency
    }
}
