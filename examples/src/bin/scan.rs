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
use icap::verdict::Verdict;
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
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let scanner = scanner(&arguments)?;
    let mut worst = 0u8;
    for file in &arguments.files {
        let code = match scanner.scan_file(file).await {
            Ok(report) => tell(file, &report, arguments.json)?,
            Err(error) => {
                eprintln!("scan: {}: cannot read the file: {error}", file.display());
                2
            }
        };
        worst = worst.max(code);
    }
    Ok(ExitCode::from(worst))
}

fn scanner(arguments: &Arguments) -> anyhow::Result<Scanner> {
    let mut timeouts = Timeouts::default();
    timeouts.io = Duration::from_secs(arguments.timeout);
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

/// Prints the verdict and gives the exit code that it asks for.
fn tell(file: &Path, report: &Report, json: bool) -> anyhow::Result<u8> {
    let code = match &report.verdict {
        Verdict::Allow(_) => 0,
        Verdict::Block(_) | Verdict::Modified => 1,
        _ => 2,
    };
    if let Verdict::Error(problem) = &report.verdict {
        eprintln!("scan: {}: {problem}", file.display());
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &Line::new(file, report))?;
        writeln!(out)?;
    } else {
        let word = match &report.verdict {
            Verdict::Allow(_) => "allowed",
            Verdict::Block(_) => "blocked",
            other => other.as_str(),
        };
        writeln!(out, "{word:<9} {}  ({})", file.display(), why(&report.verdict))?;
    }
    Ok(code)
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
    milliseconds: u64,
}

impl Line {
    fn new(file: &Path, report: &Report) -> Self {
        let threat = match &report.verdict {
            Verdict::Block(block) => block.threat.clone(),
            _ => None,
        };
        Self {
            file: file.display().to_string(),
            verdict: report.verdict.as_str(),
            threat,
            reason: why(&report.verdict),
            icap_status: report.status.map(|status| status.as_u16()),
            milliseconds: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
