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
//!
//! # Example
//!
//! A server on a port of the system's choice, whose only route says that nothing is there yet:
//!
//! ```
//! use std::{io::Write, net::TcpStream, sync::Arc, time::Duration};
//! use tidegate_proxy::{error::Reason, model, server::Bound, settings::Settings, state::State, table};
//!
//! let route = table::Route {
//!     origin: Arc::new(model::Origin::new("Example", "", "docs")),
//!     host: model::HostMatch::Any,
//!     path: None,
//!     conditions: model::Conditions::default(),
//!     compatibility: model::Compatibility::Native,
//!     filters: Box::default(),
//!     backend: table::Backend::Unavailable(Reason::NoEndpoints),
//!     series: Arc::default(),
//! };
//! let listener = table::Listener {
//!     name: "http".into(),
//!     address: "127.0.0.1:0".parse()?,
//!     tls: None,
//!     public_port: None,
//!     public_https_port: None,
//!     proxy_protocol: model::CidrSet::default(),
//!     limits: Arc::default(),
//!     hosts: model::HostMap::default(),
//!     fallback: Some(Arc::new(route)),
//! };
//! let table = table::Table { generation: 0, listeners: vec![listener], trusted_proxies: model::CidrSet::default() };
//! let bound = Bound::bind(Settings::default(), &table)?;
//! let (_, address) = bound.addresses()[0].clone();
//! let running = bound.start(table, Arc::new(State::default()))?;
//!
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")?;
//! assert!(std::io::read_to_string(client)?.starts_with("HTTP/1.1 503 "));
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! runtime.block_on(running.drain(Duration::ZERO, Duration::from_secs(5)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
