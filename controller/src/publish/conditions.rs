//! Writes the condition `Accepted` of `ClassParameters` that our classes point to: whether all their settings are understood.
//!
//! The cluster itself is the book: each look lists all of them (there are few), writes where the condition differs, and gives up what we wrote where
//! no class of ours points any more. So a replica that takes over finds what is right and leaves it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tidegate_crds::ACCEPTED;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::failure::Failure;
use super::lease::Leadership;
use super::pacing::{Pacing, sleep_until};
use super::said::Said;
use super::status::carries;
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, ObjectRef};
use crate::reconcile::{JudgedParameters, Outcome};
use crate::source::cluster;

/// The longest pause before what fails is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// Bytes that a message may have (API reference, Condition v1 meta).
const MESSAGE: usize = 32 * 1024;

/// The writer of conditions.
pub(super) struct Writer {
    api: Api<DynamicObject>,
    manager: String,
    /// What is to be said; `None` until it is known.
    wanted: Option<Arc<[JudgedParameters]>>,
    /// When the next look at all objects is due; empty while this replica does not lead.
    pacing: Pacing<Look>,
    leadership: Leadership,
    said: Said,
}

/// The one thing that the leader has to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Look;

/// Why a look was not the last.
enum Unsettled {
    Failed(Failure),
    /// This replica does not lead, or not for long enough.
    NotOurs,
}

impl Writer {
    /// Makes a writer that writes under the name `manager`.
    pub(super) fn new(client: &Client, manager: String, leadership: Leadership) -> Self {
        let api = cluster::api(client, Kind::ClassParameters, None);
        Self { api, manager, wanted: None, pacing: Pacing::default(), leadership, said: Said::default() }
    }

    /// Writes what outcomes ask for while this replica leads, until they end.
    pub(super) async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>) {
        let mut leads = false;
        loop {
            let led = std::mem::replace(&mut leads, self.leadership.leads());
            if !leads {
                self.pacing = Pacing::default();
            } else if !led {
                // Whoever led before may have written something else.
                self.pacing.want(Look, Instant::now());
            }
            if let Some(wanted) = self.wanted.clone()
                && self.pacing.take(Instant::now()).is_some()
            {
                self.look(&wanted).await;
            }
            if self.pacing.next().is_none() {
                self.said.over();
            }
            let next = self.pacing.next().filter(|_| self.wanted.is_some());
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(outcome) => self.take(&outcome, leads),
                    None => return,
                },
                Ok(()) = self.leadership.changed() => {}
                () = sleep_until(next) => {}
            }
            while let Ok(outcome) = outcomes.try_recv() {
                self.take(&outcome, leads);
            }
        }
    }

    fn take(&mut self, outcome: &Outcome, leads: bool) {
        let Some(parameters) = &outcome.parameters else { return };
        self.wanted = Some(Arc::clone(parameters));
        if leads {
            self.pacing.want(Look, Instant::now());
        }
    }

    async fn look(&mut self, wanted: &[JudgedParameters]) {
        let now = Instant::now();
        match self.settle(wanted).await {
            Ok(()) => {}
            // Leadership's end is taken note of by the loop.
            Err(Unsettled::NotOurs) => self.pacing.want(Look, now),
            Err(Unsettled::Failed(failure)) => {
                self.pacing.attempted(Look, now, LONGEST_PAUSE);
                self.pacing.want(Look, now);
                if self.said.is_new(&failure) {
                    tracing::warn!(error = failure.text, "conditions of ClassParameters cannot be written; trying on");
                }
            }
        }
    }

    /// Brings every object's condition to what it should be. What can be written is, whatever fails, unless the server itself is in trouble.
    async fn settle(&self, wanted: &[JudgedParameters]) -> Result<(), Unsettled> {
        let mut result = Ok(());
        for object in self.list(wanted).await.map_err(Unsettled::Failed)? {
            let name = object.name_any();
            let judged = wanted.iter().find(|judged| *judged.reference.name == name);
            let write = match judged {
                Some(judged) => due(judged, &object).map(|condition| json!({ "conditions": [condition] })),
                // An apply without what we own gives it up.
                None => carries(object.metadata.managed_fields.as_deref(), &self.manager).then_some(Value::Null),
            };
            let Some(status) = write else { continue };
            match self.leadership.fence(self.write(&name, status)).await.ok_or(Unsettled::NotOurs)? {
                Err(failure) if failure.of_server => return Err(Unsettled::Failed(failure)),
                Err(failure) => result = Err(Unsettled::Failed(failure)),
                Ok(()) => {}
            }
        }
        result
    }

    /// Writes an object's status; null gives up what is ours.
    async fn write(&self, name: &str, status: Value) -> Result<(), Failure> {
        let about = ObjectRef::new(Kind::ClassParameters, "", name);
        let mut patch = json!({
            "apiVersion": cluster::api_version(about.kind),
            "kind": about.kind.as_str(),
            "metadata": { "name": name },
        });
        if let (Some(fields), false) = (patch.as_object_mut(), status.is_null()) {
            fields.insert("status".into(), status);
        }
        let params = PatchParams::apply(&self.manager).force();
        match tokio::time::timeout(REQUEST, self.api.patch_status(name, &params, &Patch::Apply(&patch))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(Err(error)) => Err(Failure::of(about, &error)),
            Err(_) => Err(Failure::silence(about)),
        }
    }

    /// Lists all objects. Without the CRD there are none; without the right to see any, none are missed where none are wanted.
    async fn list(&self, wanted: &[JudgedParameters]) -> Result<Vec<DynamicObject>, Failure> {
        match tokio::time::timeout(REQUEST, self.api.list(&ListParams::default())).await {
            Ok(Ok(list)) => Ok(list.items),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 || status.code == 403 && wanted.is_empty() => Ok(Vec::new()),
            Ok(Err(error)) => Err(Failure::of("ClassParameters", &error)),
            Err(_) => Err(Failure::silence("ClassParameters")),
        }
    }
}

/// Returns the condition to write to an object; `None` where it says so already, or where the object is newer than what was judged: then
/// another judgement is on its way.
fn due(judged: &JudgedParameters, object: &DynamicObject) -> Option<Condition> {
    let generation = object.metadata.generation;
    if judged.generation.is_some() && judged.generation != generation {
        return None;
    }
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition.get("type").is_some_and(|kind| kind == ACCEPTED));
    let before: Option<Condition> = found.and_then(|condition| serde_json::from_value(condition.clone()).ok());
    let (status, reason) = verdict(&judged.findings);
    let since = before.as_ref().filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
    let now = Condition {
        type_: ACCEPTED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message(&judged.findings),
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| Time(Timestamp::now())),
    };
    (before.as_ref() != Some(&now)).then_some(now)
}

/// Returns the status and the reason of the condition. What merely has no effect is accepted.
fn verdict(findings: &[Diagnostic]) -> (&'static str, &'static str) {
    match findings.iter().map(|finding| finding.code).find(|code| *code != Code::RedundantValue) {
        Some(code) => ("False", code.event_reason()),
        None => ("True", ACCEPTED),
    }
}

fn message(findings: &[Diagnostic]) -> String {
    if findings.is_empty() {
        return "All settings are understood.".to_owned();
    }
    let line = |finding: &Diagnostic| match &finding.field {
        Some(field) => format!("{field}: {}", finding.message),
        None => finding.message.to_string(),
    };
    let mut text = findings.iter().map(line).collect::<Vec<_>>().join("\n");
    text.truncate(text.floor_char_boundary(MESSAGE));
    text
}

#[cfg(test)]
#[path = "conditions/tests.rs"]
mod tests;
