//! From objects to the routing table: pure over the snapshot, the flags and a clock.
//!
//! Each Ingress is compiled to [`Claims`], each host is assembled from the claims on it, and both are remembered: a change costs what
//! it touches. Endpoints are told to the data plane apart from tables. Nothing here fails; what cannot be served becomes a diagnostic.

mod assemble;
mod backend_state;
mod backends;
mod bare_names;
mod by_parent;
mod certificates;
mod claim;
mod class;
mod defaults;
mod endpoints;
mod filters;
mod findings;
mod hosts;
mod ingress;
mod options;
mod redirects;
mod rivals;
mod served_names;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use tidegate_proxy::state::State;
use tidegate_proxy::table::Table;

pub use backend_state::{BackendState, EndpointState};
pub use backends::BackendKey;
pub use claim::{
    BackendClaim, CertificateClaim, Claim, Claims, FallbackClaim, FilterClaims, HostClaims, HttpsRedirect, ProtocolClaim, Seniority,
    Standing,
};
pub use class::class_of;
pub use filters::Coverage;
pub use options::{DefaultBackend, INGRESS_NGINX, ListenerOptions, Options};

use crate::diagnostic::Diagnostic;
use crate::few::{Few, fill};
use crate::object::{Kind, ObjectRef};
use crate::reconcile::{JudgedParameters, ServedIngress};
use crate::snapshot::{Changes, Entry, IngressObject, Snapshot};
use defaults::Defaults;
use endpoints::Endpoints;
use findings::{Findings, Step};
use hosts::Hosts;
use ingress::Compiled;
use served_names::ServedNames;
use table::TableMaker;

/// Translates, and remembers what came of it.
pub struct Translator {
    options: Options,
    state: Arc<State>,
    /// Boxed, because trees are half empty.
    ingresses: BTreeMap<ObjectRef, Box<Memo>>,
    hosts: Hosts,
    names: ServedNames,
    endpoints: Endpoints,
    defaults: Defaults,
    findings: Findings,
    table: TableMaker,
    /// When to look at what again though nothing changes.
    rechecks: BTreeSet<(SystemTime, ObjectRef)>,
    /// What was last said of the parameters of our classes; `None` before the first look.
    judged: Option<Arc<[JudgedParameters]>>,
}

/// An Ingress of ours, and what came of it.
struct Memo {
    seniority: Seniority,
    claims: Claims,
    /// `None` for one that asks for nothing, or of which nothing can be served.
    served: Option<ServedIngress>,
}

/// What came of changes.
#[derive(Debug, Default)]
pub struct Update {
    /// The table, where it is another one than before.
    pub table: Option<Table>,
    /// Findings that are new.
    pub raised: Vec<Diagnostic>,
    /// Findings that no longer hold.
    pub cleared: Vec<Diagnostic>,
    /// Ingresses of ours, new or with another status or identity.
    pub served: Vec<ServedIngress>,
    /// Ingresses that were ours, or of which nothing is served any more.
    pub let_go: Vec<ObjectRef>,
    /// All DNS names that are needed, where they are others than before.
    pub external_names: Option<Arc<[Arc<str>]>>,
    /// All parameters of our classes with what is said of them, where that is something else than before.
    pub parameters: Option<Arc<[JudgedParameters]>>,
}

impl Translator {
    /// Makes a translator that has seen nothing. `state` is told of endpoints and gives routes their upstreams.
    #[must_use]
    pub fn new(options: Options, state: Arc<State>) -> Self {
        Self {
            defaults: Defaults::new(&options),
            options,
            state,
            ingresses: BTreeMap::new(),
            hosts: Hosts::default(),
            names: ServedNames::default(),
            endpoints: Endpoints::default(),
            findings: Findings::default(),
            table: TableMaker::default(),
            rechecks: BTreeSet::new(),
            judged: None,
        }
    }

    /// Makes the table of a snapshot that nothing is known of yet. `now` is what certificates are held against.
    pub fn rebuild(&mut self, snapshot: &Snapshot, now: SystemTime) -> Update {
        self.update(snapshot, &snapshot.everything(), now)
    }

