//! Chunked bodies: the same data and the same end, however the input is cut.
#![no_main]

use bytes::BytesMut;
use icap_proto::wire::chunk::{BodyEnd, ChunkDecoder, Part};
use icap_proto::{Leniency, Limits, ParseError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let leniency = icap_fuzz::leniency(data);
    let Some((first, second)) = icap_fuzz::halves(data) else { return };
    let whole = [first, second].concat();
    let expected = decode(&[&whole], &leniency);
    assert_eq!(decode(&[first, second], &leniency), expected);
    if whole.len() <= 512 {
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(decode(&bytes, &leniency), expected);
    }
});

/// The data, and the end or the error when there was one.
type Decoded = (Vec<u8>, Option<Result<BodyEnd, ParseError>>);

fn decode(pieces: &[&[u8]], leniency: &Leniency) -> Decoded {
    let limits = Limits::default();
    let mut decoder = ChunkDecoder::default();
    let (mut input, mut data) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input, &limits, leniency) {
                Ok(Some(Part::Data(piece))) => data.extend_from_slice(&piece),
                Ok(Some(Part::End(end))) => return (data, Some(Ok(end))),
                Ok(None) => break,
                Ok(Some(_)) => unreachable!("a part that the target does not know"),
                Err(error) => return (data, Some(Err(error))),
            }
        }
    }
    (data, None)
}
