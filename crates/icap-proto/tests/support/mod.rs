//! What the tests share: connections fed in pieces, and their events as lines of text.

#![allow(dead_code, reason = "every test file uses its part")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

pub(crate) mod client;
pub(crate) mod leniency;
pub(crate) mod rng;
pub(crate) mod server;

use icap_proto::{Error, Leniency};

/// Either side of a connection, its events as text.
pub(crate) trait Core {
    fn feed(&mut self, bytes: &[u8]) -> usize;
    fn input_closed(&mut self);
    fn wants_input(&self) -> bool;
    /// The next event as a line: its name, then what it says.
    fn poll_line(&mut self) -> Result<Option<String>, Error>;
    fn take_used_leniency(&mut self) -> Leniency;
    /// Bytes queued to be written.
    fn take_output(&mut self) -> Vec<u8>;
}

/// The events of a connection, one a line; neighbouring data joined, since how it is cut is nobody's business.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) lines: Vec<String>,
    pub(crate) error: Option<Error>,
}

impl Trace {
    pub(crate) fn push(&mut self, line: &str) {
        match (line.strip_prefix("data "), self.lines.last_mut()) {
            (Some(more), Some(last)) if last.starts_with("data ") => last.push_str(more),
            _ => self.lines.push(line.to_owned()),
        }
    }

    /// Whether the last message came to its end.
    pub(crate) fn ends(&self) -> bool {
        self.error.is_none() && self.lines.last().is_some_and(|line| line.starts_with("end"))
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Takes every event that there is.
    pub(crate) fn poll(&mut self, core: &mut impl Core) {
        while self.error.is_none() {
            match core.poll_line() {
                Ok(Some(line)) => {
                    assert!(
                        !core.wants_input(),
                        "input wanted although there may be another event"
                    );
                    self.push(&line);
                }
                Ok(None) => return,
                Err(error) => {
                    assert!(!core.wants_input(), "input wanted after an error");
                    assert_eq!(core.poll_line().unwrap_err(), error, "errors stay");
                    self.error = Some(error);
                }
            }
        }
    }

    /// Feeds `bytes` as an owner does: only where input is wanted, and asking for events after each piece.
    /// Gives back how many bytes were taken.
    pub(crate) fn feed(&mut self, core: &mut impl Core, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        loop {
            self.poll(core);
            if rest.is_empty() || self.error.is_some() || !core.wants_input() {
                return bytes.len() - rest.len();
            }
            let taken = core.feed(rest);
            assert!(taken > 0, "input is wanted, but there is no room");
            assert!(!core.wants_input(), "input wanted although nobody asked for the next event");
            rest = &rest[taken..];
        }
    }

    /// [`feed`](Self::feed) in pieces that end at `cuts`.
    pub(crate) fn feed_cut(&mut self, core: &mut impl Core, bytes: &[u8], cuts: &[usize]) -> usize {
        let mut start = 0;
        let mut taken = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            taken += self.feed(core, &bytes[start..end]);
            start = end;
        }
        taken
    }
}

/// No cut, a cut at every place, every byte alone.
pub(crate) fn every_cut(len: usize) -> impl Iterator<Item = Vec<usize>> {
    let two_parts = (1..len).map(|cut| vec![cut]);
    [vec![], (1..len).collect()].into_iter().chain(two_parts)
}

/// Bytes as text: CRLF and other control bytes escaped.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Bytes as text, line ends as they are.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a connection makes of bytes: its events, and last what is wrong.
pub(crate) fn outcome(core: &mut impl Core, bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut trace = Trace::default();
    trace.feed_cut(core, bytes, cuts);
    trace.lines.extend(trace.error.map(|error| fault(&error)));
    trace.lines
}

/// An error as a line: `! Kind at byte` for what breaks the grammar.
pub(crate) fn fault(error: &Error) -> String {
    match error {
        Error::Parse(error) => format!("! {:?} at {}", error.kind, error.offset),
        Error::Peer(error) => format!("! {error:?}"),
        other => format!("! {other:?}"),
    }
}

/// [`outcome`] whole, byte by byte and cut at every place, all the same.
pub(crate) fn outcome_every_way<C: Core>(fresh: impl Fn() -> C, bytes: &[u8]) -> Vec<String> {
    let whole = outcome(&mut fresh(), bytes, &[]);
    for cuts in every_cut(bytes.len()) {
        assert_eq!(outcome(&mut fresh(), bytes, &cuts), whole, "{} cut at {cuts:?}", text(bytes));
    }
    whole
}
