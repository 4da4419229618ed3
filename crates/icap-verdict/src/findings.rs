//! Fields by which servers say what they found.

use icap_proto::{Headers, InfectionFound, fold_lines, unfold};

/// A name longer than this is cut: it goes to logs and screens.
const MAX_NAME: usize = 200;

/// What a field says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The field that says it.
    pub(crate) field: &'static str,
    /// The threat or rule, where it is named.
    pub(crate) threat: Option<String>,
}

/// The first field that says "blocked", with the best name that any of them gives.
///
/// `X-Violations-Found` names best, then `X-Infection-Found`, then the shorter forms. The presence of a field
/// alone is not enough: clean answers of some products carry them too. Of a field that stands several times, as
/// behind a chain of services, any may say it.
pub(crate) fn find(headers: &Headers) -> Option<Finding> {
    let findings = [
        violations(headers),
        infection(headers),
        plain(headers, "X-Virus-Name"),
        plain(headers, "X-Virus-ID"),
        plain(headers, "X-Block-Reason"),
        plain(headers, "X-Blocked-Reason"),
        response_info(headers),
    ];
    let mut found = findings.into_iter().flatten();
    let mut first = found.next()?;
    if first.threat.is_none() {
        first.threat = found.find_map(|finding| finding.threat);
    }
    Some(first)
}

/// `X-Violations-Found: count`, then four lines for each: file, description, problem id, resolution
/// (draft-stecher-icap-subid section 4.6). The lines are folded.
fn violations(headers: &Headers) -> Option<Finding> {
    headers.get_all("X-Violations-Found").find_map(|value| {
        let mut lines = fold_lines(value).map(printable);
        let count = lines.next()?;
        if count.is_empty() || count == "0" || count == "-" {
            return None;
        }
        let threat = lines.nth(1).filter(|name| !name.is_empty() && name != "-");
        Some(Finding { field: "X-Violations-Found", threat })
    })
}

/// `X-Infection-Found: Type=0; Resolution=2; Threat=name;` (draft-stecher-icap-subid section 4.5). A resolution
/// of 0 does not mean that the message passed.
fn infection(headers: &Headers) -> Option<Finding> {
    headers.get("X-Infection-Found")?;
    let found = headers.get_all("X-Infection-Found").filter_map(InfectionFound::parse);
    let threat = found.map(|found| printable(&found.threat)).find(|threat| !threat.is_empty());
    Some(Finding { field: "X-Infection-Found", threat })
}

/// A field whose value is the name of what was found, or a word for nothing.
fn plain(headers: &Headers, field: &'static str) -> Option<Finding> {
    let nothing = ["", "-", "none", "clean", "no threats"];
    let mut values = headers.get_all(field).map(|value| printable(&unfold(value)));
    let found =
        values.find(|value| !nothing.iter().any(|word| value.eq_ignore_ascii_case(word)))?;
    Some(Finding { field, threat: Some(found) })
}

/// `X-Response-Info`: one word, sent with clean answers too.
fn response_info(headers: &Headers) -> Option<Finding> {
    let refusals = ["blocked", "block", "deny", "denied", "reject"];
    let mut values = headers.get_all("X-Response-Info").map(|value| printable(&unfold(value)));
    let refused = values.any(|value| refusals.iter().any(|word| value.eq_ignore_ascii_case(word)));
    refused.then_some(Finding { field: "X-Response-Info", threat: None })
}

/// Text for people: control characters removed, other encodings replaced, cut to a bearable length.
fn printable(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim()
        .chars()
        .filter(|char| !char.is_control())
        .take(MAX_NAME)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(lines: &'static [u8]) -> Option<(&'static str, Option<String>)> {
        let block = [lines, b"\r\n"].concat().into();
        let headers = Headers::parse(block, &Default::default(), &Default::default()).unwrap();
        find(&headers).map(|finding| (finding.field, finding.threat))
    }

    #[test]
    fn fields_of_real_products() {
        let eicar = "Eicar-Test-Signature";
        for (lines, field, threat) in [
            (&b"X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test-Signature;\r\n"[..], "X-Infection-Found", Some(eicar)),
            (b"X-Infection-Found: type=0;threat=Eicar-Test-Signature\r\n", "X-Infection-Found", Some(eicar)),
            (b"X-Violations-Found: 1\r\n\t-\r\n\tEicar-Test-Signature\r\n\t0\r\n\t0\r\n", "X-Violations-Found", Some(eicar)),
            (b"X-Violations-Found: 1\r\n\t-\r\n\t-\r\n\t0\r\n\t0\r\nX-Virus-ID: Eicar-Test-Signature\r\n", "X-Violations-Found", Some(eicar)),
            (b"X-Virus-ID: Eicar-Test-Signature\r\n", "X-Virus-ID", Some(eicar)),
            (b"X-Virus-Name: a\xffb\r\n", "X-Virus-Name", Some("a\u{fffd}b")),
            (b"X-Response-Info: Blocked\r\n", "X-Response-Info", None),
            // A chain of services: the first to speak does not speak for the others.
            (b"X-Violations-Found: 0\r\nX-Violations-Found: 1\r\n\t-\r\n\tEicar-Test-Signature\r\n\t0\r\n\t0\r\n", "X-Violations-Found", Some(eicar)),
            (b"X-Virus-ID: none\r\nX-Virus-ID: Eicar-Test-Signature\r\n", "X-Virus-ID", Some(eicar)),
            (b"X-Infection-Found: Type=0\r\nX-Infection-Found: Threat=Eicar-Test-Signature\r\n", "X-Infection-Found", Some(eicar)),
            (b"X-Response-Info: Allowed\r\nX-Response-Info: Blocked\r\n", "X-Response-Info", None),
        ] {
            let expected = Some((field, threat.map(str::to_owned)));
            assert_eq!(finding(lines), expected, "{}", String::from_utf8_lossy(lines));
        }
    }

    #[test]
    fn clean_answers_with_the_same_fields() {
        for lines in [
            &b"X-Violations-Found: 0\r\n"[..],
            b"X-Virus-ID: no threats\r\n",
            b"X-Response-Info: Allowed\r\nX-Response-Desc: nothing found\r\n",
            b"X-ICAP-Profile: default\r\n",
        ] {
            assert_eq!(finding(lines), None, "{}", String::from_utf8_lossy(lines));
        }
    }

    #[test]
    fn long_names_are_cut_and_control_characters_dropped() {
        assert_eq!(printable(&[b'a'; 500]).len(), MAX_NAME);
        assert_eq!(printable(b" a\x00\x1bb\t"), "ab");
    }
}
