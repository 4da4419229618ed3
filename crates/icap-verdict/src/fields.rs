//! Field lines, parsed or not.

use icap_proto::{Headers, fold_lines};

use crate::text::{decimal, trim};

/// Lines of `X-Violations-Found` that are read at most: 64 violations of four lines.
pub(crate) const MAX_VIOLATION_LINES: usize = 256;

/// The fields of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fields<'a> {
    /// A parser has checked them.
    Parsed(&'a Headers),
    /// Lines as they came. What is no field is passed over.
    Lines(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// Names and values in wire order; a value comes with its folds.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let (parsed, loose) = match self {
            Self::Parsed(headers) => (Some(headers), None),
            Self::Lines(rest) => (None, Some(LooseFields { rest })),
        };
        let parsed = parsed.into_iter().flat_map(Headers::iter);
        parsed.map(|field| (field.name, field.value)).chain(loose.into_iter().flatten())
    }

    /// Every value of this name.
    pub(crate) fn all<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = self.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| trim(value))
    }

    /// The first value of this name.
    pub(crate) fn get(self, name: &str) -> Option<&'a [u8]> {
        match self {
            Self::Parsed(headers) => headers.get(name).map(trim),
            Self::Lines(_) => self.all(name).next(),
        }
    }
}

/// Cuts lines that nobody has checked into fields.
struct LooseFields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LooseFields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let block = self.rest;
            let first = next_line(&mut self.rest)?;
            let Some(name) = field_name(first) else { continue };
            while matches!(self.rest, [b' ' | b'\t', ..]) {
                next_line(&mut self.rest);
            }
            if name.eq_ignore_ascii_case("X-Violations-Found") {
                self.take_violation_lines();
            }
            let taken = block.len().saturating_sub(self.rest.len());
            let value = block.get(name.len().saturating_add(1)..taken).unwrap_or_default();
            return Some((name, trim(value)));
        }
    }
}

impl LooseFields<'_> {
    /// Symantec Scan Engine writes the lines of its violations without the blank that makes them folds. A group of
    /// four begins with a line that cannot be a field, or with a name of a file that looks like one: then its numbers
    /// stand two and three lines below. Inside a group anything goes but the fields that stand behind violations.
    fn take_violation_lines(&mut self) {
        for at in 0..MAX_VIOLATION_LINES {
            let mut rest = self.rest;
            let Some(line) = next_line(&mut rest).filter(|line| !line.is_empty()) else { return };
            let line = trim(line);
            let belongs = match at % 4 {
                0 => match field_name(line) {
                    None => true,
                    Some(name) => !is_known(name) && ends_group(rest),
                },
                1 => !field_name(line).is_some_and(is_known),
                _ => is_number(line),
            };
            if !belongs {
                return;
            }
            self.rest = rest;
        }
    }
}

/// Whether the lines behind the first of a group are the others: a name, and two numbers.
fn ends_group(mut rest: &[u8]) -> bool {
    next_line(&mut rest).is_some()
        && (0..2).all(|_| next_line(&mut rest).is_some_and(|line| is_number(trim(line))))
}

/// What stands for a problem and for a resolution.
fn is_number(line: &[u8]) -> bool {
    line == b"-" || decimal(line).is_some()
}

fn is_known(name: &str) -> bool {
    const KNOWN: [&str; 9] = [
        "Encapsulated",
        "ISTag",
        "Service",
        "Service-ID",
        "Server",
        "Date",
        "Connection",
        "Via",
        "Cache-Control",
    ];
    name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
        || KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What stands in front of the colon, when it can be the name of a field. One letter is a drive (`C:\file`).
fn field_name(line: &[u8]) -> Option<&str> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line.get(..colon).filter(|name| name.len() > 1)?;
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    name.iter().all(token).then(|| std::str::from_utf8(name).ok())?
}

/// The next line without its end. The last one may lack it.
pub(crate) fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    let (line, behind) = rest.split_at_checked(end)?;
    *rest = behind.strip_prefix(b"\n").unwrap_or(behind);
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The lines of a value, each without what is around it.
pub(crate) fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    fold_lines(value).map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(block: &'static [u8]) -> Vec<(&'static str, &'static [u8])> {
        Fields::Lines(block).iter().collect()
    }

    #[test]
    fn what_is_no_field_is_passed_over() {
        let found =
            fields(b"HTTP/1.1 200 OK: \r\n: x\r\n folded: no\r\nA1: b\0\r\nB2:\r\n c\r\nlast: one");
        assert_eq!(found, [("A1", &b"b"[..]), ("B2", b"c"), ("last", b"one")]);
    }

    #[test]
    fn violations_without_folds_end_where_the_next_field_begins() {
        let value = |block| fields(block)[0].1.split(|&b| b == b'\n').count();
        assert_eq!(value(b"X-Violations-Found: 2\r\na\r\nb: c\r\n1\r\n2\r\nC:\\d\r\ne\r\n-\r\n0\r\nX-Y: z\r\n"), 9);
        // A lie in either direction moves nothing.
        assert_eq!(
            value(b"X-Violations-Found: 4294967295\r\na\r\nb\r\n1\r\n2\r\nEncapsulated: x\r\n"),
            5
        );
        assert_eq!(
            value(b"X-Violations-Found: 1\r\na\r\nb\r\n1\r\n2\r\na\r\nb\r\n1\r\n2\r\nISTag: x\r\n"),
            9
        );
        // Names of files that look like fields.
        assert_eq!(
            value(b"X-Violations-Found: 1\r\nRe: offer.eml\r\nb\r\n1\r\n2\r\nX-Y: z\r\n"),
            5
        );
        assert_eq!(
            value(b"X-Violations-Found: 1\r\na\r\nb\r\n1\r\n2\r\nX-Y: z\r\nb\r\n1\r\n2\r\n"),
            5
        );
        // A group that is cut short swallows no field.
        assert_eq!(value(b"X-Violations-Found: 1\r\na\r\nX-Infection-Found: Threat=b\r\n"), 2);
        assert_eq!(value(b"X-Violations-Found: 1\r\na\r\nb\r\nX-Virus-ID: 1\r\n"), 3);
    }

    #[test]
    fn endless_violations_are_cut() {
        let block =
            [&b"X-Violations-Found: 9999\r\n"[..], &b"a\r\nb\r\n1\r\n2\r\n".repeat(65)].concat();
        let (_, value) = Fields::Lines(&block).iter().next().unwrap();
        assert_eq!(value.split(|&b| b == b'\n').count(), 1 + MAX_VIOLATION_LINES);
    }
}
