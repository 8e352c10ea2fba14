//! Per-backend state: endpoints, balancing, connections and pools. It survives swaps of the table.

mod balance;
mod bare;
mod channel;
mod connect;
mod dial;
mod endpoint;
mod http1;
mod http2;
mod idle;
mod parked;
mod pool;
mod registry;

pub use balance::Round;
pub use channel::{Channel, MoreFields, Unanswered};
pub use connect::{Connector, Stream, Version, Wanted};
pub use endpoint::{Endpoint, EndpointAddress, EndpointSet, InFlight};
pub use pool::{EndpointPool, Pools};
pub use registry::{Slot, Slots, Upstream, UpstreamKey, Upstreams};
