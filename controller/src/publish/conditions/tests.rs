#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use http::StatusCode;
use tokio::sync::watch;

use super::super::fake::FakeApi;
use super::*;

const PATH: &str = "/apis/tidegate.dev/v1alpha1/classparameters";

fn name(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::ClassParameters, "", name)
}

fn finding(of: &str, code: Code) -> Diagnostic {
    Diagnostic::at(&name(of), code, "spec.appRoot", "is not a path")
}

fn judged(of: &str, generation: Option<i64>, findings: &[Diagnostic]) -> JudgedParameters {
    JudgedParameters { reference: name(of), generation, findings: findings.to_vec() }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(1_000_000)
}

/// A writer at work, with everything that it listens to.
struct Bench {
    api: Arc<FakeApi>,
    client: Client,
    outcomes: mpsc::UnboundedSender<Arc<Outcome>>,
    leader: watch::Sender<Option<Instant>>,
}

impl Bench {
    fn new(leads: bool) -> Self {
        let (api, client) = FakeApi::new();
        let mut bench = Self { api, client, outcomes: mpsc::unbounded_channel().0, leader: watch::Sender::new(leads.then(far)) };
        bench.put("a", 1);
        bench.another_replica();
        bench
    }

    /// Puts an object of this generation there, with the status that it has.
    fn put(&self, of: &str, generation: i64) {
        let path = format!("{PATH}/{of}");
        let status = self.api.get(&path).map(|object| object["status"].clone()).unwrap_or_default();
        self.api.put(
            &path,
            json!({
                "apiVersion": "tidegate.dev/v1alpha1", "kind": "ClassParameters", "spec": {}, "status": status,
                "metadata": { "name": of, "generation": generation },
            }),
        );
    }

    /// Starts a writer that knows nothing of the one before.
    fn another_replica(&mut self) {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let leadership = Leadership::new(self.leader.subscribe());
        tokio::spawn(Writer::new(&self.client, "tidegate/x/leader".to_owned(), leadership).run(receiver));
        self.outcomes = outcomes;
    }

    fn tell(&self, parameters: &[JudgedParameters]) {
        let outcome = Outcome { parameters: Some(parameters.into()), ..Outcome::default() };
        self.outcomes.send(Arc::new(outcome)).unwrap();
    }

