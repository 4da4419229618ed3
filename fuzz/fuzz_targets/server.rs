//! A server's dialogue with arbitrary bytes behind one that names the plan of its owner: events come in order,
//! what is held stays within the limits, what is written is a row of good answers.
#![no_main]

use icap_fuzz::dialogue::{Server, read, strict_is_lenient};
use icap_fuzz::script::Script;
use icap_fuzz::{encode, settings};
use icap_proto::{CloseReason, Error, Leniency, Limits, PeerMisbehaved};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&plan, bytes)) = data.split_first() else { return };
    let [strict, lenient, _] =
        settings::modes().map(|leniency| run(plan, bytes, Limits::default(), leniency));
    strict_is_lenient(&strict, &lenient);
    let narrow = run(plan, bytes, settings::tight(), Leniency::default());
    // The drain has a limit that is no error: the connection just ends earlier.
    if narrow.error.is_none() {
        assert!(lenient.lines().starts_with(narrow.lines()), "limits change the meaning");
    }
});

fn run(plan: u8, bytes: &[u8], limits: Limits, leniency: Leniency) -> Script {
    let mut server = Server::new(plan % (Server::BROKEN_OFF + 1), limits, leniency);
    // Byte by byte nothing runs ahead of its turn, and what waits for more is seen at once.
    let every: Vec<usize> = (1..bytes.len()).collect();
    let script = read(&mut server, bytes, &every, &limits);
    assert_ne!(script.error, Some(Error::Peer(PeerMisbehaved::SpokeOutOfTurn)));
    check_order(&script);
    encode::check_answers(&server.written, is_cut(&server));

    // The end of the input is an error exactly where a message is cut.
    let idle = server.connection.is_idle() || server.connection.closing().is_some();
    server.connection.input_closed();
    match server.connection.poll_event() {
        Err(Error::Closed(_)) => assert!(!idle, "between messages nothing is cut"),
        Err(error) => assert_eq!(Some(error), script.error),
        Ok(event) => assert!(event.is_none(), "an event out of nothing"),
    }
    script
}

/// Aborted, or in the middle of an answer that goes back while the request comes.
fn is_cut(server: &Server) -> bool {
    server.connection.closing() == Some(CloseReason::Abandoned) || !server.connection.is_idle()
}

/// Request, data with at most one end of a preview, end.
fn check_order(script: &Script) {
    let (mut open, mut previews) = (false, 0);
    for line in script.lines() {
        match line.split(' ').next().unwrap_or_default() {
            "data" => assert!(open, "data outside a request"),
            "PreviewEnd" => {
                previews += 1;
                assert!(open && previews == 1, "two previews");
            }
            "end" => {
                assert!(open, "an end without a beginning");
                open = false;
            }
            "fields" => {}
            // A request that was answered early is not told to its end.
            "request" => (open, previews) = (true, 0),
            other => panic!("{other}"),
        }
    }
}
