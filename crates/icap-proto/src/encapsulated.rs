//! The `Encapsulated` list: which parts a message has and where they start.

use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::http_head::HttpHead;
use crate::tolerance::Tolerance;
use crate::wire::class;
use crate::{Leniency, Limits, Method, StatusCode};

/// A part of an ICAP message (RFC 3507 section 4.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Entity {
    /// `req-hdr`: the head of an HTTP request.
    ReqHdr,
    /// `res-hdr`: the head of an HTTP response.
    ResHdr,
    /// `req-body`: the body of an HTTP request.
    ReqBody,
    /// `res-body`: the body of an HTTP response.
    ResBody,
    /// `opt-body`: the body of an OPTIONS message.
    OptBody,
    /// `null-body`: no body; the offset tells where the header sections end.
    NullBody,
}

impl Entity {
    const ALL: [Self; 6] =
        [Self::ReqHdr, Self::ResHdr, Self::ReqBody, Self::ResBody, Self::OptBody, Self::NullBody];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReqHdr => "req-hdr",
            Self::ResHdr => "res-hdr",
            Self::ReqBody => "req-body",
            Self::ResBody => "res-body",
            Self::OptBody => "opt-body",
            Self::NullBody => "null-body",
        }
    }

    const fn is_header(self) -> bool {
        matches!(self, Self::ReqHdr | Self::ResHdr)
    }

    fn from_wire(name: &[u8], tolerance: &mut Tolerance) -> Option<Self> {
        let exact = match name {
            b"req-hdr" => Some(Self::ReqHdr),
            b"res-hdr" => Some(Self::ResHdr),
            b"req-body" => Some(Self::ReqBody),
            b"res-body" => Some(Self::ResBody),
            b"opt-body" => Some(Self::OptBody),
            b"null-body" => Some(Self::NullBody),
            _ => None,
        };
        exact.or_else(|| {
            let alike = |entity: &Self| entity.as_str().as_bytes().eq_ignore_ascii_case(name);
            let entity = Self::ALL.into_iter().find(alike)?;
            tolerance.takes(|switches| &mut switches.entity_case).then_some(entity)
        })
    }
}

/// A well-formed `Encapsulated` list: header sections in wire order, then one body or `null-body`.
///
/// ```text
/// Encapsulated: req-hdr=0, res-hdr=137, res-body=296
/// ```
///
/// Order, offsets from 0 upwards and the single body at the end hold for every value of this type; whether a
/// message may carry the list is decided by [`fits_request`](Self::fits_request) and
/// [`fits_response`](Self::fits_response).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulated {
    req_hdr: Option<usize>,
    res_hdr: Option<usize>,
    body: Entity,
}

impl Encapsulated {
    /// `null-body=0`: the same as no message body at all (erratum e1).
    pub const NONE: Self = Self { req_hdr: None, res_hdr: None, body: Entity::NullBody };

    /// A list from the lengths of its header sections. `body` must be a body entity or `null-body`.
    pub(crate) const fn new(req_hdr: Option<usize>, res_hdr: Option<usize>, body: Entity) -> Self {
        Self { req_hdr, res_hdr, body }
    }

    /// The list of a message that is this head and perhaps a body.
    pub(crate) fn of(http: &HttpHead, body: bool) -> Self {
        let length = Some(http.as_bytes().len());
        match (http.is_request(), body) {
            (true, true) => Self::new(length, None, Entity::ReqBody),
            (true, false) => Self::new(length, None, Entity::NullBody),
            (false, true) => Self::new(None, length, Entity::ResBody),
            (false, false) => Self::new(None, length, Entity::NullBody),
        }
    }

    /// Parses the value of the field. Offsets count from the start of the value.
    ///
    /// # Errors
    ///
    /// Unknown entities, offsets that are no plain decimal numbers, do not start at 0 or do not increase,
    /// entities out of order or behind the body, and header sections beyond
    /// [`Limits::encapsulated_bytes`].
    pub fn parse(value: &[u8], limits: &Limits, leniency: &Leniency) -> Result<Self, ParseError> {
        let list = List::parse(value, limits, &mut Tolerance::new(*leniency))?;
        // Only the status of a whole head can say that it means a 204.
        list.empty_section.map_or(Ok(list.entities), Err)
    }

    /// The same parts, with this length for the one header section there is.
    pub(crate) const fn with_section(self, length: usize) -> Self {
        match (self.req_hdr, self.res_hdr) {
            (Some(_), None) => Self { req_hdr: Some(length), ..self },
            (None, Some(_)) => Self { res_hdr: Some(length), ..self },
            _ => self,
        }
    }

