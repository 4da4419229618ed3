//! What was found.

use std::fmt;

use crate::text::{decimal, printable, says_nothing};

/// One finding. All text is printable and at most 200 characters long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Threat {
    /// The name of the threat or of the rule; `None` when the server does not say.
    pub name: Option<String>,
    /// The file, perhaps one inside an archive; `None` when the server does not say.
    pub file: Option<String>,
    /// The number of the problem at the server.
    pub problem: Option<u64>,
    /// What was done about it.
    pub resolution: Option<Resolution>,
    /// The class of what is no virus, such as adware (Symantec's `NonViralThreat`).
    pub class: Option<String>,
}

impl Threat {
    /// A finding of this name; of `name|NonViralThreat=class` both.
    pub(crate) fn named(name: &[u8]) -> Self {
        let mut threat = Self::default();
        for (at, part) in name.split(|&b| b == b'|').enumerate() {
            let part = printable(part);
            match part.split_once('=') {
                Some((key, class)) if key.eq_ignore_ascii_case("NonViralThreat") => {
                    threat.class = Some(class.trim().to_owned());
                }
                _ if at == 0 => threat.name = said(part),
                _ => {}
            }
        }
        threat
    }

    /// Whether the name is that of a container that cannot or must not be unpacked.
    pub(crate) fn is_container(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default().to_ascii_lowercase();
        name.contains("container") && name.contains("violation")
    }
}

/// Text that says something.
pub(crate) fn said(text: String) -> Option<String> {
    let said = text.trim_matches(['"', '\'']).trim();
    if says_nothing(said) {
        return None;
    }
    // Most texts are so already.
    Some(if said.len() == text.len() { text } else { said.to_owned() })
}

/// What a server did about a finding. Products that block say 0 or 2, so 0 does not mean that a file may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Resolution {
    /// 0: the file was not repaired.
    NotRepaired,
    /// 1: the answer holds the repaired file.
    Repaired,
    /// 2: the file is to be blocked; of a part of a container, it was removed.
    Blocked,
}

impl Resolution {
    pub(crate) fn parse(digits: &[u8]) -> Option<Self> {
        match decimal(digits)? {
            0 => Some(Self::NotRepaired),
            1 => Some(Self::Repaired),
            2 => Some(Self::Blocked),
            _ => None,
        }
    }
}

/// What kind of refusal a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Category {
    /// A virus or the like.
    Malware,
    /// A rule of the administrator.
    Policy,
    /// Content that must not leave.
    Dlp,
    /// A container that cannot or must not be unpacked: encrypted, too deep, malformed.
    ContainerViolation,
    /// A type of file.
    MediaType,
    /// The category of a URL.
    UrlCategory,
    /// The server does not say.
    Unknown,
}

impl Category {
    /// The name, as in the serde form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malware => "malware",
            Self::Policy => "policy",
            Self::Dlp => "dlp",
            Self::ContainerViolation => "container_violation",
            Self::MediaType => "media_type",
            Self::UrlCategory => "url_category",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
