//! What is counted of each route: atomics that the route holds, read when metrics are asked for.
//!
//! Series live as long as a route (of any table) or a request in flight holds them; a route that is built anew takes up those of
//! its predecessor, and what no route holds any more is gone from the next answer of `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::label::{Label, MethodLabel, StatusClass};
use crate::model::{HostMatch, Origin, PathMatch};

/// Upper bounds of the duration buckets in microseconds: 1 ms to 60 s.
const BUCKETS_US: [u64; 13] =
    [1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000];
const METHODS: usize = MethodLabel::ALL.len();
const CLASSES: usize = StatusClass::ALL.len();

/// What tells the series of one route from those of another; all of it comes from the table. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesLabels {
    /// The object that asked for the route; `None` for requests that no route took.
    pub origin: Option<Arc<Origin>>,
    /// The host of the rule.
    pub host: Option<HostMatch>,
    /// The path of the rule as it was normalised; empty for a default backend. Exact and prefix of one path share their series.
    pub path: Arc<str>,
}

impl SeriesLabels {
    /// Returns the labels of a rule; `None` for the path is a default backend.
    #[must_use]
    pub fn of(origin: &Arc<Origin>, host: &HostMatch, path: Option<&PathMatch>) -> Self {
        let path = path.map_or("", |path| if path.literal().is_empty() { "/" } else { path.literal() });
        Self { origin: Some(Arc::clone(origin)), host: Some(host.clone()), path: path.into() }
    }

    fn unrouted() -> Self {
        Self { origin: None, host: None, path: "".into() }
    }

    fn pairs(&self) -> [(&'static str, String); 5] {
        let origin = self.origin.as_deref();
        [
            ("kind", origin.map_or_else(String::new, |origin| origin.kind.to_string())),
            ("namespace", origin.map_or_else(String::new, |origin| origin.namespace.to_string())),
            ("name", origin.map_or_else(String::new, |origin| origin.name.to_string())),
            ("host", self.host.as_ref().map_or_else(String::new, ToString::to_string)),
            ("path", self.path.to_string()),
        ]
    }
}

/// What is counted of one route. A route that was never asked for costs its labels only.
pub struct RouteSeries {
    labels: SeriesLabels,
    counts: OnceLock<Box<Counts>>,
}

#[derive(Default)]
struct Counts {
    requests: [[AtomicU64; CLASSES]; METHODS],
    /// One more than the bounds: what took longer than all.
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    duration_us: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl RouteSeries {
    fn new(labels: SeriesLabels) -> Self {
        Self { labels, counts: OnceLock::new() }
    }

    /// Returns what the series is told from others by.
    #[must_use]
    pub fn labels(&self) -> &SeriesLabels {
        &self.labels
    }

    /// Counts a request that has ended.
    pub(super) fn count(&self, method: MethodLabel, class: StatusClass, took: Duration, bytes_in: u64, bytes_out: u64) {
        let counts = self.counts.get_or_init(Box::default);
        if let Some(requests) = counts.requests.get(method.index()).and_then(|classes| classes.get(class.index())) {
            requests.fetch_add(1, Ordering::Relaxed);
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = counts.buckets.get(BUCKETS_US.partition_point(|bound| *bound < took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        counts.duration_us.fetch_add(took, Ordering::Relaxed);
        counts.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        counts.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
    }
}

impl Default for RouteSeries {
    /// Makes the series of no route, which nothing shows: for tests, and for routes outside a table.
    fn default() -> Self {
        Self::new(SeriesLabels::unrouted())
    }
}

impl fmt::Debug for RouteSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteSeries").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// Every series that somebody holds.
#[derive(Debug, Clone)]
pub(super) struct AllSeries {
    known: Arc<Mutex<Known>>,
    unrouted: Arc<RouteSeries>,
}

#[derive(Debug, Default)]
struct Known {
    series: BTreeMap<SeriesLabels, Weak<RouteSeries>>,
    /// How many there may be before the dead ones are looked for.
    sweep_at: usize,
}

impl Known {
    fn sweep(&mut self) {
        self.series.retain(|_, held| held.strong_count() > 0);
        self.sweep_at = self.series.len() * 2 + 64;
    }
}

impl Default for AllSeries {
    fn default() -> Self {
        Self { known: Arc::default(), unrouted: Arc::new(RouteSeries::new(SeriesLabels::unrouted())) }
    }
}

impl AllSeries {
    /// Returns the series of these labels, made anew if nobody holds them.
    pub(super) fn get(&self, labels: SeriesLabels) -> Arc<RouteSeries> {
        let mut known = self.lock();
        if let Some(held) = known.series.get(&labels).and_then(Weak::upgrade) {
            return held;
        }
        if known.series.len() >= known.sweep_at {
            known.sweep();
        }
        let series = Arc::new(RouteSeries::new(labels.clone()));
        known.series.insert(labels, Arc::downgrade(&series));
        series
    }

    /// Returns the series of requests that no route took.
    pub(super) fn unrouted(&self) -> &Arc<RouteSeries> {
        &self.unrouted
    }

    /// Locks; a panic elsewhere while it was held leaves a map that is whole, since each change is one step.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Vec<Arc<RouteSeries>> {
        let mut known = self.lock();
        known.sweep();
        std::iter::once(Arc::clone(&self.unrouted)).chain(known.series.values().filter_map(Weak::upgrade)).collect()
    }
}

impl Collector for AllSeries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let held = self.held();
        let counted: Vec<_> = held.iter().filter_map(|series| Some((series.labels.pairs(), series.counts.get()?))).collect();
        let help = "Requests that have ended, by the rule that took them, method and class of status";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (labels, counts) in &counted {
            encode_requests(&mut family, labels, counts)?;
        }
        let help = "Time from a request's head to the end of its response";
        let mut family = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (labels, counts) in &counted {
            let read: Vec<u64> = counts.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
            let bounds = BUCKETS_US.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(read.iter().copied()).collect();
            let sum = seconds(counts.duration_us.load(Ordering::Relaxed));
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, read.iter().sum(), &buckets, None)?;
        }
        let mut bytes = |name, help, of: fn(&Counts) -> &AtomicU64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counted.iter().try_for_each(|(labels, counts)| encode_count(&mut family, labels, of(counts)))
        };
        bytes("request_body_bytes", "Bytes of request bodies received", |counts| &counts.bytes_in)?;
        bytes("response_body_bytes", "Bytes of response bodies sent", |counts| &counts.bytes_out)
    }
}

fn encode_requests(family: &mut MetricEncoder<'_>, labels: &[(&'static str, String); 5], counts: &Counts) -> fmt::Result {
    for (method, classes) in MethodLabel::ALL.iter().zip(&counts.requests) {
        for (class, count) in StatusClass::ALL.iter().zip(classes) {
            if count.load(Ordering::Relaxed) > 0 {
                let own = [("method", method.text()), ("status", class.text())];
                encode_count(family, &(labels.as_slice(), own), count)?;
            }
        }
    }
    Ok(())
}

fn encode_count(
    family: &mut MetricEncoder<'_>,
    labels: &impl prometheus_client::encoding::EncodeLabelSet,
    count: &AtomicU64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(&count.load(Ordering::Relaxed), None)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 microseconds, which is 285 years")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}
