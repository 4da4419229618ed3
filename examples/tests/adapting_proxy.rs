//! The program `adapting-proxy` between a user, an origin and ICAP services, on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use icap::Server;
use icap_examples::engine::{self, Engine};
use icap_examples::scan_service;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// More than a preview, and more than `scan-server` holds back.
const LARGE: usize = 300_000;

/// A running proxy; it ends with this.
struct Proxy {
    address: SocketAddr,
    _process: Child,
}

impl Proxy {
    async fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_adapting-proxy"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let line = within(lines.next_line()).await.expect("a line").expect("a line");
        let address = line.rsplit(' ').next().expect("an address").parse().expect("an address");
        Self { address, _process: process }
    }

    /// Sends `request` and gives all that comes back, and whether the connection ended without a reset.
    async fn raw(&self, request: &[u8]) -> (String, bool) {
        let mut stream = TcpStream::connect(self.address).await.expect("the proxy");
        stream.write_all(request).await.expect("the proxy reads");
        let mut got = Vec::new();
        let end = within(stream.read_to_end(&mut got)).await;
        (String::from_utf8_lossy(&got).into_owned(), end.is_ok())
    }
}

/// Nothing here takes long.
async fn within<F: Future>(work: F) -> F::Output {
    timeout(Duration::from_secs(20), work).await.expect("done in time")
}

/// An origin that tells what it was asked: the head of the request as text, or its body for `/echo`.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(tell));
            tokio::spawn(connection);
        }
    });
    address
}

async fn tell(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let response = Response::builder();
    let Ok(body) = body.collect().await else {
        return Ok(response.status(400).body(Full::default()).expect("a response"));
    };
    let response = match (parts.uri.path(), parts.method) {
        ("/same", _) => response.status(304).header("etag", "\"v\"").body(Full::default()),
        (_, Method::HEAD) => response.header("content-length", 99).body(Full::default()),
        ("/echo", _) => response.body(Full::new(body.to_bytes())),
        ("/large", _) => response.body(Full::new(clean(LARGE).into())),
        ("/eicar", _) => response.body(Full::new(engine::eicar().into())),
        (path, method) => {
            let mut text = format!("{method} {path}\n");
            for (name, value) in &parts.headers {
                text += &format!("{name}: {}\n", value.to_str().expect("text"));
            }
            response.header("connection", "x-hop").header("x-hop", "1").body(text.into())
        }
    };
    Ok(response.expect("a response"))
}

fn clean(bytes: usize) -> Vec<u8> {
    b"The quick brown fox jumps over the lazy dog.\n".iter().copied().cycle().take(bytes).collect()
}

/// The URI of a scan server.
async fn scan_server() -> String {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}", server.local_addr().expect("an address"));
    let server = scan_service::install(server, &Engine::new()).expect("three services");
    tokio::spawn(server.serve());
    uri
}

/// A proxy with a scan server on both ways.
async fn scanning() -> Proxy {
    let uri = scan_server().await;
    let (reqmod, respmod) = (format!("{uri}/reqmod"), format!("{uri}/respmod"));
    Proxy::start(&["--reqmod", &reqmod, "--respmod", &respmod]).await
}

fn get(origin: SocketAddr, path: &str) -> String {
    format!("GET http://{origin}{path} HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n")
}

/// What stands behind the head.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// What the chunks hold, if the last one is there.
fn chunked_text(mut rest: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (size, chunk) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        let (data, behind) = chunk.split_at_checked(size)?;
        text += data;
        rest = behind.strip_prefix("\r\n")?;
    }
}

#[tokio::test]
async fn fields_of_a_connection_stay_on_it() {
    let (proxy, origin) = (scanning().await, origin().await);
    let request = format!(
        "GET http://{origin}/a HTTP/1.1\r\nHost: other\r\nConnection: close, x-mine\r\nX-Mine: 1\r\n\
         Proxy-Authorization: Basic dTpw\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Kept: 1\r\n\r\n"
    );
    let (answer, _) = proxy.raw(request.as_bytes()).await;
    let told = format!("GET /a\nhost: {origin}\nx-kept: 1\nvia: 1.1 adapting-proxy\n");
    assert!(answer.ends_with(&told), "{answer}");
    assert!(!answer.contains("x-hop"), "{answer}");
    assert!(answer.contains("\r\nvia: 1.1 adapting-proxy\r\n"), "{answer}");
}

