//! Payment card numbers in raw bytes.
//!
//! A number is written as one run of digits or in the groups printed on the card, separated by
//! single spaces or single dashes. It stands free of letters and digits on both sides, has a
//! prefix and length of a known brand, and a correct check digit. Each condition is there because
//! sixteen digits alone are common: in tables, identifiers, hex dumps and decimal fractions.
//!
//! Whether a number is found depends on the number and one byte on either side, and on nothing
//! further away. That is what allows a scan to look at a body in pieces.

/// The longest number with its separators is 23 bytes long; one more on either side shows that it
/// stands free. A piece of a body must overlap the one before by one byte less than that.
pub(super) const CONTEXT: usize = 24;

/// A card number in a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// The digits as a decimal number. The first is not zero, so they are known in full.
    pub(super) value: u64,
    /// Where the number ends in the piece.
    pub(super) end: usize,
}

/// The card numbers of a piece of a body, in order of where they end. They may overlap.
pub(super) struct Numbers<'a> {
    bytes: &'a [u8],
    /// Whether the piece starts, or ends, where the body does.
    starts: bool,
    ends: bool,
    /// The last groups of digits that are joined by single separators, the newest at the end.
    groups: [Group; MOST_GROUPS],
}

/// How many groups a number is printed in at most.
const MOST_GROUPS: usize = 5;

/// A run of digits with no digit next to it. One of length zero stands for no group.
#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    end: usize,
    /// What joins it to the group before.
    separator: Option<u8>,
}

impl Group {
    fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }
}

impl<'a> Numbers<'a> {
    pub(super) fn new(bytes: &'a [u8], starts: bool, ends: bool) -> Self {
        Self { bytes, starts, ends, groups: Default::default() }
    }
}

impl Iterator for Numbers<'_> {
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        loop {
            let group = self.next_group()?;
            if group.separator.is_none() {
                self.groups = Default::default();
            }
            self.groups.rotate_left(1);
            if let Some(newest) = self.groups.last_mut() {
                *newest = group;
            }
            if let Some(number) = self.number() {
                return Some(number);
            }
        }
    }
}

