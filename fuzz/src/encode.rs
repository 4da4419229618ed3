//! Heads on their way out, through the connections.

use bytes::{Buf, BytesMut};
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{
    Encapsulated, Error, Leniency, Limits, RequestHead, ResponseHead, StatusCode, client, server,
};

/// The bytes of a request head. A connection may have an ICAP trailer behind them.
pub fn request(head: &RequestHead) -> Vec<u8> {
    let bytes = head.to_bytes();
    let mut connection = client::Connection::new(Limits::default(), Leniency::default());
    connection.start(head).expect("a fresh connection");
    let output = connection.output();
    let has_parts = *head.encapsulated() != Encapsulated::NONE;
    let ends_at_once = has_parts && !head.has_body() && head.has_icap_trailer();
    let trailer = if ends_at_once { "\r\n" } else { "" };
    assert_eq!(output.copy_to_bytes(output.remaining()), [&bytes, trailer.as_bytes()].concat());
    bytes.into()
}

/// Requests to answer, so that any head fits one of them.
const QUESTIONS: [&[u8]; 3] = [
    b"REQMOD icap://s/r ICAP/1.0\r\nHost: s\r\nAllow: 204, 206\r\n\
      Encapsulated: req-hdr=0, null-body=18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: 204, 206\r\n\
      Encapsulated: res-hdr=0, null-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\nAllow: 204, 206\r\n\r\n",
];

/// The bytes of a response head, `None` when it answers no request.
pub fn response(head: &ResponseHead) -> Option<Vec<u8>> {
    QUESTIONS.iter().find_map(|question| {
        let mut connection = server::Connection::new(Limits::default(), Leniency::default());
        connection.feed(question);
        while connection.poll_event().expect("a good request").is_some() {}
        match connection.respond(head.clone()) {
            Ok(()) => {
                let output = connection.output();
                Some(output.copy_to_bytes(output.remaining()).to_vec())
            }
            Err(Error::Misuse(_)) => None,
            Err(other) => panic!("{other}"),
        }
    })
}

/// Reads what a server wrote: whole answers one after the other, of which `cut` lets the last be incomplete.
pub fn check_answers(written: &[u8], cut: bool) {
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    let mut input = BytesMut::from(written);
    while !input.is_empty() {
        let parsed = ResponseHead::parse(&input, &limits, &leniency).expect("a good answer");
        let Some((head, size)) = parsed else {
            assert!(cut, "a head was cut: {}", written.escape_ascii());
            return;
        };
        input.advance(size);
        if head.status() == StatusCode::CONTINUE {
            assert!(!head.has_body());
        }
        if !head.has_body() {
            continue;
        }
        let mut decoder = ChunkDecoder::default();
        loop {
            match decoder.decode(&mut input, &limits, &leniency).expect("a good body") {
                Some(Part::End(_)) => break,
                Some(_) => {}
                None => {
                    assert!(cut, "an answer was cut: {}", written.escape_ascii());
                    return;
                }
            }
        }
    }
}

/// Reads what a client wrote: requests one after the other, of which the last may be incomplete.
pub fn check_requests(written: &[u8]) {
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    let mut input = BytesMut::from(written);
    while !input.is_empty() {
        let parsed = RequestHead::parse(&input, &limits, &leniency).expect("a good request");
        let Some((head, size)) = parsed else { return };
        input.advance(size);
        if !head.has_body() {
            continue;
        }
        let mut decoder = ChunkDecoder::default();
        let mut room = head.preview();
        loop {
            match decoder.decode(&mut input, &limits, &leniency).expect("a good body") {
                Some(Part::Data(data)) => {
                    if let Some(room) = &mut room {
                        *room =
                            room.checked_sub(data.len() as u64).expect("no more than announced");
                    }
                }
                Some(Part::End(end)) => {
                    assert!(room.is_some() || !end.ieof, "ieof outside a preview");
                    // Behind a preview comes the rest, which starts with a size, or a method in capitals.
                    let more = input.first().is_some_and(|byte| !byte.is_ascii_uppercase());
                    if room.is_none() || end.ieof || !more {
                        break;
                    }
                    (decoder, room) = (ChunkDecoder::default(), None);
                }
                Some(other) => panic!("{other:?}"),
                None => return,
            }
        }
    }
}
