//! An ICAP server (RFC 3507) on tokio.
//!
//! A [`Service`] is one async function a request. It sees the preview first; its locals survive the step from
//! the preview to the whole body; what it answers is put into ICAP by the server.
//!
//! ```no_run
//! use icap_proto::{IsTag, ServiceOptions};
//! use icap_server::{Error, Reply, Request, Server, Service};
//!
//! struct Scanner;
//!
//! impl Service for Scanner {
//!     fn options(&self) -> ServiceOptions {
//!         ServiceOptions::respmod("Scanner 1.0").unwrap_or_default().preview(1024)
//!     }
//!
//!     async fn call(&self, request: Request) -> Result<Reply, Error> {
//!         let (head, preview) = request.preview().await?;
//!         if preview.bytes().starts_with(b"GIF8") {
//!             return Ok(Reply::unmodified()); // 100 Continue is never sent
//!         }
//!         let body = preview.proceed().await?; // sent only if the client waits for it
//!         let Some(mut response) = head.http_response().cloned() else {
//!             return Ok(Reply::unmodified());
//!         };
//!         response.edit(|headers| headers.append("X-Scanned", "yes"))?;
//!         Ok(Reply::modified(response, body)) // streams in constant memory
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! Server::bind("[::]:1344")
//!     .await?
//!     .service("/scan", Scanner)?
//!     .serve_until(async {
//!         let _ = tokio::signal::ctrl_c().await;
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each connection is one task; there is no task, channel or timer of its own for a request. The task polls the
//! handler and moves the bytes, so nothing is read from a client that the handler did not ask for, and a slow or
//! hostile client costs its own connection only. Every wait for a client has a [deadline](Timeouts), everything
//! that a client can make grow has a [limit](icap_proto::Limits).
//!
//! # What is to be seen
//!
//! Events go to [`tracing`]: `warn` for what clients do wrong and for who is refused, `error` for what services do
//! wrong, and one of level `info` for each transaction (target `icap_server::access`). What happens in a transaction
//! happens in a span `transaction` (target `icap_server`). With the feature `metrics` there are counters too:
//!
//! | event field | |
//! |---|---|
//! | `client` | address and port; none for a Unix socket |
//! | `certificate` | SHA-256 of the client's certificate, when it showed one |
//! | `method`, `service` | as asked, without the query |
//! | `route` | the first path of the service, when it was asked by another one |
//! | `status` | of the answer; none when it did not come to one |
//! | `verdict` | what the handler said: `unmodified`, `modified`, `response`, `error` |
//! | `preview` | `decided` without the rest, `continued`, or `whole`; none without a preview |
//! | `leniency` | the switches of [`Leniency`](icap_proto::Leniency) without which the request would have been refused |
//! | `bytes_in`, `bytes_out` | of the bodies, without framing |
//! | `answer_us`, `elapsed_us` | from the head of the request to that of the answer, and to the end |
//! | `aborted` | the answer was broken off, or the connection lost before all of it had left |
//!
//! | metric | labels | |
//! |---|---|---|
//! | `icap_server_connections` | | gauge: open connections |
//! | `icap_server_in_flight` | | gauge: requests whose answer has not left yet |
//! | `icap_server_transactions_total` | `method`, `service`, `status` | `service` is the first path, or `none` |
//! | `icap_server_transaction_seconds` | `method` | histogram |
//! | `icap_server_body_bytes_total` | `direction` | `in` or `out` |
//! | `icap_server_leniency_total` | `switch` | requests that needed it; the event says whose |
//! | `icap_server_aborted_total` | | transactions whose answer did not come to its end |
//! | `icap_server_refused_total` | `reason` | connections: `source`, `capacity`, `address`, `handshake` |
//! | `icap_server_accept_errors_total` | | what the listeners reported |

mod accept;
mod allow_list;
#[cfg(feature = "identity")]
mod basic_auth;
mod body_cell;
mod config;
mod connection;
mod error;
mod forward;
mod handle;
mod incoming;
mod listener;
mod metrics;
mod peer;
mod preview;
mod reply;
mod reply_body;
mod request;
mod router;
mod server;
mod service;
mod spool;
mod stop;
mod stream;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tower")]
mod tower;

pub use allow_list::{AllowList, InvalidAllowList};
#[cfg(feature = "identity")]
pub use basic_auth::basic_auth;
pub use config::ServiceConfig;
pub use error::{BodyError, Error};
pub use forward::Ending;
pub use handle::ServerHandle;
pub use incoming::{DataStream, Incoming};
pub use listener::Listener;
pub use preview::Preview;
pub use reply::Reply;
pub use reply_body::{IntoBody, ReplyBody};
pub use request::Request;
pub use router::{Route, RouteError};
pub use server::Server;
pub use service::{Service, service_fn};
pub use spool::Spool;
pub use timeouts::Timeouts;
#[cfg(feature = "tls")]
pub use tls::{InvalidTls, PeerCertificate, Tls, TlsAcceptor};
#[cfg(feature = "tower")]
pub use tower::from_tower;

pub use icap_proto;
pub use ipnet;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
