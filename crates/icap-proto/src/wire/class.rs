//! Byte classes and the small grammars that several parsers share.

/// `tchar` of RFC 9110 section 5.6.2.
const TOKEN: u8 = 1;
/// `field-vchar`, SP, HTAB and obs-text of RFC 9110 section 5.5.
const VALUE: u8 = 2;
/// Visible ASCII and obs-text: what an HTTP request target is made of in practice.
const TARGET: u8 = 4;
/// unreserved and sub-delims of RFC 3986: what a host name in a URI is made of, but for percent-encoded bytes.
const HOST: u8 = 8;
/// HOST and `:`.
const USERINFO: u8 = 16;
/// HOST, `:`, `@` and `/`.
const PATH: u8 = 32;
/// PATH and `?`.
const QUERY: u8 = 64;

const TABLE: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(b, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        {
            class |= TOKEN;
        }
        if b == b'\t' || (b >= 0x20 && b != 0x7f) {
            class |= VALUE;
        }
        if b > 0x20 && b != 0x7f {
            class |= TARGET;
        }
        if b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_' | b'~')
            || matches!(
                b,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            )
        {
            class |= HOST | USERINFO | PATH | QUERY;
        }
        if b == b':' {
            class |= USERINFO | PATH | QUERY;
        }
        if matches!(b, b'@' | b'/') {
            class |= PATH | QUERY;
        }
        if b == b'?' {
            class |= QUERY;
        }
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time, byte is below 256")]
        {
            table[byte] = class;
        }
        byte = byte.wrapping_add(1);
    }
    table
};

#[allow(clippy::indexing_slicing, reason = "a u8 is always inside a table of 256")]
const fn has(byte: u8, class: u8) -> bool {
    TABLE[byte as usize] & class != 0
}

/// How many bytes at the start are token characters.
#[inline]
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    run(bytes, TOKEN)
}

/// How many bytes at the start may stand in a request target.
pub(crate) fn target_len(bytes: &[u8]) -> usize {
    run(bytes, TARGET)
}

/// Where the first byte stands that may not be in a host name (RFC 3986 section 3.2.2).
pub(crate) fn host(bytes: &[u8]) -> Result<(), usize> {
    percent_encoded(bytes, HOST)
}

/// Where the first byte stands that may not be in user information (RFC 3986 section 3.2.1).
pub(crate) fn userinfo(bytes: &[u8]) -> Result<(), usize> {
    percent_encoded(bytes, USERINFO)
}

/// Where the first byte stands that may not be in a path (RFC 3986 section 3.3).
pub(crate) fn path(bytes: &[u8]) -> Result<(), usize> {
    percent_encoded(bytes, PATH)
}

/// Where the first byte stands that may not be in a query (RFC 3986 section 3.4).
pub(crate) fn query(bytes: &[u8]) -> Result<(), usize> {
    percent_encoded(bytes, QUERY)
}

/// Bytes of the class and `%` with two hexadecimal digits; else the place of the first other byte.
fn percent_encoded(bytes: &[u8], class: u8) -> Result<(), usize> {
    let mut at = 0usize;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        at = at.saturating_add(run(rest, class));
        match bytes.get(at..).unwrap_or_default() {
            [] => return Ok(()),
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                at = at.saturating_add(3);
            }
            _ => return Err(at),
        }
    }
}

/// How many bytes at the start are of the class. Blocks of eight are what the compiler unrolls.
#[inline]
fn run(bytes: &[u8], class: u8) -> usize {
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk::<8>() {
        if let Some(stop) = block.iter().position(|&b| !has(b, class)) {
            return bytes.len().saturating_sub(rest.len()).saturating_add(stop);
        }
        rest = after;
    }
    let tail = rest.iter().position(|&b| !has(b, class)).unwrap_or(rest.len());
    bytes.len().saturating_sub(rest.len()).saturating_add(tail)
}

/// How many bytes at the start may stand in a field value. Values are most of a head: sixteen bytes at a time while
/// all of them may, then eight to find the one that may not.
pub(crate) fn value_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk::<16>()
        && block.iter().fold(true, |clean, &b| clean & (b >= 0x20) & (b != 0x7f))
    {
        rest = after;
    }
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        // Set in the high bit of each byte that is below 0x20 or equal to 0x7f. A borrow may reach the byte
        // above a hit, so the first hit is exact and that is the only one used.
        let low = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
        let del = word ^ ONES.wrapping_mul(0x7f);
        let del = del.wrapping_sub(ONES) & !del;
        let hits = (low | del) & HIGH;
        if hits != 0 {
            let skip = (hits.trailing_zeros() / 8) as usize;
            let (_, stopped) = rest.split_at(skip.min(rest.len()));
            if stopped.first() != Some(&b'\t') {
                return bytes.len().saturating_sub(stopped.len());
            }
            rest = stopped.get(1..).unwrap_or_default();
            continue;
        }
        rest = after;
    }
    let tail = run(rest, VALUE);
    bytes.len().saturating_sub(rest.len()).saturating_add(tail)
}

/// `token` of RFC 9110 section 5.6.2: at least one token character and nothing else.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// Nothing but what a field value may hold: no CR, LF, NUL or other control character but HTAB.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    value_len(bytes) == bytes.len()
}

/// Behind the blanks at the start.
#[inline]
pub(crate) fn after_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the optional whitespace around it (RFC 9110 section 5.6.3).
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = after_blanks(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `1*DIGIT` as a number: no sign, no blanks, no overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
const HEX: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0u8;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value = value.wrapping_add(1);
    }
    table
};
const NO_DIGIT: u8 = 0xff;

/// The value of one hexadecimal digit.
#[allow(clippy::indexing_slicing, reason = "a u8 is always inside a table of 256")]
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match HEX[byte as usize] {
        NO_DIGIT => None,
        digit => Some(digit),
    }
}

/// The members of a comma list without the blanks around them; empty ones are given too, the caller counts them.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_len_agrees_with_the_table_for_every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut line = [b'a'; 20];
                line[place] = byte;
                let expected = if has(byte, VALUE) { 20 } else { place };
                assert_eq!(value_len(&line), expected, "byte {byte:#x} at {place}");
            }
        }
        // obs-text next to a stop byte: the borrow between bytes must not move the hit.
        assert_eq!(value_len(b"abc\xff\x80\x00\xff\xffxyz"), 5);
        assert_eq!(value_len(b"\x80\x9f\t\xff\x20\x7e\t\t\t\t\x7f"), 10);
    }

    #[test]
    fn decimal_takes_digits_only() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+1", b"-1", b" 1", b"1 ", b"0x1", b"1_0", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
