//! What the programs of this package share: the detection engine and that of ClamAV behind one interface, the scan
//! service that puts them behind ICAP, the relay in front of one, and the sample files of the demonstration.

pub mod clamd;
pub mod engine;
pub mod inspector;
pub mod samples;
pub mod scan_service;
pub mod secure_relay;

/// Compiles what the book shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
pub struct Embedding;
