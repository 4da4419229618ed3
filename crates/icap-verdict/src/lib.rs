//! From an ICAP answer to a verdict: allow, block, modified or error.
//!
//! ICAP has no field that says "blocked". Servers answer a forbidden file with a block page in a 200, with an
//! `X-` header, with an HTTP status inside, or with a changed message; clients that look at one of these only
//! fail open on the others. [`evaluate`] looks at all of them in a fixed order, and what it does not know is an
//! error, never allowed.
//!
//! ```
//! use icap_proto::{HttpHead, IsTag, Method, ResponseHead, StatusCode};
//! use icap_verdict::{Answer, Verdict, evaluate};
//!
//! let sent = HttpHead::request("PUT", "http://misc/a.txt", [("Host", "misc")])?;
//! let page = HttpHead::response(403, "Forbidden", [("Content-Type", "text/html")])?;
//! let response = ResponseHead::builder(StatusCode::OK)
//!     .istag(&IsTag::new("t1")?)
//!     .header("X-Infection-Found", "Type=0; Resolution=2; Threat=EICAR;")?
//!     .http(page)
//!     .body(true)
//!     .build()?;
//! let answer = Answer { method: &Method::Reqmod, sent: &sent, response: &response, same_body: false };
//! let Verdict::Block(block) = evaluate(&answer) else { panic!() };
//! assert_eq!(block.threat.as_deref(), Some("EICAR"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`message`] builds the HTTP message that carries a bare file to a server.

mod evaluate;
mod findings;
pub mod message;
mod verdict;

pub use evaluate::{Answer, evaluate};
pub use verdict::{AllowReason, Block, BlockReason, Problem, ProblemKind, Verdict};
