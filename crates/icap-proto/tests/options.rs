//! Answers to OPTIONS: what is written, what is read, and what of a strange one is left out.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use icap_proto::{
    Allow, Headers, InvalidHeader, IsTag, Leniency, Limits, Method, Misuse, RequestHead,
    ResponseHead, ServiceOptions, Transfer, TransferRules,
};

fn scanner() -> ServiceOptions {
    let tag = IsTag::new("rules-7").unwrap();
    ServiceOptions::respmod("Scanner 1.0").unwrap().istag(tag)
}

fn answer(fields: &str) -> ResponseHead {
    let bytes = format!("ICAP/1.0 200 OK\r\n{fields}\r\n");
    let head = ResponseHead::parse(bytes.as_bytes(), &Limits::default(), &Leniency::default());
    head.unwrap().unwrap().0
}

fn read(fields: &str) -> ServiceOptions {
    ServiceOptions::from_response(&answer(fields))
}

fn field(head: &ResponseHead, name: &str) -> Option<String> {
    head.headers().get(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// What an OPTIONS request with this `Allow` allows.
fn asked(allow: &str) -> Allow {
    let bytes = format!("OPTIONS icap://h/s ICAP/1.0\r\nHost: h\r\n{allow}\r\n");
    let head = RequestHead::parse(bytes.as_bytes(), &Limits::default(), &Leniency::strict());
    head.unwrap().unwrap().0.allow()
}

#[test]
fn every_field_is_written_and_read_again() {
    let rules = TransferRules::new(Transfer::Preview)
        .with(Transfer::Ignore, "gif")
        .and_then(|rules| rules.with(Transfer::Ignore, "jpg"))
        .and_then(|rules| rules.with(Transfer::Complete, "exe"))
        .unwrap();
    let options = scanner()
        .preview(1024)
        .transfer(rules)
        .ttl(Duration::from_millis(3_600_999))
        .max_connections(100)
        .service_id("scan")
        .and_then(|options| options.include("X-Client-IP"))
        .and_then(|options| options.include("x-client-ip"))
        .and_then(|options| options.include("X-Authenticated-User"))
        .unwrap()
        .allow_no_content()
        .allow_partial_content()
        .allow_trailers();
    let head = options.to_response(asked("Allow: trailers, 206\r\n")).unwrap();
    let fields: Vec<(String, String)> = head
        .headers()
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
        .collect();
    let expected = [
        ("ISTag", "\"rules-7\""),
        ("Methods", "RESPMOD"),
        ("Service", "Scanner 1.0"),
        ("Service-ID", "scan"),
        ("Options-TTL", "3600"),
        ("Max-Connections", "100"),
        ("Transfer-Preview", "*"),
        ("Transfer-Ignore", "gif, jpg"),
        ("Transfer-Complete", "exe"),
        ("X-Include", "X-Client-IP, X-Authenticated-User"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(head.encapsulated().unwrap().to_string(), "null-body=0");
    assert_eq!(ServiceOptions::from_response(&head), options.ttl(Duration::from_secs(3600)));
}

/// Draft-stecher-icap-subid section 5.3.
#[test]
fn sample_of_the_extensions_draft() {
    let head = answer(
        "Date: Fri, 31 Jan 2003 12:00:00 GMT\r\nISTAG: \"5BDEEEA9-12E4-2\"\r\n\
         Encapsulated: opt-body=0\r\nOpt-Body-Type: Attribute-List\r\nMax-Connections: 100\r\n\
         Methods: REQMOD\r\nOptions-TTL: 3600\r\n\
         Service: XYZ Technology URL Blocking Software 5.0\r\nService-ID: XYZTech\r\n\
         X-Include: X-Client-IP, X-Authenticated-User\r\n",
    );
    assert!(head.has_body());
    let options = ServiceOptions::from_response(&head);
    assert_eq!(options.methods(), [Method::Reqmod]);
    assert_eq!(options.tag().unwrap().as_bytes(), b"5BDEEEA9-12E4-2");
    assert_eq!(options.service(), Some("XYZ Technology URL Blocking Software 5.0"));
    assert_eq!((options.id(), options.connections()), (Some("XYZTech"), Some(100)));
    assert_eq!(options.time_to_live(), Some(Duration::from_secs(3600)));
    assert_eq!(options.included(), ["X-Client-IP", "X-Authenticated-User"]);
    assert!(options.includes("x-client-ip") && !options.includes("X-Server-IP"));
    assert_eq!(options.opt_body_type(), Some("Attribute-List"));
    // The type goes with the body, and what is built here has none.
    assert_eq!(field(&options.to_response(Allow::default()).unwrap(), "Opt-body-type"), None);
    assert_eq!(read("Opt-body-type: x\r\nEncapsulated: null-body=0\r\n").opt_body_type(), None);
    assert_eq!(read("Encapsulated: opt-body=0\r\n").opt_body_type(), None);
}

#[test]
fn methods_and_istag_are_required() {
    assert_eq!(
        ServiceOptions::respmod("x").unwrap().to_response(Allow::default()).unwrap_err(),
        Misuse::Composition
    );
    let tag = IsTag::new("t").unwrap();
    let none = ServiceOptions::default().istag(tag);
    assert_eq!(none.to_response(Allow::default()).unwrap_err(), Misuse::Composition);
    assert_eq!(
        none.clone().method(Method::Options).to_response(Allow::default()).unwrap_err(),
        Misuse::Composition
    );
    assert!(none.method(Method::Reqmod).to_response(Allow::default()).is_ok());
}

#[test]
fn options_is_read_among_the_methods_and_never_written() {
    let offered = ServiceOptions::reqmod("x").unwrap().method(Method::Options);
    assert_eq!(offered.methods(), [Method::Reqmod]);
    let built = scanner().method(Method::Options).method(Method::Reqmod).method(Method::Respmod);
    assert_eq!(
        field(&built.to_response(Allow::default()).unwrap(), "Methods").unwrap(),
        "RESPMOD, REQMOD"
    );

    let options = read("ISTag: \"a\"\r\nMethods: OPTIONS, RESPMOD\r\nMethods: REQMOD\r\n");
    assert_eq!(options.methods(), [Method::Options, Method::Respmod, Method::Reqmod]);
    assert!(options.has_method(&Method::Reqmod));
    assert_eq!(
        field(&options.to_response(Allow::default()).unwrap(), "Methods").unwrap(),
        "RESPMOD, REQMOD"
    );

    let silent = read("ISTag: \"a\"\r\n");
    assert!(silent.methods().is_empty() && silent.has_method(&Method::Options));
    assert!(!silent.has_method(&Method::Respmod));
}

#[test]
fn extensions_are_offered_to_those_who_asked() {
    let options = scanner().allow_no_content().allow_partial_content().allow_trailers();
    for (request, partial_content, trailers) in [
        ("", false, false),
        ("Allow: 204\r\n", false, false),
        ("Allow: 206\r\n", true, false),
        ("Allow: trailers\r\n", false, true),
        ("Allow: 204\r\nAllow: 206, trailers\r\n", true, true),
    ] {
        let allow = options.to_response(asked(request)).unwrap().allow();
        let found = (allow.no_content, allow.partial_content, allow.trailers);
        assert_eq!(found, (true, partial_content, trailers), "{request:?}");
    }
    // Who asks gets no more than the service has.
    let allow = scanner().to_response(asked("Allow: 204, 206, trailers\r\n")).unwrap().allow();
    assert_eq!(allow, Allow::default());
    let allow = options.to_response(Allow::default()).unwrap().allow();
    assert!(allow.no_content && !allow.partial_content && !allow.trailers);
}

#[test]
fn malformed_values_count_as_absent() {
    for bad in ["", "abc", "-1", "+1", "0x10", "1 2", "1.5", "18446744073709551616"] {
        let options = read(&format!(
            "ISTag: \"a\"\r\nMethods: RESPMOD\r\nPreview: {bad}\r\nOptions-TTL: {bad}\r\n\
             Max-Connections: {bad}\r\nTransfer-Preview: *\r\n"
        ));
        assert_eq!(options.preview_bytes(), None, "{bad:?}");
        assert_eq!((options.time_to_live(), options.connections()), (None, None), "{bad:?}");
        assert!(options.has_method(&Method::Respmod));
    }
    let options = read("Preview: 0\r\nOptions-TTL: 0\r\nMax-Connections: 0\r\n");
    assert_eq!(options.preview_bytes(), Some(0));
    assert_eq!((options.time_to_live(), options.connections()), (Some(Duration::ZERO), None));
    let none = scanner().max_connections(9).max_connections(0);
    assert_eq!(field(&none.to_response(Allow::default()).unwrap(), "Max-Connections"), None);
    assert_eq!(
        read("Options-TTL: 18446744073709551615\r\n").time_to_live(),
        Some(Duration::from_secs(u64::MAX))
    );
    // Whatever the date looks like.
    for date in ["Mon, 10 Jan 2000  09:55:21 GMT", "Thu Oct 13 03:07:36 2016 GMT", "soon", ""] {
        let options = read(&format!("Date: {date}\r\nMethods: RESPMOD\r\nOptions-TTL: 60\r\n"));
        assert_eq!(options.time_to_live(), Some(Duration::from_secs(60)), "{date:?}");
    }
}

#[test]
fn both_names_of_the_service_id() {
    assert_eq!(read("ServiceId: a\r\n").id(), Some("a"));
    assert_eq!(read("ServiceId: a\r\nservice-id: b\r\n").id(), Some("b"));
    let head = read("ISTag: \"a\"\r\nMethods: REQMOD\r\nServiceId: a\r\n")
        .to_response(Allow::default())
        .unwrap();
    assert_eq!((field(&head, "Service-ID"), field(&head, "ServiceId")), (Some("a".into()), None));
}

#[test]
fn fields_that_may_not_be_asked_for() {
    for standard in ["Host", "ALLOW", "user-agent", "ISTag", "Authorization", "Encapsulated"] {
        assert_eq!(scanner().include(standard).unwrap_err(), InvalidHeader::Reserved, "{standard}");
    }
    for bad in ["", "X Client", "X-A\r\nX-B", "X:"] {
        assert_eq!(scanner().include(bad).unwrap_err(), InvalidHeader::Name, "{bad:?}");
    }
    let options =
        read("X-Include: X-Client-IP, a b,,x-client-ip\r\nX-Include: X-Subscriber-ID\r\n");
    assert_eq!(options.included(), ["X-Client-IP", "x-client-ip", "X-Subscriber-ID"]);
}

#[test]
fn a_preview_is_of_every_file_unless_rules_say_otherwise() {
    let lists = |options: &ServiceOptions| {
        let head = options.to_response(Allow::default()).unwrap();
        ["Transfer-Preview", "Transfer-Ignore", "Transfer-Complete"].map(|name| field(&head, name))
    };
    assert_eq!(lists(&scanner()), [None, None, None]);
    assert_eq!(lists(&scanner().preview(0)), [Some("*".into()), None, None]);
    let rules = || TransferRules::new(Transfer::Complete).with(Transfer::Preview, "exe").unwrap();
    let expected = [Some("exe".into()), None, Some("*".into())];
    assert_eq!(lists(&scanner().preview(0).transfer(rules())), expected);
    assert_eq!(lists(&scanner().transfer(rules()).preview(0)), expected);
    // A client looks at both.
    for (fields, expected) in [
        ("Preview: 9\r\nTransfer-Preview: *\r\n", Transfer::Preview),
        ("Preview: 9\r\n", Transfer::Complete),
        ("Transfer-Preview: *\r\n", Transfer::Complete),
        ("Transfer-Ignore: *\r\n", Transfer::Ignore),
        ("", Transfer::Complete),
    ] {
        assert_eq!(read(fields).transfer_for("/a.exe"), expected, "{fields:?}");
    }
}

#[test]
fn transfer_lists() {
    use Transfer::{Complete, Ignore, Preview};
    for (fields, path, expected) in [
        ("Transfer-Preview: *\r\nTransfer-Ignore: gif, jpg\r\n", "/a.gif", Ignore),
        (
            "Transfer-Preview: *\r\nTransfer-Ignore: gif\r\nTransfer-Ignore: jpg\r\n",
            "/a.jpg",
            Ignore,
        ),
        ("Transfer-Preview: *\r\nTransfer-Ignore: gif, jpg\r\n", "/a.jpeg", Preview),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "/A.EXE", Complete),
        ("Transfer-Preview: *\r\nTransfer-Complete: EXE\r\n", "/a.exe", Complete),
        ("Transfer-Preview: *\r\nTransfer-Complete: .exe,,\r\n", "/a.exe", Complete),
        ("Transfer-Preview: *\r\nTransfer-Complete:\r\n exe,\r\n com\r\n", "/a.com", Complete),
        // The extension is that of the last segment of the path.
        (
            "Transfer-Preview: *\r\nTransfer-Complete: exe\r\n",
            "http://h/d.exe/a?b=/c.exe#.exe",
            Preview,
        ),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "http://h/d/a.exe?b=c.gif", Complete),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "/a.exe.txt", Preview),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "/a.exe#.gif", Complete),
        // A host is no file.
        ("Transfer-Preview: *\r\nTransfer-Ignore: zip\r\n", "http://a.zip", Preview),
        ("Transfer-Preview: *\r\nTransfer-Ignore: zip\r\n", "http://a.zip?b", Preview),
        ("Transfer-Preview: *\r\nTransfer-Ignore: zip\r\n", "http://a.zip/", Preview),
        ("Transfer-Preview: *\r\nTransfer-Ignore: zip\r\n", "/go/http://a.zip", Ignore),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "/exe", Preview),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "/\u{e9}exe", Preview),
        ("Transfer-Preview: *\r\nTransfer-Complete: exe\r\n", "", Preview),
        ("Transfer-Preview: *\r\nTransfer-Complete: tar.gz\r\n", "/a.tar.gz", Complete),
        ("Transfer-Preview: *\r\nTransfer-Complete: tar.gz\r\n", "/a.gz", Preview),
        // Named twice: preview, then complete, then ignore.
        (
            "Transfer-Ignore: a, *\r\nTransfer-Complete: a\r\nTransfer-Preview: a\r\n",
            "/x.a",
            Preview,
        ),
        ("Transfer-Ignore: a, *\r\nTransfer-Complete: a\r\n", "/x.a", Complete),
        // No default, several defaults.
        ("Transfer-Ignore: gif\r\n", "/a", Complete),
        ("Transfer-Preview: *\r\nTransfer-Ignore: *\r\nTransfer-Complete: *\r\n", "/a", Complete),
        ("Transfer-Complete: *\r\nTransfer-Preview: *\r\n", "/a", Complete),
        ("Transfer-Ignore: *\r\nTransfer-Preview: *\r\n", "/a", Preview),
        ("Transfer-Ignore: *\r\nTransfer-Complete: *\r\n", "/a", Complete),
        ("Transfer-Preview: **, a b\r\n", "/a.**", Preview),
        ("Transfer-Preview: \r\n", "/a", Complete),
    ] {
        let rules = TransferRules::from_headers(answer(fields).headers()).unwrap();
        assert_eq!(rules.for_path(path), expected, "{fields:?} {path}");
    }
    assert_eq!(TransferRules::from_headers(answer("Preview: 1\r\n").headers()), None);
}

