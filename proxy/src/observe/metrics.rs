//! What the data plane counts, and its families: their names begin with `tidegate_`; times are seconds, sizes bytes.
//!
//! What is counted of each route is read by [`Metrics::requests`]: under which names it is shown is the reader's choice.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::all_series::{AllSeries, RequestCounts, SeriesOptions};
use super::exposition::{Exposition, Family, FamilyKind, Growth, Unit};
use super::label::{ConnectionProtocol, ConnectionState, Label, TlsHandshake, UpstreamConnect};
use super::route_series::{RouteSeries, SeriesLabels};
use crate::error::Reason;
use crate::model::Scheme;

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
    accepted: ByLabel<Scheme>,
    connections: Box<[AtomicI64]>,
    log_lines_dropped: AtomicU64,
    log_write_errors: AtomicU64,
}

/// One counter for each value of a label, at hand without a look-up.
#[derive(Debug)]
struct ByLabel<L> {
    counters: Box<[AtomicU64]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> ByLabel<L> {
    fn new() -> Self {
        Self { counters: L::ALL.iter().map(|_| AtomicU64::new(0)).collect(), label: PhantomData }
    }

    fn inc(&self, value: L) {
        if let Some(counter) = self.counters.get(value.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&self, out: &mut Exposition, family: &'static Family) {
        let mut samples = out.family(family);
        for (value, counter) in L::ALL.iter().zip(&self.counters) {
            samples.sample(&[value.text()], counter.load(Ordering::Relaxed));
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], series: usize, help: &'static str) -> Family {
    Family { name, kind: FamilyKind::Counter, labels, unit: Unit::One, help, series: Growth::Fixed(series) }
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
static ACCEPTED: Family = counter("tidegate_connections_accepted_total", &["scheme"], Scheme::ALL.len(), "Connections of clients accepted");
static CONNECTIONS: Family = Family {
    name: "tidegate_connections",
    kind: FamilyKind::Gauge,
    labels: &["protocol", "state"],
    unit: Unit::One,
    help: "Connections of clients that are open, by protocol and by what they are doing",
    series: Growth::Fixed(ConnectionProtocol::ALL.len() * ConnectionState::ALL.len()),
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
        let pairs = ConnectionProtocol::ALL.len() * ConnectionState::ALL.len();
        Self {
            series: AllSeries::new(series),
            answers: ByLabel::new(),
            handshakes: ByLabel::new(),
            connects: ByLabel::new(),
            reuses: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            idle: AtomicI64::new(0),
            accepted: ByLabel::new(),
            connections: (0..pairs).map(|_| AtomicI64::new(0)).collect(),
            log_lines_dropped: AtomicU64::new(0),
            log_write_errors: AtomicU64::new(0),
        }
    }

    /// Writes what is counted of the process as a whole.
    pub fn write(&self, out: &mut Exposition) {
        self.answers.write(out, &ANSWERS);
        let mut samples = out.family(&CONNECTIONS);
        for (protocol, state, count) in self.connections() {
            samples.sample(&[protocol.text(), state.text()], count);
        }
        self.accepted.write(out, &ACCEPTED);
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

    /// Returns the clients' connections that are open.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionProtocol, ConnectionState, i64)> {
        let pairs = ConnectionProtocol::ALL.iter().flat_map(|p| ConnectionState::ALL.iter().map(|s| (*p, *s)));
        pairs.zip(&self.connections).map(|((protocol, state), count)| (protocol, state, count.load(Ordering::Relaxed)))
    }

    /// Returns how many connections of clients were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
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

    /// Counts an accepted connection in; the guard counts it out.
    #[must_use]
    pub fn accept(self: &Arc<Self>, scheme: Scheme) -> OpenConnection {
        self.accepted.inc(scheme);
        let at = (ConnectionProtocol::Unknown, ConnectionState::Handshake);
        self.connection(at, 1);
        OpenConnection { metrics: Arc::clone(self), at }
    }

    fn connection(&self, at: (ConnectionProtocol, ConnectionState), change: i64) {
        let index = at.0.index() * ConnectionState::ALL.len() + at.1.index();
        if let Some(gauge) = self.connections.get(index) {
            gauge.fetch_add(change, Ordering::Relaxed);
        }
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

/// A client's connection, counted where it stands now until it drops.
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Arc<Metrics>,
    at: (ConnectionProtocol, ConnectionState),
}

impl OpenConnection {
    /// Counts the connection in another place.
    pub fn enter(&mut self, protocol: ConnectionProtocol, state: ConnectionState) {
        if self.at == (protocol, state) {
            return;
        }
        self.metrics.connection(self.at, -1);
        self.at = (protocol, state);
        self.metrics.connection(self.at, 1);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connection(self.at, -1);
    }
}

impl Label for Scheme {
    const ALL: &'static [Self] = &[Self::Http, Self::Https];

    fn text(self) -> &'static str {
        self.as_str()
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{HostMatch, Origin, PathMatch};
    use crate::observe::all_series::HostSeries;
    use crate::observe::counts::Times;
    use crate::observe::label::MethodLabel;
    use crate::observe::route_series::Seen;

    fn labels(name: &str, host: &str) -> SeriesLabels {
        let path = PathMatch::Prefix("/".parse().unwrap_or_else(|e| unreachable!("{e}")));
        let host = HostMatch::of_ingress(host).unwrap_or_else(|e| unreachable!("{e}"));
        SeriesLabels::of(&Arc::new(Origin::new("Ingress", "shop", name)), &host, Some(&path), None)
    }

    fn labels_of(service: &str) -> SeriesLabels {
        let service = Arc::new(Origin::new("Service", "shop", service));
        SeriesLabels::of(&Arc::new(Origin::new("Ingress", "shop", "a")), &HostMatch::Any, None, Some(&service))
    }

    fn count(series: &RouteSeries) {
        series.count(Seen { method: MethodLabel::Get, status: 204 }, Times::Plain(Duration::from_millis(7)), 3, 5);
    }

    /// Returns the names of objects with the number of their requests.
    fn requests(metrics: &Metrics) -> Vec<(String, u64)> {
        let name = |counts: &RequestCounts| counts.labels.as_ref().and_then(|labels| Some(labels.origin.as_ref()?.name.to_string()));
        metrics.requests().0.iter().map(|counts| (name(counts).unwrap_or_default(), counts.requests())).collect()
    }

    #[test]
    fn what_the_page_shows_alike_is_counted_together() {
        let metrics = Metrics::default();
        let of = |service: &str| SeriesLabels { service: labels_of(service).service, ..labels("a", "") };
        let (plain, secure) = (metrics.route(of("cart:80")), metrics.route(of("cart:8443")));
        assert!(Arc::ptr_eq(&plain, &secure), "ports are not shown");
        for status in [600, 777, 999] {
            plain.count(Seen::new(MethodLabel::Get, status), Times::Plain(Duration::ZERO), 0, 0);
        }
        let (read, _) = metrics.requests();
        let statuses: Vec<_> = read.iter().map(|counts| (&*counts.status, counts.requests())).collect();
        assert_eq!(statuses, [("_overflow", 3)], "nor are statuses that HTTP does not know");
    }

    #[test]
    fn a_route_built_anew_goes_on_counting_where_its_predecessor_was() {
        let metrics = Metrics::default();
        let before = metrics.route(labels("a", ""));
        count(&before);
        let after = metrics.route(labels("a", ""));
        drop(before);
        count(&after);
        let (read, total) = metrics.requests();
        let [read] = read.as_slice() else { unreachable!("{read:?}") };
        assert_eq!((read.method, &*read.status, read.requests(), total), ("GET", "204", 2, 2));
        assert_eq!((read.durations().1, read.bytes_in(), read.response_sizes().1), (0.014, 6, 10));
    }

    #[test]
    fn series_of_a_route_that_nobody_holds_are_gone_but_its_requests_stay_in_the_total() {
        let metrics = Metrics::default();
        let (gone, kept) = (metrics.route(labels("gone", "")), metrics.route(labels("kept", "")));
        count(&gone);
        count(&kept);
        assert_eq!(requests(&metrics).len(), 2);
        drop(gone);
        assert_eq!(requests(&metrics), [("kept".to_owned(), 1)]);
        assert_eq!(metrics.requests().1, 2);
    }

    #[test]
    fn a_route_that_was_never_asked_for_makes_no_series() {
        let metrics = Metrics::default();
        let _held = metrics.route(labels("quiet", ""));
        assert_eq!(requests(&metrics), []);
    }

    #[test]
    fn hosts_that_are_not_told_apart_are_counted_together_and_still_known_to_the_log() {
        let metrics = Metrics::new(SeriesOptions { hosts: HostSeries::Together, ..SeriesOptions::default() });
        let (a, b) = (metrics.route(labels("shop", "a.test")), metrics.route(labels("shop", "b.test")));
        count(&a);
        count(&b);
        assert_eq!(requests(&metrics), [("shop".to_owned(), 2)]);
        assert_eq!(a.labels().host.as_ref().map(ToString::to_string).as_deref(), Some("a.test"));
        drop(a);
        assert_eq!(requests(&metrics), [("shop".to_owned(), 2)], "no count falls while a host is left");
    }

    #[test]
    fn a_connection_counts_where_it_stands_until_it_closes() {
        let metrics = Arc::new(Metrics::default());
        let mut open = metrics.accept(Scheme::Https);
        let active = r#"tidegate_connections{protocol="http2",state="active"}"#;
        open.enter(ConnectionProtocol::Http2, ConnectionState::Active);
        assert!(metrics.to_text().contains(&format!("{active} 1")));
        assert!(metrics.to_text().contains(r#"tidegate_connections{protocol="unknown",state="handshake"} 0"#));
        drop(open);
        assert!(metrics.to_text().contains(&format!("{active} 0")));
        assert!(metrics.to_text().contains(r#"tidegate_connections_accepted_total{scheme="https"} 1"#));
    }

    #[test]
    fn every_family_is_written_once_and_has_no_more_series_than_it_says() {
        let text = Metrics::default().to_text();
        for family in Metrics::FAMILIES {
            assert_eq!(text.matches(&format!("# TYPE {} {}\n", family.name, family.kind.as_str())).count(), 1, "{}", family.name);
        }
        let fixed = Metrics::FAMILIES.iter().map(|family| if let Growth::Fixed(series) = family.series { series } else { 0 });
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), fixed.sum::<usize>());
    }
}
