//! Chunked bodies: an end only behind the last line feed, no more held than one line, and the same data whatever
//! the settings.
#![no_main]

use icap_fuzz::dialogue::{Chunks, read, strict_is_lenient};
use icap_fuzz::settings;
use icap_proto::{Leniency, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let wide = Limits::default();
    let [strict, lenient, _] = settings::modes().map(|leniency| {
        let mut chunks = Chunks::new(wide, leniency);
        let script = read(&mut chunks, data, &[], &wide);
        if chunks.is_done() {
            check_end(&data[..chunks.consumed()], leniency);
        }
        script
    });
    strict_is_lenient(&strict, &lenient);
    let tight = settings::tight();
    let narrow = read(&mut Chunks::new(tight, Leniency::default()), data, &[], &tight);
    if narrow.error.is_none() {
        assert!(narrow == lenient, "limits change the meaning");
    }
});

/// A whole body ends where it says, and no earlier.
fn check_end(body: &[u8], leniency: Leniency) {
    let limits = Limits::default();
    assert!(body.ends_with(b"\r\n"), "{}", body.escape_ascii());
    let rest = read(&mut Chunks::new(limits, leniency), &[body, b"1\r\n"].concat(), &[], &limits);
    assert_eq!(rest.error, None, "what follows belongs to the next message");
    for prefix in settings::prefixes(body.len()) {
        let mut chunks = Chunks::new(limits, leniency);
        let script = read(&mut chunks, &body[..prefix], &[], &limits);
        assert_eq!(script.error, None, "{prefix} of {}", body.escape_ascii());
        assert!(!chunks.is_done(), "{prefix} of {}", body.escape_ascii());
    }
}
