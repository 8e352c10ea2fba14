//! The loop from events to published tables.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::diagnostic::Code;
use tidegate::object::{Body, Kind, Object, ObjectRef, Provenance, SecretBody, SourceEvent};
use tidegate::reconcile::{Outcome, Reconciler};
use tidegate::snapshot::Snapshot;
use tidegate::translate::Translator;
use tidegate_proxy::model::HostMatch;
use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Host, Table};
use tokio::sync::mpsc;

fn object(kind: Kind, namespace: &str, name: &str, mut value: Value) -> Object {
    value["metadata"]["name"] = json!(name);
    if !namespace.is_empty() {
        value["metadata"]["namespace"] = json!(namespace);
    }
    let body = match kind {
        Kind::IngressClass => Body::IngressClass(Arc::new(serde_json::from_value(value).unwrap())),
        Kind::Ingress => Body::Ingress(Arc::new(serde_json::from_value(value).unwrap())),
        Kind::Service => Body::Service(Arc::new(serde_json::from_value(value).unwrap())),
        Kind::EndpointSlice => Body::EndpointSlice(Arc::new(serde_json::from_value(value).unwrap())),
        Kind::Secret => Body::Secret(SecretBody(Arc::new(serde_json::from_value(value).unwrap()))),
        Kind::ClassParameters | Kind::File => unreachable!("not used here"),
    };
    Object { reference: ObjectRef::new(kind, namespace, name), provenance: Provenance::Cluster { uid: Arc::default() }, body: Ok(body) }
}

fn class() -> Object {
    object(Kind::IngressClass, "", "tidegate", json!({ "spec": { "controller": "tidegate.dev/ingress-controller" } }))
}

fn ingress(name: &str, host: &str, path: &str, service: &str) -> Object {
    let backend = json!({ "service": { "name": service, "port": { "number": 80 } } });
    let paths = json!([{ "path": path, "pathType": "Prefix", "backend": backend }]);
    let spec = json!({ "ingressClassName": "tidegate", "rules": [{ "host": host, "http": { "paths": paths } }] });
    object(Kind::Ingress, "shop", name, json!({ "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" }, "spec": spec }))
}

fn service(name: &str) -> Object {
    object(Kind::Service, "shop", name, json!({ "spec": { "ports": [{ "name": "http", "port": 80 }] } }))
}

fn slice(service: &str, addresses: &[&str]) -> Object {
    let endpoints: Vec<_> = addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
    let labels = json!({ "kubernetes.io/service-name": service });
    let ports = json!([{ "name": "http", "port": 8080 }]);
    let value = json!({ "metadata": { "labels": labels }, "addressType": "IPv4", "ports": ports, "endpoints": endpoints });
    object(Kind::EndpointSlice, "shop", &format!("{service}-1"), value)
}

fn apply(object: Object) -> SourceEvent {
    SourceEvent::Apply(Box::new(object))
}

fn replace(kind: Kind, objects: Vec<Object>) -> SourceEvent {
    SourceEvent::Replace { kind, namespace: None, objects }
}

/// Everything of a small cluster, kind by kind.
fn cluster() -> Vec<SourceEvent> {
    vec![
        replace(Kind::IngressClass, vec![class()]),
        SourceEvent::Unavailable { kind: Kind::ClassParameters, reason: "the CRD is not installed".into() },
        replace(Kind::Secret, vec![]),
        replace(Kind::Service, vec![service("web")]),
        replace(Kind::EndpointSlice, vec![slice("web", &["10.0.0.1"])]),
        replace(Kind::Ingress, vec![ingress("cart", "a.example.com", "/", "web"), ingress("other", "b.example.com", "/", "web")]),
    ]
}

fn host<'t>(table: &'t Table, name: &str) -> Option<&'t Arc<Host>> {
    table.listener("http")?.hosts.get_match(&HostMatch::of_ingress(name).unwrap())
}

/// A reconciler that has its first table.
struct Running {
    reconciler: Reconciler,
    publisher: Publisher,
    state: Arc<State>,
    outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>,
}

