//! Text that a server chose, made fit for logs and screens.

/// Characters kept of a name, a reason or a field value.
pub(crate) const MAX_TEXT: usize = 200;

/// Text for people: folds and tabs become blanks, control and invisible characters go, other encodings are
/// replaced, and what is longer than [`MAX_TEXT`] characters is cut.
pub(crate) fn printable(value: &[u8]) -> String {
    printable_up_to(value, MAX_TEXT)
}

pub(crate) fn printable_up_to(value: &[u8], most: usize) -> String {
    if let Some(text) = plain(value).filter(|text| text.len() <= most) {
        return text.to_owned();
    }
    // Eight bytes for each character that is kept; of a megabyte the rest is not looked at.
    let looked_at = value.len().min(most.saturating_mul(8));
    let text = String::from_utf8_lossy(value.get(..looked_at).unwrap_or_default());
    let mut kept = String::new();
    let shown = text.chars().map(|char| if char.is_whitespace() { ' ' } else { char });
    for char in shown.filter(|char| is_shown(*char)).skip_while(|char| *char == ' ').take(most) {
        if char != ' ' || !kept.ends_with(' ') {
            kept.push(char);
        }
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Most values are fit as they are: visible ASCII, with single blanks between.
fn plain(value: &[u8]) -> Option<&str> {
    let mut before = b' ';
    for byte in value {
        let is_single = *byte == b' ' && before != b' ';
        if !byte.is_ascii_graphic() && !is_single {
            return None;
        }
        before = *byte;
    }
    if before == b' ' { None } else { std::str::from_utf8(value).ok() }
}

/// Neither a control character nor one that hides or reorders its neighbours.
fn is_shown(char: char) -> bool {
    let hides = matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !char.is_control() && !hides
}

/// Without the blanks around it, and without the NULs that products written in C leave behind.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n' | 0, rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n' | 0] = value {
        value = rest;
    }
    value
}

/// Whether a value says that there is nothing to say.
pub(crate) fn says_nothing(value: &str) -> bool {
    const WORDS: [&str; 17] = [
        "",
        "-",
        "0",
        "none",
        "no",
        "false",
        "null",
        "n/a",
        "ok",
        "clean",
        "no threat",
        "no threats",
        "no threats found",
        "no virus",
        "no virus found",
        "not infected",
        "no infection",
    ];
    // Some values are quoted (F-Secure).
    let value = value.trim_end_matches(['.', ';']).trim_matches('"').trim();
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether a word of the text, or several, begin so: `error` is in `Scan errors` and `ScanError`, and not in `terror`.
pub(crate) fn has_word(text: &str, begin: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let begin = begin.to_ascii_lowercase();
    lower.match_indices(&begin).any(|(at, _)| {
        let (before, behind) = text.split_at_checked(at).unwrap_or_default();
        let before = before.chars().next_back();
        let is_hump =
            before.is_some_and(char::is_lowercase) && behind.starts_with(char::is_uppercase);
        is_hump || !before.is_some_and(char::is_alphanumeric)
    })
}

/// A decimal number of digits only.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bounded_and_visible() {
        assert_eq!(printable(&[b'a'; 200]).len(), 200);
        assert_eq!(printable(&[b'a'; 201]).len(), MAX_TEXT);
        assert_eq!(printable(b" a\x00\x1bb\t"), "ab");
        for (value, text) in [("a b", "a b"), ("a  b", "a b"), (" a", "a"), ("a ", "a"), ("", "")] {
            assert_eq!(printable(value.as_bytes()), text);
        }
        assert_eq!(printable(b"a\r\n\t b"), "a b");
        assert_eq!(printable("a\u{202e}exe.txt\u{200b}".as_bytes()), "aexe.txt");
        assert_eq!(printable(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(printable("é".repeat(300).as_bytes()).chars().count(), MAX_TEXT);
    }

    #[test]
    fn words_are_found_by_their_begin() {
        for text in ["Scan errors", "error", "(Error)", "é error", "ScanError", "éError"] {
            assert!(has_word(text, "error"), "{text}");
        }
        assert!(has_word("We failed to scan it", "failed to scan"));
        for text in ["Terrorism", "TERROR", "", "err"] {
            assert!(!has_word(text, "error"), "{text}");
        }
    }

    #[test]
    fn digits_only() {
        assert_eq!(decimal(b"007"), Some(7));
        for bad in [&b""[..], b"+1", b"-1", b"1 ", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None);
        }
    }
}
