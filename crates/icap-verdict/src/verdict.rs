//! What a verdict is.

use std::fmt;

use crate::evidence::Evidence;
use crate::problem::Problem;
use crate::threat::{Category, Threat};

/// What a server said about a message.
///
/// What to do with it is a [`Policy`](crate::Policy) beside it; neither an [`Error`](Self::Error) nor a
/// [`Modified`](Self::Modified) is a permission. All text in it is printable and bounded: names and reasons are
/// chosen by whoever wrote the file that was scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "verdict", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// The server lets the message through unchanged.
    Allow(Allow),
    /// The server does not let the message through.
    Block(Block),
    /// The server gave back another message of the same kind: cleaned, redacted or rewritten.
    Modified(Modified),
    /// There is no verdict.
    Error(Problem),
}

impl Verdict {
    /// `allow`, `block`, `modified` or `error`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Block(_) => "block",
            Self::Modified(_) => "modified",
            Self::Error(_) => "error",
        }
    }

    /// Why it is so, in words: the line of a log without its first word.
    ///
    /// ```
    /// use icap_verdict::{Problem, ProblemKind, Verdict};
    ///
    /// let verdict = Verdict::Error(Problem::new(ProblemKind::Timeout, "no answer".to_owned()));
    /// assert_eq!(verdict.to_string(), format!("error: {}", verdict.why()));
    /// ```
    pub const fn why(&self) -> impl fmt::Display + '_ {
        Why(self)
    }

    /// Whether the message may go on as it is.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// What goes with every verdict.
    #[must_use]
    pub const fn details(&self) -> &Details {
        match self {
            Self::Allow(allow) => &allow.details,
            Self::Block(block) => &block.details,
            Self::Modified(modified) => &modified.details,
            Self::Error(problem) => &problem.details,
        }
    }

    /// What was found; of a [`Modified`](Self::Modified) what was repaired or removed.
    #[must_use]
    pub fn threats(&self) -> &[Threat] {
        match self {
            Self::Block(block) => &block.threats,
            Self::Modified(modified) => &modified.threats,
            _ => &[],
        }
    }

    /// What the server itself did with the message.
    #[must_use]
    pub const fn server_action(&self) -> ServerAction {
        match self {
            Self::Allow(_) | Self::Modified(_) => ServerAction::Allow,
            Self::Block(_) => ServerAction::Block,
            Self::Error(problem) => problem.server_action,
        }
    }
}

/// One line, fit for a log.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.as_str(), self.why())
    }
}

struct Why<'a>(&'a Verdict);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Verdict::Allow(allow) => allow.reason.fmt(f)?,
            Verdict::Block(block) => block.fmt(f)?,
            Verdict::Modified(modified) => modified.fmt(f)?,
            Verdict::Error(problem) => problem.fmt(f)?,
        }
        match &self.0.details().rule {
            Some(rule) => write!(f, ", rule {rule}"),
            None => Ok(()),
        }
    }
}

/// What goes with every verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Details {
    /// What the server says about it, in its words: a reason, a description, or the text of a page.
    pub text: Option<String>,
    /// The rule, policy or workflow that spoke, where the server names it.
    pub rule: Option<String>,
    /// Who judged.
    pub scanner: Scanner,
    /// The name of the [`Profile`](crate::Profile) that the answer was read with; empty when there was no answer.
    pub profile: String,
    /// The ICAP status, when there was an answer.
    pub icap_status: Option<u16>,
    /// The status of the HTTP response inside.
    pub http_status: Option<u16>,
    /// The fields that the verdict came from, then others that are no part of the protocol; at most 32.
    pub evidence: Vec<Evidence>,
}

/// Who judged, as it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Scanner {
    /// `Service`, or `Server` where that is missing.
    pub service: Option<String>,
    /// `Service-ID`.
    pub service_id: Option<String>,
    /// `ISTag` without its quotes: changes with the signatures or rules.
    pub istag: Option<String>,
}