    /// Takes changes in. The first update yields a table, later ones only where it is another one.
    pub fn update(&mut self, snapshot: &Snapshot, changes: &Changes, now: SystemTime) -> Update {
        let mut update = Update::default();
        let first = !self.table.is_made();
        for problem in &changes.problems {
            self.findings.set(Step::Reading(problem.clone()), snapshot.problems(problem));
        }
        update.parameters = self.note_class_findings(snapshot, changes);
        let (dirty, defaults_due) = self.dirty(snapshot, changes, now);
        for reference in &dirty {
            self.recompile(snapshot, reference, now, &mut update);
        }
        for reference in changes.status.difference(&dirty) {
            self.refresh_status(snapshot, reference, &mut update);
        }
        if defaults_due || first || changes.objects.iter().any(|object| self.defaults.names(object)) {
            self.look_at_defaults(snapshot, now);
        }
        for service in changes.objects.iter().chain(&changes.endpoints).filter(|object| object.kind == Kind::Service) {
            self.endpoints.touch_service(service);
        }
        for name in &changes.names {
            self.endpoints.touch_name(name);
        }
        // Endpoints come before the routes that need them.
        let unused = self.endpoints.settle(snapshot, &self.state.upstreams, &mut self.findings);
        update.table = self.settle_table();
        for backend in unused {
            self.state.upstreams.forget(&backend);
        }
        update.external_names = self.endpoints.take_names();
        (update.raised, update.cleared) = self.findings.take_difference();
        if first {
            self.fill();
        }
        update
    }

    /// Holds what the first update brought without gaps.
    fn fill(&mut self) {
        fill(&mut self.ingresses);
        self.hosts.fill();
        self.names.fill();
        self.endpoints.fill();
    }

