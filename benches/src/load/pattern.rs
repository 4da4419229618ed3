//! What bodies are made of.

use bytes::Bytes;

/// A prime: what is lost, moved or doubled at the boundary of a buffer or chunk shows as a difference.
const PERIOD: usize = 65_537;

/// Noise that repeats after [`PERIOD`] bytes.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Two periods, so that each stretch of one is in one piece.
    noise: Bytes,
}

impl Pattern {
    /// The longest piece that can be cut out.
    pub(super) const LONGEST: usize = PERIOD;

    pub(super) fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64; // xorshift64
        let mut noise = Vec::with_capacity(2 * PERIOD);
        for _ in 0..PERIOD {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.push(state.to_le_bytes()[3]);
        }
        noise.extend_from_within(..);
        Self { noise: noise.into() }
    }

    /// The bytes from `at` on, `len` of them or as many as one piece can have.
    pub(super) fn piece(&self, at: u64, len: u64) -> Bytes {
        let (at, len) = (offset(at), len.min(PERIOD as u64) as usize);
        self.noise.slice(at..at + len)
    }

    /// Where `data` differs from the bytes from `at` on.
    pub(super) fn difference(&self, at: u64, data: &[u8]) -> Option<u64> {
        let mut passed = 0u64;
        for part in data.chunks(PERIOD) {
            let from = offset(at + passed);
            let expected = &self.noise[from..from + part.len()];
            if part != expected {
                let same = part.iter().zip(expected).take_while(|(got, sent)| got == sent).count();
                return Some(passed + same as u64);
            }
            passed += part.len() as u64;
        }
        None
    }
}

fn offset(at: u64) -> usize {
    (at % PERIOD as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_stretches_of_one_body() {
        let pattern = Pattern::new();
        let mut body = Vec::new();
        while body.len() < 200_000 {
            body.extend_from_slice(&pattern.piece(7 + body.len() as u64, 40_000));
        }
        assert_eq!(pattern.difference(7, &body), None);
        assert_eq!(pattern.difference(8, &body), Some(0));
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        let pattern = Pattern::new();
        let body: Vec<u8> = [pattern.piece(0, 65_537), pattern.piece(0, 10_000)].concat();
        for wrong in [0, 1, 65_536, 65_537, 75_536] {
            let mut body = body.clone();
            body[wrong] ^= 1;
            assert_eq!(pattern.difference(0, &body), Some(wrong as u64));
        }
        let mut shorter = body.clone();
        shorter.remove(70_000);
        assert!(pattern.difference(0, &shorter).is_some());
    }
}
