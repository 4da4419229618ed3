//! Twice the input costs about twice the time, however it is made up and however it arrives.
//!
//! Machines do other things as well, so what counts is the time of this thread on a processor: the input is doubled
//! three times over, each figure is the least of several runs, and the best of several tries is taken. A cost that
//! grows with the square gives 64, far from the bound.

use std::time::Duration;

use bytes::BytesMut;
use cpu_time::ThreadTime;
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::wire::scan::HeadScan;
use icap_proto::{Headers, HttpHead, Leniency, Limits, RequestHead, TrailerField, server};

/// What doubling may cost.
const MOST: f64 = 2.2;
const DOUBLINGS: i32 = 3;
const TRIES: usize = 20;
/// What is doubled. It stays so small that caches and the allocator treat all sizes alike.
const BYTES: usize = 6 * 1024;

/// No limit is met, so that the cost is seen and not the refusal.
fn limits() -> Limits {
    let mut limits = Limits::default();
    for limit in [
        &mut limits.start_line,
        &mut limits.head_bytes,
        &mut limits.fields,
        &mut limits.field_line,
        &mut limits.encapsulated_bytes,
        &mut limits.chunk_line,
        &mut limits.extension_bytes,
        &mut limits.trailer_bytes,
    ] {
        *limit = 1 << 30;
    }
    limits
}

/// The least of a few times that so many runs take.
fn time(runs: u32, run: impl Fn()) -> Duration {
    let all = || {
        let start = ThreadTime::now();
        (0..runs).for_each(|_| run());
        start.elapsed()
    };
    (0..3).map(|_| all()).min().unwrap()
}

/// Doubles an input three times; it is tried so often that it takes milliseconds.
fn linear(name: &str, make: impl Fn(usize) -> Vec<u8>, run: impl Fn(&[u8])) {
    let unit = make(2000).len() - make(1000).len();
    let size = BYTES * 1000 / unit;
    let (small, large) = (make(size), make(size << DOUBLINGS));
    let mut runs = 1;
    while time(runs, || run(&small)) < Duration::from_millis(1) {
        runs *= 2;
    }
    let mut best = f64::MAX;
    for _ in 0..TRIES {
        let (small, large) = (time(runs, || run(&small)), time(runs, || run(&large)));
        best = best.min(large.as_secs_f64() / small.as_secs_f64());
        if best <= MOST.powi(DOUBLINGS) {
            return;
        }
    }
    let each = best.powf(1.0 / f64::from(DOUBLINGS));
    panic!("{name}: each doubling of {} bytes cost {each:.2} times as much", small.len());
}

const START: &str = "OPTIONS icap://s/v ICAP/1.0\r\nHost: s\r\n";

fn head(fields: &str) -> Vec<u8> {
    format!("{START}{fields}\r\n").into_bytes()
}

fn parse(message: &[u8]) {
    let parsed = RequestHead::parse(message, &limits(), &Leniency::default());
    let (head, size) = parsed.unwrap().unwrap();
    assert_eq!(size, message.len());
    assert!(head.headers().get("X-None").is_none());
}

/// Feeds a server so many bytes at a time; it makes the events that there are.
fn feed(message: &[u8], stride: usize) -> usize {
    let mut server = server::Connection::new(limits(), Leniency::default());
    let (mut events, mut rest) = (0, message);
    loop {
        match server.poll_event().unwrap() {
            Some(_) => events += 1,
            None if rest.is_empty() => return events,
            None => {
                let taken = server.feed(&rest[..stride.min(rest.len())]);
                rest = &rest[taken..];
            }
        }
    }
}

fn decode(body: &[u8], stride: usize) {
    let (limits, leniency) = (limits(), Leniency::strict());
    let (mut decoder, mut input) = (ChunkDecoder::default(), BytesMut::new());
    for piece in body.chunks(stride) {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input, &limits, &leniency).unwrap() {
                Some(Part::End(_)) => return,
                Some(_) => {}
                None => break,
            }
        }
    }
    panic!("no end");
}

