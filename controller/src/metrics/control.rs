//! What the control plane does: tables, how long they took, and who leads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_proxy::observe::{Exposition, Family, FamilyKind, Growth, Unit};
use tidegate_proxy::table::Table;

use crate::snapshot::Readiness;

/// Upper bounds of the buckets of waits, in microseconds.
const BOUNDS_US: [u64; 12] = [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];

static HASH: Family = Family::single(
    "nginx_ingress_controller_config_hash",
    FamilyKind::Gauge,
    Unit::One,
    "A number that changes with the routing table: its generation, counted by each replica for itself",
);
static RELOADED: Family = Family::single(
    "nginx_ingress_controller_config_last_reload_successful",
    FamilyKind::Gauge,
    Unit::One,
    "1 once a routing table serves; a table that cannot serve is never swapped in, what is wrong with objects is told by tidegate_diagnostics",
);
static RELOADED_AT: Family = Family::single(
    "nginx_ingress_controller_config_last_reload_successful_timestamp_seconds",
    FamilyKind::Gauge,
    Unit::UnixSeconds,
    "When the routing table was swapped last",
);
static SUCCESS: Family = Family::single(
    "nginx_ingress_controller_success",
    FamilyKind::Counter,
    Unit::One,
    "Routing tables that were swapped in; nothing is reloaded for it",
);
static ERRORS: Family =
    Family::single("nginx_ingress_controller_errors", FamilyKind::Counter, Unit::One, "Always 0: there is no reload that could fail");
static BUILD: Family = Family {
    name: "nginx_ingress_controller_build_info",
    kind: FamilyKind::Gauge,
    labels: &["release", "build", "repository"],
    unit: Unit::One,
    help: "1; the release is the version of Tidegate",
    series: Growth::Fixed(1),
};
static LEADER: Family = Family {
    name: "nginx_ingress_controller_leader_election_status",
    kind: FamilyKind::Gauge,
    labels: &["name"],
    unit: Unit::One,
    help: "1 on the replica that writes status and Events, 0 on the others; the name is that of the Lease",
    series: Growth::Fixed(1),
};
static GENERATION: Family = Family::single(
    "tidegate_generation",
    FamilyKind::Gauge,
    Unit::One,
    "The generation of the routing table that serves; 0 before the first",
);
static WAIT: Family = Family {
    name: "tidegate_event_to_table_seconds",
    kind: FamilyKind::Histogram,
    labels: &[],
    unit: Unit::Seconds,
    help: "Time from the first event of a batch to the table that it made",
    series: Growth::Fixed(BOUNDS_US.len() + 3),
};
static ENDPOINTS: Family = Family {
    name: "tidegate_endpoints",
    kind: FamilyKind::Gauge,
    labels: &["state"],
    unit: Unit::One,
    help: "Endpoints of Services that Ingresses name, by state: ready; draining (they still serve, and are going away); not_ready",
    series: Growth::Fixed(3),
};

pub(super) static FAMILIES: &[&Family] =
    &[&HASH, &RELOADED, &RELOADED_AT, &SUCCESS, &ERRORS, &BUILD, &LEADER, &GENERATION, &WAIT, &ENDPOINTS];

/// What the control plane notes of its work.
#[derive(Debug, Default)]
pub struct Control {
    waits: [AtomicU64; BOUNDS_US.len() + 1],
    waited_us: AtomicU64,
    /// Milliseconds since 1970; 0 before the first table.
    published_ms: AtomicU64,
    /// Set once this replica stands for election.
    lease: OnceLock<Arc<str>>,
    leads: AtomicBool,
}

impl Control {
    /// Notes that a table serves since now.
    pub fn published(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.published_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes how long events waited for the table that they made.
    pub fn waited(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.waits.get(BOUNDS_US.partition_point(|bound| *bound < wait)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.waited_us.fetch_add(wait, Ordering::Relaxed);
    }

    /// Notes whether this replica holds the Lease of this name.
    pub fn leads(&self, lease: &str, leads: bool) {
        self.lease.get_or_init(|| lease.into());
        self.leads.store(leads, Ordering::Relaxed);
    }

    pub(super) fn write(&self, out: &mut Exposition, table: Option<&Table>, endpoints: Option<[(Readiness, usize); 3]>) {
        let generation = table.map_or(0, |table| table.generation);
        out.shared_family(&HASH).sample(&[], generation);
        out.shared_family(&RELOADED).sample(&[], u8::from(table.is_some()));
        out.shared_family(&RELOADED_AT).sample(&[], Duration::from_millis(self.published_ms.load(Ordering::Relaxed)).as_secs_f64());
        out.shared_family(&SUCCESS).sample(&[], generation);
        out.shared_family(&ERRORS).sample(&[], 0);
        out.shared_family(&BUILD).sample(&[env!("CARGO_PKG_VERSION"), "", ""], 1);
        if let Some(lease) = self.lease.get() {
            out.shared_family(&LEADER).sample(&[lease], u8::from(self.leads.load(Ordering::Relaxed)));
        }
        out.family(&GENERATION).sample(&[], generation);
        let waits = self.waits.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        let seconds = |microseconds| Duration::from_micros(microseconds).as_secs_f64();
        out.family(&WAIT).histogram(&[], &BOUNDS_US.map(seconds), &waits, seconds(self.waited_us.load(Ordering::Relaxed)));
        let mut samples = out.family(&ENDPOINTS);
        for (state, count) in endpoints.into_iter().flatten() {
            samples.sample(&[state.as_str()], count);
        }
    }
}
