//! Workers, sockets, TLS, connections, drain; and the publisher of tables.
//!
//! ```text
//! Bound ── start ──> Running ── drain ──> (end)
//!                       │
//!   Publisher ── wakes ─┼─> worker 0..N: a thread and a runtime each ── accept ─> handshake ─> http ─> forward
//!                       └─> keeper: binds and closes sockets, frees old tables
//! ```
//!
//! Connections belong to one worker from their first byte to their last. What workers share is in `shared`.

mod accept;
mod activity;
mod ahead;
mod connections;
mod conversation;
mod handshake;
mod held;
mod http;
mod keeper;
pub mod proxy_header;
mod publisher;
mod report;
mod shared;
mod socket;
mod stopwatch;
mod stream;
mod worker;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub use publisher::Publisher;
use shared::{Phase, Shared};
use socket::ListenerSockets;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use crate::drain::Drain;
use crate::settings::Settings;
use crate::state::State;
use crate::table::Table;

/// How long before a drain's end the last tunnel is told to close, as a part of the drain's maximum, so that it can still say goodbye.
const LAST_TUNNEL: f64 = 0.1;
/// How often tunnels are told to close, a few at a time where there are many.
const TUNNEL_TICK: Duration = Duration::from_millis(50);
/// How long a worker that failed waits before it starts anew.
const RESTART: Duration = Duration::from_millis(100);

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
    sockets: Vec<ListenerSockets>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
}

impl Bound {
    /// Binds the listeners of a table. An address that another socket listens on already is refused, also where the system would let
    /// the two share it. `[::]` takes IPv4 connections too.
    ///
    /// # Errors
    /// One of them cannot be bound; none stays open.
    pub fn bind(settings: Settings, table: &Table) -> Result<Self, BindError> {
        let bind = |listener| ListenerSockets::bind(listener, settings.workers.max(1));
        let sockets = table.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = sockets.iter().map(named_address).collect();
        Ok(Self { settings, sockets, addresses })
    }

    /// Returns each listener's name with the address that it got.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Starts the workers on this first table, and returns when they accept.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start(self, table: Table, state: Arc<State>) -> std::io::Result<Running> {
        let Self { settings, sockets, addresses } = self;
        let table = publisher::first(table);
        let shared = Arc::new(Shared::new(settings, Arc::clone(&table), state, sockets));
        let (published, publications) = mpsc::channel();
        // The keeper compares the first table with the sockets at once.
        let _ = published.send(());
        let woken = Arc::clone(&shared);
        let swapped = move || {
            woken.wake_all();
            let _ = published.send(());
        };
        let publisher = Arc::new(Publisher::of(table, Box::new(swapped)));
        let (ended, all_ended) = unbounded_channel();
        // Dropped on an early return, it ends the workers that were started.
        let running = Running { publisher, shared, addresses, all_ended };
        keeper::start(Arc::clone(&running.shared), Arc::downgrade(&running.publisher), publications)?;
        let (ready, all_ready) = mpsc::channel();
        for id in 0..running.shared.workers() {
            start_worker(id, Arc::clone(&running.shared), ready.clone(), ended.clone())?;
        }
        drop(ready);
        all_ready.iter().collect::<std::io::Result<()>>()?;
        Ok(running)
    }
}

fn named_address(bound: &ListenerSockets) -> (Arc<str>, SocketAddr) {
    (Arc::clone(&bound.listener.name), bound.listener.address)
}