#[test]
fn many_fields() {
    linear("fields", |size| head(&"X-A: b\r\n".repeat(size)), parse);
}

#[test]
fn one_long_line() {
    linear("value", |size| head(&format!("X-A: {}\r\n", "b".repeat(size))), parse);
    linear("name", |size| head(&format!("X-{}: b\r\n", "a".repeat(size))), parse);
    let target = |size: usize| {
        format!("OPTIONS icap://s/{} ICAP/1.0\r\nHost: s\r\n\r\n", "p".repeat(size)).into_bytes()
    };
    linear("target", target, parse);
}

#[test]
fn many_folds() {
    linear("folds", |size| head(&format!("X-A: b{}\r\n", "\r\n c".repeat(size))), parse);
    linear("empty folds", |size| head(&format!("X-A: b{}\r\n", "\r\n ".repeat(size))), parse);
}

#[test]
fn framing_fields() {
    linear("Allow", |size| head(&"Allow: 204\r\n".repeat(size)), parse);
    linear("Connection", |size| head(&format!("Connection: {}\r\n", "a,".repeat(size))), parse);
}

#[test]
fn tiny_chunks() {
    let body = |size: usize| ("1\r\nx\r\n".repeat(size) + "0\r\n\r\n").into_bytes();
    linear("1-byte chunks", body, |body| decode(body, usize::MAX));
    linear("1-byte chunks by 7", body, |body| decode(body, 7));
}

#[test]
fn chunk_extensions() {
    let many = |size: usize| ("1;a=b\r\nx\r\n".repeat(size) + "0\r\n\r\n").into_bytes();
    linear("extensions", many, |body| decode(body, usize::MAX));
    let one = |size: usize| format!("1{}\r\nx\r\n0\r\n\r\n", ";a=\"b\"".repeat(size)).into_bytes();
    linear("one line of extensions", one, |body| decode(body, usize::MAX));
    linear("one line of extensions by 7", one, |body| decode(body, 7));
    let quoted =
        |size: usize| format!("1;a=\"{}\"\r\nx\r\n0\r\n\r\n", "b".repeat(size)).into_bytes();
    linear("a quoted string", quoted, |body| decode(body, usize::MAX));
}

#[test]
fn trailers() {
    let body = |size: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(size)).into_bytes();
    linear("trailers", body, |body| decode(body, usize::MAX));
    linear("trailers by 7", body, |body| decode(body, 7));
}

fn from_peer(lines: &[u8]) -> HttpHead {
    let raw = [b"GET / HTTP/1.1\r\n", lines, b"\r\n"].concat();
    HttpHead::parse_request(raw.into(), &limits(), &Leniency::default()).unwrap()
}

/// What is done with a head on its way through.
#[test]
fn heads_on_their_way() {
    let go = |lines: &[u8]| drop(from_peer(lines).remove_hop_by_hop(TrailerField::Remove));
    linear("Connection", |size| "Connection: a\r\na: 1\r\n".repeat(size).into_bytes(), go);
    let list =
        |size: usize| format!("Connection: {}\r\n{}", "a,".repeat(size), "a: 1\r\n".repeat(size));
    linear("a long list before many fields", |size| list(size).into_bytes(), go);
    let user = |size: usize| "Proxy-Authorization: a\r\n".repeat(size).into_bytes();
    linear("Proxy-Authorization", user, go);
    let length = |size: usize| format!("Content-Length: 1{}\r\n", ",1".repeat(size)).into_bytes();
    linear("Content-Length", length, |lines| {
        assert_eq!(from_peer(lines).content_length(), Ok(Some(1)));
    });
}

