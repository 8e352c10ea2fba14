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
use tokio::sync::{mpsc, watch};

use super::said::Said;
use super::status::carries;
use crate::diagnostic::{Code, Diagnostic};
use crate::object::Kind;
use crate::reconcile::{JudgedParameters, Outcome};
use crate::source::cluster::{self, describe};

/// The pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Bytes that a message may have (API reference, Condition v1 meta).
const MESSAGE: usize = 32 * 1024;

/// The writer of conditions.
pub(super) struct Writer {
    api: Api<DynamicObject>,
    manager: String,
    said: Said,
}

impl Writer {
    /// Makes a writer that writes under the name `manager`.
    pub(super) fn new(client: Client, manager: String) -> Self {
        Self { api: cluster::api(&client, Kind::ClassParameters, None), manager, said: Said::default() }
    }

    /// Writes what outcomes ask for while this replica leads, until they end.
    pub(super) async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>, mut leader: watch::Receiver<bool>) {
        let mut wanted: Option<Arc<[JudgedParameters]>> = None;
        let (mut due, mut pause) = (false, FIRST_PAUSE);
        loop {
            let leads = *leader.borrow_and_update();
            // Whoever led meanwhile may have written something else.
            due |= !leads;
            let mut again = None;
            if let (true, true, Some(judged)) = (leads, due, &wanted) {
                match self.settle(judged).await {
                    Ok(()) => {
                        self.said.over();
                        (due, pause) = (false, FIRST_PAUSE);
                    }
                    Err(error) => {
                        if self.said.is_new(&error) {
                            tracing::warn!(error = describe(&error), "conditions of ClassParameters cannot be written; trying on");
                        }
                        again = Some(pause);
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(outcome) => {
                        if let Some(parameters) = &outcome.parameters {
                            wanted = Some(Arc::clone(parameters));
                            due = true;
                        }
                    }
                    None => return,
                },
                Ok(()) = leader.changed() => {}
                () = super::sleep(again) => {}
            }
        }
    }

    /// Brings every object's condition to what it should be. What can be written is, whatever fails.
    async fn settle(&self, wanted: &[JudgedParameters]) -> kube::Result<()> {
        let mut result = Ok(());
        for object in self.list(wanted).await? {
            let name = object.name_any();
            let judged = wanted.iter().find(|judged| *judged.reference.name == name);
            let write = match judged {
                Some(judged) => due(judged, &object).map(|condition| json!({ "conditions": [condition] })),
                // An apply without what we own gives it up.
                None => carries(object.metadata.managed_fields.as_deref(), &self.manager).then_some(Value::Null),
            };
            let Some(status) = write else { continue };
            let mut patch = json!({
                "apiVersion": cluster::api_version(Kind::ClassParameters),
                "kind": Kind::ClassParameters.as_str(),
                "metadata": { "name": name },
            });
            if let (Some(fields), false) = (patch.as_object_mut(), status.is_null()) {
                fields.insert("status".into(), status);
            }
            let params = PatchParams::apply(&self.manager).force();
            match self.api.patch_status(&name, &params, &Patch::Apply(&patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Lists all objects. Without the CRD there are none; without the right to see any, none are missed where none are wanted.
    async fn list(&self, wanted: &[JudgedParameters]) -> kube::Result<Vec<DynamicObject>> {
        match self.api.list(&ListParams::default()).await {
            Ok(list) => Ok(list.items),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 403 && wanted.is_empty() => Ok(Vec::new()),
            Err(error) => Err(error),
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
