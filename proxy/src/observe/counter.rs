//! Counters of the process as a whole, by the values of a label.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Exposition, Family, FamilyKind, Growth, Unit};
use super::label::Label;

/// One counter for each value of a label, at hand without a look-up.
#[derive(Debug)]
pub(super) struct ByLabel<L> {
    counters: Box<[AtomicU64]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label> ByLabel<L> {
    pub(super) fn new() -> Self {
        Self { counters: L::ALL.iter().map(|_| AtomicU64::new(0)).collect(), label: PhantomData }
    }

    /// Counts one.
    pub(super) fn inc(&self, value: L) {
        if let Some(counter) = self.counters.get(value.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns what was counted of all values together.
    pub(super) fn total(&self) -> u64 {
        self.counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn write(&self, out: &mut Exposition, family: &'static Family) {
        let mut samples = out.family(family);
        for (value, counter) in L::ALL.iter().zip(&self.counters) {
            samples.sample(&[value.text()], counter.load(Ordering::Relaxed));
        }
    }
}

/// Describes a family of counters.
pub(super) const fn counter(name: &'static str, labels: &'static [&'static str], series: usize, help: &'static str) -> Family {
    Family { name, kind: FamilyKind::Counter, labels, unit: Unit::One, help, series: Growth::Fixed(series) }
}