impl Running {
    async fn start() -> Self {
        let state = Arc::new(State::default());
        let mut reconciler = Reconciler::new(support::options(), [], Arc::clone(&state));
        let outcomes = reconciler.subscribe();
        let (sender, mut events) = mpsc::channel(100);
        for event in cluster() {
            sender.send(event).await.unwrap();
        }
        let table = reconciler.first_table(&mut events).await.unwrap();
        Self { reconciler, publisher: Publisher::new(table), state, outcomes }
    }

    fn step(&mut self, events: impl IntoIterator<Item = SourceEvent>) -> Option<Arc<Outcome>> {
        self.reconciler.step(events.into_iter(), &self.publisher);
        self.outcomes.try_recv().ok()
    }

    fn generation(&self) -> u64 {
        self.publisher.current().generation
    }
}

#[tokio::test]
async fn the_first_table_waits_for_every_kind() {
    for missing in 0..cluster().len() {
        let mut reconciler = Reconciler::new(support::options(), [], Arc::default());
        let (sender, mut events) = mpsc::channel(100);
        for (index, event) in cluster().into_iter().enumerate() {
            if index != missing {
                sender.send(event).await.unwrap();
            }
        }
        drop(sender);
        assert!(reconciler.first_table(&mut events).await.is_none(), "without event {missing} there is no table");
    }
}

#[tokio::test]
async fn namespaces_that_are_watched_one_by_one_are_all_waited_for() {
    let mut snapshot = Snapshot::new(["shop".into(), "blog".into()]);
    let listed = |namespace: &str| SourceEvent::Replace { kind: Kind::Ingress, namespace: Some(namespace.into()), objects: vec![] };
    snapshot.apply(listed("shop"));
    assert!(!snapshot.is_kind_synced(Kind::Ingress));
    snapshot.apply(listed("blog"));
    assert!(snapshot.is_kind_synced(Kind::Ingress));
    snapshot.apply(SourceEvent::Unavailable { kind: Kind::Secret, reason: "403".into() });
    assert!(!snapshot.is_kind_synced(Kind::Secret), "without Secrets there is no readiness");
}

#[tokio::test]
async fn the_first_outcome_tells_all_and_later_ones_what_changed() {
    let Running { reconciler, publisher, mut outcomes, .. } = Running::start().await;
    let (sender, events) = mpsc::channel(100);
    let publisher = Arc::new(publisher);
    let following = tokio::spawn({
        let publisher = Arc::clone(&publisher);
        async move { reconciler.run(events, &publisher).await }
    });
    let first = outcomes.recv().await.unwrap();
    assert_eq!((first.generation, first.served.len(), first.let_go.len()), (1, 2, 0));
    assert_eq!(first.raised.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::KindUnavailable]);
    sender.send(apply(ingress("new", "c.example.com", "/", "gone"))).await.unwrap();
    let next = outcomes.recv().await.unwrap();
    assert_eq!((next.generation, next.served.len(), next.raised.len(), next.cleared.len()), (2, 1, 1, 0));
    assert!(host(&publisher.current(), "c.example.com").is_some());
    sender.send(SourceEvent::Delete(ObjectRef::new(Kind::Ingress, "shop", "new"))).await.unwrap();
    let last = outcomes.recv().await.unwrap();
    assert_eq!((last.generation, last.served.len(), last.let_go.len(), last.cleared.len()), (3, 0, 1, 1));
    drop(sender);
    following.await.unwrap();
}

#[tokio::test]
async fn an_endpoint_change_makes_no_table() {
    let mut running = Running::start().await;
    assert_eq!(running.state.upstreams.dump()[0].1.len(), 1);
    assert!(running.step([apply(slice("web", &["10.0.0.1", "10.0.0.2"]))]).is_none(), "nobody is told");
    assert_eq!((running.generation(), running.state.upstreams.dump()[0].1.len()), (1, 2));
    running.step([SourceEvent::Delete(ObjectRef::new(Kind::EndpointSlice, "shop", "web-1"))]);
    assert_eq!((running.generation(), running.state.upstreams.dump()[0].1.len()), (1, 0));
}

