//! Writes `status.loadBalancer` of Ingresses: once their routes serve, only where it differs, and takes it back when they are let go.
//!
//! Server-side apply under a field manager of our own keeps the book: what we own is ours after a restart too, and letting go of it removes exactly
//! what no other manager has written since (Kubernetes documentation, Server-Side Apply, "Field management").

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Api, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::addresses::Published;
use super::failure::Failure;
use super::lease::Leadership;
use super::pacing::{Pacing, sleep_until};
use super::said::Said;
use crate::object::{Kind, ObjectRef};
use crate::reconcile::Outcome;

/// Writes at once.
const CONCURRENT: usize = 8;
/// Writes between two looks at what has changed meanwhile.
const ROUND: usize = 64;
/// The longest pause before an Ingress is written again whose status somebody else keeps changing.
const LONGEST_TRUCE: Duration = Duration::from_secs(60);
/// The pause from which on such an Ingress is spoken of.
const QUARREL: Duration = Duration::from_secs(8);
/// The longest pause before a write that fails is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The pause of all writes where the API server itself is in trouble.
const REST: Duration = Duration::from_secs(1);
/// How long one write may take.
const REQUEST: Duration = Duration::from_secs(10);

/// Returns the name that status is written under: one for each installation, so that two of them in a cluster tell their own apart.
pub(super) fn manager(lease_namespace: &str, lease_name: &str) -> String {
    let full = format!("tidegate/{lease_namespace}/{lease_name}");
    if full.len() <= 128 {
        return full;
    }
    let mut hasher = DefaultHasher::new();
    full.hash(&mut hasher);
    format!("tidegate/{:016x}", hasher.finish())
}

/// What is to be written to one Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Write {
    /// These addresses.
    Addresses(Arc<[String]>),
    /// Nothing: what we wrote goes.
    LetGo,
}

/// The writer of status.
pub(super) struct Writer {
    client: Client,
    /// Where Ingresses are watched; empty is everywhere.
    namespaces: Vec<Arc<str>>,
    manager: String,
    book: Book,
    /// What this replica has to do; empty while it does not lead.
    pacing: Pacing<Job>,
    leadership: Leadership,
    /// When writing goes on after the API server was in trouble.
    resume: Instant,
    said: Said,
}

/// What the leader has to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// Find what an earlier leader wrote and nobody took back.
    Adopt,
    /// See to the status of an Ingress.
    See(ObjectRef),
}

/// What is known of the Ingresses' status.
#[derive(Debug, Default)]
struct Book {
    /// What they are to carry; `None` until it is known.
    published: Option<Arc<[String]>>,
    /// Ingresses of ours with the addresses that they carry.
    carried: BTreeMap<ObjectRef, Arc<[String]>>,
    /// Ingresses that are not ours any more and may still carry what we wrote; none while another replica leads, which sees to them.
    let_go: BTreeSet<ObjectRef>,
}

impl Book {
    /// Takes in what changed, and returns the Ingresses that it is about.
    fn take(&mut self, outcome: &Outcome) -> Vec<ObjectRef> {
        let mut about = Vec::new();
        for reference in outcome.let_go.iter().filter(|reference| reference.kind == Kind::Ingress) {
            self.carried.remove(reference);
            self.let_go.insert(reference.clone());
            about.push(reference.clone());
        }
        for served in outcome.served.iter() {
            let mut addresses = served.addresses.to_vec();
            addresses.sort();
            self.carried.insert(served.reference.clone(), addresses.into());
            self.let_go.remove(&served.reference);
            about.push(served.reference.clone());
        }
        about
    }

    /// Returns what is to be written to an Ingress; `None` if it is as it should be.
    fn due(&self, reference: &ObjectRef) -> Option<Write> {
        if self.let_go.contains(reference) {
            return Some(Write::LetGo);
        }
        let (published, carried) = (self.published.as_ref()?, self.carried.get(reference)?);
        (carried != published).then(|| Write::Addresses(Arc::clone(published)))
    }

    fn written(&mut self, reference: &ObjectRef, write: Write) {
        match write {
            Write::Addresses(addresses) => {
                if let Some(carried) = self.carried.get_mut(reference) {
                    *carried = addresses;
                }
            }
            Write::LetGo => drop(self.let_go.remove(reference)),
        }
    }

    fn gone(&mut self, reference: &ObjectRef) {
        self.carried.remove(reference);
        self.let_go.remove(reference);
    }
}

/// How a write ended.
enum Ended {
    Done,
    /// There is no such Ingress.
    Gone,
    Failed(Failure),
    /// This replica does not lead, or not for long enough.
    NotOurs,
}

impl Writer {
    pub(super) fn new(client: Client, namespaces: Vec<Arc<str>>, manager: String, leadership: Leadership) -> Self {
        let (book, pacing) = (Book::default(), Pacing::default());
        Self { client, namespaces, manager, book, pacing, leadership, resume: Instant::now(), said: Said::default() }
    }

