//! `Scanner` against scripted servers: what is not a whole answer is not a verdict.
#![cfg(feature = "scanner")]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use icap::client::{Client, Error, Invalid, ServiceGroup};
use icap::scanner::{Direction, Scanner, ScannerBuilder};
use icap::verdict::{Action, Policy, ProblemKind, Profile, Verdict};
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
    scanner(&uri).scan_bytes("a.txt", "hello").await.expect("bytes can be read").verdict
}

/// A scanner of downloads that asks for no OPTIONS.
fn scanner(uri: &str) -> Scanner {
    with_profile(Profile::auto()).uri(uri).build().expect("a good scanner")
}

fn with_profile(profile: &Profile) -> ScannerBuilder {
    Scanner::builder(profile.clone())
        .direction(Direction::Download)
        .client(|client| client.negotiate(false))
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
    let profile = Profile::named("symantec-dlp").expect("built in");
    let scanner = with_profile(profile).uri(uri.as_str()).build().expect("a good scanner");
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
    let scanner = scanner("icap://127.0.0.1:9/scan");
    let report = scanner.scan_bytes("a", "b").await.expect("bytes can be read");
    let Verdict::Error(problem) = report.verdict else { panic!() };
    assert_eq!(problem.kind, ProblemKind::Connection);
    assert_eq!(report.decision.action, Action::Block);
    assert_eq!(
        report.server.map(|uri| uri.to_string()).as_deref(),
        Some("icap://127.0.0.1:9/scan")
    );

    let without = Scanner::builder(Profile::auto().clone()).build();
    assert!(matches!(without, Err(Error::Invalid(Invalid::NoMembers))));
}

#[tokio::test]
async fn files_are_scanned_from_disk() {
    let uri = server(b"0; ieof\r\n\r\n", ok("5\r\nhello\r\n0\r\n\r\n")).await;
    let scanner = scanner(&uri);
    let mut file = tempfile::Builder::new().suffix(".txt").tempfile().expect("a file");
    file.write_all(b"hello").expect("room on the disk");
    let report = scanner.scan_file(file.path()).await.expect("a readable file");
    assert!(report.verdict.is_allow(), "{}", report.verdict);
    assert_eq!(report.status.map(|status| status.as_u16()), Some(200));
    assert_eq!(report.bytes, 5);

    assert!(scanner.scan_file("/nonexistent/file").await.is_err());
    assert!(scanner.scan_file(std::env::temp_dir()).await.is_err());
    #[cfg(unix)]
    {
        assert!(scanner.scan_file("/dev/null").await.is_err());
        // Nobody writes into it.
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let scan = tokio::time::timeout(Duration::from_secs(10), scanner.scan_file(&pipe)).await;
        // A thread that waits for a writer gets one, or this test would hang instead of failing.
        let writer = std::fs::File::options().read(true).write(true).open(&pipe);
        assert!(writer.is_ok());
        assert!(scan.expect("no wait").is_err());
    }
}

const NO_CONTENT: &str = "ICAP/1.0 204 No Content\r\nISTag: \"t\"\r\n\r\n";

#[tokio::test]
async fn a_file_larger_than_a_piece_is_sent_whole() {
    let uri = server(b"THE END\r\n0\r\n\r\n", NO_CONTENT.to_owned()).await;
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    let scanner = with_profile(Profile::named("fortisandbox").expect("built in"))
        .uri(uri.as_str())
        .on_read(move |bytes| {
            count.fetch_add(bytes, Ordering::Relaxed);
        })
        .build()
        .expect("a good scanner");
    for size in [64 * 1024, 64 * 1024 + 7, 300_000] {
        read.store(0, Ordering::Relaxed);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&vec![b'x'; size - 7]).expect("room on the disk");
        file.write_all(b"THE END").expect("room on the disk");
        let report = scanner.scan_file(file.path()).await.expect("a readable file");
        assert!(report.verdict.is_allow(), "{size}: {}", report.verdict);
        assert_eq!(report.bytes, size as u64);
        assert_eq!(read.load(Ordering::Relaxed), size as u64);
    }
}

