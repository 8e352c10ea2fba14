//! What was counted of requests, under ingress-nginx's names.

use tidegate_proxy::model::HostMatch;
use tidegate_proxy::observe::{Exposition, Family, FamilyKind, Growth, HostSeries, OVERFLOW, RequestCounts, Unit};

/// The host comes last: it is left out where hosts are not told apart.
const LABELS: &[&str] = &["method", "path", "status", "namespace", "ingress", "service", "canary", "host"];

static REQUESTS: Family = Family {
    name: "nginx_ingress_controller_requests",
    kind: FamilyKind::Counter,
    labels: LABELS,
    unit: Unit::One,
    help: "Requests that have ended",
    series: Growth::Requests(1),
};
static DURATION: Family = Family {
    name: "nginx_ingress_controller_request_duration_seconds",
    kind: FamilyKind::Histogram,
    labels: LABELS,
    unit: Unit::Seconds,
    help: "Time from a request's head to the end of its response",
    // Eleven bounds and what is beyond, sum and count.
    series: Growth::Requests(14),
};
static RESPONSE_DURATION: Family = Family {
    name: "nginx_ingress_controller_response_duration_seconds",
    kind: FamilyKind::Histogram,
    labels: LABELS,
    unit: Unit::Seconds,
    help: "Time of the last try at an endpoint, to the end of its response",
    // As many buckets as those of requests, so that both can be told from each other.
    series: Growth::Requests(14),
};
static CONNECT_DURATION: Family = Family {
    name: "nginx_ingress_controller_connect_duration_seconds",
    kind: FamilyKind::Histogram,
    labels: LABELS,
    unit: Unit::Seconds,
    help: "Time of the last try at an endpoint until its connection stood; 0 for one that stood already",
    // Four bounds and what is beyond, sum and count.
    series: Growth::Requests(7),
};
static UPSTREAM_LATENCY: Family = Family {
    name: "nginx_ingress_controller_ingress_upstream_latency_seconds",
    kind: FamilyKind::Summary,
    labels: LABELS,
    unit: Unit::Seconds,
    help: "Sum and count of connect_duration_seconds, under the name that a dashboard asks for",
    series: Growth::Requests(2),
};
static REQUEST_SIZE: Family = Family {
    name: "nginx_ingress_controller_request_size",
    kind: FamilyKind::Histogram,
    labels: LABELS,
    unit: Unit::Bytes,
    help: "Bytes of the bodies of requests; one bucket takes all",
    series: Growth::Requests(3),
};
static RESPONSE_SIZE: Family = Family {
    name: "nginx_ingress_controller_response_size",
    kind: FamilyKind::Histogram,
    labels: LABELS,
    unit: Unit::Bytes,
    help: "Bytes of the bodies of responses that were sent",
    // Seven bounds and what is beyond, sum and count.
    series: Growth::Requests(10),
};

pub(super) static FAMILIES: &[&Family] =
    &[&REQUESTS, &DURATION, &RESPONSE_DURATION, &CONNECT_DURATION, &UPSTREAM_LATENCY, &REQUEST_SIZE, &RESPONSE_SIZE];

/// Returns a host as ingress-nginx names it: `_` is any.
pub(super) fn host_label(host: &HostMatch) -> String {
    if *host == HostMatch::Any { "_".to_owned() } else { host.to_string() }
}

/// Writes all of them. Times of endpoints have no series where no endpoint was tried.
pub(super) fn write(out: &mut Exposition, counts: &[RequestCounts], hosts: HostSeries) {
    let hosts_of: Vec<_> = counts.iter().map(host).collect();
    let shown = LABELS.len() - usize::from(hosts == HostSeries::Together);
    let rows: Vec<_> = counts.iter().zip(&hosts_of).map(|(counts, host)| (labels(counts, host), counts)).collect();
    let rows = || rows.iter().map(|(labels, counts)| (labels.get(..shown).unwrap_or(labels), counts));
    let mut samples = out.shared_family(&REQUESTS);
    for (labels, counts) in rows() {
        samples.sample(labels, counts.requests());
    }
    let mut samples = out.shared_family(&DURATION);
    for (labels, counts) in rows() {
        let (buckets, sum) = counts.durations();
        samples.histogram(labels, &RequestCounts::duration_bounds(), buckets, sum);
    }
    let mut samples = out.shared_family(&RESPONSE_DURATION);
    for (labels, counts) in rows().filter(|(_, counts)| counts.tried() > 0) {
        let (buckets, sum) = counts.tries();
        samples.histogram(labels, &RequestCounts::duration_bounds(), buckets, sum);
    }
    let mut samples = out.shared_family(&CONNECT_DURATION);
    for (labels, counts) in rows().filter(|(_, counts)| counts.connected() > 0) {
        let (buckets, sum) = counts.connects();
        samples.histogram(labels, &RequestCounts::connect_bounds(), buckets, sum);
    }
    let mut samples = out.shared_family(&UPSTREAM_LATENCY);
    for (labels, counts) in rows().filter(|(_, counts)| counts.connected() > 0) {
        samples.summary(labels, counts.connects().1, counts.connected());
    }
    let mut samples = out.shared_family(&REQUEST_SIZE);
    for (labels, counts) in rows() {
        samples.histogram(labels, &[], &[counts.requests()], counts.bytes_in());
    }
    let mut samples = out.shared_family(&RESPONSE_SIZE);
    for (labels, counts) in rows() {
        let (buckets, sum) = counts.response_sizes();
        samples.histogram(labels, &RequestCounts::size_bounds(), buckets, sum);
    }
}

fn host(counts: &RequestCounts) -> String {
    let Some(labels) = &counts.labels else { return OVERFLOW.to_owned() };
    labels.host.as_ref().map(host_label).unwrap_or_default()
}

/// Returns the values of [`LABELS`]. What no rule took has an empty namespace, Ingress and path.
fn labels<'a>(counts: &'a RequestCounts, host: &'a str) -> [&'a str; LABELS.len()] {
    let RequestCounts { method, status, .. } = counts;
    let Some(labels) = &counts.labels else {
        return [method, OVERFLOW, status, OVERFLOW, OVERFLOW, OVERFLOW, "", host];
    };
    let (namespace, ingress) = labels.origin.as_deref().map_or(("", ""), |origin| (&*origin.namespace, &*origin.name));
    let service = labels.service.as_deref().unwrap_or_default();
    [method, &labels.path, status, namespace, ingress, service, "", host]
}
