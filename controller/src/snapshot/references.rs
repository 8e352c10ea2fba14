//! Who names whom, both ways; what is named need not be there.

use std::collections::{BTreeSet, HashMap};

use crate::few::Few;
use crate::object::{Kind, ObjectRef};

/// Names between objects.
#[derive(Debug, Default)]
pub(super) struct References {
    targets: HashMap<ObjectRef, Box<[ObjectRef]>>,
    sources: HashMap<ObjectRef, Few<ObjectRef, ()>>,
}

/// What a change of names came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Renamed {
    /// What nothing named before.
    pub(super) named: Vec<ObjectRef>,
    /// What nothing names any more.
    pub(super) released: Vec<ObjectRef>,
}

impl References {
    /// Sets all that an object names.
    pub(super) fn set(&mut self, source: &ObjectRef, targets: BTreeSet<ObjectRef>) -> Renamed {
        let mut renamed = Renamed::default();
        // Names are held once: what is named already is named by the same text.
        let known = |target: ObjectRef| self.sources.get_key_value(&target).map_or(target, |(known, _)| known.clone());
        let targets: Box<[_]> = targets.into_iter().map(known).collect();
        let before = if targets.is_empty() { self.targets.remove(source) } else { self.targets.get(source).cloned() }.unwrap_or_default();
        if before == targets {
            return renamed;
        }
        for target in targets.iter().filter(|target| before.binary_search(target).is_err()) {
            let sources = self.sources.entry(target.clone()).or_default();
            if sources.is_empty() {
                renamed.named.push(target.clone());
            }
            sources.insert(source.clone(), ());
        }
        for target in before.into_iter().filter(|target| targets.binary_search(target).is_err()) {
            if let Some(sources) = self.sources.get_mut(&target) {
                sources.remove(source);
                if sources.is_empty() {
                    self.sources.remove(&target);
                    renamed.released.push(target);
                }
            }
        }
        if !targets.is_empty() {
            self.targets.insert(source.clone(), targets);
        }
        renamed
    }

    /// Returns what an object names.
    pub(super) fn targets(&self, source: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.targets.get(source).into_iter().flatten()
    }

    /// Returns who names an object.
    pub(super) fn sources(&self, target: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.sources.get(target).into_iter().flat_map(Few::keys)
    }

    /// Returns who of a kind names an object, without a look at those of other kinds.
    pub(super) fn sources_of(&self, kind: Kind, target: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        let first = ObjectRef::new(kind, "", "");
        let from = self.sources.get(target).map(|sources| sources.from(&first));
        from.into_iter().flatten().map(|(source, ())| source).take_while(move |source| source.kind == kind)
    }

    /// Whether anything names an object.
    pub(super) fn is_named(&self, target: &ObjectRef) -> bool {
        self.sources.contains_key(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: Kind, name: &str) -> ObjectRef {
        ObjectRef::new(kind, "ns", name)
    }

    #[test]
    fn what_the_first_one_names_is_named_and_what_the_last_one_stops_naming_is_released() {
        let (a, b, secret) = (name(Kind::Ingress, "a"), name(Kind::Ingress, "b"), name(Kind::Secret, "s"));
        let mut references = References::default();
        let of = |targets: &[&ObjectRef]| targets.iter().copied().cloned().collect::<BTreeSet<_>>();
        let renamed = |named: &[&ObjectRef], released: &[&ObjectRef]| Renamed {
            named: named.iter().copied().cloned().collect(),
            released: released.iter().copied().cloned().collect(),
        };
        assert_eq!(references.set(&a, of(&[&secret])), renamed(&[&secret], &[]));
        assert_eq!(references.set(&b, of(&[&secret])), renamed(&[], &[]));
        assert_eq!(references.sources(&secret).count(), 2);
        assert_eq!(references.set(&a, of(&[])), renamed(&[], &[]));
        let other = name(Kind::Secret, "other");
        assert_eq!(references.set(&b, of(&[&other])), renamed(&[&other], &[&secret]));
        assert_eq!((references.sources(&secret).count(), references.is_named(&secret)), (0, false));
        assert_eq!(references.set(&b, of(&[&other])), renamed(&[], &[]));
    }

    #[test]
    fn those_of_one_kind_are_found_among_many() {
        let service = name(Kind::Service, "web");
        let mut references = References::default();
        for i in 0..20 {
            for kind in [Kind::Ingress, Kind::EndpointSlice] {
                references.set(&name(kind, &format!("x{i}")), BTreeSet::from([service.clone()]));
                assert_eq!(references.sources_of(Kind::EndpointSlice, &service).count(), if kind == Kind::Ingress { i } else { i + 1 });
            }
        }
        assert_eq!(references.sources_of(Kind::Ingress, &service).count(), 20);
        assert_eq!(references.sources_of(Kind::Secret, &service).count(), 0);
    }
}
