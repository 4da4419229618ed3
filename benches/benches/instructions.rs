//! Instructions of the paths that every message takes, counted by callgrind and held to budgets.
//!
//! Counts do not move with the load of the machine, so these are what CI holds. `ci/instructions.sh` runs them. A
//! budget is what was counted with Rust 1.95 and 3 % more; whoever makes a path cheaper lowers its budget.

#![allow(missing_docs, unused_qualifications, reason = "the macros make public functions")]

use std::hint::black_box;

use bytes::{Buf, Bytes, BytesMut};
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use http_body_util::{BodyExt, Full};
use icap_benches::floors;
use icap_client::{Client, Outcome, Respmod};
use icap_proto::{HttpHead, IsTag, Leniency, Limits, RequestHead, ServiceUri, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

fn message() -> Vec<u8> {
    icap_benches::respmod().whole()
}

fn as_http() -> [Vec<u8>; 3] {
    icap_benches::respmod().as_http()
}

#[library_benchmark]
#[bench::respmod(setup = as_http)]
fn httparse_three_times(heads: [Vec<u8>; 3]) {
    floors::httparse_three_times(black_box(&heads));
}

#[library_benchmark(config = budget(8_540))]
#[bench::respmod(setup = message)]
fn head_borrowed(message: Vec<u8>) {
    icap_benches::parse_borrowed(black_box(&message), &Limits::default(), &Leniency::default());
}

#[library_benchmark(config = budget(10_060))]
#[bench::respmod(setup = message)]
fn head_owned(message: Vec<u8>) {
    let head = RequestHead::parse(black_box(&message), &Limits::default(), &Leniency::default());
    black_box(head.expect("a good head"));
}

fn wire(size: usize) -> BytesMut {
    BytesMut::from(&icap_benches::chunked(&[0x5a; 1 << 20], size)[..])
}

#[library_benchmark]
#[bench::of_64(wire(64))]
#[bench::of_4k(wire(4 << 10))]
#[bench::of_64k(wire(64 << 10))]
fn chunks_sliced(wire: BytesMut) -> BytesMut {
    floors::decode_slices(black_box(&wire));
    wire
}

#[library_benchmark]
#[bench::of_64(args = (wire(64)), config = budget(1_621_000))]
#[bench::of_4k(args = (wire(4 << 10)), config = budget(51_200))]
#[bench::of_64k(args = (wire(64 << 10)), config = budget(3_850))]
fn chunks_decoded(mut wire: BytesMut) -> BytesMut {
    icap_benches::decode(black_box(&mut wire), &Limits::default(), &Leniency::default());
    wire
}

fn exchange() -> (server::Connection, Vec<u8>, IsTag) {
    let wire = icap_benches::previewed();
    let tag = IsTag::new("bench-1").expect("a good tag");
    let mut connection = server::Connection::new(Limits::default(), Leniency::default());
    // The first exchange makes the buffers that the others use.
    icap_benches::transaction(&mut connection, &wire, &tag);
    (connection, wire, tag)
}

#[library_benchmark(config = budget(11_430))]
#[bench::no_content_at_preview(setup = exchange)]
fn transaction(
    (mut connection, wire, tag): (server::Connection, Vec<u8>, IsTag),
) -> server::Connection {
    icap_benches::transaction(black_box(&mut connection), &wire, &tag);
    connection
}

static BODY: [u8; 1 << 20] = [0x5a; 1 << 20];

fn sending(size: usize) -> (server::Connection, Vec<Bytes>) {
    let mut connection = icap_benches::answering();
    // The first body makes the buffers that the others use.
    icap_benches::encode(&mut connection, icap_benches::pieces(&BODY, size));
    let output = connection.output();
    output.advance(output.remaining());
    (connection, icap_benches::pieces(&BODY, size))
}

#[library_benchmark]
#[bench::of_64(args = (64), setup = lines)]
#[bench::of_4k(args = (4 << 10), setup = lines)]
#[bench::of_64k(args = (64 << 10), setup = lines)]
fn chunk_lines((size, mut lines): (usize, Vec<u8>)) -> Vec<u8> {
    floors::encode_lines(black_box(&BODY), size, &mut lines);
    lines
}

fn lines(size: usize) -> (usize, Vec<u8>) {
    (size, Vec::with_capacity(1 << 20))
}

#[library_benchmark]
#[bench::of_64(args = (sending(64)), config = budget(2_043_000))]
#[bench::of_4k(args = (sending(4 << 10)), config = budget(35_540))]
#[bench::of_64k(args = (sending(64 << 10)), config = budget(2_730))]
fn chunks_encoded(
    (mut connection, pieces): (server::Connection, Vec<Bytes>),
) -> server::Connection {
    icap_benches::encode(black_box(&mut connection), pieces);
    connection
}

/// A client whose server is a task of the same thread, over memory: both are counted, and hardly anything of the
/// server.
struct Calls {
    runtime: Runtime,
    client: Client,
    message: Respmod<Full<Bytes>>,
}

fn calls(echo: bool) -> Calls {
    let (limits, leniency) = (Limits::default(), Leniency::default());
    let icap_benches::Message { request, response, .. } = icap_benches::respmod();
    let body = Bytes::from_static(&BODY[..4 << 10]);
    let answer: Bytes = if echo {
        let parts = format!("Encapsulated: res-hdr=0, res-body={}", response.len());
        let head = format!("ICAP/1.0 200 OK\r\nISTag: \"bench-1\"\r\n{parts}\r\n\r\n{response}");
        [head.as_bytes(), &icap_benches::chunked(&body, body.len())].concat().into()
    } else {
        Bytes::from_static(b"ICAP/1.0 204 No Content\r\nISTag: \"bench-1\"\r\n\r\n")
    };
    let connector = move |_: ServiceUri| {
        let (near, far) = duplex(16 << 10);
        tokio::spawn(answers(far, answer.clone()));
        async { Ok(near) }
    };
    let client = Client::builder("icap://memory/s").connector(connector).negotiate(false);
    let client = if echo { client.no_preview() } else { client.preview(1024) };
    let request = HttpHead::parse_request(request.into(), &limits, &leniency);
    let response = HttpHead::parse_response(response.into(), &limits, &leniency);
    let message = Respmod::new(response.expect("a good head"), Full::new(body));
    let calls = Calls {
        runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
        client: client.build().expect("a client"),
        message: message.request(request.expect("a good head")),
    };
    // The first call makes the connection that the others use.
    calls.one();
    calls
}

/// Answers each request at its end, which is that of its preview or of its body.
async fn answers(mut io: DuplexStream, answer: Bytes) {
    let mut read = BytesMut::with_capacity(16 << 10);
    while io.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        if read.ends_with(b"\r\n0\r\n\r\n") {
            read.clear();
            io.write_all(&answer).await.expect("the client reads");
        }
    }
}

impl Calls {
    fn one(&self) {
        self.runtime.block_on(async {
            match self.client.respmod(self.message.clone()).await.expect("an answer") {
                Outcome::Unmodified(original) => drop(original),
                Outcome::Modified(mut adapted) => {
                    while let Some(frame) = adapted.frame().await {
                        black_box(frame.expect("a whole body"));
                    }
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

#[library_benchmark]
#[bench::no_content_at_preview(args = (false), setup = calls, config = budget(15_080))]
#[bench::echo_of_4k(args = (true), setup = calls, config = budget(22_940))]
fn call(calls: Calls) -> Calls {
    black_box(&calls).one();
    calls
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
library_benchmark_group!(
    name = chunks,
    benchmarks = [chunks_sliced, chunks_decoded, chunk_lines, chunks_encoded]
);
library_benchmark_group!(name = transactions, benchmarks = [transaction]);
library_benchmark_group!(name = client, benchmarks = [call]);
main!(library_benchmark_groups = heads, chunks, transactions, client);