impl Numbers<'_> {
    /// The next group that may belong to a number.
    fn next_group(&self) -> Option<Group> {
        let from = self.groups.last().map_or(0, |group| group.end);
        let (start, separator) = match self.bytes.get(from..).unwrap_or_default() {
            [separator @ (b' ' | b'-'), digit, ..] if digit.is_ascii_digit() => {
                (from.saturating_add(1), Some(*separator))
            }
            _ => (self.next_field(from)?, None),
        };
        let rest = self.bytes.get(start..)?;
        let len = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        Some(Group { start, end: start.saturating_add(len), separator })
    }

    /// Where the next row of joined groups starts that is worth reading.
    ///
    /// Only every eighth byte is looked at, which is what makes the search fast on everything that
    /// is not a number. None is missed: an unbroken number is at least 13 digits long, so one of
    /// them is looked at, and a grouped one is at least 17 bytes long, so two of its bytes are, of
    /// which one is a digit because no two separators in it are eight bytes apart. Since a group
    /// has three digits or more, another digit is next to it.
    fn next_field(&self, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let (chunks, _) = rest.as_chunks::<8>();
        let (index, _) = chunks.iter().enumerate().find(|&(index, &[.., before, sample])| {
            let after = || rest.get(index.saturating_add(1).saturating_mul(8));
            sample.is_ascii_digit()
                && (before.is_ascii_digit() || after().is_some_and(u8::is_ascii_digit))
        })?;
        let mut before = rest.get(..index.saturating_add(1).saturating_mul(8))?;
        // Not further back than `from`, so that no byte is read over and over again.
        loop {
            before = match before {
                [head @ .., digit] if digit.is_ascii_digit() => head,
                [head @ .., digit, b' ' | b'-'] if digit.is_ascii_digit() => head,
                _ => return Some(from.saturating_add(before.len())),
            };
        }
    }

    /// The number that ends with the newest group.
    fn number(&self) -> Option<Number> {
        let groups = match self.groups.each_ref().map(Group::len) {
            [.., 13..=19] => 1,
            [.., 4, 6, 5] => 3,
            [.., 4, 4, 4, 4] => 4,
            [4, 4, 4, 4, 3] => 5,
            _ => return None,
        };
        let groups = self.groups.get(MOST_GROUPS.saturating_sub(groups)..)?;
        let [first, others @ ..] = groups else { return None };
        let mut separators = others.iter().map(|group| group.separator);
        let separator = separators.next();
        if separators.any(|other| Some(other) != separator) {
            return None;
        }

        let (start, end) = (first.start, groups.last()?.end);
        if !self.stands_free(start, end) {
            return None;
        }
        let digits = self.bytes.get(start..end)?.iter().filter(|b| b.is_ascii_digit());
        // Nineteen digits fit.
        let value = digits.fold(0_u64, |value, digit| {
            value.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')))
        });
        (is_issued(value) && passes_luhn(value)).then_some(Number { value, end })
    }

    /// Whether the bytes before and after show that the number is not part of something longer.
    ///
    /// At the edge of a piece that is not the edge of the body they are not known. The answer is no
    /// then: the piece that overlaps this one has them.
    fn stands_free(&self, start: usize, end: usize) -> bool {
        let before = start.checked_sub(1).and_then(|at| self.bytes.get(at));
        let after = self.bytes.get(end);
        // A point before, but not after, since it may end a sentence.
        before.map_or(self.starts, |b| !is_word(*b) && *b != b'.')
            && after.map_or(self.ends, |b| !is_word(*b))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a brand issues numbers with this prefix and length.
fn is_issued(number: u64) -> bool {
    let digits = number.checked_ilog10().map_or(0, |log| log.saturating_add(1));
    // All prefixes in use are told apart by four digits.
    let power = 10_u64.saturating_pow(digits.saturating_sub(4));
    match (number.checked_div(power).unwrap_or_default(), digits) {
        // Visa
        (4000..=4999, 13 | 16 | 19)
        // Mastercard, the second series of 2017 last
        | (5100..=5599 | 2221..=2720, 16)
        // American Express
        | (3400..=3499 | 3700..=3799, 15)
        // Discover
        | (6011 | 6440..=6599, 16 | 19) => true,
        _ => false,
    }
}

/// Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).
fn passes_luhn(number: u64) -> bool {
    let mut rest = number;
    let mut sum = 0_u64;
    while rest > 0 {
        // Two digits at a time from the right; of those, the left one counts twice.
        let twice = (rest / 10 % 10).wrapping_mul(2);
        sum = sum.wrapping_add(rest % 10).wrapping_add(twice / 10).wrapping_add(twice % 10);
        rest /= 100;
    }
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the numbers in a body that is in memory as a whole.
    fn numbers(body: &str) -> Vec<u64> {
        Numbers::new(body.as_bytes(), true, true).map(|number| number.value).collect()
    }

    #[test]
    fn check_digits() {
        // The example of the standard, then the test numbers card processors publish.
        let valid = [
            79_927_398_713,
            4_111_111_111_111_111,
            4_012_888_888_881_881,
            4_222_222_222_222,
            5_555_555_555_554_444,
            5_105_105_105_105_100,
            2_223_003_122_003_222,
            378_282_246_310_005,
            371_449_635_398_431,
            6_011_111_111_111_117,
            6_011_000_990_139_424,
        ];
        for number in valid {
            assert!(passes_luhn(number), "{number}");
            for digit in 1..10 {
                let changed = number / 10 * 10 + (number % 10 + digit) % 10;
                assert!(!passes_luhn(changed), "{changed}");
            }
        }
        assert!(!passes_luhn(4_929_003_177_451_208));
    }

    #[test]
    fn brands_and_lengths() {
        let issued = [
            4_000_000_000_000,
            4_999_999_999_999_999,
            4_000_000_000_000_000_000,
            5_100_000_000_000_000,
            5_599_999_999_999_999,
            2_221_000_000_000_000,
            2_720_999_999_999_999,
            340_000_000_000_000,
            379_999_999_999_999,
            6_011_000_000_000_000,
            6_440_000_000_000_000,
            6_599_999_999_999_999_999,
        ];
        for number in issued {
            assert!(is_issued(number), "{number}");
        }
        let others = [
            0,
            4,
            40_000_000_000_000,
            3_999_999_999_999_999,
            5_000_000_000_000_000,
            5_600_000_000_000_000,
            51_000_000_000_000_000,
            2_220_999_999_999_999,
            2_721_000_000_000_000,
            350_000_000_000_000,
            3_400_000_000_000_000,
            6_012_000_000_000_000,
            6_439_999_999_999_999,
            u64::MAX,
        ];
        for number in others {
            assert!(!is_issued(number), "{number}");
        }
    }

    #[test]
    fn layouts() {
        let found = [
            ("4111111111111111", 4_111_111_111_111_111),
            ("4111 1111 1111 1111", 4_111_111_111_111_111),
            ("4111-1111-1111-1111", 4_111_111_111_111_111),
            ("3782-822463-10005", 378_282_246_310_005),
            ("4000 0000 0000 0000 006", 4_000_000_000_000_000_006),
            ("4222222222222", 4_222_222_222_222),
        ];
        for (text, value) in found {
            // Wherever the number lies among the bytes that are looked at.
            for shift in 0..16 {
                let text = format!("{}{text}", ",".repeat(shift));
                assert_eq!(numbers(&text), [value], "{text}");
            }
        }
        let missed = [
            "4111  1111  1111  1111",
            "4111 - 1111 - 1111 - 1111",
            "4111 1111-1111 1111",
            "41111111 11111111",
            "4111.1111.1111.1111",
            "4222 2222 2222 2",
        ];
        for text in missed {
            assert_eq!(numbers(text), Vec::<u64>::new(), "{text}");
        }
    }

    #[test]
    fn borders() {
        const NUMBER: &str = "4111111111111111";
        for (before, after) in [
            ("", ""),
            (" ", " "),
            ("card:", "."),
            ("1001,", ",12/29"),
            ("\"", "\""),
            ("=", "&"),
            ("2024-01-02 ", " 12"),
            ("1 2 3 4 5 6 7 8 9 ", "\n"),
            ("- - - - - ", "- - - -"),
            ("\u{e9}", "\u{e9}"),
        ] {
            for number in [NUMBER, "4111 1111 1111 1111", "4111-1111-1111-1111"] {
                for shift in 0..16 {
                    let text = format!("{}{before}{number}{after}", ".,".repeat(shift));
                    assert_eq!(numbers(&text), [4_111_111_111_111_111], "{text}");
                }
            }
        }
        for (before, after) in
            [("1", ""), ("", "1"), ("x", ""), ("", "x"), ("_", ""), ("", "_"), ("0.", "")]
        {
            let text = format!("{before}{NUMBER}{after}");
            assert_eq!(numbers(&text), Vec::<u64>::new(), "{text}");
        }
    }

    #[test]
    fn a_long_digit_run_holds_no_number() {
        for digits in 20..80 {
            let run: String = "4111111111111111".chars().cycle().take(digits).collect();
            assert_eq!(numbers(&run), Vec::<u64>::new(), "{run}");
        }
    }

    #[test]
    fn several_in_a_row() {
        let text = "4111 1111 1111 1111 5555 5555 5555 4444 378282246310005";
        let expected = [4_111_111_111_111_111, 5_555_555_555_554_444, 378_282_246_310_005];
        assert_eq!(numbers(text), expected);
    }

    #[test]
    fn the_overlap_is_enough_for_the_longest_number() {
        let body = b",4000 0000 0000 0000 006,";
        assert_eq!(body.len(), CONTEXT + 1);
        assert!(Numbers::new(body, false, false).next().is_some());
    }

    #[test]
    fn the_edge_of_a_piece_is_not_the_edge_of_the_body() {
        let body = b"4111111111111111";
        assert_eq!(Numbers::new(body, true, false).next(), None);
        assert_eq!(Numbers::new(body, false, true).next(), None);
        assert!(Numbers::new(body, true, true).next().is_some());
    }
}