/// Fields that are added one by one, such as those of a peer that are passed on.
#[test]
fn fields_one_by_one() {
    linear(
        "append",
        |size| "A: b\r\n".repeat(size).into_bytes(),
        |lines| {
            let mut headers = Headers::new();
            for field in from_peer(lines).headers().iter() {
                headers.append(field.name, field.value).unwrap();
            }
            assert_eq!(headers.as_bytes(), lines);
        },
    );
}

#[cfg(feature = "identity")]
#[test]
fn lists_of_a_peer() {
    use icap_proto::{Challenge, Identity};
    let field = |name: &'static str, member: &'static str| {
        move |size: usize| format!("{name}: {}\r\n", member.repeat(size)).into_bytes()
    };
    let groups = |lines: &[u8]| {
        let identity = Identity::read(from_peer(lines).headers());
        let mut written = Headers::new();
        identity.write(&mut written).unwrap();
        assert_eq!(written.iter().count(), identity.groups().len());
    };
    linear("plain groups", field("X-Authenticated-Groups", "ab,"), groups);
    let encoded = |lines: &[u8]| {
        assert!(Identity::read(from_peer(lines).headers()).groups().len() > 100);
    };
    linear("base64 groups", field("X-Authenticated-Groups", "TDovL2E=,"), encoded);
    linear("challenges", field("Proxy-Authenticate", "a b=\"c\", d=e,"), |lines| {
        assert!(!Challenge::read(from_peer(lines).headers(), "Proxy-Authenticate").is_empty());
    });
}

/// As from a peer that writes one byte a packet.
#[test]
fn byte_by_byte() {
    let fields = |size: usize| head(&"X-A: b\r\n".repeat(size));
    let value = |size: usize| head(&format!("X-A: {}\r\n", "b".repeat(size)));
    let target = |size: usize| {
        format!("OPTIONS icap://s/{} ICAP/1.0\r\nHost: s\r\n\r\n", "p".repeat(size)).into_bytes()
    };
    let sections = |size: usize| {
        let page = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(size));
        let list = format!("Encapsulated: res-hdr=0, null-body={}\r\n\r\n", page.len());
        format!("RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\n{list}{page}").into_bytes()
    };
    for (name, make) in [
        ("fields", &fields as &dyn Fn(usize) -> Vec<u8>),
        ("value", &value),
        ("target", &target),
        ("sections", &sections),
    ] {
        linear(name, make, |message| assert_eq!(feed(message, 1), 2));
    }
    let body = |size: usize| {
        let head = b"RESPMOD icap://s/v ICAP/1.0\r\nHost: s\r\nEncapsulated: res-body=0\r\n\r\n";
        [&head[..], "5\r\nhello\r\n".repeat(size).as_bytes(), b"0\r\n\r\n"].concat()
    };
    linear("body", body, |message| assert!(feed(message, 1) > 2));
    let scan = |message: &[u8]| {
        let mut scan = HeadScan::default();
        let end = (1..=message.len()).find_map(|end| scan.find_end(&message[..end]).unwrap());
        assert_eq!(end, Some(message.len()));
    };
    linear("scan", fields, scan);
}

/// A call for every byte has its price. A head that comes whole is read at the speed of memory, so the ratio is one of
/// two fast things: about 100 for these long values, in any profile. A parser that started over would have 30,000.
#[test]
fn byte_by_byte_against_whole() {
    let fields = format!("X-Field: {}\r\n", "v".repeat(340)).repeat(186);
    let message = head(&fields);
    assert!((60_000..65_536).contains(&message.len()), "{}", message.len());
    let mut best = f64::MAX;
    for _ in 0..TRIES {
        let bytes = time(1, || assert_eq!(feed(&message, 1), 2)).as_secs_f64();
        let whole = time(10, || assert_eq!(feed(&message, usize::MAX), 2)).as_secs_f64();
        best = best.min(bytes / (whole / 10.0));
    }
    assert!(best < 500.0, "byte by byte costs {best:.0} times as much as whole");
}
