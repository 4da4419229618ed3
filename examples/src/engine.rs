//! A streaming content matcher: the malware and data-loss rules behind `scan-server`.
//!
//! An [`Engine`] holds the rules, a [`Scan`] applies them to one body as it arrives in chunks, and
//! a [`Finding`] says what was found. Five kinds of rule exist:
//!
//! | Rule                | Category          | Fires on                                             |
//! |---------------------|-------------------|------------------------------------------------------|
//! | [`EICAR_RULE`]      | malware           | the EICAR anti-virus test string, anywhere           |
//! | [`CARD_RULE`]       | data loss         | several different payment card numbers               |
//! | [`KEYWORD_RULE`]    | data loss         | one of a small set of markings, compared exactly     |
//!
//! The engine looks at raw bytes only. It unpacks no archive, decodes no transfer or content
//! coding and knows no character set but those that agree with ASCII: a card number inside a
//! compressed stream or in UTF-16 goes unseen. It exists to show where a real scanner plugs into
//! an ICAP service, with rules that are easy to trigger and that do not cry wolf.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use self::rules::{Literal, Rules, Seen, Window, length};

mod accounts;
mod cards;
mod rules;
#[cfg(test)]
mod tests;

/// The name under which the EICAR test string is reported.
pub const EICAR_RULE: &str = "Eicar-Test-Signature";

/// The name under which a collection of payment card numbers is reported.
pub const CARD_RULE: &str = "Dlp-Payment-Card-Numbers";

/// The name under which a collection of international bank account numbers is reported.
pub const IBAN_RULE: &str = "Dlp-Bank-Account-Numbers";

/// The name under which a collection of US social security numbers is reported.
pub const SSN_RULE: &str = "Dlp-Social-Security-Numbers";

/// The name under which a configured keyword is reported.
pub const KEYWORD_RULE: &str = "Dlp-Keyword";

/// The only keyword of the default rule set: a classification marking.
pub const DEFAULT_KEYWORD: &str = "TOP-SECRET//NOFORN";

/// How many different numbers of one kind it takes, unless configured otherwise, for [`CARD_RULE`],
/// [`IBAN_RULE`] or [`SSN_RULE`] to fire.
///
/// One is too few: the check digit lets one in ten arbitrary numbers pass, and a shop's order form
/// rightly holds the customer's own card. Two is an order paid with two cards. Three different
/// numbers in one body are a list.
pub const DEFAULT_THRESHOLD: u8 = 3;

/// A set of rules, ready to scan any number of bodies at the same time.
///
/// A clone shares the rules and costs one reference count.
#[derive(Clone)]
pub struct Engine {
    rules: Arc<Rules>,
}

impl Engine {
    /// The default rule set: the EICAR test string, [`DEFAULT_THRESHOLD`] numbers of a kind and
    /// [`DEFAULT_KEYWORD`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts from the default rule set and lets the number and keyword rules be changed.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { keywords: vec![DEFAULT_KEYWORD.to_owned()], threshold: DEFAULT_THRESHOLD }
    }

    /// Starts scanning one body.
    #[must_use]
    pub fn scan(&self) -> Scan {
        Scan {
            // Room for the seam between two chunks: what is carried over, and as much again.
            tail: Vec::with_capacity(self.rules.carry.saturating_mul(2)),
            rules: Arc::clone(&self.rules),
            seen: 0,
            numbers: Seen::default(),
            finding: None,
        }
    }

    /// Scans a body that is in memory as a whole.
    #[must_use]
    pub fn scan_all(&self, body: &[u8]) -> Option<Finding> {
        let mut scan = self.scan();
        scan.update(body);
        scan.finish()
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Engine {
    /// Leaves the patterns out, so that a log of the engine is not itself a hit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("patterns", &self.rules.literals.len())
            .field("threshold", &self.rules.threshold)
            .finish()
    }
}

/// Configures an [`Engine`]; made by [`Engine::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    keywords: Vec<String>,
    threshold: u8,
}

impl Builder {
    /// Replaces the keywords; with none, the keyword rule is off.
    ///
    /// Keywords are compared byte for byte, so case matters, and an empty one is dropped. Each
    /// costs one pass over the data: a dozen is a sensible limit. A scan keeps up to twice the
    /// longest keyword in memory.
    #[must_use]
    pub fn keywords<I>(mut self, keywords: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.keywords = keywords.into_iter().map(Into::into).filter(|k| !k.is_empty()).collect();
        self
    }

    /// How many different numbers of one kind make a finding; with zero, the rules of numbers are off.
    ///
    /// A scan remembers the numbers it has counted, eight bytes each, until it has seen as many.
    #[must_use]
    pub fn threshold(mut self, numbers: u8) -> Self {
        self.threshold = numbers;
        self
    }

