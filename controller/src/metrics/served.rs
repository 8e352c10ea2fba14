//! What the table that serves says of certificates, and of Ingresses that lack a Service or its endpoints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proxy::error::Reason;
use tidegate_proxy::model::{Certificate, HostMatch};
use tidegate_proxy::observe::{Exposition, Family, FamilyKind, Growth, OVERFLOW, Unit};
use tidegate_proxy::table::{Backend, Route, Table};

use super::budget::Budget;
use super::requests::host_label;

static EXPIRY: Family = Family {
    name: "nginx_ingress_controller_ssl_expire_time_seconds",
    kind: FamilyKind::Gauge,
    labels: &["class", "host", "namespace", "secret_name", "identifier"],
    unit: Unit::UnixSeconds,
    help: "When the certificate that is served for a host expires; the host _ is the default certificate, the identifier the SHA-256 of the \
           certificate",
    series: Growth::Certificates(1),
};
static ORPHANS: Family = Family {
    name: "nginx_ingress_controller_orphan_ingress",
    kind: FamilyKind::Gauge,
    labels: &["namespace", "ingress", "type"],
    unit: Unit::One,
    help: "1 for each Ingress with a path whose Service does not exist (no-service) or has no endpoint (no-endpoint)",
    series: Growth::Orphans(1),
};

pub(super) static FAMILIES: &[&Family] = &[&EXPIRY, &ORPHANS];

pub(super) fn write(out: &mut Exposition, table: Option<&Table>, class: &str, budget: Budget) {
    let certificates = table.map(certificates).unwrap_or_default();
    let (shown, rest) = certificates.split_at(certificates.len().min(budget.certificates()));
    let mut samples = out.shared_family(&EXPIRY);
    for (expiry, host, certificate) in shown {
        let origin = &certificate.origin;
        samples.sample(&[class, host, &origin.namespace, &origin.name, &certificate.fingerprint], expiry);
    }
    // They are sorted: the first of the rest is the next to expire among them.
    if let Some((expiry, ..)) = rest.first() {
        samples.sample(&[class, OVERFLOW, OVERFLOW, OVERFLOW, OVERFLOW], expiry);
    }
    let orphans: Vec<_> = table.map(orphans).unwrap_or_default().into_iter().collect();
    let (shown, rest) = orphans.split_at(orphans.len().min(budget.orphans()));
    let mut samples = out.shared_family(&ORPHANS);
    for (namespace, ingress, want) in shown {
        samples.sample(&[namespace, ingress, want], 1);
    }
    for want in [NO_ENDPOINT, NO_SERVICE] {
        let more = rest.iter().filter(|(.., of)| *of == want).count();
        if more > 0 {
            samples.sample(&[OVERFLOW, OVERFLOW, want], more);
        }
    }
}

/// Returns when each certificate expires and for which host it is, the next to expire first.
fn certificates(table: &Table) -> Vec<(u64, String, &Arc<Certificate>)> {
    // All listeners of TLS have the same ones.
    let Some(tls) = table.listeners.iter().find_map(|listener| listener.tls.as_ref()) else { return Vec::new() };
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let own = tls.certificates().iter();
    let own = own.map(|(host, certificate)| (seconds(certificate.not_after), host_label(&host), certificate));
    let default = tls.default_certificate();
    let mut all: Vec<_> = own.chain([(seconds(default.not_after), host_label(&HostMatch::Any), default)]).collect();
    all.sort_by(|(a, host, _), (b, other, _)| (a, host).cmp(&(b, other)));
    all
}

const NO_SERVICE: &str = "no-service";
const NO_ENDPOINT: &str = "no-endpoint";

/// Returns the Ingresses with a path that nothing can serve: namespace, name, and what is wanting.
fn orphans(table: &Table) -> BTreeSet<(&str, &str, &'static str)> {
    table.routes().filter_map(|route| Some((&*route.origin.namespace, &*route.origin.name, want(route)?))).collect()
}

fn want(route: &Route) -> Option<&'static str> {
    match &route.backend {
        Backend::Forward(forward) => forward.upstream.endpoints().endpoints.is_empty().then_some(NO_ENDPOINT),
        Backend::Unavailable(reason) => (*reason == Reason::NoService).then_some(NO_SERVICE),
    }
}
