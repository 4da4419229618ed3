//! From an ICAP answer to a verdict: allow, block, modified or error.
//!
//! ICAP has no field that says "blocked". Servers answer a forbidden file with a block page in a 200, with an `X-`
//! header, with an HTTP status inside, or with a changed message; clients that look at one of these only fail open on
//! the others. [`Profile::evaluate`] looks at all of them in a fixed order, and what it does not know is an error,
//! never allowed.
//!
//! ```
//! use icap_proto::{HttpHead, IsTag, Method, ResponseHead, StatusCode};
//! use icap_verdict::{Answer, Body, Profile, Verdict};
//!
//! let sent = HttpHead::request("PUT", "http://misc/a.txt", [("Host", "misc")])?;
//! let page = HttpHead::response(403, "Forbidden", [("Content-Type", "text/html")])?;
//! let response = ResponseHead::builder(StatusCode::OK)
//!     .istag(&IsTag::new("t1")?)
//!     .header("X-Infection-Found", "Type=0; Resolution=2; Threat=EICAR;")?
//!     .http(page)
//!     .body(true)
//!     .build()?;
//! let answer = Answer::new(&Method::Reqmod, &sent, &response, Body::Other(b"<html>blocked"));
//! let verdict = Profile::auto().evaluate(&answer);
//! assert_eq!(verdict.to_string(), "block: EICAR (malware, X-Infection-Found)");
//! let Verdict::Block(block) = verdict else { panic!() };
//! assert_eq!(block.page.and_then(|page| page.status), Some(403));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module or type | what it is |
//! |---|---|
//! | [`Profile`] | what is known of a product, as data: how to ask it, how to read it, what to switch on |
//! | [`Answer`], [`LooseAnswer`] | what is judged |
//! | [`Verdict`] | what came of it, with threats, page and evidence |
//! | [`Policy`] | what to do with it |
//! | [`message`] | the HTTP message that carries a bare file to a server |
//!
//! Features: `serde` for verdicts, policies and profiles; `toml` for profiles from files (`Profile::from_toml`);
//! `identity` for who sends a file.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod compare;
mod evaluate;
mod evidence;
mod fields;
mod findings;
mod loose;
pub mod message;
mod page;
mod policy;
mod problem;
pub mod profile;
mod profiles;
mod text;
mod threat;
mod verdict;

pub use answer::{Answer, Body};
pub use evidence::{Evidence, Part};
pub use loose::LooseAnswer;
pub use policy::{Action, Decision, Policy};
pub use problem::{Problem, ProblemKind};
#[cfg(feature = "toml")]
pub use profile::ProfileError;
pub use profile::{Direction, Profile};
pub use threat::{Category, Resolution, Threat};
pub use verdict::{
    Allow, AllowReason, Block, BlockPage, BlockReason, Details, Modified, ModifiedReason, Scanner,
    ServerAction, Verdict,
};
