//! Where objects come from: a cluster's API server, or a directory of manifests. Both speak [`crate::object::SourceEvent`].

mod body;
pub mod cluster;
pub mod debounce;
pub mod directory;
pub mod follow;
pub mod manifest;
pub mod yaml;
