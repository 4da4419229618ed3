//! International bank account numbers and US social security numbers in raw bytes.
//!
//! Like a card number each stands free of letters and digits, and whether it is found depends on it and on one byte on
//! either side.

use memchr::memchr_iter;

use super::cards::Number;

/// The longest IBAN has 34 letters and eight blanks; one byte on either side shows that it stands free. A piece of a
/// body must overlap the one before by one byte less than that.
pub(super) const CONTEXT: usize = 43;

/// The lengths of IBANs by country (ISO 13616-1 registry).
const LENGTHS: [(&[u8; 2], usize); 76] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VG", 24),
];

/// The IBANs of a piece of a body, in order of where they end: in one run, or in groups of four with single blanks.
/// Whether the piece starts, or ends, where the body does, says what stands beside a number at its edge.
pub(super) fn ibans(bytes: &[u8], starts: bool, ends: bool) -> impl Iterator<Item = Number> {
    let begins = |window: &[u8]| match window {
        [a, b, c, d] => {
            c.is_ascii_digit()
                && d.is_ascii_digit()
                && a.is_ascii_uppercase()
                && b.is_ascii_uppercase()
        }
        _ => false,
    };
    let at = bytes.windows(4).enumerate().filter(move |(_, window)| begins(window));
    at.filter_map(move |(start, _)| {
        let (end, value) = iban(bytes.get(start..)?)?;
        let end = start.saturating_add(end);
        stands_free(bytes, start, end, starts, ends).then_some(Number { value, end })
    })
}

/// The length of the IBAN at the start of these bytes, as it is written, and a number that stands for it.
fn iban(bytes: &[u8]) -> Option<(usize, u64)> {
    let country = bytes.get(..2)?;
    let (_, length) = LENGTHS.iter().find(|(code, _)| code.as_slice() == country)?;
    let grouped = bytes.get(4) == Some(&b' ');
    let mut letters = Vec::with_capacity(*length);
    let mut end = 0_usize;
    while letters.len() < *length {
        if grouped && !letters.is_empty() && letters.len().is_multiple_of(4) {
            if bytes.get(end) != Some(&b' ') {
                return None;
            }
            end = end.saturating_add(1);
        }
        let letter = *bytes.get(end)?;
        if !letter.is_ascii_digit() && !letter.is_ascii_uppercase() {
            return None;
        }
        letters.push(letter);
        end = end.saturating_add(1);
    }
    // Few numbers are told apart: a hash is enough (FNV-1a).
    let hash = letters.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, letter| {
        (hash ^ u64::from(*letter)).wrapping_mul(0x0100_0000_01B3)
    });
    passes_mod_97(&letters).then_some((end, hash))
}

/// Whether the two digits behind the country are the check digits (ISO/IEC 7064, MOD 97-10): country and digits moved
/// to the end and letters taken for 10 to 35, the whole is one more than a multiple of 97.
fn passes_mod_97(letters: &[u8]) -> bool {
    let (front, rest) = letters.split_at(letters.len().min(4));
    let remainder = rest.iter().chain(front).fold(0_u32, |remainder, letter| {
        let value = char::from(*letter).to_digit(36).unwrap_or_default();
        let shift = if value < 10 { 10 } else { 100 };
        remainder.wrapping_mul(shift).wrapping_add(value) % 97
    });
    remainder == 1
}

/// The US social security numbers of a piece of a body, in order of where they end, written with dashes: without them
/// nothing tells one from any nine digits.
pub(super) fn ssns(bytes: &[u8], starts: bool, ends: bool) -> impl Iterator<Item = Number> {
    memchr_iter(b'-', bytes).filter_map(move |dash| {
        let start = dash.checked_sub(3)?;
        let end = start.saturating_add(11);
        let number = <&[u8; 11]>::try_from(bytes.get(start..end)?).ok()?;
        let value = ssn(number)?;
        let joined = |at: Option<&u8>| at == Some(&b'-');
        let alone =
            !joined(start.checked_sub(1).and_then(|at| bytes.get(at))) && !joined(bytes.get(end));
        (alone && stands_free(bytes, start, end, starts, ends)).then_some(Number { value, end })
    })
}

/// The digits of `AAA-GG-SSSS`, where each part is one that is given out.
fn ssn(text: &[u8; 11]) -> Option<u64> {
    let [a, b, c, b'-', d, e, b'-', f, g, h, i] = text else { return None };
    let number = |digits: &[&u8]| -> Option<u64> {
        digits.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
            Some(number.wrapping_mul(10).wrapping_add(u64::from(digit)))
        })
    };
    let (area, group, serial) = (number(&[a, b, c])?, number(&[d, e])?, number(&[f, g, h, i])?);
    let given = !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0;
    given.then(|| number(&[a, b, c, d, e, f, g, h, i])).flatten()
}

/// Whether the bytes before and after show that the number is not part of something longer. At the edge of a piece that
/// is not the edge of the body they are not known, and the piece that overlaps this one has them.
fn stands_free(bytes: &[u8], start: usize, end: usize, starts: bool, ends: bool) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    before.map_or(starts, |byte| !is_word(byte))
        && bytes.get(end).map_or(ends, |byte| !is_word(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_ibans(text: &str) -> usize {
        ibans(text.as_bytes(), true, true).count()
    }

    #[test]
    fn ibans_with_their_check_digits() {
        // The examples of the registry.
        for text in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB29NWBK60161331926819",
            "GB29 NWBK 6016 1331 9268 19",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "LC55HEMM000100010012001200023015",
            "(FR1420041010050500013M02606)",
            "FR14 2004 1010 0505 0001 3M02 606, and more",
        ] {
            assert_eq!(count_ibans(text), 1, "{text}");
        }
        for text in [
            "DE88370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "xDE89370400440532013000",
            "DE89 3704  0044 0532 0130 00",
            "DE89 37040044 0532 0130 00",
            "XX89370400440532013000",
            "de89370400440532013000",
        ] {
            assert_eq!(count_ibans(text), 0, "{text}");
        }
    }

    #[test]
    fn every_changed_digit_is_noticed() {
        let good = "DE89370400440532013000";
        for at in 2..good.len() {
            let mut bad = good.as_bytes().to_vec();
            bad[at] = if bad[at] == b'9' { b'0' } else { bad[at] + 1 };
            assert_eq!(ibans(&bad, true, true).count(), 0, "{at}");
        }
    }

    #[test]
    fn social_security_numbers() {
        let count = |text: &str| ssns(text.as_bytes(), true, true).count();
        for text in ["536-90-4399", " 001-01-0001,", "665-01-0001", "899-99-9999\n"] {
            assert_eq!(count(text), 1, "{text}");
        }
        for text in [
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "1123-45-6789",
            "123-45-67890",
            "123456789",
            "123-45-6789-1",
            "1-123-45-6789",
            "12a-45-6789",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
        assert_eq!(ssns(b"536-90-4399", true, false).count(), 0);
        assert_eq!(ssns(b"536-90-4399", false, true).count(), 0);
    }

    #[test]
    fn the_overlap_is_enough_for_the_longest_number() {
        // One letter more than the longest of the registry, with a blank after each four.
        let longest =
            LENGTHS.iter().map(|(_, length)| length + (length - 1) / 4).max().unwrap_or_default();
        assert!(longest < CONTEXT, "{longest}");
    }
}
