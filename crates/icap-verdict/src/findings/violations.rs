//! `X-Violations-Found` (draft-stecher-icap-subid section 4.6).

use crate::fields::{MAX_VIOLATION_LINES, lines};
use crate::text::{decimal, printable, says_nothing};
use crate::threat::{Resolution, Threat, said};

/// What one field says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Violations {
    /// Whether anything is said to have been found. The count may lie.
    pub(super) any: bool,
    pub(super) threats: Vec<Threat>,
}

/// Reads a value with its folds: a count, then four lines for each violation.
///
/// ```text
/// 1
///     test.zip/dir1/eicar.com
///     EICAR Test String
///     11101
///     2
/// ```
///
/// The count is a hint that products get wrong: what is there is what the groups of four hold, at most 64, the last
/// one perhaps cut short. A proxy that unfolds leaves one line; of that, one violation is made out.
pub(super) fn read(value: &[u8]) -> Violations {
    let mut lines =
        lines(value).filter(|line| !line.is_empty()).take(MAX_VIOLATION_LINES.saturating_add(1));
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&[u8]> = lines.collect();
    if !rest.is_empty() {
        let threats = rest.chunks(4).map(violation).collect();
        return Violations { any: true, threats };
    }
    if says_nothing(&printable(first)) || decimal(first) == Some(0) {
        return Violations::default();
    }
    Violations { any: true, threats: on_one_line(first).into_iter().collect() }
}

fn violation(lines: &[&[u8]]) -> Threat {
    let line = |at: usize| lines.get(at).copied().unwrap_or_default();
    Threat {
        file: said(printable(line(0))),
        problem: decimal(line(2)),
        resolution: Resolution::parse(line(3)),
        ..Threat::named(line(1))
    }
}

/// `1 name.zip EICAR Test String 11101 0`, or the same with commas.
fn on_one_line(line: &[u8]) -> Option<Threat> {
    let by_comma = line.contains(&b',');
    let parts = line.split(|&b| if by_comma { b == b',' } else { b == b' ' });
    let parts: Vec<&[u8]> = parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()).collect();
    match &parts[..] {
        [_count, file, name @ .., problem, resolution] if !name.is_empty() => {
            let name = name.join(&b' ');
            Some(violation(&[file, &name, problem, resolution]))
        }
        [_] | [] => None,
        [_count, text @ ..] => Some(Threat::named(&text.join(&b' '))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &[u8]) -> Threat {
        let mut violations = read(value);
        assert!(violations.any && violations.threats.len() == 1, "{violations:?}");
        violations.threats.remove(0)
    }

    #[test]
    fn every_form_on_the_wire() {
        for value in [
            &b"1\r\n\ta b.zip\r\n\tEICAR Test String\r\n\t11101\r\n\t0"[..],
            b"1\r\n      a b.zip\r\n      EICAR Test String\r\n      11101\r\n      0",
            b"1\na b.zip\nEICAR Test String\n11101\n0",
            b"7\r\n\ta b.zip\r\n\tEICAR Test String\r\n\t11101\r\n\t0",
            b"-\r\n\ta b.zip\r\n\tEICAR Test String\r\n\t11101\r\n\t0",
            b"1\r\n\ta b.zip\0\r\n\tEICAR Test String\0\r\n\t11101\0\r\n\t0\0\0",
            b"1, a b.zip, EICAR Test String, 11101, 0",
        ] {
            let threat = one(value);
            assert_eq!(threat.file.as_deref(), Some("a b.zip"), "{threat:?}");
            assert_eq!(threat.name.as_deref(), Some("EICAR Test String"));
            assert_eq!(threat.problem, Some(11101));
            assert_eq!(threat.resolution, Some(Resolution::NotRepaired));
        }
        assert_eq!(
            one(b"1 svwiscd1 EICAR Test String 11101 0").name.as_deref(),
            Some("EICAR Test String")
        );
    }

    #[test]
    fn what_is_missing_is_not_made_up() {
        let threat = one(b"1\r\n\t-\r\n\tBad/Guy-A\r\n\t-\r\n\t0");
        assert_eq!((threat.file, threat.problem), (None, None));
        let threat = one(b"1\r\n\ta.exe");
        assert_eq!(
            (threat.file.as_deref(), threat.name, threat.resolution),
            (Some("a.exe"), None, None)
        );
        for none in ["", "0", "00", "-", "none"] {
            assert_eq!(read(none.as_bytes()), Violations::default(), "{none}");
        }
        for lie in ["4294967295", "99999999999999999999", "-1", "many"] {
            let violations = read(lie.as_bytes());
            assert!(violations.any && violations.threats.is_empty(), "{lie}");
        }
    }

    #[test]
    fn sixty_four_and_no_more() {
        for (groups, kept) in [(64, 64), (65, 64), (1000, 64)] {
            let value = [&b"1"[..], &b"\r\n\ta\r\n\tb\r\n\t1\r\n\t2".repeat(groups)].concat();
            assert_eq!(read(&value).threats.len(), kept);
        }
    }
}
