//! The program `icap-load` against servers that do right and wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::Value;

/// The server `bench-server`, for the time of a test.
struct BenchServer {
    process: Child,
    address: String,
}

impl BenchServer {
    fn start(workers: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bench-server"))
            .args(["--listen", "127.0.0.1:0", "--workers", workers])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("icap://").unwrap().1.to_owned();
        Self { process, address }
    }

    fn uri(&self, path: &str) -> String {
        format!("icap://{}{path}", self.address)
    }
}

impl Drop for BenchServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn load(uri: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_icap-load")).arg(uri).args(arguments).output().unwrap()
}

/// Runs with `--json`; the exit code and the report.
fn report(uri: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = load(uri, &[arguments, &["--json"]].concat());
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|_| panic!("{output:?}")))
}

/// Answers one request after the other on each connection with what `answer` makes of the good answer, and says on
/// which port. The request is a RESPMOD with a body without preview.
fn wrong_server(answer: fn(Vec<u8>) -> Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer_all(stream.unwrap(), answer));
        }
    });
    format!("icap://{address}/wrong")
}

fn answer_all(mut stream: TcpStream, answer: fn(Vec<u8>) -> Vec<u8>) {
    let mut wire = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => wire.extend_from_slice(&piece[..count]),
        }
        if !wire.ends_with(b"\r\n0\r\n\r\n") {
            continue;
        }
        let good = echo(&wire);
        wire.clear();
        let bad = answer(good.clone());
        let is_cut = bad.len() < good.len() && good.starts_with(&bad);
        if stream.write_all(&bad).is_err() || is_cut {
            return;
        }
    }
}

/// The answer that gives this request back.
fn echo(wire: &[u8]) -> Vec<u8> {
    let at = |text: &[u8]| wire.windows(text.len()).position(|window| window == text).unwrap();
    let response = at(b"HTTP/1.1 200 OK");
    let body = response + at_end(&wire[response..]);
    let head = format!(
        "ICAP/1.0 200 OK\r\nISTag: \"w\"\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n",
        body - response
    );
    [head.as_bytes(), &wire[response..]].concat()
}

fn at_end(head: &[u8]) -> usize {
    head.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4
}

/// What a server does wrong must be counted as that, each time, and fail the run.
fn is_reported(answer: fn(Vec<u8>) -> Vec<u8>, kind: &str) {
    let uri = wrong_server(answer);
    let (code, report) = report(&uri, &["--count", "6", "--connections", "2", "--body", "70000"]);
    assert_eq!(code, Some(1));
    assert_eq!(report["errors"][kind]["count"], 6, "{report}");
    assert_eq!(report["seen"]["requests"], 0);
}

#[test]
fn good_answers_are_good() {
    let server = BenchServer::start("2");
    let uri = server.uri("/echo");
    for (method, status) in [("respmod", "200"), ("reqmod", "200"), ("options", "200")] {
        for arguments in [&[][..], &["--preview", "1024"], &["--preview", "4096"], &["--body", "0"]]
        {
            let common = ["--count", "40", "--method", method, "--workers", "2"];
            let (code, report) = report(&uri, &[&common, arguments].concat());
            assert_eq!(code, Some(0), "{method} {arguments:?}: {report}");
            assert_eq!(report["seen"]["statuses"][status], 40, "{report}");
        }
    }
    let (code, report) = report(&uri, &["--count", "4", "--body", "3000000", "--chunk", "65536"]);
    assert_eq!((code, &report["seen"]["compared_bytes"]), (Some(0), &12_000_000.into()));
}

#[test]
fn a_204_is_accepted_unless_something_else_is_expected() {
    let server = BenchServer::start("1");
    let uri = server.uri("/b204");
    let common = ["--count", "20", "--preview", "1024"];
    let (code, good) = report(&uri, &common);
    assert_eq!((code, &good["seen"]["statuses"]["204"]), (Some(0), &20.into()));
    let (code, bad) = report(&uri, &[&common[..], &["--expect", "200"]].concat());
    assert_eq!((code, &bad["errors"]["status 204"]["count"]), (Some(1), &20.into()));
}

/// An open loop sends as many as were asked for, whatever the server does.
#[test]
fn an_open_loop_keeps_its_rate() {
    let server = BenchServer::start("1");
    let arguments = ["--rate", "200", "--duration", "0.5", "--warm-up", "0.1"];
    let (code, report) = report(&server.uri("/echo"), &arguments);
    assert_eq!(code, Some(0));
    assert_eq!(report["load"]["rate"], 200.0);
    // Of 120 in all, those that are due in the last half second.
    let measured = report["seen"]["requests"].as_u64().unwrap();
    assert!((98..=101).contains(&measured), "{report}");
}

#[test]
fn a_changed_byte_is_reported() {
    is_reported(
        |mut answer| {
            let at = answer.len() - 100;
            answer[at] ^= 1;
            answer
        },
        "body differs",
    );
}

#[test]
fn a_changed_head_is_reported() {
    let change: fn(Vec<u8>) -> Vec<u8> = |mut answer| {
        let at = answer.windows(6).position(|window| window == b"Apache").unwrap();
        answer[at] = b'a';
        answer
    };
    is_reported(change, "head differs");
    let arguments = ["--count", "6", "--changed-head"];
    assert_eq!(report(&wrong_server(change), &arguments).0, Some(0));
}

#[test]
fn a_cut_answer_is_reported() {
    is_reported(|answer| answer[..answer.len() - 5].to_vec(), "truncated");
    is_reported(|answer| answer[..answer.len() / 2].to_vec(), "truncated");
}

/// A last chunk too early: whole as ICAP, and not what was sent.
#[test]
fn a_shorter_body_is_reported() {
    is_reported(
        |mut answer| {
            let at = answer.windows(6).position(|window| window == b"1000\r\n").unwrap();
            answer.truncate(at + 6 + 4096 + 2);
            answer.extend_from_slice(b"0\r\n\r\n");
            answer
        },
        "body length",
    );
}

#[test]
fn an_answer_of_500_is_reported() {
    is_reported(|_| b"ICAP/1.0 500 Server Error\r\nISTag: \"w\"\r\n\r\n".to_vec(), "status 500");
}

#[test]
fn what_is_no_icap_is_reported() {
    is_reported(|_| b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "protocol");
}

/// Two answers to one request: taken one for one, all later answers would be those of other requests.
#[test]
fn an_answer_too_many_is_reported() {
    let uri = wrong_server(|_| {
        let answer = b"ICAP/1.0 204 No Content\r\nISTag: \"w\"\r\n\r\n";
        [&answer[..], answer].concat()
    });
    let (code, report) = report(&uri, &["--count", "8", "--connections", "1"]);
    assert_eq!((code, &report["errors"]["unasked"]["count"]), (Some(1), &8.into()), "{report}");
}

#[test]
fn a_server_that_is_not_there_is_no_run() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = load(&format!("icap://127.0.0.1:{port}/echo"), &["--count", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect"), "{output:?}");
}
