//! Tidegate's data plane: a reverse proxy that serves an immutable routing table.
//!
//! It knows nothing of Kubernetes. Whoever drives it builds a [`table::Table`], hands it to a [`server::Publisher`], and changes
//! what moves faster than routes (endpoints) through [`state::State`].
//!
//! A file uses only what stands above it in this list:
//!
//! | room | what it is for |
//! |---|---|
//! | [`error`] | why a request was not served, and the status and stable reason that follow |
//! | [`settings`] | what only flags can say |
//! | [`model`] | the nouns: hosts, paths, conditions, endpoints, certificates, origins |
//! | [`observe`] | metrics and the access-log record |
//! | [`clock`] | the time of one worker: cheap deadlines, the `Date` header |
//! | [`body`] | the one body type that travels through the proxy |
//! | [`upstream`] | per-backend state: endpoints, balancing, connections, pools |
//! | [`filter`] | what a route does to a request before it is forwarded |
//! | [`table`] | the routing table and its builder |
//! | [`state`] | what survives a swap of tables |
//! | [`drain`] | whether the process still wants to serve, and its open tunnels |
//! | [`forward`] | the life of one request |
//! | [`server`] | workers, sockets, TLS, connections, drain, the publisher |

pub mod body;
pub mod clock;
pub mod drain;
pub mod error;
pub mod filter;
pub mod forward;
pub mod model;
pub mod observe;
pub mod server;
pub mod settings;
pub mod state;
pub mod table;
pub mod upstream;
