//! Which addresses may connect, or do what else is not for all.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::{IpNet, Ipv4Net};

/// Networks whose addresses may do something, such as [connect](crate::Server::allow); all others may not.
///
/// Written as text it is one network or address a line, or several with commas between them; what follows a `#` is
/// a comment. All clones are one list, so that it can be [replaced](Self::replace) while the server runs.
///
/// ```
/// use icap_server::AllowList;
///
/// let list: AllowList = "10.1.0.0/16 # proxies\n192.0.2.7, 2001:db8::/32".parse()?;
/// assert!(list.allows("10.1.200.3".parse()?));
/// assert!(list.allows("::ffff:10.1.200.3".parse()?)); // as a socket for both versions has it
/// assert!(!list.allows("192.0.2.8".parse()?));
/// list.replace("192.0.2.8".parse()?);
/// assert!(list.allows("192.0.2.8".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct AllowList(Arc<RwLock<Arc<[IpNet]>>>);

impl AllowList {
    /// A list of these networks. An empty one allows nobody.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(Arc::new(RwLock::new(networks.into_iter().map(canonical).collect())))
    }

    /// Takes over what another list has. It holds for connections that come from now on; those that are open stay.
    pub fn replace(&self, list: Self) {
        let networks = list.networks();
        // Nothing panics while the lock is held.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = networks;
    }

    /// Whether an address is in one of the networks. IPv4 in its IPv6 form is taken as IPv4, here and in the list.
    #[must_use]
    pub fn allows(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.networks().iter().any(|network| network.contains(&addr))
    }

    fn networks(&self) -> Arc<[IpNet]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FromStr for AllowList {
    type Err = InvalidAllowList;

    fn from_str(text: &str) -> Result<Self, InvalidAllowList> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim);
        let networks: Result<Vec<_>, _> =
            entries.filter(|entry| !entry.is_empty()).map(network).collect();
        Ok(Self::new(networks?))
    }
}

fn network(text: &str) -> Result<IpNet, InvalidAllowList> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| InvalidAllowList { entry: text.into() })?;
    match network {
        // 192.0.2.7/24 is either the address or the network: who wrote it has to say.
        network if network.addr() == network.network() => Ok(network),
        _ => Err(InvalidAllowList { entry: text.into() }),
    }
}

/// A network of IPv4 addresses in their IPv6 form as one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    let v4 = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    v4.and_then(|(addr, prefix)| Ipv4Net::new(addr, prefix).ok()).map_or(network, IpNet::V4)
}

/// An entry that is neither a network nor an address. A network has no bits set behind its prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} is neither a network like 192.0.2.0/24 nor an address")]
pub struct InvalidAllowList {
    entry: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let list: AllowList = " 10.0.0.0/8 ,, ::1\n\n# all\n192.0.2.1/32#one".parse().unwrap();
        for (addr, allowed) in [
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("::1", true),
            ("::2", false),
            ("::ffff:10.0.0.1", true),
            ("192.0.2.1", true),
            ("192.0.2.0", false),
        ] {
            assert_eq!(list.allows(addr.parse().unwrap()), allowed, "{addr}");
        }
        for broken in ["10.0.0.0/33", "10.0.0.1/8", "host", "10.0.0", "10.0.0.0/8 ::1", "/8"] {
            let error = broken.parse::<AllowList>().unwrap_err();
            assert!(error.to_string().contains(broken), "{error}");
        }
    }

    /// As a socket for both versions, and whoever copies from its log, has them.
    #[test]
    fn ipv4_in_its_ipv6_form() {
        let list: AllowList = "::ffff:10.0.0.0/104, ::ffff:192.0.2.1".parse().unwrap();
        for (addr, allowed) in [
            ("10.255.255.255", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.0", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::1", false),
        ] {
            assert_eq!(list.allows(addr.parse().unwrap()), allowed, "{addr}");
        }
        // Wider than IPv4: its own addresses only.
        let list: AllowList = "::/0".parse().unwrap();
        assert!(list.allows("2001:db8::1".parse().unwrap()));
        assert!(!list.allows("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn an_empty_list_allows_nobody() {
        let list: AllowList = "# none yet".parse().unwrap();
        assert!(!list.allows("127.0.0.1".parse().unwrap()));
    }
}