/// What a server did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ServerAction {
    /// It let it through, changed or not.
    Allow,
    /// It put something else in its place.
    Block,
    /// Nothing: it failed, or was not there.
    None,
}

impl ServerAction {
    /// `allow`, `block` or `none`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::None => "none",
        }
    }
}

/// A permission.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Allow {
    /// How it was said.
    pub reason: AllowReason,
    /// What goes with every verdict.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub details: Details,
}

/// How a server said that it lets a message through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AllowReason {
    /// ICAP 204: no modification needed.
    NoContent,
    /// The same message came back.
    Unchanged,
    /// A field that the user's profile reads as a permission.
    Field(String),
}

impl fmt::Display for AllowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoContent => f.write_str("no modification needed (204)"),
            Self::Unchanged => f.write_str("the message came back unchanged"),
            Self::Field(name) => write!(f, "{name} says so"),
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Block {
    /// What told it.
    pub reason: BlockReason,
    /// What kind of refusal it is.
    pub category: Category,
    /// What was found, where the server says it; at most 64.
    pub threats: Vec<Threat>,
    /// What the user is to see in place of the message.
    pub page: Option<BlockPage>,
    /// Whether the answer contradicts itself: a status that lets the message through beside a finding.
    pub contradiction: bool,
    /// What goes with every verdict.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub details: Details,
}

impl Block {
    /// The first name of what was found.
    #[must_use]
    pub fn threat(&self) -> Option<&str> {
        self.threats.iter().find_map(|threat| threat.name.as_deref())
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.threat().or(self.details.text.as_deref()) {
            Some(what) => write!(f, "{what} ({}, {})", self.category, self.reason)?,
            None => write!(f, "{} ({})", self.reason, self.category)?,
        }
        if self.threats.len() > 1 {
            write!(f, ", {} findings", self.threats.len())?;
        }
        if self.contradiction {
            write!(f, ", though the status lets it through")?;
        }
        Ok(())
    }
}

/// What told a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BlockReason {
    /// A field of the answer, by its name.
    Header(String),
    /// An ICAP status with which this product refuses.
    IcapStatus(u16),
    /// A request was answered with a response in place of the origin's.
    RequestAnswered,
    /// A response came back with this refusing HTTP status.
    HttpStatus(u16),
    /// A response came back as a redirect with this HTTP status.
    Redirect(u16),
    /// Another message came back from a product that replaces what it refuses.
    Replaced,
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => f.write_str(name),
            Self::IcapStatus(status) => write!(f, "ICAP {status}"),
            Self::RequestAnswered => f.write_str("the request was answered with a block page"),
            Self::HttpStatus(status) => write!(f, "HTTP {status} in place of the response"),
            Self::Redirect(status) => write!(f, "HTTP {status} to a block page"),
            Self::Replaced => f.write_str("the message was replaced"),
        }
    }
}

/// What the user is to see in place of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct BlockPage {
    /// Its HTTP status; products block with 200 too.
    pub status: Option<u16>,
    /// Where it redirects to. The text is the server's: look at it before anybody is sent there.
    pub location: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its first characters, printable and at most 512; markup is kept as it is.
    pub start: String,
}

/// Another message in place of the one that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Modified {
    /// Why it is another.
    pub reason: ModifiedReason,
    /// What was repaired or removed, where the server says it; at most 64.
    pub threats: Vec<Threat>,
    /// What goes with every verdict.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub details: Details,
}

impl fmt::Display for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match self.threats.iter().find_map(|threat| threat.name.as_deref()) {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// Why a message came back as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ModifiedReason {
    /// Everything that was found was repaired (`Resolution=1`).
    Repaired,
    /// Body, address or status are others: redaction, disarming, rewriting.
    Rewritten,
    /// The body is the same, fields of the head are not.
    Fields,
}

impl fmt::Display for ModifiedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repaired => "the server repaired the message",
            Self::Rewritten => "the server changed the message",
            Self::Fields => "the server changed fields of the message",
        })
    }
}
