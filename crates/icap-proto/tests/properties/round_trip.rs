//! What is said arrives, and what arrived is said again with the same bytes.

use bytes::Buf;
use icap_proto::{
    Headers, HttpHead, IsTag, Leniency, Limits, RequestHead, ResponseHead, client, server,
};
use proptest::prelude::*;

use crate::message::{Answer, Fields, Http, Question, answer, question};

/// All bytes and the last events.
#[derive(Debug, Default)]
struct Arrived {
    body: Vec<u8>,
    trailers: Option<Headers>,
    original_from: Option<u64>,
}

/// Reads a request as a server does and asks for the rest of the body.
fn serve(parts: &[Vec<u8>; 2]) -> (RequestHead, Arrived) {
    let mut server = server::Connection::new(Limits::default(), Leniency::strict());
    let (mut head, mut arrived) = (None, Arrived::default());
    for part in parts {
        let mut rest = &part[..];
        loop {
            match server.poll_event().unwrap() {
                Some(server::Event::Request(request)) => head = Some(*request),
                Some(server::Event::Data(data)) => arrived.body.extend_from_slice(&data),
                Some(server::Event::PreviewEnd { complete, .. }) => {
                    if !complete {
                        assert!(rest.is_empty(), "bytes behind a preview");
                        server.send_continue(&IsTag::new("t").unwrap()).unwrap();
                    }
                }
                Some(server::Event::End { trailers, .. }) => arrived.trailers = Some(trailers),
                Some(other) => panic!("{other:?}"),
                None if rest.is_empty() => break,
                None => {
                    assert!(server.wants_input());
                    let taken = server.feed(rest);
                    rest = &rest[taken..];
                }
            }
        }
    }
    (head.unwrap(), arrived)
}

fn ask(answer: &Answer, bytes: &[u8]) -> (ResponseHead, Arrived, client::Connection) {
    let mut client = client::Connection::new(Limits::default(), Leniency::strict());
    client.start(&answer.question().head()).unwrap();
    let (mut head, mut arrived, mut rest) = (None, Arrived::default(), bytes);
    loop {
        match client.poll_event().unwrap() {
            Some(client::Event::Response(response)) => head = Some(*response),
            Some(client::Event::Data(data)) => arrived.body.extend_from_slice(&data),
            Some(client::Event::End { trailers, use_original_body, .. }) => {
                arrived.trailers = Some(trailers);
                arrived.original_from = use_original_body;
            }
            Some(other) => panic!("{other:?}"),
            None if rest.is_empty() => break,
            None => {
                let taken = client.feed(rest);
                rest = &rest[taken..];
            }
        }
    }
    (head.unwrap(), arrived, client)
}

fn pairs(headers: &Headers) -> Fields {
    headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

/// The fields that a caller gave; the library adds its own, and none of them begins with `X-`.
fn own_fields(headers: &Headers) -> Fields {
    pairs(headers).into_iter().filter(|(name, _)| name.starts_with("X-")).collect()
}

fn same_http(head: Option<&HttpHead>, http: Option<&Http>) {
    assert_eq!(head, http.map(Http::head).as_ref());
    let (Some(head), Some(http)) = (head, http) else { return };
    assert_eq!(pairs(head.headers()), http.fields);
    assert_eq!(head.is_request(), http.request);
    if http.request {
        assert_eq!((head.method(), head.target()), (Some(&http.word[..]), Some("/path?a=b")));
    } else {
        assert_eq!(head.status(), Some(http.status));
    }
}

/// The bytes of a head that was read.
fn encode_again(head: &RequestHead) -> Vec<u8> {
    let mut client = client::Connection::new(Limits::default(), Leniency::strict());
    client.start(head).unwrap();
    let output = client.output();
    output.copy_to_bytes(output.remaining()).to_vec()
}

fn check_question(question: &Question) {
    let parts = question.encode();
    let (head, arrived) = serve(&parts);
    assert_eq!(head.method(), &question.method);
    assert_eq!(head.uri(), &question.uri.parse().unwrap());
    assert_eq!(head.uri().to_string(), question.uri);
    assert_eq!(own_fields(head.headers()), question.fields);
    same_http(head.http_request(), question.http_request.as_ref());
    same_http(head.http_response(), question.http_response.as_ref());
    assert_eq!((head.preview(), head.has_body()), (question.preview, question.body.is_some()));
    let allow = head.allow();
    let flags = [allow.no_content, allow.partial_content, allow.trailers, head.close()];
    assert_eq!(flags, question.flags);

    assert!(arrived.body == question.whole_body(), "another body");
    assert_eq!(arrived.trailers.as_ref().map(pairs), Some(question.trailers.clone()));

    let parsed = RequestHead::parse(&parts[0], &Limits::default(), &Leniency::strict());
    let (_, size) = parsed.unwrap().unwrap();
    assert_eq!(encode_again(&head), parts[0][..size], "a fixed point");
}

fn check_answer(answer: &Answer) {
    let bytes = answer.encode();
    let (head, arrived, client) = ask(answer, &bytes);
    assert_eq!(head.status().as_u16(), answer.status);
    assert_eq!(own_fields(head.headers()), answer.fields);
    assert_eq!(head.istag(), Some(IsTag::new("t1").unwrap()));
    assert_eq!((head.close(), head.has_body()), (answer.close, answer.body.is_some()));
    let (request, response) = (head.http_request(), head.http_response());
    same_http(request.or(response), answer.http.as_ref());

    assert!(arrived.body == answer.whole_body(), "another body");
    assert_eq!(arrived.original_from, answer.original_from);
    let trailers = if answer.body.is_some() { answer.trailers.clone() } else { Vec::new() };
    assert_eq!(arrived.trailers.as_ref().map(pairs), Some(trailers));
    assert_eq!(client.reusable().is_ok(), !answer.close);

    // What was read goes out with the same bytes.
    let parsed = ResponseHead::parse(&bytes, &Limits::default(), &Leniency::strict());
    let (head, size) = parsed.unwrap().unwrap();
    let mut server = server::Connection::new(Limits::default(), Leniency::strict());
    server.feed(&answer.question().encode()[0]);
    while server.poll_event().unwrap().is_some() {}
    server.respond(head).unwrap();
    let output = server.output();
    assert_eq!(output.copy_to_bytes(output.remaining()), bytes[..size], "a fixed point");
}

proptest! {
    #![proptest_config(crate::cases(1000))]

    #[test]
    fn requests_arrive_as_they_were_said(question in question()) {
        check_question(&question);
    }

    #[test]
    fn answers_arrive_as_they_were_said(answer in answer()) {
        check_answer(&answer);
    }
}
