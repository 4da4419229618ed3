//! Who sent a message: the samples of draft-stecher-icap-subid section 3, what products send, what is refused.

#![cfg(feature = "identity")]
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use icap_proto::{
    Encoding, Headers, Identity, InvalidHeader, Leniency, Limits, Principal, RequestHead,
    ResponseHead, ServiceOptions,
};

fn headers(lines: &[u8]) -> Headers {
    let block = Bytes::from([lines, b"\r\n"].concat());
    Headers::parse(block, &Limits::default(), &Leniency::default()).unwrap()
}

fn read(lines: impl AsRef<[u8]>) -> Identity {
    Identity::read(&headers(lines.as_ref()))
}

fn names(groups: &[Principal]) -> Vec<String> {
    groups.iter().map(|group| String::from_utf8_lossy(group.as_bytes()).into_owned()).collect()
}

/// The base64 of a text, by the crate under test: the samples of the draft hold it to the truth.
fn base64(text: &str) -> String {
    let name = Principal::new(text, Encoding::Base64).unwrap();
    String::from_utf8(name.to_value()).unwrap()
}

const USER: &str =
    "TERBUDovLzE5Mi4xNjguMTIuMTAwL289bXljb21wYW55LCBvdT1lbmdpbmVlcmluZywgY249bWlrZS5zbWl0aA==";
const GROUP: &str = "TERBUDovLzE5Mi4xNjguMTIuMTAwL289bXljb21wYW55LCBvdT1lbmdpbmVlcmluZw==";

/// Section 3.6.
#[test]
fn sample_of_the_draft() {
    let lines = format!(
        "X-Client-IP: 192.168.3.67\r\nX-Server-IP: 123.45.67.89\r\n\
         X-Subscriber-ID: mike.smith@mycompany.com\r\nX-Authenticated-User: {USER}\r\n\
         X-Authenticated-Groups: {GROUP}\r\n"
    );
    let identity = read(&lines);
    assert_eq!(identity.client_ip(), Some("192.168.3.67".parse().unwrap()));
    assert_eq!(identity.server_ip(), Some("123.45.67.89".parse().unwrap()));
    assert_eq!(identity.subscriber_id(), Some(&b"mike.smith@mycompany.com"[..]));
    let user = identity.user().unwrap();
    assert_eq!(user.encoding(), Encoding::Base64);
    assert_eq!((user.scheme(), user.has_scheme("ldap")), (Some("LDAP"), true));
    assert_eq!(user.path(), b"192.168.12.100/o=mycompany, ou=engineering, cn=mike.smith");
    assert_eq!(names(identity.groups()), ["LDAP://192.168.12.100/o=mycompany, ou=engineering"]);
    assert_eq!(identity.client_username(), None);
    // And written again, into a head and into a request.
    let mut written = Headers::new();
    identity.write(&mut written).unwrap();
    assert_eq!(written.as_bytes(), lines.as_bytes());
    let request = RequestHead::options("icap://h/s".parse().unwrap());
    let request = identity.add_to(request).unwrap().build().unwrap();
    assert_eq!(request.headers().as_bytes(), lines.as_bytes());
}

/// The plain texts of sections 3.4 and 3.5, and the schemes that products add.
#[test]
fn names_with_a_scheme() {
    for (scheme, path) in [
        ("WinNT", "mycompany.com/mike.smith"),
        ("LDAP", "192.168.12.100/o=mycompany, ou=engineering, cn=mike.smith"),
        ("Radius", "192.168.12.101/mike.smith"),
        ("Local", "mike.smith"),
        ("PANW-DLP-API", "tenant/1"),
        ("LDAP", "uid=1:2"),
    ] {
        let user = Principal::uri(scheme, path).unwrap();
        let again = Principal::read(&user.to_value()).unwrap();
        assert_eq!(again, user);
        assert_eq!((again.scheme(), again.path()), (Some(scheme), path.as_bytes()));
        // The same name, plain.
        let plain = Principal::new(user.as_bytes(), Encoding::Plain).unwrap();
        assert_eq!(plain.to_value(), user.as_bytes());
        let again = Principal::read(&plain.to_value()).unwrap();
        assert_eq!((again.encoding(), again.path()), (Encoding::Plain, path.as_bytes()));
        assert_ne!(again, user);
    }
    // What a product documents: VENDORS' sample of a ProxySG.
    let user = Principal::read(b"V2luTlQ6Ly9NWURPTUFJTi91c2VyMQ==").unwrap();
    assert_eq!((user.scheme(), user.path()), (Some("WinNT"), &b"MYDOMAIN/user1"[..]));
    // Padding left out.
    assert_eq!(Principal::read(b"V2luTlQ6Ly9NWURPTUFJTi91c2VyMQ"), Some(user));
}

