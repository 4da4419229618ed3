//! ICAP (RFC 3507) client on tokio.
//!
//! A [`Client`] hands HTTP messages to one ICAP service, and each call comes back with an [`Outcome`]: send the
//! message on as it is, send this instead, or answer the user with this page.
//!
//! ```no_run
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use icap_client::{Client, Outcome, Reqmod};
//! use icap_proto::HttpHead;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("icap://av.local/reqmod").build()?;
//! let head = HttpHead::request("POST", "http://files.example/up", [("Content-Length", "5")])?;
//! match client.reqmod(Reqmod::new(head, Full::new(Bytes::from_static(b"hello")))).await? {
//!     Outcome::Unmodified(original) => println!("send on: {:?}", original.head()),
//!     Outcome::Modified(adapted) => println!("send this instead: {:?}", adapted.head()),
//!     Outcome::Answered(adapted) => println!("answer the user: {:?}", adapted.head()),
//!     _ => {}
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Several servers for one job are a [`ServiceGroup`], which has the same calls.
//!
//! Behind the feature `tls` are `icaps` URIs; `Tls` has their settings. The cryptography is a choice: the features
//! `tls-ring` and `tls-aws-lc`, or the default of the process, as is usual with [rustls](https://docs.rs/rustls).
//!
//! Messages of the `http` crate come in by `TryFrom` (see [`Reqmod`] and [`Respmod`]) and go out by
//! [`Replay::into_request`], [`Adapted::into_response`] and their likes, with the fields that a proxy has to change
//! changed. A [`HttpHead`](icap_proto::HttpHead) goes out byte for byte. Behind the feature `tower` is a layer,
//! `IcapLayer`, that does all of it around any HTTP service.
//!
//! Bodies are [`http_body::Body`]. A stream becomes one by `StreamBody` of `http-body-util`, and each body of this
//! crate is a stream by its `into_data_stream`:
//!
//! ```no_run
//! use bytes::Bytes;
//! use futures_util::{StreamExt, TryStreamExt, stream};
//! use http_body::Frame;
//! use http_body_util::{BodyExt, StreamBody};
//! # async fn run(client: icap_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use icap_client::{Outcome, Reqmod};
//!
//! let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from("he")), Ok(Bytes::from("llo"))]);
//! let body = StreamBody::new(pieces.map_ok(Frame::data));
//! let request = http::Request::post("http://www.example/up").body(body)?;
//! if let Outcome::Modified(adapted) = client.reqmod(Reqmod::try_from(request)?).await? {
//!     let mut pieces = adapted.into_data_stream();
//!     while let Some(piece) = pieces.next().await {
//!         println!("{} bytes", piece?.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!             ┌──────────────────── exchange ───────────────────┐
//!  your body ─► source ─► client::Connection ─► output ─► socket │ ─► server
//!             │   │ keeps what was read        ◄─ input ◄─       │ ◄─
//!             └───┼──────────────┬───────────────────────────────┘
//!                 ▼              ▼
//!           Original<B>      Adapted<B>   its poll_frame is what moves both directions
//! ```
//!
//! # What a call tells
//!
//! Each call is a span `call` (target `icap_client`, level debug), from its first connection to the end of the answer's
//! body or to where it was dropped; so is each OPTIONS request. With the feature `metrics` there are counters too.
//!
//! | span field | |
//! |---|---|
//! | `method`, `service` | of the ICAP request; `service` is the URI without user information |
//! | `reused` | the connection had been used before |
//! | `wait_us` | until there was a connection: the queue, connecting, TLS |
//! | `status` | of the answer; none when it did not come to one |
//! | `preview` | `decided` without the rest, `continued`, or `whole`; none without a preview |
//! | `leniency` | the switches of [`Leniency`](icap_proto::Leniency) without which the answer would have been refused |
//! | `bytes_out`, `bytes_in` | of the bodies, without framing |
//! | `answer_us`, `elapsed_us` | from the beginning to the head of the answer, and to the end |
//! | `error` | what the exchange failed of |
//! | `aborted` | the answer was not read to its end, or there was none |
//!
//! | metric | labels | |
//! |---|---|---|
//! | `icap_client_calls_total` | `method`, `service`, `status` | `status` is `none` where no answer came |
//! | `icap_client_call_seconds` | `method` | histogram |
//! | `icap_client_wait_seconds` | | histogram: until there was a connection |
//! | `icap_client_body_bytes_total` | `direction` | `in` or `out` |
//! | `icap_client_reused_total` | | calls on a connection that had been used before |
//! | `icap_client_leniency_total` | `service`, `switch` | answers that needed it |
//! | `icap_client_aborted_total` | | answers that were not read to their end, or did not come |
//!
//! # How it works
//!
//! Before its first message a client asks the service what it can do (OPTIONS), and goes by the answer:
//! [`ClientBuilder::negotiate`].
//!
//! No task is spawned: while a call is awaited the call moves the bytes, afterwards the [`Adapted`] body does,
//! upload and download together. Its clean end gives the connection back to the pool; whoever drops a call or an
//! [`Adapted`] early closes the connection. The tokio runtime needs its I/O and time drivers.

mod adapted;
mod authentication;
mod builder;
mod call;
mod client;
mod connect;
mod error;
mod exchange;
mod fields;
mod forward;
mod group;
mod knowledge;
mod message;
mod metrics;
mod negotiation;
mod offer;
mod original;
mod outcome;
mod outgoing;
mod pool;
mod record;
mod sent_to;
mod slots;
mod source;
mod suffix;
mod tap;
mod tcp;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tower")]
mod tower;

pub use adapted::Adapted;
pub use authentication::{Authenticate, Authorization, Refusal};
pub use builder::ClientBuilder;
pub use client::Client;
pub use connect::Connect;
#[cfg(unix)]
pub use connect::UnixConnector;
pub use error::{BoxError, Error, Failure, Invalid, InvalidTls};
pub use forward::{Ending, Forward, Forwarded};
pub use group::{Balance, MemberState, MemberStatus, ServiceGroup, ServiceGroupBuilder};
pub use message::{Reqmod, Respmod};
pub use original::{Original, Replay};
pub use outcome::Outcome;
pub use sent_to::SentTo;
pub use tap::{Direction, Tap, Tapped};
pub use timeouts::{Stage, Timeouts};
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
#[cfg(feature = "tower")]
pub use tower::{IcapBody, IcapLayer, IcapService, OnFailure};
