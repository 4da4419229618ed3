//! The profiles that come with the crate: data only, a file for each kind of product.

mod dlp;
mod gateways;
mod general;
mod scanners;
mod symantec;
mod trend_micro;

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::fields::Fields;
use crate::profile::{Mark, Profile, Text, Texts};
use crate::text::{printable, trim};

static ALL: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let mut all = vec![general::auto()];
    all.extend(general::all());
    all.extend(dlp::all());
    all.extend(symantec::all());
    all.extend(gateways::all());
    all.extend(trend_micro::all());
    all.extend(scanners::all());
    all
});

static AUTO: LazyLock<Profile> = LazyLock::new(general::auto);

pub(crate) fn all() -> &'static [Profile] {
    &ALL
}

pub(crate) fn auto() -> &'static Profile {
    &AUTO
}

/// The marks of all profiles, field by field.
static MARKS: LazyLock<Vec<Marked>> = LazyLock::new(|| {
    let mut fields: Vec<Marked> = Vec::new();
    for (at, profile) in ALL.iter().enumerate() {
        for mark in profile.marks.iter() {
            let part = (at, mark.contains.to_ascii_lowercase());
            match fields.iter_mut().find(|marked| marked.field.eq_ignore_ascii_case(&mark.field)) {
                Some(marked) => marked.parts.push(part),
                None => fields.push(Marked { field: &mark.field, parts: vec![part] }),
            }
        }
    }
    fields
});

/// A field by whose value profiles are known.
struct Marked {
    field: &'static str,
    /// The place of each profile, the first one first, with what the value holds, in lower case.
    parts: Vec<(usize, String)>,
}

/// The first profile whose marks are there. An answer has few fields, and most of them are no mark of any.
pub(crate) fn recognise<'a>(
    fields: impl IntoIterator<Item = Fields<'a>>,
) -> Option<&'static Profile> {
    let mut first = None;
    for (name, value) in fields.into_iter().flat_map(Fields::iter) {
        let marked = MARKS.iter().find(|marked| name.eq_ignore_ascii_case(marked.field));
        let Some(Marked { parts, .. }) = marked else { continue };
        let text = printable(trim(value)).to_ascii_lowercase();
        let found = parts.iter().find(|(_, part)| text.contains(part));
        first = first.into_iter().chain(found.map(|(at, _)| *at)).min();
    }
    ALL.get(first?)
}

fn profile(name: &'static str, product: &'static str) -> Profile {
    Profile { name: Cow::Borrowed(name), product: Cow::Borrowed(product), ..Profile::default() }
}

fn texts<const N: usize>(texts: [&'static str; N]) -> Texts {
    texts.into_iter().map(Cow::Borrowed).collect::<Vec<Text>>().into()
}

fn marks<const N: usize>(marks: [(&'static str, &'static str); N]) -> Cow<'static, [Mark]> {
    let mark =
        |(field, contains)| Mark { field: Cow::Borrowed(field), contains: Cow::Borrowed(contains) };
    marks.into_iter().map(mark).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_profile() {
        let mut names: Vec<String> = Vec::new();
        for profile in all() {
            names.push(profile.name.to_ascii_lowercase());
            names.extend(profile.aliases.iter().map(|alias| alias.to_ascii_lowercase()));
            assert!(!profile.product.is_empty());
            assert!(profile.ask.paths.iter().all(|path| path.starts_with('/')), "{}", profile.name);
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(
            Profile::named("Symantec-DLP").map(|profile| &*profile.name),
            Some("symantec-dlp")
        );
        assert_eq!(Profile::named("nobody"), None);
    }

    #[test]
    fn the_first_profile_is_recognised_wherever_its_mark_stands() {
        let marks = || all().iter().flat_map(|profile| profile.marks.iter());
        let value =
            |mark: &Mark| if mark.contains.is_empty() { "x".into() } else { mark.contains.clone() };
        for (one, other) in marks().flat_map(|one| marks().map(move |other| (one, other))) {
            let line = |mark: &Mark| format!("{}: {}\r\n", mark.field, value(mark));
            let (there, back) = (line(one) + &line(other), line(other) + &line(one));
            let name = |lines: &str| {
                let found = recognise([Fields::Lines(lines.as_bytes())]);
                found.map(|profile| profile.name.clone()).expect("a mark is there")
            };
            let both = name(&there);
            assert_eq!(both, name(&back), "{there}");
            let place = |name: &str| all().iter().position(|profile| profile.name == name);
            let first = [one, other].map(|mark| place(&name(&line(mark)))).into_iter().min();
            assert_eq!(place(&both), first.flatten(), "{there}");
        }
    }
}
