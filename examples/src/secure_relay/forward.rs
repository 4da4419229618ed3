//! Mode `icap`: each transaction goes to the server that is best for it, and its answer comes back as it is.
//!
//! Nothing is decided here. Preview, `Allow`, fields and heads are those of the client; 100 Continue is given to it
//! when the server has given it; what a body needs is one piece at a time, each way.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use icap::proto::{Allow, Method, RequestHead, ResponseHead, ServiceOptions, StatusCode};
use icap::server::{Ending, Error, Reply, Request, ServiceConfig};
use icap::{Service, client};

use super::config::ClientIp;
use super::routes::Routes;
use super::transaction::{Download, Transaction, Upload};

const CLIENT_IP: &str = "X-Client-IP";

/// The one service of the relay, at every path.
pub(crate) struct Forward {
    options: ServiceOptions,
    routes: Arc<ArcSwap<Routes>>,
}

impl Forward {
    /// `routes` may change between two transactions.
    pub(crate) fn new(routes: Arc<ArcSwap<Routes>>) -> anyhow::Result<Self> {
        let options = ServiceOptions::reqmod("secure-relay")?.method(Method::Respmod);
        Ok(Self { options, routes })
    }
}

impl Service for Forward {
    fn options(&self) -> ServiceOptions {
        self.options.clone()
    }

    fn config(&self) -> ServiceConfig {
        ServiceConfig::default().forwards()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let routes = self.routes.load_full();
        let source = request.peer_addr();
        let transaction = Transaction::new(Arc::clone(&routes), source, request.head());
        let (head, preview) = request.preview().await?;
        if *head.method() == Method::Options {
            // Boxed, because it is rare and would make each transaction half as large again.
            return Ok(Box::pin(options(&routes, &head, transaction)).await);
        }
        let shown = preview.bytes().len() as u64;
        let whole = preview.is_complete();
        let upload = Upload::new(preview.into_body(), shown, Arc::clone(&transaction.upload));
        let (group, allow) = (routes.group(head.method()), head.allow());
        // One that shows less than it announced waits all the same.
        let announced = head.preview().filter(|_| !whole).map(|announced| announced.min(shown));
        let adds_client_ip =
            routes.client_ip == ClientIp::Add && head.headers().get(CLIENT_IP).is_none();
        let mut message = client::Forward::new(head, upload);
        if let Some(announced) = announced {
            message = message.preview(announced);
        }
        if let Some(source) = source.filter(|_| adds_client_ip) {
            message = message.header(CLIENT_IP, source.ip().to_canonical().to_string());
        }
        Ok(match group.forward(message).await {
            Ok(answer) => hand_out(answer, allow, transaction),
            Err(error) => fail(&error, transaction),
        })
    }
}

/// The answer of a server to a request that allows this.
fn hand_out(
    answer: client::Forwarded<Upload>,
    allow: Allow,
    mut transaction: Transaction,
) -> Reply {
    let response = without_hop_by_hop(answer.response());
    let status = response.status();
    transaction.answered(answer.server(), status);
    transaction.judge(&response);
    // Asked for by a second server, when the client has been told by the first to go on.
    let late = transaction.upload.is_behind_preview() && !allow.no_content;
    if status == StatusCode::NO_CONTENT && late {
        return refuse(StatusCode::BAD_GATEWAY, "a 204 behind the preview", transaction);
    }
    if !response.has_body() {
        transaction.complete();
        return Reply::forwarded(response, (), Ending::default);
    }
    let ending = Arc::new(OnceLock::new());
    let download = Download::new(answer, Arc::clone(&ending), transaction);
    Reply::forwarded(response, download, move || ending.get().cloned().unwrap_or_default())
}

/// What a server offers, and no more connections than the relay and its servers take.
async fn options(routes: &Routes, head: &RequestHead, mut transaction: Transaction) -> Reply {
    let mut best = None;
    for (method, group) in routes.groups_for(head.uri().path()) {
        let answer = match group.forward(client::Forward::new(head.clone(), String::new())).await {
            Ok(answer) => answer,
            Err(error) if best.is_none() => return fail(&error, transaction),
            Err(_) => break,
        };
        let is_ok = answer.response().status() == StatusCode::OK;
        let fits = is_ok && ServiceOptions::from_response(answer.response()).has_method(&method);
        if fits || best.is_none() {
            best = Some((group, answer));
        }
        if fits {
            break;
        }
    }
    let Some((group, answer)) = best else {
        return refuse(StatusCode::BAD_GATEWAY, "no server", transaction);
    };
    let mut response = without_hop_by_hop(answer.response());
    transaction.answered(answer.server(), response.status());
    if response.status() == StatusCode::OK {
        let offered = ServiceOptions::from_response(&response).connections();
        let most = routes.connections(group, offered);
        // Digits fit a field.
        let _ = response.edit(|fields| fields.set("Max-Connections", most.to_string()));
    }
    if !response.has_body() {
        transaction.complete();
        return Reply::forwarded(response, (), Ending::default);
    }
    let ending = Arc::new(OnceLock::new());
    let download = Download::new(answer, Arc::clone(&ending), transaction);
    Reply::forwarded(response, download, move || ending.get().cloned().unwrap_or_default())
}

fn without_hop_by_hop(response: &ResponseHead) -> ResponseHead {
    let mut response = response.clone().forwarded();
    if response.headers().get("Upgrade").is_some() {
        response.edit(|fields| fields.remove("Upgrade"));
    }
    response
}

/// No server gave an answer.
fn fail(error: &client::Error, transaction: Transaction) -> Reply {
    use client::{Error, Stage};
    let status = match error {
        // An answer that another server was to better, and could not.
        Error::Status(response) => response.status(),
        // All connections that the servers take are in use.
        Error::Timeout(Stage::Wait) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        // The client's fault; it gets the server's answer to that.
        Error::Source(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    };
    refuse(status, &error.to_string(), transaction)
}

fn refuse(status: StatusCode, why: &str, mut transaction: Transaction) -> Reply {
    transaction.failed(status, why);
    Reply::error(status)
}
