//! The fields of draft-stecher-icap-subid in answers: its sample lines, what products write, and what is refused.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use icap_proto::{
    AnswerInfo, Attribute, AttributeCacheability, AttributeList, Headers, InfectionFound,
    InfectionKind, InvalidHeader, Leniency, Limits, Resolution, ResponseHead, StatusCode,
    ViolationsFound,
};

fn headers(lines: &[u8]) -> Headers {
    let block = Bytes::from([lines, b"\r\n"].concat());
    Headers::parse(block, &Limits::default(), &Leniency::default()).unwrap()
}

/// Draft-stecher-icap-subid section 4.10, the answer to a RESPMOD.
const RESPMOD: &[u8] = b"ISTAG: \"001-000-000006\"\r\n\
    X-Infection-Found: Type=0; Resolution=0; Threat=EICAR Test String;\r\n\
    X-Violations-Found: 2\r\n     test.zip/dir1/eicar.com\r\n     EICAR Test String\r\n     11101\r\n     0\r\n     \
    test.zip/dir2/eicar.com\r\n     EICAR Test String\r\n     11101\r\n     0\r\n\
    X-Virus-ID: EICAR Test String\r\nX-Response-Info: Blocked\r\n\
    X-Response-Desc: URL category policy envoked\r\n";

#[test]
fn sample_of_a_virus_scanner() {
    let headers = headers(RESPMOD);
    let info = AnswerInfo::new(&headers);
    let eicar = &b"EICAR Test String"[..];
    let infection = info.infection().unwrap();
    let expected = InfectionFound::new(InfectionKind::Virus, Resolution::NotRepaired, eicar);
    assert_eq!(infection, expected);
    assert_eq!(infection.to_value().unwrap(), headers.get("X-Infection-Found").unwrap());

    let violations = info.violations().unwrap();
    assert_eq!(violations.count(), 2);
    let list: Vec<_> = violations.iter().collect();
    let files = [&b"test.zip/dir1/eicar.com"[..], b"test.zip/dir2/eicar.com"];
    assert_eq!(list.len(), 2);
    for (violation, file) in list.iter().zip(files) {
        assert_eq!((violation.file, violation.description), (file, eicar));
        assert_eq!(violation.problem_id, Some(11101));
        assert_eq!(violation.resolution, Some(Resolution::NotRepaired));
    }

    assert_eq!(info.virus_id().as_deref(), Some(eicar));
    assert_eq!(info.response_info(), Some("Blocked"));
    assert_eq!(info.response_desc().as_deref(), Some(&b"URL category policy envoked"[..]));
}

/// Draft-stecher-icap-subid section 4.10, the answer to a REQMOD.
#[test]
fn sample_of_a_url_filter() {
    let user =
        b"TERBUDovLzE5Mi4xNjguMTIuMTAwL289bXljb21wYW55LCBvdT1lbmdpbmVlcmluZywgY249bWlrZS5zbWl0aA==";
    let line = [&b"X-Attribute-Cacheability: user="[..], user, b"\r\n"].concat();
    let headers = headers(
        &[b"X-ICAP-Profile: default\r\nX-Attribute: humor\r\nX-Attribute-Prefix: 1\r\n", &line[..]]
            .concat(),
    );
    let info = AnswerInfo::new(&headers);
    assert_eq!(info.profile().as_deref(), Some(&b"default"[..]));
    assert!(info.attributes().eq([Attribute::Name("humor")]));
    assert_eq!(info.attribute_prefix(), Some(1));
    let for_whom = info.attribute_cacheability().unwrap();
    assert_eq!(for_whom, AttributeCacheability::User(user));
    assert_eq!(for_whom.to_value(), headers.get("X-Attribute-Cacheability").unwrap());
    assert_eq!(format!("{for_whom:?}"), "User([redacted])");
}

#[test]
fn nothing_is_known_without_the_fields() {
    let headers = Headers::new();
    let info = AnswerInfo::new(&headers);
    assert!(info.profile().is_none() && info.virus_id().is_none());
    assert!(info.response_info().is_none() && info.response_desc().is_none());
    assert!(info.infection().is_none() && info.violations().is_none());
    assert_eq!((info.attributes().count(), info.attribute_prefix()), (0, None));
    assert_eq!(info.attribute_cacheability(), Some(AttributeCacheability::All));
    assert_eq!(info.next_services(), None);
}

