//! Fields that name a threat: `X-Virus-ID`, `X-Virus-Name` and their like.

use crate::text::{printable, says_nothing, trim};
use crate::threat::Threat;

/// Names kept of one value.
const MAX_NAMES: usize = 64;

/// Every name in a value that names something; `no threats` and its like name nothing.
pub(super) fn read(value: &[u8]) -> Vec<Threat> {
    split(value).filter(|name| !says_nothing(&printable(name))).map(Threat::named).collect()
}

/// The members of a comma list. A comma between brackets or quotes is part of a name.
pub(super) fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut depth, mut quoted) = (0usize, false);
    let parts = value.split(move |byte| {
        match byte {
            b'"' => quoted = !quoted,
            b'(' | b'[' | b'{' => depth = depth.saturating_add(1),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => return depth == 0 && !quoted,
            _ => {}
        }
        false
    });
    parts.map(trim).filter(|part| !part.is_empty()).take(MAX_NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_names() {
        let names = |value: &'static str| {
            read(value.as_bytes()).into_iter().filter_map(|threat| threat.name).collect::<Vec<_>>()
        };
        assert_eq!(names("TROJ_A,TROJ_B"), ["TROJ_A", "TROJ_B"]);
        assert_eq!(names("McAfeeGW: A, Avira: B"), ["McAfeeGW: A", "Avira: B"]);
        assert_eq!(
            names("EICAR Test File (NOT a Virus, really)"),
            ["EICAR Test File (NOT a Virus, really)"]
        );
        assert_eq!(names("\"Trojan, generic\""), ["Trojan, generic"]);
        for nothing in
            ["", "-", " , ", "no threats", "No Threats", "CLEAN", "none\0", "\"\"", "\"none\""]
        {
            assert_eq!(names(nothing), [""; 0], "{nothing}");
        }
    }
}
