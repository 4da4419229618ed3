//! Fields by which servers say what they found.

mod infection;
mod names;
mod refusals;
mod violations;

use crate::answer::Answer;
use crate::profile::{Containers, FieldMeans, FieldRule, Profile, Violations};
use crate::text::{printable, says_nothing};
use crate::threat::{Category, Resolution, Threat, said};

/// Findings kept of one answer.
const MAX_THREATS: usize = 64;

/// Fields that name a threat in one line, the best first.
const NAMES: [&str; 3] = ["X-Virus-Name", "X-Virus-ID", "X-FSecure-Infection-Name"];

/// Fields with the server's words, the best first.
const TEXTS: [&str; 7] = [
    "X-Blocked-Reason",
    "X-Block-Reason",
    "X-MWG-Block-Reason",
    "X-Blocked",
    "X-Response-Desc",
    "X-Response-Description",
    "X-Error-Details",
];

/// Fields that say something beside.
const OTHERS: [&str; 10] = [
    "X-Violations-Found",
    "X-Infection-Found",
    "X-ICAP-Profile",
    "X-Attribute",
    "X-Error-Code",
    "X-MFE-PREVENT",
    "X-FSecure-Infected-Filename",
    "X-Blocked-By",
    "X-HRESULT",
    "X-Definition-Info",
];

/// What the fields of an answer say.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The field that says "not this one", by its name.
    pub(crate) refusing: Option<String>,
    /// What was found, by the field that names best.
    pub(crate) threats: Vec<Threat>,
    pub(crate) category: Option<Category>,
    /// Everything that was found was repaired, and no other field refuses.
    pub(crate) repaired: bool,
    /// The product could not scan, and says it with the fields of a finding.
    pub(crate) unscannable: Option<Unscannable>,
    /// The server's words.
    pub(crate) text: Option<String>,
    pub(crate) rule: Option<String>,
    /// The field by which a profile of the user's own sees a permission.
    pub(crate) allowing: Option<String>,
}

/// The fields of an answer that say something to this module: with a clean answer most often none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownFields<'a> {
    answer: &'a Answer<'a>,
    profile: &'a Profile,
    /// There is at least one. Without any, nobody need look for each of them.
    any: bool,
}

/// A scan that failed, as a field says it.
#[derive(Debug)]
pub(crate) struct Unscannable {
    pub(crate) field: String,
    pub(crate) text: Option<String>,
}

/// Reads every field that is known, first those of the ICAP head, then those of the HTTP head inside.
///
/// The names come from one kind of field: `X-Violations-Found` names best, then `X-Infection-Found`, then the shorter
/// forms, which some products fill with a class of threats in the language of the administrator. The presence of a
/// field alone is not enough: clean answers of some products carry them too.
pub(crate) fn read(known: KnownFields<'_>) -> Findings {
    if !known.any {
        return Findings::default();
    }
    let profile = known.profile;
    let mut findings = Findings {
        text: known.first_text(&TEXTS),
        rule: known.first_text(&["X-ICAP-Profile"]),
        ..Findings::default()
    };
    let mut sources = Vec::new();
    let mut resolutions = Vec::new();
    violations(known, &mut findings, &mut sources, &mut resolutions);
    infections(known, &mut findings, &mut sources, &mut resolutions);
    // What was repaired may be named by any field, but may not be refused by one.
    let repaired = !resolutions.is_empty()
        && resolutions.iter().all(|resolution| *resolution == Some(Resolution::Repaired));
    let named = findings.refusing.take();
    let refused = refusals::read(known, &mut findings) | own_rules(known, &mut findings);
    findings.repaired = repaired && !refused;
    for name in NAMES {
        short_names(known, name, &mut findings, &mut sources);
    }
    let own = profile.read.fields.iter().filter(|rule| rule.means == FieldMeans::Threat);
    for rule in own {
        short_names(known, &rule.field, &mut findings, &mut sources);
    }
    findings.refusing = named.or(findings.refusing);
    findings.threats = best(sources);
    findings.threats.truncate(MAX_THREATS);
    if !findings.threats.is_empty() && findings.threats.iter().all(Threat::is_container) {
        findings.category = Some(Category::ContainerViolation);
    }
    containers(profile, &mut findings);
    findings
}

impl<'a> KnownFields<'a> {
    pub(crate) fn of(answer: &'a Answer<'a>, profile: &'a Profile) -> Self {
        let inside = answer.http.into_iter().flat_map(|http| http.fields.iter());
        let any = answer.icap.iter().chain(inside).any(|(name, _)| knows(name, profile));
        Self { answer, profile, any }
    }

    /// Whether the answer has one.
    pub(crate) const fn any(&self) -> bool {
        self.any
    }

    /// Whether a field of the answer with this name says something to this module.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.any && knows(name, self.profile)
    }

    /// Every value of a field once, ICAP head first. What the origin said in the message that was sent is no word of
    /// the server.
    pub(crate) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        debug_assert!(knows(name, self.profile), "{name}");
        if !self.any {
            return Vec::new();
        }
        let mut values: Vec<&[u8]> = self.answer.icap.all(name).take(MAX_THREATS).collect();
        let inside = self.answer.http.map(|http| http.fields.all(name).take(MAX_THREATS));
        for value in inside.into_iter().flatten() {
            let is_sent = self.answer.sent.headers().get_all(name).any(|sent| sent == value);
            if !is_sent && !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// The server's best words for why it refuses: the first that say more than that it does.
    pub(crate) fn reason(&self) -> Option<String> {
        let values = TEXTS.iter().flat_map(|name| self.values(name));
        let mut texts = values.filter_map(|value| said(printable(value)));
        texts.find(|text| !refusals::gives_no_reason(text))
    }

    /// The first of these fields that says something.
    pub(crate) fn first_text(&self, names: &[&str]) -> Option<String> {
        if !self.any {
            return None;
        }
        let texts = |name: &&str| self.values(name).into_iter().find_map(|v| said(printable(v)));
        names.iter().find_map(texts)
    }
}

