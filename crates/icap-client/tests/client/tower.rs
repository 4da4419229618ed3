//! The layer around a service.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use icap_client::{IcapBody, IcapLayer, OnFailure};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::body::Live;
use crate::peer::{HELLO, NO_CONTENT, Peer, ok, read, serve, text};

/// A page for whoever asks, with the request line in it and the extension of the request.
async fn page(request: Request<IcapBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = read(body).await;
    let text = format!("{} {} {:?} {body}", parts.method, parts.uri, parts.extensions.get::<u8>());
    Ok(Response::builder().header("x-page", "1").extension(7u16).body(text.into()).unwrap())
}

/// A service that must not be asked.
async fn never(_: Request<IcapBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    panic!("the inner service was asked")
}

fn upload() -> Request<Full<Bytes>> {
    let request = Request::post("/up").header("upgrade", "x").extension(5u8);
    request.header("connection", "upgrade").version(Version::HTTP_10).body(text("hello")).unwrap()
}

/// A modified request with `HELLO` as its body.
fn modified_request() -> String {
    let head = "PUT /b HTTP/1.1\r\nHost: h\r\n\r\n";
    format!(
        "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nEncapsulated: req-hdr=0, req-body={}\r\n\r\n{head}5\r\nHELLO\r\n0\r\n\r\n",
        head.len()
    )
}

#[tokio::test]
async fn requests_and_responses_go_past_their_services() {
    let (reqmod, requests) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        assert!(icap.starts_with("REQMOD "), "{icap}");
        assert_eq!(http, "POST /up HTTP/1.0\r\n\r\n");
        peer.until("ieof\r\n\r\n").await;
        peer.write(modified_request()).await;
    })
    .await;
    let (respmod, responses) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, http) = peer.head().await;
        assert!(icap.starts_with("RESPMOD "), "{icap}");
        // The request that the inner service got.
        assert_eq!(http, "PUT /b HTTP/1.1\r\nhost: h\r\n\r\nHTTP/1.1 200 OK\r\nx-page: 1\r\n\r\n");
        assert_eq!(
            peer.until("ieof\r\n\r\n").await,
            "14\r\nPUT /b Some(5) HELLO\r\n0; ieof\r\n\r\n"
        );
        peer.write(ok("done")).await;
    })
    .await;
    let layer = IcapLayer::new(OnFailure::Refuse)
        .reqmod(reqmod.build().unwrap())
        .respmod(respmod.build().unwrap());
    let response = layer.layer(service_fn(page)).oneshot(upload()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&7u16));
    assert_eq!(read(response.into_body()).await, "done");
    requests.await.unwrap();
    responses.await.unwrap();
}

/// A layer is no hop: what a service leaves alone is as it was.
#[tokio::test]
async fn unmodified_messages_pass_with_all_that_belongs_to_them() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        for end in ["ieof\r\n\r\n", "ieof\r\n\r\n"] {
            peer.head().await;
            peer.until(end).await;
            peer.write(NO_CONTENT).await;
        }
    })
    .await;
    let client = client.build().unwrap();
    let layer = IcapLayer::new(OnFailure::Refuse).reqmod(client.clone()).respmod(client);
    let inner = service_fn(async |request: Request<IcapBody>| {
        assert_eq!(request.version(), Version::HTTP_10);
        assert_eq!(request.headers()["upgrade"], "x");
        assert_eq!(request.headers()["connection"], "upgrade");
        page(request).await
    });
    let response = layer.layer(inner).oneshot(upload()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&7u16));
    assert_eq!(read(response.into_body()).await, "POST /up Some(5) hello");
    server.await.unwrap();
}

#[tokio::test]
async fn a_block_page_is_the_answer_at_once() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(HELLO).await;
    })
    .await;
    let client = client.build().unwrap();
    // RESPMOD would be a second call, of which the script knows nothing.
    let layer = IcapLayer::new(OnFailure::Bypass).reqmod(client.clone()).respmod(client);
    let response = layer.layer(service_fn(never)).oneshot(upload()).await.unwrap();
    assert_eq!(read(response.into_body()).await, "HELLO");
    server.await.unwrap();
}

#[tokio::test]
async fn failures_do_what_was_chosen() {
    let refuses = |peer: Peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write("ICAP/1.0 500 Server Error\r\nConnection: close\r\n\r\n").await;
        peer.drain().await;
    };
    for (on_failure, body) in
        [(OnFailure::Refuse, ""), (OnFailure::Bypass, "POST /up Some(5) hello")]
    {
        for requests in [true, false] {
            let (client, server) = serve(refuses).await;
            let client = client.build().unwrap();
            let layer = IcapLayer::new(on_failure);
            let layer = if requests { layer.reqmod(client) } else { layer.respmod(client) };
            let response = layer.layer(service_fn(page)).oneshot(upload()).await.unwrap();
            let status = if body.is_empty() { 503 } else { 200 };
            assert_eq!(response.status(), status, "{on_failure:?} {requests}");
            assert_eq!(read(response.into_body()).await, body);
            server.await.unwrap();
        }
    }
}

