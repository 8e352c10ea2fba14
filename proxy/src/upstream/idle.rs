//! How many idle connections a worker keeps in all its pools, and which of them go when there are too many.
//!
//! What counts is when a connection served last, whatever the endpoint: a busy endpoint may have as many as it needs, and many
//! endpoints that were asked once do not add up.

use std::cell::Cell;

/// The limit of one worker.
#[derive(Debug)]
pub(super) struct IdleLimit {
    most: usize,
    /// How many there are, at most: those that were closed count until the next look at all of them.
    kept: Cell<usize>,
    now: Cell<u64>,
}

/// When a connection became idle: the later, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Since(u64);

impl IdleLimit {
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Cell::new(0), now: Cell::new(0) }
    }

    /// Counts one in that becomes idle now.
    pub(super) fn enter(&self) -> Since {
        self.kept.set(self.kept.get() + 1);
        self.now.set(self.now.get() + 1);
        Since(self.now.get())
    }

    /// Counts one out.
    pub(super) fn leave(&self) {
        self.kept.set(self.kept.get().saturating_sub(1));
    }

    /// Whether there may be too many.
    pub(super) fn is_exceeded(&self) -> bool {
        self.kept.get() > self.most
    }

    /// Takes note of all that there are; returns since when those are idle that may stay, if some have to go: a quarter then goes at once,
    /// so that the next look is far off.
    pub(super) fn settle(&self, mut all: Vec<Since>) -> Option<Since> {
        self.kept.set(all.len());
        if all.len() <= self.most {
            return None;
        }
        let stay = self.most - self.most / 4;
        self.kept.set(stay);
        let first = all.len().checked_sub(stay.max(1))?;
        let (_, oldest, _) = all.select_nth_unstable(first);
        Some(*oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_idle_for_longest_go_and_room_is_made_for_more() {
        let limit = IdleLimit::new(8);
        let all: Vec<_> = (0..9).map(|_| limit.enter()).collect();
        assert!(limit.is_exceeded());
        assert_eq!(limit.settle(all.clone()), all.get(3).copied(), "six of nine stay");
        assert!(!limit.is_exceeded());
        limit.enter();
        limit.enter();
        assert!(!limit.is_exceeded());
        limit.enter();
        assert!(limit.is_exceeded());
        limit.leave();
        assert!(!limit.is_exceeded());
        assert_eq!(limit.settle(Vec::new()), None, "some may have been closed meanwhile");
    }
}
