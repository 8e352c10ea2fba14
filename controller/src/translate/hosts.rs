//! The hosts of the table, assembled again where something of them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_proxy::model::{HostMap, HostMatch};
use tidegate_proxy::state::State;
use tidegate_proxy::table::Host;

use super::assemble::{Assembled, Claimants, assemble, depends_on_coverage};
use super::bare_names::BareNames;
use super::by_parent::{ByParent, wildcard};
use super::claim::{HostClaims, Seniority};
use super::filters::Coverage;
use super::findings::{Findings, Step};
use super::served_names::ServedNames;
use crate::few::fill;

/// Every host that is claimed, and what it was assembled to.
#[derive(Default)]
pub(super) struct Hosts {
    claimants: BTreeMap<HostMatch, Claimants>,
    by_parent: ByParent,
    bare: BareNames,
    dirty: BTreeSet<HostMatch>,
    http: HostMap<Arc<Host>>,
    https: HostMap<Arc<Host>>,
}

impl Hosts {
    /// Holds what there is without gaps.
    pub(super) fn fill(&mut self) {
        fill(&mut self.claimants);
        self.by_parent.fill();
    }

    /// Replaces what an object wants of a host.
    pub(super) fn replace(&mut self, host: &HostMatch, before: Option<&Seniority>, now: Option<(&Seniority, &Arc<HostClaims>)>) {
        let claimants = self.claimants.entry(host.clone()).or_default();
        if claimants.is_empty() {
            self.by_parent.insert(host);
        }
        if let Some(seniority) = before {
            claimants.remove(seniority);
        }
        if let Some((seniority, claims)) = now {
            claimants.insert(seniority.clone(), Arc::clone(claims));
        }
        if claimants.is_empty() {
            self.claimants.remove(host);
            self.by_parent.remove(host);
        }
        self.dirty.insert(host.clone());
    }

    /// Assembles again what changed, or whose coverage by TLS did; returns whether the table is another one.
    pub(super) fn settle(&mut self, names: &ServedNames, covered: &[HostMatch], state: &State, findings: &mut Findings) -> bool {
        for host in self.dirty.iter().chain(covered) {
            if names.is_named(host) && !self.claimants.contains_key(host) {
                self.bare.insert(host);
            } else {
                self.bare.remove(host);
            }
        }
        for host in covered {
            // A name that is named itself is covered whatever becomes of its wildcard.
            self.dirty.extend(self.by_parent.under(host).filter(|host| !names.is_named(host)));
            self.dirty.extend(self.bare.below(host));
            self.dirty.insert(host.clone());
        }
        let stood_in: Vec<_> = self.dirty.iter().flat_map(|host| self.bare.below(host)).collect();
        self.dirty.extend(stood_in);
        let dirty = std::mem::take(&mut self.dirty);
        let mut changed = false;
        for host in dirty {
            let assembled = match self.claimants.get(&host) {
                Some(claimants) => assemble(&host, &host, claimants, names.coverage(&host), state),
                None => self.stand_in(&host, names, state),
            };
            if assembled.is_some() || self.http.get_match(&host).is_some() {
                changed = true;
            } else {
                findings.set(Step::Host(host), Vec::new());
                continue;
            }
            let (http, https, found) = match assembled {
                Some(assembled) => (Some(assembled.http), Some(assembled.https), assembled.findings),
                None => (None, None, Vec::new()),
            };
            self.http.set(&host, http);
            self.https.set(&host, https);
            findings.set(Step::Host(host), found);
        }
        changed
    }

    /// A TLS entry may name a host that has no rules and is served by those of a wildcard, or by rules without a host. There, clear
    /// text is redirected for this name and not for others: the name gets a copy of the host that serves it.
    fn stand_in(&self, host: &HostMatch, names: &ServedNames, state: &State) -> Option<Assembled> {
        if !names.is_named(host) {
            return None;
        }
        let (serving, claimants) =
            wildcard(host).into_iter().chain([HostMatch::Any]).find_map(|serving| self.claimants.get_key_value(&serving))?;
        if names.coverage(serving) == Coverage::Covered || !depends_on_coverage(claimants) {
            return None;
        }
        let assembled = assemble(host, serving, claimants, Coverage::Covered, state)?;
        Some(Assembled { findings: Vec::new(), ..assembled })
    }

    /// Returns who wants something of a host, the senior first.
    pub(super) fn claimants(&self, host: &HostMatch) -> impl Iterator<Item = (&Seniority, &HostClaims)> {
        self.claimants.get(host).into_iter().flat_map(Claimants::iter).map(|(seniority, claims)| (seniority, &**claims))
    }

    /// Returns the hosts for clients in clear text.
    pub(super) fn http(&self) -> &HostMap<Arc<Host>> {
        &self.http
    }

    /// Returns the hosts for clients under TLS.
    pub(super) fn https(&self) -> &HostMap<Arc<Host>> {
        &self.https
    }
}
