//! Takes events into the snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::references::Renamed;
use super::{
    Changes, ClassObject, Entry, IngressObject, Objects, ParametersObject, Resolution, SecretObject, ServiceObject, SliceObject, Snapshot,
    Version, all_of,
};
use crate::few::fill;
use crate::object::{Body, Kind, Object, ObjectRef, Provenance, SourceEvent};

impl Snapshot {
    /// Takes in what a source reports, and says what it can touch.
    pub fn apply(&mut self, event: SourceEvent) -> Changes {
        let mut changes = Changes::default();
        match event {
            SourceEvent::Apply(object) => self.put(*object, &mut changes),
            SourceEvent::Delete(reference) => self.delete(&reference, &mut changes),
            SourceEvent::Replace { kind, namespace, objects } => self.replace(kind, namespace, objects, &mut changes),
            SourceEvent::Unavailable { kind, reason } => {
                let before = self.unavailable.insert(kind, reason);
                if before.is_none() {
                    changes.kinds.insert(kind);
                }
                if before.as_ref() != self.unavailable.get(&kind) {
                    changes.problems.insert(all_of(kind));
                }
            }
            SourceEvent::File { file, problems } => {
                let before = if problems.is_empty() { self.files.remove(&file) } else { self.files.insert(file.clone(), problems) };
                if before.as_ref() != self.files.get(&file) {
                    changes.problems.insert(file);
                }
            }
            SourceEvent::Resolved { name, addresses, problem } => {
                let next = Resolution { addresses, problem };
                if self.resolutions.get(&name) != Some(&next) {
                    self.resolutions.insert(Arc::clone(&name), next);
                    changes.names.insert(name);
                }
            }
        }
        self.let_go_of_unnamed(&mut changes);
        changes
    }

    fn replace(&mut self, kind: Kind, namespace: Option<Arc<str>>, objects: Vec<Object>, changes: &mut Changes) {
        let known = self.names(kind);
        let known_before = known.len();
        let kept: BTreeSet<ObjectRef> =
            if known.is_empty() { BTreeSet::new() } else { objects.iter().map(|object| object.reference.clone()).collect() };
        let covered = |reference: &ObjectRef| namespace.as_ref().is_none_or(|ns| *ns == reference.namespace);
        let gone: Vec<_> = known.into_iter().filter(|reference| covered(reference) && !kept.contains(reference)).collect();
        let first = known_before == 0;
        for object in objects {
            self.put(object, changes);
        }
        if first {
            self.fill(kind);
        }
        for reference in gone {
            self.delete(&reference, changes);
        }
        if self.unavailable.remove(&kind).is_some() {
            changes.kinds.insert(kind);
            changes.problems.insert(all_of(kind));
        }
        self.listed.insert((kind, namespace));
    }

    /// Holds the objects of a kind without gaps.
    fn fill(&mut self, kind: Kind) {
        match kind {
            Kind::Ingress => fill(&mut self.ingresses),
            Kind::Service => fill(&mut self.services),
            Kind::EndpointSlice => fill(&mut self.slices),
            Kind::Secret => fill(&mut self.secrets),
            Kind::IngressClass | Kind::ClassParameters | Kind::File => {}
        }
    }

