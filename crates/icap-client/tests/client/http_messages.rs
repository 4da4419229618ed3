//! Messages of the `http` crate on their way in and out.

use http::{Method, Request, Response, Version};
use icap_client::{Reqmod, Respmod};

use crate::peer::{HELLO, NO_CONTENT, answered, modified, read, serve, text, unmodified};

#[tokio::test]
async fn a_request_of_http2_goes_as_http1_and_its_proxy_credentials_to_the_icap_server() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        assert!(icap.contains("\r\nproxy-authorization: Basic dTpw\r\n"), "{icap}");
        assert_eq!(
            http,
            "POST https://a.example/p HTTP/1.1\r\nhost: a.example\r\nauthorization: Bearer x\r\ncookie: a=1; b=2\r\n\r\n"
        );
        peer.until("ieof\r\n\r\n").await;
        peer.write(NO_CONTENT).await;
    })
    .await;
    let request = Request::post("https://a.example/p")
        .version(Version::HTTP_2)
        .header("proxy-authorization", "Basic dTpw")
        .header("authorization", "Bearer x")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(text("hello"))
        .unwrap();
    let message = Reqmod::try_from(request).unwrap();
    let original = unmodified(client.build().unwrap().reqmod(message).await.unwrap());
    assert_eq!(original.head().to_request().unwrap().uri(), "https://a.example/p");
    assert_eq!(read(original).await, "hello");
    server.await.unwrap();
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_response_stay_behind() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        assert!(icap.contains("\r\nproxy-authenticate: Basic\r\n"), "{icap}");
        assert_eq!(http, "HTTP/1.1 200 OK\r\nwww-authenticate: Basic\r\n\r\n");
        peer.until("ieof\r\n\r\n").await;
        peer.write(HELLO).await;
    })
    .await;
    let response = Response::builder()
        .header("connection", "x-hop, www-authenticate")
        .header("x-hop", "1")
        .header("transfer-encoding", "chunked")
        .header("www-authenticate", "Basic")
        .header("proxy-authenticate", "Basic")
        .body(text("hello"))
        .unwrap();
    let message = Respmod::try_from(response).unwrap();
    let adapted = modified(client.build().unwrap().respmod(message).await.unwrap());
    let response = adapted.into_response(&Method::GET).unwrap();
    assert!(response.headers().is_empty(), "a Content-Length that nobody has checked");
    assert_eq!(read(response.into_body()).await, "HELLO");
    server.await.unwrap();
}

/// One field cannot hold the credentials of two, and those of the user are not for sharing.
#[tokio::test]
async fn own_credentials_take_the_place_of_those_of_the_user() {
    for (by_client, by_message) in [(true, false), (false, true)] {
        let (client, server) = serve(|peer| async move {
            let mut peer = peer.accept().await;
            let (icap, http) = peer.head().await;
            let lines = icap.lines().filter(|line| line.to_lowercase().starts_with("proxy-a"));
            assert_eq!(lines.collect::<Vec<_>>(), ["Proxy-Authorization: own"], "{icap}");
            assert!(!http.contains("user"), "{http}");
            peer.write(NO_CONTENT).await;
        })
        .await;
        let client = match by_client {
            true => client.header("Proxy-Authorization", "own"),
            false => client,
        };
        let request = Request::get("/").header("proxy-authorization", "user").body(text(""));
        let message = Reqmod::try_from(request.unwrap()).unwrap();
        let message = match by_message {
            true => message.header("Proxy-Authorization", "own"),
            false => message,
        };
        let _ = unmodified(client.build().unwrap().reqmod(message).await.unwrap());
        server.await.unwrap();
    }
}

#[test]
fn a_request_that_has_no_text_is_refused() {
    let request = Request::connect("https://a.example/chat").body(text("")).unwrap();
    assert!(Reqmod::try_from(request).is_err());
}

/// What leaves as HTTP is framed by its body, whatever the service says of it.
#[tokio::test]
async fn adapted_messages_are_framed_anew() {
    // Method, head of the answer, whether it has a body; the fields that leave.
    let rows = [
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n",
            true,
            "a: 1",
        ),
        ("GET", "HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n", false, "content-length: 0"),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n",
            false,
            "content-length: 99",
        ),
        ("GET", "HTTP/1.1 304 Same\r\nContent-Length: 1, 2\r\n\r\n", false, ""),
        (
            "POST",
            "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\nUpgrade: h2c\r\n\r\n",
            true,
            "",
        ),
        ("POST", "POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n", false, "content-length: 0"),
        // Other versions: without a length, libraries would send HTTP/1.0 without its body.
        ("POST", "POST /b HTTP/1.0\r\nContent-Length: 5\r\n\r\n", true, ""),
        ("POST", "POST /b HTTP/3.0\r\n\r\n", true, ""),
        ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", true, ""),
        ("GET", "HTTP/0.9 200 OK\r\n\r\n", true, ""),
        // The URI says whom the request is for.
        ("GET", "GET http://u@a:1/b HTTP/1.1\r\nHost: b\r\nHost: a\r\n\r\n", false, "host: a:1"),
        ("GET", "GET http://a/b HTTP/1.0\r\n\r\n", false, "host: a"),
    ];
    for (method, head, has_body, expected) in rows {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            let kind = if head.starts_with("HTTP") { "res" } else { "req" };
            let body = if has_body { kind } else { "null" };
            let chunks = if has_body { "5\r\nHELLO\r\n0\r\n\r\n" } else { "" };
            let list = format!("Encapsulated: {kind}-hdr=0, {body}-body={}", head.len());
            peer.write(format!("ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n{list}\r\n\r\n{head}{chunks}"))
                .await;
        })
        .await;
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(&method).uri("/").body(text("")).unwrap();
        let outcome =
            client.build().unwrap().reqmod(Reqmod::try_from(request).unwrap()).await.unwrap();
        let (fields, body) = if head.starts_with("HTTP") {
            let (parts, body) = answered(outcome).into_response(&method).unwrap().into_parts();
            assert_eq!(parts.version, Version::HTTP_11, "{head:?}");
            (parts.headers, body)
        } else {
            let (parts, body) = modified(outcome).into_request().unwrap().into_parts();
            assert_eq!(parts.uri.path(), "/b");
            assert_eq!(parts.version, Version::HTTP_11, "{head:?}");
            (parts.headers, body)
        };
        let lines =
            fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        assert_eq!(lines.collect::<Vec<_>>().join("\n"), expected, "{head:?}");
        assert_eq!(read(body).await, if has_body { "HELLO" } else { "" });
        server.await.unwrap();
    }
}
