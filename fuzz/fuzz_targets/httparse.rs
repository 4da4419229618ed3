//! HTTP heads against httparse, which many more programs have tried: where both speak of the same bytes, both take
//! them or both refuse them, and find the same names and values.
#![no_main]

use bytes::Bytes;
use httparse::Status;
use icap_proto::{HttpHead, Leniency, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for request in [true, false] {
        if is_common(data, request) {
            compare(data, request);
        }
    }
});

/// Whether the input is one that both must read alike. Left out, each with its reason:
fn is_common(data: &[u8], request: bool) -> bool {
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    // httparse takes a bare LF as a line end, here it never ends a line (RFC 9112 section 2.2 leaves it open).
    let bare_lf = lines[..lines.len() - 1].iter().any(|line| !line.ends_with(b"\r"));
    // httparse skips empty lines in front, which is for a connection to do; a section starts with its start line.
    let empty_line_in_front = matches!(data, [b'\r' | b'\n', ..]);
    // httparse knows HTTP/1.0 and HTTP/1.1 only. Here any version passes: nothing is framed by it.
    let start_line = lines[0].strip_suffix(b"\r").unwrap_or(lines[0]);
    let known = [&b"HTTP/1.0"[..], b"HTTP/1.1"];
    let version = known.iter().any(|text| match request {
        true => start_line.ends_with(text),
        false => start_line.starts_with(text),
    });
    // Folds: httparse has no switch for them in requests; here the fields whose names begin with X- may have them.
    let fold = lines.iter().skip(1).any(|line| matches!(line, [b' ' | b'\t', ..]));
    // httparse wants a target in UTF-8 (its `path` is a `str`), here a target is bytes that are passed on.
    let text = std::str::from_utf8(start_line).is_ok() || !request;
    !bare_lf && !empty_line_in_front && version && !fold && text
}

fn compare(data: &[u8], request: bool) {
    let mut limits = Limits::default();
    limits.fields = FIELDS;
    limits.field_line = data.len();
    limits.start_line = data.len();
    let raw = Bytes::copy_from_slice(data);
    let ours = if request {
        HttpHead::parse_request(raw, &limits, &Leniency::strict())
    } else {
        HttpHead::parse_response(raw, &limits, &Leniency::strict())
    };
    let theirs = theirs(data, request);
    match (&ours, &theirs) {
        (Ok(ours), Some((parts, fields))) => {
            let start_line = String::from_utf8_lossy(ours.start_line()).into_owned();
            for part in parts {
                assert!(start_line.contains(part), "{part:?} in {start_line:?}");
            }
            let found: Vec<_> = ours
                .headers()
                .iter()
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect();
            assert_eq!(&found, fields);
            assert_eq!(ours.as_bytes(), data, "verbatim");
            if request {
                assert_eq!(ours.method(), parts.first().map(String::as_str));
            } else {
                assert_eq!(
                    ours.status().map(|status| format!("{status:03}")).as_ref(),
                    parts.first()
                );
            }
        }
        (Err(_), None) => {}
        _ => panic!("{}: ours {ours:?}, theirs {theirs:?}", data.escape_ascii()),
    }
}

const FIELDS: usize = 64;

/// Parts of the start line, names and values.
type Head = (Vec<String>, Vec<(String, Vec<u8>)>);

/// What httparse finds when the head ends with the input.
fn theirs(data: &[u8], request: bool) -> Option<Head> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let (size, parts, fields) = if request {
        let mut head = httparse::Request::new(&mut slots);
        let Ok(Status::Complete(size)) = head.parse(data) else { return None };
        (size, vec![head.method?.to_owned(), head.path?.to_owned()], head.headers)
    } else {
        let mut head = httparse::Response::new(&mut slots);
        let Ok(Status::Complete(size)) = head.parse(data) else { return None };
        // Its reason is empty when it holds bytes beyond ASCII.
        (size, vec![format!("{:03}", head.code?), head.reason?.to_owned()], head.headers)
    };
    // A section is one head; bytes behind its empty line are refused here and not looked at there.
    let fields = fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    (size == data.len()).then_some((parts, fields))
}
