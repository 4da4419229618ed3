//! Response heads: one meaning under all settings, a prefix asks for more, a fault stays what it is.
#![no_main]

use icap_proto::ResponseHead;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| icap_fuzz::head::check::<ResponseHead>(data));
