//! The program `scan`, run as people run it, against a server in this process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use icap::server::{Error, Reply, Request, Service};
use icap::{HttpHead, IsTag, Server, ServiceOptions};
use icap_examples::engine::{self, Engine};
use icap_examples::scan_service;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// Puts another body in the place of every greeting, and a page in that of all else.
struct Changes;

impl Service for Changes {
    fn options(&self) -> ServiceOptions {
        let options = ServiceOptions::respmod("changes").expect("a name");
        options.istag(IsTag::new("t").expect("a tag")).preview(1024).allow_no_content()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let (_, preview) = request.preview().await?;
        let (status, reason) =
            if preview.bytes().starts_with(b"hello") { (200, "OK") } else { (403, "No") };
        let head = HttpHead::response(status, reason, [("Content-Length", "7")])?;
        Ok(Reply::modified(head, Bytes::from_static(b"another")))
    }
}

/// Refuses everything, and puts something else in the place of the file meanwhile.
struct Swaps(PathBuf);

impl Service for Swaps {
    fn options(&self) -> ServiceOptions {
        let options = ServiceOptions::respmod("swaps").expect("a name");
        options.istag(IsTag::new("t").expect("a tag")).preview(1024)
    }

    async fn call(&self, _: Request) -> Result<Reply, Error> {
        fs::write(&self.0, "nobody has looked at this")?;
        let head = HttpHead::response(403, "No", [("Content-Length", "2")])?;
        Ok(Reply::modified(head, Bytes::from_static(b"no")))
    }
}

/// The services of `scan-server`, and `/changes`.
async fn server() -> String {
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}", server.local_addr().expect("an address"));
    let server = scan_service::install(server, &Engine::new()).expect("three services");
    tokio::spawn(server.service("/changes", Changes).expect("a free path").serve());
    uri
}

/// A folder with a clean file, one with the EICAR string, and one more in a folder inside.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("clean.txt"), "hello").expect("room on the disk");
    fs::write(folder.path().join("bad.txt"), engine::eicar()).expect("room on the disk");
    fs::create_dir(folder.path().join("inside")).expect("room on the disk");
    fs::write(folder.path().join("inside/deep.txt"), vec![b'x'; 200_000]).expect("room");
    folder
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Verdicts by file name.
    fn verdicts(&self) -> BTreeMap<String, String> {
        let name = |file: &Value| {
            let file = Path::new(file.as_str().expect("text")).file_name();
            file.expect("a name").to_string_lossy().into_owned()
        };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        self.json().iter().map(|row| (name(&row["file"]), text(&row["verdict"]))).collect()
    }

    fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }
}

async fn scan<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Ran {
    scan_input(arguments, b"").await
}

async fn scan_input<A: AsRef<std::ffi::OsStr>>(arguments: &[A], input: &[u8]) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_scan")).args(arguments), input).await
}

async fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs");
    let _ = child.stdin.take().expect("piped").write_all(input).await;
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
    let output = output.await.expect("it ends").expect("it can be read");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_which_goes_first() {
    let (server, folder) = (server().await, folder());
    let (respmod, changes) = (format!("{server}/respmod"), format!("{server}/changes"));
    let (clean, bad) = (path(&folder, "clean.txt"), path(&folder, "bad.txt"));
    let gone = path(&folder, "gone");

    assert_eq!(scan(&[&respmod, &clean]).await.code, Some(0));
    assert_eq!(scan(&[&respmod, &clean, &bad]).await.code, Some(1));
    assert_eq!(scan(&[&respmod, &clean, &bad, &gone]).await.code, Some(2));
    assert_eq!(scan(&[&changes, &clean]).await.code, Some(3));
    assert_eq!(scan(&[&changes, &clean, &gone]).await.code, Some(2));
    // As a product that replaces what it refuses, the same is a block.
    assert_eq!(scan(&["--type", "symantec", &changes, &clean]).await.code, Some(1));
    assert_eq!(scan(&["icap://127.0.0.1:9/none", &clean]).await.code, Some(2));
    // One of two services is enough.
    assert_eq!(scan(&["icap://127.0.0.1:9/none", &respmod, &clean]).await.code, Some(0));
    // A folder is not passed over.
    assert_eq!(scan(&[respmod.clone(), folder.path().display().to_string()]).await.code, Some(2));
    for wrong in [&[respmod.as_str()][..], &[&clean], &["--type", "nobody", &respmod, &clean]] {
        assert_eq!(scan(wrong).await.code, Some(2), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_goes_before_a_modification() {
    let (server, folder) = (server().await, folder());
    let (clean, bad) = (path(&folder, "clean.txt"), path(&folder, "bad.txt"));
    let ran = scan(&[&format!("{server}/changes"), &clean, &bad]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("2 files in "), "{}", ran.stderr);
    let counts = ": 0 allowed, 1 blocked, 1 modified, 0 errors\n";
    assert!(ran.stderr.ends_with(counts), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_scanned_in_parallel() {
    let (server, folder) = (server().await, folder());
    for number in 0..100 {
        fs::write(folder.path().join(format!("more-{number}")), "x".repeat(number)).expect("room");
    }
    let uri = format!("{server}/reqmod");
    let root = folder.path().display().to_string();
    let ran = scan(&["--recursive", "--jobs", "8", "--json", &uri, &root]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.stderr, "", "no progress bar in a pipe");
    let verdicts = ran.verdicts();
    assert_eq!(verdicts.len(), 103);
    assert_eq!(verdicts["bad.txt"], "block");
    assert_eq!(verdicts.values().filter(|verdict| *verdict == "allow").count(), 102);

    let deep = ran.json().into_iter().find(|row| row["bytes"] == 200_000).expect("deep.txt");
    assert!(deep["file"].as_str().is_some_and(|file| file.ends_with("inside/deep.txt")));
    assert_eq!(deep["server"], uri);
    assert_eq!(deep["status"], 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_size_go_whole_and_in_their_order() {
    let (server, folder) = (server().await, tempfile::tempdir().expect("a folder"));
    // Up to 65,536 bytes they are read ahead; three pieces of 64 KiB and a little are the last.
    let sizes = [0usize, 1, 1024, 65_535, 65_536, 65_537, 200_000];
    for number in 0..140 {
        let size = sizes[number % sizes.len()];
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + number) as u8).collect();
        fs::write(folder.path().join(format!("{number:03}")), bytes).expect("room on the disk");
    }
    let names = (0..140).map(|number| path(&folder, &format!("{number:03}")));
    let uri = format!("{server}/echo");
    let arguments = ["--type", "respmod", "-j", "1", "--json", &uri].map(str::to_owned);
    let ran = scan(&arguments.into_iter().chain(names).collect::<Vec<_>>()).await;
    // What comes back is compared: another byte would be a modification.
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let rows = ran.json();
    assert_eq!(rows.len(), 140);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row["file"], path(&folder, &format!("{number:03}")));
        assert_eq!(row["bytes"], sizes[number % sizes.len()], "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_input_is_scanned() {
    let server = format!("{}/respmod", server().await);
    assert_eq!(scan_input(&[&server, "-"], b"hello").await.code, Some(0));
    let ran = scan_input(&["--json", &server, "-"], &engine::eicar()).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert_eq!(ran.json()[0]["threat"], "Eicar-Test-Signature");
}

/// Rows are printed together, but none waits for a scan that takes long.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_does_not_wait_for_the_next_scan() {
    let (server, folder) = (format!("{}/respmod", server().await), folder());
    let mut child = Command::new(env!("CARGO_BIN_EXE_scan"))
        .args([&server, &path(&folder, "clean.txt"), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs");
    let input = child.stdin.take().expect("piped");
    let mut rows = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = tokio::time::timeout(Duration::from_secs(60), rows.next_line()).await;
    let first = first.expect("no wait").expect("text").expect("a row");
    assert!(first.contains("clean.txt"), "{first}");
    drop(input);
    assert!(rows.next_line().await.expect("text").is_some());
    assert!(child.wait().await.expect("it ends").success());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn blocked_files_are_moved_and_told_of() {
    use std::os::unix::fs::PermissionsExt;

    let (server, folder) = (server().await, folder());
    let held = path(&folder, "held");
    let told = path(&folder, "told");
    let program = path(&folder, "program");
    let script = format!("#!/bin/sh\n{{ echo \"$# $1\"; cat; echo; }} >>'{told}'\necho noise\n");
    fs::write(&program, script).expect("room");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    // A name that a shell would run, and one that a program would take for an option.
    let names = ["$(touch ran);`touch ran`&touch ran", "--help"];
    for name in names {
        fs::write(folder.path().join(name), engine::eicar()).expect("room");
    }
    let uri = format!("{server}/respmod");
    let arguments = |name: &str| {
        ["--json", "--quarantine", &held, "--exec", &program, &uri, name].map(str::to_owned)
    };

    for name in names {
        let ran = scan(&arguments(&path(&folder, name))).await;
        assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
        assert!(!folder.path().join(name).exists());
        assert_eq!(fs::read(Path::new(&held).join(name)).expect("moved"), engine::eicar());
        assert_eq!(ran.json().len(), 1, "what a program says is not for our output");
    }
    assert!(!folder.path().join("ran").exists() && !Path::new("ran").exists());
    let text = fs::read_to_string(&told).expect("the program ran");
    assert!(text.contains(&format!("1 {held}/--help\n{{\"file\":")), "{text}");

    // A second of the same name takes the place of none.
    fs::write(folder.path().join("--help"), engine::eicar()).expect("room");
    assert_eq!(scan(&arguments(&path(&folder, "--help"))).await.code, Some(1));
    assert!(Path::new(&held).join("--help.1").exists());

    // Nothing is done about a clean file, or one without a verdict.
    assert_eq!(scan(&arguments(&path(&folder, "clean.txt"))).await.code, Some(0));
    let dead = ["--quarantine", &held, "icap://127.0.0.1:9/x", &path(&folder, "clean.txt")];
    assert_eq!(scan(&dead).await.code, Some(2));
    assert!(folder.path().join("clean.txt").exists());

    // What is to be done and cannot be is an error.
    let ran = scan(&["--exec", "/nonexistent", &uri, &path(&folder, "bad.txt")]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains("FAILED: /nonexistent"), "{}", ran.stdout);
}

/// What is moved within the folder would have another name after each scan.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_quarantine_stays_there() {
    let (uri, folder) = (format!("{}/respmod", server().await), folder());
    let root = folder.path().display().to_string();
    let ran = scan(&["--recursive", "--json", "--quarantine", &root, &uri, &root]).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.verdicts().len(), 3);
    let blocked = ran.json().into_iter().find(|row| row["verdict"] == "block").expect("bad.txt");
    let bad = fs::canonicalize(path(&folder, "bad.txt")).expect("where it was");
    assert_eq!(blocked["quarantined"], bad.display().to_string());
    assert_eq!(fs::read_dir(&root).expect("a folder").count(), 3);
}

/// The quarantine is given by way of a link, the folder that it is in as `.`.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_below_the_folder_is_not_scanned() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    const BAD: usize = 100;
    let (uri, folder, aside) = (format!("{}/respmod", server().await), folder(), folder());
    let held = folder.path().join("inside/held");
    fs::create_dir(&held).expect("room");
    fs::write(held.join("old.txt"), engine::eicar()).expect("room");
    symlink("inside", folder.path().join("link")).expect("room");
    // With the one that the folder has already, half of them beside the quarantine and half above it.
    for number in 1..BAD {
        let place = if number % 2 == 0 { "inside" } else { "." };
        let place = folder.path().join(place).join(format!("bad{number}.txt"));
        fs::write(place, engine::eicar()).expect("room");
    }
    let (told, program) = (path(&aside, "told"), path(&aside, "program"));
    fs::write(&program, format!("#!/bin/sh\necho \"$1\" >>'{told}'\n")).expect("room");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");

    let arguments =
        ["--recursive", "--json", "--quarantine", "link/held", "--exec", &program, &uri, "."];
    let mut command = Command::new(env!("CARGO_BIN_EXE_scan"));
    let ran = run(command.args(arguments).current_dir(&folder), b"").await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json().len(), BAD + 2, "a row for each file: {}", ran.stdout);
    let verdicts = ran.verdicts();
    assert_eq!(verdicts.len(), BAD + 2);
    assert_eq!(verdicts.values().filter(|verdict| *verdict == "block").count(), BAD);
    let told = fs::read_to_string(&told).expect("the program ran");
    assert_eq!(told.lines().count(), BAD, "{told}");
    // And what was there before.
    assert_eq!(fs::read_dir(&held).expect("a folder").count(), BAD + 1);
    assert!(held.join("old.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_about_what_was_not_read() {
    let folder = folder();
    let (file, held) = (path(&folder, "bad.txt"), path(&folder, "held"));
    let server = Server::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("icap://{}/swaps", server.local_addr().expect("an address"));
    let server = server.service("/swaps", Swaps(file.clone().into())).expect("a free path");
    tokio::spawn(server.serve());

    let ran = scan(&["--json", "--quarantine", &held, "--exec", "/nonexistent", &uri, &file]).await;
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    let row = ran.json().pop().expect("a row");
    assert_eq!(row["verdict"], "block", "of what was read");
    let failures = ["nothing was done about it: changed since it was read"];
    assert_eq!(row["failures"], serde_json::json!(failures));
    assert_eq!(fs::read(&file).expect("not moved"), b"nobody has looked at this");
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_of_ones_own() {
    let (server, folder) = (server().await, folder());
    let profile = path(&folder, "own.toml");
    fs::write(&profile, "base = \"reqmod\"\nname = \"our-dlp\"\n").expect("room");
    let ran = scan(&[
        "--profile",
        &profile,
        "--json",
        &format!("{server}/reqmod"),
        &path(&folder, "bad.txt"),
    ])
    .await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.json()[0]["profile"], "our-dlp");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_goes_from_the_name_to_the_sample() {
    let server = server().await;
    let steps = |ran: &Ran| -> Vec<(String, bool)> {
        let step =
            |row: &Value| (row["step"].as_str().expect("text").to_owned(), row["ok"] == true);
        ran.json().iter().map(step).collect()
    };
    let all = |last| {
        ["name", "TCP", "OPTIONS", "clean", "must-block"]
            .map(|step| (step.to_owned(), step != "must-block" || last))
            .to_vec()
    };
    let good = scan(&["--check", "--json", &format!("{server}/respmod")]).await;
    assert_eq!((good.code, steps(&good)), (Some(0), all(true)), "{}", good.stdout);

    let blind = scan(&["--check", "--json", "--type", "symantec", &format!("{server}/echo")]).await;
    assert_eq!((blind.code, steps(&blind)), (Some(2), all(false)), "{}", blind.stdout);
    let last = blind.json().pop().expect("steps");
    assert!(last["detail"].as_str().is_some_and(|text| text.starts_with("eicar.com, 4097 bytes")));
    let hints = last["hints"].to_string();
    assert!(hints.contains("Trial Mode"), "{hints}");

    let wrong =
        scan(&["--check", "--json", "--type", "symantec", &format!("{server}/nosuch")]).await;
    assert_eq!(wrong.code, Some(2));
    let last = wrong.json().pop().expect("steps");
    assert_eq!(last["step"], "OPTIONS");
    assert!(last["hints"].to_string().contains("/respmod"), "{last}");

    let none = scan(&["--check", "icap://127.0.0.1:9/respmod"]).await;
    assert_eq!(none.code, Some(2));
    assert!(none.stdout.contains("FAILED TCP"), "{}", none.stdout);
}
