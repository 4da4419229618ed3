//! Load on an ICAP server, each byte of whose answers is checked: what the program `icap-load` is made of.
//!
//! ```text
//!   Pace ──► when the next request is due (open loop: by the clock; closed loop: now)
//!     │
//!   Link ──► sends Message, its body a stretch of Pattern; compares what comes back
//!     │
//!   Tally ─► Report
//! ```
//!
//! It works on `icap_proto::client::Connection` and not on `icap-client`: a pool that sends a request once more when
//! a connection was dead would hide what the server did.

mod link;
mod message;
mod pace;
mod pattern;
mod report;
mod run;
mod tally;

pub use self::link::Fault;
pub use self::message::{Message, MessageError, Shape};
pub use self::pace::{Bound, Pace};
pub use self::report::{Latency, Load, Report, Seen};
pub use self::run::{Run, Target};
