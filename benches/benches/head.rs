//! Head parse beside its floor: httparse three times over the same bytes.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icap_proto::{Leniency, Limits, RequestHead};

fn head(criterion: &mut Criterion) {
    let message = icap_benches::respmod();
    // httparse knows no ICAP: the same head with the version of HTTP, which is as long.
    let as_http = message.icap.replacen("ICAP/1.0", "HTTP/1.1", 1);
    let whole = [message.icap.as_str(), message.request, message.response].concat();

    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Bytes(whole.len() as u64));
    group.bench_function("floor: httparse x3", |bencher| {
        bencher.iter(|| {
            request(black_box(as_http.as_bytes()));
            request(black_box(message.request.as_bytes()));
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut fields);
            black_box(response.parse(black_box(message.response.as_bytes())).expect("a good head"));
        });
    });
    let (limits, leniency) = (Limits::default(), Leniency::default());
    group.bench_function("RequestHead::parse, owned", |bencher| {
        bencher.iter(|| {
            let head = RequestHead::parse(black_box(whole.as_bytes()), &limits, &leniency);
            black_box(head.expect("a good head"));
        });
    });
    group.finish();
}

fn request(bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut fields);
    black_box(request.parse(bytes).expect("a good head"));
}

criterion_group!(benches, head);
criterion_main!(benches);
