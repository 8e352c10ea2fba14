//! Time as a worker's sweeps see it: without a timer, and without reading a clock.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A time measured in sweeps. It begins with the first sweep after its start, so that no limit is reached early.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// Milliseconds, or [`Stopwatch::STARTED`].
    ms: AtomicU32,
}

impl Stopwatch {
    /// Just started: no sweep came by yet.
    const STARTED: u32 = u32::MAX;

    /// Starts one.
    pub(super) fn new() -> Self {
        Self { ms: AtomicU32::new(Self::STARTED) }
    }

    /// Starts it anew.
    pub(super) fn restart(&self) {
        self.ms.store(Self::STARTED, Relaxed);
    }

    /// Takes note of a sweep, this much after the one before.
    pub(super) fn sweep(&self, passed: Duration) {
        let passed = u32::try_from(passed.as_millis()).unwrap_or(u32::MAX);
        let ms = self.ms.load(Relaxed);
        self.ms.store(if ms == Self::STARTED { 0 } else { ms.saturating_add(passed).min(Self::STARTED - 1) }, Relaxed);
    }

    /// Whether this much has passed.
    pub(super) fn reached(&self, limit: Duration) -> bool {
        let ms = self.ms.load(Relaxed);
        ms != Self::STARTED && u128::from(ms) >= limit.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_is_reached_between_itself_and_one_sweep_later() {
        let watch = Stopwatch::new();
        assert!(!watch.reached(Duration::ZERO), "no sweep came by");
        // The first may come at once.
        for _ in 0..3 {
            watch.sweep(SECOND);
            assert!(!watch.reached(3 * SECOND));
        }
        watch.sweep(SECOND);
        assert!(watch.reached(3 * SECOND));
        watch.restart();
        assert!(!watch.reached(3 * SECOND));
    }

    #[test]
    fn it_stands_still_at_its_end() {
        let watch = Stopwatch::new();
        for _ in 0..4 {
            watch.sweep(Duration::MAX);
        }
        assert!(watch.reached(Duration::from_millis(u64::from(u32::MAX) - 1)));
    }
}
