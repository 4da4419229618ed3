//! The log: lines to standard error, those of transactions many at a time.
//!
//! A line a transaction is one system call a transaction. They wait for [`DELAY`] or for any other line, whichever is
//! first, and never in front of one: the order of the lines is that of what happened. SIGKILL, the OOM killer or an
//! abort loses those of the last [`DELAY`] ([`MOST`] bytes at most), and the message of a panic does not keep to the
//! order.
//!
//! What standard error does not take is tried again with what comes, until it is [`MOST`] bytes; a line tells how many
//! lines were lost, once one can be written.

mod address;
mod plain;
mod text;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

pub(crate) use self::address::Address;
use super::config::Log;
use super::transaction;

/// What is logged unless told otherwise. Transactions have a line of the relay's own, with what it knows of them; the
/// span and the access log of the server say less and cost a tenth of a transaction.
const LOGGED: &str = "info,icap_server=warn";

/// The longest that a line waits.
const DELAY: Duration = Duration::from_millis(100);

/// Bytes of lines that wait at most, for their time or for an output that fails.
const MOST: usize = 32 * 1024;

/// Begins to log. No line waits any more once the guard is dropped.
#[must_use]
pub(crate) fn start(form: Log) -> Guard {
    let lines = Lines::new(Box::new(io::stderr()));
    let guard = Guard(lines.clone());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    match form {
        Log::Json => log.json().flatten_event(true).init(),
        Log::Text if io::stderr().is_terminal() => {
            log.with_ansi(true).fmt_fields(text::Fields).with_timer(text::Clock).init();
        }
        Log::Text => {
            log.with_ansi(false).fmt_fields(text::Fields).event_format(plain::Plain).init();
        }
    }
    guard
}

/// Writes what waits when it is dropped.
pub(crate) struct Guard(Lines);

impl Drop for Guard {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closing = true;
        waiting.write();
        self.0.came.notify_one();
    }
}

/// Where lines go.
#[derive(Clone)]
struct Lines {
    waiting: Arc<Mutex<Waiting>>,
    /// There is something to do where nothing was, or the program ends.
    came: Arc<Condvar>,
}

struct Waiting {
    lines: Vec<u8>,
    output: Box<dyn Write + Send>,
    closing: bool,
    /// The last write did.
    failed: bool,
    /// The output ends within a line.
    torn: bool,
    /// How many lines were, since the start.
    lost: u64,
    /// How many of them the log tells of.
    told: u64,
}

impl Waiting {
    fn new(output: Box<dyn Write + Send>) -> Self {
        let lines = Vec::new();
        Self { lines, output, closing: false, failed: false, torn: false, lost: 0, told: 0 }
    }

    fn write(&mut self) {
        self.failed = self.try_write().is_err();
        if self.lines.len() >= MOST {
            self.lose();
        }
    }

