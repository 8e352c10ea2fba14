//! Which names and addresses an `ExternalName` Service may not lead to: those that mean something else to us than to whoever wrote it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses that this process listens on.
pub(super) struct Own {
    given: Vec<IpAddr>,
    /// Whether one of the listeners is on every address that the machine has.
    everywhere: bool,
}

impl Own {
    pub(super) fn new(listeners: Vec<SocketAddr>) -> Self {
        let addresses: Vec<_> = listeners.into_iter().map(|listener| listener.ip().to_canonical()).collect();
        Self { everywhere: addresses.iter().any(IpAddr::is_unspecified), given: addresses }
    }

    /// Returns the addresses that lead back to us, as the machine has them now.
    ///
    /// # Errors
    /// The machine does not tell its addresses: then nothing can be said not to be one of them.
    pub(super) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let mut all = self.given.clone();
        if self.everywhere {
            all.extend(if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip().to_canonical()));
        }
        Ok(all)
    }
}

/// Whether a name means the machine that looks it up (RFC 6761 §6.3).
pub(super) fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name == "localhost.localdomain" || name.ends_with(".localhost")
}

/// Returns what is wrong with an address; `None` if it may be reached.
pub(super) fn of(address: IpAddr, own: &[IpAddr]) -> Option<&'static str> {
    let address = address.to_canonical();
    if own.contains(&address) {
        return Some("an address of this proxy");
    }
    match address {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => match inner(v6) {
            Some(v4) => of_v4(v4).or_else(|| own.contains(&v4.into()).then_some("an address of this proxy")),
            None => of_v6(v6),
        },
    }
}

/// Where clouds answer questions about a machine, to whoever asks from it, outside link-local: Azure, Alibaba Cloud, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
/// The same under IPv6: AWS.
const METADATA_V6: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)];

fn of_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_link_local() {
        // Most clouds' metadata services live here.
        Some("a link-local address")
    } else if METADATA_V4.contains(&address) {
        Some("a cloud's metadata service")
    } else if address.is_multicast() || address.is_broadcast() {
        Some("a multicast or broadcast address")
    } else if address.octets().first() == Some(&0) {
        Some("an unspecified address")
    } else {
        None
    }
}

fn of_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if METADATA_V6.contains(&address) {
        Some("a cloud's metadata service")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_unspecified() {
        Some("an unspecified address")
    } else if matches!(address.segments(), [0x64, 0xff9b, 1, ..]) {
        // NAT64 with a local prefix (RFC 8215): where in it the IPv4 address stands is the network's own affair.
        Some("an IPv4 address in a local translation prefix")
    } else {
        None
    }
}

/// Returns the IPv4 address that an IPv6 address wraps: NAT64 (RFC 6052 §2.1), translated (RFC 2765 §2.1), 6to4 (RFC 3056 §2) and
/// IPv4-compatible ones (RFC 4291 §2.5.5.1). Mapped ones are IPv4 already. `::` and `::1` are themselves.
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_something_else_to_us_are_refused() {
        for refused in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "::127.0.0.1",
            "10.9.9.9",
            "64:ff9b::10.9.9.9",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "::ffff:0:127.0.0.1",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "64:ff9b::a83f:8110",
        ] {
            assert!(of(refused.parse().unwrap(), &["10.9.9.9".parse().unwrap()]).is_some(), "{refused}");
        }
        for allowed in [
            "10.0.0.1",
            "192.168.0.1",
            "93.184.216.34",
            "2001:db8::1",
            "fd00::1",
            "64:ff9b::5db8:d822",
            "2002:5db8:d822::1",
            "100.64.0.1",
            "168.63.129.17",
        ] {
            assert_eq!(of(allowed.parse().unwrap(), &[]), None, "{allowed}");
        }
    }

    #[test]
    fn names_of_the_machine_itself_are_refused() {
        for local in ["localhost", "LOCALHOST.", "a.localhost", "localhost.localdomain"] {
            assert!(is_local_name(local), "{local}");
        }
        for other in ["localhost.example.com", "mylocalhost", "example.com"] {
            assert!(!is_local_name(other), "{other}");
        }
    }

    #[test]
    fn a_listener_on_every_address_makes_all_of_the_machines_addresses_ours() {
        let everywhere = Own::new(vec!["[::]:80".parse().unwrap()]);
        assert!(everywhere.addresses().unwrap().len() > 1, "{:?}", everywhere.addresses());
        let one = Own::new(vec!["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(one.addresses().unwrap(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
