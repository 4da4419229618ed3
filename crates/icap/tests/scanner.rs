//! `Scanner` against scripted servers: what is not a whole answer is not a verdict.
#![cfg(feature = "scanner")]

use std::io::Write;

use icap::Client;
use icap::scanner::{Direction, Scanner};
use icap::verdict::{ProblemKind, Profile, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that reads until it has seen `until`, writes `answer` and closes.
async fn server(until: &'static [u8], answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}/scan", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            while !request.windows(until.len()).any(|window| window == until) {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    uri
}

async fn scan(answer: &str) -> Verdict {
    let uri = server(b"0; ieof\r\n\r\n", answer.to_owned()).await;
    let client = Client::builder(uri.as_str()).negotiate(false).build().expect("a good client");
    let scanner = Scanner::new(client, Direction::Download);
    scanner.scan_bytes("a.txt", "hello").await.expect("bytes can be read").verdict
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";

fn ok(body: &str) -> String {
    let len = HEAD.len();
    format!(
        "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nEncapsulated: res-hdr=0, res-body={len}\r\n\r\n{HEAD}{body}"
    )
}

#[tokio::test]
async fn an_echo_allows_and_a_change_does_not() {
    assert!(scan(&ok("5\r\nhello\r\n0\r\n\r\n")).await.is_allow());
    assert_eq!(scan(&ok("5\r\nhallo\r\n0\r\n\r\n")).await.as_str(), "modified");
    assert_eq!(scan(&ok("4\r\nhell\r\n0\r\n\r\n")).await.as_str(), "modified");
    assert_eq!(scan(&ok("0\r\n\r\n")).await.as_str(), "modified");
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_no_verdict() {
    let whole = ok("5\r\nhello\r\n0\r\n\r\n");
    for cut in 0..whole.len() {
        let verdict = scan(&whole[..cut]).await;
        assert_eq!(verdict.as_str(), "error", "cut at {cut}: {verdict}");
    }
}

#[tokio::test]
async fn a_cut_answer_that_names_a_finding_is_a_block() {
    let whole = ok("5\r\nhello\r\n0\r\n\r\n")
        .replace("ISTag", "X-Infection-Found: Type=0; Resolution=2; Threat=Bad;\r\nISTag");
    let verdict = scan(&whole[..whole.len() - 3]).await;
    assert_eq!(verdict.to_string(), "block: Bad (malware, X-Infection-Found)");
}

#[tokio::test]
async fn the_profile_reads_the_answer() {
    let uri = server(b"0; ieof\r\n\r\n", ok("4\r\npage\r\n0\r\n\r\n")).await;
    let client = Client::builder(uri.as_str()).negotiate(false).build().expect("a good client");
    let profile = Profile::named("symantec-dlp").expect("built in").clone();
    let scanner = Scanner::new(client, Direction::Download).profile(profile);
    let report = scanner.scan_bytes("a.txt", "hello").await.expect("bytes can be read");
    let Verdict::Block(block) = report.verdict else { panic!("{}", report.verdict) };
    assert_eq!(block.page.map(|page| page.start).as_deref(), Some("page"));
}

#[tokio::test]
async fn a_204_allows_and_an_error_status_does_not() {
    assert!(scan("ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\n\r\n").await.is_allow());
    for (status, kind) in [
        (400, ProblemKind::BadRequest),
        (403, ProblemKind::Forbidden),
        (404, ProblemKind::ServiceNotFound),
        (500, ProblemKind::ServerError),
        (503, ProblemKind::Overload),
    ] {
        let verdict = scan(&format!("ICAP/1.0 {status} No\r\n\r\n")).await;
        let Verdict::Error(problem) = verdict else { panic!("{status}: {verdict}") };
        assert_eq!(problem.kind, kind, "{status}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let client = Client::builder("icap://127.0.0.1:9/scan").build().expect("a good client");
    let report = Scanner::new(client, Direction::Upload).scan_bytes("a", "b").await;
    let Verdict::Error(problem) = report.expect("bytes can be read").verdict else { panic!() };
    assert_eq!(problem.kind, ProblemKind::Connection);
}

#[tokio::test]
async fn files_are_scanned_from_disk() {
    let uri = server(b"0; ieof\r\n\r\n", ok("5\r\nhello\r\n0\r\n\r\n")).await;
    let client = Client::builder(uri.as_str()).negotiate(false).build().expect("a good client");
    let scanner = Scanner::new(client, Direction::Download);
    let mut file = tempfile::Builder::new().suffix(".txt").tempfile().expect("a file");
    file.write_all(b"hello").expect("room on the disk");
    let report = scanner.scan_file(file.path()).await.expect("a readable file");
    assert!(report.verdict.is_allow(), "{}", report.verdict);
    assert_eq!(report.status.map(|status| status.as_u16()), Some(200));

    assert!(scanner.scan_file("/nonexistent/file".as_ref()).await.is_err());
    assert!(scanner.scan_file(std::env::temp_dir().as_ref()).await.is_err());
}