#[tokio::test]
async fn clean_bodies_pass_both_ways() {
    let (proxy, origin) = (scanning().await, origin().await);
    let text = String::from_utf8(clean(LARGE)).expect("text");
    let head = format!("POST http://{origin}/echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    let request = format!("{head}Content-Length: {LARGE}\r\n\r\n{text}");
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{LARGE:x}\r\n{text}\r\n0\r\n\r\n");
    for request in [request, chunked] {
        let (answer, _) = proxy.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{}", answer.len());
        assert!(chunked_text(body(&answer)).as_ref() == Some(&text), "{} bytes", answer.len());
    }
}

#[tokio::test]
async fn what_is_found_is_answered_with_a_page_both_ways() {
    let (proxy, origin) = (scanning().await, origin().await);
    let bad = String::from_utf8(engine::eicar()).expect("text");
    let length = bad.len();
    let upload = format!(
        "POST http://{origin}/echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{bad}"
    );
    for request in [upload, get(origin, "/eicar")] {
        let (answer, _) = proxy.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert!(answer.contains("<h1>") && !answer.contains(&bad), "{answer}");
    }
}

#[tokio::test]
async fn messages_without_a_body_keep_their_heads() {
    let (proxy, origin) = (scanning().await, origin().await);
    let head = get(origin, "/").replacen("GET", "HEAD", 1);
    let (answer, _) = proxy.raw(head.as_bytes()).await;
    assert!(answer.contains("\r\ncontent-length: 99\r\n") && body(&answer).is_empty(), "{answer}");
    let (answer, _) = proxy.raw(get(origin, "/same").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 304 Not Modified\r\netag: \"v\"\r\n"), "{answer}");
    assert_eq!(body(&answer), "");
}

#[tokio::test]
async fn a_tunnel_passes_bytes() {
    let (proxy, origin) = (scanning().await, origin().await);
    let mut stream = TcpStream::connect(proxy.address).await.expect("the proxy");
    let connect = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n");
    stream.write_all(connect.as_bytes()).await.expect("the proxy reads");
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        within(lines.read_line(&mut head)).await.expect("a head");
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    // A request in origin form, which the proxy itself would refuse.
    let request = "GET /in-tunnel HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    lines.write_all(request.as_bytes()).await.expect("the origin reads");
    let mut answer = String::new();
    within(lines.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.ends_with("GET /in-tunnel\nhost: h\nconnection: close\n"), "{answer}");
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_502() {
    let proxy = scanning().await;
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let connect = "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".into();
    for request in [get(nowhere, "/"), connect] {
        let (answer, _) = proxy.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_closes_or_opens_as_was_said() {
    let origin = origin().await;
    for (fail, status) in [(None, 503), (Some("closed"), 503), (Some("open"), 200)] {
        for service in ["--reqmod", "--respmod"] {
            let fail = fail.map_or(vec![], |fail| vec!["--fail", fail]);
            let arguments = [vec![service, "icap://127.0.0.1:1/x"], fail].concat();
            let proxy = Proxy::start(&arguments).await;
            let (answer, _) = proxy.raw(get(origin, "/").as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{arguments:?}: {answer}");
        }
    }
}

/// An ICAP server that dies in the middle of an answer.
async fn dies_in_mid_body() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}/x", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = if request.starts_with(b"OPTIONS") {
                "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nMethods: RESPMOD\r\nConnection: close\r\n\
                 Encapsulated: null-body=0\r\n\r\n"
            } else {
                "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
                 HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n"
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    uri
}

#[tokio::test]
async fn a_cut_body_never_looks_whole() {
    let (origin, uri) = (origin().await, dies_in_mid_body().await);
    // Failing open is no leave to cut what has begun.
    let proxy = Proxy::start(&["--respmod", &uri, "--fail", "open"]).await;
    let (answer, _) = proxy.raw(get(origin, "/large").as_bytes()).await;
    assert!(answer.contains("\r\ntransfer-encoding: chunked\r\n"), "{answer}");
    assert!(answer.ends_with("5\r\nhello\r\n"), "no last chunk: {answer}");
    // HTTP/1.0 has no chunks: the connection has to break.
    let old = get(origin, "/large").replacen("HTTP/1.1", "HTTP/1.0", 1);
    let (answer, ended) = proxy.raw(old.as_bytes()).await;
    assert!(answer.ends_with("hello") && !ended, "{answer}");
}
