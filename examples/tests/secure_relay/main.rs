//! `secure-relay` as people run it: the program, real sockets, and what it says in its log.

#![cfg(unix)]
// A test may.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod bad_input;
mod commands;
mod doors;
mod icap_load;
mod icap_mode;
mod passing;
mod pki;
mod program;
mod reload;
