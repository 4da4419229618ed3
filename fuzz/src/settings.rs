//! The settings that inputs are tried under, and the places where they are cut.

use icap_proto::{Leniency, Limits};

/// Limits so small that short inputs meet every one of them.
pub fn tight() -> Limits {
    let mut limits = Limits::default();
    limits.start_line = 64;
    limits.head_bytes = 256;
    limits.fields = 5;
    limits.field_line = 96;
    limits.encapsulated_bytes = 128;
    limits.chunk_line = 40;
    limits.extension_bytes = 48;
    limits.trailer_bytes = 64;
    limits.preview = 16;
    limits.drain = 32;
    limits.empty_list_members = 2;
    limits
}

/// Every switch on, those included that move where a line or section ends.
pub fn everything() -> Leniency {
    let mut leniency = Leniency::default();
    leniency.bare_lf_in_head = true;
    leniency.blank_line_framing = true;
    leniency.unordered_entities = true;
    leniency.unterminated_sections = true;
    leniency.unindented_violations = true;
    leniency.empty_section_as_no_content = true;
    leniency
}

/// Strict, as shipped, and everything.
pub fn modes() -> [Leniency; 3] {
    [Leniency::strict(), Leniency::default(), everything()]
}

/// Bytes that a side may hold while it waits for more: one head with its sections and an interim head in front,
/// or one chunk line and the trailers, or what is thrown away behind an early answer with its framing.
pub fn most_held(limits: &Limits) -> usize {
    let heads = 2 * limits.head_bytes + limits.encapsulated_bytes;
    let body = limits.chunk_line + limits.extension_bytes + 2 * limits.trailer_bytes;
    heads + body + 8 * usize::try_from(limits.drain).unwrap_or(usize::MAX) + 64
}

/// Where an input of `len` bytes is cut: not at all, at every byte, and at places that its own bytes name.
pub fn cuts(data: &[u8], len: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    if len < 2 {
        return all;
    }
    all.push((1..len).collect());
    let mut seed = data.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut place = || {
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        1 + (seed % (len as u64 - 1)) as usize
    };
    for count in [1, 1, 2, 5] {
        let mut places: Vec<usize> = (0..count).map(|_| place()).collect();
        places.sort_unstable();
        places.dedup();
        all.push(places);
    }
    all
}

/// Lengths of proper prefixes of `len` bytes: all of a short input, a sample of a long one, and the last always.
pub fn prefixes(len: usize) -> impl Iterator<Item = usize> {
    let step = len / 128 + 1;
    (0..len).step_by(step).chain(len.checked_sub(1))
}
