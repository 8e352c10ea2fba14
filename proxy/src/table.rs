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
    /// Returns every route; one that several listeners share comes once for each.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.listeners.iter().flat_map(|listener| {
            let hosts = listener.hosts.iter().map(|(_, host)| host);
            hosts.flat_map(|host| host.routes.iter().chain(&host.default)).chain(&listener.fallback)
        })
    }

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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::host::tests::{oracle, path, request_path, route, rules};
    use super::*;
    use crate::model::{Compatibility, Conditions, HostMatch};
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    /// A host with what the oracle has to know of it.
    type Known = (HostMatch, Vec<Arc<Route>>, Option<Arc<Route>>);

    fn listener(hosts: &[Known], fallback: Option<Arc<Route>>) -> Listener {
        let mut map = HostMap::default();
        for (name, routes, default) in hosts {
            let mut builder = HostBuilder::new(name.clone(), Compatibility::Native);
            routes.iter().chain(default).for_each(|route| builder.add(Arc::clone(route)).unwrap());
            map.set(name, Some(Arc::new(builder.build().unwrap())));
        }
        Listener {
            name: "http".into(),
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            public_port: None,
            public_https_port: None,
            proxy_protocol: CidrSet::default(),
            limits: Arc::default(),
            hosts: map,
            fallback,
        }
    }

    /// Says what is found, in words that can be compared.
    fn found(lookup: &Lookup<'_>) -> String {
        match lookup {
            Lookup::Route(route) => route.origin.name.to_string(),
            Lookup::NoPath(host) => format!("no path of {:?}", host.name),
            Lookup::NoHost => "no host".to_owned(),
        }
    }

    /// Whether a host is matched, as the rules are worded, and how strongly.
    fn strength(rule: &HostMatch, host: &str) -> Option<(u8, usize)> {
        let labels_more = |suffix: &str| host.strip_suffix(suffix)?.strip_suffix('.').map(|more| more.split('.').count());
        match rule {
            HostMatch::Exact(name) => (name.as_str() == host).then_some((3, 0)),
            HostMatch::OneLabel(suffix) => (labels_more(suffix.as_str()) == Some(1)).then_some((2, 0)),
            HostMatch::ManyLabels(suffix) => labels_more(suffix.as_str()).map(|_| (1, suffix.as_str().len())),
            HostMatch::Any => Some((0, 0)),
        }
    }

    fn host_match() -> impl Strategy<Value = HostMatch> {
        let name = prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4).prop_map(|labels| labels.join(".").parse().unwrap());
        (0..4, name).prop_map(|(kind, name)| match kind {
            0 => HostMatch::Exact(name),
            1 => HostMatch::OneLabel(name),
            2 => HostMatch::ManyLabels(name),
            _ => HostMatch::Any,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_most_specific_host_answers_alone_and_the_fallback_for_the_rest(
            hosts in prop::collection::btree_map(host_match(), (rules(6), prop::bool::ANY), 0..6),
            requests in prop::collection::vec((prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5), request_path()), 1..8),
            with_fallback in prop::bool::ANY,
        ) {
            let hosts: Vec<Known> = hosts.into_iter().map(|(name, (rules, with_default))| {
                let mut routes: Vec<Arc<Route>> = Vec::new();
                for (text, _) in rules {
                    let route = route(&format!("{text} of {name:?}"), Some(path(&text)), Conditions::default());
                    let place = route.path.as_ref().unwrap().without_trailing_slash();
                    if routes.iter().all(|known| known.path.as_ref().unwrap().without_trailing_slash() != place) {
                        routes.push(route);
                    }
                }
                let default = with_default.then(|| route(&format!("default of {name:?}"), None, Conditions::default()));
                (name, routes, default)
            }).collect();
            let fallback = with_fallback.then(|| route("fallback", None, Conditions::default()));
            let listener = listener(&hosts, fallback.clone());
            let request = RequestFacts { method: &Method::GET, headers: &HeaderMap::new(), query: None };
            for (labels, path) in requests {
                let name = labels.join(".");
                let host = hosts.iter().filter_map(|host| Some((strength(&host.0, &name)?, host))).max_by_key(|(strength, _)| *strength);
                let route = host.and_then(|(_, (_, routes, default))| oracle(routes, &path, request).or(default.as_ref()));
                let wanted = match (route.or(fallback.as_ref()), host) {
                    (Some(route), _) => route.origin.name.to_string(),
                    (None, Some((_, (host, _, _)))) => format!("no path of {host:?}"),
                    (None, None) => "no host".to_owned(),
                };
                prop_assert_eq!(found(&listener.find(&name, &path, request)), wanted, "{} {}", name, path);
            }
        }
    }
}
