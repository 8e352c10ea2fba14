//! Elects one replica through a Lease of coordination.k8s.io, as client-go's leader election does.
//!
//! A replica that holds the Lease renews it; one that does not watches it and takes it when its holder has let it expire. Expiry is judged by our
//! own clock alone (how long we have seen the same record), since clocks of nodes differ. A holder counts itself one for a shorter time than that,
//! from the moment that it sent the renewal, and every write asks [`Leadership`] first.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::source::cluster::describe;

/// How long a record counts that is not renewed.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed, or looked at.
const RENEW: Duration = Duration::from_secs(4);
/// How long a holder counts itself the holder after it sent a renewal: its last write must have ended before another may begin.
const HELD: Duration = LEASE.saturating_sub(MARGIN);
/// What lies between the two: a write that we have given up may still reach the API server.
const MARGIN: Duration = Duration::from_secs(5);
/// How soon a holder tries again that could not renew it.
const RETRY: Duration = Duration::from_secs(1);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(4);

/// Takes part in the election.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    /// Until when we lead; `None` while we do not. A renewal moves it and wakes nobody.
    until: watch::Sender<Option<Instant>>,
}

/// Whether this replica leads.
#[derive(Debug, Clone)]
pub(super) struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    pub(super) fn new(until: watch::Receiver<Option<Instant>>) -> Self {
        Self { until }
    }

    /// Returns how long this replica may still write without another word from the API server; `None` when it must not.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.until.borrow().as_ref()?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// Returns whether this replica leads, and takes note of it for [`Leadership::changed`].
    pub(super) fn leads(&mut self) -> bool {
        self.until.borrow_and_update().is_some_and(|until| until > Instant::now())
    }

    /// Waits until leadership comes or goes.
    pub(super) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.until.changed().await
    }

    /// Runs a write while this replica leads, and for as long as it surely does. `None`: it does not, or did not for long enough.
    pub(super) async fn fence<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.left()?, write).await.ok()
    }
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election").field("name", &self.name).field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Returns a name for this replica that no other has: the Pod's (or the machine's), and something random, since a Pod may restart.
#[must_use]
pub fn identity() -> String {
    let named = std::env::var("POD_NAME").ok().filter(|name| !name.is_empty());
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    let name = named.or_else(host).unwrap_or_else(|| "tidegate".to_owned());
    format!("{name}_{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// The record of the Lease as we first saw it.
struct Observed {
    version: Option<String>,
    since: Instant,
}

impl Election {
    /// Makes a candidate.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, name: &str, identity: String) -> Self {
        Self { leases: Api::namespaced(client.clone(), namespace), name: name.to_owned(), identity, until: watch::Sender::new(None) }
    }

    /// Returns whether this replica leads, as it changes.
    #[must_use]
    pub(super) fn leadership(&self) -> Leadership {
        Leadership::new(self.until.subscribe())
    }

    /// Returns the name of this replica.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes part until `stop` resolves; a holder then lets go, so that another need not wait.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.take_part() => {}
            () = self.expire() => {}
            () = stop => {}
        }
        if self.until.send_replace(None).is_some() {
            let released = tokio::time::timeout(REQUEST, self.release()).await;
            tracing::info!(lease = self.name, released = matches!(released, Ok(Ok(()))), "leadership is over");
        }
    }

    async fn take_part(&self) {
        let mut observed = Observed { version: None, since: Instant::now() };
        let mut said = None;
        loop {
            // Before the first byte is sent: another replica counts from later than this.
            let sent = Instant::now();
            let attempt = tokio::time::timeout(REQUEST, self.attempt(&mut observed)).await;
            let mut pause = RENEW;
            match attempt.unwrap_or_else(|_| Err("the API server does not answer".to_owned())) {
                Ok(holds) => {
                    said = None;
                    self.lead(holds.then_some(sent + HELD));
                }
                Err(error) => {
                    if said.as_ref() != Some(&error) {
                        tracing::warn!(lease = self.name, error, "the Lease cannot be read or renewed; trying on");
                        said = Some(error);
                    }
                    if self.until.borrow().is_some() {
                        pause = RETRY;
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends leadership when its time is over, whatever the renewal is waiting for.
    async fn expire(&self) {
        let mut changed = self.until.subscribe();
        loop {
            let until = *changed.borrow_and_update();
            match until {
                Some(until) if until <= Instant::now() => self.lead(None),
                Some(until) => tokio::time::sleep_until(until).await,
                None => drop(changed.changed().await),
            }
        }
    }

    fn lead(&self, until: Option<Instant>) {
        self.until.send_if_modified(|now| {
            let changed = now.is_some() != until.is_some();
            *now = until;
            if changed {
                tracing::info!(lease = self.name, identity = self.identity, leads = until.is_some(), "leadership changed");
            }
            changed
        });
    }

    /// Looks at the Lease once; takes or renews it where that is our right. Returns whether we hold it.
    async fn attempt(&self, observed: &mut Observed) -> Result<bool, String> {
        let Some(lease) = self.leases.get_opt(&self.name).await.map_err(|error| describe(&error))? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.record(None)) };
            return decided(self.leases.create(&PostParams::default(), &lease).await);
        };
        if observed.version != lease.metadata.resource_version {
            *observed = Observed { version: lease.metadata.resource_version.clone(), since: Instant::now() };
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        if holder != self.identity && !holder.is_empty() && observed.since.elapsed() < Duration::from_secs(seconds) {
            return Ok(false);
        }
        // The resourceVersion that came with it makes the write fail if another was faster.
        let taken = Lease { spec: Some(self.record(Some(&spec))), ..lease };
        decided(self.leases.replace(&self.name, &PostParams::default(), &taken).await)
    }

    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let kept = before.filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: kept.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if kept.is_some() || before.is_none() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity)) else { return Ok(()) };
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.leases.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }
}

/// Whether a write made us the holder; a conflict means that another was faster.
fn decided(result: kube::Result<Lease>) -> Result<bool, String> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(describe(&error)),
    }
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
