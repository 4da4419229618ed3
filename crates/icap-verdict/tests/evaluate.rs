//! Each step of the evaluation, from heads that a client has parsed.

use icap_proto::{HttpHead, Leniency, Limits, Method, ResponseHead};
use icap_verdict::message::File;
use icap_verdict::profile::{Containers, FieldMeans, FieldRule};
use icap_verdict::{
    AllowReason, Answer, Block, BlockReason, Body, Category, Direction, ModifiedReason, Part,
    Problem, ProblemKind, Profile, Verdict,
};

fn named(profile: &str) -> &'static Profile {
    Profile::named(profile).expect("a built-in profile")
}

fn sent(method: &Method) -> HttpHead {
    let direction = if *method == Method::Reqmod { Direction::Upload } else { Direction::Download };
    let message = File::new("a.txt").length(5).message(named("generic"), direction);
    message.expect("any name").adapted().clone()
}

/// The verdict of `icap` (an ICAP head), with `http` inside, for a file that was sent with `method`.
fn judge(profile: &Profile, method: Method, icap: &str, http: &str, body: Body<'_>) -> Verdict {
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
    let parsed = ResponseHead::parse(bytes.as_bytes(), &Limits::default(), &profile.leniency());
    let (response, _) = parsed.expect("a good answer").expect("a whole answer");
    profile.evaluate(&Answer::new(&method, &sent(&method), &response, body))
}

fn verdict(method: Method, icap: &str, http: &str, body: Body<'_>) -> Verdict {
    judge(Profile::auto(), method, icap, http, body)
}

fn block(verdict: Verdict) -> Block {
    let Verdict::Block(block) = verdict else { panic!("{verdict}") };
    block
}

fn problem(verdict: Verdict) -> Problem {
    let Verdict::Error(problem) = verdict else { panic!("{verdict}") };
    problem
}

const OTHER: Body<'_> = Body::Other(b"<html>");
const OK: &str = "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n";
const PUT: &str = "PUT http://misc/a.txt HTTP/1.1\r\nHost: misc\r\nVia: ICAP/1.0 vm\r\n\r\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";

#[test]
fn no_content_allows() {
    let verdict = verdict(Method::Reqmod, "ICAP/1.0 204 Unmodified\r\n", "", Body::Absent);
    assert_eq!(verdict.to_string(), "allow: no modification needed (204)");
}

#[test]
fn a_finding_beats_no_content() {
    let icap =
        "ICAP/1.0 204 Unmodified\r\nX-Infection-Found: Type=0; Resolution=0; Threat=Bad;\r\n";
    let block = block(verdict(Method::Respmod, icap, "", Body::Absent));
    assert!(block.contradiction);
    assert_eq!(
        block.to_string(),
        "Bad (malware, X-Infection-Found), though the status lets it through"
    );
    let evidence = &block.details.evidence[0];
    assert_eq!((evidence.part, evidence.field.as_str()), (Part::Icap, "X-Infection-Found"));
}

#[test]
fn a_response_to_reqmod_blocks_even_with_http_200() {
    let block = block(verdict(Method::Reqmod, OK, PAGE, Body::Other(b"Content blocked\0\0")));
    assert_eq!(block.reason, BlockReason::RequestAnswered);
    let page = block.page.expect("a page");
    assert_eq!((page.status, page.start.as_str()), (Some(200), "Content blocked"));
    assert_eq!(block.details.text.as_deref(), Some("Content blocked"));
}

#[test]
fn the_same_message_back_allows() {
    assert!(verdict(Method::Reqmod, OK, PUT, Body::Same).is_allow());
    assert!(verdict(Method::Respmod, OK, PAGE, Body::Same).is_allow());
    // Servers write their own version, and leave fields out.
    assert!(verdict(Method::Respmod, OK, "HTTP/1.0 200 Okay\r\n\r\n", Body::Same).is_allow());
}

