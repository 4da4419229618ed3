//! Who may connect at all: a file of addresses and networks.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use ipnet::IpNet;

/// Addresses and networks that may connect. What is not on the list may not.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowList {
    networks: Vec<IpNet>,
}

impl AllowList {
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// One address or network a line; `#` starts a comment; empty lines are nothing.
    ///
    /// # Errors
    ///
    /// A line that is neither, or a network with bits behind its prefix, which is a slip of the pen.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut networks = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let line = number.saturating_add(1);
            let network = network(entry).with_context(|| format!("line {line}: {entry:?}"))?;
            networks.push(network);
        }
        Ok(Self { networks })
    }

    pub(crate) fn of(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        // An IPv4 client of a dual-stack listener comes as ::ffff:192.0.2.1.
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    pub(crate) fn len(&self) -> usize {
        self.networks.len()
    }

    /// Entries that let everybody in.
    pub(crate) fn is_everybody(&self) -> bool {
        self.networks.iter().any(|network| network.prefix_len() == 0)
    }
}

/// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
pub(crate) fn network(text: &str) -> anyhow::Result<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        bail!("neither an address nor a network such as 192.0.2.0/24");
    };
    if network.trunc() != network {
        bail!("address bits behind the prefix: {} is meant?", network.trunc());
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_allowed() {
        let list =
            AllowList::parse("# cloud\n\n192.0.2.1  # one\n198.51.100.0/24\n2001:db8::/32\n");
        let list = list.unwrap();
        for (address, allowed) in [
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::ffff:192.0.2.1", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(!AllowList::parse("# nobody").unwrap().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, word) in [
            ("192.0.2.1\n192.0.2\n", "line 2"),
            ("192.0.2.0/33", "line 1"),
            ("192.0.2.7/24", "192.0.2.0/24 is meant"),
            ("example.com", "neither"),
        ] {
            let error = format!("{:#}", AllowList::parse(text).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
