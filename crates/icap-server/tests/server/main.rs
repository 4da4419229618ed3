//! The server against a scripted client, over pipes and sockets.

// Helper functions of a test are tests too.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod chaos;
mod connection;
mod deadlines;
mod echo;
mod events;
mod limits;
mod listeners;
#[cfg(feature = "metrics")]
mod metrics;
mod preview;
mod replies;
mod statuses;
mod stopping;
mod streaming;
mod support;
#[cfg(feature = "tls-ring")]
mod tls;
