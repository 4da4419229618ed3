//! Header and trailer fields, kept as the bytes they are.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr;

use crate::error::ParseError;
use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::wire::cursor::Cursor;
use crate::wire::fields;
use crate::{Leniency, Limits};

/// Field lines of an ICAP head, an encapsulated HTTP head or a trailer section.
///
/// The lines stay the bytes that arrived: order, case, duplicates, folds and bytes beyond ASCII survive, and
/// what nobody edits is forwarded unchanged. Names are compared without ASCII case. A look-up walks the lines;
/// there is no index to build, to allocate or to keep in step.
///
/// Every value of this type is valid: names are tokens, values hold no CR, LF (but in a fold) or NUL.
///
/// ```
/// use icap_proto::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("X-Client-IP", "10.1.2.3")?;
/// assert_eq!(headers.get("x-client-ip"), Some(&b"10.1.2.3"[..]));
/// assert_eq!(headers.as_bytes(), b"X-Client-IP: 10.1.2.3\r\n");
/// assert!(headers.append("X-Bad", "a\r\nX-Forged: yes").is_err());
/// # Ok::<(), icap_proto::InvalidHeader>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// The lines, and around them the head in which they came: one allocation is shared by all of it.
    block: Bytes,
    /// Zero or more field lines, each with its CRLF, without the empty line behind them.
    lines: Range<usize>,
}

