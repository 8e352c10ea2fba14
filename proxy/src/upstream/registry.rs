//! Who is who among upstreams: names to shared state, and the slots that workers keep their pools in.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::{EndpointAddress, EndpointSet};
use crate::model::UpstreamProtocol;

/// The name of an upstream: a backend together with all that makes its connections differ from another's. The control plane
/// chooses the text; the data plane only compares and logs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct UpstreamKey {
    /// The backend, such as `shop/cart:80`. Endpoints are set by it.
    pub backend: Arc<str>,
    /// How its endpoints are spoken to.
    pub protocol: UpstreamProtocol,
}

impl fmt::Display for UpstreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)
    }
}

/// Where each worker keeps its pools for one upstream: an index into its own vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub usize);

/// The shared state of one backend: endpoints and counters. Routes hold it; what no route holds any more is freed.
pub struct Upstream {
    /// Its name.
    pub key: UpstreamKey,
    /// Its place in each worker's vector of pools.
    pub slot: Slot,
    endpoints: ArcSwap<EndpointSet>,
    turn: AtomicUsize,
    slots: Arc<Slots>,
}

impl Upstream {
    /// Returns the endpoints as they are now.
    #[must_use]
    pub fn endpoints(&self) -> arc_swap::Guard<Arc<EndpointSet>> {
        self.endpoints.load()
    }

    /// Returns the number that the next request takes in the round, shared by all workers.
    #[must_use]
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Replaces the endpoints; those that stay keep their identity.
    fn set_endpoints(&self, addresses: &[EndpointAddress]) {
        let next = self.endpoints.load().replaced_by(addresses.to_vec());
        self.endpoints.store(Arc::new(next));
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("key", &self.key).field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.slots.retire(self.slot);
    }
}

/// All upstreams that a route holds, and the endpoints of every backend that the control plane has told of.
///
/// Not on the request path: the control plane writes it, a worker only asks it for retired slots after a swap.
#[derive(Debug, Default)]
pub struct Upstreams {
    known: Mutex<Known>,
    slots: Arc<Slots>,
}

#[derive(Debug, Default)]
struct Known {
    backends: HashMap<Arc<str>, Backend>,
}

#[derive(Debug, Default)]
struct Backend {
    /// `None` until told.
    endpoints: Option<Arc<[EndpointAddress]>>,
    upstreams: Vec<(UpstreamProtocol, Weak<Upstream>)>,
}

impl Upstreams {
    /// Returns the upstream of this name, made anew if no route holds it. It starts with the endpoints that its backend was last
    /// given.
    #[must_use]
    pub fn get(&self, key: &UpstreamKey) -> Arc<Upstream> {
        let mut known = lock(&self.known);
        let backend = known.backends.entry(Arc::clone(&key.backend)).or_default();
        backend.upstreams.retain(|(_, held)| held.strong_count() > 0);
        if let Some(found) = backend.upstreams.iter().find(|(protocol, _)| *protocol == key.protocol).and_then(|(_, held)| held.upgrade()) {
            return found;
        }
        let upstream = Arc::new(Upstream {
            key: key.clone(),
            slot: self.slots.take(),
            endpoints: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            slots: Arc::clone(&self.slots),
        });
        if let Some(addresses) = &backend.endpoints {
            upstream.set_endpoints(addresses);
        }
        backend.upstreams.push((key.protocol, Arc::downgrade(&upstream)));
        upstream
    }

    /// Sets the endpoints of a backend, for every upstream of it, now and later. Connections to endpoints that are gone drain. The same
    /// endpoints again change nothing.
    pub fn set_endpoints(&self, backend: &Arc<str>, addresses: Vec<EndpointAddress>) {
        let mut known = lock(&self.known);
        let entry = known.backends.entry(Arc::clone(backend)).or_default();
        if entry.endpoints.as_deref() == Some(&addresses) {
            return;
        }
        let addresses: Arc<[EndpointAddress]> = addresses.into();
        for upstream in entry.upstreams.iter().filter_map(|(_, held)| held.upgrade()) {
            upstream.set_endpoints(&addresses);
        }
        entry.endpoints = Some(addresses);
    }

    /// Forgets a backend that no route needs any more.
    pub fn forget(&self, backend: &str) {
        lock(&self.known).backends.remove(backend);
    }

    /// Returns every backend with the endpoints it was given, sorted by name.
    #[must_use]
    pub fn dump(&self) -> Vec<(Arc<str>, Arc<[EndpointAddress]>)> {
        let known = lock(&self.known);
        let mut all: Vec<_> =
            known.backends.iter().map(|(name, backend)| (Arc::clone(name), backend.endpoints.clone().unwrap_or_default())).collect();
        drop(known);
        all.sort();
        all
    }

