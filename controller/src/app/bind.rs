//! Sockets, bound before anything else is done: an address that cannot be had ends the process before it serves anything.

use std::io;
use std::net::SocketAddr;

use anyhow::anyhow;
use tidegate_proxy::server::{BindError, Bound};
use tidegate_proxy::settings::Settings;
use tokio::net::TcpListener;

use crate::args::ListenAddress;
use crate::translate;

/// Error number of Linux and the BSDs' kin for an address family that the system does not have.
const EAFNOSUPPORT: i32 = 97;

/// A listener of the table: its name there, the flag that sets it, and where it is to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) flag: &'static str,
    pub(super) address: ListenAddress,
}

/// Binds the listeners of the proxy. On a host without IPv6 those that nobody asked for give way to IPv4; `options` then say so too.
///
/// # Errors
/// An address cannot be bound: names it and its flag.
pub(super) fn proxy(settings: &Settings, options: &mut translate::Options, places: &[Place]) -> anyhow::Result<Bound> {
    loop {
        let error = match Bound::bind(settings.clone(), &options.empty_table()?) {
            Ok(bound) => return Ok(bound),
            Err(error) => error,
        };
        let place = places.iter().find(|place| place.name == &*error.listener);
        let flag = place.map_or("a listener", |place| place.flag);
        let instead = place.and_then(|place| place.address.without_ipv6()).filter(|_| lacks_ipv6(&error.source));
        let listener = options.listeners.iter_mut().find(|listener| listener.name == error.listener && listener.address == error.address);
        let (Some(instead), Some(listener)) = (instead.filter(|instead| *instead != error.address), listener) else {
            let BindError { address, source, .. } = &error;
            return Err(refused(flag, *address, source));
        };
        say_without_ipv6(flag, instead);
        listener.address = instead;
    }
}

/// Binds a listener of the control plane.
///
/// # Errors
/// The address cannot be bound: names it and its flag.
pub(super) fn own(flag: &'static str, address: ListenAddress) -> anyhow::Result<TcpListener> {
    let (listener, fell_back) =
        with_fallback(address, std::net::TcpListener::bind).map_err(|(address, error)| refused(flag, address, &error))?;
    if let Some(instead) = fell_back {
        say_without_ipv6(flag, instead);
    }
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

fn refused(flag: &str, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    anyhow!("cannot listen on {address} ({flag}): {error}")
}

fn say_without_ipv6(flag: &'static str, address: SocketAddr) {
    tracing::warn!(flag, %address, "this host has no IPv6; listening on all IPv4 addresses instead");
}

fn lacks_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Binds an address; one that nobody asked for gives way to IPv4 on a host without IPv6, and is then returned beside.
fn with_fallback<T>(
    address: ListenAddress,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<(T, Option<SocketAddr>), (SocketAddr, io::Error)> {
    match (bind(address.address()), address.without_ipv6()) {
        (Ok(bound), _) => Ok((bound, None)),
        (Err(error), Some(instead)) if lacks_ipv6(&error) => match bind(instead) {
            Ok(bound) => Ok((bound, Some(instead))),
            Err(error) => Err((instead, error)),
        },
        (Err(error), _) => Err((address.address(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_without_ipv6(address: SocketAddr) -> io::Result<()> {
        if address.is_ipv6() { Err(io::Error::from_raw_os_error(EAFNOSUPPORT)) } else { Ok(()) }
    }

    #[test]
    fn only_a_default_gives_way_on_a_host_without_ipv6() {
        let instead = SocketAddr::from(([0, 0, 0, 0], 8080));
        assert!(matches!(with_fallback(ListenAddress::Default(8080), host_without_ipv6), Ok(((), Some(got))) if got == instead));
        let given = SocketAddr::from(([0_u16; 8], 8080));
        assert!(matches!(with_fallback(ListenAddress::Given(given), host_without_ipv6), Err((at, _)) if at == given));
    }

    #[test]
    fn an_address_that_is_taken_gives_way_to_nothing() {
        let taken = |_: SocketAddr| io::Result::<()>::Err(io::ErrorKind::AddrInUse.into());
        assert!(with_fallback(ListenAddress::Default(8080), taken).is_err());
    }
}
