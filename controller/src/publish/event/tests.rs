#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use http::StatusCode;
use serde_json::{Value, json};

use super::super::fake::FakeApi;
use super::*;
use crate::diagnostic::Code;

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/x/ingresses";

fn finding(of: &str, message: &str) -> Diagnostic {
    Diagnostic::at(&ObjectRef::new(Kind::Ingress, "x", of), Code::MissingService, "spec.rules[0]", message)
}

struct Bench {
    api: Arc<FakeApi>,
    client: Client,
    outcomes: mpsc::UnboundedSender<Arc<Outcome>>,
    leader: watch::Sender<bool>,
}

impl Bench {
    fn new(leads: bool) -> Self {
        let (api, client) = FakeApi::new();
        api.put(&format!("{INGRESSES}/a"), json!({ "metadata": { "name": "a", "namespace": "x", "uid": "u-1" } }));
        let (outcomes, leader) = (mpsc::unbounded_channel().0, watch::Sender::new(leads));
        let mut bench = Self { api, client, outcomes, leader };
        bench.another_replica();
        bench
    }

    /// Starts a recorder that knows nothing of the one before.
    fn another_replica(&mut self) {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        tokio::spawn(Recorder::new(self.client.clone(), "pod".to_owned()).run(receiver, self.leader.subscribe()));
        self.outcomes = outcomes;
    }

    async fn tell(&self, raised: &[Diagnostic], cleared: &[Diagnostic]) -> Vec<(String, Value)> {
        let outcome = Outcome { raised: raised.into(), cleared: cleared.into(), ..Outcome::default() };
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
    bench.leader.send_replace(true);
    assert_eq!(bench.tell(&[], &[]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_and_a_file_get_no_event() {
    let bench = Bench::new(true);
    let file = Diagnostic::of(&ObjectRef::new(Kind::File, "", "a.yaml"), Code::InvalidFile, "m");
    assert!(bench.tell(&[finding("gone", "m"), file], &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_tried_again_and_holds_up_no_other() {
    let bench = Bench::new(true);
    bench.api.break_with(Some(StatusCode::FORBIDDEN));
    bench.tell(&[finding("a", "m"), finding("a", "n")], &[]).await;
    bench.api.break_with(None);
    assert_eq!(bench.tell(&[finding("a", "o")], &[]).await.len(), 1);
    tokio::time::sleep(AGAIN).await;
    assert_eq!(bench.api.writes().len(), 2);
}

#[test]
fn texts_are_cut_at_the_end_of_a_character() {
    assert_eq!(cut("äöü", 3), "ä");
    assert_eq!(cut("abc", 10), "abc");
}
