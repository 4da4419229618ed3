//! Parts of a line of text. The usual ones write them by way of `dyn Debug` and calendars, which was a tenth of the
//! time of a transaction.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{self, FormatTime};

/// `2026-11-22T10:05:09.123456Z`.
pub(super) struct Clock;

/// Bytes of it up to the point.
const SECOND: usize = 19;

/// Added to microseconds it makes them seven digits, of which the first is not shown.
const MICROS: u32 = 1_000_000;

thread_local! {
    /// The last second that a line was written in, since 1970 and as text.
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let now = since_1970();
        LAST.with_borrow_mut(|(second, text)| {
            if *second != now.as_secs() || text.is_empty() {
                text.clear();
                time::SystemTime.format_time(&mut Writer::new(text))?;
                text.truncate(SECOND);
                // It has looked at the clock once more.
                if since_1970().as_secs() != now.as_secs() {
                    text.clear();
                    return time::SystemTime.format_time(line);
                }
                *second = now.as_secs();
            }
            line.write_str(text)?;
            line.write_str(".")?;
            let mut micros = itoa::Buffer::new();
            let micros = micros.format(now.subsec_micros().saturating_add(MICROS));
            line.write_str(micros.get(1..).unwrap_or_default())?;
            line.write_str("Z")
        })
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `message name=value name=value`, strings in quotation marks.
pub(super) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, line: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor::new(line);
        fields.record(&mut visitor);
        visitor.result
    }
}

/// Writes fields as [`Fields`] has them.
pub(super) struct Visitor<W> {
    line: W,
    is_first: bool,
    pub(super) result: fmt::Result,
}

impl<W: Write> Visitor<W> {
    pub(super) const fn new(line: W) -> Self {
        Self { line, is_first: true, result: Ok(()) }
    }

    fn field(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| value(&mut self.line));
        }
    }

    fn name(&mut self, field: &Field) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.line.write_str(" ")?;
        }
        match field.name() {
            "message" => Ok(()),
            name => {
                self.line.write_str(name)?;
                self.line.write_str("=")
            }
        }
    }
}

impl<W: Write> Visit for Visitor<W> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |line| write!(line, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        self.field(field, |line| match value.bytes().all(is_plain) {
            true => {
                line.write_str("\"")?;
                line.write_str(value)?;
                line.write_str("\"")
            }
            false => write!(line, "{value:?}"),
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |line| line.write_str(itoa::Buffer::new().format(value)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::field::MakeExt;
    use tracing_subscriber::fmt::format;

    use super::super::plain::Plain;
    use super::*;

    /// The same line as a plain one, with these parts and with the usual ones, without the time.
    fn lines(log: impl Fn()) -> [String; 3] {
        let written = |subscribe: &dyn Fn(Output) -> tracing::Dispatch| {
            let output = Output::default();
            tracing::dispatcher::with_default(&subscribe(output.clone()), &log);
            let line = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
            line.split_once("Z ").unwrap().1.to_owned()
        };
        let usual = format::debug_fn(|line, field, value| match field.name() {
            "message" => write!(line, "{value:?}"),
            name => write!(line, "{name}={value:?}"),
        });
        let base = || tracing_subscriber::fmt().with_ansi(false);
        [
            written(&|to| {
                let plain = base().fmt_fields(Fields).event_format(Plain);
                plain.with_writer(move || to.clone()).finish().into()
            }),
            written(&|to| {
                let ours = base().with_timer(Clock).fmt_fields(Fields);
                ours.with_writer(move || to.clone()).finish().into()
            }),
            written(&|to| {
                let usual = base().fmt_fields(usual.clone().delimited(" "));
                usual.with_writer(move || to.clone()).finish().into()
            }),
        ]
    }

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_the_usual_ones() {
        let [plain, ours, usual] = lines(|| {
            tracing::info!(
                text = "plain",
                escaped = "\"quoted\"\\\n\u{1b}[31m \u{e9}",
                none = None::<u64>,
                number = 18_446_744_073_709_551_615_u64,
                below = -1_i64,
                shown = %"as it is",
                yes = true,
                "a message of {} words",
                5
            );
        });
        assert_eq!(ours, usual);
        assert_eq!(plain, usual);
        assert!(ours.contains("a message of 5 words text=\"plain\" escaped="), "{ours}");
    }

    #[test]
    fn spans_and_levels_are_the_usual_ones() {
        use tracing::Level;

        macro_rules! line_of {
            ($level:expr) => {
                lines(|| {
                    let _outer = tracing::info_span!("outer", text = "plain", number = 7).entered();
                    let _inner = tracing::info_span!("inner").entered();
                    tracing::event!($level, "a message");
                })
            };
        }
        // What the usual subscriber takes.
        for [plain, ours, usual] in
            [line_of!(Level::ERROR), line_of!(Level::WARN), line_of!(Level::INFO)]
        {
            assert_eq!(ours, usual);
            assert_eq!(plain, usual);
            assert!(plain.contains(" outer{text=\"plain\" number=7}:inner: "), "{plain}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_usual_clock() {
        for _ in 0..100 {
            let texts = [&Clock as &dyn Format, &time::SystemTime, &Clock].map(Format::text);
            assert!(texts.is_sorted(), "{texts:?}");
            assert!(texts.iter().all(|text| text.len() == texts[0].len()), "{texts:?}");
        }
    }

    trait Format {
        fn text(&self) -> String;
    }

    impl<T: FormatTime> Format for T {
        fn text(&self) -> String {
            let mut text = String::new();
            self.format_time(&mut Writer::new(&mut text)).unwrap();
            text
        }
    }
}
