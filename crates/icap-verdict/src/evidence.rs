//! The fields that a verdict came from.

use std::fmt;

use crate::answer::Answer;
use crate::fields::Fields;
use crate::findings::KnownFields;
use crate::text::{printable, trim};
use crate::threat::said;
use crate::verdict::Scanner;

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

/// Who judged, and the fields that say something: those that are known first, then what is neither protocol nor secret,
/// so that whoever meets a new product sees what it says.
pub(crate) fn collect(answer: &Answer<'_>, known: KnownFields<'_>) -> (Scanner, Vec<Evidence>) {
    let mut evidence = Vec::new();
    if known.any() {
        let icap = fields(Part::Icap, answer.icap);
        let http = answer.http.into_iter().flat_map(|http| fields(Part::Http, http.fields));
        // Of the HTTP head most is the origin's: only what is known.
        let known = icap.chain(http).filter(|(_, name, _)| known.has(name));
        evidence.extend(known.take(MAX_EVIDENCE).map(Evidence::of));
    }
    let mut who = Who::default();
    for field @ (_, name, value) in fields(Part::Icap, answer.icap) {
        let is_who = who.takes(name, value);
        let is_new = !is_who && !known.has(name) && !is_protocol(name);
        if is_new && evidence.len() < MAX_EVIDENCE {
            evidence.push(Evidence::of(field));
        }
    }
    (who.said(), evidence)
}

type Field<'a> = (Part, &'a str, &'a [u8]);

fn fields<'a>(part: Part, fields: Fields<'a>) -> impl Iterator<Item = Field<'a>> {
    fields.iter().map(move |(name, value)| (part, name, value))
}

impl Evidence {
    fn of((part, name, value): Field<'_>) -> Self {
        Self { part, field: printable(name.as_bytes()), value: printable(value) }
    }
}

/// The first value of each field by which a server says who it is. They are looked for together: to walk the fields for
/// each of them would be most of what a clean answer costs.
#[derive(Default)]
struct Who<'a> {
    service: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    service_id: Option<&'a [u8]>,
    istag: Option<&'a [u8]>,
}

impl<'a> Who<'a> {
    /// Whether it is one of them.
    fn takes(&mut self, name: &str, value: &'a [u8]) -> bool {
        let places = [
            ("Service", &mut self.service),
            ("Server", &mut self.server),
            ("Service-ID", &mut self.service_id),
            ("ISTag", &mut self.istag),
        ];
        let place = places.into_iter().find(|(own, _)| name.eq_ignore_ascii_case(own));
        place.map(|(_, place)| place.get_or_insert(value)).is_some()
    }

    fn said(self) -> Scanner {
        let text = |value: Option<&[u8]>| value.and_then(|value| said(printable(trim(value))));
        Scanner {
            service: text(self.service).or_else(|| text(self.server)),
            service_id: text(self.service_id),
            istag: text(self.istag),
        }
    }
}

/// Fields of the protocol itself and those that may hold secrets, but for those that say who judged.
fn is_protocol(name: &str) -> bool {
    const FIELDS: [&str; 21] = [
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
        "Keep-Alive",
        "Methods",
        "Opt-body-type",
        "Pragma",
        "Preview",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Set-Cookie",
        "Trailer",
        "Upgrade",
        "Via",
    ];
    FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
}