#[test]
fn attributes() {
    let headers = headers(
        b"X-Attribute: sport, online-sales,,18446744073709551615\r\n\
        X-Attribute: 18446744073709551616, badword=10, \xe9\r\n",
    );
    let found: Vec<_> = AnswerInfo::new(&headers).attributes().collect();
    let expected = [
        Attribute::Name("sport"),
        Attribute::Name("online-sales"),
        Attribute::Number(u64::MAX),
        Attribute::Name("18446744073709551616"),
        Attribute::Other(b"badword=10"),
        Attribute::Other(b"\xe9"),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        Attribute::to_value(&found[..4]).unwrap(),
        b"sport, online-sales, 18446744073709551615, 18446744073709551616"
    );
    for bad in [
        &[][..],
        &found[4..],
        &[Attribute::Name("7")],
        &[Attribute::Name("a\r\nb")],
        &[Attribute::Name("")],
    ] {
        assert_eq!(Attribute::to_value(bad), Err(InvalidHeader::Value), "{bad:?}");
    }
}

/// What is not understood is for nobody and for one URL, and stays readable.
#[test]
fn scope_of_attributes() {
    use AttributeCacheability::{All, Group, User};
    for (value, expected) in [
        ("all", Some(All)),
        ("ALL", Some(All)),
        ("User=YQ==", Some(User(b"YQ=="))),
        ("group=YQ==", Some(Group(b"YQ=="))),
        ("group=", None),
        ("user", None),
        ("user=a b", None),
        ("everybody", None),
        ("role=YQ==", None),
        ("", None),
    ] {
        let headers = Headers::from_pairs([("X-Attribute-Cacheability", value)]).unwrap();
        assert_eq!(AnswerInfo::new(&headers).attribute_cacheability(), expected, "{value:?}");
        assert_eq!(headers.get("x-attribute-cacheability"), Some(value.as_bytes()));
    }
    for (value, expected) in
        [("1", Some(1)), ("10", Some(10)), ("0", None), ("-1", None), ("", None)]
    {
        let headers = Headers::from_pairs([("X-Attribute-Prefix", value)]).unwrap();
        assert_eq!(AnswerInfo::new(&headers).attribute_prefix(), expected, "{value:?}");
        assert_eq!(headers.get("X-Attribute-Prefix"), Some(value.as_bytes()));
    }
}

#[test]
fn infections_of_products() {
    use InfectionKind::{Container, MailPolicy, Virus};
    use Resolution::{Blocked, NotRepaired, Repaired};
    for (value, kind, resolution, threat) in [
        (
            &b"Type=0; Resolution=1; Threat=EICAR Test String;"[..],
            Some(Virus),
            Some(Repaired),
            &b"EICAR Test String"[..],
        ),
        (b"Type=2; Resolution=2; Threat=Bomb", Some(Container), Some(Blocked), b"Bomb"),
        (b"type=1;RESOLUTION=0;threat=a=b;", Some(MailPolicy), Some(NotRepaired), b"a=b"),
        (b"Threat=only;", None, None, b"only"),
        (b"Type = 0 ; Threat = x ;", Some(Virus), None, b"x"),
        (b"Type=0; Resolution=2; Threat=;", Some(Virus), Some(Blocked), b""),
        (b"Type=3; Resolution=+1; Threat=x;", None, None, b"x"),
        (b"Type=0; Resolution=0; Threat=\xe9;", Some(Virus), Some(NotRepaired), b"\xe9"),
        (b"Type=0; Threat=a; Threat=b; Type=1", Some(Virus), None, b"a"),
        (b"Type=0;\r\n Threat=a\r\n\tb;", Some(Virus), None, b"a b"),
    ] {
        let found = InfectionFound::parse(value).unwrap();
        assert_eq!((found.kind, found.resolution), (kind, resolution), "{value:?}");
        assert_eq!(found.threat.as_ref(), threat);
        assert_eq!(found.to_value().is_ok(), kind.is_some() && resolution.is_some());
    }
    for bad in [&b""[..], b"yes", b";;", b"Virus=EICAR"] {
        assert_eq!(InfectionFound::parse(bad), None, "{bad:?}");
    }
    for bad in ["a;b", "a\r\nX-Forged: 1", "a\0"] {
        let hostile = InfectionFound::new(Virus, Blocked, bad.as_bytes());
        assert_eq!(hostile.to_value(), Err(InvalidHeader::Value));
    }
}

