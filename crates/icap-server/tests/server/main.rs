//! The server against a scripted client, over pipes and sockets.

// Helper functions of a test are tests too.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod chaos;
#[cfg(feature = "identity")]
mod clients;
mod connection;
mod deadlines;
mod echo;
mod events;
mod faults;
mod forwarded;
mod icap_trailers;
mod limits;
mod listeners;
#[cfg(feature = "metrics")]
mod metrics;
mod original;
mod preview;
mod replies;
mod statuses;
mod stopping;
mod streaming;
mod support;
mod terms;
#[cfg(feature = "tls-ring")]
mod tls;
#[cfg(feature = "tower")]
mod tower;
