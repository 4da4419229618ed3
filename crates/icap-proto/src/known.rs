//! The fields of an ICAP head that decide how the message is read, picked up while the head is parsed.

use crate::allow::Allow;
use crate::encapsulated::{Encapsulated, List};
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::headers::{Headers, InvalidHeader};
use crate::istag::IsTag;
use crate::tolerance::Tolerance;
use crate::uri;
use crate::wire::class;
use crate::wire::cursor::{Cursor, Stop};
use crate::wire::fields::{self, FieldLine};
use crate::{Leniency, Limits};

/// Fields that the encoder writes from typed values; they are left out when other fields are copied.
pub(crate) const WRITTEN_BY_ENCODER: [&str; 8] = [
    "Encapsulated",
    "Preview",
    "Allow",
    "Connection",
    "Trailer",
    "Transfer-Encoding",
    "Content-Length",
    "Keep-Alive",
];

/// Adds a field to a head that is being built. What a strict reader would refuse is refused here, and a field that
/// may stand once replaces the one before it.
pub(crate) fn add(headers: &mut Headers, name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
    if WRITTEN_BY_ENCODER.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(InvalidHeader::Reserved);
    }
    let text = class::trim(value);
    let fits = match Framing::from_name(name.as_bytes()) {
        Some(Framing::Host) => uri::is_host_and_port(text),
        Some(Framing::IsTag) => {
            IsTag::text(text, &mut Tolerance::new(Leniency::strict())).is_some()
        }
        _ => return headers.append(name, value),
    };
    if fits { headers.set(name, value) } else { Err(InvalidHeader::Value) }
}

/// What the fields of one head say about its framing.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    pub(crate) encapsulated: Option<Encapsulated>,
    /// `Encapsulated` had a header section of no length, and the switch for that is on: the fault that it is in
    /// any message but a 200.
    pub(crate) empty_section: Option<ParseError>,
    /// A malformed number is an error in a request and as good as absent in an answer.
    pub(crate) preview: Option<Result<u64, ParseError>>,
    pub(crate) allow: Allow,
    pub(crate) close: bool,
    pub(crate) trailer: bool,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) istag: Option<&'a [u8]>,
    /// Host and port of the URI: mostly `Host` is the same, and need not be looked at again.
    authority: Option<&'a [u8]>,
}

impl<'a> Known<'a> {
    /// Reads all field lines of a head; behind a request line, with the host and port of its URI.
    pub(crate) fn read(
        cursor: &mut Cursor<'a>,
        authority: Option<&'a [u8]>,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Self, Stop> {
        let mut known = Self { authority, ..Self::default() };
        fields::read(cursor, limits, tolerance, |line, tolerance| {
            match Framing::from_name(line.name) {
                None => Ok(()),
                Some(_) if line.folded => Err(ParseError::new(Kind::Fold, line.value_at)),
                Some(field) => known.take(field, &line, limits, tolerance),
            }
        })?;
        Ok(known)
    }

    fn take(
        &mut self,
        field: Framing,
        line: &FieldLine<'a>,
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<(), ParseError> {
        let value = line.value();
        let fail = |kind| ParseError::new(kind, line.at);
        match field {
            Framing::Encapsulated => {
                if self.encapsulated.is_some() {
                    return Err(fail(Kind::DuplicateField));
                }
                let list = List::parse(value, limits, tolerance)
                    .map_err(|error| error.shifted(line.value_at as u64))?;
                self.encapsulated = Some(list.entities);
                self.empty_section =
                    list.empty_section.map(|error| error.shifted(line.value_at as u64));
            }
            Framing::Preview => {
                if self.preview.is_some() {
                    return Err(fail(Kind::DuplicateField));
                }
                self.preview = Some(class::decimal(value).ok_or_else(|| fail(Kind::Preview)));
            }
            Framing::Allow => self.allow.add(value, limits).map_err(fail)?,
            Framing::Connection => {
                self.close |=
                    class::list(value).any(|member| member.eq_ignore_ascii_case(b"close"));
            }
            Framing::Trailer => self.trailer = true,
            Framing::Host => {
                if self.authority != Some(value)
                    && !uri::is_host_and_port(value)
                    && !tolerance.takes(|switches| &mut switches.malformed_host)
                {
                    return Err(fail(Kind::Host));
                }
                once(&mut self.host, value, tolerance).map_err(fail)?;
            }
            Framing::IsTag => {
                if IsTag::text(value, tolerance).is_none() {
                    return Err(fail(Kind::IsTag));
                }
                once(&mut self.istag, value, tolerance).map_err(fail)?;
            }
            Framing::Http => {
                if !tolerance.takes(|switches| &mut switches.http_framing_fields) {
                    return Err(fail(Kind::ForbiddenField));
                }
            }
        }
        Ok(())
    }
}

/// Takes a field that may stand again only with the same value, if at all (RFC 9112 section 3.2 refuses any second
/// `Host`).
fn once<'a>(
    slot: &mut Option<&'a [u8]>,
    value: &'a [u8],
    tolerance: &mut Tolerance,
) -> Result<(), Kind> {
    match slot {
        None => {
            *slot = Some(value);
            Ok(())
        }
        Some(first)
            if *first == value && tolerance.takes(|switches| &mut switches.repeated_fields) =>
        {
            Ok(())
        }
        Some(_) => Err(Kind::DuplicateField),
    }
}

/// The fields by what they do to framing.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Encapsulated,
    Preview,
    Allow,
    Connection,
    Trailer,
    Host,
    IsTag,
    /// `Transfer-Encoding`, `Content-Length`: they frame HTTP, never ICAP.
    Http,
}

impl Framing {
    /// In the usual spelling, or in any.
    fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"Host" => Some(Self::Host),
            b"Allow" => Some(Self::Allow),
            b"Preview" => Some(Self::Preview),
            b"Encapsulated" => Some(Self::Encapsulated),
            b"ISTag" => Some(Self::IsTag),
            _ => Self::from_any_case(name),
        }
    }

    /// Length first: most fields are none of these, and a length is quicker to compare than a name.
    fn from_any_case(name: &[u8]) -> Option<Self> {
        let (known, field): (&[u8], _) = match name.len() {
            4 => (b"Host", Self::Host),
            5 if name.first().is_some_and(|b| b | 0x20 == b'i') => (b"ISTag", Self::IsTag),
            5 => (b"Allow", Self::Allow),
            7 if name.first().is_some_and(|b| b | 0x20 == b'p') => (b"Preview", Self::Preview),
            7 => (b"Trailer", Self::Trailer),
            10 => (b"Connection", Self::Connection),
            12 => (b"Encapsulated", Self::Encapsulated),
            14 => (b"Content-Length", Self::Http),
            17 => (b"Transfer-Encoding", Self::Http),
            _ => return None,
        };
        name.eq_ignore_ascii_case(known).then_some(field)
    }
}