    fn put(&mut self, object: Object, changes: &mut Changes) {
        let Object { reference, provenance, body } = object;
        let changed = match reference.kind {
            Kind::IngressClass => {
                let was_default = self.is_default_class(&reference);
                let changed = put(&mut self.classes, &reference, provenance, body.and_then(read_class));
                self.note_default_class(&reference, was_default, changed, changes);
                changed
            }
            Kind::ClassParameters => {
                let next = body.and_then(|body| read_parameters(&reference, body));
                if self.references.is_named(&reference) {
                    put(&mut self.parameters, &reference, provenance, next)
                } else {
                    put_unjudged(&mut self.parameters, &reference, provenance, next)
                }
            }
            Kind::Ingress => {
                let next = body.and_then(|body| read_ingress(&reference, &provenance, body));
                let before = self.ingresses.get(&reference).and_then(|entry| entry.current().cloned());
                let changed = put(&mut self.ingresses, &reference, provenance, next);
                let now = self.ingresses.get(&reference).and_then(Entry::current);
                if changed
                    && let (Some(Ok(before)), Some(Ok(now))) = (before, now)
                    && before.same_spec(now)
                {
                    changes.status.insert(reference);
                    return;
                }
                changed
            }
            Kind::Service => put(&mut self.services, &reference, provenance, body.and_then(read_service)),
            Kind::EndpointSlice => {
                let changed = put(&mut self.slices, &reference, provenance, body.and_then(read_slice));
                if changed {
                    changes.problems.insert(reference.clone());
                    changes.endpoints.extend(self.references.targets(&reference).cloned());
                    self.index(&reference);
                    changes.endpoints.extend(self.references.targets(&reference).cloned());
                }
                return;
            }
            Kind::Secret => {
                let next = body.and_then(|body| read_secret(&reference, body));
                if self.references.is_named(&reference) {
                    put(&mut self.secrets, &reference, provenance, next)
                } else {
                    put_unjudged(&mut self.secrets, &reference, provenance, next)
                }
            }
            Kind::File => false,
        };
        if changed {
            changes.touch(&reference);
            self.index(&reference);
        }
    }

    fn delete(&mut self, reference: &ObjectRef, changes: &mut Changes) {
        let known = match reference.kind {
            Kind::IngressClass => {
                let was_default = self.is_default_class(reference);
                let known = self.classes.remove(reference).is_some();
                self.note_default_class(reference, was_default, known, changes);
                known
            }
            // They may hold a protection, and so stay until no class names them.
            Kind::ClassParameters => self.parameters.get_mut(reference).is_some_and(|entry| {
                self.doubtful.insert(reference.clone());
                entry.delete_current()
            }),
            Kind::Ingress => self.ingresses.remove(reference).is_some(),
            Kind::Service => self.services.remove(reference).is_some(),
            Kind::EndpointSlice => {
                changes.endpoints.extend(self.references.targets(reference).cloned());
                self.slices.remove(reference).is_some()
            }
            // What a Secret had served stays until no Ingress names it.
            Kind::Secret => self.secrets.get_mut(reference).is_some_and(|entry| {
                self.doubtful.insert(reference.clone());
                entry.delete_current()
            }),
            Kind::File => false,
        };
        if known {
            changes.touch(reference);
            self.index(reference);
        }
    }

    /// Notes whom an object names now.
    pub(super) fn index(&mut self, reference: &ObjectRef) {
        let targets = match reference.kind {
            Kind::IngressClass => {
                let versions = self.classes.get(reference).into_iter().flat_map(Entry::versions);
                versions.filter_map(|class| class.parameters.as_ref()?.supported()).collect()
            }
            Kind::Ingress => {
                let entry = self.ingresses.get(reference);
                let mut targets = entry.and_then(Entry::latest).map(|ingress| ingress.targets(&reference.namespace)).unwrap_or_default();
                let older = entry.filter(|entry| entry.has_older()).and_then(Entry::last_good);
                targets.extend(older.into_iter().flat_map(|ingress| ingress.targets(&reference.namespace)));
                targets
            }
            Kind::EndpointSlice => {
                self.slices.get(reference).and_then(|entry| entry.serving()?.service_of(&reference.namespace)).into_iter().collect()
            }
            Kind::ClassParameters | Kind::Service | Kind::Secret | Kind::File => return,
        };
        let Renamed { named, released } = self.references.set(reference, targets);
        for target in named {
            self.judge(&target);
        }
        self.doubtful.extend(released.into_iter().filter(|target| matches!(target.kind, Kind::Secret | Kind::ClassParameters)));
    }

    fn is_default_class(&self, reference: &ObjectRef) -> bool {
        self.classes.get(reference).and_then(Entry::serving).is_some_and(|class| class.is_default)
    }

