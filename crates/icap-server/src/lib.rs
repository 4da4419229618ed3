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
//!         ServiceOptions::respmod("Scanner 1.0").unwrap_or_default().preview(1024).allow_no_content()
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
//! Events go to [`tracing`]: one of level `info` for each transaction (target `icap_server::access`), `warn` for
//! what clients do wrong, `error` for what services do wrong.

#[cfg(feature = "identity")]
mod basic_auth;
mod body_cell;
mod config;
mod connection;
mod error;
mod incoming;
mod preview;
mod reply;
mod reply_body;
mod request;
mod router;
mod server;
mod service;
mod spool;
mod stop;
mod timeouts;
#[cfg(feature = "tower")]
mod tower;

#[cfg(feature = "identity")]
pub use basic_auth::basic_auth;
pub use config::ServiceConfig;
pub use error::{BodyError, Error};
pub use incoming::{DataStream, Incoming};
pub use preview::Preview;
pub use reply::Reply;
pub use reply_body::{IntoBody, ReplyBody};
pub use request::Request;
pub use router::RouteError;
pub use server::Server;
pub use service::{Service, service_fn};
pub use spool::Spool;
pub use timeouts::Timeouts;
#[cfg(feature = "tower")]
pub use tower::from_tower;

pub use icap_proto;
