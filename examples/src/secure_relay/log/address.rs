//! Addresses in the log. The usual way hands each number through a formatter of its own.

use std::fmt;
use std::net::SocketAddr;

/// Is shown as the usual way shows it.
pub(crate) struct Address(pub(crate) SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SocketAddr::V4(address) = self.0 else { return self.0.fmt(f) };
        let mut digits = itoa::Buffer::new();
        let [first, others @ ..] = address.ip().octets();
        f.write_str(digits.format(first))?;
        for octet in others {
            f.write_str(".")?;
            f.write_str(digits.format(octet))?;
        }
        f.write_str(":")?;
        f.write_str(digits.format(address.port()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_look_as_usual() {
        for text in ["127.0.0.1:1344", "0.10.200.255:0", "[::1]:65535", "[fe80::1%7]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address(address).to_string(), text);
        }
    }
}