    /// Ingresses without a class name the class without a name: it stands for the default class.
    fn note_default_class(&self, reference: &ObjectRef, was_default: bool, changed: bool, changes: &mut Changes) {
        if changed && (was_default || self.is_default_class(reference)) {
            changes.objects.insert(ObjectRef::new(Kind::IngressClass, "", ""));
        }
    }

    /// Asks of a Secret or parameters that are named from now on whether they are good.
    fn judge(&mut self, reference: &ObjectRef) {
        match reference.kind {
            Kind::Secret => self.secrets.get_mut(reference).into_iter().for_each(Entry::judge),
            Kind::ClassParameters => self.parameters.get_mut(reference).into_iter().for_each(Entry::judge),
            Kind::IngressClass | Kind::Ingress | Kind::Service | Kind::EndpointSlice | Kind::File => {}
        }
    }

    /// Lets go of what Secrets and parameters had served that nothing names any more, and drops those that are deleted.
    fn let_go_of_unnamed(&mut self, changes: &mut Changes) {
        for reference in std::mem::take(&mut self.doubtful) {
            let named = self.references.is_named(&reference);
            let forgotten = if reference.kind == Kind::Secret {
                let_go(&mut self.secrets, &reference, named)
            } else {
                let_go(&mut self.parameters, &reference, named)
            };
            if forgotten {
                // What is said of one that cannot be read depends on whether something is served instead.
                changes.problems.insert(reference);
            }
        }
    }
}

/// Returns whether a last good version was forgotten.
fn let_go<T: Version>(objects: &mut Objects<T>, reference: &ObjectRef, named: bool) -> bool {
    let Some(entry) = objects.get_mut(reference) else { return false };
    let forgotten = !named && entry.forget_last_good();
    if entry.current().is_none() && entry.last_good().is_none() {
        objects.remove(reference);
    }
    forgotten
}

fn put<T: Version>(objects: &mut Objects<T>, reference: &ObjectRef, provenance: Provenance, next: Result<T, String>) -> bool {
    if let Some(entry) = objects.get_mut(reference) {
        return entry.put(provenance, next);
    }
    let mut entry = Entry::new(provenance.clone());
    let changed = entry.put(provenance, next);
    objects.insert(reference.clone(), entry);
    changed
}

/// Takes in a version of an object that nothing names: nobody asks yet whether it is good.
fn put_unjudged<T: Version>(objects: &mut Objects<T>, reference: &ObjectRef, provenance: Provenance, next: Result<T, String>) -> bool {
    let entry = objects.entry(reference.clone()).or_insert_with(|| Entry::new(provenance.clone()));
    entry.put_unjudged(provenance, next)
}

/// The source names a kind and delivers another one: a fault of the source, told like an unreadable object.
fn wrong_kind<T>() -> Result<T, String> {
    Err("its content is of another kind than its name says".to_owned())
}

fn read_class(body: Body) -> Result<ClassObject, String> {
    if let Body::IngressClass(class) = body { Ok(ClassObject::read(&class)) } else { wrong_kind() }
}

fn read_parameters(reference: &ObjectRef, body: Body) -> Result<ParametersObject, String> {
    if let Body::ClassParameters(parameters) = body { Ok(ParametersObject::read(reference, &parameters)) } else { wrong_kind() }
}

fn read_ingress(reference: &ObjectRef, provenance: &Provenance, body: Body) -> Result<IngressObject, String> {
    if let Body::Ingress(ingress) = body { Ok(IngressObject::read(reference, provenance, &ingress)) } else { wrong_kind() }
}

fn read_service(body: Body) -> Result<ServiceObject, String> {
    if let Body::Service(service) = body { Ok(ServiceObject::read(&service)) } else { wrong_kind() }
}

fn read_slice(body: Body) -> Result<SliceObject, String> {
    if let Body::EndpointSlice(slice) = body { Ok(SliceObject::read(&slice)) } else { wrong_kind() }
}

fn read_secret(reference: &ObjectRef, body: Body) -> Result<SecretObject, String> {
    if let Body::Secret(secret) = body { Ok(SecretObject::read(reference, &secret.0)) } else { wrong_kind() }
}
