//! Per-backend state: endpoints, balancing, connections and pools. It survives swaps of the table.

mod balance;
mod connect;
mod dial;
mod endpoint;
mod http1;
mod http2;
mod pool;
mod registry;

pub use balance::Round;
pub use connect::{Connector, Stream, Version, Wanted};
pub use endpoint::{Endpoint, EndpointAddress, EndpointSet, InFlight};
pub use pool::{Channel, EndpointPool, Pools, Unanswered};
pub use registry::{Slot, Slots, Upstream, UpstreamKey, Upstreams};
