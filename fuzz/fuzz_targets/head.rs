//! Request and response heads: nothing panics, what strict settings take the lenient ones take alike, and a
//! prefix of a good head only ever asks for more.
#![no_main]

use icap_proto::{Leniency, Limits, RequestHead, ResponseHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let (strict, lenient) = (Leniency::strict(), Leniency::default());
    if let Ok(Some((head, size))) = RequestHead::parse(data, &limits, &strict) {
        let (other, other_size) =
            RequestHead::parse(data, &limits, &lenient).expect("lenient").expect("whole");
        assert_eq!((size, head.headers()), (other_size, other.headers()));
        let prefix = RequestHead::parse(&data[..size - 1], &limits, &strict);
        assert!(matches!(prefix, Ok(None)), "{prefix:?}");
    }
    if let Ok(Some((head, size))) = ResponseHead::parse(data, &limits, &strict) {
        let (other, other_size) =
            ResponseHead::parse(data, &limits, &lenient).expect("lenient").expect("whole");
        assert_eq!((size, head.headers()), (other_size, other.headers()));
        let prefix = ResponseHead::parse(&data[..size - 1], &limits, &strict);
        assert!(matches!(prefix, Ok(None)), "{prefix:?}");
    }
});
