//! The whole life of a request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Request, Response};

use crate::body::Body;
use crate::drain::Drain;
use crate::error::Reason;
use crate::model::Scheme;
use crate::settings::Settings;
use crate::state::State;
use crate::table::Table;

/// What is known of a client's connection; the same for all requests on it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The peer of the socket.
    pub peer: SocketAddr,
    /// The client: the peer, or what a PROXY header says of it. IPv4-mapped addresses are IPv4.
    pub client: SocketAddr,
    /// The port that the listener is bound to.
    pub local_port: u16,
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// The server name of the TLS handshake; `None` in clear text or without one.
    pub server_name: Option<Arc<str>>,
    /// The TLS version as logs write it, such as `TLSv1.3`.
    pub tls_version: Option<&'static str>,
}

impl Connection {
    /// Returns the client's address.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.client.ip()
    }
}

/// What one worker has of its own: the table as it last saw it, and its pools. Not shared between threads.
#[derive(Debug)]
pub struct Worker {
    /// Its number, from 0.
    pub id: usize,
    /// The place that tables are published to.
    pub table: Arc<ArcSwap<Table>>,
    /// Shared state.
    pub state: Arc<State>,
    /// What flags say.
    pub settings: Arc<Settings>,
    /// Whether serving ends; tunnels register here.
    pub drain: Drain,
}

impl Worker {
    /// Makes a worker's context, on the worker's own thread.
    #[must_use]
    pub fn new(id: usize, table: Arc<ArcSwap<Table>>, state: Arc<State>, settings: Arc<Settings>, drain: Drain) -> Self {
        Self { id, table, state, settings, drain }
    }

    /// Looks at the table anew after a swap, and clears pools of what is gone. Called when the publisher wakes the worker.
    pub fn refresh(&self) {}
}

/// Serves one request. It never fails: what goes wrong becomes an answer with a [`Reason`].
#[expect(clippy::unused_async, reason = "the seam; the life of a request is built behind it")]
pub async fn forward(worker: &Worker, connection: &Connection, request: Request<Body>) -> Response<Body> {
    let _ = (worker, connection, request);
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = Reason::NoHost.status();
    response
}
