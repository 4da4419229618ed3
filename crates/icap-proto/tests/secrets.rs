//! What is secret is in no output for people: a table over the public types that can hold it.

#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Debug;

use icap_proto::{
    Headers, HttpHead, Leniency, Limits, RequestHead, ResponseHead, ServiceUri, StatusCode, client,
    server,
};
use support::Core;

/// Stands for every password, token and cookie here.
const SECRET: &str = "c2VzYW1l";
const CREDENTIALS: [&str; 4] = ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"];

fn fields() -> Headers {
    let lower = CREDENTIALS.map(str::to_lowercase);
    let names = CREDENTIALS.into_iter().chain(lower.iter().map(String::as_str));
    Headers::from_pairs(names.map(|name| (name, format!("Basic {SECRET}")))).unwrap()
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    CREDENTIALS.into_iter().map(|name| (name, SECRET))
}

fn uri() -> ServiceUri {
    format!("icap://user:{SECRET}@h/s").parse().unwrap()
}

fn request() -> RequestHead {
    let page = HttpHead::response(200, "OK", pairs()).unwrap();
    let question = HttpHead::request("GET", "/", pairs()).unwrap();
    let head = RequestHead::respmod(uri()).http_request(question).http_response(page).body(true);
    let head = pairs().try_fold(head, |head, (name, value)| head.header(name, value)).unwrap();
    assert!(!format!("{head:?}").contains(SECRET), "the builder");
    head.build().unwrap()
}

fn response() -> ResponseHead {
    let page = HttpHead::response(200, "OK", pairs()).unwrap();
    let head = ResponseHead::builder(StatusCode::OK).http(page).body(true);
    let head = head.headers(&fields()).unwrap();
    assert!(!format!("{head:?}").contains(SECRET), "the builder");
    head.build().unwrap()
}

#[test]
fn debug_shows_no_secret() {
    let headers = fields();
    assert!(String::from_utf8_lossy(headers.as_bytes()).contains(SECRET));
    let (request, response) = (request(), response());

    let mut client = client::Connection::new(Limits::default(), Leniency::default());
    client.start(&request).unwrap();
    let sending = format!("{client:?}");
    let wire = client.take_output();
    assert!(String::from_utf8_lossy(&wire).contains(SECRET));
    let mut server = server::Connection::new(Limits::default(), Leniency::default());
    server.feed(&wire);
    let fed = format!("{server:?}");
    let asked = format!("{:?}", server.poll_event().unwrap().unwrap());
    assert!(asked.contains("[redacted]"), "{asked}");
    server.respond(response.clone()).unwrap();
    let answering = format!("{server:?}");
    client.feed(&server.take_output());
    let answered = format!("{:?}", client.poll_event().unwrap().unwrap());
    assert!(answered.contains("[redacted]"), "{answered}");

    let values: [(&str, &dyn Debug); 9] = [
        ("Headers", &headers),
        ("Field", &headers.iter().collect::<Vec<_>>()),
        ("RequestHead", &request),
        ("ResponseHead", &response),
        ("HttpHead of a request", &request.http_request()),
        ("HttpHead of a response", &response.http_response()),
        ("ServiceUri", &uri()),
        ("Client", &client),
        ("Server", &server),
    ];
    let shown = values.map(|(name, value)| (name, format!("{value:?} {value:#?}")));
    let events = [
        ("sending", sending),
        ("fed", fed),
        ("asked", asked),
        ("answering", answering),
        ("answered", answered),
    ];
    for (name, shown) in shown.into_iter().chain(events) {
        assert!(!shown.contains(SECRET), "{name}: {shown}");
    }
    assert!(!uri().to_string().contains(SECRET));
}

