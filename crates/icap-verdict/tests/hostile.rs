//! Answers that nobody means well with.

use icap_proto::{HttpHead, Method};
use icap_verdict::{Body, LooseAnswer, Profile, Verdict};
use proptest::prelude::*;

fn judge(profile: &Profile, method: &Method, bytes: &[u8], body: Body<'_>) -> Option<Verdict> {
    let sent = match method {
        Method::Reqmod => HttpHead::request("PUT", "http://misc/a", [("Host", "misc")]),
        _ => HttpHead::response(200, "OK", [("Content-Type", "text/plain")]),
    };
    let answer = LooseAnswer::parse(bytes)?;
    Some(profile.evaluate(&answer.answer(method, &sent.expect("valid"), body)))
}

/// Every text in a verdict is bounded and has no control characters in it.
fn check(verdict: &Verdict) {
    let line = verdict.to_string();
    assert!(line.chars().count() <= 1200 && !line.chars().any(char::is_control), "{line:?}");
    let shown = |text: &str, most| {
        assert!(text.chars().count() <= most && !text.chars().any(char::is_control))
    };
    let details = verdict.details();
    assert!(details.evidence.len() <= 32 && verdict.threats().len() <= 64);
    for evidence in &details.evidence {
        shown(&evidence.field, 200);
        shown(&evidence.value, 200);
    }
    for threat in verdict.threats() {
        let texts = [&threat.name, &threat.file, &threat.class];
        texts.into_iter().flatten().for_each(|text| shown(text, 200));
    }
    [&details.text, &details.rule].into_iter().flatten().for_each(|text| shown(text, 250));
    if let Verdict::Block(block) = verdict {
        block.page.iter().for_each(|page| shown(&page.start, 512));
    }
}

const FINDINGS: [&str; 9] = [
    "X-Infection-Found: Type=0; Resolution=2; Threat=EICAR;",
    "X-Infection-Found: Type=0; Resolution=0; Threat=",
    "X-Infection-Found:",
    "x-infection-found: \0",
    "X-Virus-ID: EICAR",
    "X-Virus-Name: EICAR",
    "X-Response-Info: Blocked",
    "X-Block-Reason: rule",
    "X-FSecure-Scan-Result: infected",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "X-Violations-Found",
        "X-Infection-Found",
        "X-Virus-ID",
        "X-Virus-Name",
        "X-Response-Info",
        "X-Blocked",
        "X-WWBlockResult",
        "X-Error-Code",
        "X-MFE-PREVENT",
        "X-Attribute",
        "Encapsulated",
        "X-ICAP-Profile",
        "ISTag",
        "Service",
        "verdict",
    ]);
    let values = prop::sample::select(vec![
        "Type=0; Resolution=1; Threat=A;",
        "1",
        "0",
        "4294967295",
        "no threats",
        "Blocked",
        "Allowed",
        "80",
        "SCANFAIL",
        "password_protected",
        "a\r\n\tb\r\n\tc\r\n\t1\r\n\t1",
        "res-hdr=0, null-body=0",
        "\"Vontu1\"",
        "\u{202e}\u{7}",
        ",,,",
        "Type=;;;=",
        "-",
    ]);
    prop_oneof![
        (names.clone(), values).prop_map(|(name, value)| format!("{name}: {value}").into_bytes()),
        (names, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(name, value)| [
            name.as_bytes(),
            b":",
            &value
        ]
        .concat()),
        prop::collection::vec(any::<u8>(), 0..30),
    ]
}

fn start() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 403 No\r\n",
        "HTTP/1.1 500 X\r\n",
        "PUT http://misc/a HTTP/1.1\r\n",
        "\0",
    ])
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&b"ICAP/1.0 200 OK\r\n"[..], &bytes].concat();
        for profile in Profile::built_in() {
            check(&judge(profile, &Method::Respmod, &bytes, Body::Other(&bytes)).expect("a status"));
        }
    }

    #[test]
    fn a_finding_is_never_allowed(
        mut lines in prop::collection::vec(line(), 0..12),
        finding in prop::sample::select(FINDINGS.to_vec()),
        at in any::<prop::sample::Index>(),
        status in prop::sample::select(vec![200, 201, 202, 204, 206, 403, 500]),
        start in start(),
        same in any::<bool>(),
        profile in 0..Profile::built_in().len(),
        reqmod in any::<bool>(),
    ) {
        // No line ends the head before the finding.
        let ends = |line: &Vec<u8>| line.split(|&b| b == b'\n').any(|part| part.trim_ascii().is_empty());
        lines.retain(|line| !ends(line));
        let at = at.index(lines.len().saturating_add(1));
        lines.insert(at, finding.as_bytes().to_vec());
        let mut bytes = format!("ICAP/1.0 {status} X\r\n").into_bytes();
        for line in lines {
            bytes.extend(line);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(start.as_bytes());
        let method = if reqmod { Method::Reqmod } else { Method::Respmod };
        let body = if same { Body::Same } else { Body::Other(b"page") };
        let verdict = judge(&Profile::built_in()[profile], &method, &bytes, body).expect("a status");
        check(&verdict);
        prop_assert!(!verdict.is_allow(), "{}", verdict);
    }
}

#[test]
fn a_thousand_violations_and_a_megabyte() {
    let many = format!(
        "ICAP/1.0 200 OK\r\nX-Violations-Found: 1000{}\r\n\r\n",
        "\r\n\ta\r\n\tb\r\n\t1\r\n\t2".repeat(1000)
    );
    let verdict = judge(Profile::auto(), &Method::Respmod, many.as_bytes(), Body::Absent).unwrap();
    assert_eq!(verdict.threats().len(), 64);
    check(&verdict);

    let long =
        [b"ICAP/1.0 204 X\r\nX-Virus-ID: ", &b"a,\x1b(".repeat(1 << 18)[..], b"\r\n\r\n"].concat();
    let verdict = judge(Profile::auto(), &Method::Respmod, &long, Body::Absent).unwrap();
    assert_eq!(verdict.as_str(), "block");
    check(&verdict);

    let fields = format!(
        "ICAP/1.0 204 X\r\n{}X-Infection-Found: Threat=a\r\n\r\n",
        "X-Y: z\r\n".repeat(1 << 17)
    );
    let verdict =
        judge(Profile::auto(), &Method::Respmod, fields.as_bytes(), Body::Absent).unwrap();
    assert_eq!(verdict.as_str(), "block");
    check(&verdict);
}

#[test]
fn a_count_that_lies_allocates_nothing_and_eats_no_field() {
    let bytes =
        b"ICAP/1.0 200 OK\r\nX-Violations-Found: 4294967295\r\na\r\nX-Virus-ID: EICAR\r\n\r\n";
    let verdict = judge(Profile::auto(), &Method::Respmod, bytes, Body::Absent).unwrap();
    assert_eq!(verdict.threats()[0].name.as_deref(), Some("EICAR"));
}
