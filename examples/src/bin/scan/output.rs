//! What is printed: a table for people, or a JSON object for each file.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use icap::scanner::Report;
use icap::verdict::{Problem, ProblemKind, Verdict};
use serde::{Serialize, Serializer};

use crate::arguments::shown;

/// One file, what came of it, and what was done about it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) file: PathBuf,
    came: Came,
    /// Where a blocked file was moved to.
    pub(crate) quarantined: Option<PathBuf>,
    /// What was to be done about a blocked file and failed.
    pub(crate) failures: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Came {
    Report(Box<Report>),
    /// The file could not be read.
    Unread(Box<Verdict>),
}

impl Row {
    pub(crate) fn new(file: PathBuf, scanned: io::Result<Report>) -> Self {
        let came = match scanned {
            Ok(report) => Came::Report(Box::new(report)),
            Err(error) => {
                let detail = format!("cannot read the file: {error}");
                Came::Unread(Box::new(Verdict::Error(Problem::new(ProblemKind::Source, detail))))
            }
        };
        Self { file, came, quarantined: None, failures: Vec::new() }
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        match &self.came {
            Came::Report(report) => &report.verdict,
            Came::Unread(verdict) => verdict,
        }
    }

    /// How much of the file was read.
    pub(crate) fn bytes(&self) -> u64 {
        self.report().map_or(0, |report| report.bytes)
    }

    fn report(&self) -> Option<&Report> {
        match &self.came {
            Came::Report(report) => Some(report),
            Came::Unread(_) => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self.verdict() {
            _ if !self.failures.is_empty() => ERROR,
            Verdict::Allow(_) => ALLOWED,
            Verdict::Block(_) => BLOCKED,
            Verdict::Modified(_) => MODIFIED,
            _ => ERROR,
        }
    }
}

/// A row in JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "as_text")]
    file: &'a Path,
    /// The verdict in words.
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<&'a str>,
    #[serde(flatten)]
    came: &'a Came,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    quarantined: Option<&'a Path>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    failures: &'a [String],
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let verdict = self.verdict();
        let line = Line {
            file: &self.file,
            summary: verdict.why().to_string(),
            threat: verdict.threats().iter().find_map(|threat| threat.name.as_deref()),
            came: &self.came,
            quarantined: self.quarantined.as_deref(),
            failures: &self.failures,
        };
        line.serialize(to)
    }
}

const ALLOWED: u8 = 0;
const BLOCKED: u8 = 1;
const ERROR: u8 = 2;
const MODIFIED: u8 = 3;

/// How often there was what.
#[derive(Debug)]
pub(crate) struct Tally {
    codes: [u64; 4],
    started: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Self { codes: [0; 4], started: Instant::now() }
    }
}

impl Tally {
    pub(crate) fn count(&mut self, row: &Row) {
        if let Some(count) = self.codes.get_mut(usize::from(row.exit_code())) {
            *count = count.saturating_add(1);
        }
    }

    /// An error means that something is not known, a block that something is bad: the first goes before the second,
    /// both before what came back changed.
    pub(crate) const fn exit_code(&self) -> u8 {
        let [_, blocked, _, modified] = self.codes;
        match self.codes {
            [_, _, 0, _] if blocked > 0 => BLOCKED,
            [_, _, 0, _] if modified > 0 => MODIFIED,
            [_, _, 0, _] => ALLOWED,
            _ => ERROR,
        }
    }
}

/// Prints rows as they come.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// A head line is to be printed.
    head: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, head: !json && io::stdout().is_terminal() }
    }

    /// Prints those that have come, at once: a call of the system for each would be a good part of a small file's time.
    pub(crate) fn rows(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut text = Vec::new();
        for row in rows {
            self.row(row, &mut text)?;
        }
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    }

    fn row(&mut self, row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, row)?;
            return writeln!(out);
        }
        if std::mem::take(&mut self.head) {
            writeln!(out, "{:<9} {:>9} {:>9}  FILE (WHY)", "VERDICT", "READ", "TIME")?;
        }
        let word = match row.verdict() {
            Verdict::Allow(_) => "allowed",
            Verdict::Block(_) => "blocked",
            other => other.as_str(),
        };
        // Every file has these: to have them formatted would be most of what a row costs.
        out.extend_from_slice(word.as_bytes());
        out.extend(std::iter::repeat_n(b' ', COLUMN.saturating_sub(word.len())));
        match row.report() {
            Some(report) => {
                Amount::bytes(report.bytes).put(out);
                Amount::time(report.elapsed).put(out);
            }
            None => write!(out, " {:>9} {:>9}", "-", "-")?,
        }
        out.extend_from_slice(b"  ");
        out.extend_from_slice(shown(&row.file).as_bytes());
        writeln!(out, " ({})", row.verdict().why())?;
        if let Some(place) = &row.quarantined {
            writeln!(out, "{:<9} now {}", "", shown(place))?;
        }
        for failure in &row.failures {
            writeln!(out, "{:<9} FAILED: {failure}", "")?;
        }
        Ok(())
    }

    /// Adds it up, for people who scanned several files.
    pub(crate) fn end(&self, tally: &Tally) -> io::Result<()> {
        let [allowed, blocked, errors, modified] = tally.codes;
        let files: u64 = tally.codes.iter().fold(0, |sum, count| sum.saturating_add(*count));
        if self.json || files < 2 {
            return Ok(());
        }
        let time = Amount::time(tally.started.elapsed());
        writeln!(
            io::stderr(),
            "{files} files in {time}: {allowed} allowed, {blocked} blocked, {modified} modified, {errors} errors"
        )
    }
}

