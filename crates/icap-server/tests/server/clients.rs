//! Who the client is, and whom it speaks for.

use std::net::SocketAddr;
use std::sync::Arc;

use icap_proto::{BasicCredentials, ServiceOptions};
use icap_server::{Reply, Server, Service, ServiceConfig, basic_auth, service_fn};
use tokio::io::DuplexStream;

use crate::support::*;

fn guarded() -> Server {
    let proxy = BasicCredentials::new("proxy", "open sesame").unwrap();
    let pass = service(|_| async { Ok(Reply::unmodified()) });
    let check = move |sent: BasicCredentials| {
        let known = sent.matches(&proxy);
        async move {
            tokio::task::yield_now().await;
            known
        }
    };
    Server::new().service("/x", basic_auth(pass, "scan", check).unwrap()).unwrap()
}

fn credentials(user: &str, password: &str) -> String {
    let value = BasicCredentials::new(user, password).unwrap().to_value();
    format!("Proxy-Authorization: {value}\r\n")
}

#[tokio::test]
async fn who_has_no_credentials_is_asked_for_them() {
    let mut client = connect_to(guarded());
    let right = credentials("proxy", "open sesame");
    for (fields, status) in [
        (String::new(), 407),
        (credentials("proxy", "open sesam"), 407),
        (credentials("proxy", "open sesame!"), 407),
        (credentials("Proxy", "open sesame"), 407),
        ("Proxy-Authorization: Basic !\r\n".into(), 407),
        ("Proxy-Authorization: Bearer abc\r\n".into(), 407),
        (right.clone() + &right, 407),
        (right.clone(), 204),
        (right.replace("Proxy-", ""), 204),
    ] {
        client.say(respmod(&(fields.clone() + "Preview: 4\r\n")) + "4\r\nabcd\r\n" + LAST).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.head.close()), (status, false), "{fields}");
        let challenge = (status == 407).then_some("Basic realm=\"scan\"");
        assert_eq!(answer.field("Proxy-Authenticate"), challenge);
    }
    client.say("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_refused_body_is_not_read_as_a_request() {
    let mut client = connect_to(guarded());
    let inner = "OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n";
    client.say(respmod("")).await;
    client.say(chunk(inner)).await;
    client.say(LAST).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (407, true));
    assert!(client.is_closed().await);
}

#[test]
fn realms_are_checked() {
    let pass =
        service_fn(ServiceOptions::reqmod("x").unwrap(), |_| async { Ok(Reply::unmodified()) });
    assert!(basic_auth(pass, "a\r\nb", |_| async { true }).is_err());
}

fn naming() -> Server {
    let naming = service(|request| async move {
        let name = request.identity().map(|identity| match identity.client_ip() {
            Some(ip) => ip.to_string(),
            None => "nobody".into(),
        });
        Ok(Reply::unmodified().header("X-Seen", name.unwrap_or_else(|| "untrusted".into()))?)
    });
    let proxies = "10.0.0.0/8, fd00::/8".parse().unwrap();
    let config = ServiceConfig::default().trust_identity(proxies);
    Server::new().service("/x", naming.with_config(config)).unwrap()
}

fn connect_from(server: &Arc<Server>, peer: Option<SocketAddr>) -> Client<DuplexStream> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let server = Arc::clone(server);
    tokio::spawn(async move { server.serve_connection(far, peer).await });
    Client::new(near)
}

#[tokio::test]
async fn only_trusted_clients_say_who_their_users_are() {
    let server = Arc::new(naming());
    for (peer, seen) in [
        (Some("10.1.2.3:5"), "192.168.3.67"),
        (Some("[::ffff:10.1.2.3]:5"), "192.168.3.67"),
        (Some("[fd00::1]:5"), "192.168.3.67"),
        (Some("11.0.0.1:5"), "untrusted"),
        (Some("[::ffff:11.0.0.1]:5"), "untrusted"),
        (Some("[fe80::1]:5"), "untrusted"),
        (None, "untrusted"),
    ] {
        let mut client = connect_from(&server, peer.map(|peer| peer.parse().unwrap()));
        client.say(reqmod_get("Allow: 204\r\nX-Client-IP: 192.168.3.67\r\n")).await;
        assert_eq!(client.answer().await.field("X-Seen"), Some(seen), "{peer:?}");
    }
    let mut client = connect_from(&server, Some("10.0.0.1:5".parse().unwrap()));
    client.say(reqmod_get("Allow: 204\r\n")).await;
    assert_eq!(client.answer().await.field("X-Seen"), Some("nobody"));
}

#[tokio::test]
async fn nobody_is_trusted_unless_told() {
    let server = Arc::new(server(|request| async move {
        assert!(request.identity().is_none());
        Ok(Reply::unmodified())
    }));
    let mut client = connect_from(&server, Some("127.0.0.1:5".parse().unwrap()));
    client.say(reqmod_get("Allow: 204\r\nX-Client-IP: 192.168.3.67\r\n")).await;
    assert_eq!(client.answer().await.status(), 204);
}
