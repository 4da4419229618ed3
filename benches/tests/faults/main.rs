//! What slow, broken and hostile peers do, done to a real server over loopback: it lives, answers the next good
//! request, gives back descriptors and memory, has no panic in its log, and reports nothing as whole that was cut.
//!
//! These tests take their time and want an optimised server and room for 2,000 sockets: `ci/faults.sh` runs them.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod beside;
mod cut;
mod flood;
mod peer;
mod server;
mod slow;
