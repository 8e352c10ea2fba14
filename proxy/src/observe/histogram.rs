//! Times counted by upper bound, with their sum: atomics that requests add to, and what was read of them at one moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Times in `N` buckets, of which the last takes what is beyond all bounds.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Histogram<const N: usize> {
    // Beside the first buckets, in which most times fall.
    sum_us: AtomicU64,
    counts: [AtomicU64; N],
}

/// The counts of times at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistogramRead<const N: usize> {
    pub(super) counts: [u64; N],
    pub(super) sum_us: u64,
}

impl<const N: usize> Histogram<N> {
    /// Counts a time; `bounds` are the upper bounds in microseconds, one fewer than there are buckets.
    pub(super) fn count(&self, bounds: &[u64], took: Duration) {
        let took = microseconds(took);
        if let Some(count) = self.counts.get(bounds.partition_point(|bound| *bound < took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(took, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> HistogramRead<N> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HistogramRead { counts: self.counts.each_ref().map(read), sum_us: read(&self.sum_us) }
    }
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; N], sum_us: AtomicU64::new(0) }
    }
}

impl<const N: usize> HistogramRead<N> {
    /// Returns so many times within the first bound, which took so long together.
    pub(super) fn in_first(times: u64, sum_us: u64) -> Self {
        let mut counts = [0; N];
        if let Some(first) = counts.first_mut() {
            *first = times;
        }
        Self { counts, sum_us }
    }

    /// Returns how many times were counted.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns what was counted here and there together.
    pub(super) fn plus(mut self, other: &Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        Self { sum_us: self.sum_us + other.sum_us, ..self }
    }
}

/// Returns a time in whole microseconds.
pub(super) fn microseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_at_a_bound_counts_under_it() {
        let histogram = Histogram::<3>::default();
        for millis in [5, 6, 10, 11_000] {
            histogram.count(&[5_000, 10_000], Duration::from_millis(millis));
        }
        assert_eq!(histogram.read(), HistogramRead { counts: [1, 2, 1], sum_us: 11_021_000 });
        assert_eq!(histogram.read().total(), 4);
        let more = histogram.read().plus(&HistogramRead::in_first(2, 9));
        assert_eq!(more, HistogramRead { counts: [3, 2, 1], sum_us: 11_021_009 });
    }
}