#[tokio::test]
async fn a_change_of_one_host_shares_all_others() {
    let mut running = Running::start().await;
    let before = running.publisher.current();
    running.step([apply(ingress("cart", "a.example.com", "/new", "web"))]);
    let after = running.publisher.current();
    assert_eq!(after.generation, 2);
    let same = |name| Arc::ptr_eq(host(&before, name).unwrap(), host(&after, name).unwrap());
    assert_eq!((same("a.example.com"), same("b.example.com")), (false, true));
}

#[tokio::test]
async fn what_changes_nothing_makes_no_table() {
    let mut running = Running::start().await;
    let listed = vec![ingress("cart", "a.example.com", "/", "web"), ingress("other", "b.example.com", "/", "web")];
    assert!(running.step([replace(Kind::Ingress, listed)]).is_none());
    assert!(running.step([apply(service("web")), apply(service("unrelated"))]).is_none());
    assert!(running.step([]).is_none());
    assert_eq!(running.generation(), 1);
}

#[tokio::test]
async fn a_status_change_is_told_and_makes_no_table() {
    let mut running = Running::start().await;
    running.step([]);
    let mut object = ingress("cart", "a.example.com", "/", "web");
    if let Ok(Body::Ingress(ingress)) = &mut object.body {
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }, { "hostname": "lb.example.com" }] } });
        Arc::make_mut(ingress).status = Some(serde_json::from_value(status).unwrap());
    }
    let outcome = running.step([apply(object)]).unwrap();
    assert_eq!(outcome.served[0].addresses.as_ref(), ["192.0.2.1", "lb.example.com"]);
    assert_eq!(running.generation(), 1);
}

#[tokio::test]
async fn a_backend_that_nothing_names_is_forgotten() {
    let mut running = Running::start().await;
    running.step([apply(ingress("cart", "a.example.com", "/", "gone"))]);
    assert_eq!(running.state.upstreams.dump().len(), 1, "another Ingress still names it");
    running.step([SourceEvent::Delete(ObjectRef::new(Kind::Ingress, "shop", "other"))]);
    assert_eq!(running.state.upstreams.dump().len(), 0);
}

#[tokio::test]
async fn one_bad_object_in_a_list_costs_itself_alone() {
    let mut running = Running::start().await;
    let bad = Object { body: Err("spec.rules: not a list".into()), ..ingress("cart", "a.example.com", "/", "web") };
    let outcome = running.step([replace(
        Kind::Ingress,
        vec![bad, ingress("other", "b.example.com", "/", "web"), ingress("new", "c.example.com", "/", "web")],
    )]);
    let codes: Vec<_> = outcome.unwrap().raised.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::InvalidObject]);
    let table = running.publisher.current();
    assert!(["a.example.com", "b.example.com", "c.example.com"].iter().all(|name| host(&table, name).is_some()));
}

#[test]
fn a_certificate_near_its_end_is_told_when_its_time_comes() {
    let pem = support::certificate(&["a.example.com"], 22);
    let secret = object(Kind::Secret, "shop", "cert", json!({ "stringData": { "tls.crt": pem.chain, "tls.key": pem.key } }));
    let mut ingress = ingress("cart", "a.example.com", "/", "web");
    if let Ok(Body::Ingress(ingress)) = &mut ingress.body {
        let tls = json!([{ "hosts": ["a.example.com"], "secretName": "cert" }]);
        Arc::make_mut(ingress).spec.as_mut().unwrap().tls = Some(serde_json::from_value(tls).unwrap());
    }
    let mut snapshot = Snapshot::default();
    for object in [class(), service("web"), secret, ingress] {
        snapshot.apply(apply(object));
    }
    let mut translator = Translator::new(support::options(), Arc::default());
    let now = support::noon();
    assert!(translator.rebuild(&snapshot, now).raised.is_empty());
    let day = Duration::from_secs(86_400);
    assert_eq!(translator.next_recheck(), Some(now + day));
    let nothing = tidegate::snapshot::Changes::default();
    assert!(translator.update(&snapshot, &nothing, now + day / 2).raised.is_empty());
    let soon = translator.update(&snapshot, &nothing, now + day);
    assert_eq!(soon.raised.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::CertificateExpiry]);
    assert!(soon.table.is_none());
    let over = translator.update(&snapshot, &nothing, now + 22 * day);
    assert_eq!((over.raised.len(), over.cleared.len(), translator.next_recheck()), (1, 1, None));
}
