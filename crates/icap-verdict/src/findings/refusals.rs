//! Fields that refuse without naming a threat.

use crate::text::{decimal, printable, says_nothing};
use crate::threat::Category;

use super::{Findings, KnownFields};

/// All of them, for the evidence.
pub(super) const FIELDS: [&str; 8] = [
    "X-Block-Reason",
    "X-Blocked-Reason",
    "X-MWG-Block-Reason",
    "X-WWBlockResult",
    "X-Block-Result",
    "X-Blocked",
    "X-FSecure-Scan-Result",
    "X-Response-Info",
];

/// Reads them; whether one refuses.
pub(super) fn read(known: KnownFields<'_>, findings: &mut Findings) -> bool {
    let mut refused = false;
    for field in FIELDS {
        for value in known.values(field) {
            let text = printable(value);
            let refuses = match field {
                "X-Response-Info" => response_info(&text, findings),
                "X-WWBlockResult" | "X-Block-Result" => block_result(&text, findings),
                _ => !says_nothing(&text),
            };
            if refuses {
                refused = true;
                findings.refusing.get_or_insert_with(|| field.to_owned());
            }
        }
    }
    refused
}

/// Words that refuse and say nothing more.
const REFUSALS: [&str; 8] =
    ["blocked", "block", "deny", "denied", "reject", "rejected", "forbidden", "infected"];

/// Whether a text gives no reason but that there is one.
pub(super) fn gives_no_reason(text: &str) -> bool {
    let text = text.trim_end_matches(['.', '!']);
    REFUSALS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// `X-Response-Info`: one word, sent with clean answers too; from Dr.Web the category of a forbidden address.
fn response_info(text: &str, findings: &mut Findings) -> bool {
    const OTHERS: [&str; 10] = [
        "allowed", "allow", "pass", "passed", "match", "options", "modified", "ok", "none", "clean",
    ];
    let word = text.split(|char: char| !char.is_ascii_alphabetic()).next().unwrap_or_default();
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is(&REFUSALS) {
        return true;
    }
    if !is(&OTHERS) && !says_nothing(text) {
        findings.category.get_or_insert(Category::UrlCategory);
        findings.text.get_or_insert_with(|| text.to_owned());
    }
    false
}

/// `X-WWBlockResult`: a number of McAfee and Skyhigh gateways.
fn block_result(text: &str, findings: &mut Findings) -> bool {
    if says_nothing(text) || decimal(text.as_bytes()) == Some(0) {
        return false;
    }
    let known = decimal(text.as_bytes())
        .and_then(|code| BLOCK_RESULTS.iter().find(|(known, ..)| u64::from(*known) == code));
    let rule = match known {
        Some((code, meaning, category)) => {
            findings.category.get_or_insert(*category);
            format!("{code} ({meaning})")
        }
        None => text.to_owned(),
    };
    findings.rule.get_or_insert(rule);
    true
}

const BLOCK_RESULTS: [(u8, &str, Category); 17] = [
    (80, "malware", Category::Malware),
    (81, "authorisation needed", Category::Policy),
    (90, "unsigned content", Category::Policy),
    (45, "macros", Category::Policy),
    (44, "unreadable office document", Category::ContainerViolation),
    (43, "encrypted document", Category::ContainerViolation),
    (42, "ActiveX", Category::Policy),
    (41, "document inspector", Category::Dlp),
    (40, "text categorisation", Category::Dlp),
    (34, "encrypted archive", Category::ContainerViolation),
    (33, "archive recursion", Category::ContainerViolation),
    (32, "mail bomb", Category::ContainerViolation),
    (31, "corrupt archive", Category::ContainerViolation),
    (30, "multipart archive", Category::ContainerViolation),
    (23, "body filter", Category::Policy),
    (22, "media type on the black list", Category::MediaType),
    (21, "media type mismatch", Category::MediaType),
];
