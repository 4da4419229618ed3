//! Field lines, in one pass.

use crate::Limits;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::wire::cursor::{Cursor, Stop};

/// One field line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldLine<'a> {
    pub(crate) name: &'a [u8],
    /// From the first byte that is no blank to the line end; a folded value keeps its line ends.
    raw_value: &'a [u8],
    pub(crate) folded: bool,
    /// Where the line starts.
    pub(crate) at: usize,
    pub(crate) value_at: usize,
}

impl<'a> FieldLine<'a> {
    /// Without the blanks around it. Folds may end a value with empty lines.
    pub(crate) fn value(&self) -> &'a [u8] {
        let mut value = self.raw_value;
        while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = value {
            value = rest;
        }
        value
    }
}

/// Reads field lines up to the empty line and behind it (RFC 9112 section 5):
///
/// ```text
/// field-line = field-name ":" OWS field-value OWS CRLF
/// obs-fold   = OWS CRLF 1*( SP / HTAB )
/// ```
///
/// The caller is shown each line in turn. It is a callback and no iterator so that what a caller does not look at
/// is not worked out.
pub(crate) fn read<'a>(
    cursor: &mut Cursor<'a>,
    limits: &Limits,
    tolerance: &mut Tolerance,
    mut visit: impl FnMut(FieldLine<'a>, &mut Tolerance) -> Result<(), ParseError>,
) -> Result<(), Stop> {
    let mut count = 0usize;
    loop {
        let (at, line) = (cursor.at(), cursor.rest());
        let (name, rest) = line.split_at_checked(class::token_len(line)).unwrap_or_default();
        let [b':', after_colon @ ..] = rest else {
            let [b'\r', b'\n', behind @ ..] = line else { return Err(no_line(cursor, name)) };
            cursor.set_rest(behind);
            return Ok(());
        };
        if name.is_empty() {
            return Err(cursor.error(Kind::FieldName).into());
        }
        count = count.saturating_add(1);
        if count > limits.fields {
            return Err(ParseError::new(Kind::TooManyFields, at).into());
        }
        let text = class::after_blanks(after_colon);
        let (first_line, rest) = text.split_at_checked(class::value_len(text)).unwrap_or_default();
        let (raw_value, folded) = match rest {
            [b'\r', b'\n', next @ ..] if !matches!(next, [] | [b' ' | b'\t', ..]) => {
                cursor.set_rest(next);
                (first_line, false)
            }
            _ => {
                cursor.set_rest(rest);
                (folds(cursor, name, text, tolerance)?, true)
            }
        };
        if line.len().saturating_sub(cursor.rest().len()) > limits.field_line {
            return Err(ParseError::new(Kind::FieldLineTooLong, at).into());
        }
        let value_at = at.saturating_add(line.len().saturating_sub(text.len()));
        visit(FieldLine { name, raw_value, folded, at, value_at }, tolerance)?;
    }
}

/// Checks the lines of a whole block that ends with their empty line and holds no byte behind it.
pub(crate) fn check_block(
    block: &[u8],
    mut cursor: Cursor<'_>,
    limits: &Limits,
    tolerance: &mut Tolerance,
) -> Result<(), ParseError> {
    read(&mut cursor, limits, tolerance, |_, _| Ok(()))
        .map_err(|stop| stop.in_whole(block, Kind::SectionEnd))?;
    if cursor.rest().is_empty() { Ok(()) } else { Err(cursor.error(Kind::SectionEnd)) }
}

/// The rest of a value that does not end with its first line, or why it does not.
#[cold]
fn folds<'a>(
    cursor: &mut Cursor<'a>,
    name: &[u8],
    text: &'a [u8],
    tolerance: &mut Tolerance,
) -> Result<&'a [u8], Stop> {
    loop {
        let end = text.len().saturating_sub(cursor.rest().len());
        cursor.line_end(Kind::FieldValue)?;
        match cursor.peek() {
            Some(b' ' | b'\t') => {}
            Some(_) => return Ok(text.get(..end).unwrap_or_default()),
            // A fold may follow; the empty line must.
            None => return Err(Stop::Incomplete),
        }
        if !is_extension(name) && !tolerance.takes(|switches| &mut switches.folded_values) {
            return Err(cursor.error(Kind::Fold).into());
        }
        cursor.take(class::value_len);
    }
}

/// Why this is neither a field line nor the empty one.
#[cold]
fn no_line(cursor: &mut Cursor<'_>, name: &[u8]) -> Stop {
    cursor.skip(name.len());
    let kind = match cursor.rest() {
        [] => return Stop::Incomplete,
        [b'\r'] if name.is_empty() => return Stop::Incomplete,
        [b'\r', ..] if name.is_empty() => {
            cursor.skip(1);
            Kind::BareCr
        }
        [b' ' | b'\t', ..] if name.is_empty() => Kind::LeadingWhitespace,
        [b' ' | b'\t', ..] => Kind::SpaceBeforeColon,
        [b'\r', ..] => Kind::MissingColon,
        [b'\n', ..] => Kind::BareLf,
        _ => Kind::FieldName,
    };
    cursor.error(kind).into()
}

/// Whether a field is one of those that RFC 3507 section 4.3 leaves to users: some are specified as folded.
fn is_extension(name: &[u8]) -> bool {
    matches!(name, [b'X' | b'x', b'-', ..])
}
