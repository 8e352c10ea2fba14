//! Swaps tables in, and sees to it that the old ones go.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::table::Table;

/// The place that tables are published to.
///
/// A table that was replaced is kept until nothing else holds it, so that the last one to let go of it, and to pay for the freeing
/// of all its hosts, is never a worker.
pub struct Publisher {
    table: Arc<ArcSwap<Table>>,
    /// Tables that were replaced. Its lock also makes publications one after another.
    retired: Mutex<Vec<Arc<Table>>>,
    /// Called after every swap.
    swapped: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("table", &self.table.load()).field("retired", &self.retired().len()).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Starts with this table as generation 1, and nobody who serves it.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self::of(first(table), Box::new(|| ()))
    }

    /// Publishes to this place; `swapped` is called after every swap.
    pub(super) fn of(table: Arc<ArcSwap<Table>>, swapped: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { table, retired: Mutex::default(), swapped }
    }

    /// Publishes a table, wakes every worker, and returns the table's generation. Requests that begin after it see this table;
    /// those in flight finish on the route that they hold.
    pub fn publish(&self, mut table: Table) -> u64 {
        let mut retired = self.retired();
        let generation = self.table.load().generation + 1;
        table.generation = generation;
        retired.push(self.table.swap(Arc::new(table)));
        drop(retired);
        self.free_retired();
        (self.swapped)();
        generation
    }

    /// Returns the table as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Frees the tables that nothing else holds any more, and returns how many remain.
    ///
    /// Nobody can come by a retired table anew, so that one with a single owner stays so.
    pub(super) fn free_retired(&self) -> usize {
        let mut retired = self.retired();
        let (unused, held): (Vec<_>, Vec<_>) = retired.drain(..).partition(|table| Arc::strong_count(table) == 1);
        *retired = held;
        let remaining = retired.len();
        drop(retired);
        drop(unused);
        remaining
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<Table>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the place of a first table, generation 1.
pub(super) fn first(mut table: Table) -> Arc<ArcSwap<Table>> {
    table.generation = 1;
    Arc::new(ArcSwap::from_pointee(table))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::CidrSet;

    fn table() -> Table {
        Table { generation: 0, listeners: Vec::new(), trusted_proxies: CidrSet::default() }
    }

    #[test]
    fn each_publication_counts_one_generation_and_wakes() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        let publisher = Publisher::of(
            first(table()),
            Box::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
        );
        assert_eq!(publisher.current().generation, 1);
        assert_eq!(publisher.publish(table()), 2);
        assert_eq!(publisher.publish(table()), 3);
        assert_eq!((publisher.current().generation, wakes.load(Ordering::Relaxed)), (3, 2));
    }

    #[test]
    fn a_retired_table_is_kept_while_someone_holds_it() {
        let publisher = Publisher::new(table());
        let held = publisher.current();
        let weak = Arc::downgrade(&held);
        publisher.publish(table());
        publisher.publish(table());
        assert_eq!(publisher.free_retired(), 1);
        drop(held);
        assert!(weak.upgrade().is_some(), "the last owner is the publisher, not the reader");
        assert_eq!(publisher.free_retired(), 0);
        assert!(weak.upgrade().is_none());
    }
}
