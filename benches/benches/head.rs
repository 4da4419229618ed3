//! Head parse beside its floor: httparse three times over the same bytes.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icap_proto::{Leniency, Limits, RequestHead};

fn head(criterion: &mut Criterion) {
    let message = icap_benches::respmod();
    let (whole, as_http) = (message.whole(), message.as_http());
    let (limits, leniency) = (Limits::default(), Leniency::default());

    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Bytes(whole.len() as u64));
    group.bench_function("floor: httparse x3", |bencher| {
        bencher.iter(|| icap_benches::floors::httparse_three_times(black_box(&as_http)));
    });
    group.bench_function("borrowed", |bencher| {
        bencher.iter(|| icap_benches::parse_borrowed(black_box(&whole), &limits, &leniency));
    });
    group.bench_function("owned", |bencher| {
        bencher.iter(|| {
            let head = RequestHead::parse(black_box(&whole), &limits, &leniency);
            black_box(head.expect("a good head"));
        });
    });
    group.finish();
}

criterion_group!(benches, head);
criterion_main!(benches);
