//! All objects as they are now, trimmed and parsed, with who names whom.
//!
//! Of each object the snapshot holds the current version and the last good one: an update that cannot be understood keeps what the
//! object had served before. Translation is pure over it. It does no I/O; a [`SourceEvent`](crate::object::SourceEvent) goes in,
//! and [`Changes`] say what of the table can be touched by it.

mod apply;
mod changes;
mod class;
mod entry;
mod ingress;
mod references;
mod saved;
mod secret;
mod service;
mod slice;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use changes::Changes;
pub use class::{ClassObject, ParametersObject, ParametersTarget};
pub use entry::{Entry, Version};
pub use ingress::{Age, BackendRef, ClassName, IngressObject, PathRule, PortRef, Rule, TlsEntry};
pub use saved::{InvalidSnapshot, SavedSnapshot};
pub use secret::SecretObject;
pub use service::{ServiceObject, ServicePort};
pub use slice::{Readiness, SliceEndpoint, SliceObject};

use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, ObjectRef, Provenance};
use references::References;

/// All versions of the objects of one kind, by name.
type Objects<T> = BTreeMap<ObjectRef, Entry<T>>;

/// What the DNS name of an `ExternalName` Service resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What is wrong with the name.
    pub problem: Option<(Code, String)>,
}

/// All objects at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    classes: Objects<ClassObject>,
    parameters: Objects<ParametersObject>,
    ingresses: Objects<IngressObject>,
    services: Objects<ServiceObject>,
    slices: Objects<SliceObject>,
    secrets: Objects<SecretObject>,
    /// Who names whom: Ingresses their Services, Secrets and class; classes their parameters; slices their Service.
    references: References,
    /// Secrets and parameters of which nothing may be kept any more, as nothing may name them. Empty between events.
    doubtful: BTreeSet<ObjectRef>,
    resolutions: BTreeMap<Arc<str>, Resolution>,
    /// What is wrong with files as such.
    files: BTreeMap<ObjectRef, Vec<Diagnostic>>,
    unavailable: BTreeMap<Kind, String>,
    /// Namespaces that are listed one by one; empty is all at once.
    watched: BTreeSet<Arc<str>>,
    listed: BTreeSet<(Kind, Option<Arc<str>>)>,
}

impl Snapshot {
    /// Makes an empty snapshot. `watched` are the namespaces that the source lists one by one (`--watch-namespace`); empty is all.
    #[must_use]
    pub fn new(watched: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { watched: watched.into_iter().collect(), ..Self::default() }
    }

    /// Keeps the last good version of a Secret even while no Ingress names it (`--default-certificate`).
    pub fn pin_secret(&mut self, secret: &ObjectRef) {
        self.references.set(&ObjectRef::new(Kind::File, "", "--default-certificate"), BTreeSet::from([secret.clone()]));
    }

