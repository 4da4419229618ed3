//! A bar for long work on a terminal.

use std::fs;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::files::{Found, Item};
use crate::output::Row;

/// Work that is done sooner needs no bar.
const LONG: Duration = Duration::from_millis(700);

/// Counts bytes, and shows it when the standard error output is a terminal and the work takes long.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// None where nobody would see it: counting asks for the time.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn start(found: &Found) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
            show_later(bar.clone());
            measure(bar.clone(), found.again());
            bar
        });
        Self { bar }
    }

    /// Bytes were read of a file.
    pub(crate) fn read(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    /// A file of so many bytes is done, of which the server may not have wanted all.
    pub(crate) fn done(&self, bytes: u64, row: &Row) {
        self.read(bytes.saturating_sub(row.bytes()));
    }

    /// Prints something without disturbing the bar.
    pub(crate) fn behind<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.suspend(print),
            _ => print(),
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn show_later(bar: ProgressBar) {
    tokio::spawn(async move {
        tokio::time::sleep(LONG).await;
        if bar.is_finished() {
            return;
        }
        let template = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
    });
}

/// Adds up how much there is to do while it is being done.
fn measure(bar: ProgressBar, found: Found) {
    tokio::task::spawn_blocking(move || {
        for item in found {
            if bar.is_finished() {
                return;
            }
            if let Item::File(path) = item {
                // Where the length cannot be had, the file cannot be opened either, and that says why.
                bar.inc_length(fs::metadata(path).map_or(0, |metadata| metadata.len()));
            }
        }
    });
}
