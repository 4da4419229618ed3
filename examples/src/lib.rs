//! What the programs of this package share: the detection engine, the scan service that puts it behind ICAP,
//! and the sample files of the demonstration.

pub mod engine;
pub mod samples;
pub mod scan_service;

/// Compiles what the book shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
pub struct Embedding;
