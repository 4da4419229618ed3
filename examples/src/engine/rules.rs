//! The rules of an engine and their application to a piece of a body.

use std::borrow::Cow;

use memchr::memmem;

use super::cards::Numbers;
use super::{CARD_RULE, Category, Finding};

/// What all scans of an engine share.
pub(super) struct Rules {
    pub(super) literals: Vec<Literal>,
    pub(super) card_threshold: usize,
    /// How many bytes a scan keeps of what it has seen: one less than the longest match.
    pub(super) carry: usize,
}

impl Rules {
    /// The finding that is complete first in `window`, given the card numbers before it.
    ///
    /// First means after the fewest bytes, which is what makes the outcome the same for every
    /// split of the body: a scan fed byte by byte stops there, and so must any other.
    pub(super) fn search(&self, window: &Window<'_>, cards: &mut Vec<u64>) -> Option<Finding> {
        let hits = self.literals.iter().filter_map(|l| Some((l.find(window.bytes)?, l)));
        let Some((end, literal)) = hits.min_by_key(|(end, _)| *end) else {
            return self.search_cards(window, cards);
        };
        let before = window.bytes.get(..end).unwrap_or(window.bytes);
        self.search_cards(&Window { bytes: before, ends: false, ..*window }, cards)
            .or_else(|| Some(literal.finding(window.position(end))))
    }

    fn search_cards(&self, window: &Window<'_>, cards: &mut Vec<u64>) -> Option<Finding> {
        if self.card_threshold == 0 {
            return None;
        }
        for number in Numbers::new(window.bytes, window.offset == 0, window.ends) {
            // Windows overlap, so the same number may come up twice. It counts once either way.
            if cards.contains(&number.value) {
                continue;
            }
            cards.push(number.value);
            if cards.len() >= self.card_threshold {
                let (count, position) = (cards.len(), window.position(number.end));
                return Some(Finding {
                    name: CARD_RULE,
                    category: Category::Dlp,
                    detail: format!(
                        "{count} different payment card numbers, the last ending at byte {position}"
                    ),
                });
            }
        }
        None
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
        Finding { name: self.name, category: self.category, detail }
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
