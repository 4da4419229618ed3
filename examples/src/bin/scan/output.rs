//! What is printed: a table for people, or a JSON object for each file.

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
        let (size, time) = match row.report() {
            Some(report) => (size(report.bytes), time(report.elapsed)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let file = shown(&row.file);
        writeln!(out, "{word:<9} {size:>9} {time:>9}  {file} ({})", row.verdict().why())?;
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
        let time = time(tally.started.elapsed());
        writeln!(
            io::stderr(),
            "{files} files in {time}: {allowed} allowed, {blocked} blocked, {modified} modified, {errors} errors"
        )
    }
}

fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

pub(crate) fn time(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(10) {
        // In whole numbers: this is printed for every file.
        let tenths = elapsed.as_micros().saturating_add(50) / 100;
        format!("{}.{} ms", tenths / 10, tenths % 10)
    } else {
        format!("{:.1} s", elapsed.as_secs_f64())
    }
}

fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

fn as_optional_text<S: Serializer>(path: &Option<&Path>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => as_text(path, to),
        None => to.serialize_none(),
    }
}
