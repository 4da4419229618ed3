//! What the server answers without a service, in which order it checks, and OPTIONS.

use std::time::Duration;

use icap_proto::{IsTag, Leniency, Limits, Method, ServiceOptions, StatusCode};
use icap_server::{Reply, RouteError, Server, service_fn};

use crate::support::*;

fn pass() -> Server {
    let reqmod = ServiceOptions::reqmod("Pass").unwrap();
    let tagged = reqmod.clone().istag(IsTag::new("pass-7").unwrap());
    server(|_| async { Ok(Reply::unmodified()) })
        .service("/reqmod", service_fn(tagged, |_| async { Ok(Reply::unmodified()) }))
        .unwrap()
        .service("/untagged", service_fn(reqmod, |_| async { Ok(Reply::unmodified()) }))
        .unwrap()
}

/// The status of one answer; the client checks that there is an `ISTag`.
async fn status_of(request: &str) -> u16 {
    let mut client = connect_to(pass());
    client.say(request).await;
    client.answer().await.status()
}

#[tokio::test]
async fn each_error_has_its_status() {
    let respmod_at = |path: &str| respmod("").replace("icap://s/x", path) + LAST;
    for (request, status) in [
        (respmod_at("icap://s/none"), 404),
        (respmod_at("icap://s/X"), 404),
        (respmod_at("icap://s/x/"), 404),
        (respmod_at("icap://s"), 404),
        (respmod_at("icap://s/reqmod"), 405),
        ("FROB icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n".into(), 501),
        ("options icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n".into(), 501),
        ("OPTIONS icap://s/x ICAP/1.1\r\nHost: s\r\n\r\n".into(), 505),
        ("OPTIONS icap://s/x HTTP/1.1\r\nHost: s\r\n\r\n".into(), 400),
        ("OPTIONS icap://s/x ICAP/1.0\r\nHost s\r\n\r\n".into(), 400),
        ("REQMOD icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n".into(), 400),
        (respmod("Preview: -1\r\n"), 400),
        (respmod("Encapsulated: res-body=0\r\n"), 400),
        ("\x16\x03\x01\x00\x05".into(), 400),
        (format!("OPTIONS icap://s/{} ICAP/1.0\r\n", "x".repeat(20_000)), 414),
    ] {
        assert_eq!(status_of(&request).await, status, "{request:.60}");
    }
}

#[tokio::test]
async fn the_first_check_that_fails_decides() {
    // Syntax, version, method, service, method of the service.
    let all = "FROB icap://s/none ICAP/1.1\r\nHost: s\r\nbad\r\n\r\n";
    assert_eq!(status_of(all).await, 400);
    assert_eq!(status_of(&all.replace("bad\r\n", "")).await, 505);
    assert_eq!(status_of(&all.replace("bad\r\n", "").replace("1.1", "1.0")).await, 501);
    assert_eq!(status_of(&respmod("").replace("/x", "/none")).await, 404);
    assert_eq!(status_of(&respmod("").replace("/x", "/reqmod")).await, 405);
}

