//! Routes: what is done with a request that a rule takes.

use std::sync::Arc;

use crate::error::Reason;
use crate::filter::Filter;
use crate::model::{Compatibility, Conditions, HostMatch, Origin, PathMatch, Timeouts};
use crate::observe::RouteSeries;
use crate::upstream::Upstream;

/// One rule's path, compiled. What every request asks for stands first, side by side: with ten thousand routes each line of the
/// processor's cache that a request needs is one that others have pushed out.
#[derive(Debug)]
#[repr(C)]
pub struct Route {
    /// What a request must have besides; empty takes all.
    pub conditions: Conditions,
    /// What counts its requests: [`Metrics::route`](crate::observe::Metrics::route) gives it, so that a route built anew goes on
    /// counting where its predecessor was. `Arc::default()` counts nowhere.
    pub series: Arc<RouteSeries>,
    /// Steps before the backend, sorted by [`crate::filter::Stage`].
    pub filters: Box<[Filter]>,
    /// What serves the request.
    pub backend: Backend,
    /// Whose conventions hold.
    pub compatibility: Compatibility,
    /// The object that asked for it.
    pub origin: Arc<Origin>,
    /// The host of the rule, for labels and logs.
    pub host: HostMatch,
    /// The path of the rule; `None` for a default backend.
    pub path: Option<PathMatch>,
}

/// What serves a request.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Endpoints.
    Forward(Forward),
    /// Nothing can: answered with this reason.
    Unavailable(Reason),
}

/// Where and how a request is forwarded.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The backend's shared state.
    pub upstream: Arc<Upstream>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// Namespace, name and port of the Service in the field's terms, for labels and logs.
    pub service: Arc<Origin>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_asks_for_lies_in_two_lines_of_the_cache() {
        // Behind the two counts of its `Arc`.
        assert!(16 + std::mem::offset_of!(Route, origin) <= 128, "{}", std::mem::offset_of!(Route, origin));
    }
}
