//! Maps a table of answers to verdicts and says where they are not what they must be.
//!
//! ```text
//! cargo run -p icap-verdict --example cases -- FILE.csv
//! ```
//!
//! Columns: `id`, `vendor`, `method`, `request_context`, `icap_status`, `icap_headers`, `http_start_line`,
//! `http_headers`, `body_vs_sent`, `expected_verdict`; others are passed over. A line a row, then a count; rows that
//! are wrong are explained on stderr. Exit code 1 when one is wrong, 2 when the table cannot be read.

mod row;

use std::process::ExitCode;

use row::Row;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: cases FILE.csv");
        return ExitCode::from(2);
    };
    match run(path.as_ref()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cases: {error}");
            ExitCode::from(2)
        }
    }
}

/// Prints every row and gives the number of those that are wrong.
fn run(path: &std::path::Path) -> Result<usize, csv::Error> {
    let (mut count, mut wrong) = (0usize, 0usize);
    for row in csv::Reader::from_path(path)?.deserialize() {
        let row: Row = row?;
        let verdict = row.verdict();
        let expected = row.expected_verdict.trim();
        let right = verdict.as_str() == expected;
        println!(
            "{} {expected} {} {}",
            row.id,
            verdict.as_str(),
            if right { "ok" } else { "WRONG" }
        );
        if !right {
            eprintln!("  {}: {verdict}", row.id);
        }
        count = count.saturating_add(1);
        wrong = wrong.saturating_add(usize::from(!right));
    }
    println!("{count} cases, {wrong} wrong");
    Ok(wrong)
}
