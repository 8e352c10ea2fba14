//! Writes findings as Events on the objects that they are about: one for each cause, however often it is found again.
//!
//! The name of an Event follows from its cause, so that a replica that takes over, or starts anew, finds that it is written already. Nothing is
//! read for it: what `kubectl describe` finds an object's Events by, its UID, comes with the finding.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::failure::Failure;
use super::lease::Leadership;
use super::pacing::{Pacing, sleep_until};
use super::said::Said;
use crate::diagnostic::Diagnostic;
use crate::object::{Kind, ObjectRef};
use crate::reconcile::Outcome;
use crate::source::cluster;

/// The least time between two Events: a cluster full of findings must not flood its API server.
const PACE: Duration = Duration::from_millis(50);
/// The longest pause before an Event that could not be written, or that comes back again and again, is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);
/// The pause of all Events where the API server itself is in trouble.
const REST: Duration = Duration::from_secs(1);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
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
    /// What holds, with the UID of its object; empty where that is not known.
    holding: BTreeMap<Diagnostic, Arc<str>>,
    /// What this replica has to write; empty while it does not lead.
    pacing: Pacing<Diagnostic>,
    leadership: Leadership,
    /// How often this process has written the Event of that name.
    counts: HashMap<String, i32>,
    said: Said,
}

impl Recorder {
    pub(super) fn new(client: Client, instance: String, leadership: Leadership) -> Self {
        let (holding, pacing) = (BTreeMap::new(), Pacing::default());
        Self { client, instance, holding, pacing, leadership, counts: HashMap::new(), said: Said::default() }
    }

    /// Writes what outcomes bring while this replica leads, until they end.
    pub(super) async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>) {
        let mut leads = false;
        loop {
            while let Ok(outcome) = outcomes.try_recv() {
                self.take(&outcome, leads);
            }
            let led = std::mem::replace(&mut leads, self.leadership.leads());
            if !leads {
                // Another replica's turn: what it writes meanwhile is not known here.
                self.pacing = Pacing::default();
            } else if !led {
                for diagnostic in self.holding.keys() {
                    self.pacing.want(diagnostic.clone(), Instant::now());
                }
            }
            if let Some(diagnostic) = self.pacing.take(Instant::now()) {
                let pause = self.record(diagnostic).await;
                tokio::time::sleep(pause).await;
                continue;
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
                () = sleep_until(self.pacing.next()) => {}
            }
        }
    }

    fn take(&mut self, outcome: &Outcome, leads: bool) {
        for diagnostic in outcome.cleared.iter() {
            self.holding.remove(diagnostic);
            self.pacing.drop_turn(diagnostic);
        }
        for diagnostic in outcome.raised.iter().filter(|diagnostic| is_of_one_object(diagnostic)) {
            let uid = outcome.uids.get(&diagnostic.object).cloned().unwrap_or_default();
            self.holding.insert(diagnostic.clone(), uid);
            if leads {
                self.pacing.want(diagnostic.clone(), Instant::now());
            }
        }
    }

    /// Writes one Event, and returns how long to wait before the next one.
    async fn record(&mut self, diagnostic: Diagnostic) -> Duration {
        let Some(uid) = self.holding.get(&diagnostic).cloned() else { return Duration::ZERO };
        let leadership = self.leadership.clone();
        let write = tokio::time::timeout(REQUEST, self.write(&diagnostic, &uid));
        let failure = match leadership.fence(write).await {
            // Leadership's end is taken note of by the loop.
            None => return Duration::ZERO,
            Some(Ok(Ok(()))) => None,
            Some(Ok(Err(error))) => Some(Failure::of(&diagnostic.object, &error)),
            Some(Err(_)) => Some(Failure::silence(&diagnostic.object)),
        };
        let now = Instant::now();
        self.pacing.attempted(diagnostic.clone(), now, LONGEST_PAUSE);
        let Some(failure) = failure else { return PACE };
        self.pacing.want(diagnostic, now);
        if self.said.is_new(&failure) {
            tracing::warn!(error = failure.text, "an Event cannot be written; trying on");
        }
        if failure.of_server { REST } else { PACE }
    }

    async fn write(&mut self, diagnostic: &Diagnostic, uid: &str) -> kube::Result<()> {
        let namespace = (!diagnostic.object.namespace.is_empty()).then_some(&*diagnostic.object.namespace);
        let event = event(diagnostic, uid, &self.instance);
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

/// Whether a finding is about an object that an Event can stand on: not a file, and not a kind as a whole.
fn is_of_one_object(diagnostic: &Diagnostic) -> bool {
    diagnostic.object.kind != Kind::File && &*diagnostic.object.name != "*"
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
