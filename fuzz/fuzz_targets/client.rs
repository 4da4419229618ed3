//! A client's dialogue with arbitrary bytes behind one that names what it asked: events come in order, what is held
//! stays within the limits, what is written is a row of good requests.
#![no_main]

use icap_fuzz::dialogue::{Ask, Client, read, strict_is_lenient};
use icap_fuzz::script::Script;
use icap_fuzz::{encode, settings};
use icap_proto::{Error, Leniency, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let [strict, lenient, _] =
        settings::modes().map(|leniency| run(choice, bytes, Limits::default(), leniency));
    strict_is_lenient(&strict, &lenient);
    let narrow = run(choice, bytes, settings::tight(), Leniency::default());
    if narrow.error.is_none() {
        assert!(narrow == lenient, "limits change the meaning");
    }
});

fn run(choice: u8, bytes: &[u8], limits: Limits, leniency: Leniency) -> Script {
    let mut client = Client::new(Ask::new(choice), limits, leniency);
    let every: Vec<usize> = (1..bytes.len()).collect();
    let script = read(&mut client, bytes, &every, &limits);
    check_order(&script);
    encode::check_requests(&client.written);

    // No answer ends with the connection: an end of input inside one is always an error.
    let waits = client.connection.wants_input();
    client.connection.input_closed();
    match client.connection.poll_event() {
        Err(Error::Closed(_)) => assert!(waits, "nothing was due"),
        Err(error) => assert_eq!(Some(error), script.error),
        Ok(event) => assert!(event.is_none() && !waits, "cut, and taken as whole: {event:?}"),
    }
    script
}

/// At most one Continue, one response, data, end.
fn check_order(script: &Script) {
    let (mut continued, mut open) = (false, false);
    for line in script.lines() {
        match line.split(' ').next().unwrap_or_default() {
            "Continue" => {
                assert!(!continued && !open, "a second Continue");
                continued = true;
            }
            "data" => assert!(open, "data outside an answer"),
            "end" => {
                assert!(open, "an end without a beginning");
                (continued, open) = (false, false);
            }
            "fields" => {}
            _ => {
                assert!(!open, "two answers");
                open = true;
            }
        }
    }
}