    /// Writes what outcomes ask for while this replica leads, until they end.
    pub(super) async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>, mut published: Published) {
        // The first outcome holds all that is ours; before it, everything would look let go.
        let Some(first) = outcomes.recv().await else { return };
        self.book.take(&first);
        let mut leads = false;
        loop {
            let led = std::mem::replace(&mut leads, self.leadership.leads());
            let addresses = published.borrow_and_update().clone();
            let moved = self.book.published != addresses;
            self.book.published = addresses;
            if leads && !led {
                self.pacing.want(Job::Adopt, Instant::now());
            }
            if !leads {
                // The next leader finds what is left to take back, which may be us.
                (self.pacing, self.book.let_go) = (Pacing::default(), BTreeSet::new());
            } else if moved || !led {
                self.want_all();
            }
            if leads {
                self.round().await;
            }
            if self.pacing.next().is_none() {
                self.said.over();
            }
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(outcome) => self.take(&outcome, leads),
                    None => return,
                },
                Ok(()) = self.leadership.changed() => {}
                Ok(()) = published.changed() => {}
                () = sleep_until(self.pacing.next().map(|next| next.max(self.resume))) => {}
            }
            while let Ok(outcome) = outcomes.try_recv() {
                self.take(&outcome, leads);
            }
        }
    }

    fn take(&mut self, outcome: &Outcome, leads: bool) {
        for reference in self.book.take(outcome) {
            if leads {
                self.want(reference);
            }
        }
    }

    fn want(&mut self, reference: ObjectRef) {
        if self.book.due(&reference).is_some() {
            self.pacing.want(Job::See(reference), Instant::now());
        }
    }

    fn want_all(&mut self) {
        for reference in self.book.carried.keys().cloned().collect::<Vec<_>>() {
            self.want(reference);
        }
    }

    /// Finds Ingresses that carry what an earlier holder of our name wrote, and that are not ours any more.
    async fn adopt(&mut self) -> kube::Result<()> {
        let scopes: Vec<Api<PartialObjectMeta<Ingress>>> = if self.namespaces.is_empty() {
            vec![Api::all(self.client.clone())]
        } else {
            self.namespaces.iter().map(|namespace| Api::namespaced(self.client.clone(), namespace)).collect()
        };
        for api in scopes {
            let mut params = ListParams::default().limit(500);
            loop {
                let page = api.list(&params).await?;
                for ingress in page.items {
                    if !carries(ingress.metadata.managed_fields.as_deref(), &self.manager) {
                        continue;
                    }
                    let reference = ObjectRef::new(Kind::Ingress, &ingress.namespace().unwrap_or_default(), &ingress.name_any());
                    if !self.book.carried.contains_key(&reference) {
                        self.book.let_go.insert(reference.clone());
                        self.want(reference);
                    }
                }
                params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
                if params.continue_token.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Does some of what is due.
    async fn round(&mut self) {
        let now = Instant::now();
        if now < self.resume {
            return;
        }
        let mut writes = Vec::new();
        while writes.len() < ROUND
            && let Some(job) = self.pacing.take(now)
        {
            match job {
                Job::Adopt => {
                    if let Err(error) = self.adopt().await {
                        self.failed(Job::Adopt, &Failure::of("Ingresses", &error));
                    }
                }
                Job::See(reference) => writes.extend(self.book.due(&reference).map(|write| (reference, write))),
            }
        }
        let writes = writes.into_iter().map(|(reference, write)| async {
            let ended = self.leadership.fence(self.write(&reference, &write)).await.unwrap_or(Ended::NotOurs);
            (reference, write, ended)
        });
        let ended: Vec<_> = futures_util::stream::iter(writes).buffer_unordered(CONCURRENT).collect().await;
        for (reference, write, ended) in ended {
            match ended {
                Ended::Done => {
                    self.book.written(&reference, write);
                    let pause = self.pacing.attempted(Job::See(reference.clone()), Instant::now(), LONGEST_TRUCE);
                    if pause == QUARREL {
                        tracing::warn!(ingress = %reference, "somebody else keeps changing the status of an Ingress; writing it less often");
                    }
                }
                Ended::Gone => self.book.gone(&reference),
                Ended::Failed(failure) => self.failed(Job::See(reference), &failure),
                // Leadership's end is taken note of by the loop; what is due then, the next leader finds.
                Ended::NotOurs => self.pacing.want(Job::See(reference), Instant::now()),
            }
        }
    }

    fn failed(&mut self, job: Job, failure: &Failure) {
        let now = Instant::now();
        if failure.of_server {
            self.resume = now + REST;
        }
        self.pacing.attempted(job.clone(), now, LONGEST_PAUSE);
        self.pacing.want(job, now);
        if self.said.is_new(failure) {
            tracing::warn!(error = failure.text, "status cannot be written; trying on");
        }
    }

    async fn write(&self, reference: &ObjectRef, write: &Write) -> Ended {
        let mut patch = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": *reference.name } });
        if let (Write::Addresses(addresses), Some(fields)) = (write, patch.as_object_mut()) {
            let points: Vec<_> = addresses.iter().map(|address| point(address)).collect();
            fields.insert("status".into(), json!({ "loadBalancer": { "ingress": points } }));
        }
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), &reference.namespace);
        let params = PatchParams::apply(&self.manager).force();
        match tokio::time::timeout(REQUEST, api.patch_status(&reference.name, &params, &Patch::Apply(&patch))).await {
            Ok(Ok(_)) => Ended::Done,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ended::Gone,
            Ok(Err(error)) => Ended::Failed(Failure::of(reference, &error)),
            Err(_) => Ended::Failed(Failure::silence(reference)),
        }
    }
}

/// Whether a manager owns something of an object's status.
pub(super) fn carries(managed_fields: Option<&[ManagedFieldsEntry]>, manager: &str) -> bool {
    let fields = managed_fields.into_iter().flatten();
    fields.into_iter().any(|entry| entry.manager.as_deref() == Some(manager) && entry.subresource.as_deref() == Some("status"))
}

fn point(address: &str) -> serde_json::Value {
    if address.parse::<IpAddr>().is_ok() { json!({ "ip": address }) } else { json!({ "hostname": address }) }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
