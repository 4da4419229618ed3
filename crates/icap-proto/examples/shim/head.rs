//! An ICAP head alone.

use icap_proto::wire::head::{Request, Response};
use icap_proto::{Leniency, Limits, Method, ParseError, ServiceUri};
use serde_json::{Value, json};

use super::case::Splits;
use super::values;

pub(super) fn request(input: &[u8], splits: &Splits) -> Value {
    let parse = |bytes| Request::parse(bytes, &Limits::default(), &Leniency::strict());
    match feed(input, splits, parse) {
        Ok(Some(head)) => json!({
            "result": "ok",
            "method": head.method().as_str(),
            "uri": head.uri().parse().ok().map(|uri: ServiceUri| values::uri(&uri)),
            "fields": values::fields(head.fields()),
            "encapsulated": values::encapsulated(head.encapsulated()),
            "preview": head.preview(),
            "allow": values::allow(head.allow()),
            "consumed": head.len(),
        }),
        Ok(None) => json!({ "result": "incomplete" }),
        Err(error) => json!({ "result": "reject", "status": error.kind.status_hint().as_u16() }),
    }
}

pub(super) fn response(input: &[u8], method: &Method, splits: &Splits) -> Value {
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    let parse = |bytes| Response::parse(bytes, &limits, &leniency);
    let checked = feed(input, splits, parse).and_then(|head| {
        head.as_ref().map_or(Ok(()), |head| head.check(method, &leniency))?;
        Ok(head)
    });
    match checked {
        Ok(Some(head)) => json!({
            "result": "ok",
            "status": head.status().as_u16(),
            "reason": values::text(head.reason()),
            "fields": values::fields(head.fields()),
            "encapsulated": values::encapsulated(head.encapsulated()),
            "preview": head.preview(),
            "allow": values::allow(head.allow()),
            "consumed": head.len(),
        }),
        Ok(None) => json!({ "result": "incomplete" }),
        Err(_) => json!({ "result": "reject" }),
    }
}

/// Parses after each piece what has arrived, until there is a head or a fault.
///
/// A borrowed head is parsed whole or not at all. So that a head that comes byte by byte is not parsed for every
/// byte, a piece must end a line, or be the last, to be worth a try.
fn feed<'a, T>(
    input: &'a [u8],
    splits: &Splits,
    parse: impl Fn(&'a [u8]) -> Result<Option<T>, ParseError>,
) -> Result<Option<T>, ParseError> {
    let mut arrived = 0usize;
    for piece in splits.pieces(0, input) {
        arrived = arrived.saturating_add(piece.len());
        if piece.contains(&b'\n') || arrived == input.len() {
            let parsed = parse(input.get(..arrived).unwrap_or_default())?;
            if parsed.is_some() {
                return Ok(parsed);
            }
        }
    }
    Ok(None)
}
