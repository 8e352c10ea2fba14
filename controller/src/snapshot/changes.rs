//! What of the table an event can touch.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::object::{Kind, ObjectRef};

/// What changed in a snapshot. Empty where nothing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Objects that are there, are gone, or say something else than before. Slices are not among them.
    pub objects: BTreeSet<ObjectRef>,
    /// Services whose endpoints may have changed; nothing else follows from it.
    pub endpoints: BTreeSet<ObjectRef>,
    /// Ingresses of which only the status or the identity changed.
    pub status: BTreeSet<ObjectRef>,
    /// DNS names of `ExternalName` Services that resolve to something else.
    pub names: BTreeSet<Arc<str>>,
    /// Objects, files and kinds whose own problems may have changed.
    pub problems: BTreeSet<ObjectRef>,
    /// Kinds that can be read now and could not before, or the other way round.
    pub kinds: BTreeSet<Kind>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { objects, endpoints, status, names, problems, kinds } = self;
        objects.is_empty() && endpoints.is_empty() && status.is_empty() && names.is_empty() && problems.is_empty() && kinds.is_empty()
    }

    /// Adds what changed later.
    pub fn merge(&mut self, later: Self) {
        let Self { objects, endpoints, status, names, problems, kinds } = later;
        self.objects.extend(objects);
        self.endpoints.extend(endpoints);
        self.status.extend(status);
        self.names.extend(names);
        self.problems.extend(problems);
        self.kinds.extend(kinds);
    }

    /// Notes that an object changed as a whole.
    pub(super) fn touch(&mut self, reference: &ObjectRef) {
        self.problems.insert(reference.clone());
        if reference.kind != Kind::EndpointSlice {
            self.objects.insert(reference.clone());
        }
    }
}