/// Starts a worker's thread. Should the worker itself panic, it starts anew on the same sockets.
fn start_worker(
    id: usize,
    shared: Arc<Shared>,
    ready: mpsc::Sender<std::io::Result<()>>,
    ended: UnboundedSender<Infallible>,
) -> std::io::Result<()> {
    let work = move || {
        // Taken by the first who has something to say: the starter waits until all senders are gone.
        let ready = Cell::new(Some(ready));
        let tell = |started: std::io::Result<()>| match (ready.take(), started) {
            (Some(ready), started) => drop(ready.send(started)),
            (None, Ok(())) => {}
            (None, Err(error)) => tracing::error!(worker = id, %error, "a worker cannot start anew"),
        };
        loop {
            match catch_unwind(AssertUnwindSafe(|| worker::run(id, &shared, || tell(Ok(()))))) {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tell(Err(error)),
                Err(_) => tracing::error!(worker = id, "a worker panicked and starts anew; its connections are lost"),
            }
            if shared.phase() == Phase::Cut {
                break;
            }
            std::thread::sleep(RESTART);
        }
        drop(ended);
    };
    std::thread::Builder::new().name(format!("tidegate-{id}")).spawn(work)?;
    Ok(())
}

/// A server that serves. Dropped without [`Running::drain`], or in the middle of it, it ends at once: connections are cut.
#[derive(Debug)]
pub struct Running {
    publisher: Arc<Publisher>,
    shared: Arc<Shared>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    all_ended: UnboundedReceiver<Infallible>,
}

impl Running {
    /// Returns where tables are published to.
    #[must_use]
    pub fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }

    /// Returns each listener of the start with the address that it got.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Returns each listener that is bound now, with its address: sockets follow the table a moment after its publication.
    #[must_use]
    pub fn listening(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.shared.sockets().iter().map(named_address).collect()
    }

    /// Returns what tells whether the drain has begun and how many tunnels are open; it outlives this value.
    #[must_use]
    pub fn draining(&self) -> Drain {
        self.shared.drain.clone()
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.drain.has_begun()
    }

    /// Returns the number of connections of clients, tunnels included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.all_connections()
    }

    /// Returns the number of connections of each worker.
    #[must_use]
    pub fn connections_of_workers(&self) -> Vec<usize> {
        (0..self.shared.workers()).map(|worker| self.shared.connections(worker)).collect()
    }

    /// Ends serving in an orderly way, and returns when the last worker has ended.
    ///
    /// For `min` connections are still accepted, while HTTP/1 clients are told to close after their response and HTTP/2 clients to go
    /// away. Then sockets close (what waits to be accepted is served), idle connections end, and tunnels are told to close one after
    /// another. What is left `max` after the beginning is cut. Dropping the future cuts everything at once; so does a `max` of zero.
    ///
    /// It may be awaited on any runtime with time enabled.
    pub async fn drain(mut self, min: Duration, max: Duration) {
        let begin = Instant::now();
        let (min, end) = (min.min(max), begin + max);
        self.shared.advance(Phase::Draining);
        sleep_until(begin + min).await;
        self.shared.advance(Phase::Closing);
        let drain = self.shared.drain.clone();
        tokio::select! {
            () = ended(&mut self.all_ended) => return,
            () = sleep_until(end) => {}
            never = close_tunnels(&drain, end - max.mul_f64(LAST_TUNNEL).min(max - min)) => match never {},
        }
        tracing::warn!(connections = self.connections(), "the drain's time is over; connections are cut");
        self.shared.advance(Phase::Cut);
        ended(&mut self.all_ended).await;
    }
}

/// Waits until the last worker has ended.
async fn ended(workers: &mut UnboundedReceiver<Infallible>) {
    // Nothing is ever sent: the channel closes when the last sender is dropped.
    if let Some(never) = workers.recv().await {
        match never {}
    }
}

/// Tells tunnels to close, one after another and evenly until `end`.
async fn close_tunnels(drain: &Drain, end: Instant) -> Infallible {
    let mut due = 0.0;
    loop {
        tokio::time::sleep(TUNNEL_TICK).await;
        let left = end.saturating_duration_since(Instant::now()) + TUNNEL_TICK;
        due += f64::from(u32::try_from(drain.untold_tunnels()).unwrap_or(u32::MAX)) * TUNNEL_TICK.as_secs_f64() / left.as_secs_f64();
        while due >= 1.0 && drain.close_one_tunnel() {
            due -= 1.0;
        }
        due = due.min(1.0);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.advance(Phase::Cut);
    }
}
