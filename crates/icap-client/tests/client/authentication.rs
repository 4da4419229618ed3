//! Servers that want credentials (RFC 3507 section 7.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use icap_client::{Authorization, Error, Refusal, Timeouts};
use icap_proto::StatusCode;

use crate::body::Frames;
use crate::peer::{CONTINUE, NO_CONTENT, get, passes, post, serve, text};

const REFUSAL: &str = "ICAP/1.0 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Token realm=\"r\"\r\n\r\n";

/// The credentials in a head.
fn shown(head: &str) -> Option<&str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case("Proxy-Authorization"))
        .map(|(_, value)| value)
}

/// A hook that gives `t1`, `t2` and so on, and counts.
fn tokens(
    lasting: bool,
) -> (
    Arc<AtomicUsize>,
    impl Fn(Refusal) -> std::future::Ready<Option<Authorization>> + Send + Sync + 'static,
) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let hook = move |refusal: Refusal| {
        assert!(!refusal.response().headers().get("Proxy-Authenticate").unwrap().is_empty());
        let value = format!("Token t{}", counter.fetch_add(1, Ordering::Relaxed) + 1);
        let once = if lasting { Authorization::lasting(value) } else { Authorization::once(value) };
        std::future::ready(Some(once))
    };
    (count, hook)
}

/// ICAP-280: the request goes once more, on the same connection, with its preview.
#[tokio::test]
async fn a_refused_request_is_sent_again_with_credentials() {
    for lasting in [false, true] {
        let (count, hook) = tokens(lasting);
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            assert_eq!(shown(&peer.head().await.0), None);
            peer.expect("2\r\nhe\r\n0\r\n\r\n").await;
            peer.write(REFUSAL).await;
            assert_eq!(shown(&peer.head().await.0), Some("Token t1"));
            peer.expect("2\r\nhe\r\n0\r\n\r\n").await;
            peer.write(CONTINUE).await;
            peer.expect("3\r\nllo\r\n0\r\n\r\n").await;
            peer.write("ICAP/1.0 500 Server Error\r\n\r\n").await;
            // What lasts goes with the next from the start.
            let head = peer.head().await.0;
            assert_eq!(shown(&head), lasting.then_some("Token t1"));
            peer.write(if lasting { NO_CONTENT } else { REFUSAL }).await;
            if !lasting {
                assert_eq!(shown(&peer.head().await.0), Some("Token t2"));
                peer.write(NO_CONTENT).await;
            }
        })
        .await;
        let client = client.preview(2).credentials(hook).build().unwrap();
        let failure = client.reqmod(post(Frames::new(&["hello"]))).await.unwrap_err();
        let status = failure.error().response().map(|response| response.status());
        assert_eq!(status, Some(StatusCode::INTERNAL_SERVER_ERROR));
        passes(client.reqmod(get()).await.unwrap());
        assert_eq!(count.load(Ordering::Relaxed), if lasting { 1 } else { 2 });
        server.await.unwrap();
    }
}

/// Once: a second refusal is the answer, with the message in hand. Credentials that are refused are forgotten.
#[tokio::test]
async fn a_second_refusal_stands() {
    let (count, hook) = tokens(true);
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for (expected, answer) in [
            (None, REFUSAL),
            (Some("Token t1"), REFUSAL),
            (None, REFUSAL),
            (Some("Token t2"), NO_CONTENT),
            (Some("Token t2"), REFUSAL),
            (Some("Token t3"), NO_CONTENT),
        ] {
            assert_eq!(shown(&peer.head().await.0), expected);
            peer.write(answer).await;
        }
    })
    .await;
    let client = client.credentials(hook).build().unwrap();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Status(_)) && failure.original().is_some());
    for _ in 0..2 {
        passes(client.reqmod(get()).await.unwrap());
    }
    assert_eq!(count.load(Ordering::Relaxed), 3);
    server.await.unwrap();
}

/// Credentials that the server takes no more are sent no more, though there are no others.
#[tokio::test]
async fn refused_credentials_are_forgotten() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for (expected, answer) in [
            (None, REFUSAL),
            (Some("Token t1"), NO_CONTENT),
            (Some("Token t1"), REFUSAL),
            (None, NO_CONTENT),
        ] {
            assert_eq!(shown(&peer.head().await.0), expected);
            peer.write(answer).await;
        }
    })
    .await;
    // The same again is no answer to its refusal.
    let hook = |_: Refusal| std::future::ready(Some(Authorization::lasting("Token t1")));
    let client = client.credentials(hook).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    assert!(client.reqmod(get()).await.unwrap_err().original().is_some());
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// A body that is gone cannot be sent again: the refusal is the answer, and nobody is asked for credentials.
#[tokio::test]
async fn a_body_that_is_gone_is_not_sent_again() {
    let (count, hook) = tokens(true);
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("0\r\n\r\n").await;
        peer.write(REFUSAL).await;
        peer.closed().await;
    })
    .await;
    let client = client.no_preview().credentials(hook).build().unwrap();
    let failure = client.reqmod(post(text("hello"))).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Status(_)) && failure.original().is_none());
    assert_eq!(count.load(Ordering::Relaxed), 0);
    drop(client);
    server.await.unwrap();
}

