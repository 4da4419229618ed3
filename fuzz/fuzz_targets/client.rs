//! A client's dialogue with arbitrary bytes: no panic, the same events however the input is cut, and the same
//! error again after an error.
#![no_main]

use bytes::Bytes;
use icap_fuzz::Script;
use icap_proto::client::Connection;
use icap_proto::{Headers, HttpHead, Leniency, Limits, RequestHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let leniency = icap_fuzz::leniency(data);
    let Some((first, second)) = icap_fuzz::halves(data) else { return };
    let whole = [first, second].concat();
    assert_eq!(ask(&[first, second], leniency), ask(&[&whole], leniency));
});

fn ask(pieces: &[&[u8]], leniency: Leniency) -> Script {
    let mut connection = Connection::new(Limits::default(), leniency);
    let page = HttpHead::response(200, "OK", [("Content-Length", "5")]).expect("a good head");
    let head = RequestHead::respmod("icap://s/v".parse().expect("a good URI"))
        .http_response(page)
        .body(true)
        .preview(4)
        .allow_no_content()
        .allow_partial_content()
        .allow_trailers()
        .build()
        .expect("a good request");
    connection.start(&head).expect("a fresh connection");
    connection.send_data(&mut Bytes::from_static(b"hello")).expect("a body is due");

    let mut script = Script::default();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match connection.poll_event() {
                Ok(Some(event)) => {
                    script.client_event(event);
                    // The rest of the body, as soon as it is wanted.
                    let _ = connection.send_data(&mut Bytes::from_static(b"o"));
                    let _ = connection.finish(&Headers::new());
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
    }
    script
}
