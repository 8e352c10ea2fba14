//! The series of every route: found by their labels, and read all together.
//!
//! Series live as long as a route (of any table) or a request in flight holds them; a route that is built anew takes up those of
//! its predecessor, and what no route holds any more is gone from the next answer of `/metrics`.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::counts::{CONNECT_BOUNDS_US, Counts, CountsRead, DURATION_BOUNDS_US, SIZE_BOUNDS};
use super::label::Label;
use super::route_series::{Common, RouteSeries, Seen, SeriesLabels, UNKNOWN_STATUS};

/// How far routes are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesOptions {
    /// How many pairs of method and status all routes may count apart, together.
    pub most: usize,
    /// Whether routes that differ in their host alone are told apart.
    pub hosts: HostSeries,
}

/// Whether each host has series of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSeries {
    /// It has.
    Apart,
    /// Routes of one path of one object are counted together.
    Together,
}

impl Default for SeriesOptions {
    /// No limit, each host apart.
    fn default() -> Self {
        Self { most: usize::MAX, hosts: HostSeries::Apart }
    }
}

/// What was counted of the requests of one route with one method and status.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestCounts {
    /// The route; `None` stands for all that found no room.
    pub labels: Option<SeriesLabels>,
    /// The method; `_overflow` for what found no room.
    pub method: &'static str,
    /// The status; its class (`2xx`) for what found no room, `_overflow` for one that HTTP does not know.
    pub status: Box<str>,
    counts: CountsRead,
}

impl RequestCounts {
    /// Upper bounds of the buckets of durations, in seconds.
    #[must_use]
    pub fn duration_bounds() -> [f64; DURATION_BOUNDS_US.len()] {
        DURATION_BOUNDS_US.map(seconds)
    }

    /// Upper bounds of the buckets of times to connect, in seconds.
    #[must_use]
    pub fn connect_bounds() -> [f64; CONNECT_BOUNDS_US.len()] {
        CONNECT_BOUNDS_US.map(seconds)
    }

    /// Upper bounds of the buckets of response bodies, in bytes.
    #[must_use]
    pub fn size_bounds() -> [f64; SIZE_BOUNDS.len()] {
        #[expect(clippy::cast_precision_loss, reason = "powers of ten far below 2^53")]
        SIZE_BOUNDS.map(|bound| bound as f64)
    }

