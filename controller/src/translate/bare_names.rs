//! Names that TLS entries name and that have no rules: those that rules for a wildcard, or without a host, may have to stand in for.

use std::collections::BTreeSet;

use tidegate_proxy::model::HostMatch;

use super::by_parent::ByParent;

/// The names, by themselves and by the wildcard that they lie under.
#[derive(Debug, Default)]
pub(super) struct BareNames {
    all: BTreeSet<HostMatch>,
    by_parent: ByParent,
}

impl BareNames {
    /// Adds a name.
    pub(super) fn insert(&mut self, host: &HostMatch) {
        if self.all.insert(host.clone()) {
            self.by_parent.insert(host);
        }
    }

    /// Takes a name out.
    pub(super) fn remove(&mut self, host: &HostMatch) {
        if self.all.remove(host) {
            self.by_parent.remove(host);
        }
    }

    /// Returns the names that rules for this host serve.
    pub(super) fn below(&self, host: &HostMatch) -> impl Iterator<Item = HostMatch> {
        let all = (*host == HostMatch::Any).then(|| self.all.iter().cloned());
        all.into_iter().flatten().chain(self.by_parent.under(host))
    }
}
