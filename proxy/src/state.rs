//! What survives a swap of tables: behaviour, keyed by names that come from the table.

use std::sync::Arc;

use crate::observe::{Logger, Metrics};
use crate::upstream::Upstreams;

/// The process's shared state.
#[derive(Debug)]
pub struct State {
    /// Backends with their endpoints.
    pub upstreams: Upstreams,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The access log; each worker has its own end of it.
    pub log: Logger,
}

impl State {
    /// Makes the state of a process that counts into `metrics` and logs to `log`, without backends yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, log: Logger) -> Self {
        Self { upstreams: Upstreams::default(), metrics, log }
    }
}

impl Default for State {
    /// Makes a state whose metrics nobody reads and whose log is off: for tests.
    fn default() -> Self {
        let metrics = Arc::new(Metrics::default());
        Self::new(Arc::clone(&metrics), Logger::off(metrics))
    }
}
