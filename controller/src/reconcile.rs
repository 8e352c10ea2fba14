//! The loop: events in, tables out, and what is told to those who tell it back.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::object::ObjectRef;

/// What changed for the outside world with one generation. Consumers (status, Events, logs, metrics) work on these deltas alone.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The generation that serves now.
    pub generation: u64,
    /// Findings that are new.
    pub raised: Arc<[Diagnostic]>,
    /// Findings that no longer hold.
    pub cleared: Arc<[Diagnostic]>,
    /// Ingresses that are ours and whose routes serve since this generation, new or changed.
    pub served: Arc<[ServedIngress]>,
    /// Ingresses that were ours and are not any more, though they may still exist: their status is let go.
    pub let_go: Arc<[ObjectRef]>,
    /// All DNS names of `ExternalName` Services that routes need resolved, sorted; `None` where they have not changed.
    pub external_names: Option<Arc<[Arc<str>]>>,
}

/// An Ingress of ours that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedIngress {
    /// Its name.
    pub reference: ObjectRef,
    /// Its UID, for Events; empty from a directory.
    pub uid: Arc<str>,
    /// The addresses (IP or name) that its status carries now.
    pub addresses: Arc<[String]>,
}
