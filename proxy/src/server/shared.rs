//! What the workers and whoever directs them have in common.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::socket::{BoundListener, ListenerSockets};
use crate::drain::Drain;
use crate::settings::Settings;
use crate::state::State;
use crate::table::Table;

/// How far the end of serving has come. It only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// It has not begun.
    Serving,
    /// Connections are still accepted, but clients are asked to go elsewhere.
    Draining,
    /// Sockets close, idle connections end, requests in flight finish.
    Closing,
    /// Everything ends at once.
    Cut,
}

/// What the workers and whoever directs them have in common.
pub(super) struct Shared {
    /// What flags say.
    pub(super) settings: Arc<Settings>,
    /// The place that tables are published to.
    pub(super) table: Arc<ArcSwap<Table>>,
    /// What survives a swap of tables.
    pub(super) state: Arc<State>,
    /// What others in the process see of the end of serving.
    pub(super) drain: Drain,
    phase: AtomicU8,
    sockets: Mutex<Vec<ListenerSockets>>,
    workers: Box<[Mailbox]>,
    /// As many permits as there may be more connections.
    places: Arc<Semaphore>,
}

/// What one worker is told by others. It looks at the shared state anew whenever it is woken.
#[derive(Debug, Default)]
struct Mailbox {
    wake: Notify,
    /// Connections from workers above their share.
    handed: Mutex<Vec<Handed>>,
    /// Connections that it has or was handed.
    connections: AtomicUsize,
}

