//! Latencies of one run, and their percentiles.

use std::time::Duration;

/// Latencies in the order they came.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Returns the median and what 1 % and 0.1 % exceed, in microseconds; `None` if there is no latency.
    pub(super) fn percentiles(mut self) -> Option<[f64; 3]> {
        self.0.sort_unstable();
        let at = |per_mille: usize| self.0.get((self.0.len() * per_mille / 1_000).min(self.0.len().checked_sub(1)?));
        Some([at(500)?, at(990)?, at(999)?].map(|latency| latency.as_secs_f64() * 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let mut latencies = Latencies::default();
        assert!(Latencies::default().percentiles().is_none());
        for millis in (0..1_000).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let [median, most, nearly_all] = latencies.percentiles().unwrap_or_default().map(f64::round);
        assert_eq!((median, most, nearly_all), (500_000.0, 990_000.0, 999_000.0));
    }
}
