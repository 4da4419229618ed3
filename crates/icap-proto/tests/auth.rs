//! Credentials and challenges between an ICAP client and its server.

#![cfg(feature = "identity")]
#![allow(clippy::unwrap_used)]

use icap_proto::{
    BasicCredentials, Challenge, Headers, InvalidHeader, RequestHead, ResponseHead, StatusCode,
};

#[test]
fn credentials_of_the_rfc() {
    // RFC 7617 section 2 and 2.1.
    for (user, password, value) in [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\u{a3}", "Basic dGVzdDoxMjPCow=="),
        ("", "", "Basic Og=="),
        ("a", "b:c", "Basic YTpiOmM="),
    ] {
        let credentials = BasicCredentials::new(user, password).unwrap();
        assert_eq!(credentials.to_value(), value);
        let read = BasicCredentials::parse(value.as_bytes()).unwrap();
        assert_eq!((read.user(), read.password()), (user.as_bytes(), password.as_bytes()));
        assert!(read.matches(&credentials));
    }
}

#[test]
fn other_forms_of_the_value() {
    for good in ["basic YTpi", "BASIC  YTpi ", "Basic YTo", "Basic YTo="] {
        assert!(BasicCredentials::parse(good.as_bytes()).is_some(), "{good:?}");
    }
    for bad in [
        "",
        "Basic",
        "Basic ",
        "BasicYTpi",
        "Bearer YTpi",
        "Basic YWI=",     // no colon
        "Basic YTpi=",    // padding that is none
        "Basic Y T p i",  // blanks
        "Basic YTpiDQo=", // CR LF behind the password
        "Basic AGE6Yg==", // NUL
        "Basic YTpi, Basic YTpi",
    ] {
        assert!(BasicCredentials::parse(bad.as_bytes()).is_none(), "{bad:?}");
    }
}

#[test]
fn hostile_credentials_are_refused() {
    for bad in ["a\r\nX-Forged: 1", "a\n", "\0", "a\tb", "\x7f"] {
        assert_eq!(BasicCredentials::new(bad, "x").unwrap_err(), InvalidHeader::Value);
        assert_eq!(BasicCredentials::new("x", bad).unwrap_err(), InvalidHeader::Value);
    }
    assert_eq!(BasicCredentials::new("a:b", "x").unwrap_err(), InvalidHeader::Value);
    assert!(BasicCredentials::new("a", "b:c").is_ok());
}

#[test]
fn only_the_same_credentials_match() {
    let expected = BasicCredentials::new("user", "secret").unwrap();
    for (user, password, same) in [
        ("user", "secret", true),
        ("user", "secreT", false),
        ("user", "secre", false),
        ("user", "secret\u{20}", false),
        ("User", "secret", false),
        ("", "secret", false),
        ("user", "", false),
        ("usersecret", "", false),
    ] {
        let sent = BasicCredentials::new(user, password).unwrap();
        assert_eq!(sent.matches(&expected), same, "{user:?} {password:?}");
    }
}

/// 407 with `Proxy-Authorization` is the rule, 401 with `Authorization` occurs; ICAP's own field comes first.
#[test]
fn credentials_of_a_request() {
    let credentials = BasicCredentials::new("icap", "own").unwrap();
    let user = BasicCredentials::new("somebody", "else").unwrap();
    let request = |fields: &[(&str, &str)]| {
        let start = RequestHead::options("icap://h/s".parse().unwrap());
        let fields = fields.iter().try_fold(start, |head, (name, value)| head.header(name, value));
        fields.unwrap().build().unwrap()
    };
    let read = |fields: &[(&str, &str)]| {
        let found = BasicCredentials::read(request(fields).headers());
        found.map(|found| String::from_utf8(found.user().to_vec()).unwrap())
    };
    let (own, other) = (&*credentials.to_value(), &*user.to_value());
    let (proxy, origin) = ("Proxy-Authorization", "Authorization");
    assert_eq!(read(&[(proxy, own)]).unwrap(), "icap");
    assert_eq!(read(&[(origin, own)]).unwrap(), "icap");
    assert_eq!(read(&[(origin, other), (proxy, own)]).unwrap(), "icap");
    // What is wrong is not replaced by what comes next, and two are none.
    assert_eq!(read(&[(proxy, "Bearer x"), (origin, own)]), None);
    assert_eq!(read(&[(proxy, own), (proxy, other)]), None);
    assert_eq!(read(&[]), None);
}

#[test]
fn challenges() {
    let read = |value: &str| {
        let list = Challenge::parse(value.as_bytes())?;
        let text = |one: &Challenge| match one.realm() {
            Some(realm) => format!("{}={}", one.scheme(), String::from_utf8_lossy(realm)),
            None => one.scheme().to_owned(),
        };
        Some(list.iter().map(text).collect::<Vec<_>>().join("|"))
    };
    for (value, expected) in [
        ("Basic realm=\"c-icap\"", "Basic=c-icap"),
        ("Basic realm=simple", "Basic=simple"),
        ("Basic REALM = \"a b\" , charset=\"UTF-8\"", "Basic=a b"),
        ("Negotiate", "Negotiate"),
        ("Negotiate YWJj==, Basic realm=\"x\"", "Negotiate|Basic=x"),
        ("NTLM, Negotiate, Basic realm=\"x\"", "NTLM|Negotiate|Basic=x"),
        // RFC 9110 section 11.6.1.
        (
            "Basic realm=\"simple\", Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\"",
            "Basic=simple|Newauth=apps",
        ),
        ("Digest nonce=\"a, Basic realm=b\", realm=\"q\\\"uo\\\\te\"", "Digest=q\"uo\\te"),
        (",, Basic realm=\"\" ,", "Basic="),
        ("Basic realm=\"a\", realm=\"b\"", "Basic=a"),
        // By the grammar this is no parameter without argument but a token68.
        ("Basic realm=", "Basic"),
        ("Basic\r\n realm=\"x\",\r\n\tNegotiate", "Basic=x|Negotiate"),
        ("", ""),
    ] {
        assert_eq!(read(value).as_deref(), Some(expected), "{value}");
    }
    for bad in [
        "realm=\"x\"",
        "Negotiate =",
        "Basic realm=\"open",
        "Basic realm=\"open, Negotiate",
        "Basic realm=\"x\"y",
        "Basic \"x\"",
        "Basic a b",
        "Basic\trealm=x",
        "@",
        "Basic realm=\"x\\",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn challenges_are_written_and_read() {
    for realm in ["scan", "", "q\"uo\\te", "a, b=c", "caf\u{e9}"] {
        let challenge = Challenge::new("Basic", realm).unwrap();
        let head = ResponseHead::builder(StatusCode::new(407).unwrap())
            .header("Proxy-Authenticate", challenge.to_value())
            .and_then(|head| head.header("Proxy-Authenticate", "Negotiate"))
            .and_then(|head| head.header("Proxy-Authenticate", "\"broken"))
            .unwrap()
            .build()
            .unwrap();
        let found = Challenge::read(head.headers(), "proxy-authenticate");
        assert_eq!(found.len(), 2);
        assert_eq!(found.first(), Some(&challenge));
        assert!(found.last().unwrap().is("NEGOTIATE"));
        assert_eq!(Challenge::read(head.headers(), "WWW-Authenticate"), []);
    }
    assert_eq!(Challenge::new("a b", "x").unwrap_err(), InvalidHeader::Name);
    assert_eq!(Challenge::new("Basic", "a\r\nb").unwrap_err(), InvalidHeader::Value);
    assert!(Challenge::read(&Headers::new(), "Proxy-Authenticate").is_empty());
}
