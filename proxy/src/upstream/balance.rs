//! Chooses endpoints: round robin over all workers, and another one after a failure.

use std::sync::Arc;

use super::{Endpoint, EndpointSet, Upstream};

/// How many endpoints one request is tried on at most.
const MOST_TRIES: usize = 3;

/// The choice of endpoints for one request.
#[derive(Debug)]
pub struct Round {
    turn: usize,
    failed: [Option<Arc<Endpoint>>; MOST_TRIES],
}

impl Round {
    /// Takes the next place in the round that all workers share.
    #[must_use]
    pub fn new(upstream: &Upstream) -> Self {
        Self { turn: upstream.next_turn(), failed: [const { None }; MOST_TRIES] }
    }

    /// Returns the endpoint whose turn it is, without those that have failed; `None` if there is none or enough were tried.
    #[must_use]
    pub fn choose(&self, set: &EndpointSet) -> Option<Arc<Endpoint>> {
        let count = set.endpoints.len();
        if count == 0 || self.failed.iter().all(Option::is_some) {
            return None;
        }
        let start = self.turn % count;
        let (before, from) = set.endpoints.split_at_checked(start)?;
        from.iter().chain(before).find(|endpoint| !self.has_failed(endpoint)).map(Arc::clone)
    }

    /// Keeps the request from being sent to this endpoint again.
    pub fn fail(&mut self, endpoint: Arc<Endpoint>) {
        if let Some(free) = self.failed.iter_mut().find(|failed| failed.is_none()) {
            *free = Some(endpoint);
        }
    }

    fn has_failed(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.failed.iter().flatten().any(|failed| Arc::ptr_eq(failed, endpoint))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::UpstreamProtocol;
    use crate::upstream::{EndpointAddress, UpstreamKey, Upstreams};

    fn upstream(ports: u16) -> Arc<Upstream> {
        let upstreams = Upstreams::default();
        let addresses = (1..=ports).map(|port| EndpointAddress { address: ([10, 0, 0, 1], port).into(), name: "".into() });
        upstreams.set_endpoints(&"a".into(), addresses.collect());
        upstreams.get(&UpstreamKey { backend: "a".into(), protocol: UpstreamProtocol::Http1 })
    }

    #[test]
    fn the_first_hundred_requests_spread_evenly_over_threads() {
        let upstream = upstream(7);
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let ports = (0..25).map(|_| Round::new(&upstream).choose(&upstream.endpoints()).unwrap().at.address.port());
                        ports.collect::<Vec<_>>()
                    })
                })
                .collect();
            let mut counts = BTreeMap::<u16, usize>::new();
            for port in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
                *counts.entry(port).or_default() += 1;
            }
            counts
        });
        assert_eq!(counts.len(), 7);
        assert!(counts.values().all(|count| (14..=15).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_failed_endpoint_is_not_chosen_again_and_three_are_enough() {
        let five = upstream(5);
        let mut round = Round::new(&five);
        let mut ports = Vec::new();
        while let Some(endpoint) = round.choose(&five.endpoints()) {
            ports.push(endpoint.at.address.port());
            round.fail(endpoint);
        }
        assert_eq!(ports, [1, 2, 3]);
        let one = upstream(1);
        let mut round = Round::new(&one);
        let set = one.endpoints();
        round.fail(Arc::clone(&set.endpoints[0]));
        assert!(round.choose(&set).is_none());
        assert!(Round::new(&upstream(0)).choose(&EndpointSet::default()).is_none());
    }
}
