//! CPU time of `icap-client` for one request, beside its floor: a bare tokio client that writes canned bytes and reads
//! to the end of the answer.
//!
//! ```text
//! cargo bench -p icap-benches --bench client
//! cargo bench -p icap-benches --bench client -- profile 204 client 2000   # for callgrind
//! ```
//!
//! The server is a process of its own, and what counts is the CPU time of the one thread that both clients run on, so
//! that a busy machine moves the ratio less than the times. Rounds of both take turns.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "the messages are our own"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cpu_time::ThreadTime;
use http_body_util::{BodyExt, Full};
use icap_benches::{chunked, respmod};
use icap_client::{Client, Outcome, Respmod};
use icap_proto::HttpHead;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Requests in flight: with one alone, the wake-up of a sleeping core is measured.
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 15;
/// Requests of a round, on each connection.
const REQUESTS: usize = 500;
const BODY: usize = 4096;
const PREVIEW: usize = 1024;
/// The goal: CPU time of the client as a multiple of the floor's.
const GOAL: f64 = 1.4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// 4 KiB with a preview of 1 KiB, to which the answer is 204.
    NoContent,
    /// 4 KiB without preview, that come back in a 200.
    Echo,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Floor,
    Client,
}

fn main() {
    let server = BenchServer::start();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arguments: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            for case in [Case::NoContent, Case::Echo] {
                compare(&runtime, &server.address, case);
            }
        }
        ["profile", case, side, requests] => {
            let case = if case == "204" { Case::NoContent } else { Case::Echo };
            let side = if side == "floor" { Side::Floor } else { Side::Client };
            let requests = requests.parse::<usize>().expect("a number of requests");
            Bench::new(&runtime, &server.address, case).round(side, requests / CONNECTIONS);
        }
        _ => panic!("arguments: none, or profile 204|echo floor|client REQUESTS"),
    }
}

fn compare(runtime: &Runtime, address: &str, case: Case) {
    let bench = Bench::new(runtime, address, case);
    for side in [Side::Floor, Side::Client] {
        bench.round(side, REQUESTS / 10);
    }
    let (mut floors, mut clients, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = bench.round(Side::Floor, REQUESTS);
        let client = bench.round(Side::Client, REQUESTS);
        floors.push(floor);
        clients.push(client);
        ratios.push(client / floor);
    }
    let ((floor, ..), (client, ..)) = (spread(floors), spread(clients));
    let (ratio, least, most) = spread(ratios);
    println!(
        "client/{case:?}: floor {floor:.2} us, icap-client {client:.2} us of CPU a request, \
         ratio {ratio:.2} [{least:.2}..{most:.2}], goal {GOAL}"
    );
}

/// Median, least, most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

struct Bench<'a> {
    runtime: &'a Runtime,
    case: Case,
    client: Client,
    message: Respmod<Full<Bytes>>,
    address: Arc<str>,
    /// What the floor writes: what the client writes.
    canned: Bytes,
}

impl<'a> Bench<'a> {
    fn new(runtime: &'a Runtime, address: &str, case: Case) -> Self {
        let path = if case == Case::NoContent { "b204" } else { "echo" };
        let client = Client::builder(format!("icap://{address}/{path}").as_str());
        let client = if case == Case::NoContent { client } else { client.no_preview() };
        let texts = respmod();
        let head = |text: &str| -> Vec<(String, String)> {
            let lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let target = "/assets/img/logo-2x.png?v=20260721";
        let request = HttpHead::request("GET", target, head(texts.request)).expect("a good head");
        let response = HttpHead::response(200, "OK", head(texts.response)).expect("a good head");
        let body = vec![0x5a; BODY];
        let preview = format!("Preview: {PREVIEW}\r\n");
        let heads = format!(
            "RESPMOD icap://{address}/{path} ICAP/1.0\r\nHost: {address}\r\n\
             User-Agent: icap-client/0.1.0\r\nAllow: trailers\r\n{}\
             Encapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\r\n{}{}",
            if case == Case::NoContent { &preview } else { "" },
            texts.request.len(),
            texts.request.len() + texts.response.len(),
            texts.request,
            texts.response,
        );
        let sent = if case == Case::NoContent { PREVIEW } else { BODY };
        Self {
            runtime,
            case,
            client: client.build().expect("a client"),
            message: Respmod::new(response, Full::new(body.clone().into())).request(request),
            address: address.into(),
            canned: [heads.as_bytes(), &chunked(&body[..sent], sent)].concat().into(),
        }
    }

    /// So many requests on each of the connections; microseconds of CPU for one.
    fn round(&self, side: Side, requests: usize) -> f64 {
        let mut tasks = JoinSet::new();
        let started = ThreadTime::now();
        self.runtime.block_on(async {
            for _ in 0..CONNECTIONS {
                let case = self.case;
                match side {
                    Side::Floor => {
                        tasks.spawn(bare(
                            self.address.clone(),
                            self.canned.clone(),
                            case,
                            requests,
                        ));
                    }
                    Side::Client => {
                        tasks.spawn(calls(
                            self.client.clone(),
                            self.message.clone(),
                            case,
                            requests,
                        ));
                    }
                }
            }
            while let Some(ended) = tasks.join_next().await {
                ended.expect("each answer is good");
            }
        });
        started.elapsed().as_secs_f64() * 1e6 / (requests * CONNECTIONS) as f64
    }
}

/// The floor: it knows what comes back and where that ends.
async fn bare(address: Arc<str>, canned: Bytes, case: Case, requests: usize) {
    let mut stream = TcpStream::connect(&*address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let end: &[u8] = if case == Case::NoContent { b"\r\n\r\n" } else { b"\r\n0\r\n\r\n" };
    let mut answer = BytesMut::with_capacity(16 * 1024);
    for _ in 0..requests {
        stream.write_all(&canned).await.expect("the server reads");
        answer.clear();
        while !answer.ends_with(end) {
            assert_ne!(stream.read_buf(&mut answer).await.expect("the server answers"), 0);
        }
        let status: &[u8] =
            if case == Case::NoContent { b"ICAP/1.0 204 " } else { b"ICAP/1.0 200 " };
        assert!(answer.starts_with(status));
    }
}

async fn calls(client: Client, message: Respmod<Full<Bytes>>, case: Case, requests: usize) {
    for _ in 0..requests {
        match client.respmod(message.clone()).await.expect("the server answers") {
            Outcome::Unmodified(original) if case == Case::NoContent => drop(original),
            Outcome::Modified(mut adapted) if case == Case::Echo => {
                let mut bytes = 0;
                while let Some(frame) = adapted.frame().await {
                    bytes += frame.expect("a whole body").data_ref().map_or(0, Bytes::len);
                }
                assert_eq!(bytes, BODY);
            }
            other => panic!("{other:?}"),
        }
    }
}

struct BenchServer {
    process: Child,
    address: String,
}

impl BenchServer {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bench-server"))
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it says where");
        let address = line.trim().trim_start_matches("bench-server: listening on icap://");
        Self { address: address.to_owned(), process }
    }
}

impl Drop for BenchServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