    /// Keeps what is not written.
    fn try_write(&mut self) -> io::Result<()> {
        while !self.lines.is_empty() {
            let written = match self.output.write(&self.lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written.min(self.lines.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.torn = self.lines.drain(..written).next_back() != Some(b'\n');
        }
        Ok(())
    }

    fn lose(&mut self) {
        let lines = self.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        self.lost = self.lost.saturating_add(u64::try_from(lines).unwrap_or(u64::MAX));
        self.lines.clear();
        if self.torn {
            self.lines.push(b'\n');
        }
    }

    const fn has_to_tell(&self) -> bool {
        self.lost > self.told && !self.failed
    }

    const fn is_at_rest(&self) -> bool {
        self.lines.is_empty() && !self.has_to_tell()
    }
}

impl Lines {
    fn new(output: Box<dyn Write + Send>) -> Self {
        let waiting = Arc::new(Mutex::new(Waiting::new(output)));
        let lines = Self { waiting, came: Arc::default() };
        let late = lines.clone();
        // Without the thread every line is written at once.
        let thread = std::thread::Builder::new().name("log".to_owned());
        if thread.spawn(move || late.write_late()).is_err() {
            lines.lock().closing = true;
        }
        lines
    }

    /// Writes what waits, each time that a line has waited for long enough, until the end of the program.
    fn write_late(&self) {
        loop {
            let waiting = self
                .came
                .wait_while(self.lock(), |waiting| waiting.is_at_rest() && !waiting.closing);
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            if waiting.closing {
                return;
            }
            if waiting.has_to_tell() {
                let lost = waiting.lost;
                waiting.told = lost;
                drop(waiting);
                tracing::warn!(lines = lost, "log lines were lost since the start");
                continue;
            }
            drop(waiting);
            std::thread::sleep(DELAY);
            self.lock().write();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, can_wait: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        let can_wait = *meta.level() == Level::INFO && meta.target() == transaction::TARGET;
        Line { lines: self, can_wait }
    }
}

/// One line, which comes as a whole.
struct Line<'a> {
    lines: &'a Lines,
    can_wait: bool,
}

impl Write for Line<'_> {
    /// Never an error: what is lost is counted, and standard error is not the place to say that it fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lines.lock();
        let was_at_rest = waiting.is_at_rest();
        waiting.lines.extend_from_slice(line);
        if !self.can_wait || waiting.closing || waiting.lines.len() >= MOST {
            waiting.write();
        }
        if was_at_rest && !waiting.is_at_rest() {
            drop(waiting);
            self.lines.came.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, and how often.
    #[derive(Clone, Default)]
    struct Output {
        written: Arc<Mutex<Vec<String>>>,
        /// Bytes that it takes before it fails, if it does.
        room: Arc<Mutex<Option<usize>>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            let taken = room.map_or(bytes.len(), |room| room.min(bytes.len()));
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room = room.map(|room| room.saturating_sub(taken));
            self.written.lock().unwrap().push(String::from_utf8(bytes[..taken].to_vec()).unwrap());
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output {
        fn written(&self) -> Vec<String> {
            self.written.lock().unwrap().clone()
        }

        fn has_room_for(&self, bytes: Option<usize>) {
            *self.room.lock().unwrap() = bytes;
        }
    }

    fn log() -> (Lines, Output) {
        let output = Output::default();
        (Lines::new(Box::new(output.clone())), output)
    }

    fn line(lines: &Lines, can_wait: bool, text: &str) {
        Line { lines, can_wait }.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_that_can_wait_go_with_the_next_that_cannot() {
        let (lines, output) = log();
        line(&lines, true, "one\n");
        line(&lines, true, "two\n");
        line(&lines, false, "three\n");
        // In one write or, if the machine is busy, in more.
        assert_eq!(output.written().concat(), "one\ntwo\nthree\n");
    }

    #[test]
    fn what_is_not_taken_is_tried_again() {
        let (lines, output) = log();
        output.has_room_for(Some(2));
        line(&lines, false, "one\n");
        output.has_room_for(None);
        // By itself.
        while output.written().len() < 2 {
            std::thread::sleep(DELAY / 10);
        }
        line(&lines, false, "two\n");
        assert_eq!(output.written().concat(), "one\ntwo\n");
        assert_eq!(lines.lock().lost, 0);
    }

    #[test]
    fn lines_that_are_lost_are_counted_and_told() {
        let (lines, output) = log();
        output.has_room_for(Some(2));
        line(&lines, false, "one\n");
        line(&lines, false, &format!("{}\n", "x".repeat(MOST - 3)));
        assert_eq!(lines.lock().lost, 2);
        assert_eq!(lines.lock().lines, b"\n");
        std::thread::sleep(DELAY * 2);
        assert_eq!(lines.lock().told, 0);
        output.has_room_for(None);
        line(&lines, false, "two\n");
        assert_eq!(output.written().concat(), "on\ntwo\n");
        while lines.lock().told < 2 {
            std::thread::sleep(DELAY / 10);
        }
    }

    #[test]
    fn no_line_waits_for_ever() {
        let (lines, output) = log();
        line(&lines, true, "one\n");
        while output.written().is_empty() {
            std::thread::sleep(DELAY / 10);
        }
        line(&lines, true, "two\n");
        while output.written().len() < 2 {
            std::thread::sleep(DELAY / 10);
        }
        assert_eq!(output.written(), ["one\n", "two\n"]);
    }

    #[test]
    fn no_more_than_so_many_bytes_wait() {
        let (lines, output) = log();
        let text = "x".repeat(MOST - 1);
        line(&lines, true, &text);
        assert!(output.written().iter().all(|written| written.len() < MOST));
        line(&lines, true, "yz");
        assert!(output.written().concat().ends_with("xyz"));
    }

    #[test]
    fn the_end_of_the_program_loses_no_line() {
        let (lines, output) = log();
        let guard = Guard(lines.clone());
        line(&lines, true, "one\n");
        drop(guard);
        assert_eq!(output.written(), ["one\n"]);
        // Transactions that the end of the runtime cuts.
        line(&lines, true, "two\n");
        assert_eq!(output.written(), ["one\n", "two\n"]);
    }
}