/// What is gone cannot pass, whatever was chosen.
#[tokio::test]
async fn a_message_that_is_not_whole_is_never_bypassed() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.until("hello\r\n").await;
    })
    .await;
    let client = client.no_preview().build().unwrap();
    let (sender, body) = Live::new();
    sender.send("hello");
    let layer = IcapLayer::new(OnFailure::Bypass).reqmod(client);
    let request = Request::post("/up").body(body).unwrap();
    let response = layer.layer(service_fn(never)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    server.await.unwrap();
}

#[tokio::test]
async fn a_cut_answer_is_an_error_of_the_body() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        peer.head().await;
        peer.write(&HELLO[..HELLO.len() - 5]).await;
    })
    .await;
    let layer = IcapLayer::new(OnFailure::Bypass).respmod(client.build().unwrap());
    let response = layer.layer(service_fn(page)).oneshot(upload()).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    server.await.unwrap();
}

/// Nobody gets by with a request that ICAP cannot express.
#[tokio::test]
async fn a_request_without_text_is_refused_whatever_was_chosen() {
    for requests in [true, false] {
        let peer = Peer::bind().await;
        let client = peer.client().build().unwrap();
        let layer = IcapLayer::new(OnFailure::Bypass);
        let layer = if requests { layer.reqmod(client) } else { layer.respmod(client) };
        let request = Request::get("/").header("host", "a").header("host", "b").body(text(""));
        let response = layer.layer(service_fn(never)).oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}

/// A tunnel and an upgrade are no messages; all other answers are.
#[tokio::test]
async fn what_ends_http_is_not_adapted() {
    for (method, status, adapted) in
        [("CONNECT", 200, false), ("GET", 101, false), ("CONNECT", 407, true), ("GET", 200, true)]
    {
        let (client, server) = serve(move |peer| async move {
            if adapted {
                let mut peer = peer.accept().await;
                peer.head().await;
                peer.write(ok("page")).await;
            }
        })
        .await;
        let layer = IcapLayer::new(OnFailure::Refuse).respmod(client.build().unwrap());
        let inner = service_fn(move |_: Request<IcapBody>| {
            let response = Response::builder().status(status).body(text("")).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let uri = if method == "CONNECT" { "a.example:443" } else { "/" };
        let request = Request::builder().method(method).uri(uri).body(text("")).unwrap();
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        if !adapted {
            assert_eq!(response.status(), status, "{method}");
        }
        assert_eq!(read(response.into_body()).await, if adapted { "page" } else { "" }, "{method}");
        server.await.unwrap();
    }
}

/// Both clients are a matter of choice, and the pieces of a user's request are in no other place.
#[tokio::test]
async fn without_clients_all_passes() {
    let layer = IcapLayer::new(OnFailure::Refuse);
    let response = layer.layer(service_fn(page)).oneshot(upload()).await.unwrap();
    assert_eq!(read(response.into_body()).await, "POST /up Some(5) hello");
}

/// A service that has to be asked whether it is ready, each clone for itself.
#[derive(Debug, Default)]
struct Exacting {
    ready: AtomicBool,
}

impl Clone for Exacting {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<IcapBody>> for Exacting {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<IcapBody>) -> Self::Future {
        assert!(self.ready.swap(false, Ordering::Relaxed), "called without being ready");
        std::future::ready(Ok(Response::new(text("ready"))))
    }
}

#[tokio::test]
async fn it_is_the_service_that_was_ready_that_is_called() {
    let mut service = IcapLayer::new(OnFailure::Refuse).layer(Exacting::default());
    for _ in 0..2 {
        let request = Request::builder().method(Method::GET).body(text("")).unwrap();
        let service = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap();
        assert_eq!(read(service.call(request).await.unwrap().into_body()).await, "ready");
    }
}

/// The length that a HEAD speaks of stays.
#[tokio::test]
async fn the_answer_to_a_head_keeps_its_length() {
    let (client, server) = serve(|peer| async move {
        let mut peer = peer.accept().await;
        let (icap, _) = peer.head().await;
        assert!(icap.contains("null-body="), "{icap}");
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
        let list = format!("Encapsulated: res-hdr=0, null-body={}", head.len());
        peer.write(format!("ICAP/1.0 200 OK\r\nISTag: \"t\"\r\n{list}\r\n\r\n{head}")).await;
    })
    .await;
    let layer = IcapLayer::new(OnFailure::Refuse).respmod(client.build().unwrap());
    let inner = service_fn(async |_: Request<IcapBody>| {
        Ok::<_, Infallible>(
            Response::builder().header("content-length", 98).body(text("")).unwrap(),
        )
    });
    let request = Request::head("/").body(text("")).unwrap();
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let expected: HeaderMap = [(http::header::CONTENT_LENGTH, 99.into())].into_iter().collect();
    assert_eq!(response.headers(), &expected);
    server.await.unwrap();
}
