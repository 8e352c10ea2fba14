//! Whether the process is ready for requests. It becomes so once, and ceases to be when it drains: trouble with the API server never takes a
//! process that serves out of the balancer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What must be done before the process is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// Every kind of object has been listed.
    Objects,
    /// The first table is built, its certificates loaded.
    Table,
    /// Every listener is bound, and workers accept.
    Listeners,
}

impl Awaited {
    /// All of it.
    pub const ALL: &'static [Self] = &[Self::Objects, Self::Table, Self::Listeners];

    fn as_str(self) -> &'static str {
        match self {
            Self::Objects => "objects to be listed",
            Self::Table => "the first table",
            Self::Listeners => "listeners",
        }
    }
}

/// The answer to whether the process is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Ready,
    /// Not yet: this is still to be done.
    Waiting(Vec<Awaited>),
    /// Not any more.
    Draining,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ok"),
            Self::Waiting(awaited) => {
                let names: Vec<_> = awaited.iter().map(|awaited| awaited.as_str()).collect();
                write!(f, "waiting for {}", names.join(", "))
            }
            Self::Draining => f.write_str("draining"),
        }
    }
}

/// The state of readiness. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    awaited: BTreeSet<Awaited>,
    draining: bool,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { awaited: Awaited::ALL.iter().copied().collect(), draining: false })))
    }
}

impl Readiness {
    /// Notes that something is done, for good.
    pub fn done(&self, what: Awaited) {
        self.lock().awaited.remove(&what);
    }

    /// Notes that the process drains, for good.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Returns whether the process is ready.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let state = self.lock();
        if state.draining {
            Verdict::Draining
        } else if state.awaited.is_empty() {
            Verdict::Ready
        } else {
            Verdict::Waiting(state.awaited.iter().copied().collect())
        }
    }

    /// Locks; each change is one step, so that a panic elsewhere leaves a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_comes_when_all_is_done_and_goes_only_with_a_drain() {
        let readiness = Readiness::default();
        assert_eq!(readiness.verdict().to_string(), "waiting for objects to be listed, the first table, listeners");
        for what in Awaited::ALL {
            assert_ne!(readiness.verdict(), Verdict::Ready);
            readiness.done(*what);
        }
        assert_eq!(readiness.verdict(), Verdict::Ready);
        readiness.drain();
        readiness.done(Awaited::Table);
        assert_eq!(readiness.verdict(), Verdict::Draining);
    }
}