/// What is no base64 of a name with a scheme is the name.
#[test]
fn plain_names() {
    for name in [
        &b"mike"[..],
        b"DOMAIN\\mike",
        b"mike@company",
        b"CN=Mike Smith,OU=a,O=b",
        b"unknown",
        b"WinNT://d/mike",
        b"m\xfcller",
        // Base64 without a scheme, base64 that is broken, base64 of a hidden control character.
        b"bWlrZQ==",
        b"V2luTlQ6Ly9NWURPTUFJTi91c2VyMQ*=",
        b"TG9jYWw6Ly9hAGI=",
        b"://x",
        b"1a://x",
    ] {
        let user = Principal::read(name).unwrap();
        assert_eq!((user.encoding(), user.as_bytes()), (Encoding::Plain, name));
        assert_eq!(user.to_value(), name);
    }
    assert_eq!(Principal::read(b""), None);
    let without = Principal::read(b"CN=Mike Smith,OU=a").unwrap();
    assert_eq!((without.scheme(), without.path()), (None, &b"CN=Mike Smith,OU=a"[..]));
}

/// `X-Client-Username` of Squid: plain, or base64 by configuration, and only the configuration tells.
#[test]
fn client_username() {
    for (encoding, value) in [(Encoding::Plain, &b"mike"[..]), (Encoding::Base64, b"bWlrZQ==")] {
        let user = Principal::new("mike", encoding).unwrap();
        let mut headers = Headers::new();
        Identity::new().with_client_username(user).write(&mut headers).unwrap();
        assert_eq!(headers.get("X-Client-Username"), Some(value));
        let found = Identity::read(&headers).client_username().unwrap().clone();
        assert_eq!(found.as_bytes(), value);
    }
    let encoded = Principal::read(b"bWlrZQ==").unwrap().decoded().unwrap();
    assert_eq!((encoded.as_bytes(), encoded.encoding()), (&b"mike"[..], Encoding::Base64));
    for not in [&b"a b"[..], b"mike@company", b"YQBi", b"YQpi"] {
        assert_eq!(Principal::read(not).unwrap().decoded(), None, "{not:?}");
    }
    // Once is enough: a name that came as base64 is the name, whatever it looks like.
    assert_eq!(Principal::new("bWlrZQ==", Encoding::Base64).unwrap().decoded(), None);
}

/// A name is taken for base64 only when nothing speaks against it; else it would be somebody else's.
#[test]
fn what_is_almost_base64_is_a_name() {
    let admin = base64("Local://admin");
    let blank = format!("{} {}", &admin[..8], &admin[8..]);
    let bits = "TG9jYWw6Ly9hYR==";
    for plain in
        [base64("1x://admin"), base64("a b://admin"), base64("Local:/admin"), blank, bits.into()]
    {
        let found = Principal::read(plain.as_bytes()).unwrap();
        assert_eq!((found.as_bytes(), found.encoding()), (plain.as_bytes(), Encoding::Plain));
    }
}

/// What is written takes the place of what was there, and only of that.
#[test]
fn written_fields_replace_those_of_their_names() {
    let mut headers = Headers::from_pairs([
        ("X-Authenticated-User", "forged"),
        ("x-authenticated-user", "again"),
        ("X-Client-IP", "10.0.0.9"),
    ])
    .unwrap();
    let user = Principal::uri("Local", "mike").unwrap();
    Identity::new().with_user(user.clone()).write(&mut headers).unwrap();
    let identity = Identity::read(&headers);
    assert_eq!(identity.user(), Some(&user));
    assert_eq!(identity.client_ip(), Some("10.0.0.9".parse().unwrap()));
    assert_eq!(headers.iter().count(), 2);
}

