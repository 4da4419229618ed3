//! Instructions of the paths that every message takes, counted by callgrind and held to budgets.
//!
//! Counts do not move with the load of the machine, so these are what CI holds. `ci/instructions.sh` runs them.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public functions")]

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use icap_proto::{Leniency, Limits, RequestHead};

fn message() -> Vec<u8> {
    icap_benches::respmod().whole()
}

fn as_http() -> [Vec<u8>; 3] {
    icap_benches::respmod().as_http()
}

#[library_benchmark]
#[bench::respmod(setup = as_http)]
fn httparse_three_times(heads: [Vec<u8>; 3]) {
    icap_benches::httparse_three_times(black_box(&heads));
}

#[library_benchmark(config = budget(9_000))]
#[bench::respmod(setup = message)]
fn head_borrowed(message: Vec<u8>) {
    icap_benches::parse_borrowed(black_box(&message), &Limits::default(), &Leniency::default());
}

#[library_benchmark(config = budget(12_000))]
#[bench::respmod(setup = message)]
fn head_owned(message: Vec<u8>) {
    let head = RequestHead::parse(black_box(&message), &Limits::default(), &Leniency::default());
    black_box(head.expect("a good head"));
}

fn budget(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions)]));
    config
}

library_benchmark_group!(
    name = heads,
    benchmarks = [httparse_three_times, head_borrowed, head_owned]
);
main!(library_benchmark_groups = heads);
