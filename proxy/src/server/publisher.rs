//! Swaps tables in, and sees to it that the old ones go.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::table::Table;

/// The place that tables are published to.
#[derive(Debug)]
pub struct Publisher {
    table: ArcSwap<Table>,
}

impl Publisher {
    /// Starts with this table as generation 1.
    #[must_use]
    pub fn new(mut table: Table) -> Self {
        table.generation = 1;
        Self { table: ArcSwap::from_pointee(table) }
    }

    /// Publishes a table and returns its generation.
    pub fn publish(&self, mut table: Table) -> u64 {
        let generation = self.table.load().generation + 1;
        table.generation = generation;
        self.table.store(Arc::new(table));
        generation
    }

    /// Returns the table as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<Table> {
        self.table.load_full()
    }
}