impl Headers {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: Bytes::new(), lines: 0..0 }
    }

    /// Fields from names and values.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when a name is no token or a value holds a control character.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, InvalidHeader>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut lines = Vec::new();
        for (name, value) in pairs {
            write_line(&mut lines, name.as_ref(), value.as_ref())?;
        }
        Ok(Self::from_lines(lines))
    }

    /// Parses field lines with the empty line at the end of the block.
    ///
    /// # Errors
    ///
    /// The first byte that breaks the grammar of RFC 9112 section 5, bytes behind the empty line, or a limit.
    pub fn parse(block: Bytes, limits: &Limits, leniency: &Leniency) -> Result<Self, ParseError> {
        Self::parse_with(block, limits, &mut Tolerance::new(*leniency))
    }

    pub(crate) fn parse_with(
        block: Bytes,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Self, ParseError> {
        fields::check_block(&block, Cursor::new(&block), limits, tolerance)?;
        let lines = 0..block.len().saturating_sub(2);
        Ok(Self::within(block, lines))
    }

    /// The lines that the head parser has checked inside a block.
    pub(crate) const fn within(block: Bytes, lines: Range<usize>) -> Self {
        Self { block, lines }
    }

    /// The whole block.
    pub(crate) const fn block(&self) -> &Bytes {
        &self.block
    }

    /// Lines that hold the rules.
    pub(crate) fn from_lines(lines: Vec<u8>) -> Self {
        Self { lines: 0..lines.len(), block: lines.into() }
    }

    /// The first value of this name, without the whitespace around it. A folded value comes with its folds;
    /// see [`unfold`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.lines().find_map(|line| line.value_of(name))
    }

    /// Every value of this name, in wire order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.lines().filter_map(move |line| line.value_of(name))
    }

    /// All fields in wire order, names in wire case.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + '_ {
        self.lines().map_while(Line::field)
    }

    /// The field lines, of which nothing but their ends is worked out.
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines::new(self.as_bytes())
    }

    /// Adds a field behind the others.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the name is no token or the value holds a control character. Nothing is changed.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let value = value.as_ref();
        check_line(name, value)?;
        let room = self.room_for(name, value);
        let own = core::mem::take(self);
        // In place when nobody shares the bytes: many fields, one by one, cost what their bytes cost.
        let whole = own.lines == (0..own.block.len());
        let lines = if whole { own.block.try_into_mut() } else { Err(own.block.slice(own.lines)) };
        let mut lines = lines.unwrap_or_else(|shared| {
            let mut copy = BytesMut::with_capacity(room);
            copy.put_slice(&shared);
            copy
        });
        put_line(&mut lines, name, value);
        *self = Self { lines: 0..lines.len(), block: lines.freeze() };
        Ok(())
    }

    /// Gives the field this value and removes further fields of the name. The other lines stay as they are; the
    /// new line stands where the first of the name stood, or last.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let mut lines = Vec::with_capacity(self.room_for(name, value.as_ref()));
        let mut written = false;
        for line in self.lines() {
            if !line.is(name) {
                lines.extend_from_slice(line.bytes());
            } else if !written {
                write_line(&mut lines, name, value.as_ref())?;
                written = true;
            }
        }
        if !written {
            write_line(&mut lines, name, value.as_ref())?;
        }
        *self = Self::from_lines(lines);
        Ok(())
    }

    /// Puts this valid line behind the others and removes fields of its name.
    pub(crate) fn set_line(&mut self, name: &str, line: &Bytes) {
        if self.is_empty() {
            *self = Self { lines: 0..line.len(), block: line.clone() };
            return;
        }
        self.remove(name);
        let lines = [self.as_bytes(), line].concat();
        *self = Self::from_lines(lines);
    }

    /// Removes every field of this name and says how many there were. The other lines stay byte for byte.
    pub fn remove(&mut self, name: &str) -> usize {
        let mut removed = 0usize;
        let mut lines = Vec::with_capacity(self.lines.len());
        for line in self.lines() {
            if line.is(name) {
                removed = removed.saturating_add(1);
            } else {
                lines.extend_from_slice(line.bytes());
            }
        }
        if removed > 0 {
            *self = Self::from_lines(lines);
        }
        removed
    }

    /// Whether a comma list of this name has the member, compared without case (`Connection: close`).
    #[must_use]
    pub fn has_member(&self, name: &str, member: &str) -> bool {
        self.list(name).any(|found| found.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// The field lines as they stand on the wire, without the empty line.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.block.get(self.lines.clone()).unwrap_or_default()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The members of a comma list (RFC 9110 section 5.6.1): of every field of this name in wire order, without the
    /// whitespace around them, empty ones left out. Not for fields whose members hold quoted strings.
    ///
    /// ```
    /// let headers = icap_proto::Headers::from_pairs([("X-Include", "a,, b"), ("x-include", "c,")])?;
    /// assert!(headers.list("X-Include").eq([&b"a"[..], b"b", b"c"]));
    /// # Ok::<(), icap_proto::InvalidHeader>(())
    /// ```
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        // Folds are whitespace too.
        let members = self.get_all(name).flat_map(|value| value.split(|&b| b == b','));
        members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    /// Bytes that the lines and one more field need at most.
    fn room_for(&self, name: &str, value: &[u8]) -> usize {
        self.lines.len().saturating_add(line_len(name, value))
    }
}

/// The same lines, byte for byte.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Headers {}

/// Shows names and values, but not those that hold credentials.
impl core::fmt::Debug for Headers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut map = f.debug_map();
        for field in self.iter() {
            if is_secret(field.name) {
                map.entry(&field.name, &"[redacted]");
            } else {
                map.entry(&field.name, &alloc::string::String::from_utf8_lossy(field.value));
            }
        }
        map.finish()
    }
}

/// One field of [`Headers`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Field<'a> {
    /// The name in wire case.
    pub name: &'a str,
    /// The value without the whitespace around it; a folded value with its folds.
    pub value: &'a [u8],
    /// The whole line or lines with the CRLF at the end.
    pub line: &'a [u8],
}

/// Shows name and value, but not a value that is a credential.
impl core::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let value = alloc::string::String::from_utf8_lossy(self.value);
        let value = if is_secret(self.name) { "[redacted]" } else { &value };
        f.debug_struct("Field").field("name", &self.name).field("value", &value).finish()
    }
}

/// Replaces each fold by one space (RFC 9112 section 5.2). Values without folds are given back as they are.
///
/// ```
/// assert_eq!(icap_proto::unfold(b"1\r\n\tfile.doc\r\n\tEICAR").as_ref(), b"1 file.doc EICAR");
/// ```
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut unfolded = Vec::with_capacity(value.len());
    for part in value.split(|&b| b == b'\n') {
        let part = class::trim(part.strip_suffix(b"\r").unwrap_or(part));
        if !unfolded.is_empty() && !part.is_empty() {
            unfolded.push(b' ');
        }
        unfolded.extend_from_slice(part);
    }
    Cow::Owned(unfolded)
}