#[tokio::test]
async fn an_error_on_a_whole_request_keeps_the_connection() {
    let mut client = connect_to(pass());
    client.say("OPTIONS icap://s/none ICAP/1.0\r\nHost: s\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (404, false));
    client.say(respmod("Preview: 0\r\n") + LAST).await;
    assert_eq!(client.answer().await.status(), 204);
}

#[tokio::test]
async fn an_error_inside_a_request_closes() {
    let mut client = connect_to(pass());
    client.say(respmod("").replace("/x", "/none")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (404, true));
    assert!(client.is_closed().await);
}

/// What is left of a preview is bounded, so the connection is worth keeping.
#[tokio::test]
async fn an_error_inside_a_preview_keeps_the_connection() {
    let mut client = connect_to(pass());
    client.say(respmod("Preview: 4\r\n").replace("/x", "/none") + "2\r\nab\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (404, false));
    client.say("2\r\ncd\r\n0\r\n\r\n").await;
    client.say(respmod("Preview: 0\r\n") + LAST).await;
    assert_eq!(client.answer().await.status(), 204);
    // A preview as long as this one is not waited for.
    client.say(respmod("Preview: 10000000\r\n").replace("/x", "/none")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.head.close()), (404, true));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn strict_is_possible() {
    let no_host = "OPTIONS icap://s/x ICAP/1.0\r\n\r\n";
    assert_eq!(status_of(no_host).await, 200);
    let mut client = connect_to(pass().leniency(Leniency::strict()));
    client.say(no_host).await;
    assert_eq!(client.answer().await.status(), 400);
}

#[tokio::test]
async fn limits_are_kept() {
    let request = "OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n";
    for (bytes, status) in [(request.len(), 200), (request.len() - 1, 400)] {
        let mut limits = Limits::default();
        limits.head_bytes = bytes;
        let mut client = connect_to(pass().limits(limits));
        client.say(request).await;
        assert_eq!(client.answer().await.status(), status);
    }
}

#[tokio::test]
async fn options_are_answered_for_every_service() {
    let mut client = connect_to(pass());
    client.say("OPTIONS icap://s/x?a=b ICAP/1.0\r\nHost: s\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.encapsulated().as_str()), (200, "null-body=0"));
    let options = ServiceOptions::from_response(&answer.head);
    assert_eq!(options.methods(), [Method::Respmod, Method::Reqmod]);
    assert_eq!((options.preview_bytes(), options.allow().no_content), (Some(4), true));
    assert_eq!(answer.field("ISTag"), Some("\"test-1\""));

    client.say("OPTIONS icap://s/reqmod ICAP/1.0\r\nHost: s\r\n\r\n").await;
    assert_eq!(client.answer().await.field("ISTag"), Some("\"pass-7\""));
    client.say("OPTIONS icap://s/untagged ICAP/1.0\r\nHost: s\r\n\r\n").await;
    assert!(client.answer().await.field("ISTag").unwrap().starts_with("\"start-"));
}

/// The server gives it to whoever allows it, so whoever looks first is to know.
#[tokio::test]
async fn options_offer_204_for_every_service() {
    let bare = ServiceOptions::respmod("Bare 1.0").unwrap();
    let bare = service_fn(bare, |_| async { Ok(Reply::unmodified()) });
    let mut client = connect_to(Server::new().service("/x", bare).unwrap());
    client.say("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n\r\n").await;
    assert_eq!(client.answer().await.field("Allow"), Some("204"));
    client.say(respmod("Allow: 204\r\n") + LAST).await;
    assert_eq!(client.answer().await.status(), 204);
}

/// 206 and trailers are extensions: who does not name them need not know them.
#[tokio::test]
async fn options_offer_the_extensions_that_were_asked_for() {
    let all = options().allow_partial_content().allow_trailers();
    let all = service_fn(all, |_| async { Ok(Reply::unmodified()) });
    let mut client = connect_to(Server::new().service("/x", all).unwrap());
    for (asked, offered) in [
        ("", "204"),
        ("Allow: 204\r\n", "204"),
        ("Allow: 206\r\n", "204, 206"),
        ("Allow: 204, trailers\r\n", "204, trailers"),
        ("Allow: trailers\r\nAllow: 206\r\n", "204, 206, trailers"),
    ] {
        client.say(format!("OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\n{asked}\r\n")).await;
        assert_eq!(client.answer().await.field("Allow"), Some(offered), "{asked:?}");
    }
}

#[tokio::test]
async fn the_body_of_options_is_thrown_away() {
    let mut client = connect_to(pass());
    let options = "OPTIONS icap://s/x ICAP/1.0\r\nHost: s\r\nEncapsulated: opt-body=0\r\n\r\n";
    for _ in 0..2 {
        client.say(options.to_owned() + "3\r\nabc\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn every_answer_has_the_tag_of_its_service() {
    let mut client = connect(|request| async move {
        let (head, preview) = request.preview().await?;
        match preview.bytes().first() {
            Some(b'u') => Ok(Reply::unmodified()),
            Some(b'e') => Ok(Reply::error(StatusCode::FORBIDDEN)),
            Some(b'f') => Err("failed".into()),
            _ => {
                Ok(Reply::modified(head.http_response().unwrap().clone(), preview.proceed().await?))
            }
        }
    });
    for (preview, statuses) in [("u", &[204][..]), ("e", &[403]), ("f", &[500]), ("o", &[100, 200])]
    {
        client.say(respmod("Preview: 4\r\n") + &format!("1\r\n{preview}\r\n0\r\n\r\n")).await;
        for status in statuses {
            let head = client.head().await;
            assert_eq!(head.status().as_u16(), *status);
            assert_eq!(head.headers().get("ISTag"), Some(&b"\"test-1\""[..]));
        }
    }
}

#[tokio::test]
async fn a_new_tag_is_seen_at_once() {
    struct Counting(std::sync::atomic::AtomicU32);
    impl icap_server::Service for Counting {
        fn options(&self) -> ServiceOptions {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let tag = IsTag::new(&format!("{count}")).unwrap();
            ServiceOptions::reqmod("Counting").unwrap().istag(tag).ttl(Duration::from_secs(60))
        }
        async fn call(&self, _: icap_server::Request) -> Result<Reply, icap_server::Error> {
            Ok(Reply::unmodified())
        }
    }
    let service = Counting(0.into());
    let mut client = connect_to(Server::new().service("/x", service).unwrap());
    for tag in ["\"1\"", "\"2\"", "\"3\""] {
        client.say(reqmod_get("Preview: 0\r\n")).await;
        assert_eq!(client.answer().await.field("ISTag"), Some(tag));
    }
}

#[test]
fn services_that_cannot_be_added() {
    let pass = |path| {
        Server::new()
            .service("/x", service(|_| async { Ok(Reply::unmodified()) }))
            .unwrap()
            .service(path, service(|_| async { Ok(Reply::unmodified()) }))
            .map(|_| ())
    };
    assert_eq!(pass("/x"), Err(RouteError::Duplicate("/x".into())));
    assert_eq!(pass("y"), Err(RouteError::Path("y".into())));
    assert_eq!(pass("/y?z"), Err(RouteError::Path("/y?z".into())));
    assert_eq!(pass("/y"), Ok(()));
    let none = service_fn(ServiceOptions::default(), |_| async { Ok(Reply::unmodified()) });
    assert!(matches!(Server::new().service("/x", none), Err(RouteError::Options(..))));
}