#[test]
fn groups_are_one_field_of_base64_with_line_feeds() {
    let identity = Identity::new()
        .with_group(Principal::uri("WinNT", "mycompany.com/marketing").unwrap())
        .unwrap()
        .with_group(Principal::uri("WinNT", "mycompany.com/sales").unwrap())
        .unwrap();
    let mut headers = Headers::from_pairs([("X-Authenticated-Groups", "forged")]).unwrap();
    identity.write(&mut headers).unwrap();
    // WinNT://mycompany.com/marketing[LF]WinNT://mycompany.com/sales
    let value = "V2luTlQ6Ly9teWNvbXBhbnkuY29tL21hcmtldGluZwpXaW5OVDovL215Y29tcGFueS5jb20vc2FsZXM=";
    assert!(headers.get_all("X-Authenticated-Groups").eq([value.as_bytes()]));
    assert_eq!(Identity::read(&headers), identity);
    // Plain ones, each in a field: their commas are part of the name.
    let plain = Identity::new()
        .with_group(Principal::new("CN=a,OU=b", Encoding::Plain).unwrap())
        .unwrap()
        .with_group(Principal::new("sales", Encoding::Plain).unwrap())
        .unwrap();
    plain.write(&mut headers).unwrap();
    assert_eq!(headers.get_all("X-Authenticated-Groups").count(), 2);
    assert_eq!(Identity::read(&headers), plain);
}

/// A name that a reader would cut in two would put its bearer into a group of his choice.
#[test]
fn groups_that_would_be_read_as_several_are_refused() {
    for (name, encoding) in [
        ("Local://a,Local://admin", Encoding::Base64),
        ("WinNT://d/a, LDAP://h/x", Encoding::Plain),
        ("sales,admin", Encoding::Plain),
        ("sales,", Encoding::Plain),
        (",", Encoding::Base64),
        ("sales", Encoding::Base64),
    ] {
        let group = Principal::new(name, encoding).unwrap();
        assert_eq!(Identity::new().with_group(group).unwrap_err(), InvalidHeader::Value, "{name}");
    }
    for (name, encoding) in [
        ("LDAP://h/o=x, ou=y", Encoding::Base64),
        ("CN=a,OU=b", Encoding::Plain),
        ("LDAP://h/o=x,ou=y", Encoding::Plain),
    ] {
        let group = Principal::new(name, encoding).unwrap();
        let identity = Identity::new().with_group(group).unwrap();
        let mut headers = Headers::new();
        identity.write(&mut headers).unwrap();
        assert_eq!(names(Identity::read(&headers).groups()), [name]);
    }
}

#[test]
fn groups_of_products() {
    let (winnt, local) = (base64("WinNT://d/a"), base64("Local://b"));
    let comma = base64("WinNT://d/a,Local://b");
    let ldap = base64("LDAP://h/o=x, ou=y");
    for (lines, expected) in [
        (format!("X-Authenticated-Groups: {winnt}\r\n"), &["WinNT://d/a"][..]),
        (format!("X-Authenticated-Groups: {winnt}, {local}\r\n"), &["WinNT://d/a", "Local://b"]),
        (
            format!("X-Authenticated-Groups: {winnt}\r\nx-authenticated-groups: {local}\r\n"),
            &["WinNT://d/a", "Local://b"],
        ),
        (format!("X-Authenticated-Groups: {comma}\r\n"), &["WinNT://d/a", "Local://b"]),
        (format!("X-Authenticated-Groups: {ldap}\r\n"), &["LDAP://h/o=x, ou=y"]),
        (
            "X-Authenticated-Groups: LDAP://h/o=x, ou=y,LDAP://h/o=z\r\n".into(),
            &["LDAP://h/o=x, ou=y", "LDAP://h/o=z"],
        ),
        ("X-Authenticated-Groups: sales, marketing,,\r\n".into(), &["sales", "marketing"]),
        (format!("X-Authenticated-Groups: ,{local},,\r\n"), &["Local://b"]),
        ("X-Authenticated-Groups: ,\r\n".into(), &[]),
        ("X-Authenticated-Groups: CN=sales,OU=x\r\n".into(), &["CN=sales,OU=x"]),
        ("X-Authenticated-Groups: \r\n".into(), &[]),
        (String::new(), &[]),
    ] {
        assert_eq!(names(read(&lines).groups()), expected, "{lines:?}");
    }
    // The draft's sample breaks the value over lines, which a fold may do.
    let folded = format!("X-Authenticated-Groups:\r\n {}\r\n\t{}\r\n", &GROUP[..20], &GROUP[20..]);
    assert_eq!(names(read(folded).groups()), ["LDAP://192.168.12.100/o=mycompany, ou=engineering"]);
}

