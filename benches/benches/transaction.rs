//! A whole exchange of the server's core without I/O, beside its floor.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use icap_benches::floors;
use icap_proto::{IsTag, Leniency, Limits, server};

fn transaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction/204 at preview");
    let heads = icap_benches::respmod().as_http();
    let preview = icap_benches::chunked(&[0x5a; 1024], 1024);
    group.bench_function("floor: heads, chunks and a constant", |bencher| {
        let mut output = Vec::new();
        bencher.iter(|| {
            floors::transaction(black_box(&heads), black_box(&preview), &mut output);
        });
    });
    let wire = icap_benches::previewed();
    let tag = IsTag::new("bench-1").expect("a good tag");
    group.bench_function("server::Connection", |bencher| {
        let mut connection = server::Connection::new(Limits::default(), Leniency::default());
        bencher.iter(|| icap_benches::transaction(&mut connection, black_box(&wire), &tag));
    });
    group.finish();
}

criterion_group!(benches, transaction);
criterion_main!(benches);