    /// The same parts, with `more` bytes added to the last header section.
    pub(crate) fn extended(self, more: usize) -> Self {
        let extend = |length: usize| length.saturating_add(more);
        match (self.req_hdr, self.res_hdr) {
            (request, Some(length)) => {
                Self { req_hdr: request, res_hdr: Some(extend(length)), ..self }
            }
            (Some(length), None) => Self { req_hdr: Some(extend(length)), ..self },
            (None, None) => self,
        }
    }

    /// The entities with their offsets, in wire order.
    pub fn entries(&self) -> impl Iterator<Item = (Entity, usize)> + use<> {
        let request = self.req_hdr.map(|_| (Entity::ReqHdr, 0));
        let response = self.res_hdr.map(|_| (Entity::ResHdr, self.req_hdr.unwrap_or(0)));
        [request, response, Some((self.body, self.header_bytes()))].into_iter().flatten()
    }

    /// Bytes of all header sections together: the last offset (RFC 3507 section 4.4.1).
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.req_hdr.unwrap_or(0).saturating_add(self.res_hdr.unwrap_or(0))
    }

    /// Bytes of the request head.
    #[must_use]
    pub const fn req_hdr(&self) -> Option<usize> {
        self.req_hdr
    }

    /// Bytes of the response head.
    #[must_use]
    pub const fn res_hdr(&self) -> Option<usize> {
        self.res_hdr
    }

    /// The last entity: a body or [`Entity::NullBody`].
    #[must_use]
    pub const fn body(&self) -> Entity {
        self.body
    }

    /// Whether a chunked body follows the header sections.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.body != Entity::NullBody
    }

    /// Whether a request of this method may have these parts (RFC 3507 section 4.4.1, errata e1 and e4).
    ///
    /// REQMOD has at least one part of a request and nothing else; RESPMOD at least one part of a response and
    /// no request body; OPTIONS no more than an `opt-body`; other methods nothing.
    #[must_use]
    pub fn fits_request(&self, method: &Method) -> bool {
        match (method, self.req_hdr.is_some(), self.res_hdr.is_some(), self.body) {
            (Method::Reqmod, _, false, Entity::ReqBody)
            | (Method::Reqmod, true, false, Entity::NullBody)
            | (Method::Respmod, _, _, Entity::ResBody)
            | (Method::Respmod, _, true, Entity::NullBody)
            | (Method::Options, false, false, Entity::OptBody) => true,
            (Method::Options | Method::Extension(_), _, _, _) => *self == Self::NONE,
            _ => false,
        }
    }

    /// Whether an answer with this status to a request of this method may have these parts.
    ///
    /// A 200, 201 or 206 to REQMOD carries parts of one request or of one response, to RESPMOD parts of a response, to
    /// OPTIONS an `opt-body` or nothing. 1xx and 204 carry nothing, nor does any answer to another method. Every
    /// other status may carry what a 200 may, or nothing (erratum e1).
    #[must_use]
    pub fn fits_response(&self, method: &Method, status: StatusCode) -> bool {
        if *self == Self::NONE {
            let adapts = matches!(method, Method::Reqmod | Method::Respmod);
            return !(adapts && matches!(status.as_u16(), 200 | 201 | 206));
        }
        if status.as_u16() < 200 || status == StatusCode::NO_CONTENT {
            return false;
        }
        let response_part = match (self.req_hdr, self.res_hdr.is_some(), self.body) {
            (None, _, Entity::ResBody) | (None, true, Entity::NullBody) => true,
            (_, false, Entity::ReqBody) | (Some(_), false, Entity::NullBody) => false,
            (None, false, Entity::OptBody) => return *method == Method::Options,
            _ => return false,
        };
        match method {
            Method::Reqmod => true,
            Method::Respmod => response_part,
            _ => false,
        }
    }
}

impl core::fmt::Display for Encapsulated {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, (entity, offset)) in self.entries().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}={offset}", entity.as_str())?;
        }
        Ok(())
    }
}

/// The field as it was parsed.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) entities: Encapsulated,
    /// A header section had no length, and [`Leniency::empty_section_as_no_content`] may take it: the fault that it
    /// is otherwise.
    pub(crate) empty_section: Option<ParseError>,
}