#[tokio::test]
async fn a_file_that_shrinks_is_an_error() {
    let uri = server(b"never", NO_CONTENT.to_owned()).await;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&vec![b'x'; 1_000_000]).expect("room on the disk");
    let shrinking = file.reopen().expect("the same file");
    let scanner = with_profile(Profile::auto())
        .uri(uri.as_str())
        .client(|client| client.no_preview())
        .on_read(move |_| shrinking.set_len(70_000).expect("a file that can be cut"))
        .build()
        .expect("a good scanner");
    let error = scanner.scan_file(file.path()).await.expect_err("a file that was cut");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn readers_are_scanned_to_their_end() {
    let uri = server(b"5\r\nhello\r\n0\r\n\r\n", NO_CONTENT.to_owned()).await;
    let scanner = with_profile(Profile::named("fortisandbox").expect("built in"))
        .uri(uri.as_str())
        .build()
        .expect("a good scanner");
    let report = scanner.scan_reader("stdin", &b"hello"[..]).await.expect("a good reader");
    assert!(report.verdict.is_allow(), "{}", report.verdict);
    assert_eq!(report.bytes, 5);

    assert!(scanner.scan_reader("stdin", broken_reader()).await.is_err());
}

/// A reader that fails.
fn broken_reader() -> impl tokio::io::AsyncRead + Send {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
        }
    }
    Broken
}

#[tokio::test]
async fn of_several_servers_the_next_is_asked() {
    let good = server(b"0; ieof\r\n\r\n", NO_CONTENT.to_owned()).await;
    let scanner = with_profile(Profile::auto())
        .uri("icap://127.0.0.1:9/scan")
        .uri(good.as_str())
        .build()
        .expect("a good scanner");
    let report = scanner.scan_bytes("a", "hello").await.expect("bytes can be read");
    assert!(report.verdict.is_allow(), "{}", report.verdict);
    assert_eq!(report.server.map(|uri| uri.to_string()), Some(good.clone()));

    // The same with a group of the caller's.
    let client = |uri: &str| Client::builder(uri).negotiate(false).build().expect("a good client");
    let group = ServiceGroup::builder()
        .member(client("icap://127.0.0.1:9/scan"))
        .member(client(&good))
        .build()
        .expect("a good group");
    let scanner = with_profile(Profile::auto()).services(group).build().expect("a good scanner");
    let report = scanner.scan_bytes("a", "hello").await.expect("bytes can be read");
    assert_eq!(report.server.map(|uri| uri.to_string()), Some(good));
}

/// A server that answers OPTIONS with these methods and, after a moment, every message with a 204; and the most
/// messages that it had at a time.
async fn counting(methods: &'static str) -> (String, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}/scan", listener.local_addr().expect("an address"));
    let (most, uploads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (highest, reqmods) = (Arc::clone(&most), Arc::clone(&uploads));
    let now = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let (now, highest, reqmods) =
                (Arc::clone(&now), Arc::clone(&highest), Arc::clone(&reqmods));
            tokio::spawn(async move {
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.unwrap_or(0) > 0 {
                    if request.starts_with(b"OPTIONS") && request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        let answer = format!(
                            "ICAP/1.0 200 OK\r\nMethods: {methods}\r\nISTag: \"t\"\r\nAllow: 204\r\n\
                             Preview: 100\r\nEncapsulated: null-body=0\r\n\r\n"
                        );
                        let _ = stream.write_all(answer.as_bytes()).await;
                    } else if request.ends_with(b"\r\nb\r\n0\r\n\r\n")
                        || request.ends_with(b"ieof\r\n\r\n")
                    {
                        reqmods.fetch_add(
                            usize::from(request.starts_with(b"REQMOD")),
                            Ordering::SeqCst,
                        );
                        request.clear();
                        let before = now.fetch_add(1, Ordering::SeqCst);
                        highest.fetch_max(before.saturating_add(1), Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                        let _ = stream.write_all(NO_CONTENT.as_bytes()).await;
                    }
                }
            });
        }
    });
    (uri, most, uploads)
}

