//! A forward proxy that sends every message past ICAP services.
//!
//! ```text
//! adapting-proxy --reqmod icap://127.0.0.1:1344/reqmod --respmod icap://127.0.0.1:1344/respmod
//! ```
//!
//! `docs/embedding.md` goes through this file line by line.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::header::{HeaderValue, VIA};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as Frames;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{self, OnUpgrade};
use hyper_util::client::legacy::{Client as Origins, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use icap::client::{BoxError, Failure};
use icap::{Client, Outcome, Reqmod, Respmod, ServiceUri};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Until the head of a response, the upload in front of it included.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);
const OWN_VIA: HeaderValue = HeaderValue::from_static("1.1 adapting-proxy");

#[derive(Debug, Parser)]
#[command(version, about = "A forward proxy that sends every message past ICAP services")]
struct Arguments {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The service for requests, such as icap://127.0.0.1:1344/reqmod
    #[arg(long, value_name = "URI")]
    reqmod: Option<ServiceUri>,
    /// The service for responses, such as icap://127.0.0.1:1344/respmod
    #[arg(long, value_name = "URI")]
    respmod: Option<ServiceUri>,
    /// When a service fails: pass messages on unseen, or refuse them
    #[arg(long, value_enum, default_value = "closed")]
    fail: Fail,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Fail {
    Open,
    Closed,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let arguments = Arguments::parse();
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_LIMIT));
    let client = |uri: ServiceUri| Client::builder(uri).transfer_ignore(false).build();
    let proxy = Arc::new(Proxy {
        reqmod: arguments.reqmod.map(client).transpose()?,
        respmod: arguments.respmod.map(client).transpose()?,
        fail: arguments.fail,
        origins: Origins::builder(TokioExecutor::new()).build(connector),
    });
    let listener = TcpListener::bind(arguments.listen).await?;
    println!("adapting-proxy: listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&proxy).serve(stream))),
            // Out of descriptors, for example: that passes.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Why a request is answered by the proxy itself.
struct Refusal(StatusCode, String);
type Answer = Result<Response<Body>, Refusal>;

struct Proxy {
    reqmod: Option<Client>,
    respmod: Option<Client>,
    fail: Fail,
    origins: Origins<HttpConnector, Body>,
}

impl Proxy {
    async fn serve(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let stream = stream.into_std()?;
        let user = TcpStream::from_std(stream.try_clone()?)?;
        let handle = service_fn(|request| self.handle(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(TcpStream::from_std(stream)?), handle)
            .with_upgrades();
        match connection.await {
            // A body was cut. HTTP/1.0 would take a mere end of the connection for the end of the body.
            Err(error) if error.is_user() => user.set_zero_linger(),
            _ => Ok(()),
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let uri = request.uri().clone();
        Ok(self.exchange(request).await.unwrap_or_else(|Refusal(status, why)| {
            tracing::warn!(%uri, %status, why);
            let mut page = Response::new(boxed(Full::from(why + "\n")));
            *page.status_mut() = status;
            page
        }))
    }

    async fn exchange(&self, mut user: Request<Incoming>) -> Answer {
        let method = user.method().clone();
        let upgrade = upgrade::on(&mut user);
        let message = Reqmod::try_from(user).map_err(because(StatusCode::BAD_REQUEST))?;
        let outcome = match &self.reqmod {
            Some(client) => client.reqmod(message).await.or_else(|f| self.failed(f))?,
            None => Outcome::Bypassed(message.skip()),
        };
        let request = match outcome {
            Outcome::Unmodified(original) => original.into_request().map(|r| r.map(boxed)),
            Outcome::Bypassed(unseen) => unseen.into_request().map(|r| r.map(boxed)),
            Outcome::Modified(adapted) => adapted.into_request().map(|r| r.map(boxed)),
            Outcome::Answered(page) => {
                let page = page.into_response(&method).map_err(because(StatusCode::BAD_GATEWAY))?;
                return Ok(page.map(boxed));
            }
            _ => return Err(Refusal(StatusCode::BAD_GATEWAY, "unknown outcome".into())),
        };
        let (mut head, body) = request.map_err(because(StatusCode::BAD_GATEWAY))?.into_parts();
        match (method == Method::CONNECT, head.method == Method::CONNECT) {
            (true, true) => return tunnel(&head.uri, upgrade).await,
            (false, false) => head.headers.append(VIA, OWN_VIA),
            _ => return Err(Refusal(StatusCode::BAD_GATEWAY, "a tunnel for a request".into())),
        };
        let asked = Request::from_parts(head.clone(), ());
        let answer = timeout(ANSWER_LIMIT, self.origins.request(Request::from_parts(head, body)));
        let answer = answer.await.map_err(because(StatusCode::GATEWAY_TIMEOUT))?;
        let message = Respmod::try_from(answer.map_err(because(StatusCode::BAD_GATEWAY))?);
        let message = message.and_then(|message| message.request_of(&asked));
        self.answer(&method, message.map_err(because(StatusCode::BAD_GATEWAY))?).await
    }

    async fn answer(&self, method: &Method, message: Respmod<Incoming>) -> Answer {
        let outcome = match &self.respmod {
            Some(client) => client.respmod(message).await.or_else(|f| self.failed(f))?,
            None => Outcome::Bypassed(message.skip()),
        };
        let response = match outcome {
            Outcome::Unmodified(original) => original.into_response(method).map(|r| r.map(boxed)),
            Outcome::Bypassed(unseen) => unseen.into_response(method).map(|r| r.map(boxed)),
            Outcome::Modified(adapted) => adapted.into_response(method).map(|r| r.map(boxed)),
            _ => return Err(Refusal(StatusCode::BAD_GATEWAY, "unknown outcome".into())),
        };
        let mut response = response.map_err(because(StatusCode::BAD_GATEWAY))?;
        response.headers_mut().append(VIA, OWN_VIA);
        Ok(response)
    }

    fn failed<B>(&self, failure: Failure<B>) -> Result<Outcome<B>, Refusal> {
        let refuse = because(StatusCode::SERVICE_UNAVAILABLE);
        match self.fail {
            Fail::Open => failure.bypass().map_err(refuse),
            Fail::Closed => Err(refuse(failure)),
        }
    }
}

async fn tunnel(target: &Uri, upgrade: OnUpgrade) -> Answer {
    let address = target.authority().map(ToString::to_string).unwrap_or_default();
    let origin = timeout(CONNECT_LIMIT, TcpStream::connect(address));
    let origin = origin.await.map_err(because(StatusCode::GATEWAY_TIMEOUT))?;
    let mut origin = origin.map_err(because(StatusCode::BAD_GATEWAY))?;
    tokio::spawn(async move {
        let mut user = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
        tokio::io::copy_bidirectional(&mut user, &mut origin).await
    });
    Ok(Response::new(boxed(Empty::new())))
}

fn boxed(body: impl Frames<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Body {
    body.map_err(Into::into).boxed_unsync()
}

fn because<E: ToString>(status: StatusCode) -> impl FnOnce(E) -> Refusal {
    move |error| Refusal(status, error.to_string())
}
