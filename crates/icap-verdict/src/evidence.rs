//! The fields that a verdict came from.

use std::fmt;

use crate::answer::Answer;
use crate::fields::Fields;
use crate::text::printable;

/// Fields kept at most.
const MAX_EVIDENCE: usize = 32;

/// A field of an answer, as it was read. Both texts are printable and at most 200 characters long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Evidence {
    /// The head it stands in.
    pub part: Part,
    /// Its name in wire case.
    pub field: String,
    /// Its value, folds as blanks.
    pub value: String,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.value)
    }
}

/// A head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Part {
    /// The ICAP head.
    Icap,
    /// The HTTP head inside.
    Http,
}

/// The fields that say something: those that `speaks` knows first, then what is neither protocol nor secret, so that
/// whoever meets a new product sees what it says.
pub(crate) fn collect(answer: &Answer<'_>, speaks: impl Fn(&str) -> bool) -> Vec<Evidence> {
    let icap = fields(Part::Icap, answer.icap);
    let http = answer.http.into_iter().flat_map(|http| fields(Part::Http, http.fields));
    // Of the HTTP head most is the origin's: only what is known.
    let known = icap.chain(http).filter(|(_, name, _)| speaks(name));
    let unknown =
        fields(Part::Icap, answer.icap).filter(|(_, name, _)| !speaks(name) && !is_protocol(name));
    known
        .chain(unknown)
        .take(MAX_EVIDENCE)
        .map(|(part, name, value)| Evidence {
            part,
            field: printable(name.as_bytes()),
            value: printable(value),
        })
        .collect()
}

fn fields<'a>(part: Part, fields: Fields<'a>) -> impl Iterator<Item = (Part, &'a str, &'a [u8])> {
    fields.iter().map(move |(name, value)| (part, name, value))
}

/// Fields of the protocol itself and those that may hold secrets.
fn is_protocol(name: &str) -> bool {
    const FIELDS: [&str; 25] = [
        "Allow",
        "Authorization",
        "Cache-Control",
        "Connection",
        "Content-Length",
        "Cookie",
        "Date",
        "Encapsulated",
        "Expires",
        "Host",
        "ISTag",
        "Keep-Alive",
        "Methods",
        "Opt-body-type",
        "Pragma",
        "Preview",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Server",
        "Service",
        "Service-ID",
        "Set-Cookie",
        "Trailer",
        "Upgrade",
        "Via",
    ];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
}
