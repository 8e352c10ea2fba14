use super::*;
use crate::upstream::{EndpointAddress, UpstreamKey, Upstreams};

fn upstream(upstreams: &Upstreams, name: &str) -> Arc<Upstream> {
    let address = |port| EndpointAddress { address: ([10, 0, 0, 1], port).into(), name: "".into() };
    upstreams.set_endpoints(&name.into(), vec![address(1), address(2)]);
    upstreams.get(&UpstreamKey { backend: name.into(), protocol: UpstreamProtocol::Http1 })
}

#[test]
fn an_endpoint_keeps_its_pool_and_shares_it_with_no_other() {
    let (upstreams, pools) = (Upstreams::default(), Pools::new(Connector::new(), 8, Duration::from_secs(1), Arc::default()));
    let upstream = upstream(&upstreams, "a");
    let set = upstream.endpoints();
    let pool = |at: usize| pools.endpoint(&upstream, &set.endpoints[at]);
    assert!(Rc::ptr_eq(&pool(0), &pool(0)) && Rc::ptr_eq(&pool(1), &pool(1)));
    assert!(!Rc::ptr_eq(&pool(0), &pool(1)));
}

#[test]
fn a_slot_that_changed_hands_does_not_lend_the_old_connections() {
    let (upstreams, pools) = (Upstreams::default(), Pools::new(Connector::new(), 8, Duration::from_secs(1), Arc::default()));
    let first = upstream(&upstreams, "a");
    let endpoint = Arc::clone(&first.endpoints().endpoints[0]);
    let old = pools.endpoint(&first, &endpoint);
    let slot = first.slot;
    drop(first);
    let second = upstream(&upstreams, "b");
    assert_eq!(second.slot, slot, "no worker is registered, so that the slot is free at once");
    assert!(!Rc::ptr_eq(&old, &pools.endpoint(&second, &endpoint)));
}

#[test]
fn a_sweep_forgets_endpoints_that_are_gone() {
    let (upstreams, pools) = (Upstreams::default(), Pools::new(Connector::new(), 8, Duration::from_secs(1), Arc::default()));
    let upstream = upstream(&upstreams, "a");
    let pool = pools.endpoint(&upstream, &upstream.endpoints().endpoints[0]);
    pools.0.sweep(0);
    assert_eq!(Rc::strong_count(&pool), 2);
    upstreams.set_endpoints(&"a".into(), Vec::new());
    pools.0.sweep(0);
    assert_eq!(Rc::strong_count(&pool), 1);
}

#[test]
fn a_pool_that_holds_nothing_is_forgotten_unless_somebody_waits_or_alpn_has_told_something() {
    let (upstreams, pools) = (Upstreams::default(), Pools::new(Connector::new(), 8, Duration::from_secs(1), Arc::default()));
    upstreams.set_endpoints(&"a".into(), vec![EndpointAddress { address: ([10, 0, 0, 1], 1).into(), name: "".into() }]);
    let of = |protocol| upstreams.get(&UpstreamKey { backend: "a".into(), protocol });
    let (plain, secure) = (of(UpstreamProtocol::Http1), of(UpstreamProtocol::Https));
    let pool = |upstream: &Arc<Upstream>| pools.endpoint(upstream, &upstream.endpoints().endpoints[0]);
    let is_kept = |upstream: &Arc<Upstream>| pools.0.slots.borrow()[upstream.slot.0].is_some();
    let (held, spoken) = (pool(&plain), pool(&secure));
    spoken.spoken.set(Some(Version::Http2));
    drop(spoken);
    pools.0.sweep(0);
    assert!(is_kept(&plain) && is_kept(&secure));
    drop(held);
    pools.0.sweep(0);
    assert!(!is_kept(&plain) && is_kept(&secure));
}
