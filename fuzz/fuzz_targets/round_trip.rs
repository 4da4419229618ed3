//! What was read can be written, and what was written reads the same: from the wire, or built from arbitrary parts.
#![no_main]

use bytes::Bytes;
use icap_fuzz::{encode, settings};
use icap_proto::{
    Encapsulated, Headers, HttpHead, IsTag, Leniency, Limits, Method, RequestHead, ResponseHead,
    ServiceUri, StatusCode,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut parts = Unstructured::new(data);
    match choice % 4 {
        0 => settings::modes().iter().for_each(|leniency| read_request(data, leniency)),
        1 => settings::modes().iter().for_each(|leniency| read_response(data, leniency)),
        // Out of parts: there is nothing to try.
        2 => drop(build_request(&mut parts)),
        _ => drop(build_response(&mut parts)),
    }
});

fn read_request(data: &[u8], leniency: &Leniency) {
    let limits = Limits::default();
    let Ok(Some((head, _))) = RequestHead::parse(data, &limits, leniency) else { return };
    let written = encode::request(&head);
    check_lines(&written);
    // Unfolding or trimming may make a head a little longer, and with it too long: a Host is added, OWS becomes one
    // space.
    if written.len() + 100 > limits.head_bytes {
        return;
    }
    let parsed = RequestHead::parse(&written, &limits, leniency);
    let (again, size) = parsed.expect("what was written").expect("whole");
    assert_eq!(size, written.len());
    assert_eq!(request_text(&again), request_text(&head));
    assert_eq!(encode::request(&again), written, "a fixed point");
    verbatim(head.http_request());
    verbatim(head.http_response());
}

fn read_response(data: &[u8], leniency: &Leniency) {
    let limits = Limits::default();
    let Ok(Some((head, _))) = ResponseHead::parse(data, &limits, leniency) else { return };
    let Some(written) = encode::response(&head) else { return };
    check_lines(&written);
    if written.len() + 100 > limits.head_bytes {
        return;
    }
    let parsed = ResponseHead::parse(&written, &limits, leniency);
    let (again, size) = parsed.expect("what was written").expect("whole");
    assert_eq!(size, written.len());
    assert_eq!(response_text(&again), response_text(&head));
    assert_eq!(encode::response(&again), Some(written), "a fixed point");
}

/// An edit that changes nothing changes no byte, and the head alone reads as it did in its message.
fn verbatim(head: Option<&HttpHead>) {
    let Some(head) = head else { return };
    let mut edited = head.clone();
    edited.edit(|_| ());
    assert_eq!(edited.as_bytes(), head.as_bytes());
    let raw = Bytes::copy_from_slice(head.as_bytes());
    let parse = if head.is_request() { HttpHead::parse_request } else { HttpHead::parse_response };
    assert_eq!(parse(raw, &Limits::default(), &Leniency::default()).as_ref(), Ok(head));
}

/// Every line ends in CRLF, and there is no NUL, CR or LF but there.
fn check_lines(written: &[u8]) {
    let rest = String::from_utf8_lossy(written).replace("\r\n", "");
    assert!(!rest.contains(['\r', '\n', '\0']), "{}", written.escape_ascii());
}

/// All that a request says but for the fields that the encoder writes from other values.
fn request_text(head: &RequestHead) -> String {
    let sections = [head.http_request(), head.http_response()];
    let sections = sections.map(|section| section.map(|head| head.as_bytes().to_vec()));
    let parts = (head.allow(), head.preview(), head.close(), head.encapsulated());
    let fields = fields(head.headers());
    format!("{} {} {parts:?} {sections:?} {fields:?}", head.method(), head.uri())
}

fn response_text(head: &ResponseHead) -> String {
    let sections = [head.http_request(), head.http_response()];
    let sections = sections.map(|section| section.map(|head| head.as_bytes().to_vec()));
    // No field says the same as `null-body=0` (erratum e1), and a server may write either.
    let list = head.encapsulated().copied().unwrap_or(Encapsulated::NONE);
    let parts = (head.allow(), head.preview(), head.close(), list);
    let fields = fields(head.headers());
    format!("{} {:?} {parts:?} {sections:?} {fields:?}", head.status(), head.reason())
}

fn fields(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    // Host is added where it is missing.
    const TYPED: [&str; 9] = [
        "Encapsulated",
        "Preview",
        "Allow",
        "Connection",
        "Trailer",
        "Transfer-Encoding",
        "Content-Length",
        "Keep-Alive",
        "Host",
    ];
    headers
        .iter()
        .filter(|field| !TYPED.iter().any(|name| name.eq_ignore_ascii_case(field.name)))
        // Folds may go out on one line: nobody has to send them (RFC 9112 section 5.2).
        .map(|field| (field.name.to_owned(), icap_proto::unfold(field.value).into_owned()))
        .collect()
}