    /// Returns how many requests there were.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.durations.total()
    }

    /// Returns the requests in each bucket of durations, and the sum of durations in seconds.
    #[must_use]
    pub fn durations(&self) -> (&[u64], f64) {
        (&self.counts.durations.counts, seconds(self.counts.durations.sum_us))
    }

    /// Returns for how many requests an endpoint was tried.
    #[must_use]
    pub fn tried(&self) -> u64 {
        self.counts.tries.total()
    }

    /// Returns the requests for which an endpoint was tried in each bucket of durations, by the time of the last try, and the sum of
    /// these times in seconds.
    #[must_use]
    pub fn tries(&self) -> (&[u64], f64) {
        (&self.counts.tries.counts, seconds(self.counts.tries.sum_us))
    }

    /// Returns how many requests had a connection to an endpoint.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.counts.connects.total()
    }

    /// Returns the requests that had a connection to an endpoint in each bucket of times to connect, as of the last try, and the sum
    /// of these times in seconds. A connection that stood already took none.
    #[must_use]
    pub fn connects(&self) -> (&[u64], f64) {
        (&self.counts.connects.counts, seconds(self.counts.connects.sum_us))
    }

    /// Returns the requests in each bucket of response bodies, and the bytes of all.
    #[must_use]
    pub fn response_sizes(&self) -> (&[u64], u64) {
        (&self.counts.response_sizes, self.counts.bytes_out)
    }

    /// Returns the bytes of the bodies of all requests.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.counts.bytes_in
    }

    fn of(labels: &SeriesLabels, seen: Seen, counts: &Counts) -> Self {
        let status = match seen.status {
            UNKNOWN_STATUS => super::exposition::OVERFLOW.into(),
            known => known.to_string().into(),
        };
        Self { labels: Some(labels.clone()), method: seen.method.text(), status, counts: counts.read() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 microseconds, which is 285 years")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Every series that somebody holds.
#[derive(Debug)]
pub(super) struct AllSeries {
    hosts: HostSeries,
    known: Mutex<Known>,
    common: Arc<Common>,
    unrouted: Arc<RouteSeries>,
    /// The most requests that were ever read: a route that is just going is counted nowhere for a moment.
    total: AtomicU64,
}

/// Series by their labels, which each holds itself.
#[derive(Debug, Default)]
struct Known {
    hasher: DefaultHashBuilder,
    /// By the hash of their labels.
    series: HashTable<(u64, Weak<RouteSeries>)>,
    /// How many there may be before the dead ones are looked for.
    sweep_at: usize,
}

impl Known {
    fn sweep(&mut self) {
        self.series.retain(|(_, held)| held.strong_count() > 0);
        self.series.shrink_to(self.series.len(), |(hash, _)| *hash);
        self.sweep_at = self.series.len() * 2 + 64;
    }

    fn get(&mut self, labels: SeriesLabels, make: impl FnOnce(SeriesLabels, &mut Self) -> RouteSeries) -> Arc<RouteSeries> {
        let hash = self.hasher.hash_one(&labels);
        let mut found = None;
        self.series.find(hash, |(known, held)| {
            found = (*known == hash).then(|| held.upgrade()).flatten().filter(|series| *series.labels() == labels);
            found.is_some()
        });
        if let Some(found) = found {
            return found;
        }
        if self.series.len() >= self.sweep_at {
            self.sweep();
        }
        let series = Arc::new(make(labels, self));
        self.series.insert_unique(hash, (hash, Arc::downgrade(&series)), |(hash, _)| *hash);
        series
    }

    /// Returns all that somebody holds, by their labels.
    fn held(&mut self) -> Vec<Arc<RouteSeries>> {
        self.sweep();
        let mut held: Vec<_> = self.series.iter().filter_map(|(_, held)| held.upgrade()).collect();
        held.sort_by(|a, b| a.labels().cmp(b.labels()));
        held
    }
}

impl AllSeries {
    pub(super) fn new(options: SeriesOptions) -> Self {
        let common = Arc::new(Common::new(options.most));
        let unrouted = Arc::new(RouteSeries::new(SeriesLabels::unrouted(), Arc::clone(&common)));
        Self { hosts: options.hosts, known: Mutex::default(), common, unrouted, total: AtomicU64::new(0) }
    }

    /// Returns the series of these labels, made anew if nobody holds them.
    pub(super) fn get(&self, labels: SeriesLabels) -> Arc<RouteSeries> {
        let own = |labels, _: &mut Known| RouteSeries::new(labels, Arc::clone(&self.common));
        let mut known = self.lock();
        if self.hosts == HostSeries::Apart || labels.host.is_none() {
            return known.get(labels, own);
        }
        known.get(labels, |labels, known| {
            let merged = known.get(labels.without_host(), own);
            RouteSeries::merged_into(labels, merged)
        })
    }

    /// Returns the series of requests that no route took.
    pub(super) fn unrouted(&self) -> &Arc<RouteSeries> {
        &self.unrouted
    }

    /// Returns how many pairs of method and status are counted, and how many can be.
    pub(super) fn room(&self) -> (usize, usize) {
        self.common.room()
    }

    /// Reads what was counted, by route, and the requests of all time.
    pub(super) fn read(&self) -> (Vec<RequestCounts>, u64) {
        // While they are held none of them goes.
        let held = self.held();
        let gone = self.common.gone();
        let pairs = held.iter().flat_map(|series| series.pairs().map(|(seen, counts)| RequestCounts::of(series.labels(), seen, counts)));
        let overflow = self.common.overflowed().map(|(class, counts)| RequestCounts {
            labels: None,
            method: super::exposition::OVERFLOW,
            status: class.text().into(),
            counts: counts.read(),
        });
        let read: Vec<_> = pairs.chain(overflow).collect();
        let total = gone + read.iter().map(RequestCounts::requests).sum::<u64>();
        let before = self.total.fetch_max(total, Ordering::Relaxed);
        (read, total.max(before))
    }

    fn held(&self) -> Vec<Arc<RouteSeries>> {
        let known = self.lock().held();
        std::iter::once(Arc::clone(&self.unrouted)).chain(known).collect()
    }

    /// Locks; a panic elsewhere while it was held leaves a map that is whole, since each change is one step.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
