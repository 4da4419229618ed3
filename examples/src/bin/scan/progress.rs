//! A bar for long work on a terminal.

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
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn start(found: &Found) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if std::io::stderr().is_terminal() {
            show_later(bar.clone());
            measure(bar.clone(), found.again());
        }
        Self { bar }
    }

    /// Bytes were read of a file.
    pub(crate) fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// A file is done, of which the server may not have wanted all.
    pub(crate) fn done(&self, item: &Item, row: &Row) {
        if let Item::File { bytes, .. } = item {
            self.bar.inc(bytes.saturating_sub(row.bytes()));
        }
    }

    /// Prints something without disturbing the bar.
    pub(crate) fn behind<T>(&self, print: impl FnOnce() -> T) -> T {
        if self.bar.is_hidden() { print() } else { self.bar.suspend(print) }
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
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
            if let Item::File { bytes, .. } = item {
                bar.inc_length(bytes);
            }
        }
    });
}
