//! Which hosts a change may touch: all others must be the very same in the table that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate::object::{Kind, ObjectRef};
use tidegate::snapshot::{Changes, Snapshot};
use tidegate_proxy::model::HostMatch;
use tidegate_proxy::table::{Host, Table};

/// Names of the certificates that tests use: an entry without hosts stands for those of its certificate.
const OF_CERTIFICATES: [&str; 4] = ["a.example.com", "b.example.com", "example.com", "*.example.com"];

/// The hosts that an Ingress names.
#[derive(Default, Clone)]
struct Named {
    rules: BTreeSet<HostMatch>,
    tls: BTreeSet<HostMatch>,
}

/// What every Ingress named when it was last looked at, and the table of then.
#[derive(Default)]
pub(crate) struct Identity {
    named: BTreeMap<ObjectRef, Named>,
    table: Option<Table>,
}

impl Identity {
    /// Holds a table against the one before: of hosts that no changed object names, nothing may be new.
    pub(crate) fn check(&mut self, snapshot: &Snapshot, changes: &Changes, table: &Table) {
        let mut touched = Named::default();
        for ingress in dirty(snapshot, changes) {
            let now = named(snapshot, &ingress);
            let before = self.named.insert(ingress, now.clone()).unwrap_or_default();
            for named in [before, now] {
                touched.rules.extend(named.rules);
                touched.tls.extend(named.tls);
            }
        }
        if let Some(before) = &self.table
            && changes.kinds.is_empty()
        {
            for (was, is) in before.listeners.iter().zip(&table.listeners) {
                for (name, host) in is.hosts.iter() {
                    let new = was.hosts.get_match(&name).is_some_and(|was| !Arc::ptr_eq(was, host));
                    assert!(!new || touched.may_change(&name, host), "{name} is another one, although nothing that names it changed");
                }
            }
        }
        self.table = Some(table.clone());
    }
}

impl Named {
    fn may_change(&self, name: &HostMatch, host: &Host) -> bool {
        let wildcard = match name {
            HostMatch::Exact(exact) => {
                exact.as_str().split_once('.').and_then(|(_, parent)| HostMatch::of_ingress(&format!("*.{parent}")).ok())
            }
            HostMatch::OneLabel(_) | HostMatch::ManyLabels(_) | HostMatch::Any => None,
        };
        let itself = self.rules.contains(name) || self.tls.contains(name);
        let covered = wildcard.as_ref().is_some_and(|wildcard| self.tls.contains(wildcard));
        // A name that has no rules of its own stands in for those that serve it.
        let stands_in = host.routes.iter().chain(&host.default).any(|route| route.host != *name);
        let serving = wildcard.is_some_and(|wildcard| self.rules.contains(&wildcard)) || self.rules.contains(&HostMatch::Any);
        itself || covered || (stands_in && serving)
    }
}

fn dirty(snapshot: &Snapshot, changes: &Changes) -> BTreeSet<ObjectRef> {
    let of = |object: &ObjectRef| {
        if object.kind == Kind::Ingress { BTreeSet::from([object.clone()]) } else { snapshot.ingresses_naming(object) }
    };
    changes.objects.iter().flat_map(of).collect()
}

fn named(snapshot: &Snapshot, ingress: &ObjectRef) -> Named {
    let mut named = Named::default();
    for version in snapshot.ingress(ingress).into_iter().flat_map(|entry| entry.versions()) {
        named.rules.extend(version.rules.iter().map(|rule| rule.host.clone()));
        named.tls.extend(version.tls.iter().flat_map(|entry| entry.hosts.iter().cloned()));
        if version.tls.iter().any(|entry| entry.hosts.is_empty()) {
            named.tls.extend(OF_CERTIFICATES.iter().map(|name| HostMatch::of_ingress(name).unwrap()));
        }
    }
    // Any of them may redirect to its twin, or share its certificate with it.
    for hosts in [&mut named.rules, &mut named.tls] {
        let twins: Vec<_> = hosts.iter().filter_map(twin).collect();
        hosts.extend(twins);
    }
    named
}

fn twin(host: &HostMatch) -> Option<HostMatch> {
    let HostMatch::Exact(name) = host else { return None };
    let twin = name.as_str().strip_prefix("www.").map_or_else(|| format!("www.{name}"), str::to_owned);
    HostMatch::of_ingress(&twin).ok()
}
