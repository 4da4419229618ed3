//! The rules of an engine and their application to a piece of a body.

use std::borrow::Cow;

use memchr::memmem;

use super::accounts;
use super::cards::{Number, Numbers};
use super::{CARD_RULE, Category, Finding, IBAN_RULE, SSN_RULE};

/// What all scans of an engine share.
pub(super) struct Rules {
    pub(super) literals: Vec<Literal>,
    pub(super) threshold: usize,
    /// How many bytes a scan keeps of what it has seen: one less than the longest match.
    pub(super) carry: usize,
}

impl Rules {
    /// The finding that is complete first in `window`, given the numbers before it.
    ///
    /// First means after the fewest bytes, which is what makes the outcome the same for every
    /// split of the body: a scan fed byte by byte stops there, and so must any other.
    pub(super) fn search(&self, window: &Window<'_>, seen: &mut Seen) -> Option<Finding> {
        let hits = self.literals.iter().filter_map(|l| Some((l.find(window.bytes)?, l)));
        let Some((end, literal)) = hits.min_by_key(|(end, _)| *end) else {
            return self.search_numbers(window, seen);
        };
        let before = window.bytes.get(..end).unwrap_or(window.bytes);
        self.search_numbers(&Window { bytes: before, ends: false, ..*window }, seen)
            .or_else(|| Some(literal.finding(window.position(end))))
    }

    fn search_numbers(&self, window: &Window<'_>, seen: &mut Seen) -> Option<Finding> {
        if self.threshold == 0 {
            return None;
        }
        let Window { bytes, offset, ends } = *window;
        let starts = offset == 0;
        let Seen { cards, ibans, ssns } = seen;
        let rows = [
            (CARD_RULE, "payment card", self.row(Numbers::new(bytes, starts, ends), cards)),
            (IBAN_RULE, "bank account", self.row(accounts::ibans(bytes, starts, ends), ibans)),
            (SSN_RULE, "social security", self.row(accounts::ssns(bytes, starts, ends), ssns)),
        ];
        let complete = rows.into_iter().filter_map(|(name, what, end)| Some((end?, name, what)));
        let (end, name, what) = complete.min_by_key(|(end, ..)| *end)?;
        let (count, position) = (self.threshold, window.position(end));
        let detail =
            format!("{count} different {what} numbers, the last ending at byte {position}");
        Some(Finding { name: name.into(), category: Category::Dlp, detail })
    }

    /// Where as many different numbers are complete as make a finding.
    fn row(&self, numbers: impl Iterator<Item = Number>, seen: &mut Vec<u64>) -> Option<usize> {
        for number in numbers {
            // Windows overlap, so the same number may come up twice. It counts once either way.
            if seen.contains(&number.value) {
                continue;
            }
            seen.push(number.value);
            if seen.len() >= self.threshold {
                return Some(number.end);
            }
        }
        None
    }
}

/// The different numbers that were seen, of each kind fewer than the threshold.
#[derive(Debug, Default)]
pub(super) struct Seen {
    cards: Vec<u64>,
    ibans: Vec<u64>,
    ssns: Vec<u64>,
}

impl Seen {
    pub(super) fn len(&self) -> usize {
        self.cards.len().saturating_add(self.ibans.len()).saturating_add(self.ssns.len())
    }
}

/// A string that is a finding wherever it occurs.
pub(super) struct Literal {
    name: &'static str,
    category: Category,
    what: Cow<'static, str>,
    finder: memmem::Finder<'static>,
}

impl Literal {
    pub(super) fn new(
        name: &'static str,
        category: Category,
        what: impl Into<Cow<'static, str>>,
        needle: &[u8],
    ) -> Self {
        let finder = memmem::Finder::new(needle).into_owned();
        Self { name, category, what: what.into(), finder }
    }

    pub(super) fn len(&self) -> usize {
        self.finder.needle().len()
    }

    /// Where the first occurrence ends.
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.finder.find(bytes).map(|start| start.saturating_add(self.len()))
    }

    fn finding(&self, position: u64) -> Finding {
        let detail = format!("{}, ending at byte {position}", self.what);
        Finding { name: self.name.into(), category: self.category, detail }
    }
}

/// A piece of the body that lies in memory in one piece.
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// How many bytes of the body come before it.
    pub(super) offset: u64,
    /// Whether the body ends with it.
    pub(super) ends: bool,
}

impl Window<'_> {
    fn position(&self, end: usize) -> u64 {
        self.offset.saturating_add(length(end))
    }
}

/// A length in memory as a position in a body, of which there may be more than memory holds.
pub(super) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
