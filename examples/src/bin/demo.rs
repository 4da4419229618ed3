//! Starts a scan server on loopback, sends real files through REQMOD and RESPMOD and prints what it said.
//!
//! No arguments, no network, no configuration. Exit code 1 when a verdict is not what it must be.

use std::process::ExitCode;
use std::time::Instant;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use icap::Server;
use icap::scanner::{Report, Scanner};
use icap::verdict::Verdict;
use icap_examples::engine::Engine;
use icap_examples::samples::{self, Expected, Sample};
use icap_examples::scan_service;
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let server = scan_service::install(Server::bind("127.0.0.1:0").await?, &Engine::new())?;
    let address = server.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_until(async {
        let _ = stopped.await;
    }));
    println!("scan server on icap://{address}, services /reqmod and /respmod\n");

    let uploads = Scanner::builder(icap::verdict::Profile::auto().clone())
        .uri(format!("icap://{address}/reqmod"))
        .build()?;
    let downloads = Scanner::builder(icap::verdict::Profile::auto().clone())
        .uri(format!("icap://{address}/respmod"))
        .build()?;
    let started = Instant::now();
    let mut table = header();
    let (mut scanned, mut wrong) = (0usize, 0usize);
    for sample in samples::all() {
        let mut row = vec![
            Cell::new(sample.name),
            Cell::new(sample.content_type),
            Cell::new(human(sample.bytes.len())).set_alignment(CellAlignment::Right),
        ];
        for scanner in [&uploads, &downloads] {
            let report = scanner.scan_bytes(sample.name, sample.bytes.clone()).await?;
            let right = as_expected(&sample, &report.verdict);
            scanned = scanned.saturating_add(1);
            wrong = wrong.saturating_add(usize::from(!right));
            row.push(verdict_cell(&report, right));
        }
        table.add_row(row);
    }
    let elapsed = started.elapsed();
    println!("{table}");

    let _ = stop.send(());
    serving.await??;
    if wrong == 0 {
        println!("\n{scanned} scans in {elapsed:.1?}, every verdict as it must be.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{scanned} scans in {elapsed:.1?}, {wrong} verdicts WRONG.");
    Ok(ExitCode::FAILURE)
}

fn header() -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(
        ["File", "Type", "Size", "as upload (REQMOD)", "as download (RESPMOD)"]
            .map(|title| Cell::new(title).add_attribute(Attribute::Bold)),
    );
    table
}

fn as_expected(sample: &Sample, verdict: &Verdict) -> bool {
    match sample.expected {
        Expected::Allow => verdict.is_allow(),
        Expected::Block => matches!(verdict, Verdict::Block(_)),
    }
}

/// What was said, in how long; a wrong verdict says so.
fn verdict_cell(report: &Report, right: bool) -> Cell {
    let (text, color) = match &report.verdict {
        Verdict::Allow(_) => ("✔ allowed".to_owned(), Color::Green),
        Verdict::Block(block) => {
            let threat = block.threat().unwrap_or("no name given");
            (format!("✘ blocked  {threat}"), Color::Red)
        }
        other => (other.to_string(), Color::Yellow),
    };
    let status = report.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    let wrong = if right { "" } else { "  WRONG" };
    Cell::new(format!("{text}{wrong}\n  ICAP {status}, {:.1?}", report.elapsed)).fg(color)
}

/// A size as people write it.
fn human(bytes: usize) -> String {
    const STEP: usize = 1000;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(STEP)),
        _ => {
            let tenths = bytes.div_ceil(STEP.saturating_mul(100));
            format!("{}.{} MB", tenths / 10, tenths % 10)
        }
    }
}