#[test]
fn another_body_or_target_is_modified() {
    for (method, http, body, reason) in [
        (Method::Respmod, PAGE.to_owned(), OTHER, ModifiedReason::Rewritten),
        (Method::Respmod, PAGE.to_owned(), Body::Absent, ModifiedReason::Rewritten),
        (Method::Reqmod, PUT.replace("a.txt", "b.txt"), Body::Same, ModifiedReason::Rewritten),
        (Method::Reqmod, PUT.replace("PUT", "GET"), Body::Same, ModifiedReason::Rewritten),
        (Method::Respmod, PAGE.replace("200", "206"), Body::Same, ModifiedReason::Rewritten),
        (Method::Respmod, PAGE.replace("plain", "html"), Body::Same, ModifiedReason::Fields),
    ] {
        let verdict = verdict(method, OK, &http, body);
        let Verdict::Modified(modified) = &verdict else { panic!("{verdict}") };
        assert_eq!(modified.reason, reason, "{http}");
    }
}

#[test]
fn a_dlp_product_replaces_what_it_refuses() {
    for profile in ["symantec-dlp", "forcepoint-dlp", "casb-dlp", "reqmod", "respmod"] {
        let refused = block(judge(named(profile), Method::Respmod, OK, PAGE, OTHER));
        assert_eq!((refused.reason, refused.category), (BlockReason::Replaced, Category::Dlp));
        assert!(judge(named(profile), Method::Respmod, OK, PAGE, Body::Same).is_allow());
        // A repaired message is another one all the same.
        let icap = format!("{OK}X-Infection-Found: Type=0; Resolution=1; Threat=A;\r\n");
        assert_eq!(judge(named(profile), Method::Respmod, &icap, PAGE, OTHER).as_str(), "block");
    }
    assert_eq!(judge(named("generic"), Method::Respmod, OK, PAGE, OTHER).as_str(), "modified");
}

#[test]
fn repaired_is_modified_only_when_another_body_came_back() {
    let icap = format!("{OK}X-Infection-Found: Type=0; Resolution=1; Threat=A;\r\n");
    let repaired = verdict(Method::Respmod, &icap, PAGE, OTHER);
    assert_eq!(repaired.to_string(), "modified: the server repaired the message (A)");
    assert_eq!(verdict(Method::Respmod, &icap, PAGE, Body::Same).as_str(), "block");
    assert_eq!(verdict(Method::Respmod, &icap, PAGE, Body::Cut).as_str(), "block");
    assert_eq!(verdict(Method::Reqmod, &icap, PAGE, OTHER).as_str(), "block");
    let refused = format!("{icap}X-Response-Info: Blocked\r\n");
    assert_eq!(verdict(Method::Respmod, &refused, PAGE, OTHER).as_str(), "block");
}

#[test]
fn the_http_status_of_a_response_decides() {
    for (status, expected) in [
        (302, "block"),
        (307, "block"),
        (402, "block"),
        (403, "block"),
        (451, "block"),
        (499, "block"),
        (400, "error"),
        (401, "error"),
        (407, "error"),
        (500, "error"),
        (599, "error"),
        (206, "modified"),
    ] {
        let page = PAGE.replace("200 OK", &format!("{status} X"));
        let verdict = verdict(Method::Respmod, OK, &page, OTHER);
        assert_eq!(verdict.as_str(), expected, "{status}: {verdict}");
    }
}

#[test]
fn every_other_icap_status_is_an_error() {
    for status in (100..=599u16).filter(|status| ![200, 201, 204, 206].contains(status)) {
        let icap = format!("ICAP/1.0 {status} X\r\n");
        for profile in Profile::built_in() {
            let verdict = judge(profile, Method::Respmod, &icap, "", Body::Absent);
            let refuses = profile.read.refusing_statuses.contains(&status);
            assert_eq!(verdict.as_str(), if refuses { "block" } else { "error" }, "{status}");
        }
    }
}