/// The lines of a folded value, each without the whitespace around it; the first is what stands behind the colon.
/// For fields whose lines have a meaning, such as `X-Violations-Found`.
///
/// ```
/// let lines = icap_proto::fold_lines(b"1\r\n\tfile.doc\r\n\tEICAR");
/// assert!(lines.eq([&b"1"[..], b"file.doc", b"EICAR"]));
/// ```
pub fn fold_lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b'\n').map(<[u8]>::trim_ascii)
}

/// A name or value that cannot stand in a field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is no token (RFC 9110 section 5.1).
    #[error("invalid field name")]
    Name,
    /// The value holds CR, LF, NUL or another control character (RFC 9110 section 5.5).
    #[error("invalid byte in field value")]
    Value,
    /// A field that the encoder writes itself, such as `Encapsulated`.
    #[error("field is written by the encoder")]
    Reserved,
}

/// Adds a line; nothing is written when it is refused.
pub(crate) fn write_line(
    lines: &mut Vec<u8>,
    name: &str,
    value: &[u8],
) -> Result<(), InvalidHeader> {
    check_line(name, value)?;
    lines.reserve(line_len(name, value));
    put_line(lines, name, value);
    Ok(())
}

fn check_line(name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
    if !class::is_token(name.as_bytes()) {
        return Err(InvalidHeader::Name);
    }
    if !class::is_value(value) {
        return Err(InvalidHeader::Value);
    }
    Ok(())
}

/// Bytes that a line needs at most.
fn line_len(name: &str, value: &[u8]) -> usize {
    let framing = b": \r\n".len();
    name.len().saturating_add(value.len()).saturating_add(framing)
}

fn put_line(lines: &mut impl BufMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", class::trim(value), b"\r\n"] {
        lines.put_slice(part);
    }
}

fn is_secret(name: &str) -> bool {
    ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// One valid field line, with its CRLF. A look-up has to tell apart many lines that it does not want: the name is
/// compared where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// Whether the field has this name.
    #[inline]
    pub(crate) fn is(self, name: &str) -> bool {
        let name = name.as_bytes();
        // The second colon is rare: no name of a caller but one that is no token has one in it.
        self.0.get(name.len()) == Some(&b':')
            && self.0.get(..name.len()).is_some_and(|found| {
                // Mostly in the usual spelling.
                found == name || found.eq_ignore_ascii_case(name)
            })
            && !name.contains(&b':')
    }

    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_folded(self) -> bool {
        memchr(b'\n', self.0).is_some_and(|end| end.saturating_add(1) < self.0.len())
    }

    /// The value without the whitespace around it, if the field has this name.
    fn value_of(self, name: &str) -> Option<&'a [u8]> {
        if self.is(name) { self.value_behind(name.len()) } else { None }
    }

    pub(crate) fn field(self) -> Option<Field<'a>> {
        let (name, value) = self.cut()?;
        Some(Field { name: core::str::from_utf8(name).ok()?, value, line: self.0 })
    }

    fn cut(self) -> Option<(&'a [u8], &'a [u8])> {
        let colon = memchr(b':', self.0)?;
        Some((self.0.get(..colon)?, self.value_behind(colon)?))
    }

    fn value_behind(self, colon: usize) -> Option<&'a [u8]> {
        let value = self.0.get(colon.saturating_add(1)..)?.strip_suffix(b"\r\n")?;
        Some(class::trim(value))
    }
}

/// Cuts valid lines apart.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(crate) const fn new(lines: &'a [u8]) -> Self {
        Self { rest: lines }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut end = 0usize;
        loop {
            let more = memchr(b'\n', self.rest.get(end..)?)?;
            end = end.saturating_add(more).saturating_add(1);
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Line(line))
    }
}
