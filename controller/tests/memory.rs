//! What ten thousand Ingresses take of memory, alone in their process and with the allocator of the product.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;
#[path = "cost/world.rs"]
mod world;

use tidegate::object::Kind;
use world::Cluster;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Returns the memory that is this process's own, in KiB.
fn resident_kib() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = maps.lines().find(|line| line.starts_with("Pss_Anon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What an Ingress may take with its host, Service and slice, in bytes: 10,000 of them are 65 MiB, with what the allocator has not given back yet.
const MOST_BYTES: u64 = 6_800;

#[test]
fn ten_thousand_ingresses_with_their_services_stay_small() {
    let cluster = Cluster::new(10_000);
    // What is allocated once and for all is not counted.
    drop(Cluster::new(100).start());
    let before = resident_kib();
    let mut snapshot = tidegate::snapshot::Snapshot::default();
    for kind in Kind::ALL {
        let objects = world::read(*kind, &cluster.pages(*kind));
        snapshot.apply(tidegate::object::SourceEvent::Replace { kind: *kind, namespace: None, objects });
    }
    println!("{} KiB with the snapshot", resident_kib());
    let mut running = world::Running::of(snapshot);
    println!("{} KiB with the first table", resident_kib());
    // A change touches what the first table shares; and the allocator gives back what is free while there is something to do.
    for round in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(60));
        running.take(world::apply(Kind::Ingress, &world::ingress(7, &format!("/{round}"))));
        running.take(world::apply(Kind::Ingress, &world::rule("hostless", "", &format!("/{round}"))));
        running.take(world::apply(Kind::Service, &world::service("w7", ["http", "https"][round % 2])));
        running.take(world::apply(Kind::EndpointSlice, &world::slice("w7", round)));
        running.take(world::apply(Kind::Secret, &cluster.secret(world::A_SECRET / 100, round)));
    }
    let after = resident_kib();
    let each = (after - before) * 1024 / 10_000;
    println!("{before} KiB before, {after} KiB after: {each} bytes an Ingress");
    assert_eq!(running.snapshot.ingresses().count(), 10_002);
    assert_eq!(running.publisher.current().listeners.len(), 2);
    assert_eq!(running.state.upstreams.dump().len(), 10_001);
    drop(running);
    println!("{} KiB once it is dropped", resident_kib());
    assert!(each <= MOST_BYTES, "{each} bytes an Ingress");
}
