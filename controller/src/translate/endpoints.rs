//! The backends in use and their endpoints, told to the data plane apart from tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_proxy::upstream::Upstreams;

use super::backends::{BackendKey, destination};
use super::findings::{Findings, Step};
use crate::few::fill;
use crate::object::{Kind, ObjectRef};
use crate::snapshot::Snapshot;

/// Every backend that a claim names.
#[derive(Default)]
pub(super) struct Endpoints {
    used: BTreeMap<BackendKey, Used>,
    by_name: BTreeMap<Arc<str>, BTreeSet<BackendKey>>,
    dirty: BTreeSet<BackendKey>,
    names_changed: bool,
}

struct Used {
    text: Arc<str>,
    /// Objects that name it.
    users: usize,
    external_name: Option<Arc<str>>,
}

impl Endpoints {
    /// Holds what there is without gaps.
    pub(super) fn fill(&mut self) {
        fill(&mut self.used);
    }

    /// Counts an object in that names a backend.
    pub(super) fn take(&mut self, key: &BackendKey) {
        let used = self.used.entry(key.clone()).or_insert_with(|| {
            self.dirty.insert(key.clone());
            Used { text: key.text(), users: 0, external_name: None }
        });
        used.users += 1;
    }

    /// Counts an object out.
    pub(super) fn release(&mut self, key: &BackendKey) {
        if let Some(used) = self.used.get_mut(key) {
            used.users = used.users.saturating_sub(1);
            if used.users == 0 {
                self.dirty.insert(key.clone());
            }
        }
    }

    /// Notes that the endpoints of a Service may have changed.
    pub(super) fn touch_service(&mut self, service: &ObjectRef) {
        debug_assert_eq!(service.kind, Kind::Service, "only Services have endpoints");
        let (first, last) = (BackendKey { service: service.clone(), port: 0 }, BackendKey { service: service.clone(), port: u16::MAX });
        self.dirty.extend(self.used.range(first..=last).map(|(key, _)| key.clone()));
    }

    /// Notes that a DNS name resolves to something else.
    pub(super) fn touch_name(&mut self, name: &str) {
        self.dirty.extend(self.by_name.get(name).into_iter().flatten().cloned());
    }

    /// Tells the data plane the endpoints that changed. Returns the backends that nothing names any more: they are forgotten once no
    /// new table can name them.
    pub(super) fn settle(&mut self, snapshot: &Snapshot, upstreams: &Upstreams, findings: &mut Findings) -> Vec<Arc<str>> {
        let mut unused = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let Some(used) = self.used.get_mut(&key) else { continue };
            let destination = if used.users == 0 { super::backends::Destination::default() } else { destination(snapshot, &key) };
            findings.set(Step::Endpoints(Arc::clone(&used.text)), destination.finding.into_iter().collect());
            if used.external_name != destination.external_name {
                if let Some(name) = &used.external_name
                    && let Some(keys) = self.by_name.get_mut(name)
                {
                    keys.remove(&key);
                    if keys.is_empty() {
                        self.by_name.remove(name);
                    }
                }
                if let Some(name) = &destination.external_name {
                    self.by_name.entry(Arc::clone(name)).or_default().insert(key.clone());
                }
                used.external_name = destination.external_name;
                self.names_changed = true;
            }
            if used.users == 0 {
                unused.push(Arc::clone(&used.text));
                self.used.remove(&key);
            } else {
                upstreams.set_endpoints(&used.text, destination.endpoints);
            }
        }
        unused
    }

    /// Returns every backend in use, by name.
    pub(super) fn backends(&self) -> impl Iterator<Item = &BackendKey> {
        self.used.keys()
    }

    /// Returns the DNS names that are needed, if they are others than at the last look.
    pub(super) fn take_names(&mut self) -> Option<Arc<[Arc<str>]>> {
        std::mem::take(&mut self.names_changed).then(|| self.by_name.keys().cloned().collect())
    }
}