#[tokio::test]
async fn no_more_at_a_time_than_the_profile_says() {
    for (setting, expected) in [(None, 3), (Some(2), 2), (Some(0), 3)] {
        let (uri, most, _) = counting("RESPMOD").await;
        let mut profile = Profile::auto().clone();
        profile.ask.max_concurrent = Some(3);
        let mut builder = Scanner::builder(profile).uri(uri.as_str());
        if let Some(files) = setting {
            builder = builder.max_concurrent(files);
        }
        let scanner = builder.build().expect("a good scanner");
        let scans: Vec<_> = (0..12)
            .map(|_| {
                let scanner = scanner.clone();
                tokio::spawn(async move { scanner.scan_bytes("a", "b").await })
            })
            .collect();
        for scan in scans {
            let report = scan.await.expect("no panic").expect("bytes can be read");
            assert!(report.verdict.is_allow(), "{}", report.verdict);
        }
        assert_eq!(most.load(Ordering::SeqCst), expected, "{setting:?}");
    }
}

#[tokio::test]
async fn the_direction_is_one_that_the_service_takes() {
    for (profile, methods, uploads) in [
        ("auto", "RESPMOD", 0),
        ("auto", "REQMOD", 1),
        ("auto", "REQMOD, RESPMOD", 0),
        ("casb-dlp", "REQMOD, RESPMOD", 1),
        ("reqmod", "REQMOD", 1),
    ] {
        let (uri, _, reqmods) = counting(methods).await;
        let profile = Profile::named(profile).expect("built in").clone();
        let scanner = Scanner::builder(profile).uri(uri).build().expect("a good scanner");
        let report = scanner.scan_bytes("a", "b").await.expect("bytes can be read");
        assert!(report.verdict.is_allow(), "{methods}: {}", report.verdict);
        assert_eq!(reqmods.load(Ordering::SeqCst), uploads, "{methods}");
    }
}

#[tokio::test]
async fn the_policy_decides() {
    let uri = server(b"0; ieof\r\n\r\n", "ICAP/1.0 500 No\r\n\r\n".to_owned()).await;
    let mut policy = Policy::default();
    policy.error = Action::Allow;
    let scanner =
        with_profile(Profile::auto()).uri(uri).policy(policy).build().expect("a good scanner");
    let report = scanner.scan_bytes("a", "b").await.expect("bytes can be read");
    assert_eq!(report.verdict.as_str(), "error");
    assert_eq!(report.decision.action, Action::Allow);
}

#[cfg(feature = "identity")]
#[tokio::test]
async fn who_sends_is_said() {
    use icap::proto::Identity;

    let uri = server(b"X-Client-IP: 10.1.2.3\r\n", NO_CONTENT.to_owned()).await;
    let identity = Identity::new().with_client_ip([10, 1, 2, 3].into());
    let scanner = with_profile(Profile::auto()).uri(uri).identity(identity).build();
    let scan = scanner.expect("a good scanner");
    let report = tokio::time::timeout(Duration::from_secs(5), scan.scan_bytes("a", "b"));
    let report = report.await.expect("the server saw who it is").expect("bytes can be read");
    assert!(report.verdict.is_allow(), "{}", report.verdict);
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn reports_are_flat_as_serde_values() {
    let uri = server(b"0; ieof\r\n\r\n", NO_CONTENT.to_owned()).await;
    let report = scanner(&uri).scan_bytes("a", "hello").await.expect("bytes can be read");
    let value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(value["verdict"], "allow");
    assert_eq!(value["reason"], "no_content");
    assert_eq!(value["decision"]["action"], "allow");
    assert_eq!(value["status"], 204);
    assert_eq!(value["bytes"], 5);
    assert_eq!(value["server"], uri);
    assert!(value["milliseconds"].as_f64().is_some_and(|elapsed| elapsed > 0.0));
}
