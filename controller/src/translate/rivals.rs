//! What translation knows besides the table: who wants what, whether or not it serves, and what is not ours at all.

use tidegate_proxy::model::HostMatch;

use super::backend_state::{self, BackendState};
use super::claim::{CertificateClaim, Claim, HostClaims, Seniority};
use super::class::{Ownership, ownership};
use super::{Memo, Translator};
use crate::object::ObjectRef;
use crate::snapshot::{ClassName, Entry, IngressObject, Snapshot};

impl Translator {
    /// Returns who wants something of a host, the senior first.
    pub fn host_claims(&self, host: &HostMatch) -> impl Iterator<Item = (&Seniority, &HostClaims)> {
        self.hosts.claimants(host)
    }

    /// Returns who wants a certificate served for a name, the senior first.
    pub fn certificate_claims(&self, host: &HostMatch) -> impl Iterator<Item = (&Seniority, &[CertificateClaim])> {
        self.names.claimants(host)
    }

    /// Returns who wants to serve what nothing else takes, the senior first.
    pub fn fallback_claims(&self) -> impl Iterator<Item = (&Seniority, &Claim)> {
        self.defaults.claimants()
    }

    /// Returns a backend in use by its name, as objects describe it now.
    #[must_use]
    pub fn backend(&self, snapshot: &Snapshot, name: &str) -> Option<BackendState> {
        let key = self.endpoints.backends().find(|key| *key.text() == *name)?;
        Some(backend_state::state(snapshot, key))
    }

    /// Returns every backend in use, by name, as objects describe it now.
    #[must_use]
    pub fn backends(&self, snapshot: &Snapshot) -> Vec<BackendState> {
        self.endpoints.backends().map(|key| backend_state::state(snapshot, key)).collect()
    }

    /// Says why nothing of an Ingress is served; `None` where something is.
    #[must_use]
    pub fn left_out(&self, snapshot: &Snapshot, reference: &ObjectRef, entry: &Entry<IngressObject>) -> Option<String> {
        if let Some(memo) = self.ingresses.get(reference) {
            let Memo { claims, .. } = &**memo;
            let nothing = claims.hosts.is_empty() && claims.fallback.is_none();
            return nothing.then(|| "its settings cannot be understood, and nothing of it is served until they are".to_owned());
        }
        let class = &entry.latest()?.class;
        match (ownership(snapshot, &self.options, class), class) {
            (Ownership::Ours(_), _) => None,
            (Ownership::MissingClass(name), _) => Some(format!("its class {name} does not exist")),
            (Ownership::Foreign, ClassName::Field(name) | ClassName::Annotation(name)) => Some(match snapshot.class(name) {
                Some(class) => format!("its class {name} is of the controller {}, which is not served here", class.controller),
                None => format!("its class {name} is not served here"),
            }),
            (Ownership::Foreign, ClassName::Unwritten | ClassName::Absent) => {
                Some("it names no class, and such Ingresses are not served here".to_owned())
            }
        }
    }
}
