//! Each step of the evaluation, with the answers of real products.

use icap_proto::{HttpHead, Leniency, Limits, Method, ResponseHead};
use icap_verdict::{Answer, Verdict, evaluate, message};

/// The body that comes back.
#[derive(Clone, Copy, PartialEq)]
enum Body {
    Absent,
    Same,
    Changed,
}

/// The verdict of `icap` (an ICAP head), with `http` inside, for a file that was sent with `method`.
fn verdict(method: Method, icap: &str, http: &str, body: Body) -> Verdict {
    let mut head = icap.to_owned();
    if !http.is_empty() {
        let (hdr, token) = if http.starts_with("HTTP/") {
            ("res-hdr", "res-body")
        } else {
            ("req-hdr", "req-body")
        };
        let token = if body == Body::Absent { "null-body" } else { token };
        head += &format!("Encapsulated: {hdr}=0, {token}={}\r\n", http.len());
    }
    let bytes = format!("{head}\r\n{http}");
    let (response, _) =
        ResponseHead::parse(bytes.as_bytes(), &Limits::default(), &Leniency::default())
            .expect("a good answer")
            .expect("a whole answer");
    let sent = match method {
        Method::Reqmod => message::upload("a.txt", Some(5)).expect("any name"),
        _ => message::download("a.txt", Some(5)).expect("any name").1,
    };
    evaluate(&Answer {
        method: &method,
        sent: &sent,
        response: &response,
        same_body: body == Body::Same,
    })
}

const PUT: &str = "PUT http://misc/a.txt HTTP/1.1\r\nHost: misc\r\nVia: ICAP/1.0 vm\r\n\r\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";

#[test]
fn no_content_allows() {
    let verdict = verdict(Method::Reqmod, "ICAP/1.0 204 Unmodified\r\n", "", Body::Absent);
    assert!(verdict.is_allow(), "{verdict}");
}

#[test]
fn a_finding_beats_no_content() {
    let icap =
        "ICAP/1.0 204 Unmodified\r\nX-Infection-Found: Type=0; Resolution=0; Threat=Bad;\r\n";
    let verdict = verdict(Method::Respmod, icap, "", Body::Absent);
    assert_eq!(verdict.to_string(), "block: Bad (X-Infection-Found)");
}

#[test]
fn a_response_to_reqmod_blocks_even_with_http_200() {
    // Symantec DLP (Vontu): no header says anything, the HTTP status is 200.
    let icap = "ICAP/1.0 200 OK\r\nISTag: \"Vontu14.0\"\r\n";
    let verdict = verdict(Method::Reqmod, icap, PAGE, Body::Changed);
    assert_eq!(verdict.as_str(), "block");
}

#[test]
fn the_same_message_back_allows() {
    let icap = "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n";
    assert!(verdict(Method::Reqmod, icap, PUT, Body::Same).is_allow());
    assert!(verdict(Method::Respmod, icap, PAGE, Body::Same).is_allow());
}

#[test]
fn another_body_or_target_is_modified() {
    let icap = "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n";
    assert_eq!(verdict(Method::Respmod, icap, PAGE, Body::Changed), Verdict::Modified);
    assert_eq!(verdict(Method::Respmod, icap, PAGE, Body::Absent), Verdict::Modified);
    let other = PUT.replace("a.txt", "b.txt");
    assert_eq!(verdict(Method::Reqmod, icap, &other, Body::Same), Verdict::Modified);
    let other = PAGE.replace("text/plain", "text/html");
    assert_eq!(verdict(Method::Respmod, icap, &other, Body::Same), Verdict::Modified);
}

#[test]
fn the_http_status_of_a_response_decides() {
    let icap = "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n";
    for (status, expected) in [
        (307, "block"),
        (403, "block"),
        (451, "block"),
        (400, "error"),
        (401, "error"),
        (500, "error"),
        (206, "modified"),
    ] {
        let page = PAGE.replace("200 OK", &format!("{status} X"));
        let verdict = verdict(Method::Respmod, icap, &page, Body::Changed);
        assert_eq!(verdict.as_str(), expected, "{status}: {verdict}");
    }
}

#[test]
fn every_other_icap_status_is_an_error() {
    for status in (100..=599u16).filter(|status| ![200, 201, 204, 206].contains(status)) {
        let icap = format!("ICAP/1.0 {status} X\r\n");
        let verdict = verdict(Method::Respmod, &icap, "", Body::Absent);
        assert_eq!(verdict.as_str(), "error", "{status}");
    }
}

#[test]
fn a_refusal_that_names_an_infection_blocks() {
    let icap = "ICAP/1.0 403 Forbidden\r\nX-Infection-Found: Type=0; Resolution=0; Threat=Bad;\r\n";
    assert_eq!(verdict(Method::Respmod, icap, "", Body::Absent).as_str(), "block");
    // A server that failed has seen nothing to its end.
    let icap = icap.replace("403", "500");
    assert_eq!(verdict(Method::Respmod, &icap, "", Body::Absent).as_str(), "error");
}

#[test]
fn a_success_without_a_message_is_an_error() {
    let verdict = verdict(Method::Respmod, "ICAP/1.0 200 OK\r\n", "", Body::Absent);
    assert_eq!(verdict.as_str(), "error");
}

#[test]
fn any_name_makes_a_message() {
    for name in ["", "a b", "ä\r\nX: y", "../../etc/passwd", "\u{0}", "%41"] {
        let head: HttpHead = message::upload(name, None).unwrap();
        assert!(head.headers().get("X").is_none());
        assert!(!head.target().unwrap().contains(['\r', '\n', ' ', '\0']));
        message::download(name, Some(1)).unwrap();
    }
}
