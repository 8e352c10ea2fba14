//! What the data plane counts, and its families: their names begin with `tidegate_`; times are seconds, sizes bytes.
//!
//! What is counted of each route is read by [`Metrics::requests`]: under which names it is shown is the reader's choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::all_series::{AllSeries, RequestCounts, SeriesOptions};
use super::client_connections::{ACCEPTED, CONNECTIONS, ClientConnections};
use super::counter::{ByLabel, counter};
use super::exposition::{Exposition, Family, FamilyKind, Growth, Unit};
use super::label::{Label, TlsHandshake, UpstreamConnect};
use super::route_series::{RouteSeries, SeriesLabels};
use crate::error::Reason;

/// What the data plane counts. Counting takes no lock but when a route first sees a method with a status; besides
/// that only [`Metrics::route`] does, which builders of tables call.
#[derive(Debug)]
pub struct Metrics {
    series: AllSeries,
    answers: ByLabel<Reason>,
    handshakes: ByLabel<TlsHandshake>,
    connects: ByLabel<UpstreamConnect>,
    reuses: AtomicU64,
    retries: AtomicU64,
    idle: AtomicI64,
    clients: Arc<ClientConnections>,
    log_lines_dropped: AtomicU64,
    log_write_errors: AtomicU64,
}

static ANSWERS: Family =
    counter("tidegate_answers_total", &["reason"], Reason::ALL.len(), "Answers that Tidegate made itself, or cut, by reason");
static HANDSHAKES: Family =
    counter("tidegate_tls_handshakes_total", &["result"], TlsHandshake::ALL.len(), "TLS handshakes with clients, by how they ended");
static CONNECTS: Family = counter(
    "tidegate_upstream_connects_total",
    &["result"],
    UpstreamConnect::ALL.len(),
    "Attempts to connect to endpoints, by how they ended",
);
static REUSES: Family =
    counter("tidegate_upstream_reuses_total", &[], 1, "Requests sent on a connection to an endpoint that stood already");
static RETRIES: Family = counter("tidegate_upstream_retries_total", &[], 1, "Requests sent again, to the same or another endpoint");
static IDLE: Family = Family {
    name: "tidegate_upstream_kept_connections",
    kind: FamilyKind::Gauge,
    labels: &[],
    unit: Unit::One,
    help: "Connections to endpoints that workers keep: idle HTTP/1.1 ones and HTTP/2 ones, as of the last look, five seconds ago at most",
    series: Growth::Fixed(1),
};
static LOG_LINES_DROPPED: Family =
    counter("tidegate_access_log_dropped_lines_total", &[], 1, "Lines of the access log lost because its sink was slow or broken");
static LOG_WRITE_ERRORS: Family = counter("tidegate_access_log_write_errors_total", &[], 1, "Writes to the access log's sink that failed");

impl Metrics {
    /// The families that [`Metrics::write`] writes.
    pub const FAMILIES: &'static [&'static Family] =
        &[&ANSWERS, &CONNECTIONS, &ACCEPTED, &HANDSHAKES, &CONNECTS, &REUSES, &RETRIES, &IDLE, &LOG_LINES_DROPPED, &LOG_WRITE_ERRORS];

    /// Starts with nothing counted.
    #[must_use]
    pub fn new(series: SeriesOptions) -> Self {
        Self {
            series: AllSeries::new(series),
            answers: ByLabel::new(),
            handshakes: ByLabel::new(),
            connects: ByLabel::new(),
            reuses: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            idle: AtomicI64::new(0),
            clients: Arc::new(ClientConnections::new()),
            log_lines_dropped: AtomicU64::new(0),
            log_write_errors: AtomicU64::new(0),
        }
    }

    /// Writes what is counted of the process as a whole.
    pub fn write(&self, out: &mut Exposition) {
        self.answers.write(out, &ANSWERS);
        self.clients.write(out);
        self.handshakes.write(out, &HANDSHAKES);
        self.connects.write(out, &CONNECTS);
        let single = [
            (&REUSES, &self.reuses),
            (&RETRIES, &self.retries),
            (&LOG_LINES_DROPPED, &self.log_lines_dropped),
            (&LOG_WRITE_ERRORS, &self.log_write_errors),
        ];
        for (family, counter) in single {
            out.family(family).sample(&[], counter.load(Ordering::Relaxed));
        }
        out.family(&IDLE).sample(&[], self.idle.load(Ordering::Relaxed));
    }

    /// Returns what is counted of the process as a whole, as Prometheus reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = Exposition::default();
        self.write(&mut out);
        out.into_text()
    }

    /// Reads what was counted of requests, by route, and how many there ever were.
    #[must_use]
    pub fn requests(&self) -> (Vec<RequestCounts>, u64) {
        self.series.read()
    }

    /// Returns how many pairs of route and method and status are counted apart, and how many can be.
    #[must_use]
    pub fn room(&self) -> (usize, usize) {
        self.series.room()
    }

    /// Returns what is counted of clients' connections.
    #[must_use]
    pub fn clients(&self) -> &Arc<ClientConnections> {
        &self.clients
    }

    /// Returns what counts the requests of a route. A table's route holds it; routes of the same labels, in one table or in the
    /// next, share it, and what no route holds any more is shown no longer.
    #[must_use]
    pub fn route(&self, labels: SeriesLabels) -> Arc<RouteSeries> {
        self.series.get(labels)
    }

    /// Returns what counts requests that no route took.
    pub(super) fn unrouted(&self) -> &Arc<RouteSeries> {
        self.series.unrouted()
    }

    /// Counts an answer that the proxy made itself, or cut. Dropping a [`Record`](super::Record) does it; other callers are those
    /// that refuse before there is a request.
    pub fn answer(&self, reason: Reason) {
        self.answers.inc(reason);
    }

    /// Counts a TLS handshake with a client.
    pub fn handshake(&self, result: TlsHandshake) {
        self.handshakes.inc(result);
    }

    /// Counts an attempt to connect to an endpoint.
    pub fn upstream_connect(&self, result: UpstreamConnect) {
        self.connects.inc(result);
    }

    /// Counts a request that found a connection to its endpoint.
    pub fn upstream_reuse(&self) {
        self.reuses.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that is sent again.
    pub fn upstream_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes by how much the connections that a worker keeps to endpoints have changed.
    pub fn upstream_kept(&self, change: i64) {
        self.idle.fetch_add(change, Ordering::Relaxed);
    }

    /// Returns the lines of the access log lost so far, and the writes of it that failed.
    #[must_use]
    pub fn log_losses(&self) -> (u64, u64) {
        (self.log_lines_dropped.load(Ordering::Relaxed), self.log_write_errors.load(Ordering::Relaxed))
    }

    /// Counts lines of the access log that are lost.
    pub(super) fn log_dropped(&self, lines: u64) {
        self.log_lines_dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Counts a write to the access log's sink that failed.
    pub(super) fn log_failed(&self) {
        self.log_write_errors.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    /// Starts with nothing counted, and no limit.
    fn default() -> Self {
        Self::new(SeriesOptions::default())
    }
}

#[cfg(test)]
mod tests;