#[test]
fn a_finding_beats_every_status() {
    for status in [200, 201, 204, 403, 405, 500, 503] {
        let icap = format!(
            "ICAP/1.0 {status} X\r\nX-Infection-Found: Type=0; Resolution=0; Threat=Bad;\r\n"
        );
        for profile in Profile::built_in() {
            let verdict = judge(profile, Method::Respmod, &icap, "", Body::Absent);
            assert_eq!(verdict.as_str(), "block", "{status} {}", profile.name);
        }
    }
}

#[test]
fn a_success_without_a_message_is_an_error() {
    let problem = problem(verdict(Method::Respmod, "ICAP/1.0 200 OK\r\n", "", Body::Absent));
    assert_eq!(problem.kind, ProblemKind::Protocol);
}

#[test]
fn what_nobody_asked_for_is_an_error() {
    let bytes = b"ICAP/1.0 204 No Content\r\n\r\n";
    let parsed = ResponseHead::parse(bytes, &Limits::default(), &Leniency::default());
    let (response, _) = parsed.unwrap().unwrap();
    let sent = sent(&Method::Reqmod);
    let answer = Answer::new(&Method::Reqmod, &sent, &response, Body::Absent);
    assert!(Profile::auto().evaluate(&answer).is_allow());
    let refused = problem(Profile::auto().evaluate(&answer.unsolicited()));
    assert_eq!((refused.kind, refused.retryable), (ProblemKind::Protocol, false));
}

#[test]
fn a_field_of_the_origin_is_no_word_of_the_server() {
    let parsed = |bytes: &[u8]| {
        ResponseHead::parse(bytes, &Limits::default(), &Leniency::default()).unwrap().unwrap().0
    };
    let http = "HTTP/1.1 200 OK\r\nX-Virus-ID: EICAR\r\n\r\n";
    let response = parsed(
        format!("{OK}Encapsulated: res-hdr=0, res-body={}\r\n\r\n{http}", http.len()).as_bytes(),
    );
    let marked = HttpHead::response(200, "OK", [("X-Virus-ID", "EICAR")]).unwrap();
    let plain = HttpHead::response(200, "OK", [("A", "b")]).unwrap();
    for (sent, expected) in [(&marked, "allow"), (&plain, "block")] {
        let answer = Answer::new(&Method::Respmod, sent, &response, Body::Same);
        assert_eq!(Profile::auto().evaluate(&answer).as_str(), expected);
    }
}

#[test]
fn the_fields_of_a_user() {
    let rule = |means, values: &'static [&'static str]| FieldRule {
        field: "verdict".into(),
        means,
        values: values.iter().map(|value| (*value).into()).collect::<Vec<_>>().into(),
    };
    let mut own = named("reqmod").clone();
    own.read.fields = vec![
        rule(FieldMeans::Block, &["blocked"]),
        rule(FieldMeans::Allow, &["allowed"]),
        rule(FieldMeans::Unscannable, &["skipped"]),
    ]
    .into();
    let say = |word: &str| {
        judge(&own, Method::Reqmod, &format!("{OK}verdict: {word}\r\n"), "", Body::Absent)
    };
    assert_eq!(block(say("Blocked")).reason, BlockReason::Header("verdict".into()));
    let Verdict::Allow(allow) = say("allowed") else { panic!() };
    assert_eq!(allow.reason, AllowReason::Field("verdict".into()));
    assert_eq!(problem(say("skipped")).kind, ProblemKind::Unscannable);
    // Unknown is an error, and what was said is kept.
    let unknown = problem(say("perhaps"));
    assert_eq!(unknown.kind, ProblemKind::Protocol);
    assert_eq!(unknown.details.evidence[0].to_string(), "verdict: perhaps");
    // A permission does not beat another message.
    let allowed = format!("{OK}verdict: allowed\r\n");
    assert_eq!(judge(&own, Method::Reqmod, &allowed, PAGE, OTHER).as_str(), "block");
}

