//! What holds for every message, tried with generated ones. `PROPTEST_CASES` sets how many.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod hygiene;
mod linear;
mod message;
mod mutants;
mod reference;
mod round_trip;
mod splits;
#[path = "../support/mod.rs"]
mod support;

use proptest::test_runner::{Config, FileFailurePersistence};

/// So many cases unless the environment says otherwise; a case that failed is kept next to its test.
fn cases(default: u32) -> Config {
    let persistence = Box::new(FileFailurePersistence::WithSource("regressions"));
    let mut config = Config { failure_persistence: Some(persistence), ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config
}
