//! Tidegate's control plane: turns Kubernetes objects into the routing table of [`tidegate_proxy`], and tells back what it did.
//!
//! ```text
//! source -> snapshot -> translate -> publisher (proxy)
//!                           |
//!                           +-> publish (status, events), admin, logs, metrics
//! ```

pub mod admin;
pub mod annotations;
pub mod app;
pub mod args;
pub mod cli;
pub mod diagnostic;
pub mod explain;
pub mod few;
#[cfg(test)]
mod generated;
pub mod metrics;
pub mod object;
pub mod policy;
pub mod publish;
pub mod reconcile;
pub mod resolver;
pub mod signal;
pub mod snapshot;
pub mod source;
pub mod texts;
pub mod translate;
