//! Which names and addresses an `ExternalName` Service may not lead to: those that mean something else to us than to whoever wrote it.

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
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut all = self.given.clone();
        if self.everywhere {
            all.extend(if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|interface| interface.ip().to_canonical()));
        }
        all
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
        IpAddr::V6(v6) => of_v6(v6),
    }
}

fn of_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_link_local() {
        // The metadata services of clouds live here.
        Some("a link-local address")
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
        return Some("a loopback address");
    }
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    // IPv4 in disguise: NAT64 (RFC 6052 §2.1) and IPv4-compatible addresses (RFC 4291 §2.5.5.1).
    let [a, b, c, d, e, f, high, low] = address.segments();
    if matches!([a, b, c, d, e, f], [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0]) {
        let [first, second] = high.to_be_bytes();
        let [third, fourth] = low.to_be_bytes();
        return of_v4(Ipv4Addr::new(first, second, third, fourth));
    }
    None
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
        ] {
            assert!(of(refused.parse().unwrap(), &["10.9.9.9".parse().unwrap()]).is_some(), "{refused}");
        }
        for allowed in ["10.0.0.1", "192.168.0.1", "93.184.216.34", "2001:db8::1", "fd00::1", "64:ff9b::5db8:d822", "100.64.0.1"] {
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
        assert!(everywhere.addresses().len() > 1, "{:?}", everywhere.addresses());
        let one = Own::new(vec!["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(one.addresses(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
