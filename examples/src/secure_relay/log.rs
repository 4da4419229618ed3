//! The log: lines to standard error, those of transactions many at a time.
//!
//! A line a transaction is one system call a transaction. They wait for [`DELAY`] or for any other line, whichever is
//! first, and never in front of one: the order of the lines is that of what happened.

mod text;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::config::Log;
use super::transaction;

/// What is logged unless told otherwise. Transactions have a line of the relay's own, with what it knows of them; the
/// span and the access log of the server say less and cost a tenth of a transaction.
const LOGGED: &str = "info,icap_server=warn";

/// The longest that a line waits.
const DELAY: Duration = Duration::from_millis(100);

/// Bytes of lines that wait at most.
const MOST: usize = 32 * 1024;

/// Begins to log. No line is lost if the guard is dropped, and none waits from then on.
#[must_use]
pub(crate) fn start(form: Log) -> Guard {
    let lines = Lines::new(Box::new(io::stderr()));
    let guard = Guard(lines.clone());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    match form {
        Log::Json => log.json().flatten_event(true).init(),
        Log::Text => {
            let ansi = io::stderr().is_terminal();
            log.fmt_fields(text::Fields).with_timer(text::Clock).with_ansi(ansi).init();
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
        // Nobody is there to be told.
        let _ = waiting.write();
        self.0.came.notify_one();
    }
}

/// Where lines go.
#[derive(Clone)]
struct Lines {
    waiting: Arc<Mutex<Waiting>>,
    /// A line has come to where none was, or the program ends.
    came: Arc<Condvar>,
}

struct Waiting {
    lines: Vec<u8>,
    output: Box<dyn Write + Send>,
    closing: bool,
}

impl Waiting {
    fn write(&mut self) -> io::Result<()> {
        let result = self.output.write_all(&self.lines);
        self.lines.clear();
        result
    }
}

impl Lines {
    fn new(output: Box<dyn Write + Send>) -> Self {
        let waiting = Waiting { lines: Vec::new(), output, closing: false };
        let lines = Self { waiting: Arc::new(Mutex::new(waiting)), came: Arc::default() };
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
                .wait_while(self.lock(), |waiting| waiting.lines.is_empty() && !waiting.closing);
            let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            if waiting.closing {
                return;
            }
            drop(waiting);
            std::thread::sleep(DELAY);
            let _ = self.lock().write();
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
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lines.lock();
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        if !self.can_wait || waiting.closing || waiting.lines.len() >= MOST {
            waiting.write()?;
        } else if is_first {
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
    struct Output(Arc<Mutex<Vec<String>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output {
        fn written(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
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
        assert_eq!(output.written(), ["one\ntwo\nthree\n"]);
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
