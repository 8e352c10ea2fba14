#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::fake::FakeApi;
use super::*;

struct Candidate {
    leader: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

fn candidate(client: &Client, name: &str) -> Candidate {
    let election = Election::new(client, "tidegate", "leader", name.to_owned());
    let leader = election.leader();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(election.run(async { drop(stopped.await) }));
    Candidate { leader, stop: Some(stop), task }
}

impl Candidate {
    async fn leads(&mut self, wanted: bool, within: Duration) {
        timeout(within, self.leader.wait_for(|leads| *leads == wanted)).await.expect("in time").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_candidate_leads_and_hands_over_at_once_when_it_stops() {
    let (api, client) = FakeApi::new();
    let mut first = candidate(&client, "first");
    first.leads(true, RENEW).await;
    let mut second = candidate(&client, "second");
    tokio::time::sleep(LEASE * 4).await;
    assert!(*first.leader.borrow() && !*second.leader.borrow(), "a holder that renews keeps it");
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
    assert!(!*second.leader.borrow());
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
    assert!(!*only.leader.borrow());
    api.break_with(None);
    only.leads(true, RENEW * 2).await;
}