    /// The statuses that were written since the last look, once everything has come to rest.
    async fn writes(&self) -> Vec<(String, Value)> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut writes = Vec::new();
        for (request, body) in self.api.writes() {
            for part in ["/status?", "fieldManager=tidegate", "force=true"] {
                assert!(request.contains(part), "{request}");
            }
            writes.push((body["metadata"]["name"].as_str().unwrap().to_owned(), body["status"].clone()));
        }
        writes
    }

    /// The one condition that was written since the last look.
    async fn condition(&self) -> Value {
        let writes = self.writes().await;
        let [(_, status)] = &writes[..] else { panic!("{writes:?}") };
        assert_eq!(status["conditions"].as_array().unwrap().len(), 1);
        status["conditions"][0].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_says_what_is_wrong_and_since_when() {
    let bench = Bench::new(true);
    bench.tell(&[judged("a", Some(1), &[])]);
    let good = bench.condition().await;
    assert_eq!((&good["type"], &good["status"], &good["reason"]), (&json!("Accepted"), &json!("True"), &json!("Accepted")));
    assert_eq!(good["observedGeneration"], 1);
    // What merely has no effect is accepted, and says so; the state is as old as before.
    bench.put("a", 2);
    bench.tell(&[judged("a", Some(2), &[finding("a", Code::RedundantValue)])]);
    let idle = bench.condition().await;
    assert_eq!((&idle["status"], &idle["reason"]), (&json!("True"), &json!("Accepted")));
    assert_eq!(idle["lastTransitionTime"], good["lastTransitionTime"]);
    bench.put("a", 3);
    bench.tell(&[judged("a", Some(3), &[finding("a", Code::RedundantValue), finding("a", Code::InvalidParameters)])]);
    let bad = bench.condition().await;
    assert_eq!((&bad["status"], &bad["reason"]), (&json!("False"), &json!("InvalidParameters")));
    assert!(bad["message"].as_str().unwrap().starts_with("spec.appRoot: is not a path"), "{bad}");
    assert_eq!(bad["observedGeneration"], 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_not_written_again() {
    let mut bench = Bench::new(true);
    bench.tell(&[judged("a", Some(1), &[])]);
    assert_eq!(bench.writes().await.len(), 1);
    bench.tell(&[judged("a", Some(1), &[])]);
    bench.another_replica();
    bench.tell(&[judged("a", Some(1), &[])]);
    assert!(bench.writes().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_newer_than_its_judgement_waits_for_the_next() {
    let bench = Bench::new(true);
    bench.put("a", 2);
    bench.tell(&[judged("a", Some(1), &[finding("a", Code::InvalidParameters)])]);
    assert!(bench.writes().await.is_empty());
    bench.tell(&[judged("a", Some(2), &[])]);
    assert_eq!(bench.condition().await["observedGeneration"], 2);
    // One that cannot be read has no generation to compare.
    bench.tell(&[judged("a", None, &[finding("a", Code::InvalidObject)])]);
    assert_eq!(bench.condition().await["reason"], "InvalidObject");
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes_and_a_new_one_looks_at_all() {
    let bench = Bench::new(false);
    bench.tell(&[judged("a", Some(1), &[])]);
    assert!(bench.writes().await.is_empty());
    bench.leader.send_replace(Some(far()));
    assert_eq!(bench.writes().await.len(), 1);
    bench.leader.send_replace(None);
    bench.put("a", 2);
    bench.tell(&[judged("a", Some(2), &[])]);
    assert!(bench.writes().await.is_empty());
    bench.leader.send_replace(Some(far()));
    assert_eq!(bench.writes().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn parameters_that_no_class_of_ours_points_to_lose_what_we_wrote() {
    let bench = Bench::new(true);
    let owned = |manager: &str| json!([{ "manager": manager, "operation": "Apply", "subresource": "status" }]);
    for (of, manager) in [("ours", "tidegate/x/leader"), ("theirs", "tidegate/y/leader")] {
        bench.api.put(
            &format!("{PATH}/{of}"),
            json!({
                "apiVersion": "tidegate.dev/v1alpha1", "kind": "ClassParameters",
                "metadata": { "name": of, "generation": 1, "managedFields": owned(manager) },
            }),
        );
    }
    bench.tell(&[]);
    assert_eq!(bench.writes().await, [("ours".to_owned(), Value::Null)]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_with_pauses() {
    let bench = Bench::new(true);
    bench.api.break_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    bench.tell(&[judged("a", Some(1), &[])]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((2..10).contains(&bench.api.requests().len()));
    bench.api.break_with(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn parameters_that_must_not_be_written_hold_up_no_others() {
    let bench = Bench::new(true);
    bench.put("b", 1);
    bench.api.forbid(Some("/classparameters/a/"));
    bench.tell(&[judged("a", Some(1), &[]), judged("b", Some(1), &[])]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let written = |of: &str| bench.api.get(&format!("{PATH}/{of}")).unwrap()["status"]["conditions"].is_array();
    assert!(!written("a") && written("b"));
    bench.api.forbid(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(written("a"));
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_not_written_once_the_lease_has_run_out() {
    let bench = Bench::new(true);
    bench.tell(&[]);
    bench.writes().await;
    let many: Vec<_> = (0..10).map(|number| judged(&format!("p{number}"), Some(1), &[])).collect();
    (0..10).for_each(|number| bench.put(&format!("p{number}"), 1));
    bench.api.answer_after(Duration::from_secs(2));
    bench.leader.send_if_modified(|until| {
        *until = Some(Instant::now() + Duration::from_secs(3));
        false
    });
    bench.tell(&many);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.api.writes().len(), 1, "the list takes two seconds, and the first write does not end in time");
}

#[test]
fn messages_are_cut_at_what_the_api_server_takes() {
    let findings = vec![Diagnostic::of(&name("a"), Code::InvalidParameters, "ä".repeat(MESSAGE)); 2];
    assert_eq!(message(&findings).len(), MESSAGE);
}
