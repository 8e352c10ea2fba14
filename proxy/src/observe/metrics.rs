//! The metric families of the data plane. All names begin with `tidegate_`; times are seconds, sizes bytes.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::label::{ConnectionProtocol, ConnectionState, Label, TlsHandshake, UpstreamConnect};
use super::route_series::{AllSeries, RouteSeries, SeriesLabels};
use crate::error::Reason;
use crate::model::Scheme;

/// What the data plane counts. Counting takes no lock; only [`Metrics::route`], which builders of tables call, does.
#[derive(Debug)]
pub struct Metrics {
    series: AllSeries,
    answers: ByLabel<Reason>,
    handshakes: ByLabel<TlsHandshake>,
    connects: ByLabel<UpstreamConnect>,
    reuses: Counter,
    retries: Counter,
    accepted: ByLabel<Scheme>,
    connections: Box<[((ConnectionProtocol, ConnectionState), Gauge)]>,
    log_lines_dropped: Counter,
    log_write_errors: Counter,
}

/// One counter for each value of a label, at hand without a look-up.
#[derive(Debug)]
struct ByLabel<L> {
    counters: Box<[(L, Counter)]>,
}

impl<L: Label> ByLabel<L> {
    fn register(registry: &mut Registry, label: &'static str, name: &'static str, help: &'static str) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.register(name, help, family.clone());
        Self { counters: L::ALL.iter().map(|value| (*value, family.get_or_create_owned(&[(label, value.text())]))).collect() }
    }

    fn inc(&self, value: L) {
        if let Some((_, counter)) = self.counters.get(value.index()) {
            counter.inc();
        }
    }
}

fn counter(registry: &mut Registry, name: &'static str, help: &'static str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

impl Metrics {
    /// Registers every family, under names that begin with `tidegate_`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("tidegate");
        let series = AllSeries::default();
        registry.register_collector(Box::new(series.clone()));
        let states = Family::<[(&'static str, &'static str); 2], Gauge>::default();
        registry.register("connections", "Connections of clients that are open, by protocol and by what they are doing", states.clone());
        let pairs = ConnectionProtocol::ALL.iter().flat_map(|p| ConnectionState::ALL.iter().map(|s| (*p, *s)));
        let gauge = |(p, s): (ConnectionProtocol, ConnectionState)| {
            ((p, s), states.get_or_create_owned(&[("protocol", p.text()), ("state", s.text())]))
        };
        Self {
            series,
            answers: ByLabel::register(registry, "reason", "answers", "Answers that Tidegate made itself, or cut, by reason"),
            handshakes: ByLabel::register(registry, "result", "tls_handshakes", "TLS handshakes with clients, by how they ended"),
            connects: ByLabel::register(registry, "result", "upstream_connects", "Attempts to connect to endpoints, by how they ended"),
            reuses: counter(registry, "upstream_reuses", "Requests sent on a connection to an endpoint that stood already"),
            retries: counter(registry, "upstream_retries", "Requests sent again, to the same or another endpoint"),
            accepted: ByLabel::register(registry, "scheme", "connections_accepted", "Connections of clients accepted"),
            connections: pairs.map(gauge).collect(),
            log_lines_dropped: counter(
                registry,
                "access_log_dropped_lines",
                "Lines of the access log lost because its sink was slow or broken",
            ),
            log_write_errors: counter(registry, "access_log_write_errors", "Writes to the access log's sink that failed"),
        }
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
        self.reuses.inc();
    }

    /// Counts a request that is sent again.
    pub fn upstream_retry(&self) {
        self.retries.inc();
    }

    /// Counts an accepted connection in; the guard counts it out.
    #[must_use]
    pub fn accept(self: &Arc<Self>, scheme: Scheme) -> OpenConnection {
        self.accepted.inc(scheme);
        let at = (ConnectionProtocol::Unknown, ConnectionState::Handshake);
        self.connection(at, |gauge| gauge.inc());
        OpenConnection { metrics: Arc::clone(self), at }
    }

    fn connection(&self, at: (ConnectionProtocol, ConnectionState), change: impl FnOnce(&Gauge) -> i64) {
        let index = at.0.index() * ConnectionState::ALL.len() + at.1.index();
        if let Some((_, gauge)) = self.connections.get(index) {
            change(gauge);
        }
    }

    /// Returns the lines of the access log lost so far, and the writes of it that failed.
    #[must_use]
    pub fn log_losses(&self) -> (u64, u64) {
        (self.log_lines_dropped.get(), self.log_write_errors.get())
    }

    /// Counts lines of the access log that are lost.
    pub(super) fn log_dropped(&self, lines: u64) {
        self.log_lines_dropped.inc_by(lines);
    }

    /// Counts a write to the access log's sink that failed.
    pub(super) fn log_failed(&self) {
        self.log_write_errors.inc();
    }
}

