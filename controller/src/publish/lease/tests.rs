#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::fake::FakeApi;
use super::*;

struct Candidate {
    leadership: Leadership,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

fn candidate(client: &Client, name: &str) -> Candidate {
    let election = Election::new(client, "tidegate", "leader", name.to_owned());
    let leadership = election.leadership();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(election.run(async { drop(stopped.await) }));
    Candidate { leadership, stop: Some(stop), task }
}

impl Candidate {
    async fn leads(&mut self, wanted: bool, within: Duration) {
        let comes = async {
            while self.leadership.leads() != wanted {
                self.leadership.changed().await.unwrap();
            }
        };
        timeout(within, comes).await.expect("in time");
    }
}

#[tokio::test(start_paused = true)]
async fn one_candidate_leads_and_hands_over_at_once_when_it_stops() {
    let (api, client) = FakeApi::new();
    let mut first = candidate(&client, "first");
    first.leads(true, RENEW).await;
    let mut second = candidate(&client, "second");
    tokio::time::sleep(LEASE * 4).await;
    assert!(first.leadership.leads() && !second.leadership.leads(), "a holder that renews keeps it");
    first.stop.take().unwrap().send(()).unwrap();
    second.leads(true, RENEW * 2).await;
    first.task.await.unwrap();
    let lease = api.get("/apis/coordination.k8s.io/v1/namespaces/tidegate/leases/leader").unwrap();
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&"second".into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_holder_that_died_is_taken_when_it_has_expired() {
    let (_api, client) = FakeApi::new();
    let mut first = candidate(&client, "first");
    first.leads(true, RENEW).await;
    first.task.abort();
    let mut second = candidate(&client, "second");
    tokio::time::sleep(LEASE - Duration::from_secs(1)).await;
    assert!(!second.leadership.leads());
    second.leads(true, RENEW * 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_leading_before_another_may_begin() {
    let (api, client) = FakeApi::new();
    let mut only = candidate(&client, "only");
    only.leads(true, RENEW).await;
    api.break_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let began = Instant::now();
    only.leads(false, LEASE).await;
    assert!(began.elapsed() < LEASE, "{:?}", began.elapsed());
    api.break_with(None);
    only.leads(true, RENEW * 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_waits_for_a_lease_that_may_not_be_read() {
    let (api, client) = FakeApi::new();
    api.break_with(Some(StatusCode::FORBIDDEN));
    let mut only = candidate(&client, "only");
    tokio::time::sleep(LEASE * 2).await;
    assert!(!only.leadership.leads());
    api.break_with(None);
    only.leads(true, RENEW * 2).await;
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_in_time_even_while_the_api_server_is_silent_and_was_slow_before() {
    let (api, client) = FakeApi::new();
    let mut only = candidate(&client, "only");
    only.leads(true, RENEW).await;
    // A renewal that is committed at once and answered late: others count from the commit.
    api.answer_after(REQUEST / 2 - Duration::from_millis(100));
    let version =
        || api.get("/apis/coordination.k8s.io/v1/namespaces/tidegate/leases/leader").unwrap()["metadata"]["resourceVersion"].clone();
    let before = version();
    while version() == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let committed = Instant::now();
    api.answer_after(Duration::from_secs(3600));
    only.leads(false, LEASE).await;
    assert!(committed.elapsed() <= HELD, "{:?}", committed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_write_begins_or_goes_on_without_the_lease() {
    let until = watch::Sender::new(None);
    let leadership = Leadership::new(until.subscribe());
    assert_eq!(leadership.fence(async { 1 }).await, None);
    until.send_replace(Some(Instant::now() + HELD));
    assert_eq!(leadership.fence(async { 1 }).await, Some(1));
    let began = Instant::now();
    assert_eq!(leadership.fence(std::future::pending::<()>()).await, None);
    assert_eq!(began.elapsed(), HELD);
    assert_eq!(leadership.fence(async { 1 }).await, None, "its time is over, though nobody has said so yet");
}
