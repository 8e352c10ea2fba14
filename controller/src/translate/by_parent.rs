//! Host names by the name that they are one label below.

use std::collections::{BTreeSet, HashMap};

use tidegate_proxy::model::{HostMatch, HostName};

/// The exact hosts below each name: those that a wildcard on it stands for.
#[derive(Debug, Default)]
pub(super) struct ByParent(HashMap<HostName, BTreeSet<HostName>>);

impl ByParent {
    /// Holds what there is without gaps.
    pub(super) fn fill(&mut self) {
        for children in self.0.values_mut() {
            *children = std::mem::take(children).into_iter().collect();
        }
    }

    /// Adds a host; only exact ones have a parent.
    pub(super) fn insert(&mut self, host: &HostMatch) {
        if let (HostMatch::Exact(name), Some(parent)) = (host, parent(host)) {
            self.0.entry(parent).or_default().insert(name.clone());
        }
    }

    /// Removes a host.
    pub(super) fn remove(&mut self, host: &HostMatch) {
        if let (HostMatch::Exact(name), Some(parent)) = (host, parent(host))
            && let Some(children) = self.0.get_mut(&parent)
        {
            children.remove(name);
            if children.is_empty() {
                self.0.remove(&parent);
            }
        }
    }

    /// Returns the exact hosts that a wildcard stands for; none for what is not a wildcard of one label.
    pub(super) fn under(&self, host: &HostMatch) -> impl Iterator<Item = HostMatch> {
        let children = if let HostMatch::OneLabel(name) = host { self.0.get(name) } else { None };
        children.into_iter().flatten().cloned().map(HostMatch::Exact)
    }
}

/// Returns the name one label above an exact host.
fn parent(host: &HostMatch) -> Option<HostName> {
    let HostMatch::Exact(name) = host else { return None };
    name.as_str().split_once('.')?.1.parse().ok()
}

/// Returns the wildcard that stands for an exact host among others.
pub(super) fn wildcard(host: &HostMatch) -> Option<HostMatch> {
    parent(host).map(HostMatch::OneLabel)
}
