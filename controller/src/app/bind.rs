//! Sockets, bound before anything else is done: an address that cannot be had ends the process before it serves anything.

use std::io;
use std::net::SocketAddr;

use anyhow::anyhow;
use tidegate_proxy::server::{BindError, Bound};
use tidegate_proxy::settings::Settings;
use tokio::net::TcpListener;

use crate::args::{ListenAddress, Listening};
use crate::translate;

/// A listener of the table: its name there, the flag that sets it, and where it is to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) flag: &'static str,
    pub(super) address: ListenAddress,
}

/// Binds the listeners of the proxy. On a host without IPv6 those on all addresses give way to IPv4; `options` then say so too.
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
        let instead = place.and_then(|place| place.address.instead(&error.source));
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
    let bound = address.bind(std::net::TcpListener::bind);
    let Listening { socket, instead } = bound.map_err(|(address, error)| refused(flag, address, &error))?;
    if let Some(instead) = instead {
        say_without_ipv6(flag, instead);
    }
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket)?)
}

fn refused(flag: &str, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    anyhow!("cannot listen on {address} ({flag}): {error}")
}

fn say_without_ipv6(flag: &'static str, address: SocketAddr) {
    tracing::warn!(flag, %address, "this host has no IPv6; listening on all IPv4 addresses instead");
}
