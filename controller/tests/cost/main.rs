//! What a change costs: the objects that it touches, and not the cluster. Processor time of this thread alone is counted, and ratios of it
//! within one run are held against bounds that are wide enough for a busy machine: a cost that follows the cluster is a hundredfold.
//!
//! `cargo test --test cost -- --nocapture` shows the figures; with `--release` they mean something in microseconds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;
mod world;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::core::ObjectList;
use serde::de::DeserializeOwned;
use tidegate::object::{Kind, ObjectRef, SourceEvent};

use world::{Cluster, Running, apply, ingress, read, rule, service, slice};

/// One of these tests at a time: two would share the processor's caches.
static ALONE: Mutex<()> = Mutex::new(());

const FEW: usize = 100;
const MANY: usize = 10_000;
/// Changes of each kind; the cheapest is what counts.
const ROUNDS: usize = 60;

/// Returns what this thread has had of the processor.
fn processor_time() -> Duration {
    // The system brings its books up to date when it schedules.
    std::thread::yield_now();
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

fn cost(work: impl FnOnce()) -> Duration {
    let before = processor_time();
    work();
    processor_time() - before
}

/// A kind of change: what brings it about in each round, and the ratio that is allowed.
struct Change {
    name: &'static str,
    most: f64,
    event: fn(&Cluster, usize) -> SourceEvent,
    /// What undoes it within the round; `None` where the next round changes the same thing again.
    undo: Option<fn() -> SourceEvent>,
}

const CHANGES: &[Change] = &[
    again("an Ingress's path", 4.0, |_, round| apply(Kind::Ingress, &ingress(7, &format!("/{round}")))),
    Change {
        undo: Some(|| SourceEvent::Delete(ObjectRef::new(Kind::Ingress, "shop", "new"))),
        ..again("an Ingress comes and goes", 4.0, |_, _| apply(Kind::Ingress, &rule("new", "new.example.com", "/")))
    },
    again("a slice", 2.0, |_, round| apply(Kind::EndpointSlice, &slice("w7", round))),
    again("a slice of a Service that many name", 2.0, |_, round| apply(Kind::EndpointSlice, &slice("shared", round))),
    again("a Service", 4.0, |_, round| apply(Kind::Service, &service("w7", ["http", "https"][round % 2]))),
    again("a Secret", 4.0, |cluster, round| apply(Kind::Secret, &cluster.secret(0, round + 1))),
    again("a rule without a host", 4.0, |_, round| apply(Kind::Ingress, &rule("hostless", "", &format!("/{round}")))),
    again("a wildcard's rule", 4.0, |_, round| apply(Kind::Ingress, &rule("wildcard", "*.example.com", &format!("/{round}")))),
];

const fn again(name: &'static str, most: f64, event: fn(&Cluster, usize) -> SourceEvent) -> Change {
    Change { name, most, event, undo: None }
}

fn costs(cluster: &Cluster) -> Vec<Duration> {
    let mut running = cluster.start();
    let of = |change: &Change, running: &mut Running| {
        let rounds = (0..ROUNDS).map(|round| {
            let event = (change.event)(cluster, round);
            let undo = change.undo.map(|undo| undo());
            cost(|| [Some(event), undo].into_iter().flatten().for_each(|event| running.take(event)))
        });
        rounds.collect::<Vec<_>>().into_iter().min().unwrap()
    };
    CHANGES.iter().map(|change| of(change, &mut running)).collect()
}

#[test]
fn a_change_of_every_kind_costs_what_it_touches() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [few, many] = [FEW, MANY].map(|ingresses| costs(&Cluster::new(ingresses)));
    let mut above = Vec::new();
    for (change, (few, many)) in CHANGES.iter().zip(few.into_iter().zip(many)) {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{:36} among {FEW}: {few:>10.1?}  among {MANY}: {many:>10.1?}  ratio {ratio:.2} (most {})", change.name, change.most);
        if ratio > change.most {
            above.push(change.name);
        }
    }
    assert!(above.is_empty(), "these cost more among {MANY} than among {FEW} Ingresses: {above:?}");
}

/// Decodes lists as a client does that wants typed objects and nothing else.
fn decode<T: DeserializeOwned + Clone>(pages: &[Vec<u8>]) -> usize {
    pages.iter().map(|page| serde_json::from_slice::<ObjectList<T>>(page).unwrap().items.len()).sum()
}

#[test]
fn a_start_costs_a_small_multiple_of_decoding_and_grows_with_the_objects_alone() {
    use k8s_openapi::api::{
        core::v1::{Secret, Service},
        discovery::v1::EndpointSlice,
        networking::v1::Ingress,
    };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut each = Vec::new();
    for ingresses in [1_000, MANY] {
        let cluster = Cluster::new(ingresses);
        let pages: Vec<_> = Kind::ALL.iter().map(|kind| (*kind, cluster.pages(*kind))).collect();
        let bare = cost(|| {
            for (kind, pages) in &pages {
                let decoded = match kind {
                    Kind::Ingress => decode::<Ingress>(pages),
                    Kind::Service => decode::<Service>(pages),
                    Kind::EndpointSlice => decode::<EndpointSlice>(pages),
                    Kind::Secret => decode::<Secret>(pages),
                    Kind::IngressClass | Kind::ClassParameters | Kind::File => 0,
                };
                std::hint::black_box(decoded);
            }
        });
        let mut objects = Vec::new();
        let reading = cost(|| objects = pages.iter().map(|(kind, pages)| (*kind, read(*kind, pages))).collect());
        let mut snapshot = tidegate::snapshot::Snapshot::default();
        let taking = cost(|| {
            for (kind, objects) in objects {
                snapshot.apply(SourceEvent::Replace { kind, namespace: None, objects });
            }
        });
        let mut running = None;
        let building = cost(|| running = Some(Running::of(snapshot)));
        assert_eq!(running.unwrap().state.upstreams.dump().len(), ingresses + 1);
        let all = reading + taking + building;
        let ratio = all.as_secs_f64() / bare.as_secs_f64();
        println!("{ingresses:6}: decode {bare:?}; read {reading:?} + take in {taking:?} + build {building:?} = {ratio:.2} times that");
        each.push(all.as_secs_f64() / f64::from(u32::try_from(ingresses).unwrap()));
    }
    assert!(each[1] < each[0] * 2.0, "a start among ten times as many costs more than ten times as much: {each:?} s an Ingress");
}
