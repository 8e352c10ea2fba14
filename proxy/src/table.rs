//! The routing table: immutable data that is replaced as a whole and shares with its predecessor what did not change.
//!
//! Listeners lead to hosts, a host to paths, a path to an ordered list of candidates, the first whose conditions hold is the route.

mod dump;
mod host;
mod route;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

pub use dump::{
    BackendDump, CertificateDump, HostCertificateDump, HostDump, HostMatchDump, ListenerDump, RouteDump, TableDump, TimeoutsDump, TlsDump,
    Wildcard,
};
pub use host::{Conflict, Host, HostBuilder};
pub use route::{Backend, Forward, Route};
pub use tls::{SessionTickets, TlsTable};

use crate::model::{CidrSet, HostMap, Limits, RequestFacts, Scheme};

/// One generation of everything that objects say.
#[derive(Clone)]
pub struct Table {
    /// Counts publications; set by the publisher.
    pub generation: u64,
    /// What is listened on.
    pub listeners: Vec<Listener>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: CidrSet,
}

/// An address that clients connect to, and what is served there.
#[derive(Clone)]
pub struct Listener {
    /// Its name, unique in the table: sockets are kept across swaps by it.
    pub name: Arc<str>,
    /// The address to bind; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Clear text, or TLS with this table.
    pub tls: Option<TlsTable>,
    /// The port that clients see, for redirects and `X-Forwarded-Port`; `None` is the listener's own.
    pub public_port: Option<u16>,
    /// The port that clients of the other scheme see: an http listener's https port, for redirects. `None` leaves the port out.
    pub public_https_port: Option<u16>,
    /// Peers that must speak the PROXY protocol.
    pub proxy_protocol: CidrSet,
    /// Limits on clients.
    pub limits: Arc<Limits>,
    /// Hosts by name.
    pub hosts: HostMap<Arc<Host>>,
    /// What serves requests that no rule takes; `None` answers 404.
    pub fallback: Option<Arc<Route>>,
}

/// What a look-up found.
#[derive(Debug)]
pub enum Lookup<'t> {
    /// A route.
    Route(&'t Arc<Route>),
    /// The host is known, no rule takes the path, and there is no fallback.
    NoPath(&'t Arc<Host>),
    /// The host is not known, and there is no fallback.
    NoHost,
}

impl Listener {
    /// Returns the scheme that clients use here.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// Finds the route of a request. `host` is as [`crate::model::request_host`] gives it, `path` in normal form.
    #[must_use]
    pub fn find(&self, host: &str, path: &str, request: RequestFacts<'_>) -> Lookup<'_> {
        let host = self.hosts.get(host);
        if let Some(route) = host.and_then(|host| host.find(path, request)).or(self.fallback.as_ref()) {
            return Lookup::Route(route);
        }
        host.map_or(Lookup::NoHost, Lookup::NoPath)
    }
}

impl Table {
    /// Returns the listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listeners: Vec<_> = self.listeners.iter().map(|l| (&l.name, l.address, l.hosts.len())).collect();
        f.debug_struct("Table").field("generation", &self.generation).field("listeners", &listeners).finish_non_exhaustive()
    }
}