    /// Returns where endpoints are told.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Returns every finding that holds, sorted.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.findings.all()
    }

    /// Returns when the next finding comes or changes by time alone.
    #[must_use]
    pub fn next_recheck(&self) -> Option<SystemTime> {
        self.rechecks.first().map(|(when, _)| *when)
    }

    /// Looks at classes and their parameters where they may have changed; returns what is said of the parameters if it is new.
    fn note_class_findings(&mut self, snapshot: &Snapshot, changes: &Changes) -> Option<Arc<[JudgedParameters]>> {
        let about_classes = |kind: Kind| matches!(kind, Kind::IngressClass | Kind::ClassParameters);
        let touched = changes.objects.iter().any(|object| about_classes(object.kind)) || changes.kinds.iter().copied().any(about_classes);
        if !touched && self.judged.is_some() {
            return None;
        }
        self.findings.set(Step::Classes, class::class_findings(snapshot, &self.options));
        let judged: Arc<[_]> = class::judged_parameters(snapshot, &self.options).into();
        if self.judged.as_ref() == Some(&judged) {
            return None;
        }
        self.judged = Some(Arc::clone(&judged));
        Some(judged)
    }

    /// Returns the Ingresses to look at, and whether the time has come to look at the defaults.
    fn dirty(&mut self, snapshot: &Snapshot, changes: &Changes, now: SystemTime) -> (BTreeSet<ObjectRef>, bool) {
        let mut dirty = BTreeSet::new();
        for object in &changes.objects {
            if object.kind == Kind::Ingress {
                dirty.insert(object.clone());
            } else if self.table.is_made() {
                dirty.extend(snapshot.ingresses_naming(object));
            }
        }
        if changes.kinds.contains(&Kind::IngressClass) || !self.table.is_made() {
            dirty.extend(snapshot.ingresses().map(|(reference, _)| reference.clone()));
        }
        let mut defaults_due = false;
        while let Some((when, object)) = self.rechecks.first().cloned()
            && when <= now
        {
            self.rechecks.pop_first();
            if object.kind == Kind::Ingress {
                dirty.insert(object);
            } else {
                defaults_due = true;
            }
        }
        (dirty, defaults_due)
    }

    fn recompile(&mut self, snapshot: &Snapshot, reference: &ObjectRef, now: SystemTime, update: &mut Update) {
        let entry = snapshot.ingress(reference);
        let compiled =
            entry.map_or(Compiled::Foreign(Vec::new()), |entry| ingress::compile(snapshot, &self.options, reference, entry, now));
        let before = self.ingresses.remove(reference);
        let now = match (compiled, entry) {
            (Compiled::Ours(seniority, mut claims), Some(entry)) => {
                self.findings.set(Step::Compiling(reference.clone()), std::mem::take(&mut claims.findings));
                let serves = !claims.hosts.is_empty() || claims.fallback.is_some();
                Some(Box::new(Memo { seniority, claims, served: serves.then(|| served(reference, entry)) }))
            }
            (Compiled::Ours(..), None) => None,
            (Compiled::Foreign(findings), _) => {
                self.findings.set(Step::Compiling(reference.clone()), findings);
                None
            }
        };
        self.replace_claims(before.as_deref(), now.as_deref());
        match (before.and_then(|memo| memo.served.clone()), now.as_ref().and_then(|memo| memo.served.as_ref())) {
            (Some(_), None) => update.let_go.push(reference.clone()),
            (Some(before), Some(now)) if before == *now => {}
            (_, Some(now)) => update.served.push(now.clone()),
            (None, None) => {}
        }
        self.ingresses.extend(now.map(|memo| (reference.clone(), memo)));
    }

    /// Hands the claims of an object on to what is made of them, those alone that are not as before.
    fn replace_claims(&mut self, before: Option<&Memo>, now: Option<&Memo>) {
        let same_age = before.map(|memo| &memo.seniority) == now.map(|memo| &memo.seniority);
        let (old, new) = (before.map(|memo| &memo.claims), now.map(|memo| &memo.claims));
        let seniority = |memo: Option<&Memo>| memo.map(|memo| memo.seniority.clone());
        let (was, is) = (seniority(before), seniority(now));
        for host in keys(old, new, |claims| &claims.hosts) {
            let (a, b) = (old.and_then(|claims| claims.hosts.get(&host)), new.and_then(|claims| claims.hosts.get(&host)));
            if !(same_age && a == b) {
                self.hosts.replace(&host, was.as_ref().filter(|_| a.is_some()), is.as_ref().zip(b));
            }
        }
        for host in keys(old, new, |claims| &claims.certificates) {
            let (a, b) = (old.and_then(|claims| claims.certificates.get(&host)), new.and_then(|claims| claims.certificates.get(&host)));
            if !(same_age && a == b) {
                self.names.replace(&host, was.as_ref().filter(|_| a.is_some()), is.as_ref().zip(b));
            }
        }
        let (a, b) = (old.and_then(|claims| claims.fallback.as_ref()), new.and_then(|claims| claims.fallback.as_ref()));
        if !(same_age && a == b) {
            self.defaults.replace_fallback(was.as_ref().filter(|_| a.is_some()), is.as_ref().zip(b));
        }
        for key in new.into_iter().flat_map(|claims| claims.backends.keys()) {
            self.endpoints.take(key);
        }
        for key in old.into_iter().flat_map(|claims| claims.backends.keys()) {
            self.endpoints.release(key);
        }
        if let (Some(memo), Some(when)) = (before, old.and_then(|claims| claims.recheck)) {
            self.rechecks.remove(&(when, memo.seniority.reference.clone()));
        }
        if let (Some(memo), Some(when)) = (now, new.and_then(|claims| claims.recheck)) {
            self.rechecks.insert((when, memo.seniority.reference.clone()));
        }
    }

    fn refresh_status(&mut self, snapshot: &Snapshot, reference: &ObjectRef, update: &mut Update) {
        if let (Some(memo), Some(entry)) = (self.ingresses.get_mut(reference), snapshot.ingress(reference)) {
            let now = served(reference, entry);
            if memo.served.as_ref().is_some_and(|served| *served != now) {
                memo.served = Some(now.clone());
                update.served.push(now);
            }
        }
    }

    fn look_at_defaults(&mut self, snapshot: &Snapshot, now: SystemTime) {
        let looked = self.defaults.look(snapshot, &self.options, now);
        self.findings.set(Step::Defaults, looked.findings);
        if let Some(key) = looked.taken {
            self.endpoints.take(&key);
        }
        if let Some(key) = looked.released {
            self.endpoints.release(&key);
        }
        self.rechecks.retain(|(_, object)| object.kind == Kind::Ingress);
        self.rechecks.extend(looked.recheck);
    }

    fn settle_table(&mut self) -> Option<Table> {
        let names = self.names.settle(&mut self.findings);
        let hosts_changed = self.hosts.settle(&self.names, &names.covered, &self.state, &mut self.findings);
        let defaults = self.defaults.settle(&self.state, &mut self.findings);
        if names.changed || defaults.certificate_changed {
            self.table.forget_tls();
        }
        let changed = names.changed || hosts_changed || defaults.certificate_changed || defaults.fallback_changed;
        (changed || !self.table.is_made()).then(|| self.table.make(&self.options, &self.hosts, &self.names, &self.defaults))
    }
}

impl std::fmt::Debug for Translator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translator").field("ingresses", &self.ingresses.len()).finish_non_exhaustive()
    }
}

fn served(reference: &ObjectRef, entry: &Entry<IngressObject>) -> ServedIngress {
    let latest = entry.latest();
    ServedIngress { reference: reference.clone(), addresses: latest.map(|ingress| Arc::clone(&ingress.addresses)).unwrap_or_default() }
}

/// Returns the keys that either of two sets of claims has.
fn keys<K: Ord + Clone, V>(old: Option<&Claims>, new: Option<&Claims>, of: impl Fn(&Claims) -> &Few<K, V>) -> BTreeSet<K> {
    old.into_iter().chain(new).flat_map(|claims| of(claims).keys()).cloned().collect()
}
