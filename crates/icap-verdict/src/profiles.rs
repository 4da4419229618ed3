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

/// The first profile whose marks are there.
pub(crate) fn recognise(fields: &[Fields<'_>]) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.is_marked(fields))
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
}
