//! What can be asked of the process over HTTP: its health and metrics, open to the cluster, and what it serves, open to the machine alone.
//!
//! Two servers, so that the address that is open to many has nothing but health and metrics. They answer `GET` and `HEAD`, change nothing, and
//! show no private key.

mod health;
mod readiness;
mod server;
mod view;

pub use health::Health;
pub use readiness::{Awaited, Readiness, Verdict};
pub use server::{Pages, Pieces, Reply, serve};
pub use view::View;
