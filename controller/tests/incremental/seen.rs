//! What can be seen of a translation from outside, as it was told bit by bit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;
use tidegate::diagnostic::Diagnostic;
use tidegate::object::ObjectRef;
use tidegate::reconcile::{JudgedParameters, Outcome, ServedIngress};
use tidegate::snapshot::Snapshot;
use tidegate::translate::{Options, Translator, Update};
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Table, TableDump};
use tidegate_proxy::upstream::EndpointAddress;

/// What the world has been told so far.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) table: Option<Table>,
    pub(crate) findings: BTreeSet<Diagnostic>,
    served: BTreeMap<ObjectRef, ServedIngress>,
    names: Arc<[Arc<str>]>,
    parameters: Arc<[JudgedParameters]>,
}

impl Told {
    /// Takes what consumers are told; the table is not among it.
    pub(crate) fn hear(&mut self, outcome: &Outcome) {
        let Outcome { generation: _, raised, cleared, uids: _, served, let_go, external_names, parameters } = outcome;
        self.take(Update {
            table: None,
            raised: raised.to_vec(),
            cleared: cleared.to_vec(),
            served: served.to_vec(),
            let_go: let_go.to_vec(),
            external_names: external_names.clone(),
            parameters: parameters.clone(),
        });
    }

    pub(crate) fn take(&mut self, update: Update) {
        if let Some(table) = update.table {
            self.table = Some(table);
        }
        for finding in update.cleared {
            assert!(self.findings.remove(&finding), "cleared without having been raised: {finding:?}");
        }
        for finding in update.raised {
            assert!(self.findings.insert(finding.clone()), "raised twice: {finding:?}");
        }
        for gone in update.let_go {
            assert!(self.served.remove(&gone).is_some(), "let go without having been served: {gone}");
        }
        for served in update.served {
            let before = self.served.insert(served.reference.clone(), served.clone());
            assert_ne!(before, Some(served), "served again without a change");
        }
        if let Some(names) = update.external_names {
            self.names = names;
        }
        if let Some(parameters) = update.parameters {
            assert!(parameters.is_empty() || self.parameters != parameters, "said again without a change: {parameters:?}");
            self.parameters = parameters;
        }
    }
}

/// Everything that can be seen of a translation.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    table: TableDump,
    endpoints: Vec<(Arc<str>, Arc<[EndpointAddress]>)>,
    findings: BTreeSet<Diagnostic>,
    served: BTreeMap<ObjectRef, ServedIngress>,
    names: Arc<[Arc<str>]>,
    parameters: Arc<[JudgedParameters]>,
}

pub(crate) fn seen(told: &Told, state: &State) -> Seen {
    Seen {
        table: told.table.as_ref().unwrap().dump(),
        endpoints: state.upstreams.dump(),
        findings: told.findings.clone(),
        served: told.served.clone(),
        names: Arc::clone(&told.names),
        parameters: Arc::clone(&told.parameters),
    }
}

pub(crate) fn from_nothing(options: &Options, snapshot: &Snapshot, now: SystemTime) -> Seen {
    let state = Arc::new(State::default());
    let mut translator = Translator::new(options.clone(), Arc::clone(&state));
    let mut told = Told::default();
    told.take(translator.rebuild(snapshot, now));
    seen(&told, &state)
}

pub(crate) fn difference(kept: &Seen, anew: &Seen) -> String {
    let text = |seen: &Seen| {
        let table = json!(seen.table);
        format!("{table:#}\n{seen:#?}")
    };
    let (kept, anew) = (text(kept), text(anew));
    let (kept, anew): (Vec<_>, Vec<_>) = (kept.lines().collect(), anew.lines().collect());
    let at = kept.iter().zip(&anew).position(|(a, b)| a != b).unwrap_or(kept.len().min(anew.len()));
    let around = |lines: &[&str]| lines.iter().skip(at.saturating_sub(12)).take(30).copied().collect::<Vec<_>>().join("\n");
    format!("--- kept up to date:\n{}\n--- from nothing:\n{}", around(&kept), around(&anew))
}
