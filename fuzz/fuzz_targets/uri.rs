//! Service URIs: what is taken can be written, says nothing of a user, and is taken in a request line alike.
#![no_main]

use bytes::Bytes;
use icap_proto::{Leniency, Limits, RequestHead, ServiceUri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let parsed = ServiceUri::parse(Bytes::copy_from_slice(data));
    let in_line = in_request_line(data);
    match &parsed {
        Err(error) => {
            assert!(error.offset <= data.len() as u64, "{error}");
            assert!(in_line.is_none(), "taken in a request line only");
        }
        Ok(uri) => {
            check(uri);
            if data.len() < 8000 {
                assert_eq!(in_line.as_ref(), Some(uri), "refused in a request line only");
            }
        }
    }
});

fn check(uri: &ServiceUri) {
    assert!(!uri.host().is_empty());
    assert!(uri.path().is_empty() || uri.path().starts_with('/'), "{uri}");
    assert_eq!(uri.is_secure(), uri.scheme() == "icaps");
    let text = uri.to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    let tail = [uri.path(), uri.query().unwrap_or_default()].concat();
    let authority = text.strip_suffix(uri.path_and_query()).expect("path and query come last");
    assert!(!authority.contains('@'), "{text} tells the user");
    assert_eq!(tail.len() + usize::from(uri.query().is_some()), uri.path_and_query().len());

    let again: ServiceUri = text.parse().expect("what was written");
    assert_eq!(&again, uri);
    assert_eq!(again.to_string(), text, "a fixed point");
    assert_eq!((again.host(), again.port()), (uri.host(), uri.port()));
    assert_eq!((again.path(), again.query()), (uri.path(), uri.query()));
}

fn in_request_line(uri: &[u8]) -> Option<ServiceUri> {
    // A blank or line end would make another line of it.
    if !uri.iter().all(|&byte| byte > b' ' && byte != 0x7f) {
        return None;
    }
    let message = [b"OPTIONS ", uri, b" ICAP/1.0\r\nHost: s\r\n\r\n"].concat();
    match RequestHead::parse(&message, &Limits::default(), &Leniency::strict()) {
        Ok(parsed) => Some(parsed.expect("whole").0.uri().clone()),
        Err(_) => None,
    }
}
