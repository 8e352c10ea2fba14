//! The end of serving, as seen by those who serve: whether it has begun, and when a long-lived tunnel must close.
//!
//! A tunnel (a WebSocket, or anything else that a connection was upgraded to) has no end of its own, so that waiting for it would
//! take a drain's whole maximum, and cutting all at once would bring every client back in the same second. Each is told on its own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Whether the process still wants to serve, and its open tunnels. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    begun: AtomicBool,
    next: AtomicU64,
    /// By the order of opening.
    tunnels: Mutex<BTreeMap<u64, Arc<Signal>>>,
}

#[derive(Debug, Default)]
struct Signal {
    closing: AtomicBool,
    waker: AtomicWaker,
}

impl Shared {
    fn tunnels(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Signal>>> {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drain {
    /// Whether the drain has begun: responses then ask the client to close or to go elsewhere.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Begins the drain; it never ends but with the process.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// Registers a tunnel that has just opened. It counts until the handle is dropped.
    #[must_use]
    pub fn tunnel(&self) -> Tunnel {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let signal = Arc::new(Signal::default());
        self.0.tunnels().insert(number, Arc::clone(&signal));
        Tunnel { drain: self.clone(), number, signal }
    }

    /// Returns how many tunnels are open.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.0.tunnels().len()
    }

    /// Returns how many open tunnels were not told to close yet.
    #[must_use]
    pub fn untold_tunnels(&self) -> usize {
        self.0.tunnels().values().filter(|signal| !signal.closing.load(Ordering::Acquire)).count()
    }

    /// Tells the oldest tunnel that was not told yet to close; returns whether there was one.
    pub fn close_one_tunnel(&self) -> bool {
        let oldest = self.0.tunnels().values().find(|signal| !signal.closing.load(Ordering::Acquire)).map(Arc::clone);
        oldest.is_some_and(|signal| {
            signal.closing.store(true, Ordering::Release);
            signal.waker.wake();
            true
        })
    }
}

/// An open tunnel. Whoever copies its bytes waits for [`Tunnel::closing`] beside them.
#[derive(Debug)]
pub struct Tunnel {
    drain: Drain,
    number: u64,
    signal: Arc<Signal>,
}

impl Tunnel {
    /// Waits until this tunnel should close: before the drain's end, at a moment of its own. A poll costs no lock. One task at a
    /// time may wait.
    pub async fn closing(&self) {
        poll_fn(|cx| {
            if self.signal.closing.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            self.signal.waker.register(cx.waker());
            if self.signal.closing.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.drain.0.tunnels().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn tunnels_are_told_one_after_another_oldest_first() {
        let drain = Drain::default();
        let (first, second) = (drain.tunnel(), drain.tunnel());
        assert!(first.closing().now_or_never().is_none());
        assert!(drain.close_one_tunnel());
        assert!(first.closing().now_or_never().is_some());
        assert!(second.closing().now_or_never().is_none());
        assert_eq!((drain.tunnels(), drain.untold_tunnels()), (2, 1));
        drop(first);
        assert_eq!(drain.tunnels(), 1);
        assert!(drain.close_one_tunnel());
        assert!(!drain.close_one_tunnel());
        assert!(second.closing().now_or_never().is_some());
    }

    #[test]
    fn clones_see_the_same_drain() {
        let drain = Drain::default();
        let clone = drain.clone();
        assert!(!clone.has_begun());
        drain.begin();
        assert!(clone.has_begun());
    }
}
