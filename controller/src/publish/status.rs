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
use tokio::sync::{mpsc, watch};

use super::addresses::Published;
use super::said::Said;
use crate::object::{Kind, ObjectRef};
use crate::reconcile::Outcome;
use crate::source::cluster::describe;

/// Writes at once.
const CONCURRENT: usize = 8;
/// Writes between two looks at what has changed meanwhile.
const ROUND: usize = 64;
/// The pause after a round that had failures; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a round that had failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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
    said: Said,
}

/// What is known of the Ingresses' status.
#[derive(Debug, Default)]
struct Book {
    /// Ingresses of ours with the addresses that they carry.
    carried: BTreeMap<ObjectRef, Arc<[String]>>,
    /// Ingresses that are not ours any more and may still carry what we wrote.
    let_go: BTreeSet<ObjectRef>,
}

impl Book {
    fn take(&mut self, outcome: &Outcome) {
        for reference in outcome.let_go.iter().filter(|reference| reference.kind == Kind::Ingress) {
            self.carried.remove(reference);
            self.let_go.insert(reference.clone());
        }
        for served in outcome.served.iter() {
            let mut addresses = served.addresses.to_vec();
            addresses.sort();
            self.carried.insert(served.reference.clone(), addresses.into());
            self.let_go.remove(&served.reference);
        }
    }

    /// Returns what is to be written so that every Ingress of ours carries these addresses, and no other does.
    fn due(&self, published: Option<&Arc<[String]>>) -> Vec<(ObjectRef, Write)> {
        let gone = self.let_go.iter().map(|reference| (reference.clone(), Write::LetGo));
        let wrong = published.into_iter().flat_map(|published| {
            let differ = self.carried.iter().filter(move |(_, carried)| *carried != published);
            differ.map(|(reference, _)| (reference.clone(), Write::Addresses(Arc::clone(published))))
        });
        gone.chain(wrong).collect()
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
    Failed(kube::Error),
}

impl Writer {
    pub(super) fn new(client: Client, namespaces: Vec<Arc<str>>, manager: String) -> Self {
        Self { client, namespaces, manager, book: Book::default(), said: Said::default() }
    }

    /// Writes what outcomes ask for while this replica leads, until they end.
    pub(super) async fn run(
        mut self,
        mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>,
        mut published: Published,
        mut leader: watch::Receiver<bool>,
    ) {
        // The first outcome holds all that is ours; before it, everything would look let go.
        let Some(first) = outcomes.recv().await else { return };
        self.book.take(&first);
        let mut adopted = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let leads = *leader.borrow_and_update();
            let addresses = published.borrow_and_update().clone();
            adopted &= leads;
            let mut left = Left::Nothing;
            if leads {
                if !adopted {
                    adopted = self.adopt().await;
                }
                left = self.round(addresses.as_ref()).await;
                if !adopted {
                    left = Left::Failures;
                }
            }
            let again = match left {
                Left::Nothing => {
                    self.said.over();
                    pause = FIRST_PAUSE;
                    None
                }
                Left::More => Some(Duration::ZERO),
                Left::Failures => {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    Some(pause)
                }
            };
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(outcome) => self.book.take(&outcome),
                    None => return,
                },
                Ok(()) = leader.changed() => {}
                Ok(()) = published.changed() => {}
                () = super::sleep(again) => {}
            }
            while let Ok(outcome) = outcomes.try_recv() {
                self.book.take(&outcome);
            }
        }
    }

    /// Finds Ingresses that carry what an earlier holder of our name wrote, and that are not ours any more. Returns whether it could look.
    async fn adopt(&mut self) -> bool {
        let scopes: Vec<Api<PartialObjectMeta<Ingress>>> = if self.namespaces.is_empty() {
            vec![Api::all(self.client.clone())]
        } else {
            self.namespaces.iter().map(|namespace| Api::namespaced(self.client.clone(), namespace)).collect()
        };
        for api in scopes {
            let mut params = ListParams::default().limit(500);
            loop {
                let page = match api.list(&params).await {
                    Ok(page) => page,
                    Err(error) => {
                        self.say(None, &error);
                        return false;
                    }
                };
                for ingress in page.items.iter().filter(|ingress| carries(ingress.metadata.managed_fields.as_deref(), &self.manager)) {
                    let reference = ObjectRef::new(Kind::Ingress, &ingress.namespace().unwrap_or_default(), &ingress.name_any());
                    if !self.book.carried.contains_key(&reference) {
                        self.book.let_go.insert(reference);
                    }
                }
                params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
                if params.continue_token.is_none() {
                    break;
                }
            }
        }
        true
    }

    /// Writes some of what is due.
    async fn round(&mut self, published: Option<&Arc<[String]>>) -> Left {
        let mut due = self.book.due(published);
        let more = due.len() > ROUND;
        due.truncate(ROUND);
        let writes = due.into_iter().map(|(reference, write)| async {
            let ended = self.write(&reference, &write).await;
            (reference, write, ended)
        });
        let ended: Vec<_> = futures_util::stream::iter(writes).buffer_unordered(CONCURRENT).collect().await;
        let mut left = if more { Left::More } else { Left::Nothing };
        for (reference, write, ended) in ended {
            match ended {
                Ended::Done => self.book.written(&reference, write),
                Ended::Gone => self.book.gone(&reference),
                Ended::Failed(error) => {
                    self.say(Some(&reference), &error);
                    left = Left::Failures;
                }
            }
        }
        left
    }

    async fn write(&self, reference: &ObjectRef, write: &Write) -> Ended {
        let mut patch = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": *reference.name } });
        if let (Write::Addresses(addresses), Some(fields)) = (write, patch.as_object_mut()) {
            let points: Vec<_> = addresses.iter().map(|address| point(address)).collect();
            fields.insert("status".into(), json!({ "loadBalancer": { "ingress": points } }));
        }
        let api: Api<Ingress> = Api::namespaced(self.client.clone(), &reference.namespace);
        let params = PatchParams::apply(&self.manager).force();
        match api.patch_status(&reference.name, &params, &Patch::Apply(&patch)).await {
            Ok(_) => Ended::Done,
            Err(kube::Error::Api(status)) if status.code == 404 => Ended::Gone,
            Err(error) => Ended::Failed(error),
        }
    }

    fn say(&mut self, object: Option<&ObjectRef>, error: &kube::Error) {
        if self.said.is_new(error) {
            let object = object.map(tracing::field::display);
            tracing::warn!(object, error = describe(error), "status cannot be written; trying on");
        }
    }
}

/// What is left after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    More,
    Failures,
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
