//! Makes heads of products that cannot be read otherwise into heads of the RFC. Used only with the opt-in switches.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::ParseError;
use crate::tolerance::Tolerance;
use crate::wire::class;

/// A head of the RFC, made from other bytes.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) head: Vec<u8>,
    /// Bytes of the wire that it was made from.
    pub(crate) wire_len: usize,
    /// Where in `head` the bytes stand that are not on the wire.
    added: Vec<usize>,
}

impl Rewritten {
    /// The same fault, counted in the bytes of the wire.
    pub(crate) fn on_the_wire(&self, error: ParseError) -> ParseError {
        let added = self.added.iter().filter(|&&at| (at as u64) < error.offset).count();
        ParseError { kind: error.kind, offset: error.offset.saturating_sub(added as u64) }
    }
}

/// The ICAP head at the start of `bytes`, or as much of it as is there: lines end in CRLF, and the lines of
/// `X-Violations-Found` are folds.
pub(crate) fn icap_head(bytes: &[u8], tolerance: &mut Tolerance) -> Rewritten {
    let mut head = Vec::with_capacity(bytes.len());
    let mut added = Vec::new();
    let mut wire_len = 0usize;
    let mut violation_lines = 0u64;
    let may_indent = tolerance.allowed().unindented_violations;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let text = match line {
            [text @ .., b'\r', b'\n'] => Some(text),
            [text @ .., b'\n'] if tolerance.takes(|switches| &mut switches.bare_lf_in_head) => {
                Some(text)
            }
            _ => None,
        };
        wire_len = wire_len.saturating_add(line.len());
        let text = text.unwrap_or(line);
        if may_indent && !matches!(text, [] | [b'\r' | b'\n', ..]) {
            let behind = bytes.get(wire_len..).unwrap_or_default();
            let continues = violation_lines > 0
                && !has_bare_cr(text, line)
                && (!text.contains(&b':') || is_in_group(violation_lines, behind));
            if continues && !text.starts_with(b" ") && !text.starts_with(b"\t") {
                // A line that is cut may still turn out to be a field.
                if text.len() < line.len() {
                    tolerance.takes(|switches| &mut switches.unindented_violations);
                }
                added.push(head.len());
                head.push(b'\t');
            }
            violation_lines = if continues {
                violation_lines.saturating_sub(1)
            } else {
                count_violations(text).saturating_mul(LINES_EACH)
            };
        }
        head.extend_from_slice(text);
        // What is neither is the line that is not all there, or a fault that the parser shall see.
        if text.len() < line.len() {
            if !line.ends_with(b"\r\n") {
                added.push(head.len());
            }
            head.extend_from_slice(b"\r\n");
        }
        if text.is_empty() {
            break;
        }
    }
    Rewritten { head, wire_len, added }
}

/// File, description, problem id, resolution (draft-stecher-icap-subid section 4.6).
const LINES_EACH: u64 = 4;

/// Whether the text of a line has a carriage return that does not end it. It is refused as what it looks like, however
/// much of it is there.
fn has_bare_cr(text: &[u8], line: &[u8]) -> bool {
    memchr::memchr(b'\r', text).is_some_and(|at| at.saturating_add(1) < line.len())
}

/// Whether a line that looks like a field is the file or the description of a violation, of whose lines so many are
/// left with this one: then the two numbers stand behind it.
fn is_in_group(left: u64, behind: &[u8]) -> bool {
    let lines = behind.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // Behind the empty line is the body, and a bare carriage return is refused as soon as it is there.
    let mut lines = lines.take_while(|line| !line.is_empty() && !line.contains(&b'\r'));
    let described = match left % LINES_EACH {
        0 => lines.next().is_some(),
        3 => true,
        _ => false,
    };
    let mut is_number =
        || lines.next().is_some_and(|line| class::decimal(class::trim(line)).is_some());
    described && is_number() && is_number()
}

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

/// The block with the empty line that it lacks, where that is taken.
pub(crate) fn terminated(block: Bytes, tolerance: &mut Tolerance) -> Bytes {
    let missing: &[u8] = match &block[..] {
        [.., b'\r', b'\n', b'\r', b'\n'] => return block,
        [.., b'\r', b'\n', b'\r'] => b"\n",
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\r'] => b"\n\r\n",
        _ => b"\r\n\r\n",
    };
    if !tolerance.takes(|switches| &mut switches.unterminated_sections) {
        return block;
    }
    [&block[..], missing].concat().into()
}