impl List {
    pub(crate) fn parse(
        value: &[u8],
        limits: &Limits,
        tolerance: &mut Tolerance,
    ) -> Result<Self, ParseError> {
        // One entity of each kind at most: what is more is out of order.
        let mut members = [(Entity::NullBody, 0, 0); 4];
        let mut count = 0usize;
        let mut empty = 0usize;
        let mut at = 0usize;
        let mut rest = Some(value);
        while let Some(list) = rest {
            let here = at;
            let end = list.iter().position(|&b| b == b',').unwrap_or(list.len());
            let (member, behind) = list.split_at_checked(end).unwrap_or_default();
            rest = behind.strip_prefix(b",");
            at = at.saturating_add(member.len()).saturating_add(1);
            let member = class::trim(member);
            let fail = |kind| ParseError::new(kind, here);
            if member.is_empty() {
                empty = empty.saturating_add(1);
                if empty > limits.empty_list_members {
                    return Err(fail(Kind::List));
                }
                continue;
            }
            let (entity, offset) = entry(member, limits, tolerance).map_err(fail)?;
            let slot = members.get_mut(count).ok_or_else(|| fail(Kind::EntityOrder))?;
            *slot = (entity, offset, here);
            count = count.saturating_add(1);
        }
        let members = members.get_mut(..count).unwrap_or_default();
        // Where the empty line frames, offsets may be anything: the kinds alone have an order.
        let by_kind = tolerance.allowed().blank_line_framing;
        let key = |&(entity, offset, _): &_| (if by_kind { 0 } else { offset }, entity);
        if tolerance.allowed().unordered_entities && !members.is_sorted_by_key(key) {
            tolerance.takes(|switches| &mut switches.unordered_entities);
            members.sort_unstable_by_key(key);
        }
        Self::from_entries(members, tolerance)
            .map_err(|(kind, at)| ParseError::new(kind, at.unwrap_or(value.len())))
    }

    /// Holds the entries to order and offsets: each starts where the section before it ends.
    fn from_entries(
        entries: &[(Entity, usize, usize)],
        tolerance: &mut Tolerance,
    ) -> Result<Self, (Kind, Option<usize>)> {
        let mut list = Self { entities: Encapsulated::NONE, empty_section: None };
        let mut section: Option<(Entity, usize)> = None;
        // With blank-line framing a section of no length has an end of its own: it cannot mean a 204 too.
        let may_be_empty = !tolerance.allowed().blank_line_framing;
        for (index, &(entity, offset, at)) in entries.iter().enumerate() {
            let fail = |kind| (kind, Some(at));
            match section {
                None if index > 0 => return Err(fail(Kind::EntityOrder)),
                // The empty line of a section corrects its offsets; without a section there is none.
                None if offset != 0
                    && !(entity.is_header()
                        && tolerance.takes(|switches| &mut switches.blank_line_framing)) =>
                {
                    return Err(fail(Kind::EntityOffset));
                }
                None => {}
                Some((before, _)) if entity <= before => return Err(fail(Kind::EntityOrder)),
                Some((before, start)) => {
                    let length = offset.checked_sub(start);
                    let empty = length == Some(0) && entity == Entity::NullBody;
                    if empty
                        && index == 1
                        && may_be_empty
                        && tolerance.takes(|switches| &mut switches.empty_section_as_no_content)
                    {
                        list.empty_section = Some(ParseError::new(Kind::EntityOffset, at));
                    } else {
                        // A section holds at least its empty line, so equal offsets are as wrong as falling ones.
                        // So is a first one that is not 0.
                        let starts_well = index > 1 || start == 0;
                        let length = match length.filter(|length| *length > 0 && starts_well) {
                            Some(length) => length,
                            // Its empty line will tell.
                            None if tolerance
                                .takes(|switches| &mut switches.blank_line_framing) =>
                            {
                                1
                            }
                            None => return Err(fail(Kind::EntityOffset)),
                        };
                        list.entities.set_section(before, length);
                    }
                }
            }
            section = entity.is_header().then_some((entity, offset));
            list.entities.body = entity;
        }
        // A list without a body entity does not say where its last section ends.
        if section.is_some() || entries.is_empty() {
            return Err((Kind::Encapsulated, None));
        }
        Ok(list)
    }
}

impl Encapsulated {
    const fn set_section(&mut self, section: Entity, length: usize) {
        match section {
            Entity::ReqHdr => self.req_hdr = Some(length),
            _ => self.res_hdr = Some(length),
        }
    }
}

/// `entity "=" offset`.
fn entry(
    member: &[u8],
    limits: &Limits,
    tolerance: &mut Tolerance,
) -> Result<(Entity, usize), Kind> {
    let equals = member.iter().position(|&b| b == b'=').ok_or(Kind::Encapsulated)?;
    let (name, offset) = member.split_at_checked(equals).ok_or(Kind::Encapsulated)?;
    let offset = offset.get(1..).and_then(class::decimal).ok_or(Kind::Encapsulated)?;
    if offset > limits.encapsulated_bytes as u64 {
        return Err(Kind::EncapsulatedTooLong);
    }
    let offset = usize::try_from(offset).map_err(|_| Kind::EncapsulatedTooLong)?;
    let entity = Entity::from_wire(name, tolerance).ok_or(Kind::UnknownEntity)?;
    Ok((entity, offset))
}