    /// Returns the slots, for workers.
    #[must_use]
    pub fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }
}

/// Slot numbers. One is given out again only after its upstream is gone and every worker has cleared its pools of it.
#[derive(Debug, Default)]
pub struct Slots {
    inner: Mutex<SlotsInner>,
    /// Counts retirements, so that a worker sees without a lock whether there is something to clear.
    retirements: AtomicU64,
}

#[derive(Debug, Default)]
struct SlotsInner {
    next: usize,
    free: Vec<usize>,
    /// Retired slots with the workers that still have to clear them.
    retired: Vec<(usize, Vec<usize>)>,
    workers: Vec<usize>,
}

impl Slots {
    fn take(&self) -> Slot {
        let mut inner = lock(&self.inner);
        Slot(inner.free.pop().unwrap_or_else(|| {
            inner.next += 1;
            inner.next - 1
        }))
    }

    fn retire(&self, slot: Slot) {
        let mut inner = lock(&self.inner);
        if inner.workers.is_empty() {
            inner.free.push(slot.0);
        } else {
            let workers = inner.workers.clone();
            inner.retired.push((slot.0, workers));
        }
        drop(inner);
        self.retirements.fetch_add(1, Ordering::Release);
    }

    /// Makes a worker known: from now on a slot waits for it.
    pub fn register(&self, worker: usize) {
        lock(&self.inner).workers.push(worker);
    }

    /// Takes a worker out: no slot waits for it any more.
    pub fn unregister(&self, worker: usize) {
        let mut inner = lock(&self.inner);
        inner.workers.retain(|known| *known != worker);
        inner.settle(worker);
    }

    /// Returns the number of retirements so far; a worker that has seen this number has nothing to clear.
    #[must_use]
    pub fn retirements(&self) -> u64 {
        self.retirements.load(Ordering::Acquire)
    }

    /// Returns the slots that this worker has to clear now; they count as cleared by it.
    #[must_use]
    pub fn clear_for(&self, worker: usize) -> Vec<Slot> {
        let mut inner = lock(&self.inner);
        let slots = inner.retired.iter().filter(|(_, waiting)| waiting.contains(&worker)).map(|(slot, _)| Slot(*slot)).collect();
        inner.settle(worker);
        slots
    }
}

impl SlotsInner {
    fn settle(&mut self, worker: usize) {
        for (_, waiting) in &mut self.retired {
            waiting.retain(|id| *id != worker);
        }
        let (done, waiting) = std::mem::take(&mut self.retired).into_iter().partition(|(_, waiting)| waiting.is_empty());
        self.retired = waiting;
        let done: Vec<(usize, Vec<usize>)> = done;
        self.free.extend(done.into_iter().map(|(slot, _)| slot));
    }
}

/// Locks; a panic elsewhere while it was held leaves data that is whole, since each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> UpstreamKey {
        UpstreamKey { backend: name.into(), protocol: UpstreamProtocol::Http1 }
    }

    #[test]
    fn an_upstream_lives_as_long_as_a_route_holds_it() {
        let upstreams = Upstreams::default();
        let first = upstreams.get(&key("a"));
        assert!(Arc::ptr_eq(&first, &upstreams.get(&key("a"))));
        let weak = Arc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn endpoints_may_come_before_and_after_the_upstream() {
        let upstreams = Upstreams::default();
        let at = |port| EndpointAddress { address: ([10, 0, 0, 1], port).into(), name: "".into() };
        upstreams.set_endpoints(&"a".into(), vec![at(1)]);
        let upstream = upstreams.get(&key("a"));
        assert_eq!(upstream.endpoints().endpoints.len(), 1);
        upstreams.set_endpoints(&"a".into(), vec![at(1), at(2)]);
        assert_eq!(upstream.endpoints().endpoints.len(), 2);
    }

    #[test]
    fn a_slot_is_given_again_only_after_every_worker_has_cleared_it() {
        let upstreams = Upstreams::default();
        upstreams.slots().register(0);
        upstreams.slots().register(1);
        let slot = upstreams.get(&key("a")).slot;
        assert_ne!(upstreams.get(&key("b")).slot, slot);
        assert!(upstreams.slots().clear_for(0).contains(&slot));
        assert_ne!(upstreams.get(&key("c")).slot, slot);
        assert!(upstreams.slots().clear_for(1).contains(&slot));
        let again: Vec<_> = ["d", "e", "f"].iter().map(|name| upstreams.get(&key(name))).collect();
        assert!(again.iter().any(|upstream| upstream.slot == slot));
    }
}
