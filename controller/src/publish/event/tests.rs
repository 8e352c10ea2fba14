#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::fake::FakeApi;
use super::*;
use crate::diagnostic::Code;

fn finding(of: &str, message: &str) -> Diagnostic {
    Diagnostic::at(&ObjectRef::new(Kind::Ingress, "x", of), Code::MissingService, "spec.rules[0]", message)
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(1_000_000)
}

struct Bench {
    api: Arc<FakeApi>,
    client: Client,
    outcomes: mpsc::UnboundedSender<Arc<Outcome>>,
    leader: watch::Sender<Option<Instant>>,
}

impl Bench {
    fn new(leads: bool) -> Self {
        let (api, client) = FakeApi::new();
        let (outcomes, leader) = (mpsc::unbounded_channel().0, watch::Sender::new(leads.then(far)));
        let mut bench = Self { api, client, outcomes, leader };
        bench.another_replica();
        bench
    }

    /// Starts a recorder that knows nothing of the one before.
    fn another_replica(&mut self) {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let leadership = Leadership::new(self.leader.subscribe());
        tokio::spawn(Recorder::new(self.client.clone(), "pod".to_owned(), leadership).run(receiver));
        self.outcomes = outcomes;
    }

    async fn tell(&self, raised: &[Diagnostic], cleared: &[Diagnostic]) -> Vec<(String, Value)> {
        let uids = raised.iter().map(|finding| (finding.object.clone(), "u-1".into())).collect();
        let outcome = Outcome { raised: raised.into(), cleared: cleared.into(), uids, ..Outcome::default() };
        self.outcomes.send(Arc::new(outcome)).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.api.writes()
    }
}

#[tokio::test(start_paused = true)]
async fn a_finding_is_an_event_on_its_object() {
    let bench = Bench::new(true);
    let writes = bench.tell(&[finding("a", "there is no Service cart")], &[]).await;
    let [(request, event)] = &writes[..] else { panic!("{writes:?}") };
    assert!(request.starts_with("POST /apis/events.k8s.io/v1/namespaces/x/events"), "{request}");
    assert_eq!((&event["reason"], &event["type"]), (&json!("MissingService"), &json!("Warning")));
    assert_eq!(event["regarding"]["uid"], "u-1");
    assert_eq!(event["regarding"]["apiVersion"], "networking.k8s.io/v1");
    assert!(event["note"].as_str().unwrap().starts_with("spec.rules[0]: there is no Service cart"));
}

#[tokio::test(start_paused = true)]
async fn a_cause_is_one_event_for_all_replicas_and_restarts() {
    let mut bench = Bench::new(true);
    assert_eq!(bench.tell(&[finding("a", "m")], &[]).await.len(), 1);
    bench.another_replica();
    let writes = bench.tell(&[finding("a", "m")], &[]).await;
    assert_eq!(writes.len(), 1, "the attempt that finds it written: {writes:?}");
    let events = bench.tell(&[finding("a", "another")], &[]).await;
    assert_eq!(events.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cause_that_comes_back_is_a_repetition() {
    let bench = Bench::new(true);
    bench.tell(&[finding("a", "m")], &[]).await;
    assert!(bench.tell(&[], &[finding("a", "m")]).await.is_empty());
    let writes = bench.tell(&[finding("a", "m")], &[]).await;
    let (request, patch) = writes.last().unwrap();
    assert!(request.starts_with("PATCH"), "{request}");
    assert_eq!(patch["series"]["count"], 2);
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes_and_a_new_leader_writes_all_that_holds() {
    let bench = Bench::new(false);
    assert!(bench.tell(&[finding("a", "m"), finding("a", "n")], &[]).await.is_empty());
    bench.leader.send_replace(Some(far()));
    assert_eq!(bench.tell(&[], &[]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_and_a_kind_as_a_whole_get_no_event() {
    let bench = Bench::new(true);
    let file = Diagnostic::of(&ObjectRef::new(Kind::File, "", "a.yaml"), Code::InvalidFile, "m");
    let kind = Diagnostic::of(&ObjectRef::new(Kind::IngressClass, "", "*"), Code::KindUnavailable, "m");
    assert!(bench.tell(&[file, kind], &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_asks_for_nothing_but_to_be_written() {
    let bench = Bench::new(true);
    let outcome = Outcome { raised: [finding("a", "m")].into(), ..Outcome::default() };
    bench.outcomes.send(Arc::new(outcome)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = bench.api.requests();
    assert!(matches!(&asked[..], [only] if only.starts_with("POST ")), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_tried_again_and_holds_up_no_other() {
    let bench = Bench::new(true);
    bench.api.forbid(Some("namespaces/x/"));
    assert!(!bench.tell(&[finding("a", "m"), finding("a", "n")], &[]).await.is_empty());
    let elsewhere = Diagnostic::of(&ObjectRef::new(Kind::Ingress, "y", "a"), Code::MissingService, "m");
    let writes = bench.tell(&[elsewhere], &[]).await;
    assert!(writes.iter().any(|(request, _)| request.contains("namespaces/y/")), "{writes:?}");
    bench.api.forbid(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.api.writes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_forbidden_are_tried_less_and_less_often() {
    let bench = Bench::new(true);
    bench.api.forbid(Some("events"));
    let findings: Vec<_> = (0..100).map(|number| finding("a", &number.to_string())).collect();
    bench.tell(&findings, &[]).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    bench.api.writes();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let attempts = bench.api.requests().len();
    assert!((150..=250).contains(&attempts), "twice an hour each, not {attempts} in all");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_not_written_once_the_lease_has_run_out() {
    let bench = Bench::new(true);
    bench.leader.send_if_modified(|until| {
        *until = Some(Instant::now());
        false
    });
    assert!(bench.tell(&[finding("a", "m")], &[]).await.is_empty());
}

#[test]
fn texts_are_cut_at_the_end_of_a_character() {
    assert_eq!(cut("äöü", 3), "ä");
    assert_eq!(cut("abc", 10), "abc");
}
