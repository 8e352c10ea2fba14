//! Clients and servers that nobody here wrote, with Tidegate between them: curl, and in Python http.client, httpx, websockets and grpcio.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

mod curl;
mod grpc;
mod http;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};

/// An address whose port the system chooses.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs a child process's work where it does not hold up the runtime.
fn wait_for<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    tokio::task::block_in_place(work)
}
