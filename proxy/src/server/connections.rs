//! A worker's connections, as it looks at them from time to time.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::activity::Activity;
use super::shared::{Phase, Shared};
use crate::model::Limits;
use crate::observe::OpenConnection;

/// How often connections are looked at once serving ends: an idle one should not hold up the end.
const SWEEP_WHILE_ENDING: Duration = Duration::from_millis(50);

/// How many connections are looked at before others have their turn.
const SLICE: usize = 1024;

/// A worker's connections. What became of one is known at the next sweep, also by those who count.
#[derive(Debug, Default)]
pub(super) struct Connections {
    watched: RefCell<Vec<Watched>>,
    first: Notify,
}

#[derive(Debug)]
struct Watched {
    activity: Weak<Activity>,
    counted: OpenConnection,
}

impl Connections {
    /// Watches a connection until it ends.
    pub(super) fn watch(&self, activity: &Arc<Activity>, counted: OpenConnection) {
        let mut watched = self.watched.borrow_mut();
        if watched.is_empty() {
            self.first.notify_one();
        }
        watched.push(Watched { activity: Arc::downgrade(activity), counted });
    }

    /// Tells every connection that serving has come to this phase.
    pub(super) fn tell(&self, phase: Phase) {
        for activity in self.watched.borrow().iter().filter_map(|watched| watched.activity.upgrade()) {
            activity.judge(phase);
        }
    }

    /// Looks at all connections from time to time, as long as there are any.
    pub(super) async fn sweep(&self, shared: &Shared) {
        loop {
            if self.watched.borrow().is_empty() {
                self.first.notified().await;
            }
            let usual = {
                let table = shared.table.load();
                sweep_interval(table.listeners.iter().map(|listener| -> &Limits { &listener.limits }))
            };
            let interval = if shared.phase() == Phase::Serving { usual } else { usual.min(SWEEP_WHILE_ENDING) };
            tokio::time::sleep(interval).await;
            let phase = shared.phase();
            let mut next = 0;
            while self.sweep_slice(&mut next, interval, phase) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Looks at a few connections from the `next` on; returns whether there are more. A swap on removal keeps those that were not
    /// looked at behind `next`.
    fn sweep_slice(&self, next: &mut usize, interval: Duration, phase: Phase) -> bool {
        let mut watched = self.watched.borrow_mut();
        for _ in 0..SLICE {
            let Some(connection) = watched.get_mut(*next) else { return false };
            if let Some(activity) = connection.activity.upgrade() {
                activity.sweep(interval, phase);
                let (protocol, state) = activity.stands();
                connection.counted.enter(protocol, state);
                *next += 1;
            } else {
                watched.swap_remove(*next);
            }
        }
        true
    }
}

/// Returns how often to look, so that the shortest of these limits is met within an eighth of itself, and at most a second late.
pub(super) fn sweep_interval<'l>(limits: impl Iterator<Item = &'l Limits>) -> Duration {
    let shortest = limits.flat_map(|l| [l.header_timeout, l.keep_alive, l.h2_idle, l.write_timeout]).min();
    shortest.map_or(Duration::from_secs(1), |limit| (limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sweeps_are_an_eighth_of_the_shortest_limit_and_a_second_at_most() {
        assert_eq!(sweep_interval([].into_iter()), SECOND);
        assert_eq!(sweep_interval([Limits::default()].iter()), SECOND);
        let short = Limits { keep_alive: Duration::from_millis(400), ..Limits::default() };
        assert_eq!(sweep_interval([Limits::default(), short].iter()), Duration::from_millis(50));
    }
}
