//! Makes heads of products that cannot be read otherwise into heads of the RFC. Used only with the opt-in switches.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::wire::class;
use crate::{Leniency, ParseError};

/// An ICAP head, or as much of it as is there: lines end in CRLF, and the lines of `X-Violations-Found` are folds.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) head: Vec<u8>,
    /// Bytes that it took on the wire.
    pub(crate) wire_len: usize,
    /// Where bytes were put in.
    inserted: Vec<usize>,
}

impl Rewritten {
    /// The same error, counted on the wire.
    pub(crate) fn on_the_wire(&self, error: ParseError) -> ParseError {
        let inserted = self.inserted.iter().take_while(|at| (**at as u64) < error.offset).count();
        ParseError { offset: error.offset.saturating_sub(inserted as u64), ..error }
    }
}

/// Rewrites the head at the start of `bytes`.
pub(crate) fn icap_head(bytes: &[u8], leniency: &Leniency) -> Rewritten {
    let mut head = Vec::with_capacity(bytes.len());
    let mut inserted = Vec::new();
    let mut wire_len = 0usize;
    let mut violation_lines = 0u64;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let text = match line {
            [text @ .., b'\r', b'\n'] => Some(text),
            [text @ .., b'\n'] if leniency.bare_lf_in_head => Some(text),
            _ => None,
        };
        wire_len = wire_len.saturating_add(line.len());
        let Some(text) = text else {
            head.extend_from_slice(line);
            continue;
        };
        if leniency.unindented_violations && !text.is_empty() {
            let continues = violation_lines > 0 && !text.contains(&b':');
            if continues && !text.starts_with(b" ") && !text.starts_with(b"\t") {
                inserted.push(head.len());
                head.push(b'\t');
            }
            violation_lines = if continues {
                violation_lines.saturating_sub(1)
            } else {
                count_violations(text).saturating_mul(LINES_EACH)
            };
        }
        head.extend_from_slice(text);
        if line.len().saturating_sub(text.len()) == 1 {
            inserted.push(head.len());
        }
        head.extend_from_slice(b"\r\n");
        if text.is_empty() {
            break;
        }
    }
    Rewritten { head, wire_len, inserted }
}

/// File, description, problem id, resolution (draft-stecher-icap-subid section 4.6).
const LINES_EACH: u64 = 4;

/// The number in `X-Violations-Found: number`, 0 for other lines.
fn count_violations(line: &[u8]) -> u64 {
    const NAME: &[u8] = b"X-Violations-Found:";
    match line.split_at_checked(NAME.len()) {
        Some((name, value)) if name.eq_ignore_ascii_case(NAME) => {
            class::decimal(class::trim(value)).unwrap_or(0)
        }
        _ => 0,
    }
}

/// The block with the empty line that it lacks.
pub(crate) fn terminated(block: Bytes) -> Bytes {
    let missing: &[u8] = match &block[..] {
        [.., b'\r', b'\n', b'\r', b'\n'] => return block,
        [.., b'\r', b'\n', b'\r'] => b"\n",
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\r'] => b"\n\r\n",
        _ => b"\r\n\r\n",
    };
    [&block[..], missing].concat().into()
}