    /// Whether every kind has been listed in every watched namespace. An `IngressClass` or `ClassParameters` that cannot be read
    /// counts as listed.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.is_kind_synced(*kind))
    }

    /// Whether one kind has been listed, as [`Snapshot::is_synced`] says.
    #[must_use]
    pub fn is_kind_synced(&self, kind: Kind) -> bool {
        let optional = matches!(kind, Kind::IngressClass | Kind::ClassParameters);
        (optional && self.unavailable.contains_key(&kind))
            || self.listed.contains(&(kind, None))
            || (!optional && !self.watched.is_empty() && self.watched.iter().all(|ns| self.listed.contains(&(kind, Some(Arc::clone(ns))))))
    }

    /// Whether a kind cannot be read.
    #[must_use]
    pub fn is_unavailable(&self, kind: Kind) -> bool {
        self.unavailable.contains_key(&kind)
    }

    /// Returns the number of objects that are known, slices not counted.
    #[must_use]
    pub fn object_count(&self) -> usize {
        self.classes.len() + self.parameters.len() + self.ingresses.len() + self.services.len() + self.secrets.len()
    }

    /// Returns an Ingress.
    #[must_use]
    pub fn ingress(&self, reference: &ObjectRef) -> Option<&Entry<IngressObject>> {
        self.ingresses.get(reference)
    }

    /// Returns every Ingress, by name.
    pub fn ingresses(&self) -> impl Iterator<Item = (&ObjectRef, &Entry<IngressObject>)> {
        self.ingresses.iter()
    }

    /// Returns a class in the version that counts.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Arc<ClassObject>> {
        self.classes.get(&ObjectRef::new(Kind::IngressClass, "", name)).and_then(Entry::serving)
    }

    /// Returns every class that is there, by name.
    pub fn classes(&self) -> impl Iterator<Item = (&ObjectRef, &Arc<ClassObject>)> {
        self.classes.iter().filter_map(|(reference, entry)| Some((reference, entry.serving()?)))
    }

    /// Returns the parameters of a class in their last good version; deleted ones stay for as long as a class names them.
    #[must_use]
    pub fn parameters(&self, name: &str) -> Option<&Arc<ParametersObject>> {
        self.parameters.get(&ObjectRef::new(Kind::ClassParameters, "", name)).and_then(Entry::last_good)
    }

    /// Whether there is a current version of these parameters, good or bad.
    #[must_use]
    pub fn has_parameters(&self, name: &str) -> bool {
        self.parameters.get(&ObjectRef::new(Kind::ClassParameters, "", name)).and_then(Entry::current).is_some()
    }

    /// Returns the parameters of a class in all versions.
    #[must_use]
    pub fn parameters_entry(&self, reference: &ObjectRef) -> Option<&Entry<ParametersObject>> {
        self.parameters.get(reference)
    }

    /// Returns a Service in the version that counts.
    #[must_use]
    pub fn service(&self, reference: &ObjectRef) -> Option<&Arc<ServiceObject>> {
        self.services.get(reference).and_then(Entry::serving)
    }

    /// Returns the slices of a Service in the versions that count, by name.
    pub fn slices_of(&self, service: &ObjectRef) -> impl Iterator<Item = &Arc<SliceObject>> {
        self.references.sources_of(Kind::EndpointSlice, service).filter_map(|slice| self.slices.get(slice)?.serving())
    }

    /// Returns how many endpoints the Services have that Ingresses name, by state.
    #[must_use]
    pub fn endpoint_states(&self) -> [(Readiness, usize); 3] {
        let mut counts = [Readiness::Ready, Readiness::Draining, Readiness::NotReady].map(|state| (state, 0));
        let slices = self.slices.iter().filter_map(|(reference, entry)| Some((reference, entry.serving()?)));
        let named = |service: &ObjectRef| self.references.sources_of(Kind::Ingress, service).next().is_some();
        let ours = slices.filter(|(slice, of)| of.service_of(&slice.namespace).is_some_and(|service| named(&service)));
        for endpoint in ours.flat_map(|(_, slice)| &slice.endpoints) {
            counts.iter_mut().filter(|(state, _)| *state == endpoint.readiness).for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// Returns a Secret; one that was deleted stays, without a current version, for as long as an Ingress names it.
    #[must_use]
    pub fn secret(&self, reference: &ObjectRef) -> Option<&Entry<SecretObject>> {
        self.secrets.get(reference)
    }

    /// Returns what a DNS name resolves to; `None` before the first answer.
    #[must_use]
    pub fn resolution(&self, name: &str) -> Option<&Resolution> {
        self.resolutions.get(name)
    }

    /// Forgets the answers for DNS names that nothing needs any more.
    ///
    /// `wanted` is sorted.
    pub fn retain_names(&mut self, wanted: &[Arc<str>]) {
        self.resolutions.retain(|name, _| wanted.binary_search(name).is_ok());
    }

    /// Returns the Ingresses that name an object, there or missing: directly, or through their class.
    #[must_use]
    pub fn ingresses_naming(&self, target: &ObjectRef) -> BTreeSet<ObjectRef> {
        let mut found = BTreeSet::new();
        for source in self.references.sources(target) {
            match source.kind {
                Kind::Ingress => drop(found.insert(source.clone())),
                Kind::IngressClass => {
                    found.extend(self.ingresses_naming(source));
                    if self.classes.get(source).is_some_and(|entry| entry.versions().any(|class| class.is_default)) {
                        found.extend(self.ingresses_naming(&ObjectRef::new(Kind::IngressClass, "", "")));
                    }
                }
                Kind::ClassParameters | Kind::Service | Kind::EndpointSlice | Kind::Secret | Kind::File => {}
            }
        }
        found
    }

    /// Returns where an object was read; `None` when it is not there.
    #[must_use]
    pub fn provenance(&self, reference: &ObjectRef) -> Option<&Provenance> {
        match reference.kind {
            Kind::IngressClass => self.classes.get(reference).map(Entry::provenance),
            Kind::ClassParameters => self.parameters.get(reference).map(Entry::provenance),
            Kind::Ingress => self.ingresses.get(reference).map(Entry::provenance),
            Kind::Service => self.services.get(reference).map(Entry::provenance),
            Kind::EndpointSlice => self.slices.get(reference).map(Entry::provenance),
            Kind::Secret => self.secrets.get(reference).map(Entry::provenance),
            Kind::File => None,
        }
    }

    /// Returns what is wrong with an object, a file or a kind as such, without a look at what names it.
    #[must_use]
    pub fn problems(&self, reference: &ObjectRef) -> Vec<Diagnostic> {
        let problem = match reference.kind {
            Kind::IngressClass => self.classes.get(reference).and_then(Entry::problem),
            Kind::ClassParameters => {
                let entry = self.parameters.get(reference);
                if let Some(Ok(parameters)) = entry.and_then(Entry::current) {
                    return parameters.findings.clone();
                }
                entry.and_then(Entry::problem)
            }
            Kind::Ingress => self.ingresses.get(reference).and_then(Entry::problem),
            Kind::Service => self.services.get(reference).and_then(Entry::problem),
            Kind::EndpointSlice => self.slices.get(reference).and_then(Entry::problem),
            Kind::Secret => self.secrets.get(reference).and_then(Entry::problem),
            Kind::File => return self.files.get(reference).cloned().unwrap_or_default(),
        };
        let mut problems: Vec<_> = problem.map(|text| Diagnostic::of(reference, Code::InvalidObject, text)).into_iter().collect();
        if *reference == all_of(reference.kind)
            && let Some(reason) = self.unavailable.get(&reference.kind)
        {
            problems.push(Diagnostic::of(reference, Code::KindUnavailable, reason));
        }
        problems
    }

    /// Returns everything that is there that a table built from nothing starts with.
    #[must_use]
    pub fn everything(&self) -> Changes {
        let mut changes = Changes::default();
        // What Ingresses lead to need not be told of: that is looked at with them.
        for kind in [Kind::IngressClass, Kind::ClassParameters, Kind::Ingress] {
            changes.objects.extend(self.names(kind));
        }
        for kind in Kind::ALL {
            changes.problems.insert(all_of(*kind));
        }
        changes.problems.extend(self.parameters.keys().chain(self.files.keys()).cloned());
        changes.problems.extend(unreadable(&self.classes).chain(unreadable(&self.ingresses)));
        changes.problems.extend(unreadable(&self.services).chain(unreadable(&self.slices)).chain(unreadable(&self.secrets)));
        changes
    }

    /// Returns the names of all objects of a kind.
    fn names(&self, kind: Kind) -> Vec<ObjectRef> {
        match kind {
            Kind::IngressClass => self.classes.keys().cloned().collect(),
            Kind::ClassParameters => self.parameters.keys().cloned().collect(),
            Kind::Ingress => self.ingresses.keys().cloned().collect(),
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => self.slices.keys().cloned().collect(),
            Kind::Secret => self.secrets.keys().cloned().collect(),
            Kind::File => Vec::new(),
        }
    }
}

/// Returns the names of the objects whose current version cannot be read.
fn unreadable<T: Version>(objects: &Objects<T>) -> impl Iterator<Item = ObjectRef> {
    objects.iter().filter(|(_, entry)| matches!(entry.current(), Some(Err(_)))).map(|(reference, _)| reference.clone())
}

/// Returns the name that stands for all objects of a kind.
fn all_of(kind: Kind) -> ObjectRef {
    ObjectRef::new(kind, "", "*")
}
