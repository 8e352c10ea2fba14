use std::time::Duration;

use super::*;
use crate::model::{HostMatch, Origin, PathMatch, Scheme};
use crate::observe::all_series::HostSeries;
use crate::observe::counts::Times;
use crate::observe::label::{ConnectionProtocol, ConnectionState, MethodLabel};
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
    series.count(
        Seen { method: MethodLabel::Get, status: 204 },
        Times::Plain { took: Duration::from_millis(7), connect: Duration::ZERO },
        3,
        5,
    );
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
        plain.count(Seen::new(MethodLabel::Get, status), Times::Plain { took: Duration::ZERO, connect: Duration::ZERO }, 0, 0);
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
    let mut open = metrics.clients().accept(Scheme::Https);
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
