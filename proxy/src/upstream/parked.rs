//! Idle connections to one endpoint that serve one request at a time. The last used is taken first, so that those that are not needed
//! grow old.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::idle::Since;

/// What an idle connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It takes a request.
    Ready,
    /// The last exchange is not over yet: the endpoint answered before it had the whole request.
    Busy,
    /// It was closed.
    Closed,
}

/// How long a connection has been idle.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// When it became so.
    since: Cell<Since>,
    /// How many sweeps ago.
    sweeps: Cell<u32>,
}

impl Idle {
    /// Notes that a request is on it.
    pub(super) fn used(&self) {
        self.sweeps.set(0);
    }

    /// Counts a sweep; returns whether there were more than so many.
    pub(super) fn outlasts(&self, most: u32) -> bool {
        self.sweeps.set(self.sweeps.get() + 1);
        self.sweeps.get() > most
    }
}

/// A connection that can be idle.
pub(super) trait Parks {
    fn condition(&self) -> Condition;

    fn idle(&self) -> &Idle;

    /// Closes it at once; one that is only dropped may have something to do still.
    fn close(&self);
}

/// The idle connections of one kind.
#[derive(Debug)]
pub(super) struct Parked<C>(RefCell<Vec<Rc<C>>>);

impl<C> Default for Parked<C> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<C: Parks> Parked<C> {
    /// Takes one that is ready.
    pub(super) fn take(&self) -> Option<Rc<C>> {
        let mut idle = self.0.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            match idle.get(at).map(|connection| connection.condition()) {
                Some(Condition::Ready) => return Some(idle.remove(at)),
                Some(Condition::Closed) => drop(idle.remove(at)),
                Some(Condition::Busy) | None => {}
            }
        }
        None
    }

    /// Puts one there that has served its request.
    pub(super) fn put(&self, connection: Rc<C>, since: Since) {
        connection.idle().since.set(since);
        self.0.borrow_mut().push(connection);
    }

    /// Closes those that were closed or are older than so many sweeps.
    pub(super) fn sweep(&self, most: u32) {
        self.close(|connection| connection.condition() == Condition::Closed || connection.idle().outlasts(most));
    }

    /// Closes those that are idle since before this.
    pub(super) fn close_before(&self, first: Since) {
        self.close(|connection| connection.idle().since.get() < first);
    }

    /// Closes those that have to go, also those whose endpoint does not take the rest of a request.
    fn close(&self, mut has_to_go: impl FnMut(&C) -> bool) {
        self.0.borrow_mut().retain(|connection| {
            let goes = has_to_go(connection);
            if goes {
                connection.close();
            }
            !goes
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Adds since when each is idle.
    pub(super) fn since(&self, all: &mut Vec<Since>) {
        all.extend(self.0.borrow().iter().map(|connection| connection.idle().since.get()));
    }
}
