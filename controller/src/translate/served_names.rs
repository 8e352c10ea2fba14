//! The certificates of the table by server name, and which hosts TLS covers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_proxy::model::{Certificate, HostMap, HostMatch};

use super::by_parent::wildcard;
use super::claim::{CertificateClaim, Seniority, Standing};
use super::filters::Coverage;
use super::findings::{Findings, Step};
use crate::diagnostic::{Code, Diagnostic};
use crate::few::{Few, fill};

type Claimants = Few<Seniority, Arc<[CertificateClaim]>>;

/// Every name that a certificate is wanted for, and the one that serves it.
#[derive(Default)]
pub(super) struct ServedNames {
    claimants: BTreeMap<HostMatch, Claimants>,
    dirty: BTreeSet<HostMatch>,
    certificates: HostMap<Arc<Certificate>>,
    /// Names that somebody wrote.
    named: BTreeSet<HostMatch>,
}

/// What settling came to.
pub(super) struct Settled {
    /// Whether another certificate serves some name.
    pub(super) changed: bool,
    /// Names that are named now and were not, or the other way round.
    pub(super) covered: Vec<HostMatch>,
}

impl ServedNames {
    /// Holds what there is without gaps.
    pub(super) fn fill(&mut self) {
        fill(&mut self.claimants);
        self.named = std::mem::take(&mut self.named).into_iter().collect();
    }

    /// Replaces what an object wants for a name.
    pub(super) fn replace(&mut self, host: &HostMatch, before: Option<&Seniority>, now: Option<(&Seniority, &Arc<[CertificateClaim]>)>) {
        let claimants = self.claimants.entry(host.clone()).or_default();
        if let Some(seniority) = before {
            claimants.remove(seniority);
        }
        if let Some((seniority, claims)) = now {
            claimants.insert(seniority.clone(), Arc::clone(claims));
        }
        if claimants.is_empty() {
            self.claimants.remove(host);
        }
        self.dirty.insert(host.clone());
    }

    /// Chooses again where something changed.
    pub(super) fn settle(&mut self, findings: &mut Findings) -> Settled {
        let mut settled = Settled { changed: false, covered: Vec::new() };
        for host in std::mem::take(&mut self.dirty) {
            let claimants = self.claimants.get(&host);
            let named = claimants.into_iter().flat_map(Few::values).any(|claims| claims.iter().any(|c| c.standing == Standing::Written));
            if named != self.named.contains(&host) {
                if named {
                    self.named.insert(host.clone());
                } else {
                    self.named.remove(&host);
                }
                settled.covered.push(host.clone());
            }
            let (winner, found) = claimants.map_or((None, Vec::new()), |claimants| choose(&host, claimants));
            let before = self.certificates.get_match(&host);
            let same = match (before, &winner) {
                (Some(before), Some(winner)) => Arc::ptr_eq(before, winner),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same {
                self.certificates.set(&host, winner);
                settled.changed = true;
            }
            findings.set(Step::Certificate(host), found);
        }
        settled
    }

    /// Whether a TLS entry names this host, by itself or by wildcard.
    pub(super) fn coverage(&self, host: &HostMatch) -> Coverage {
        let covered = self.named.contains(host) || wildcard(host).is_some_and(|wildcard| self.named.contains(&wildcard));
        if covered { Coverage::Covered } else { Coverage::Uncovered }
    }

    /// Whether a TLS entry names exactly this host.
    pub(super) fn is_named(&self, host: &HostMatch) -> bool {
        self.named.contains(host)
    }

    /// Returns who wants a certificate served for a name, the senior first.
    pub(super) fn claimants(&self, host: &HostMatch) -> impl Iterator<Item = (&Seniority, &[CertificateClaim])> {
        self.claimants.get(host).into_iter().flat_map(Claimants::iter).map(|(seniority, claims)| (seniority, &**claims))
    }

    /// Returns the certificates by server name.
    pub(super) fn certificates(&self) -> &HostMap<Arc<Certificate>> {
        &self.certificates
    }
}

/// Chooses the certificate of a name: the oldest object's that has one to serve.
fn choose(host: &HostMatch, claimants: &Claimants) -> (Option<Arc<Certificate>>, Vec<Diagnostic>) {
    let mut winner: Option<(&Seniority, &Arc<Certificate>)> = None;
    let mut found = Vec::new();
    for standing in [Standing::Written, Standing::Implied] {
        for (seniority, claims) in claimants.iter() {
            for claim in claims.iter().filter(|claim| claim.standing == standing) {
                let Some(certificate) = &claim.certificate else { continue };
                let Some((oldest, chosen)) = winner else {
                    winner = Some((seniority, certificate));
                    continue;
                };
                if chosen.fingerprint != certificate.fingerprint && standing == Standing::Written {
                    let whose = if oldest == seniority { "this object" } else { &oldest.reference.to_string() };
                    let message = format!("{} of {whose} already serves {host}", chosen.origin);
                    found.push(Diagnostic::at(&seniority.reference, Code::CertificateConflict, &*claim.field, message));
                }
            }
        }
    }
    (winner.map(|(_, certificate)| Arc::clone(certificate)), found)
}