/// The width of the verdict, and of each amount.
const COLUMN: usize = 9;

/// A number with a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    number: u64,
    /// So many of its digits are behind the point.
    decimals: usize,
    unit: &'static str,
}

impl Amount {
    fn bytes(bytes: u64) -> Self {
        /// Hundredths of each unit, for two decimals.
        const UNITS: [(u64, &str); 6] = [
            (10_000_000_000_000_000, "EB"),
            (10_000_000_000_000, "PB"),
            (10_000_000_000, "TB"),
            (10_000_000, "GB"),
            (10_000, "MB"),
            (10, "kB"),
        ];
        let whole = |hundredth: u64| hundredth.saturating_mul(100);
        match UNITS.into_iter().find(|(hundredth, _)| bytes >= whole(*hundredth)) {
            Some((hundredth, unit)) => {
                let rounded = bytes.saturating_add(hundredth / 2).checked_div(hundredth);
                Self { number: rounded.unwrap_or_default(), decimals: 2, unit }
            }
            None => Self { number: bytes, decimals: 0, unit: "B" },
        }
    }

    pub(crate) fn time(elapsed: Duration) -> Self {
        let (number, unit) = if elapsed < Duration::from_secs(10) {
            (elapsed.as_micros(), "ms")
        } else {
            (elapsed.as_millis(), "s")
        };
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        Self { number: number.saturating_add(50) / 100, decimals: 1, unit }
    }

    /// Writes it behind a blank, at the right end of a column.
    fn put(self, out: &mut Vec<u8>) {
        let text = self.text();
        out.push(b' ');
        out.extend(std::iter::repeat_n(b' ', COLUMN.saturating_sub(text.len())));
        out.extend_from_slice(text.as_bytes());
    }

    fn text(self) -> String {
        let mut text = String::with_capacity(2 * COLUMN);
        text.push_str(itoa::Buffer::new().format(self.number));
        if self.decimals > 0 {
            // One digit at least is in front of the point.
            while text.len() <= self.decimals {
                text.insert(0, '0');
            }
            text.insert(text.len().saturating_sub(self.decimals), '.');
        }
        text.push(' ');
        text.push_str(self.unit);
        text
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn as_optional_text<S: Serializer>(path: &Option<&Path>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => as_text(path, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_at_a_glance() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1004, "1.00 kB"),
            (1006, "1.01 kB"),
            (1024, "1.02 kB"),
            (65_536, "65.54 kB"),
            (999_994, "999.99 kB"),
            (999_996, "1000.00 kB"),
            (1_000_000, "1.00 MB"),
            (1_000_000_000, "1.00 GB"),
            (1_000_000_000_000, "1.00 TB"),
            (999_999_999_999_999, "1000.00 TB"),
            (1_000_000_000_000_000, "1.00 PB"),
            (1_000_000_000_000_000_000, "1.00 EB"),
            (18_000_000_000_000_000_000, "18.00 EB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(Amount::bytes(bytes).to_string(), text);
            assert_eq!(text, indicatif::DecimalBytes(bytes).to_string());
        }
        // There is no room above it to round up.
        assert_eq!(Amount::bytes(u64::MAX).to_string(), "18.44 EB");
        let times = [
            (0, "0.0 ms"),
            (49, "0.0 ms"),
            (50, "0.1 ms"),
            (949, "0.9 ms"),
            (950, "1.0 ms"),
            (1234, "1.2 ms"),
            (9_999_949, "9999.9 ms"),
            (9_999_950, "10000.0 ms"),
            (10_000_000, "10.0 s"),
            (3_600_050_000, "3600.1 s"),
        ];
        for (micros, text) in times {
            assert_eq!(Amount::time(Duration::from_micros(micros)).to_string(), text);
        }
        assert_eq!(Amount::time(Duration::MAX).to_string(), "18446744073709551.6 s");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut out = Vec::new();
        Amount::bytes(7).put(&mut out);
        Amount::bytes(999_999).put(&mut out);
        Amount::time(Duration::from_micros(1)).put(&mut out);
        // One that is wider than its column stands behind a blank all the same.
        Amount::time(Duration::from_secs(36_000_000)).put(&mut out);
        let text = "       7 B 1000.00 kB    0.0 ms 36000000.0 s";
        assert_eq!(String::from_utf8_lossy(&out), text);
        assert_eq!(format!("{:>9}", Amount::bytes(7)), "      7 B");
    }
}
