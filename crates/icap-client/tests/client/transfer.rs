//! What a service says in OPTIONS, and what its messages look like then (RFC 3507 section 4.10.2).

use std::time::Duration;

use icap_client::{ClientBuilder, Outcome, Reqmod};
use icap_proto::{HttpHead, ServiceOptions};
use tokio::time::sleep;

use crate::body::Frames;
use crate::peer::{NO_CONTENT, get, page, passes, post, read, serve, text};

/// The ICAP head of the request that a client sends for `message` to a service that says `fields`; none when it
/// sends nothing.
async fn sent<B>(
    fields: &'static str,
    set: impl FnOnce(ClientBuilder) -> ClientBuilder,
    message: Reqmod<B>,
) -> Option<String>
where
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
    B::Error: Into<icap_client::BoxError>,
{
    let (client, server) = serve(move |peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(format!("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nISTag: \"t\"\r\n{fields}\r\n"))
            .await;
        let head = peer.head().await.0;
        peer.write("ICAP/1.0 500 Server Error\r\nConnection: close\r\n\r\n").await;
        head
    })
    .await;
    let client = set(client.negotiate(true)).build().unwrap();
    match client.reqmod(message).await {
        Ok(Outcome::Ignored(original)) => {
            server.abort();
            assert!(original.head().is_request());
            None
        }
        Ok(_) => panic!("not the error of the script"),
        Err(_) => Some(server.await.unwrap()),
    }
}

fn upload(path: &str) -> Reqmod<Frames> {
    let head = HttpHead::request("PUT", path, [("Host", "h")]).unwrap();
    Reqmod::new(head, Frames::new(&["0123456789"]))
}

/// ICAP-171, ICAP-213: no more preview than the service asks for, and none where it does not.
#[tokio::test]
async fn a_preview_is_what_the_service_asks_for() {
    type Set = fn(ClientBuilder) -> ClientBuilder;
    let unset: Set = |client| client;
    let five: Set = |client| client.preview(5);
    let never: Set = |client| client.no_preview();
    for (fields, set, expected) in [
        ("Preview: 4\r\nTransfer-Preview: *\r\n", unset, Some("4")),
        ("Preview: 4\r\nTransfer-Preview: *\r\n", five, Some("4")),
        ("Preview: 6\r\nTransfer-Preview: *\r\n", five, Some("5")),
        ("Preview: 0\r\nTransfer-Preview: *\r\n", five, Some("0")),
        ("Preview: 4\r\nTransfer-Preview: *\r\n", never, None),
        ("Preview: 99999999999\r\nTransfer-Preview: *\r\n", unset, Some("65536")),
        // Without rules everything goes whole.
        ("Preview: 4\r\n", five, None),
        ("Transfer-Preview: *\r\n", five, None),
        ("", five, None),
        ("", unset, None),
    ] {
        let head = sent(fields, set, upload("/a")).await.unwrap();
        let preview = head.lines().find_map(|line| line.strip_prefix("Preview: "));
        assert_eq!(preview, expected, "{fields}");
    }
}

/// ICAP-213 to ICAP-215: each treatment, by extension and by `*`.
#[tokio::test]
async fn files_are_sent_as_their_extension_says() {
    let fields = "Preview: 4\r\nTransfer-Preview: exe\r\nTransfer-Ignore: gif, JPG\r\nTransfer-Complete: *\r\n";
    for (path, expected) in [
        ("/a.exe", Some(true)),
        ("http://h/b/A.EXE?x=.gif", Some(true)),
        ("/a.gif", None),
        ("/a.jpg#x", None),
        ("/a.txt", Some(false)),
        ("/gif", Some(false)),
    ] {
        let head = sent(fields, |client| client, upload(path)).await;
        assert_eq!(head.map(|head| head.contains("Preview: 4\r\n")), expected, "{path}");
    }
    for (fields, expected) in [
        ("Preview: 4\r\nTransfer-Preview: *\r\n", Some(true)),
        ("Preview: 4\r\nTransfer-Ignore: *\r\n", None),
        ("Preview: 4\r\nTransfer-Complete: *\r\n", Some(false)),
    ] {
        let head = sent(fields, |client| client, upload("/a.any")).await;
        assert_eq!(head.map(|head| head.contains("Preview: 4\r\n")), expected, "{fields}");
    }
}

/// What is ignored has been seen by nobody: who wants it seen says so, for all messages or for one.
#[tokio::test]
async fn what_is_ignored_can_be_sent_all_the_same() {
    let fields = "Preview: 4\r\nTransfer-Ignore: gif\r\nTransfer-Preview: *\r\n";
    assert!(sent(fields, |client| client, upload("/a.gif")).await.is_none());
    let head = sent(fields, |client| client.transfer_ignore(false), upload("/a.gif")).await;
    assert!(!head.unwrap().contains("Preview"));
    let head = sent(fields, |client| client, upload("/a.gif").never_ignored()).await;
    assert!(head.is_some());
}

/// The message that was not sent comes back whole; a response has the extension of its request, or none.
#[tokio::test]
async fn an_ignored_message_comes_back() {
    let options = ServiceOptions::respmod("s").unwrap();
    let rules = icap_proto::TransferRules::new(icap_proto::Transfer::Ignore);
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let client = client.options(options.transfer(rules)).build().unwrap();
    let Outcome::Ignored(original) = client.respmod(page(text("hello"))).await.unwrap() else {
        panic!("not ignored")
    };
    assert_eq!(original.head().status(), Some(200));
    assert_eq!(read(original).await, "hello");
    let head = HttpHead::response(200, "OK", [("Content-Type", "text/plain")]).unwrap();
    let unknown = icap_client::Respmod::new(head, Frames::new(&[]).knows_end());
    passes(client.respmod(unknown).await.unwrap());
    server.await.unwrap();
}

