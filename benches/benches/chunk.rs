//! Chunk decoding of 1 MiB in chunks of several sizes.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{Leniency, Limits};

const BODY: usize = 1 << 20;
/// What a connection reads at once.
const READ: usize = 64 * 1024;

fn chunk(criterion: &mut Criterion) {
    let body = vec![0x5a; BODY];
    let mut group = criterion.benchmark_group("chunk/decode");
    group.throughput(Throughput::Bytes(BODY as u64));
    for size in [64, 4 * 1024, 64 * 1024] {
        let wire = icap_benches::chunked(&body, size);
        group.bench_with_input(BenchmarkId::from_parameter(size), &wire, |bencher, wire| {
            bencher.iter_batched(
                || wire.chunks(READ).map(BytesMut::from).collect::<Vec<_>>(),
                |reads| assert_eq!(decode(reads), BODY),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Decodes a body that arrives in pieces and counts its bytes.
fn decode(reads: Vec<BytesMut>) -> usize {
    let (limits, leniency) = (Limits::default(), Leniency::default());
    let mut decoder = ChunkDecoder::default();
    let mut input = BytesMut::new();
    let mut bytes = 0usize;
    for read in reads {
        if input.is_empty() {
            input = read;
        } else {
            input.extend_from_slice(&read);
        }
        while let Some(part) = decoder.decode(&mut input, &limits, &leniency).expect("a good body")
        {
            if let Part::Data(data) = part {
                bytes = bytes.saturating_add(black_box(data).len());
            }
        }
    }
    bytes
}

criterion_group!(benches, chunk);
criterion_main!(benches);
