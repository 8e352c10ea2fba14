//! Writes findings as Events on the objects that they are about: one for each cause, however often it is found again.
//!
//! The name of an Event follows from its cause, so that a replica that takes over, or starts anew, finds that it is written already.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::said::Said;
use crate::diagnostic::Diagnostic;
use crate::object::{Kind, ObjectRef};
use crate::reconcile::Outcome;
use crate::source::cluster::{self, describe};

/// The least time between two Events: a cluster full of findings must not flood its API server.
const PACE: Duration = Duration::from_millis(50);
/// The pause before an Event that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// Bytes that a note may have (API reference, Event v1 events.k8s.io).
const NOTE: usize = 1024;
/// Causes whose repetitions are counted; beyond, counting begins anew.
const COUNTED: usize = 10_000;
/// Who reports.
const CONTROLLER: &str = "tidegate.dev/ingress-controller";

/// The writer of Events.
pub(super) struct Recorder {
    client: Client,
    instance: String,
    ledger: Ledger,
    /// How often this process has written the Event of that name.
    counts: HashMap<String, i32>,
    said: Said,
}

/// What holds, and what was said of it.
#[derive(Debug, Default)]
struct Ledger {
    holding: BTreeSet<Diagnostic>,
    written: BTreeSet<Diagnostic>,
    failed: BTreeMap<Diagnostic, Instant>,
}

impl Ledger {
    fn take(&mut self, outcome: &Outcome) {
        for diagnostic in outcome.cleared.iter() {
            self.holding.remove(diagnostic);
            self.written.remove(diagnostic);
            self.failed.remove(diagnostic);
        }
        self.holding.extend(outcome.raised.iter().filter(|diagnostic| diagnostic.object.kind != Kind::File).cloned());
    }

    /// Returns the next finding to write, and when the first failed one may be tried again.
    fn next(&self, now: Instant) -> (Option<Diagnostic>, Option<Instant>) {
        let due = |diagnostic: &&Diagnostic| self.failed.get(diagnostic).is_none_or(|again| *again <= now);
        let next = self.holding.difference(&self.written).find(due).cloned();
        (next, self.failed.values().min().copied())
    }
}

impl Recorder {
    pub(super) fn new(client: Client, instance: String) -> Self {
        Self { client, instance, ledger: Ledger::default(), counts: HashMap::new(), said: Said::default() }
    }

    /// Writes what outcomes bring while this replica leads, until they end.
    pub(super) async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>, mut leader: watch::Receiver<bool>) {
        loop {
            while let Ok(outcome) = outcomes.try_recv() {
                self.ledger.take(&outcome);
            }
            let leads = *leader.borrow_and_update();
            if !leads {
                // Another replica's turn: what it writes meanwhile is not known here.
                self.ledger.written.clear();
                self.ledger.failed.clear();
            }
            let (next, again) = if leads { self.ledger.next(Instant::now()) } else { (None, None) };
            if let Some(diagnostic) = next {
                self.record(diagnostic).await;
                tokio::time::sleep(PACE).await;
                continue;
            }
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(outcome) => self.ledger.take(&outcome),
                    None => return,
                },
                Ok(()) = leader.changed() => {}
                () = sleep_until(again) => {}
            }
        }
    }

    async fn record(&mut self, diagnostic: Diagnostic) {
        match self.write(&diagnostic).await {
            Ok(()) => {
                self.ledger.failed.remove(&diagnostic);
                if self.ledger.failed.is_empty() {
                    self.said.over();
                }
                self.ledger.written.insert(diagnostic);
            }
            Err(error) => {
                if self.said.is_new(&error) {
                    tracing::warn!(object = %diagnostic.object, error = describe(&error), "an Event cannot be written; trying on");
                }
                self.ledger.failed.insert(diagnostic, Instant::now() + AGAIN);
            }
        }
    }

    async fn write(&mut self, diagnostic: &Diagnostic) -> kube::Result<()> {
        let object = &diagnostic.object;
        let namespace = (!object.namespace.is_empty()).then_some(&*object.namespace);
        // `kubectl describe` asks for Events by the object's UID.
        let uid = match cluster::api::<DynamicObject>(&self.client, object.kind, namespace).get_metadata(&object.name).await {
            Ok(found) => found.metadata.uid.unwrap_or_default(),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error),
        };
        let event = event(diagnostic, &uid, &self.instance);
        let name = event.metadata.name.clone().unwrap_or_default();
        // Events about objects without a namespace are kept in `default` (as client-go does).
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace.unwrap_or("default"));
        let before = self.counts.get(&name).copied();
        match (events.create(&PostParams::default(), &event).await, before) {
            (Ok(_), _) => {}
            (Err(kube::Error::Api(status)), None) if status.code == 409 => {}
            (Err(kube::Error::Api(status)), Some(count)) if status.code == 409 => {
                // It was said, had gone, and has come back: the Event that stands is repeated.
                let series = EventSeries { count: count + 1, last_observed_time: MicroTime(Timestamp::now()) };
                let patch = serde_json::json!({ "series": series });
                events.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            (Err(error), _) => return Err(error),
        }
        if self.counts.len() >= COUNTED {
            self.counts.clear();
        }
        *self.counts.entry(name).or_insert(0) += 1;
        Ok(())
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Makes the Event of a finding.
fn event(diagnostic: &Diagnostic, uid: &str, instance: &str) -> Event {
    let Diagnostic { object, code, field, message } = diagnostic;
    let mut hasher = DefaultHasher::new();
    (uid, code.as_str(), field, message).hash(&mut hasher);
    let note = match field {
        Some(field) => format!("{field}: {message} ({})", code.help()),
        None => format!("{message} ({})", code.help()),
    };
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:016x}", cut(&object.name, 230), hasher.finish())),
            namespace: Some(if object.namespace.is_empty() { "default".to_owned() } else { object.namespace.to_string() }),
            ..ObjectMeta::default()
        },
        regarding: Some(regarding(object, uid)),
        type_: Some("Warning".to_owned()),
        reason: Some(code.event_reason().to_owned()),
        action: Some("Translate".to_owned()),
        note: Some(cut(&note, NOTE).to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(cut(instance, 128).to_owned()),
        ..Event::default()
    }
}

fn regarding(object: &ObjectRef, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(cluster::api_version(object.kind)),
        kind: Some(object.kind.as_str().to_owned()),
        namespace: (!object.namespace.is_empty()).then(|| object.namespace.to_string()),
        name: Some(object.name.to_string()),
        uid: (!uid.is_empty()).then(|| uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// Cuts a text to so many bytes at most, at the end of a character.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
#[path = "event/tests.rs"]
mod tests;
