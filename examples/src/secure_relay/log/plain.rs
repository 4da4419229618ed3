//! A line of text without colours. The usual form hands each piece of it through two `dyn Write`, which cost more than
//! the pieces.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::text::{Clock, Visitor};

/// Bytes of most lines, or more.
const ROOM: usize = 512;

/// `2026-11-22T10:05:09.123456Z  INFO span{name=value}: target: message name=value`.
pub(super) struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(ROOM);
        Clock.format_time(&mut Writer::new(&mut line))?;
        line.push_str(level(event.metadata().level()));
        push_spans(&mut line, context);
        line.push_str(event.metadata().target());
        line.push_str(": ");
        let mut fields = Visitor::new(&mut line);
        event.record(&mut fields);
        fields.result?;
        line.push('\n');
        writer.write_str(&line)
    }
}

/// With the blanks around it.
const fn level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => " ERROR ",
        Level::WARN => "  WARN ",
        Level::INFO => "  INFO ",
        Level::DEBUG => " DEBUG ",
        Level::TRACE => " TRACE ",
    }
}

/// What the event is in, the outermost first.
fn push_spans<S, N>(line: &mut String, context: &FmtContext<'_, S, N>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    let Some(scope) = context.event_scope() else { return };
    let start = line.len();
    for span in scope.from_root() {
        line.push_str(span.metadata().name());
        if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
            && !fields.is_empty()
        {
            line.extend(["{", fields, "}"]);
        }
        line.push(':');
    }
    if line.len() > start {
        line.push(' ');
    }
}
