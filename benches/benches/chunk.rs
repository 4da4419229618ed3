//! 1 MiB in chunks, decoded and encoded, each beside its floor: slices of the same bytes, chunk lines alone.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use icap_benches::{chunked, decode, floors};
use icap_proto::{Leniency, Limits};

const BODY: usize = 1 << 20;

fn decoding(criterion: &mut Criterion) {
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
        group.bench_with_input(BenchmarkId::new("floor: shared", size), &wire, |bencher, wire| {
            bencher.iter_custom(|rounds| {
                timed(rounds, wire, |wire| floors::decode_shared(black_box(wire)))
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

fn encoding(criterion: &mut Criterion) {
    static BODY_BYTES: [u8; BODY] = [0x5a; BODY];
    let mut group = criterion.benchmark_group("chunk/encode");
    group.throughput(Throughput::Bytes(BODY as u64));
    for size in [64, 4 * 1024, 64 * 1024] {
        group.bench_function(BenchmarkId::new("floor: lines alone", size), |bencher| {
            let mut lines = Vec::new();
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    lines.clear();
                    let start = Instant::now();
                    floors::encode_lines(black_box(&BODY_BYTES), size, &mut lines);
                    total = total.saturating_add(start.elapsed());
                }
                total
            });
        });
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            let mut connection = icap_benches::answering();
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let pieces = icap_benches::pieces(&BODY_BYTES, size);
                    let start = Instant::now();
                    icap_benches::encode(black_box(&mut connection), pieces);
                    total = total.saturating_add(start.elapsed());
                    let output = connection.output();
                    output.advance(output.remaining());
                }
                total
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
        total = total.saturating_add(start.elapsed());
        assert_eq!(bytes, BODY);
    }
    total
}

criterion_group!(benches, decoding, encoding);
criterion_main!(benches);
