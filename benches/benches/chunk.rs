//! Chunk decoding of 1 MiB beside its floor: slices of the same bytes.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use icap_benches::{chunked, decode, floors};
use icap_proto::{Leniency, Limits};

const BODY: usize = 1 << 20;

fn chunk(criterion: &mut Criterion) {
    let (limits, leniency) = (Limits::default(), Leniency::default());
    let body = vec![0x5a; BODY];
    let mut group = criterion.benchmark_group("chunk/decode");
    group.throughput(Throughput::Bytes(BODY as u64));
    for size in [64, 4 * 1024, 64 * 1024] {
        let wire = chunked(&body, size);
        group.bench_with_input(BenchmarkId::new("floor: slices", size), &wire, |bencher, wire| {
            bencher.iter_custom(|rounds| {
                timed(rounds, wire, |wire| floors::decode_slices(black_box(wire)))
            });
        });
        group.bench_with_input(BenchmarkId::new("decode", size), &wire, |bencher, wire| {
            bencher.iter_custom(|rounds| {
                timed(rounds, wire, |wire| decode(black_box(wire), &limits, &leniency))
            });
        });
    }
    group.finish();
}

/// Times the work alone. Each round has a fresh copy of the body, made just before, so that floor and decoder find
/// it in the same cache.
fn timed(rounds: u64, wire: &[u8], mut work: impl FnMut(&mut BytesMut) -> usize) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        let mut wire = BytesMut::from(wire);
        let start = Instant::now();
        let bytes = work(&mut wire);
        total += start.elapsed();
        assert_eq!(bytes, BODY);
    }
    total
}

criterion_group!(benches, chunk);
criterion_main!(benches);
