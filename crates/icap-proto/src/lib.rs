//! ICAP (RFC 3507) without I/O.
//!
//! ICAP hands an HTTP message to another server, which answers "unchanged", "changed to this" or "here is what
//! the user gets instead". This crate reads and writes that protocol and keeps the dialogue in order; it opens
//! no socket, reads no clock and spawns no task, so it runs under any runtime, in a fuzzer or in a test.
//!
//! ```text
//!   your socket                     icap-proto                            your code
//!  ───────────── input()  ──► ┌─────────────────────┐ ──► poll_event()  ──────────────►
//!     bytes                   │ client::Connection  │      heads, data, ends
//!  ◄──────────── output() ─── │ server::Connection  │ ◄── start, respond, send_data ────
//!                             ├─────────────────────┤
//!                             │ RequestHead,        │  values: what a head says
//!                             │ ResponseHead, …     │
//!                             ├─────────────────────┤
//!                             │ wire                │  scan, parse, chunks
//!                             └─────────────────────┘
//! ```
//!
//! Three layers, each of use alone: [`wire`] finds heads and chunks in bytes, the values here are what a head
//! says, [`client::Connection`] and [`server::Connection`] are the dialogue. What a peer can make grow has a
//! bound in [`Limits`]; which deviations are taken is said by [`Leniency`].
//!
//! The crate is `no_std` with `alloc`; the `std` feature (default) only speeds up its dependencies. The feature
//! `identity` adds who sent a message (`Identity`) and HTTP authentication (`BasicCredentials`, `Challenge`), with
//! the crate `base64`. The feature `http` turns encapsulated heads into the types of the `http` crate and back.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod allow;
#[cfg(feature = "identity")]
mod auth;
pub mod client;
mod encapsulated;
mod error;
mod forwarding;
mod headers;
mod http_framing;
mod http_head;
mod http_start_line;
#[cfg(feature = "http")]
mod http_types;
#[cfg(feature = "identity")]
mod identity;
mod input;
mod istag;
mod known;
mod leniency;
mod limits;
mod method;
mod options;
mod output;
mod reader;
mod request;
mod response;
mod rewrite;
pub mod server;
mod status;
mod subid;
mod tolerance;
mod transfer;
mod uri;
pub mod wire;

pub use allow::Allow;
#[cfg(feature = "identity")]
pub use auth::{BasicCredentials, Challenge};
pub use encapsulated::{Encapsulated, Entity};
pub use error::{
    CloseReason, Error, Misuse, ParseError, ParseErrorKind, PeerMisbehaved, Truncated,
};
pub use forwarding::{HopByHop, TrailerField};
pub use headers::{Field, Headers, InvalidHeader, fold_lines, unfold};
pub use http_framing::{BodyLength, InvalidContentLength, LengthMismatch};
pub use http_head::HttpHead;
pub use http_start_line::InvalidStartLine;
#[cfg(feature = "http")]
pub use http_types::HttpTypeError;
#[cfg(feature = "identity")]
pub use identity::{Encoding, Identity, Principal};
pub use istag::IsTag;
pub use leniency::Leniency;
pub use limits::Limits;
pub use method::{ExtensionMethod, Method};
pub use options::ServiceOptions;
pub use output::Output;
pub use request::{RequestBuilder, RequestHead};
pub use response::{ResponseBuilder, ResponseHead};
pub use status::StatusCode;
pub use subid::{
    AnswerInfo, Attribute, AttributeCacheability, AttributeList, InfectionFound, InfectionKind,
    Resolution, Violation, ViolationsFound,
};
pub use transfer::{Transfer, TransferRules};
pub use uri::ServiceUri;
