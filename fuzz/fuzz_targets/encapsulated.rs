//! `Encapsulated` lists against a second, slower reading of the grammar.
#![no_main]

use icap_fuzz::settings;
use icap_proto::{Encapsulated, Entity, Leniency, Limits, Method, StatusCode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let [strict, lenient, everything] = settings::modes().map(|leniency| {
        let list = Encapsulated::parse(data, &limits, &leniency);
        match &list {
            Ok(list) => check(list),
            Err(error) => assert!(error.offset <= data.len() as u64, "{error}"),
        }
        list
    });
    let expected = reference(data, limits.encapsulated_bytes);
    assert_eq!(strict.ok().map(|list| list.entries().collect::<Vec<_>>()), expected);
    if strict.is_ok() {
        assert_eq!(lenient, strict);
        assert_eq!(everything, strict);
    }
    if let Ok(list) = Encapsulated::parse(data, &settings::tight(), &Leniency::strict()) {
        assert_eq!(strict, Ok(list), "limits change the meaning");
    }
});

fn check(list: &Encapsulated) {
    let entries: Vec<_> = list.entries().collect();
    let (body, end) = *entries.last().expect("a body at the end");
    assert_eq!((body, end), (list.body(), list.header_bytes()));
    assert_eq!(entries[0].1, 0);
    assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    assert_eq!(list.has_body(), body != Entity::NullBody);
    assert!(end <= Limits::default().encapsulated_bytes);

    let text = list.to_string();
    let again = Encapsulated::parse(text.as_bytes(), &Limits::default(), &Leniency::strict());
    assert_eq!(again.as_ref(), Ok(list), "{text}");

    for method in [Method::Reqmod, Method::Respmod, Method::Options] {
        if *list == Encapsulated::NONE {
            assert_eq!(list.fits_request(&method), method == Method::Options);
        }
        for status in [100, 200, 201, 204, 206, 404, 500] {
            let status = StatusCode::new(status).expect("three digits");
            let fits = list.fits_response(&method, status);
            let never = matches!(status, StatusCode::CONTINUE | StatusCode::NO_CONTENT);
            assert!(!(fits && never && *list != Encapsulated::NONE), "{status} carries {text}");
            // An entity of the other direction never fits (erratum e4).
            assert!(!(fits && method == Method::Respmod && list.req_hdr().is_some()), "{text}");
        }
    }
}

/// The grammar of RFC 3507 section 4.4.1, member by member.
fn reference(value: &[u8], most: usize) -> Option<Vec<(Entity, usize)>> {
    let mut entries: Vec<(Entity, usize)> = Vec::new();
    let text = std::str::from_utf8(value).ok()?;
    let blanks = [' ', '\t'];
    let members: Vec<&str> = text.split(',').map(|part| part.trim_matches(blanks)).collect();
    if members.iter().filter(|member| member.is_empty()).count()
        > Limits::default().empty_list_members
    {
        return None;
    }
    for member in members.into_iter().filter(|member| !member.is_empty()) {
        let (name, offset) = member.split_once('=')?;
        let entity = [
            Entity::ReqHdr,
            Entity::ResHdr,
            Entity::ReqBody,
            Entity::ResBody,
            Entity::OptBody,
            Entity::NullBody,
        ]
        .into_iter()
        .find(|entity| entity.as_str() == name)?;
        if offset.is_empty() || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let offset: usize = offset.parse().ok().filter(|offset| *offset <= most)?;
        let header = |entity| matches!(entity, Entity::ReqHdr | Entity::ResHdr);
        match entries.last() {
            None if offset != 0 => return None,
            Some((last, at)) if !header(*last) || *at >= offset || *last >= entity => return None,
            _ => entries.push((entity, offset)),
        }
    }
    let closed = entries.last().is_some_and(|(entity, _)| *entity >= Entity::ReqBody);
    closed.then_some(entries)
}