#[test]
fn containers_are_a_matter_of_taste() {
    let icap = format!(
        "{OK}X-Infection-Found: Type=2; Resolution=2; Threat=Encrypted container violation;\r\n"
    );
    let mut own = named("symantec-spe").clone();
    assert_eq!(
        block(judge(&own, Method::Respmod, &icap, PAGE, OTHER)).category,
        Category::ContainerViolation
    );
    own.read.containers = Containers::Unscannable;
    assert_eq!(
        problem(judge(&own, Method::Respmod, &icap, PAGE, OTHER)).kind,
        ProblemKind::Unscannable
    );
}

#[test]
fn the_best_name_wins() {
    let icap = format!(
        "{OK}X-Virus-ID: Testdatei\r\nX-Violations-Found: 1\r\n\t-\r\n\t-\r\n\t0\r\n\t0\r\nX-Virus-Name: EICAR\r\n"
    );
    let block = block(verdict(Method::Respmod, &icap, PAGE, OTHER));
    assert_eq!(block.reason, BlockReason::Header("X-Violations-Found".into()));
    assert_eq!(block.threat(), Some("EICAR"));
}

#[cfg(feature = "serde")]
#[test]
fn a_verdict_as_json_and_back() {
    let icap =
        format!("{OK}Service: S 1\r\nX-Violations-Found: 1\r\n\ta.exe\r\n\tBad\r\n\t7\r\n\t2\r\n");
    let verdict = verdict(Method::Respmod, &icap, PAGE, OTHER);
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["verdict"], "block");
    assert_eq!(json["category"], "malware");
    assert_eq!(json["threats"][0]["file"], "a.exe");
    assert_eq!(json["scanner"]["service"], "S 1");
    assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), verdict);
    let error = Verdict::Error(Problem::new(ProblemKind::ServiceNotFound, "no"));
    assert_eq!(
        serde_json::to_value(&error).unwrap()["kind"],
        ProblemKind::ServiceNotFound.as_str()
    );
}

#[cfg(feature = "toml")]
#[test]
fn profiles_from_toml() {
    let own = Profile::from_toml("base = \"symantec-spe\"\nname = \"spe\"\n[read]\ncontainers = \"unscannable\"\n[ask]\nmax_concurrent = 4\n").unwrap();
    assert_eq!(own.read.refusing_statuses, named("symantec-spe").read.refusing_statuses);
    assert_eq!((own.read.containers, own.ask.max_concurrent), (Containers::Unscannable, Some(4)));
    for bad in [
        "base = \"nobody\"",
        "base = 1",
        "nmae = \"x\"",
        "[read]\nreplaced = \"allow\"",
        "[ask]\nprevew = false",
        "x",
    ] {
        assert!(Profile::from_toml(bad).is_err(), "{bad}");
    }
    for profile in Profile::built_in() {
        let same = Profile::from_toml(&format!("base = \"{}\"", profile.name)).unwrap();
        assert_eq!(
            (&same.read, &same.ask, &same.operator),
            (&profile.read, &profile.ask, &profile.operator)
        );
    }
}

#[cfg(feature = "toml")]
#[test]
fn the_profile_in_the_book() {
    let book = include_str!("../../../docs/verdicts.md");
    let (_, file) = book.split_once("```toml\n").expect("an example");
    let (file, _) = file.split_once("```").expect("its end");
    let own = Profile::from_toml(file).expect("a good profile");
    assert_eq!((&*own.name, own.ask.max_concurrent), ("our-dlp", Some(8)));
    assert_eq!((own.read.statuses[0].status, own.ask.preview), (599, false));
}

/// Every built-in profile has its row in the book.
#[test]
fn the_book_names_every_profile() {
    let book = include_str!("../../../docs/verdicts.md");
    for profile in Profile::built_in() {
        assert!(book.contains(&format!("`{}`", profile.name)), "{}", profile.name);
    }
}
