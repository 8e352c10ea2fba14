//! Who names whom, both ways; what is named need not be there.

use std::collections::{BTreeSet, HashMap};

use crate::object::ObjectRef;

/// Names between objects.
#[derive(Debug, Default)]
pub(super) struct References {
    targets: HashMap<ObjectRef, BTreeSet<ObjectRef>>,
    sources: HashMap<ObjectRef, BTreeSet<ObjectRef>>,
}

impl References {
    /// Sets all that an object names, and returns what nothing names any more because of it.
    pub(super) fn set(&mut self, source: &ObjectRef, targets: BTreeSet<ObjectRef>) -> Vec<ObjectRef> {
        let before = if targets.is_empty() { self.targets.remove(source) } else { self.targets.insert(source.clone(), targets.clone()) };
        for target in &targets {
            self.sources.entry(target.clone()).or_default().insert(source.clone());
        }
        let mut released = Vec::new();
        for target in before.unwrap_or_default().difference(&targets) {
            if let Some(sources) = self.sources.get_mut(target) {
                sources.remove(source);
                if sources.is_empty() {
                    self.sources.remove(target);
                    released.push(target.clone());
                }
            }
        }
        released
    }

    /// Returns what an object names.
    pub(super) fn targets(&self, source: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.targets.get(source).into_iter().flatten()
    }

    /// Returns who names an object.
    pub(super) fn sources(&self, target: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.sources.get(target).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;

    #[test]
    fn what_the_last_one_stops_naming_is_released() {
        let name = |kind, name| ObjectRef::new(kind, "ns", name);
        let (a, b, secret) = (name(Kind::Ingress, "a"), name(Kind::Ingress, "b"), name(Kind::Secret, "s"));
        let mut references = References::default();
        for source in [&a, &b] {
            assert!(references.set(source, BTreeSet::from([secret.clone()])).is_empty());
        }
        assert_eq!(references.sources(&secret).count(), 2);
        assert!(references.set(&a, BTreeSet::new()).is_empty());
        assert_eq!(references.set(&b, BTreeSet::from([name(Kind::Secret, "other")])), std::slice::from_ref(&secret));
        assert_eq!(references.sources(&secret).count(), 0);
    }
}
