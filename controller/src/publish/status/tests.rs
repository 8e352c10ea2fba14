#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;

use super::super::fake::FakeApi;
use super::*;
use crate::reconcile::ServedIngress;

const PATH: &str = "/apis/networking.k8s.io/v1/namespaces/x/ingresses";

fn name(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, "x", name)
}

fn served(of: &str, addresses: &[&str]) -> ServedIngress {
    ServedIngress { reference: name(of), addresses: addresses.iter().map(|&address| address.into()).collect() }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(1_000_000)
}

/// A writer at work, with everything that it listens to.
struct Bench {
    api: Arc<FakeApi>,
    outcomes: mpsc::UnboundedSender<Arc<Outcome>>,
    published: watch::Sender<Option<Arc<[String]>>>,
    leader: watch::Sender<Option<Instant>>,
}

impl Bench {
    fn new(addresses: &[&str], leads: bool) -> Self {
        let (api, client) = FakeApi::new();
        for ingress in ["a", "b", "c"] {
            api.put(&format!("{PATH}/{ingress}"), json!({ "metadata": { "name": ingress, "namespace": "x" } }));
        }
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let published = watch::Sender::new(Some(addresses.iter().map(|&address| address.to_owned()).collect()));
        let leader = watch::Sender::new(leads.then(far));
        let writer = Writer::new(client, Vec::new(), "tidegate/x/leader".to_owned(), Leadership::new(leader.subscribe()));
        tokio::spawn(writer.run(receiver, published.subscribe()));
        Self { api, outcomes, published, leader }
    }

    fn tell(&self, served: &[ServedIngress], let_go: &[ObjectRef]) {
        let outcome = Outcome { served: served.into(), let_go: let_go.into(), ..Outcome::default() };
        self.outcomes.send(Arc::new(outcome)).unwrap();
    }

    /// What was written since the last look, once everything has come to rest: Ingress and addresses.
    async fn writes(&self) -> Vec<(String, Value)> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut writes = Vec::new();
        for (request, body) in self.api.writes() {
            assert!(
                request.contains("/status?") && request.contains("fieldManager=tidegate") && request.contains("force=true"),
                "{request}"
            );
            writes.push((body["metadata"]["name"].as_str().unwrap().to_owned(), body["status"]["loadBalancer"]["ingress"].clone()));
        }
        writes.sort_by(|a, b| a.0.cmp(&b.0));
        writes
    }
}