/// Browsers and old clients put a user into the URI of the request.
#[test]
fn debug_shows_no_user_of_a_request_target() {
    for (method, target, shown) in [
        ("GET", format!("ftp://u:{SECRET}@h/f@g"), "GET ftp://[redacted]@h/f@g HTTP/1.1"),
        ("GET", format!("http://{SECRET}@x@h?a"), "GET http://[redacted]@h?a HTTP/1.1"),
        ("CONNECT", format!("{SECRET}@h:1"), "CONNECT [redacted]@h:1 HTTP/1.1"),
        ("GET", "/a@b".into(), "GET /a@b HTTP/1.1"),
        ("GET", "http://h/a@b".into(), "GET http://h/a@b HTTP/1.1"),
    ] {
        let head = HttpHead::request(method, &target, [("", ""); 0]).unwrap();
        assert_eq!(
            format!("{head:?}"),
            format!("HttpHead {{ start_line: {shown:?}, headers: {{}} }}")
        );
    }
}

/// An error says where and which rule, never what stood there.
#[test]
fn errors_show_no_secret() {
    let line = format!("Proxy-Authorization: Basic {SECRET}");
    for request in [
        format!("OPTIONS icap://h/s ICAP/1.0\r\n{line}\0\r\n\r\n"),
        format!("OPTIONS icap://h/s ICAP/1.0\r\n{line}\n\r\n"),
        format!("REQMOD icap://h/s ICAP/1.0\r\nHost: h\r\nPreview: {SECRET}\r\n\r\n"),
        format!("OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\nEncapsulated: {SECRET}=0\r\n\r\n"),
        format!("OPTIONS icap://u:{SECRET}@/s ICAP/1.0\r\n\r\n"),
        format!("OPTIONS icap://h/s {SECRET}/1.0\r\n\r\n"),
    ] {
        let error =
            RequestHead::parse(request.as_bytes(), &Limits::default(), &Leniency::default())
                .unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let error = format!("icap://u:{SECRET}@").parse::<ServiceUri>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains(SECRET));
    let error = RequestHead::options(uri()).header("Cookie", format!("{SECRET}\r\n")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(SECRET));
}

/// Names of people: not in the values that are made for them. The fields of a head are shown but for credentials.
#[cfg(feature = "identity")]
#[test]
fn debug_shows_no_person() {
    use icap_proto::{
        AttributeCacheability, BasicCredentials, Encoding, Identity, InvalidHeader, Principal,
    };
    let plain = Principal::new(SECRET, Encoding::Plain).unwrap();
    let encoded = Principal::uri("Local", SECRET).unwrap();
    let identity = Identity::new()
        .with_client_ip("10.9.8.7".parse().unwrap())
        .with_server_ip("10.9.8.7".parse().unwrap())
        .with_user(encoded.clone())
        .with_group(encoded.clone())
        .unwrap()
        .with_client_username(plain.clone())
        .with_subscriber_id(SECRET)
        .unwrap();
    let user = BasicCredentials::new(SECRET, "x").unwrap();
    let password = BasicCredentials::new("x", SECRET).unwrap();
    let value = encoded.to_value();
    let for_whom = AttributeCacheability::User(SECRET.as_bytes());
    let refused: [InvalidHeader; 2] = [
        Principal::new(format!("{SECRET}\n"), Encoding::Plain).unwrap_err(),
        BasicCredentials::new(format!("{SECRET}:"), SECRET).unwrap_err(),
    ];
    let values: [&dyn Debug; 7] =
        [&plain, &encoded, &identity, &user, &password, &for_whom, &refused];
    let hidden = [
        SECRET.to_owned(),
        String::from_utf8(value).unwrap(),
        "sesame".into(),
        "10.9.8.7".into(),
        format!("{:?}", SECRET.as_bytes()),
        user.to_value(),
        password.to_value(),
    ];
    for value in values {
        let shown = format!("{value:?}");
        for hidden in &hidden {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
    let mut headers = Headers::new();
    headers.append("Proxy-Authorization", password.to_value()).unwrap();
    assert_eq!(format!("{headers:?}"), r#"{"Proxy-Authorization": "[redacted]"}"#);
}
