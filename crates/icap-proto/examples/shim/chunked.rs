//! A chunked body alone.

use bytes::BytesMut;
use icap_proto::wire::chunk::{BodyEnd, ChunkDecoder, Part};
use icap_proto::{Leniency, Limits};
use serde_json::{Value, json};

use super::case::Splits;
use super::values::{self, Body};

pub(super) fn run(input: &[u8], preview: bool, splits: &Splits) -> Value {
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    let mut decoder = ChunkDecoder::default();
    let mut buffer = BytesMut::new();
    let mut body = Body::default();
    for piece in splits.pieces(0, input) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer, &limits, &leniency) {
                Ok(Some(Part::Data(data))) => body.push(&data),
                Ok(Some(Part::End(end))) => {
                    return ended(&end, body, decoder.consumed(), preview);
                }
                Ok(_) => break,
                Err(_) => return json!({ "result": "reject" }),
            }
        }
    }
    json!({ "result": "incomplete" })
}

fn ended(end: &BodyEnd, body: Body, consumed: u64, preview: bool) -> Value {
    // The decoder does not know where the body stands; connections, which do, hold it to the same rule.
    if end.ieof && !preview {
        return json!({ "result": "reject" });
    }
    let mut answer = body.values();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("result".into(), "ok".into());
        answer.insert("consumed".into(), consumed.into());
        answer.insert("ieof".into(), preview.then_some(end.ieof).into());
        answer.insert("trailers".into(), values::fields(end.trailers.iter()));
    }
    answer
}
