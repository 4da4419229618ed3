//! The client against scripted servers on loopback.
//!
//! Each test plays a server byte by byte. One test binary, so that the parts share their server and their bodies.

// The helpers are test code too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod body;
mod node;
mod peer;

mod answers;
mod authentication;
mod connect;
mod duplex;
mod early;
mod failures;
mod forward;
mod group;
mod group_health;
mod group_random;
mod http_messages;
mod lengths;
mod negotiation;
mod options;
mod partial;
mod poison;
mod pool;
mod preview;
mod record;
mod replay;
mod tap;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tower")]
mod tower;
mod trailers;
mod transfer;
mod waiting;
