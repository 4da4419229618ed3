//! Sends files to ICAP services and prints a verdict for each.
//!
//! ```text
//! scan --type symantec icap://dlp1.local/respmod icap://dlp2.local/respmod invoice.pdf
//! scan --recursive --jobs 8 --json --quarantine /srv/held icap://av.local/respmod /srv/uploads
//! scan --check --type forcepoint icaps://dlp.local/reqmod
//! ```
//!
//! Exit code: 0 when every file is allowed, 1 when one is blocked, 2 when one has no verdict, 3 when one came back
//! modified. Of several 2 goes before 1, 1 before 3, and 3 before 0.
//!
//! A verdict is about the bytes that were read, not about what the path leads to later. Files of up to 64 KiB are read
//! ahead, up to six batches of 16.

mod actions;
mod arguments;
mod certificate;
mod check;
mod files;
mod output;
mod progress;
mod reader;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use icap::Scanner;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::actions::Actions;
use self::arguments::Arguments;
use self::files::{Found, STDIN};
use self::output::{Output, Row, Tally};
use self::progress::Progress;
use self::reader::{Ahead, Loaded};

/// Rows that were not printed yet.
const QUEUE: usize = 1024;

/// Between one print and the next. To wake up for each row and to write it would be a good part of a small file's time.
const REST: Duration = Duration::from_millis(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("scan: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Scans all files and gives the exit code.
async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let target = arguments.target()?;
    if arguments.check {
        return check::run(&arguments, &target).await;
    }
    let actions = Arc::new(Actions::new(&arguments)?);
    let found = Found::new(&arguments, &target.paths)?;
    let progress = Progress::start(&found);
    let counter = progress.clone();
    let scanner = arguments
        .scanner(&target, &target.uris)?
        .on_read(move |bytes| counter.read(bytes))
        .build()?;

    let mut output = Output::new(arguments.json);
    let mut tally = Tally::default();
    let jobs = arguments.jobs.get().into();
    let (mut rows, mut ended) = scan_all(scanner, found, actions, progress.clone(), jobs);
    let mut come = Vec::new();
    while rows.recv_many(&mut come, QUEUE).await > 0 {
        come.iter().for_each(|row| tally.count(row));
        progress.behind(|| output.rows(&come))?;
        come.clear();
        if !ended.is_finished() {
            let _ = timeout(REST, &mut ended).await;
        }
    }
    progress.end();
    output.end(&tally)?;
    Ok(tally.exit_code())
}

/// Scans what is found, so many files at a time; the rows come in the order in which the scans end. The task ends when
/// all have come.
fn scan_all(
    scanner: Scanner,
    found: Found,
    actions: Arc<Actions>,
    progress: Progress,
    jobs: usize,
) -> (mpsc::Receiver<Row>, JoinHandle<()>) {
    let ahead = Arc::new(Mutex::new(Ahead::start(found)));
    let (done, rows) = mpsc::channel(QUEUE);
    let mut scans = JoinSet::new();
    for _ in 0..jobs {
        let (scanner, ahead, done) = (scanner.clone(), Arc::clone(&ahead), done.clone());
        let (actions, progress) = (Arc::clone(&actions), progress.clone());
        scans.spawn(async move {
            loop {
                let next = ahead.lock().await.next().await;
                let Some(loaded) = next else { return };
                let bytes = loaded.bytes();
                let row = scan(&scanner, loaded, &actions).await;
                progress.done(bytes, &row);
                if done.send(row).await.is_err() {
                    return;
                }
            }
        });
    }
    (rows, tokio::spawn(watch(scans, done)))
}

/// Waits for the scans to end. One that ends early has lost its file, which is not passed over in silence.
async fn watch(mut scans: JoinSet<()>, done: mpsc::Sender<Row>) {
    while let Some(ended) = scans.join_next().await {
        if let Err(error) = ended {
            let why = io::Error::other(format!("its scan ended early: {error}"));
            // Where nobody is left to be told, nobody asks.
            let _ = done.send(Row::new(PathBuf::new(), Err(why))).await;
        }
    }
}

async fn scan(scanner: &Scanner, loaded: Loaded, actions: &Actions) -> Row {
    let mut read = None;
    let mut row = match loaded {
        Loaded::Small { path, data, state } => {
            read = Some(state);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let scanned = scanner.scan_bytes(&name, data).await;
            drop(name);
            Row::new(path, scanned)
        }
        Loaded::Large { path, .. } => {
            let scanned = Box::pin(scanner.scan_file(&path)).await;
            Row::new(path, scanned)
        }
        Loaded::Stdin => {
            let stdin = scanner.scan_reader("stdin", tokio::io::stdin());
            Row::new(STDIN.into(), Box::pin(stdin).await)
        }
        Loaded::Unreadable { path, why } => Row::new(path, Err(io::Error::other(why))),
    };
    actions.follow(&mut row, read).await;
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scan_that_ends_early_is_an_error() {
        let (done, mut rows) = mpsc::channel(1);
        let mut scans = JoinSet::new();
        scans.spawn(async {});
        scans.spawn(async { panic!("on purpose") });
        watch(scans, done).await;
        let mut tally = Tally::default();
        tally.count(&rows.recv().await.expect("a row"));
        assert_eq!(tally.exit_code(), 2);
        assert!(rows.recv().await.is_none(), "the other ended well");
    }
}