    /// The configured engine.
    #[must_use]
    pub fn build(self) -> Engine {
        let eicar = Literal::new(EICAR_RULE, Category::Malware, "EICAR test string", &eicar());
        let keywords = self.keywords.iter().map(|keyword| {
            // Debug format: a keyword must not be able to break a log line in two.
            let what = format!("keyword {keyword:?}");
            Literal::new(KEYWORD_RULE, Category::Dlp, what, keyword.as_bytes())
        });
        let literals: Vec<_> = std::iter::once(eicar).chain(keywords).collect();
        let longest = literals.iter().map(Literal::len).max().unwrap_or_default();
        let carry = longest.saturating_sub(1).max(cards::CONTEXT).max(accounts::CONTEXT);
        Engine {
            rules: Arc::new(Rules { literals, threshold: usize::from(self.threshold), carry }),
        }
    }
}

/// The EICAR anti-virus test string, 68 bytes of printable ASCII that every scanner reports.
///
/// It is kept backwards, so that neither this source file nor a program built from it sets off the
/// scanner of the machine it is stored on.
#[must_use]
pub fn eicar() -> Vec<u8> {
    const BACKWARDS: &[u8; 68] =
        b"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
    BACKWARDS.iter().rev().copied().collect()
}

/// The state of scanning one body.
///
/// Memory is constant: the last few dozen bytes seen, for a match that crosses the border of two
/// chunks, and the card numbers counted so far. Time is linear in the body. The outcome does not
/// depend on how the body is split into chunks.
pub struct Scan {
    rules: Arc<Rules>,
    /// How many bytes came before the next chunk.
    seen: u64,
    /// The last of them, at most `rules.carry`.
    tail: Vec<u8>,
    numbers: Seen,
    finding: Option<Finding>,
}

impl Scan {
    /// Looks at the next chunk of the body.
    ///
    /// Once there is a finding, further chunks are ignored: the first one stands.
    pub fn update(&mut self, data: &[u8]) {
        if self.finding.is_some() {
            return;
        }
        // First what crosses the border between the chunks, then the chunk itself. The seam is
        // long enough on both sides that a match which lies in it in part lies in it as a whole.
        let carry = self.rules.carry;
        let carried = self.tail.len();
        let head = data.get(..carry).unwrap_or(data);
        self.tail.extend_from_slice(head);
        let seam = Window {
            bytes: &self.tail,
            offset: self.seen.saturating_sub(length(carried)),
            ends: false,
        };
        self.finding = self.rules.search(&seam, &mut self.numbers);

        if data.len() > head.len() {
            if self.finding.is_none() {
                let chunk = Window { bytes: data, offset: self.seen, ends: false };
                self.finding = self.rules.search(&chunk, &mut self.numbers);
            }
            let last = data.len().saturating_sub(carry);
            self.tail.clear();
            self.tail.extend_from_slice(data.get(last..).unwrap_or_default());
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(carry));
        }
        self.seen = self.seen.saturating_add(length(data.len()));
    }

    /// The first finding so far.
    ///
    /// A card number counts once the byte after it has been seen, because only that byte shows
    /// where the number ends; one at the very end of the body is left to [`finish`](Self::finish).
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// Ends the body and returns the first finding in all of it.
    #[must_use]
    pub fn finish(mut self) -> Option<Finding> {
        self.finding.or_else(|| {
            let offset = self.seen.saturating_sub(length(self.tail.len()));
            let rest = Window { bytes: &self.tail, offset, ends: true };
            self.rules.search(&rest, &mut self.numbers)
        })
    }
}

impl fmt::Debug for Scan {
    /// Shows no content: the tail and the card numbers are what must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("seen", &self.seen)
            .field("numbers", &self.numbers.len())
            .field("finding", &self.finding)
            .finish_non_exhaustive()
    }
}

/// What a scan has found.
///
/// Its `Display` is one line for a log: `Eicar-Test-Signature (malware): EICAR test string,
/// ending at byte 68`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule that fired, or the threat it stands for: a word of ASCII letters, digits and
    /// dashes, fit for a header field.
    pub name: Cow<'static, str>,
    /// What kind of rule it is.
    pub category: Category,
    /// What was found and where, in printable text on one line. Never a card number.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.category, self.detail)
    }
}

/// The kind of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Category {
    /// Content that is harmful to whoever receives it.
    Malware,
    /// Content that must not leave the house (data loss prevention).
    Dlp,
}

impl Category {
    /// The name used in logs: `malware` or `dlp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malware => "malware",
            Self::Dlp => "dlp",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
