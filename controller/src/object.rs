//! Objects as sources deliver them: a reference, where it came from, and the parsed body or why it has none.

mod field_lines;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use field_lines::FieldLines;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use tidegate_crds::ClassParameters;
use tidegate_proxy::model::Origin;

use crate::diagnostic::Code;

/// The kinds of objects that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// `networking.k8s.io/v1`.
    IngressClass,
    /// `tidegate.dev/v1alpha1`.
    ClassParameters,
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `v1`.
    Service,
    /// `discovery.k8s.io/v1`.
    EndpointSlice,
    /// `v1`.
    Secret,
    /// A file that is not made of objects; only diagnostics name it.
    File,
}

impl Kind {
    /// Every kind that a source delivers, in the order in which they are best applied.
    pub const ALL: &'static [Self] =
        &[Self::IngressClass, Self::ClassParameters, Self::Secret, Self::Service, Self::EndpointSlice, Self::Ingress];

    /// Returns the kind as manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IngressClass => "IngressClass",
            Self::ClassParameters => "ClassParameters",
            Self::Ingress => "Ingress",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::File => "File",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of an object. Ordered by kind, namespace, name. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ObjectRef {
    /// What it is.
    pub kind: Kind,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Its name; of a [`Kind::File`], its path.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// Returns the object as tables name where their parts came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        thread_local! {
            static KINDS: BTreeMap<Kind, Arc<str>> = Kind::ALL.iter().map(|kind| (*kind, kind.as_str().into())).collect();
        }
        let kind = KINDS.with(|kinds| kinds.get(&self.kind).cloned()).unwrap_or_else(|| self.kind.as_str().into());
        Origin { kind, namespace: Arc::clone(&self.namespace), name: Arc::clone(&self.name) }
    }

    /// Makes a reference.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Where an object was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Provenance {
    /// From the API server.
    Cluster {
        /// Its UID, which Events name; empty where it has none.
        uid: Arc<str>,
    },
    /// From a file.
    File {
        /// The file.
        path: Arc<PathBuf>,
        /// Its place among the objects of the file, from 0.
        position: usize,
        /// The line that the object starts on, from 1.
        line: usize,
        /// Lines of its fields, `spec.rules[0].host` style, for diagnostics.
        #[serde(skip)]
        fields: Arc<FieldLines>,
    },
}

impl Provenance {
    /// Returns the object's UID, if it has one.
    #[must_use]
    pub fn uid(&self) -> Option<Arc<str>> {
        let Self::Cluster { uid } = self else { return None };
        Some(Arc::clone(uid)).filter(|uid| !uid.is_empty())
    }

    /// Returns where a field stands, as `(file, line)`: of one that is not written, its nearest parent's line counts. `None` for an
    /// object from a cluster.
    #[must_use]
    pub fn place_of(&self, field: Option<&str>) -> Option<(&std::path::Path, usize)> {
        let Self::File { path, position: _, line, fields } = self else { return None };
        let mut rest = field.unwrap_or_default();
        while !rest.is_empty() {
            if let Some(found) = fields.get(*line, rest) {
                return Some((path, found));
            }
            rest = rest.rfind(['.', '[']).and_then(|end| rest.get(..end)).unwrap_or_default();
        }
        Some((path, *line))
    }
}

/// An object that a source saw.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its name.
    pub reference: ObjectRef,
    /// Where it was read.
    pub provenance: Provenance,
    /// Its content, or why it cannot be read as its kind: then it costs itself and nothing else.
    pub body: Result<Body, String>,
}

/// An object's content, by kind.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum Body {
    IngressClass(Arc<IngressClass>),
    ClassParameters(Arc<ClassParameters>),
    Ingress(Arc<Ingress>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Secret(SecretBody),
}

/// A Secret. `Debug` shows the names of its keys alone.
#[derive(Clone)]
pub struct SecretBody(pub Arc<Secret>);

impl fmt::Debug for SecretBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.0.data.iter().flatten().map(|(key, _)| key).collect();
        f.debug_struct("Secret").field("name", &self.0.metadata.name).field("keys", &keys).finish_non_exhaustive()
    }
}

/// What a source reports, in order.
#[derive(Debug)]
pub enum SourceEvent {
    /// An object is there, or has changed.
    Apply(Box<Object>),
    /// An object is gone.
    Delete(ObjectRef),
    /// All objects of a kind, in one namespace or everywhere (`None`): what is not among them is gone. The first of a kind makes it synced.
    Replace {
        /// The kind.
        kind: Kind,
        /// The namespace that was listed; `None` is all.
        namespace: Option<Arc<str>>,
        /// All of them.
        objects: Vec<Object>,
    },
    /// A kind cannot be read (403, 404). The reason is a diagnostic, objects that are known stay, and an `IngressClass` or
    /// `ClassParameters` that cannot be read counts as synced.
    Unavailable {
        /// The kind.
        kind: Kind,
        /// Why.
        reason: String,
    },
    /// Diagnostics about a file as such (it is not YAML, a document has no kind ...); they replace the file's earlier ones.
    File {
        /// The file, as [`Kind::File`].
        file: ObjectRef,
        /// What is wrong with it; empty when all is well.
        problems: Vec<crate::diagnostic::Diagnostic>,
    },
    /// What the DNS name of an `ExternalName` Service resolves to now; asked for with [`crate::reconcile::Outcome::external_names`].
    Resolved {
        /// The name, as the Service writes it.
        name: Arc<str>,
        /// Its addresses that may be reached. A failed look-up repeats the last good ones beside its problem.
        addresses: Vec<std::net::IpAddr>,
        /// What is wrong with the name ([`Code::UnresolvedExternalName`] or [`Code::RefusedExternalName`]), in one sentence.
        problem: Option<(Code, String)>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_written_stands_where_its_parent_does() {
        let lines = [("metadata.annotations[tidegate.dev/x]", 9), ("spec", 2), ("spec.rules[0]", 4)];
        let fields = Arc::new(FieldLines::new(1, lines.into_iter()));
        let provenance = Provenance::File { path: Arc::new("a.yaml".into()), position: 0, line: 1, fields };
        for (field, line) in [
            (Some("spec.rules[0].host"), 4),
            (Some("spec.rules[1].host"), 2),
            (Some("metadata.annotations[tidegate.dev/x]"), 9),
            (Some("status"), 1),
            (None, 1),
        ] {
            assert_eq!(provenance.place_of(field).map(|(_, line)| line), Some(line), "{field:?}");
        }
        assert_eq!(Provenance::Cluster { uid: Arc::default() }.place_of(None), None);
    }
}
