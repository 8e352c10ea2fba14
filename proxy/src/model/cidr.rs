//! Sets of networks, for trust and for access.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Networks; an IPv4-mapped IPv6 address counts as the IPv4 address it carries, on either side.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CidrSet(Vec<IpNet>);

/// Text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a CIDR such as 10.0.0.0/8")]
pub struct InvalidCidr(pub String);

impl CidrSet {
    /// Adds a network, given as `10.0.0.0/8`, `fd00::/8`, or an address that stands for itself.
    ///
    /// # Errors
    /// The text is neither.
    pub fn add(&mut self, text: &str) -> Result<(), InvalidCidr> {
        let invalid = || InvalidCidr(text.to_owned());
        let net = match IpNet::from_str(text.trim()) {
            Ok(net) => net,
            Err(_) => IpNet::from(text.trim().parse::<IpAddr>().map_err(|_| invalid())?),
        };
        let net = match net {
            IpNet::V6(v6) => match v6.addr().to_ipv4_mapped() {
                Some(v4) if v6.prefix_len() >= 96 => IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).map_err(|_| invalid())?,
                Some(_) | None => IpNet::V6(v6),
            },
            IpNet::V4(v4) => IpNet::V4(v4),
        };
        // Sorted and without doubles, so that sets that hold the same networks are equal.
        if let Err(at) = self.0.binary_search(&net.trunc()) {
            self.0.insert(at, net.trunc());
        }
        Ok(())
    }

    /// Whether the address lies in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = canonical_ip(address);
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Whether there is no network in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns an IPv4-mapped IPv6 address as the IPv4 address it carries, any other as it is.
#[must_use]
pub fn canonical_ip(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_count_as_ipv4_on_both_sides() -> Result<(), Box<dyn std::error::Error>> {
        let mut set = CidrSet::default();
        set.add("10.0.0.0/8")?;
        set.add("::ffff:192.0.2.0/120")?;
        set.add("2001:db8::1")?;
        for (address, inside) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.9", true),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("11.0.0.1", false),
        ] {
            assert_eq!(set.contains(address.parse()?), inside, "{address}");
        }
        assert!(set.add("10.0.0.0/33").is_err());
        Ok(())
    }
}
