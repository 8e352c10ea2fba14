//! Per-backend state: endpoints, balancing, connections and pools. It survives swaps of the table.

mod endpoint;
mod registry;

pub use endpoint::{Endpoint, EndpointAddress, EndpointSet};
pub use registry::{Slot, Upstream, UpstreamKey, Upstreams};
