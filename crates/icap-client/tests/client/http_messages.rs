//! Messages of the `http` crate on their way in and out.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use icap_client::{Error, Outcome, Reqmod, Respmod};

use crate::body::Frames;
use crate::peer::{
    CONTINUE, HELLO, NO_CONTENT, answered, modified, ok, read, serve, text, unmodified,
};

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

/// The fields as lines.
fn lines(fields: &HeaderMap) -> String {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}", value.to_str().unwrap())
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The request as it leaves behind a 204, or behind a failure.
async fn request_that_leaves(
    request: Request<Frames>,
    preview: u64,
    answer: &'static str,
) -> Request<icap_client::Replay<Frames>> {
    let (client, server) = serve(move |peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        if preview > 0 {
            peer.until("\r\n0\r\n\r\n").await;
        }
        peer.write(answer).await;
        peer.drain().await;
    })
    .await;
    let client = client.preview(preview).max_idle(0).build().unwrap();
    let outcome = client.reqmod(Reqmod::try_from(request).unwrap()).await;
    let request = match outcome.or_else(icap_client::Failure::bypass).unwrap() {
        Outcome::Unmodified(original) => original.into_request().unwrap(),
        Outcome::Bypassed(original) => original.into_request().unwrap(),
        _ => panic!("modified"),
    };
    server.await.unwrap();
    request
}

#[tokio::test]
async fn an_original_request_leaves_with_the_length_of_its_body() {
    // Whether the body knows its length, fields that come, fields that leave.
    let rows = [
        (true, "content-length", "5", "content-length: 5"),
        // A length that is not that of the body, and one that nothing bears out.
        (true, "content-length", "4", "content-length: 5"),
        (false, "content-length", "4", ""),
        (false, "transfer-encoding", "chunked", ""),
        (false, "upgrade", "h2c", ""),
        (false, "proxy-authorization", "Basic dTpw", ""),
        (false, "trailer", "x-sum", "trailer: x-sum"),
    ];
    for (sized, name, value, expected) in rows {
        for answer in [NO_CONTENT, "ICAP/1.0 503 Busy\r\n\r\n"] {
            let body = Frames::new(&["he", "llo"]).trailer("x-sum", "1");
            let body = if sized { body.sized() } else { body };
            let request = Request::post("/p").header(name, value).body(body).unwrap();
            let request = request_that_leaves(request, 4, answer).await;
            assert_eq!(request.version(), Version::HTTP_11);
            assert_eq!(lines(request.headers()), expected, "{name}: {value}");
            let body = request.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().map(lines).as_deref(), Some("x-sum: 1"));
            assert_eq!(body.to_bytes(), "hello");
        }
    }
}

/// Reading the body of a request is what asks a waiting user for it.
#[tokio::test]
async fn an_expectation_ends_where_the_body_was_read() {
    let expecting =
        |body: Frames| Request::post("/p").header("expect", "100-Continue").body(body).unwrap();
    let body = || Frames::new(&["hello", "!"]).knows_end();
    for (request, preview, stays) in [
        (expecting(body()), 0, true),
        (expecting(body()), 4, false),
        // One that HTTP does not know is for the origin.
        (Request::post("/p").header("expect", "x").body(body()).unwrap(), 4, true),
    ] {
        let request = request_that_leaves(request, preview, NO_CONTENT).await;
        assert_eq!(request.headers().contains_key("expect"), stays, "preview {preview}");
        assert_eq!(read(request.into_body()).await, "hello!");
    }

    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (_, http) = peer.head().await;
        assert!(http.contains("expect: 100-Continue"), "{http}");
        peer.until("ieof\r\n\r\n").await;
        let head = "POST /b HTTP/1.1\r\nExpect: 100-continue\r\n\r\n";
        let list = format!("Encapsulated: req-hdr=0, null-body={}", head.len());
        peer.write(format!("ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n{list}\r\n\r\n{head}")).await;
    })
    .await;
    let message = Reqmod::try_from(expecting(body().sized())).unwrap();
    let adapted = modified(client.build().unwrap().reqmod(message).await.unwrap());
    assert_eq!(lines(adapted.into_request().unwrap().headers()), "");
    server.await.unwrap();
}

#[tokio::test]
async fn an_original_response_leaves_as_its_method_wants_it() {
    // Method, status, body, fields that come, fields that leave.
    let rows = [
        ("GET", 200, "hello", "content-length", "4", "content-length: 5"),
        ("GET", 200, "", "transfer-encoding", "chunked", "content-length: 0"),
        ("HEAD", 200, "", "content-length", "99", "content-length: 99"),
        ("GET", 304, "", "content-length", "99", "content-length: 99"),
        ("GET", 304, "", "etag", "\"v\"", "etag: \"v\""),
        ("GET", 204, "", "content-length", "0", ""),
        ("CONNECT", 200, "", "content-length", "0", ""),
        ("GET", 200, "hello", "keep-alive", "5", "content-length: 5"),
    ];
    for (method, status, body, name, value, expected) in rows {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            let (icap, _) = peer.head().await;
            assert_eq!(icap.contains("null-body="), body.is_empty(), "{icap}");
            peer.write(NO_CONTENT).await;
        })
        .await;
        let response = Response::builder().status(status).header(name, value).body(text(body));
        let message = Respmod::try_from(response.unwrap()).unwrap();
        let original = unmodified(client.build().unwrap().respmod(message).await.unwrap());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = original.into_response(&method).unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(lines(response.headers()), expected, "{method} {status} {name}: {value}");
        assert_eq!(read(response.into_body()).await, body);
        server.await.unwrap();
    }
}