/// A connection that one worker accepted for another.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) tcp: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) listener: Arc<BoundListener>,
    pub(super) place: Place,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("phase", &self.phase()).field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(settings: Settings, table: Arc<ArcSwap<Table>>, state: Arc<State>, sockets: Vec<ListenerSockets>) -> Self {
        Self {
            table,
            state,
            drain: Drain::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            sockets: Mutex::new(sockets),
            workers: (0..settings.workers.max(1)).map(|_| Mailbox::default()).collect(),
            places: Arc::new(Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS))),
            settings: Arc::new(settings),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::SeqCst);
        [Phase::Serving, Phase::Draining, Phase::Closing].into_iter().find(|&known| known as u8 == phase).unwrap_or(Phase::Cut)
    }

    /// Goes on to this phase, unless a later one was reached already, and wakes everybody.
    pub(super) fn advance(&self, phase: Phase) {
        if phase >= Phase::Draining {
            self.drain.begin();
        }
        if self.phase.fetch_max(phase as u8, Ordering::SeqCst) < Phase::Closing as u8 && phase >= Phase::Closing {
            self.sockets().clear();
        }
        self.wake_all();
    }

    /// The number of workers.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Returns the sockets as they are now. Clones of what is not in there any more are to be closed.
    pub(super) fn sockets(&self) -> MutexGuard<'_, Vec<ListenerSockets>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every worker look at the shared state.
    pub(super) fn wake_all(&self) {
        for mailbox in &self.workers {
            mailbox.wake.notify_one();
        }
    }

    /// Has one worker look at the shared state.
    pub(super) fn wake(&self, worker: usize) {
        if let Some(mailbox) = self.workers.get(worker) {
            mailbox.wake.notify_one();
        }
    }

    /// Waits until the worker is woken; a wake from before the call counts.
    pub(super) async fn woken(&self, worker: usize) {
        match self.workers.get(worker) {
            Some(mailbox) => mailbox.wake.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the number of connections of one worker, those that it was handed included.
    pub(super) fn connections(&self, worker: usize) -> usize {
        self.workers.get(worker).map_or(0, |mailbox| mailbox.connections.load(Ordering::SeqCst))
    }

    /// Returns the number of connections of the process.
    pub(super) fn all_connections(&self) -> usize {
        self.workers.iter().map(|mailbox| mailbox.connections.load(Ordering::Relaxed)).sum()
    }

    /// Waits until the process may have one more connection.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Chooses who serves a connection that `worker` has accepted: itself, or the one with the fewest if it has too many.
    pub(super) fn place(self: &Arc<Self>, worker: usize, permit: OwnedSemaphorePermit) -> Place {
        let mut chosen = worker;
        if self.phase() < Phase::Closing
            && let Some((other, fewest)) = (0..self.workers()).map(|other| (other, self.connections(other))).min_by_key(|&(_, n)| n)
            && self.connections(worker) > fewest + (fewest / 8).max(2)
        {
            chosen = other;
        }
        let mut place = Place::take(self, chosen, permit);
        if chosen != worker && self.phase() >= Phase::Closing {
            // A worker ends when it is told to close and has no connection. This one may have looked before it was counted.
            place.move_to(worker);
        }
        place
    }

    /// Hands a connection to the worker that its place is at.
    pub(super) fn hand_over(&self, connection: Handed) {
        let worker = connection.place.worker;
        if let Some(mailbox) = self.workers.get(worker) {
            mailbox.handed.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            mailbox.wake.notify_one();
        }
    }

    /// Takes the connections that were handed to this worker.
    pub(super) fn take_handed(&self, worker: usize) -> Vec<Handed> {
        let mailbox = self.workers.get(worker);
        mailbox.map(|mailbox| std::mem::take(&mut *mailbox.handed.lock().unwrap_or_else(PoisonError::into_inner))).unwrap_or_default()
    }
}

/// A connection counted at its worker and in the process, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    worker: usize,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(shared: &Arc<Shared>, worker: usize, permit: OwnedSemaphorePermit) -> Self {
        let place = Self { shared: Arc::clone(shared), worker, _permit: permit };
        place.enter();
        place
    }

    /// Returns the worker that it is counted at.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    fn move_to(&mut self, worker: usize) {
        self.leave();
        self.worker = worker;
        self.enter();
    }

    fn enter(&self) {
        if let Some(mailbox) = self.shared.workers.get(self.worker) {
            mailbox.connections.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn leave(&self) {
        if let Some(mailbox) = self.shared.workers.get(self.worker) {
            mailbox.connections.fetch_sub(1, Ordering::SeqCst);
            if self.shared.phase() >= Phase::Closing {
                // It may have been the last that the worker waited for.
                mailbox.wake.notify_one();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::CidrSet;

    fn shared(workers: usize, max_connections: usize) -> Arc<Shared> {
        let table = Table { generation: 0, listeners: Vec::new(), trusted_proxies: CidrSet::default() };
        let settings = Settings { workers, max_connections, ..Settings::default() };
        Arc::new(Shared::new(settings, Arc::new(ArcSwap::from_pointee(table)), Arc::default(), Vec::new()))
    }

    fn permit(shared: &Shared) -> OwnedSemaphorePermit {
        Arc::clone(&shared.places).try_acquire_owned().unwrap()
    }

    #[test]
    fn connections_even_out_however_they_arrive() {
        for arrive in [|n: usize| n * n % 8, |n: usize| n % 3, |_: usize| 5] {
            let shared = shared(8, 1000);
            let places: Vec<_> = (0..200).map(|n| shared.place(arrive(n), permit(&shared))).collect();
            let counts: Vec<_> = (0..8).map(|worker| shared.connections(worker)).collect();
            assert!(counts.iter().all(|&count| (20..=31).contains(&count)), "{counts:?}");
            drop(places);
            assert_eq!(shared.all_connections(), 0);
        }
    }

    #[test]
    fn a_worker_hands_nothing_to_one_that_may_have_ended() {
        let shared = shared(2, 1000);
        shared.advance(Phase::Closing);
        let places: Vec<_> = (0..20).map(|_| shared.place(1, permit(&shared))).collect();
        assert!(places.iter().all(|place| place.worker() == 1));
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let shared = shared(1, 2);
        let mut places = vec![shared.place(0, permit(&shared)), shared.place(0, permit(&shared))];
        assert!(Arc::clone(&shared.places).try_acquire_owned().is_err());
        places.pop();
        places.push(shared.place(0, permit(&shared)));
        assert_eq!(shared.connections(0), 2);
    }

    #[test]
    fn phases_only_go_forward() {
        let shared = shared(1, 1);
        assert!(!shared.drain.has_begun());
        shared.advance(Phase::Closing);
        shared.advance(Phase::Draining);
        assert_eq!(shared.phase(), Phase::Closing);
        assert!(shared.drain.has_begun());
    }
}