impl Default for Metrics {
    /// Makes metrics that nobody reads: for tests, and for a proxy without `/metrics`.
    fn default() -> Self {
        Self::register(&mut Registry::default())
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
        self.metrics.connection(self.at, |gauge| gauge.dec());
        self.at = (protocol, state);
        self.metrics.connection(self.at, |gauge| gauge.inc());
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connection(self.at, |gauge| gauge.dec());
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
    use super::*;
    use crate::model::{HostMatch, Origin, PathMatch};
    use crate::observe::{MethodLabel, StatusClass};
    use std::time::Duration;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap_or_else(|e| unreachable!("{e}"));
        text
    }

    fn labels(name: &str) -> SeriesLabels {
        let path = PathMatch::Prefix("/".parse().unwrap_or_else(|e| unreachable!("{e}")));
        SeriesLabels::of(&Arc::new(Origin::new("Ingress", "shop", name)), &HostMatch::Any, Some(&path))
    }

    fn count(series: &RouteSeries) {
        series.count(MethodLabel::Get, StatusClass::Success, Duration::from_millis(7), 3, 5);
    }

    #[test]
    fn a_route_built_anew_goes_on_counting_where_its_predecessor_was() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let before = metrics.route(labels("a"));
        count(&before);
        let after = metrics.route(labels("a"));
        drop(before);
        count(&after);
        let shown = text(&registry);
        let of = r#"kind="Ingress",namespace="shop",name="a",host="*",path="/""#;
        for line in [
            format!(r#"tidegate_requests_total{{{of},method="GET",status="2xx"}} 2"#),
            format!(r#"tidegate_request_duration_seconds_bucket{{{of},le="0.005"}} 0"#),
            format!(r"tidegate_request_duration_seconds_sum{{{of}}} 0.014"),
            format!(r"tidegate_request_body_bytes_total{{{of}}} 6"),
            format!(r"tidegate_response_body_bytes_total{{{of}}} 10"),
        ] {
            assert!(shown.lines().any(|shown| same_labels(shown, &line)), "{line}\n{shown}");
        }
    }

    /// Compares lines by their name, value and the set of their labels.
    fn same_labels(a: &str, b: &str) -> bool {
        let parts = |line: &str| {
            let mut parts: Vec<String> = line.split(['{', ',', '}', ' ']).map(str::to_owned).collect();
            parts.sort();
            parts
        };
        parts(a) == parts(b)
    }

    #[test]
    fn series_of_a_route_that_nobody_holds_are_gone() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let (gone, kept) = (metrics.route(labels("gone")), metrics.route(labels("kept")));
        count(&gone);
        count(&kept);
        assert!(text(&registry).contains(r#"name="gone""#));
        drop(gone);
        let shown = text(&registry);
        assert!(!shown.contains(r#"name="gone""#) && shown.contains(r#"name="kept""#), "{shown}");
    }

    #[test]
    fn a_route_that_was_never_asked_for_makes_no_series() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let _held = metrics.route(labels("quiet"));
        assert!(!text(&registry).contains("quiet"));
    }

    #[test]
    fn a_connection_counts_where_it_stands_until_it_closes() {
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let mut open = metrics.accept(Scheme::Https);
        let active = r#"tidegate_connections{protocol="http2",state="active"}"#;
        open.enter(ConnectionProtocol::Http2, ConnectionState::Active);
        assert!(text(&registry).contains(&format!("{active} 1")));
        assert!(text(&registry).contains(r#"tidegate_connections{protocol="unknown",state="handshake"} 0"#));
        drop(open);
        assert!(text(&registry).contains(&format!("{active} 0")));
        assert!(text(&registry).contains(r#"tidegate_connections_accepted_total{scheme="https"} 1"#));
    }
}