/// A block page that says 200 must not look like an open tunnel.
#[tokio::test]
async fn a_page_in_answer_to_connect_opens_no_tunnel() {
    for (status, leaves) in [(200, 403), (299, 403), (302, 302), (407, 407)] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            let (_, http) = peer.head().await;
            assert_eq!(http, "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n");
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
            let list = format!("Encapsulated: res-hdr=0, res-body={}", head.len());
            let body = "5\r\nHELLO\r\n0\r\n\r\n";
            peer.write(format!("ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n{list}\r\n\r\n{head}{body}"))
                .await;
        })
        .await;
        let request = Request::connect("a.example:443").body(text("")).unwrap();
        let outcome = client.build().unwrap().reqmod(Reqmod::try_from(request).unwrap()).await;
        let page = answered(outcome.unwrap()).into_response(&Method::CONNECT).unwrap();
        assert_eq!(page.status(), leaves);
        assert_eq!(lines(page.headers()), "");
        assert_eq!(read(page.into_body()).await, "HELLO");
        server.await.unwrap();
    }
}

/// The credentials of the request behind a response go the way of those in a request.
#[tokio::test]
async fn the_request_of_a_response_is_no_hop_by_hop_either() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        assert!(icap.contains("\r\nproxy-authorization: Basic dTpw\r\n"), "{icap}");
        assert!(icap.contains("\r\nproxy-authenticate: Basic\r\n"), "{icap}");
        assert_eq!(
            http,
            "GET /a HTTP/1.1\r\nhost: h\r\n\r\nHTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        );
        peer.write(NO_CONTENT).await;
    })
    .await;
    let request = Request::get("/a").header("host", "h").header("te", "trailers");
    let request = request.header("proxy-authorization", "Basic dTpw").body(()).unwrap();
    let response = Response::builder().status(407).header("proxy-authenticate", "Basic");
    let message = Respmod::try_from(response.body(text("")).unwrap()).unwrap();
    let message = message.request_of(&request).unwrap();
    let _ = unmodified(client.build().unwrap().respmod(message).await.unwrap());
    server.await.unwrap();
}

#[tokio::test]
async fn a_message_without_a_service_is_bridged_all_the_same() {
    let request = Request::post("http://u@a.example/p").header("connection", "x").header("x", "1");
    let request = Reqmod::try_from(request.body(text("hello")).unwrap()).unwrap();
    let request = request.skip().into_request().unwrap();
    assert_eq!(lines(request.headers()), "host: a.example\ncontent-length: 5");
    assert_eq!(read(request.into_body()).await, "hello");
    let response = Response::builder().header("connection", "x").header("x", "1").body(text("hi"));
    let response = Respmod::try_from(response.unwrap()).unwrap();
    let response = response.skip().into_response(&Method::GET).unwrap();
    assert_eq!(lines(response.headers()), "content-length: 2");
}

/// Both ways a body is a stream by what `http-body-util` has for it, and an error is one of the stream.
#[tokio::test]
async fn streams_go_in_and_come_out() {
    for whole in [true, false] {
        let (client, server) = serve(move |peer| async move {
            let mut peer = peer.accept().await;
            peer.head().await;
            peer.expect("2\r\nhe\r\n2\r\nll\r\n0\r\n\r\n").await;
            peer.write(CONTINUE).await;
            peer.expect("1\r\no\r\n0\r\n\r\n").await;
            let answer = ok("HELLO");
            let cut = if whole { 0 } else { 5 };
            peer.write(&answer[..answer.len() - cut]).await;
        })
        .await;
        let pieces = stream::iter(["he", "llo"]).map(|piece| Ok::<_, std::io::Error>(piece.into()));
        let response = Response::new(StreamBody::new(pieces.map_ok(Frame::<Bytes>::data)));
        let client = client.preview(4).build().unwrap();
        let message = Respmod::try_from(response).unwrap();
        let adapted = modified(client.respmod(message).await.unwrap());
        let got: Result<Vec<Bytes>, Error> = adapted.into_data_stream().try_collect().await;
        assert_eq!(got.map(|pieces| pieces.concat()).ok(), whole.then(|| b"HELLO".to_vec()));
        server.await.unwrap();
    }
}