/// Text of a few bytes: mostly what may stand there, sometimes anything.
fn text(parts: &mut Unstructured<'_>) -> Result<String> {
    let len = parts.int_in_range(0..=20)?;
    Ok(String::from_utf8_lossy(parts.bytes(len)?).into_owned())
}

fn name(parts: &mut Unstructured<'_>) -> Result<String> {
    const NAMES: [&str; 12] = [
        "Host",
        "ISTag",
        "Encapsulated",
        "Preview",
        "Allow",
        "Connection",
        "Trailer",
        "Content-Length",
        "X-Client-IP",
        "X-Violations-Found",
        "Cookie",
        "host",
    ];
    if parts.ratio(2u8, 3u8)? { Ok((*parts.choose(&NAMES)?).to_owned()) } else { text(parts) }
}

fn http(parts: &mut Unstructured<'_>) -> Result<Option<HttpHead>> {
    let mut fields = Vec::new();
    for _ in 0..parts.int_in_range(0..=4u8)? {
        fields.push((name(parts)?, text(parts)?));
    }
    let head = if parts.arbitrary()? {
        HttpHead::request(&text(parts)?, &text(parts)?, fields)
    } else {
        HttpHead::response(parts.int_in_range(0..=700)?, &text(parts)?, fields)
    };
    Ok(head.ok().inspect(|head| {
        check_lines(head.as_bytes());
        verbatim(Some(head));
        assert!(head.as_bytes().ends_with(b"\r\n\r\n"));
    }))
}

fn build_request(parts: &mut Unstructured<'_>) -> Result<()> {
    let method = match parts.int_in_range(0..=4u8)? {
        0 | 1 => Method::Reqmod,
        2 | 3 => Method::Respmod,
        _ => Method::from_bytes(parts.bytes(3)?).unwrap_or(Method::Options),
    };
    let uri = match parts.int_in_range(0..=3u8)? {
        0 => format!("icap://{}", text(parts)?),
        1 => format!("icaps://u:p@h:1/{}?{}", text(parts)?, text(parts)?),
        _ => "icap://s/v".to_owned(),
    };
    let Ok(uri) = uri.parse::<ServiceUri>() else { return Ok(()) };
    let mut builder = RequestHead::builder(method, uri).body(parts.arbitrary()?);
    for _ in 0..parts.int_in_range(0..=2u8)? {
        builder = match http(parts)? {
            Some(head) if head.is_request() || parts.ratio(1u8, 8u8)? => builder.http_request(head),
            Some(head) => builder.http_response(head),
            None => builder,
        };
    }
    if parts.arbitrary()? {
        builder = builder.preview(parts.arbitrary()?);
    }
    if parts.arbitrary()? {
        builder = builder.allow_no_content().allow_partial_content().close();
    }
    if parts.arbitrary()? {
        builder = builder.allow_trailers();
    }
    for _ in 0..parts.int_in_range(0..=4u8)? {
        // What is refused changes nothing.
        builder = builder.clone().header(&name(parts)?, text(parts)?).unwrap_or(builder);
    }
    let Ok(head) = builder.build() else { return Ok(()) };
    let written = encode::request(&head);
    check_lines(&written);
    let parsed = RequestHead::parse(&written, &Limits::default(), &Leniency::strict());
    let (again, size) = parsed.expect("what was built").expect("whole");
    assert_eq!(size, written.len());
    assert_eq!(request_text(&again), request_text(&head));
    Ok(())
}

fn build_response(parts: &mut Unstructured<'_>) -> Result<()> {
    let Some(status) = StatusCode::new(parts.int_in_range(0..=700)?) else { return Ok(()) };
    let status = *parts.choose(&[status, StatusCode::OK, StatusCode::PARTIAL_CONTENT])?;
    let mut builder = ResponseHead::builder(status).body(parts.arbitrary()?);
    if let Ok(tag) = IsTag::new(&text(parts)?) {
        builder = builder.istag(&tag);
    }
    if parts.arbitrary()? {
        builder = builder.null_body();
    }
    if let Some(head) = http(parts)? {
        builder = builder.http(head);
    }
    if parts.arbitrary()? {
        builder = builder.preview(parts.arbitrary()?).close();
    }
    for _ in 0..parts.int_in_range(0..=4u8)? {
        builder = builder.clone().header(&name(parts)?, text(parts)?).unwrap_or(builder);
    }
    let Ok(head) = builder.build() else { return Ok(()) };
    let Some(written) = encode::response(&head) else { return Ok(()) };
    check_lines(&written);
    let parsed = ResponseHead::parse(&written, &Limits::default(), &Leniency::strict());
    let (again, size) = parsed.expect("what was built").expect("whole");
    assert_eq!(size, written.len());
    assert_eq!(response_text(&again), response_text(&head));
    Ok(())
}