#[test]
fn addresses() {
    for (value, taken) in [
        ("10.1.2.3", true),
        ("2001:db8::1", true),
        ("::ffff:10.0.0.1", true),
        ("", false),
        ("10.1.2", false),
        ("010.1.2.3", false),
        ("10.1.2.3:80", false),
        ("[2001:db8::1]", false),
        ("10.1.2.3, 10.1.2.4", false),
        ("unknown", false),
        ("fe80::1%eth0", false),
    ] {
        let headers =
            Headers::from_pairs([("X-Client-IP", value), ("X-Server-IP", value)]).unwrap();
        let identity = Identity::read(&headers);
        assert_eq!(identity.client_ip().map(|ip| ip.to_string()), taken.then(|| value.into()));
        assert_eq!(identity.server_ip().is_some(), taken, "{value:?}");
        assert_eq!(headers.get("X-Client-IP"), Some(value.as_bytes()), "stays readable");
    }
}

/// Two answers to who it was are none.
#[test]
fn values_that_contradict_each_other_are_unknown() {
    let identity = read(
        b"X-Client-IP: 10.0.0.1\r\nX-Client-IP: 10.0.0.2\r\nX-Subscriber-ID: a\r\nx-subscriber-id: b\r\n\
          X-Authenticated-User: a\r\nX-Authenticated-User: b\r\nX-Client-Username: a\r\nX-Client-Username: b\r\n",
    );
    assert_eq!(identity, Identity::new());
    let twice = read(b"X-Client-IP: 10.0.0.1\r\nX-Client-IP: 10.0.0.1\r\n");
    assert!(twice.client_ip().is_some());
}

#[test]
fn hostile_names_are_refused() {
    for bad in ["a\r\nX-Forged: 1", "a\nLocal://admin", "a\0", "\n", "a\r", "", " a", "a\t", "\x7f"]
    {
        for encoding in [Encoding::Base64, Encoding::Plain] {
            assert_eq!(Principal::new(bad, encoding).unwrap_err(), InvalidHeader::Value, "{bad:?}");
        }
        assert_eq!(Principal::uri("Local", bad).unwrap_err(), InvalidHeader::Value, "{bad:?}");
        let refused = Identity::new().with_subscriber_id(bad);
        assert_eq!(refused.unwrap_err(), InvalidHeader::Value, "{bad:?}");
    }
    for bad in ["", "1a", "a b", "a:", "a\r\n", "\u{e9}"] {
        assert_eq!(Principal::uri(bad, "x").unwrap_err(), InvalidHeader::Name, "{bad:?}");
    }
    // A plain name that would be read as somebody else.
    let admin = base64("Local://admin");
    assert_eq!(Principal::new(&admin, Encoding::Plain).unwrap_err(), InvalidHeader::Value);
    assert!(Principal::new(&admin, Encoding::Base64).is_ok());
}

#[test]
fn only_what_the_service_asks_for() {
    let identity = Identity::new()
        .with_client_ip("10.0.0.1".parse().unwrap())
        .with_server_ip("10.0.0.2".parse().unwrap())
        .with_user(Principal::uri("Local", "mike").unwrap())
        .with_group(Principal::uri("Local", "sales").unwrap())
        .unwrap()
        .with_client_username(Principal::new("mike", Encoding::Plain).unwrap())
        .with_subscriber_id("17")
        .unwrap();
    let answer = b"ICAP/1.0 200 OK\r\nISTag: \"a\"\r\n\
        X-Include: x-client-ip, X-Authenticated-Groups, X-Unknown\r\nEncapsulated: null-body=0\r\n\r\n";
    let (answer, _) =
        ResponseHead::parse(answer, &Limits::default(), &Leniency::strict()).unwrap().unwrap();
    let asked = identity.requested_by(&ServiceOptions::from_response(&answer));
    let expected = Identity::new()
        .with_client_ip("10.0.0.1".parse().unwrap())
        .with_group(Principal::uri("Local", "sales").unwrap())
        .unwrap();
    assert_eq!(asked, expected);
    assert_eq!(identity.requested_by(&ServiceOptions::default()), Identity::new());
    let mut headers = Headers::new();
    Identity::new().write(&mut headers).unwrap();
    assert!(headers.is_empty(), "what is unknown is left out");
}