/// A server that closes behind its refusal gets the request on a new connection; a hook may have nothing to say.
#[tokio::test]
async fn a_refusal_may_end_the_connection() {
    let (client, server) = serve(|peer| async move {
        for (expected, answer) in [(None, REFUSAL), (Some("Token t1"), NO_CONTENT)] {
            let mut peer = peer.accept().await;
            assert_eq!(shown(&peer.head().await.0), expected);
            peer.write(answer.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
            peer.closed().await;
        }
        let mut last = peer.accept().await;
        last.head().await;
        last.write(REFUSAL).await;
    })
    .await;
    let once = client.credentials(tokens(false).1).build().unwrap();
    passes(once.reqmod(get()).await.unwrap());
    let uri = once.uri().clone();
    let mute = |_: Refusal| std::future::ready(None);
    let mute =
        icap_client::Client::builder(uri).negotiate(false).credentials(mute).build().unwrap();
    assert!(mute.reqmod(get()).await.unwrap_err().original().is_some());
    server.await.unwrap();
}

/// The time for the whole call is for the hook too.
#[tokio::test(start_paused = true)]
async fn a_hook_has_the_time_of_the_call() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(REFUSAL).await;
    })
    .await;
    let mut timeouts = Timeouts::default();
    timeouts.total = Duration::from_secs(5);
    let never = |_: Refusal| std::future::pending();
    let client = client.credentials(never).timeouts(timeouts).build().unwrap();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(failure.error().is_timeout() && failure.original().is_some());
    server.await.unwrap();
}

/// What a hook gives cannot leave its field, and is in no error and no debug output.
#[tokio::test]
async fn what_a_hook_gives_stays_in_its_field() {
    const SECRET: &str = "s3cret";
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(REFUSAL).await;
        peer.closed().await;
    })
    .await;
    let bad = Authorization::lasting(format!("Token {SECRET}\r\nX: y"));
    assert!(!format!("{bad:?}").contains(SECRET));
    let hook = move |_: Refusal| std::future::ready(Some(bad.clone()));
    let client = client.credentials(hook).build().unwrap();
    let failure = client.reqmod(get()).await.unwrap_err();
    assert!(matches!(failure.error(), Error::Invalid(_)) && failure.original().is_some());
    let shown = format!("{failure} {failure:?} {client:?}");
    assert!(!shown.contains(SECRET), "{shown}");
    drop(client);
    server.await.unwrap();
}

/// ICAP-282: the credentials of a user, and those that the caller put into a field, do not meet those of the hook.
#[tokio::test]
async fn nobody_else_s_credentials_are_sent() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        assert_eq!(shown(&peer.head().await.0), None);
        peer.write(NO_CONTENT).await;
        assert_eq!(shown(&peer.head().await.0), Some("Own 1"));
        peer.write(REFUSAL).await;
    })
    .await;
    let (count, hook) = tokens(true);
    let client = client.credentials(hook).build().unwrap();
    let request = http::Request::get("http://h/a").header("Proxy-Authorization", "Basic dTpw");
    let request = request.body(Frames::new(&[]).knows_end()).unwrap();
    passes(client.reqmod(request.try_into().unwrap()).await.unwrap());
    let own = get().header("Proxy-Authorization", "Own 1");
    client.reqmod(own).await.unwrap_err();
    assert_eq!(count.load(Ordering::Relaxed), 0);
    server.await.unwrap();
}

/// OPTIONS may need credentials as well; those that were taken there go with the message.
#[tokio::test]
async fn options_have_credentials_too() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        assert!(peer.head().await.0.starts_with("OPTIONS "));
        peer.write(REFUSAL).await;
        assert_eq!(shown(&peer.head().await.0), Some("Token t1"));
        peer.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n\r\n").await;
        assert_eq!(shown(&peer.head().await.0), Some("Token t1"));
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.negotiate(true).credentials(tokens(true).1).build().unwrap();
    passes(client.reqmod(get()).await.unwrap());
    server.await.unwrap();
}

/// ICAP-281, RFC 7617: a user and a password answer Basic and nothing else, in the field that was asked for.
#[cfg(feature = "identity")]
#[tokio::test]
async fn basic_credentials_answer_basic() {
    const BASIC: &str = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    for (status, field, challenge, expected) in [
        (407, "Proxy-Authenticate", "Negotiate, basic realm=\"r\"", Some("Proxy-Authorization")),
        (401, "WWW-Authenticate", "Basic realm=\"r\"", Some("Authorization")),
        (407, "Proxy-Authenticate", "Negotiate", None),
        (407, "WWW-Authenticate", "Basic realm=\"r\"", None),
        (403, "Proxy-Authenticate", "Basic realm=\"r\"", None),
    ] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            let head = peer.head().await.0;
            assert!(!head.contains("Basic"), "{head}");
            peer.write(format!("ICAP/1.0 {status} No\r\n{field}: {challenge}\r\n\r\n")).await;
            if let Some(answer) = expected {
                let head = peer.head().await.0;
                assert!(head.contains(&format!("\r\n{answer}: {BASIC}\r\n")), "{head}");
                peer.write(NO_CONTENT).await;
            }
            peer.closed().await;
        })
        .await;
        let credentials = icap_proto::BasicCredentials::new("Aladdin", "open sesame").unwrap();
        let client = client.credentials(credentials).build().unwrap();
        assert_eq!(client.reqmod(get()).await.is_ok(), expected.is_some());
        drop(client);
        server.await.unwrap();
    }
}
