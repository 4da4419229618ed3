//! Health and metrics over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::service::Current;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 32;

/// For a whole connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens on `address` and answers `/health` and `/metrics` until the program ends.
pub(crate) async fn start(address: SocketAddr, current: Current) -> anyhow::Result<()> {
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics")?;
    describe();
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address} (admin)"))?;
    if !address.ip().is_loopback() {
        tracing::warn!(listen = %address, "health and metrics are shown to whoever can connect");
    }
    tracing::info!(listen = %listener.local_addr()?, "health and metrics");
    tokio::spawn(serve(listener, current, metrics));
    Ok(())
}

async fn serve(listener: TcpListener, current: Current, metrics: PrometheusHandle) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (current, metrics) = (Arc::clone(&current), metrics.clone());
        tokio::spawn(async move {
            let answering = service_fn(|request| {
                let answer = answer(&request, &current, &metrics);
                async move { Ok::<_, Infallible>(answer) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answering);
            let _ = tokio::time::timeout(PATIENCE, serving).await;
            drop(permit);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    current: &Current,
    metrics: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n");
    }
    match request.uri().path() {
        "/health" => {
            let (status, body) = health(current);
            text(status, "application/json", body)
        }
        "/metrics" => {
            gauges(current);
            text(StatusCode::OK, "text/plain; version=0.0.4", metrics.render())
        }
        _ => text(StatusCode::NOT_FOUND, "text/plain", "/health or /metrics\n"),
    }
}

/// 200 while every connection has a server that can be reached; not before there is one.
fn health(current: &Current) -> (StatusCode, String) {
    let relays = current.load();
    let connections: Vec<_> = relays
        .iter()
        .map(|relay| {
            let upstream = relay.servers().into_iter();
            let upstream: Vec<_> =
                upstream.map(|(uri, up)| json!({ "uri": uri, "up": up })).collect();
            json!({ "name": relay.settings.name, "open": relay.door.live(), "upstream": upstream })
        })
        .collect();
    let healthy = !relays.is_empty() && relays.iter().all(|relay| relay.is_healthy());
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", json!({ "healthy": healthy, "connections": connections })))
}

/// What is now, and need not be counted.
fn gauges(current: &Current) {
    for relay in current.load().iter() {
        let name = relay.settings.name.clone();
        let live = u32::try_from(relay.door.live()).unwrap_or(u32::MAX);
        metrics::gauge!("secure_relay_connections_open", "connection" => name.clone()).set(live);
        for (uri, up) in relay.servers() {
            let labels = [("connection", name.clone()), ("upstream", uri)];
            metrics::gauge!("secure_relay_upstream_up", &labels).set(u8::from(up));
        }
    }
}

fn describe() {
    for (name, what) in [
        ("secure_relay_connections_total", "Connections that have ended, by how."),
        ("secure_relay_refused_total", "Connections that were not let in, by why."),
        ("secure_relay_bytes_total", "Bytes that went through, by direction."),
        ("secure_relay_transactions_total", "Transactions, by method, status and end."),
        ("secure_relay_verdicts_total", "Answers by what the profile makes of them."),
        ("secure_relay_upstream_failures_total", "Failed attempts to reach a server for a client."),
        ("secure_relay_reloads_total", "Configurations read after SIGHUP, by result."),
    ] {
        metrics::describe_counter!(name, what);
    }
    for (name, what) in [
        ("secure_relay_connections_open", "Connections, those in a handshake included."),
        ("secure_relay_upstream_up", "Whether the last attempt to reach a server succeeded."),
        ("secure_relay_certificate_expiry_seconds", "Unix time at which a certificate expires."),
    ] {
        metrics::describe_gauge!(name, what);
    }
}

fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