#[test]
fn violations_of_products() {
    let read = |value: &'static [u8]| {
        let found = ViolationsFound::parse(value)?;
        let lines = found.iter().map(|one| {
            let text = String::from_utf8_lossy(one.description).into_owned();
            (one.file, text, one.problem_id, one.resolution)
        });
        Some((found.count(), lines.collect::<Vec<_>>()))
    };
    let eicar = || "Eicar-Test-Signature".to_owned();
    let no = Some(Resolution::NotRepaired);
    // c-icap, Sophos.
    let tabs = b"1\r\n\t-\r\n\tEicar-Test-Signature\r\n\t0\r\n\t0";
    assert_eq!(read(tabs), Some((1, vec![(&b"-"[..], eicar(), Some(0), no)])));
    let blanks = b"1\r\n      -\r\n      Eicar-Test-Signature\r\n      -\r\n      0";
    assert_eq!(read(blanks), Some((1, vec![(&b"-"[..], eicar(), None, no)])));
    // More than counted, a group that is cut short, an unknown resolution, a name of other bytes.
    let more = b"1\r\n a\r\n b\r\n 1\r\n 2\r\n c\r\n \xe9\r\n 3\r\n 9\r\n d\r\n e";
    let expected = vec![
        (&b"a"[..], "b".to_owned(), Some(1), Some(Resolution::Blocked)),
        (b"c", "\u{fffd}".to_owned(), Some(3), None),
    ];
    assert_eq!(read(more), Some((1, expected)));
    assert_eq!(read(b"0"), Some((0, vec![])));
    assert_eq!(read(b"3"), Some((3, vec![])));
    // No number, and all on one line.
    for bad in [&b""[..], b"-", b"1 svwiscd1 EICAR Test String 11101 0", b"\r\n 1"] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}

#[test]
fn texts_of_any_encoding() {
    let headers = headers(
        b"X-Virus-ID: caf\xe9\r\nX-Response-Info: two words\r\nX-Response-Desc: a\r\n\tb\r\n",
    );
    let info = AnswerInfo::new(&headers);
    assert_eq!(info.virus_id().as_deref(), Some(&b"caf\xe9"[..]));
    assert_eq!(info.response_info(), None);
    assert_eq!(headers.get("X-Response-Info"), Some(&b"two words"[..]));
    assert_eq!(info.response_desc().as_deref(), Some(&b"a b"[..]));
}

#[test]
fn next_services() {
    let next = |lines: &[u8]| {
        let headers = headers(lines);
        let next = AnswerInfo::new(&headers).next_services()?;
        Some(next.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        next(b"X-Next-Services: av, dlp\r\nx-next-services: log\r\n").unwrap(),
        ["av", "dlp", "log"]
    );
    assert_eq!(next(b"X-Next-Services:\r\n").unwrap(), [""; 0]);
    assert_eq!(next(b"X-Next: av\r\n"), None);
}

/// Draft-stecher-icap-subid section 5.3: 0x38 bytes.
#[test]
fn attribute_list() {
    let body = b"X-ICAP-Attribute-XYZTech\r\n  sex\r\n  gambling\r\n  jobs\r\n;\r\n";
    assert_eq!(body.len(), 0x38);
    let list = AttributeList::parse(body).unwrap();
    assert_eq!(list.service_id(), b"XYZTech");
    assert_eq!(list.attributes(), ["sex", "gambling", "jobs"].map(Attribute::Name));
    let numbers = AttributeList::parse(b"X-ICAP-Attribute-\r\n 1 \r\n;").unwrap();
    assert_eq!(
        (numbers.service_id(), numbers.attributes()),
        (&b""[..], &[Attribute::Number(1)][..])
    );
    for bad in [&b""[..], b"X-ICAP-Attribute-x\r\na\r\n", b"sex\r\ngambling\r\n;\r\n", b";\r\n"] {
        assert_eq!(AttributeList::parse(bad), None, "{bad:?}");
    }
}

/// Fields of vendors are kept as they came and not interpreted.
#[test]
fn fields_of_vendors_are_kept() {
    let lines =
        b"X-Outer-Container-Is-Mime: 0\r\nX-FSecure-Scan-Result: clean\r\nX-HRESULT: 0x0\r\n";
    let headers = headers(lines);
    assert_eq!(headers.as_bytes(), lines);
    let head =
        ResponseHead::builder(StatusCode::NO_CONTENT).headers(&headers).unwrap().build().unwrap();
    assert_eq!(head.headers().as_bytes(), lines);
}
