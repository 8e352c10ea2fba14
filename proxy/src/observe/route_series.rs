//! What is counted of each route: atomics that the route holds, read when metrics are asked for.
//!
//! A route counts by method and status. The counts of a pair are made when it is first seen, so that a route that was never asked for costs
//! its labels only, and one that answers 200 to GET costs little more. How many there can be in all is limited; what finds no room is
//! counted in common, by class of status.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::counts::{Counts, Times};
use super::label::{Label, MethodLabel, StatusClass};
use crate::model::{HostMatch, Origin, PathMatch};

/// Pairs of method and status that one route counts apart: a backend that makes statuses up is not to have all the room.
const MOST_PAIRS: usize = 32;

/// What tells the series of one route from those of another; all of it comes from the table. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesLabels {
    /// The object that asked for the route; `None` for requests that no route took.
    pub origin: Option<Arc<Origin>>,
    /// The host of the rule; `None` without one, and where hosts are not told apart.
    pub host: Option<HostMatch>,
    /// The path of the rule as it was normalised; empty for a default backend. Exact and prefix of one path share their series.
    pub path: Arc<str>,
    /// The name of the Service that serves the route; `None` where nothing can. Its ports share their series, since none is shown.
    pub service: Option<Arc<str>>,
}

impl SeriesLabels {
    /// Returns the labels of a rule; `None` for the path is a default backend, for the Service (named like `cart:80`) a backend that cannot
    /// serve.
    #[must_use]
    pub fn of(origin: &Arc<Origin>, host: &HostMatch, path: Option<&PathMatch>, service: Option<&Arc<Origin>>) -> Self {
        let path = path.map_or("", |path| if path.literal().is_empty() { "/" } else { path.literal() });
        let service = service.and_then(|service| Some(service.name.split(':').next()?.into()));
        Self { origin: Some(Arc::clone(origin)), host: Some(host.clone()), path: path.into(), service }
    }

    pub(super) fn unrouted() -> Self {
        Self { origin: None, host: None, path: "".into(), service: None }
    }

    pub(super) fn without_host(&self) -> Self {
        Self { host: None, ..self.clone() }
    }
}

/// What is counted of one route. What every request asks for stands first, side by side.
#[repr(C)]
pub struct RouteSeries {
    /// Where it is counted instead, if hosts are not told apart.
    merged: Option<Arc<RouteSeries>>,
    first: Place,
    common: Arc<Common>,
    labels: SeriesLabels,
}

/// Where a pair of method and status is, once it was seen. It stands here of which it is, so that nothing of its counts is touched but
/// what changes.
type Place = OnceLock<(Seen, Box<Pair>)>;

/// The counts of a method and a status, and the next such pair of the route.
#[repr(C)]
struct Pair {
    counts: Counts,
    next: Place,
}

/// A method and a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: MethodLabel,
    /// One that HTTP does not know is [`UNKNOWN_STATUS`].
    pub(super) status: u16,
}

/// Stands for every status that HTTP does not know (RFC 9110 §15).
pub(super) const UNKNOWN_STATUS: u16 = 600;

impl Seen {
    pub(super) fn new(method: MethodLabel, status: u16) -> Self {
        Self { method, status: status.min(UNKNOWN_STATUS) }
    }
}

impl RouteSeries {
    pub(super) fn new(labels: SeriesLabels, common: Arc<Common>) -> Self {
        Self { labels, merged: None, first: Place::new(), common }
    }

    /// Makes a series that is counted where another is.
    pub(super) fn merged_into(labels: SeriesLabels, other: Arc<Self>) -> Self {
        let common = Arc::clone(&other.common);
        Self { labels, merged: Some(other), first: Place::new(), common }
    }

    /// Returns what the series is told from others by.
    #[must_use]
    pub fn labels(&self) -> &SeriesLabels {
        &self.labels
    }

    /// Counts a request that has ended.
    pub(super) fn count(&self, seen: Seen, times: Times, bytes_in: u64, bytes_out: u64) {
        self.merged.as_deref().unwrap_or(self).counts(seen).count(times, bytes_in, bytes_out);
    }

    /// Finds the counts of a pair: the first that a route saw, which is the most frequent as a rule, at once.
    fn counts(&self, seen: Seen) -> &Counts {
        let (mut place, mut pairs) = (&self.first, 0);
        while let Some((of, pair)) = place.get() {
            if *of == seen {
                return &pair.counts;
            }
            place = &pair.next;
            pairs += 1;
        }
        self.admit(place, pairs, seen)
    }

    /// Makes the counts of a pair at the end of the list, if there is room.
    #[cold]
    fn admit<'a>(&'a self, mut place: &'a Place, mut pairs: usize, seen: Seen) -> &'a Counts {
        while pairs < MOST_PAIRS {
            let took = place.get().is_none();
            if took && !self.common.take_room() {
                break;
            }
            let mut made = false;
            let (of, pair) = place.get_or_init(|| {
                made = true;
                (seen, Box::new(Pair { counts: Counts::default(), next: Place::new() }))
            });
            if took && !made {
                self.common.give_room(1);
            }
            if *of == seen {
                return &pair.counts;
            }
            // Another thread was faster with another pair: further on.
            (place, pairs) = (&pair.next, pairs + 1);
        }
        self.common.overflow(seen)
    }

    /// Returns every pair that was seen, with its counts.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Seen, &Counts)> {
        let first = self.first.get();
        std::iter::successors(first, |(_, pair)| pair.next.get()).map(|(of, pair)| (*of, &pair.counts))
    }
}

impl Drop for RouteSeries {
    fn drop(&mut self) {
        let (pairs, requests) = self.pairs().fold((0, 0), |(pairs, requests), (_, counts)| (pairs + 1, requests + counts.requests()));
        if pairs > 0 {
            self.common.gone.fetch_add(requests, Ordering::Relaxed);
            self.common.give_room(pairs);
        }
    }
}

impl Default for RouteSeries {
    /// Makes the series of no route, which nothing shows: for tests, and for routes outside a table.
    fn default() -> Self {
        Self::new(SeriesLabels::unrouted(), Arc::default())
    }
}

impl fmt::Debug for RouteSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteSeries").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// What all routes share: the room for pairs, and what found none.
#[derive(Debug)]
pub(super) struct Common {
    limit: usize,
    used: AtomicUsize,
    overflow: [Counts; StatusClass::ALL.len()],
    /// Requests of routes that are no more.
    gone: AtomicU64,
}

impl Default for Common {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Common {
    /// Makes room for so many pairs.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), overflow: Default::default(), gone: AtomicU64::new(0) }
    }

    fn take_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit && {
            let taken = self.used.fetch_add(1, Ordering::Relaxed) < self.limit;
            if !taken {
                self.give_room(1);
            }
            taken
        }
    }

    fn give_room(&self, pairs: usize) {
        self.used.fetch_sub(pairs, Ordering::Relaxed);
    }

    fn overflow(&self, seen: Seen) -> &Counts {
        let [.., last] = &self.overflow;
        self.overflow.get(StatusClass::from(seen.status).index()).unwrap_or(last)
    }

    /// Returns what found no room, by class of status.
    pub(super) fn overflowed(&self) -> impl Iterator<Item = (StatusClass, &Counts)> {
        StatusClass::ALL.iter().copied().zip(&self.overflow).filter(|(_, counts)| counts.requests() > 0)
    }

    /// Returns the requests of routes that are no more.
    pub(super) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Returns how many pairs there are, and how many there can be.
    pub(super) fn room(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed).min(self.limit), self.limit)
    }
}

#[cfg(test)]
#[path = "route_series/tests.rs"]
mod tests;
