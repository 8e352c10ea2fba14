//! Where something in the table came from: opaque names for labels, logs and dumps.

use std::fmt;
use std::sync::Arc;

/// The object that a route, host or certificate came from. The data plane never interprets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// What kind of object it is, such as `Ingress`.
    pub kind: Arc<str>,
    /// The object's namespace; empty where it has none.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl Origin {
    /// Makes an origin.
    #[must_use]
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}