#[tokio::test(start_paused = true)]
async fn status_is_written_where_it_differs_and_only_there() {
    let bench = Bench::new(&["10.0.0.1", "lb.example.com"], true);
    bench.tell(&[served("a", &[]), served("b", &["lb.example.com", "10.0.0.1"]), served("c", &["192.0.2.1"])], &[]);
    let addresses = json!([{ "ip": "10.0.0.1" }, { "hostname": "lb.example.com" }]);
    assert_eq!(bench.writes().await, [("a".to_owned(), addresses.clone()), ("c".to_owned(), addresses)]);
    bench.tell(&[served("a", &["10.0.0.1", "lb.example.com"])], &[]);
    assert!(bench.writes().await.is_empty());
    bench.published.send_replace(Some(["10.0.0.2".to_owned()].into()));
    assert_eq!(bench.writes().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes() {
    let bench = Bench::new(&["10.0.0.1"], false);
    bench.tell(&[served("a", &[])], &[]);
    assert!(bench.writes().await.is_empty());
    bench.leader.send_replace(Some(far()));
    assert_eq!(bench.writes().await.len(), 1);
    bench.leader.send_replace(None);
    bench.tell(&[served("b", &[])], &[]);
    assert!(bench.writes().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_let_go_loses_what_we_wrote() {
    let bench = Bench::new(&["10.0.0.1"], true);
    bench.tell(&[served("a", &["10.0.0.1"])], &[]);
    bench.tell(&[], &[name("a"), name("missing")]);
    let writes = bench.writes().await;
    assert_eq!(writes, [("a".to_owned(), Value::Null), ("missing".to_owned(), Value::Null)], "an empty apply gives up what is ours");
    assert!(bench.writes().await.is_empty(), "once");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_wrote_is_let_go_after_a_restart() {
    let bench = Bench::new(&["10.0.0.1"], true);
    let owned = |manager: &str| json!([{ "manager": manager, "operation": "Apply", "subresource": "status" }]);
    for (ingress, manager) in [("a", "tidegate/x/leader"), ("b", "tidegate/x/leader"), ("c", "tidegate/y/leader")] {
        bench.api.put(
            &format!("{PATH}/{ingress}"),
            json!({ "metadata": { "name": ingress, "namespace": "x", "managedFields": owned(manager) } }),
        );
    }
    bench.tell(&[served("a", &["10.0.0.1"])], &[]);
    assert_eq!(bench.writes().await, [("b".to_owned(), Value::Null)], "a is served, c is another installation's");
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_with_pauses() {
    let bench = Bench::new(&["10.0.0.1"], true);
    bench.api.break_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    bench.tell(&[served("a", &[])], &[]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((2..10).contains(&bench.writes().await.len()));
    bench.api.break_with(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_the_addresses_are_known() {
    let bench = Bench::new(&[], true);
    bench.published.send_replace(None);
    bench.tell(&[served("a", &["192.0.2.1"])], &[]);
    assert!(bench.writes().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn ingresses_that_fail_hold_up_no_others() {
    let bench = Bench::new(&["10.0.0.1"], true);
    bench.api.forbid(Some("/namespaces/aaa/"));
    let of = |namespace: &str, number: usize| ServedIngress {
        reference: ObjectRef::new(Kind::Ingress, namespace, &format!("i{number:03}")),
        addresses: [].into(),
    };
    let refused: Vec<_> = (0..ROUND * 3).map(|number| of("aaa", number)).collect();
    for number in 0..ROUND * 2 {
        bench.api.put(&format!("/apis/networking.k8s.io/v1/namespaces/bbb/ingresses/i{number:03}"), json!({}));
    }
    let allowed: Vec<_> = (0..ROUND * 2).map(|number| of("bbb", number)).collect();
    bench.tell(&[refused, allowed].concat(), &[]);
    let written = |writes: &[String]| writes.iter().filter(|request| request.contains("/namespaces/bbb/")).count();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(written(&bench.api.requests()), ROUND * 2);
    // What has nothing to do with them does not make the refused ones come sooner.
    tokio::time::sleep(Duration::from_secs(600)).await;
    bench.api.requests();
    for _ in 0..100 {
        bench.tell(&[], &[]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bench.api.requests().len() <= ROUND, "each waits for its own time");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_takes_over_takes_back_nothing_that_another_has() {
    let bench = Bench::new(&["10.0.0.1"], false);
    bench.tell(&[served("a", &["10.0.0.1"])], &[]);
    for number in 0..1000 {
        bench.tell(&[], &[name(&format!("gone-{number}"))]);
    }
    assert!(bench.writes().await.is_empty());
    bench.leader.send_replace(Some(far()));
    assert!(bench.writes().await.is_empty(), "none of them is there, or carries anything of ours");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_else_keeps_changing_is_written_less_and_less_often() {
    let bench = Bench::new(&["10.0.0.1"], true);
    let mut writes = Vec::new();
    for _ in 0..1200 {
        bench.tell(&[served("a", &["192.0.2.66"])], &[]);
        writes.push(bench.writes().await.len());
    }
    assert!((8..20).contains(&writes.iter().sum::<usize>()), "in ten minutes: {writes:?}");
    assert!(writes.iter().rev().take(240).sum::<usize>() <= 3, "once a minute in the end");
    bench.tell(&[served("b", &[])], &[]);
    assert_eq!(bench.writes().await.len(), 1, "others are written at once");
}

#[tokio::test(start_paused = true)]
async fn a_status_is_not_written_once_the_lease_has_run_out() {
    let bench = Bench::new(&["10.0.0.1"], true);
    bench.tell(&[], &[]);
    bench.writes().await;
    bench.api.answer_after(Duration::from_secs(2));
    bench.leader.send_if_modified(|until| {
        *until = Some(Instant::now() + Duration::from_secs(1));
        false
    });
    let many: Vec<_> = (0..ROUND).map(|number| served(&format!("i{number}"), &[])).collect();
    bench.tell(&many, &[]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.api.requests().len(), CONCURRENT, "those that had begun");
}

#[test]
fn the_field_manager_fits_whatever_the_lease_is_called() {
    assert_eq!(manager("ns", "leader"), "tidegate/ns/leader");
    assert!(manager("ns", &"x".repeat(253)).len() <= 128);
}