#[test]
fn transfer_rules_name_an_extension_once_and_one_default() {
    let rules = TransferRules::new(Transfer::Ignore)
        .with(Transfer::Preview, "exe")
        .and_then(|rules| rules.with(Transfer::Preview, "doc"))
        .and_then(|rules| rules.with(Transfer::Complete, "EXE"))
        .unwrap();
    assert_eq!(rules.for_extension("exe"), Transfer::Complete);
    assert_eq!(rules.for_extension("zip"), Transfer::Ignore);
    assert_eq!(rules.default_transfer(), Transfer::Ignore);
    assert!(rules.extensions(Transfer::Preview).eq(["doc"]));
    assert!(rules.extensions(Transfer::Ignore).eq([""; 0]));
    for bad in ["*", "", ".exe", "a b", "a,b", "a\r\nb", "\u{e9}"] {
        let refused = rules.clone().with(Transfer::Preview, bad);
        assert_eq!(refused.unwrap_err(), InvalidHeader::Value, "{bad:?}");
    }
    let head = scanner().transfer(rules.clone()).to_response(Allow::default()).unwrap();
    let wildcards: usize = ["Transfer-Preview", "Transfer-Ignore", "Transfer-Complete"]
        .map(|name| head.headers().list(name).filter(|member| *member == b"*").count())
        .into_iter()
        .sum();
    assert_eq!(wildcards, 1);
    assert_eq!(TransferRules::from_headers(head.headers()), Some(rules));
}

#[test]
fn members_of_lists() {
    let block = b"X: a ,\tb,, \r\nx:\r\n c,\r\n\td\r\nX:\r\nY: e\r\n\r\n";
    let headers =
        Headers::parse(Bytes::from_static(block), &Limits::default(), &Leniency::default())
            .unwrap();
    assert!(headers.list("x").eq([&b"a"[..], b"b", b"c", b"d"]));
    assert_eq!(headers.list("Z").count(), 0);
    for member in ["A", "c", "d"] {
        assert!(headers.has_member("x", member), "also behind a fold: {member}");
    }
    assert!(!headers.has_member("x", "") && !headers.has_member("x", "e"));
    let lines: Vec<&[u8]> = icap_proto::fold_lines(b"1\r\n\t a b \r\n \r\n\tc").collect();
    assert_eq!(lines, [&b"1"[..], b"a b", b"", b"c"]);
    assert!(icap_proto::fold_lines(b"").eq([b""]));
}