/// Whether a field says something to this module.
fn knows(name: &str, profile: &Profile) -> bool {
    let mut known = NAMES.iter().chain(&TEXTS).chain(&OTHERS).chain(&refusals::FIELDS);
    known.any(|known| name.eq_ignore_ascii_case(known))
        || profile.read.fields.iter().any(|rule| name.eq_ignore_ascii_case(&rule.field))
}

fn violations(
    known: KnownFields<'_>,
    findings: &mut Findings,
    sources: &mut Vec<Vec<Threat>>,
    resolutions: &mut Vec<Option<Resolution>>,
) {
    const NAME: &str = "X-Violations-Found";
    let read = known.values(NAME).into_iter().map(violations::read).filter(|found| found.any);
    let mut threats = Vec::new();
    for found in read {
        if known.profile.read.violations == Violations::ScanErrors {
            let text = found.threats.iter().find_map(|threat| threat.name.clone());
            let failed = || Unscannable { field: NAME.to_owned(), text };
            findings.unscannable.get_or_insert_with(failed);
            continue;
        }
        findings.refusing.get_or_insert_with(|| NAME.to_owned());
        if found.threats.is_empty() {
            resolutions.push(None);
        }
        resolutions.extend(found.threats.iter().map(|threat| threat.resolution));
        threats.extend(found.threats);
    }
    sources.push(threats);
}

/// Whatever stands in the field says that something was found; a resolution of 0 does not mean that it may pass.
fn infections(
    known: KnownFields<'_>,
    findings: &mut Findings,
    sources: &mut Vec<Vec<Threat>>,
    resolutions: &mut Vec<Option<Resolution>>,
) {
    const NAME: &str = "X-Infection-Found";
    let mut threats = Vec::new();
    for found in known.values(NAME).into_iter().map(infection::read) {
        findings.refusing.get_or_insert_with(|| NAME.to_owned());
        findings.category = findings.category.or(found.category);
        if found.resolutions.is_empty() {
            resolutions.push(None);
        }
        resolutions.extend(found.resolutions);
        push_new(&mut threats, found.threats);
    }
    sources.push(threats);
}

/// A field whose value is the name of what was found, or a word for nothing.
fn short_names(
    known: KnownFields<'_>,
    name: &str,
    findings: &mut Findings,
    sources: &mut Vec<Vec<Threat>>,
) {
    let file = known.first_text(&["X-FSecure-Infected-Filename"]);
    let mut threats = Vec::new();
    for value in known.values(name) {
        let mut found = names::read(value);
        for threat in &mut found {
            threat.file.clone_from(&file);
        }
        push_new(&mut threats, found);
    }
    if !threats.is_empty() {
        findings.refusing.get_or_insert_with(|| name.to_owned());
    }
    sources.push(threats);
}

/// What the profile of the user knows beside. Whether one of them refuses.
fn own_rules(known: KnownFields<'_>, findings: &mut Findings) -> bool {
    let mut refused = false;
    let speaks =
        |rule: &&FieldRule| known.values(&rule.field).iter().any(|value| applies(rule, value));
    for rule in known.profile.read.fields.iter().filter(speaks) {
        let field = rule.field.to_string();
        match rule.means {
            FieldMeans::Block => {
                refused = true;
                findings.refusing.get_or_insert(field);
            }
            FieldMeans::Unscannable => {
                let text = known.first_text(&[&field]);
                findings.unscannable.get_or_insert(Unscannable { field, text });
            }
            FieldMeans::Allow => {
                findings.allowing.get_or_insert(field);
            }
            FieldMeans::Threat => {}
        }
    }
    refused
}

fn applies(rule: &FieldRule, value: &[u8]) -> bool {
    let value = printable(value);
    if rule.values.is_empty() {
        return !says_nothing(&value);
    }
    rule.values.iter().any(|word| word.eq_ignore_ascii_case(&value))
}

/// For whom a container that cannot be unpacked is no refusal but a failure.
fn containers(profile: &Profile, findings: &mut Findings) {
    let is_container = findings.category == Some(Category::ContainerViolation);
    if is_container && profile.read.containers == Containers::Unscannable {
        let text = findings.threats.iter().find_map(|threat| threat.name.clone());
        let field = findings.refusing.take().unwrap_or_default();
        findings.unscannable = Some(Unscannable { field, text });
        findings.threats.clear();
        findings.repaired = false;
    }
}

/// The first source that names something, or else the first with anything.
fn best(sources: Vec<Vec<Threat>>) -> Vec<Threat> {
    let names = |threats: &Vec<Threat>| threats.iter().any(|threat| threat.name.is_some());
    let named = sources.iter().position(names);
    let any = || sources.iter().position(|threats| !threats.is_empty());
    let chosen = named.or_else(any);
    chosen.and_then(|at| sources.into_iter().nth(at)).unwrap_or_default()
}

fn push_new(threats: &mut Vec<Threat>, found: Vec<Threat>) {
    for threat in found.into_iter().take(MAX_THREATS) {
        let twice = threats.iter().any(|known| known.name == threat.name);
        if !twice && threats.len() < MAX_THREATS {
            threats.push(threat);
        }
    }
}
