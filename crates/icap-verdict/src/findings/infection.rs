//! `X-Infection-Found` (draft-stecher-icap-subid section 4.5).

use crate::text::{decimal, printable, trim};
use crate::threat::{Category, Resolution, Threat, said};

use super::names;

/// What one field says.
#[derive(Debug, Default)]
pub(super) struct Infection {
    pub(super) category: Option<Category>,
    pub(super) threats: Vec<Threat>,
    /// Each resolution that is given, known or not.
    pub(super) resolutions: Vec<Option<Resolution>>,
}

/// Reads a value.
///
/// ```text
/// Type=<0|1|2>; Resolution=<0|1|2>; Threat=<text>;
/// ```
///
/// The last semicolon, blanks and parameters may be missing, names of parameters come in any case, commas stand for
/// semicolons, several infections stand in one value, and a threat may be a comma list.
pub(super) fn read(value: &[u8]) -> Infection {
    let mut infection = Infection::default();
    for (parameter, text) in parameters(value) {
        match parameter {
            Parameter::Type => {
                let category = match decimal(text) {
                    Some(0) => Category::Malware,
                    Some(1) => Category::Policy,
                    Some(2) => Category::ContainerViolation,
                    _ => continue,
                };
                infection.category.get_or_insert(category);
            }
            Parameter::Resolution => infection.resolutions.push(Resolution::parse(text)),
            Parameter::Threat => infection.threats.extend(names::split(text).map(Threat::named)),
        }
    }
    // A text that follows no grammar is better than none.
    if infection.threats.is_empty() && parameters(value).next().is_none() {
        let name = said(printable(value));
        infection.threats.extend(name.map(|name| Threat { name: Some(name), ..Threat::default() }));
    }
    // One resolution is that of every threat in the field.
    if let [resolution] = infection.resolutions[..] {
        for threat in &mut infection.threats {
            threat.resolution = resolution;
        }
    }
    infection
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    Type,
    Resolution,
    Threat,
}

impl Parameter {
    fn named(name: &[u8]) -> Option<Self> {
        let is = |text: &str| trim(name).eq_ignore_ascii_case(text.as_bytes());
        if is("Type") {
            Some(Self::Type)
        } else if is("Resolution") {
            Some(Self::Resolution)
        } else if is("Threat") {
            Some(Self::Threat)
        } else {
            None
        }
    }
}

/// The parameters that are known. A semicolon ends one; a comma does where another begins behind it, for a threat may
/// be a list.
fn parameters(value: &[u8]) -> impl Iterator<Item = (Parameter, &[u8])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = end_of_parameter(rest);
            let (parameter, behind) = rest.split_at_checked(end)?;
            rest = behind.get(1..).unwrap_or_default();
            let Some(equals) = parameter.iter().position(|&b| b == b'=') else { continue };
            let (name, text) = parameter.split_at_checked(equals)?;
            if let Some(parameter) = Parameter::named(name) {
                return Some((parameter, trim(text.get(1..).unwrap_or_default())));
            }
        }
    })
}

fn end_of_parameter(rest: &[u8]) -> usize {
    let ends = |at: &usize| match rest.get(*at) {
        Some(b';') => true,
        Some(b',') => begins_parameter(rest.get(at.saturating_add(1)..).unwrap_or_default()),
        _ => false,
    };
    (0..rest.len()).find(ends).unwrap_or(rest.len())
}

/// Whether `name=` stands here. The longest name has ten letters.
fn begins_parameter(text: &[u8]) -> bool {
    let text = trim(text.get(..text.len().min(16)).unwrap_or_default());
    let equals = text.iter().position(|&b| b == b'=');
    equals.and_then(|at| Parameter::named(text.get(..at)?)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(value: &str) -> Vec<Option<String>> {
        read(value.as_bytes()).threats.into_iter().map(|threat| threat.name).collect()
    }

    #[test]
    fn every_form_on_the_wire() {
        for value in [
            "Type=0; Resolution=2; Threat=EICAR;",
            "Type=0; Resolution=2; Threat=EICAR",
            "type=0;RESOLUTION=2;threat=EICAR;",
            "Type = 0 ; Resolution = 2 ; Threat = EICAR ;",
            "Type=0, Resolution=2, Threat=EICAR",
            "Threat=EICAR; Type=0; Resolution=2",
            "Type=0;\r\n\tResolution=2;\r\n\tThreat=EICAR;",
            "Type=0; Resolution=2; Threat=\"EICAR\";",
            "Type=0; Resolution=2; Threat=EICAR;\0",
            "Type=0; Resolution=2; Threat=EICAR\0\0",
            "Type=0; Resolution=2; Threat=EICAR|NonViralThreat=Joke;",
        ] {
            let infection = read(value.as_bytes());
            assert_eq!(names(value), [Some("EICAR".to_owned())], "{value:?}");
            assert_eq!(infection.category, Some(Category::Malware), "{value:?}");
            assert_eq!(infection.resolutions, [Some(Resolution::Blocked)], "{value:?}");
        }
    }

    #[test]
    fn lists_and_missing_parameters() {
        let both = [Some("A".to_owned()), Some("B".to_owned())];
        assert_eq!(names("Type=0; Resolution=2; Threat=A,B;"), both);
        assert_eq!(names("Type=0; Resolution=2; Threat=A; Type=0; Resolution=2; Threat=B;"), both);
        assert_eq!(names("Type=0, Resolution=2, Threat=A, B"), both);
        assert_eq!(names("Threat="), []);
        assert_eq!(names("Type=9; Resolution=7"), []);
        assert_eq!(read(b"Resolution=7").resolutions, [None]);
        assert_eq!(names("EICAR"), [Some("EICAR".to_owned())]);
        assert_eq!(names(""), []);
    }
}