/// 204 and 206 outside the preview only where the service offers them.
#[tokio::test]
async fn only_what_is_offered_is_allowed() {
    let set = |client: ClientBuilder| client.replay_limit(100).icap_trailers(false);
    for (fields, allow) in [
        ("", None),
        ("Allow: 204\r\n", Some("204")),
        ("Allow: 204, 206\r\n", Some("204, 206")),
        ("Allow: 206\r\n", None),
        ("Allow: 206\r\nPreview: 2\r\nTransfer-Preview: *\r\n", Some("206")),
    ] {
        let head = sent(fields, set, post(text("hello"))).await.unwrap();
        let allowed = head.lines().find_map(|line| line.strip_prefix("Allow: "));
        assert_eq!(allowed, allow, "{fields}");
    }
}

/// A preview of the service's size is kept, as one of the caller's is: the message comes back from a failure, and
/// one that is beyond it does not.
#[tokio::test]
async fn a_preview_is_kept_in_the_size_of_the_service() {
    for (preview, whole) in [("Preview: 10\r\nTransfer-Preview: *\r\n", true), ("", false)] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.write(format!("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n{preview}\r\n")).await;
            peer.head().await;
            peer.until("0123456789\r\n").await;
        })
        .await;
        let client = client.negotiate(true).build().unwrap();
        let failure = client.reqmod(upload("/a")).await.unwrap_err();
        assert_eq!(failure.original().is_some(), whole, "{failure}");
        server.await.unwrap();
    }
}

/// ICAP-219: the limit holds from the first message on.
#[tokio::test(start_paused = true)]
async fn max_connections_hold_unasked() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write("ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nMax-Connections: 1\r\n\r\n").await;
        for _ in 0..3 {
            peer.head().await;
            sleep(Duration::from_millis(100)).await;
            peer.write(NO_CONTENT).await;
        }
    })
    .await;
    let client = client.negotiate(true).build().unwrap();
    let calls = tokio::join!(client.reqmod(get()), client.reqmod(get()), client.reqmod(get()));
    for outcome in [calls.0, calls.1, calls.2] {
        passes(outcome.unwrap());
    }
    server.await.unwrap();
}

/// A 503 says that this connection was one too many: for a minute there is one less.
#[tokio::test(start_paused = true)]
async fn a_503_lowers_the_number_of_connections() {
    let (client, server) = serve(|peer| async move {
        let (mut one, mut two) = (peer.accept().await, peer.accept().await);
        one.head().await;
        two.head().await;
        two.write("ICAP/1.0 503 Service Overloaded\r\n\r\n").await;
        two.closed().await;
        sleep(Duration::from_millis(100)).await;
        one.write(NO_CONTENT).await;
        // Two calls, one after the other.
        for _ in 0..2 {
            one.head().await;
            sleep(Duration::from_millis(100)).await;
            one.write(NO_CONTENT).await;
        }
        // Two at the same time.
        one.head().await;
        let mut three = peer.accept().await;
        three.head().await;
        one.write(NO_CONTENT).await;
        three.write(NO_CONTENT).await;
    })
    .await;
    let client = client.max_idle_age(Duration::from_secs(100)).build().unwrap();
    let both = || async { tokio::join!(client.reqmod(get()), client.reqmod(get())) };
    let (first, second) = both().await;
    assert!(first.is_ok() != second.is_ok());
    sleep(Duration::from_secs(55)).await;
    let (first, second) = both().await;
    passes(first.unwrap());
    passes(second.unwrap());
    sleep(Duration::from_secs(5)).await;
    let (first, second) = both().await;
    passes(first.unwrap());
    passes(second.unwrap());
    server.await.unwrap();
}

/// ICAP-306: a service that says which fields it wants gets no others; one that says nothing gets all.
#[cfg(feature = "identity")]
#[tokio::test]
async fn the_identity_is_what_the_service_wants() {
    use icap_proto::{Encoding, Identity, Principal};

    let identity = || {
        let user = Principal::uri("Local", "mike").unwrap();
        let group = Principal::new("staff", Encoding::Plain).unwrap();
        let identity = Identity::new().with_client_ip("10.1.2.3".parse().unwrap());
        let identity = identity.with_server_ip("::1".parse().unwrap()).with_user(user);
        identity.with_subscriber_id("s1").unwrap().with_group(group).unwrap()
    };
    let all = [
        "X-Client-IP: 10.1.2.3",
        "X-Server-IP: ::1",
        "X-Subscriber-ID: s1",
        "X-Authenticated-User: TG9jYWw6Ly9taWtl",
        "X-Authenticated-Groups: staff",
    ];
    for (fields, wanted) in [
        ("", &all[..]),
        ("X-Include: X-Client-IP, x-authenticated-user, X-Unknown\r\n", &[all[0], all[3]][..]),
    ] {
        let message = get().identity(identity()).header("X-Own", "1");
        let head = sent(fields, |client| client, message).await.unwrap();
        let sent: Vec<_> = head.lines().filter(|line| all.contains(line)).collect();
        assert_eq!(sent, wanted, "{head}");
        assert!(head.contains("\r\nX-Own: 1\r\n"));
    }
}
