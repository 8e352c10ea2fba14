//! The places that requests are sent to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the control plane says of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct EndpointAddress {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is called in logs, such as the Pod's name; empty where it has no name.
    pub name: Arc<str>,
}

/// One endpoint, shared by all workers. It keeps its identity (and so its counters and connections) through changes of the set.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens and what it is called.
    pub at: EndpointAddress,
    in_flight: AtomicUsize,
}

impl Endpoint {
    /// Makes an endpoint that nothing is in flight to.
    #[must_use]
    pub fn new(at: EndpointAddress) -> Self {
        Self { at, in_flight: AtomicUsize::new(0) }
    }

    /// Returns the number of requests in flight to it, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request in; the guard counts it out.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A request on its way to an endpoint.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The endpoints of an upstream at one moment.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Those that take requests, sorted by address.
    pub endpoints: Box<[Arc<Endpoint>]>,
}

impl EndpointSet {
    /// Makes the set that follows this one; endpoints that stay keep their identity. Duplicates count once.
    #[must_use]
    pub fn replaced_by(&self, mut addresses: Vec<EndpointAddress>) -> Self {
        addresses.sort();
        addresses.dedup_by(|a, b| a.address == b.address);
        let endpoints = addresses.into_iter().map(|at| {
            let kept = self.endpoints.binary_search_by(|known| known.at.cmp(&at)).ok().and_then(|i| self.endpoints.get(i));
            kept.map_or_else(|| Arc::new(Endpoint::new(at)), Arc::clone)
        });
        Self { endpoints: endpoints.collect() }
    }

    /// Whether this very endpoint is in the set; another with the same address is not it.
    #[must_use]
    pub fn contains(&self, endpoint: &Arc<Endpoint>) -> bool {
        let found = self.endpoints.binary_search_by(|known| known.at.cmp(&endpoint.at));
        found.ok().and_then(|at| self.endpoints.get(at)).is_some_and(|known| Arc::ptr_eq(known, endpoint))
    }

    /// Returns the addresses, sorted.
    pub fn addresses(&self) -> impl Iterator<Item = &EndpointAddress> {
        self.endpoints.iter().map(|endpoint| &endpoint.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> EndpointAddress {
        EndpointAddress { address: SocketAddr::from(([10, 0, 0, 1], port)), name: "".into() }
    }

    #[test]
    fn an_endpoint_that_stays_keeps_its_identity() {
        let before = EndpointSet::default().replaced_by(vec![at(2), at(1), at(2)]);
        assert_eq!(before.endpoints.len(), 2);
        let after = before.replaced_by(vec![at(3), at(2)]);
        let kept = |set: &EndpointSet, port| set.endpoints.iter().find(|e| e.at.address.port() == port).map(Arc::as_ptr);
        assert_eq!(kept(&before, 2), kept(&after, 2));
        assert_eq!(kept(&after, 1), None);
    }
}
