//! Sends files to an ICAP service and prints a verdict for each.
//!
//! ```text
//! scan --method respmod icap://127.0.0.1:1344/respmod invoice.pdf archive.zip
//! ```
//!
//! Exit code: 0 when every file is allowed, 1 when a file is blocked or came back modified, 2 when there is no
//! verdict for a file. An error outweighs a block.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use icap::client::Timeouts;
use icap::scanner::{Direction, Report, Scanner};
use icap::verdict::{Problem, ProblemKind, Verdict};
use icap::{Client, ServiceUri};
use serde::Serialize;

#[derive(Debug, Parser)]
#[command(version, about = "Sends files to an ICAP service and prints a verdict for each")]
struct Arguments {
    /// How files are presented: as uploads (reqmod) or downloads (respmod)
    #[arg(long, value_enum, default_value = "reqmod")]
    method: MethodName,
    /// Print one JSON object for each file
    #[arg(long)]
    json: bool,
    /// Bytes to send as preview
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    preview: u64,
    /// Send no preview
    #[arg(long, conflicts_with = "preview")]
    no_preview: bool,
    /// Give up when nothing moves for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// The service, such as icap://127.0.0.1:1344/reqmod
    uri: ServiceUri,
    /// Files to scan
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum MethodName {
    Reqmod,
    Respmod,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("scan: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Scans all files and gives the exit code.
async fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let scanner = scanner(arguments)?;
    let mut worst = 0u8;
    for file in &arguments.files {
        let (verdict, report) = match scanner.scan_file(file).await {
            Ok(report) => (report.verdict.clone(), Some(report)),
            Err(error) => {
                let detail = format!("cannot read the file: {error}");
                (Verdict::Error(Problem::new(ProblemKind::Source, detail)), None)
            }
        };
        worst = worst.max(exit_code(&verdict));
        tell(file, &verdict, report.as_ref(), arguments.json)?;
    }
    Ok(worst)
}

fn scanner(arguments: &Arguments) -> anyhow::Result<Scanner> {
    let mut timeouts = Timeouts::default();
    timeouts.io = Duration::from_secs(arguments.timeout);
    timeouts.head = timeouts.io;
    let builder = Client::builder(arguments.uri.clone()).timeouts(timeouts);
    let builder = if arguments.no_preview {
        builder.no_preview()
    } else {
        builder.preview(arguments.preview)
    };
    let direction = match arguments.method {
        MethodName::Reqmod => Direction::Upload,
        MethodName::Respmod => Direction::Download,
    };
    Ok(Scanner::new(builder.build()?, direction))
}

const fn exit_code(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow(_) => 0,
        Verdict::Block(_) | Verdict::Modified(_) => 1,
        _ => 2,
    }
}

/// Prints a line on stdout for every file, and on stderr why there is no verdict.
fn tell(file: &Path, verdict: &Verdict, report: Option<&Report>, json: bool) -> anyhow::Result<()> {
    if let Verdict::Error(problem) = verdict {
        eprintln!("scan: {}: {problem}", file.display());
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &Line::new(file, verdict, report))?;
        writeln!(out)?;
    } else {
        let word = match verdict {
            Verdict::Allow(_) => "allowed",
            Verdict::Block(_) => "blocked",
            other => other.as_str(),
        };
        writeln!(out, "{word:<9} {}  ({})", file.display(), why(verdict))?;
    }
    Ok(())
}

/// The verdict without its first word.
fn why(verdict: &Verdict) -> String {
    let text = verdict.to_string();
    text.split_once(": ").map(|(_, why)| why.to_owned()).unwrap_or(text)
}

/// One file in `--json`.
#[derive(Debug, Serialize)]
struct Line {
    file: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    icap_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<u64>,
}

impl Line {
    fn new(file: &Path, verdict: &Verdict, report: Option<&Report>) -> Self {
        let threat = match verdict {
            Verdict::Block(block) => block.threat().map(str::to_owned),
            _ => None,
        };
        let milliseconds = |report: &Report| u64::try_from(report.elapsed.as_millis()).ok();
        Self {
            file: file.display().to_string(),
            verdict: verdict.as_str(),
            threat,
            reason: why(verdict),
            icap_status: report.and_then(|report| Some(report.status?.as_u16())),
            milliseconds: report.and_then(milliseconds),
        }
    }
}
