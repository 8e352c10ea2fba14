//! Addresses to listen on, and what stands in for all of them on a host without IPv6.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::value::InvalidValue;

/// Error number of Linux and the BSDs' kin for an address family that the system does not have.
const EAFNOSUPPORT: i32 = 97;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// On all addresses of both families; on those of IPv4 alone where the host has no IPv6. Written `:PORT`.
    All(u16),
    /// On this one and no other. `0.0.0.0` and `[::]` are such too: who writes a family means it.
    One(SocketAddr),
}

/// A socket that is bound, and whether it had to give way.
#[derive(Debug)]
pub(crate) struct Listening<T> {
    /// The socket.
    pub(crate) socket: T,
    /// What it was bound to because the host has no IPv6; `None` if it is what was asked for.
    pub(crate) instead: Option<SocketAddr>,
}

impl ListenAddress {
    /// Returns the address to bind first.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        match self {
            Self::All(port) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            Self::One(address) => address,
        }
    }

    /// Returns the address to bind after the first could not be had; `None` where that has no other, or failed for another reason
    /// than a host without IPv6.
    #[must_use]
    pub fn instead(self, error: &io::Error) -> Option<SocketAddr> {
        let lacks_ipv6 = error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable;
        match self {
            Self::All(port) if lacks_ipv6 => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Self::All(_) | Self::One(_) => None,
        }
    }

    /// Binds it.
    ///
    /// # Errors
    /// It cannot be had: says which address, and why.
    pub(crate) fn bind<T>(self, bind: impl Fn(SocketAddr) -> io::Result<T>) -> Result<Listening<T>, (SocketAddr, io::Error)> {
        let error = match bind(self.address()) {
            Ok(socket) => return Ok(Listening { socket, instead: None }),
            Err(error) => error,
        };
        let Some(instead) = self.instead(&error) else { return Err((self.address(), error)) };
        bind(instead).map(|socket| Listening { socket, instead: Some(instead) }).map_err(|error| (instead, error))
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::One(address)
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let all = text.strip_prefix(':').and_then(|port| port.parse().ok()).map(Self::All);
        let one = || text.parse().ok().map(Self::One);
        all.or_else(one).ok_or_else(|| InvalidValue::new("give IP:PORT, such as 127.0.0.1:8080 or [::1]:8080, or :PORT for all addresses"))
    }
}

/// As it is written.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(port) => write!(f, ":{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn host_without_ipv6(address: SocketAddr) -> io::Result<()> {
        if address.is_ipv6() { Err(io::Error::from_raw_os_error(EAFNOSUPPORT)) } else { Ok(()) }
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for (text, address) in [
            (":80", ListenAddress::All(80)),
            (":0", ListenAddress::All(0)),
            ("[::]:80", ListenAddress::One("[::]:80".parse().unwrap())),
            ("0.0.0.0:80", ListenAddress::One("0.0.0.0:80".parse().unwrap())),
            ("127.0.0.1:0", ListenAddress::One("127.0.0.1:0".parse().unwrap())),
        ] {
            assert_eq!(text.parse(), Ok(address));
            assert_eq!(address.to_string(), text);
        }
        for text in ["80", "localhost:80", "[::]", "1.2.3.4", ":70000", ":", ":-1", "*:80", ""] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_addresses_are_those_of_ipv4_on_a_host_without_ipv6() {
        let listening = ListenAddress::All(8080).bind(host_without_ipv6).unwrap();
        assert_eq!(listening.instead, Some(SocketAddr::from(([0, 0, 0, 0], 8080))));
        assert_eq!(ListenAddress::All(8080).bind(|_| Ok(())).unwrap().instead, None);
    }

    #[test]
    fn one_address_gives_way_to_nothing() {
        let one = SocketAddr::from(([0_u16; 8], 8080));
        assert!(matches!(ListenAddress::One(one).bind(host_without_ipv6), Err((at, _)) if at == one));
    }

    #[test]
    fn addresses_that_are_taken_give_way_to_nothing() {
        let taken = |_: SocketAddr| io::Result::<()>::Err(io::ErrorKind::AddrInUse.into());
        assert!(ListenAddress::All(8080).bind(taken).is_err());
    }
}
