//! A server's dialogue with arbitrary bytes: no panic, the same events however the input is cut, and the same
//! error again after an error.
#![no_main]

use bytes::Buf;
use icap_fuzz::Script;
use icap_proto::server::{Connection, Event};
use icap_proto::{IsTag, Leniency, Limits, ResponseHead, StatusCode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let leniency = icap_fuzz::leniency(data);
    let Some((first, second)) = icap_fuzz::halves(data) else { return };
    let whole = [first, second].concat();
    let expected = serve(&[&whole], leniency);
    // Where the input is cut decides whether bytes behind a preview came before or after the answer to it.
    if !expected.lines.iter().any(|line| line.contains("complete: false")) {
        assert_eq!(serve(&[first, second], leniency), expected);
    } else {
        serve(&[first, second], leniency);
    }
});

fn serve(pieces: &[&[u8]], leniency: Leniency) -> Script {
    let tag = IsTag::new("fuzz").expect("a good tag");
    let mut connection = Connection::new(Limits::default(), leniency);
    let mut script = Script::default();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match connection.poll_event() {
                Ok(Some(event)) => {
                    answer(&mut connection, &event, &tag);
                    script.server_event(event);
                }
                Ok(None) if rest.is_empty() || !connection.wants_input() => break,
                Ok(None) => {
                    let taken = connection.feed(rest);
                    assert!(taken > 0, "no room although input is wanted");
                    rest = &rest[taken..];
                }
                Err(error) => {
                    assert_eq!(connection.poll_event().err(), Some(error));
                    script.error = Some(error);
                    return script;
                }
            }
        }
        let output = connection.output();
        output.advance(output.remaining());
    }
    script
}

/// Asks for the rest of every preview and answers every request once it is whole.
fn answer(connection: &mut Connection, event: &Event, tag: &IsTag) {
    match event {
        Event::PreviewEnd { complete: false, .. } => {
            let _ = connection.send_continue(tag);
        }
        Event::End { .. } => {
            let error = ResponseHead::builder(StatusCode::NOT_FOUND).istag(tag).build();
            connection.respond(error.expect("a good head")).expect("an answer is due");
        }
        _ => {}
    }
}
