//! Connections of clients: how many were accepted, and what those that are open are doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::counter::{ByLabel, counter};
use super::exposition::{Exposition, Family, FamilyKind, Growth, Unit};
use super::label::{ConnectionProtocol, ConnectionState, Label};
use crate::model::Scheme;

pub(super) static CONNECTIONS: Family = Family {
    name: "tidegate_connections",
    kind: FamilyKind::Gauge,
    labels: &["protocol", "state"],
    unit: Unit::One,
    help: "Connections of clients that are open, by protocol and by what they are doing",
    series: Growth::Fixed(ConnectionProtocol::ALL.len() * ConnectionState::ALL.len()),
};
pub(super) static ACCEPTED: Family =
    counter("tidegate_connections_accepted_total", &["scheme"], Scheme::ALL.len(), "Connections of clients accepted");

/// What is counted of clients' connections.
#[derive(Debug)]
pub struct ClientConnections {
    accepted: ByLabel<Scheme>,
    /// By protocol, and by state within.
    open: Box<[AtomicI64]>,
}

impl ClientConnections {
    pub(super) fn new() -> Self {
        let pairs = ConnectionProtocol::ALL.len() * ConnectionState::ALL.len();
        Self { accepted: ByLabel::new(), open: (0..pairs).map(|_| AtomicI64::new(0)).collect() }
    }

    pub(super) fn write(&self, out: &mut Exposition) {
        let mut samples = out.family(&CONNECTIONS);
        for (protocol, state, count) in self.open() {
            samples.sample(&[protocol.text(), state.text()], count);
        }
        self.accepted.write(out, &ACCEPTED);
    }

    /// Returns the clients' connections that are open.
    pub fn open(&self) -> impl Iterator<Item = (ConnectionProtocol, ConnectionState, i64)> {
        let pairs = ConnectionProtocol::ALL.iter().flat_map(|p| ConnectionState::ALL.iter().map(|s| (*p, *s)));
        pairs.zip(&self.open).map(|((protocol, state), count)| (protocol, state, count.load(Ordering::Relaxed)))
    }

    /// Returns how many connections were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.total()
    }

    /// Counts an accepted connection in; the guard counts it out.
    #[must_use]
    pub fn accept(self: &Arc<Self>, scheme: Scheme) -> OpenConnection {
        self.accepted.inc(scheme);
        let at = (ConnectionProtocol::Unknown, ConnectionState::Handshake);
        self.change(at, 1);
        OpenConnection { connections: Arc::clone(self), at }
    }

    fn change(&self, at: (ConnectionProtocol, ConnectionState), change: i64) {
        let index = at.0.index() * ConnectionState::ALL.len() + at.1.index();
        if let Some(gauge) = self.open.get(index) {
            gauge.fetch_add(change, Ordering::Relaxed);
        }
    }
}

/// A client's connection, counted where it stands now until it drops.
#[derive(Debug)]
pub struct OpenConnection {
    connections: Arc<ClientConnections>,
    at: (ConnectionProtocol, ConnectionState),
}

impl OpenConnection {
    /// Counts the connection in another place.
    pub fn enter(&mut self, protocol: ConnectionProtocol, state: ConnectionState) {
        if self.at == (protocol, state) {
            return;
        }
        self.connections.change(self.at, -1);
        self.at = (protocol, state);
        self.connections.change(self.at, 1);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.change(self.at, -1);
    }
}

impl Label for Scheme {
    const ALL: &'static [Self] = &[Self::Http, Self::Https];

    fn text(self) -> &'static str {
        self.as_str()
    }

    fn index(self) -> usize {
        self as usize
    }
}
