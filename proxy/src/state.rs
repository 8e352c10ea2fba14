//! What survives a swap of tables: behaviour, keyed by names that come from the table.

use crate::upstream::Upstreams;

/// The process's shared state.
#[derive(Debug, Default)]
pub struct State {
    /// Backends with their endpoints.
    pub upstreams: Upstreams,
}
