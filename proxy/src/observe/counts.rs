//! What is counted of the requests of one route with one method and status.
//!
//! Every request is counted, so it must be cheap, also where it is the first of its route: nearly all have one try, on a connection that
//! stood already or soon did, and then one look-up stands for the request's time, the endpoint's and that to connect.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{Histogram, HistogramRead, microseconds};

/// Upper bounds of the duration buckets in microseconds: 5 ms to 10 s, as ingress-nginx has them.
pub(super) const DURATION_BOUNDS_US: [u64; 11] =
    [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];
/// Upper bounds of the buckets of times to connect in microseconds, of those that ingress-nginx has: a lost SYN is beyond the last.
pub(super) const CONNECT_BOUNDS_US: [u64; 4] = [5_000, 25_000, 100_000, 1_000_000];
/// To connect within this falls into the first bucket, as if the connection had stood already.
pub(super) const SOON: Duration = Duration::from_micros(CONNECT_BOUNDS_US[0]);
/// Upper bounds of the buckets of response bodies in bytes.
pub(super) const SIZE_BOUNDS: [u64; 7] = [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// How long a request took, from its head to the end of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// It had one try, which took as long.
    Plain {
        /// How long both did.
        took: Duration,
        /// Until the connection stood, [`SOON`] at most; nothing for one that stood already.
        connect: Duration,
    },
    /// The try has to be told apart.
    Apart {
        /// How long the request took.
        whole: Duration,
        /// How long the last try did; `None` if there was none.
        last_try: Option<TryTimes>,
    },
}

/// How long a try at an endpoint took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TryTimes {
    /// From its beginning to the end of the request.
    pub(super) whole: Duration,
    /// Until the connection stood: nothing for one that stood already, `None` if it never did.
    pub(super) connect: Option<Duration>,
}

type Durations = Histogram<{ DURATION_BOUNDS_US.len() + 1 }>;
type DurationsRead = HistogramRead<{ DURATION_BOUNDS_US.len() + 1 }>;
type Connects = Histogram<{ CONNECT_BOUNDS_US.len() + 1 }>;
type ConnectsRead = HistogramRead<{ CONNECT_BOUNDS_US.len() + 1 }>;

/// What is counted. A request counts either among the plain ones or among the others, and never moves, so that no sum of both falls.
///
/// The fields stand so that what a small and fast answer touches is one line of the processor's cache: at ten thousand routes each line
/// that a request needs is one that others have pushed out.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Counts {
    bytes_in: AtomicU64,
    plain_connects_us: AtomicU64,
    /// The others; made with the first of them.
    others: OnceLock<Box<Others>>,
    /// The largest first: what was larger than all bounds, then those of each.
    response_sizes: [AtomicU64; SIZE_BOUNDS.len() + 1],
    bytes_out: AtomicU64,
    /// Requests of one try, on a connection that stood soon. What they took, the try took, and all belong into the first bucket of times
    /// to connect; so one look-up counts all three.
    plain: Durations,
}

/// Requests whose times have to be told apart.
#[derive(Debug, Default)]
struct Others {
    durations: Durations,
    tries: Durations,
    connects: Connects,
}

/// The counts of requests at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountsRead {
    pub(super) durations: DurationsRead,
    /// Of the last try, where there was one.
    pub(super) tries: DurationsRead,
    /// Of the last try, where it had a connection.
    pub(super) connects: ConnectsRead,
    pub(super) response_sizes: [u64; SIZE_BOUNDS.len() + 1],
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Counts {
    /// Counts a request that has ended.
    pub(super) fn count(&self, times: Times, bytes_in: u64, bytes_out: u64) {
        match times {
            Times::Plain { took, connect } => {
                self.plain.count(&DURATION_BOUNDS_US, took);
                if !connect.is_zero() {
                    self.plain_connects_us.fetch_add(microseconds(connect), Ordering::Relaxed);
                }
            }
            Times::Apart { whole, last_try } => self.others.get_or_init(Box::default).count(whole, last_try),
        }
        if let Some(count) = self.response_sizes.get(SIZE_BOUNDS.len() - SIZE_BOUNDS.partition_point(|bound| *bound < bytes_out)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Most requests have no body.
        if bytes_in > 0 {
            self.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        }
        if bytes_out > 0 {
            self.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> CountsRead {
        let plain = self.plain.read();
        let soon = ConnectsRead::in_first(plain.total(), read(&self.plain_connects_us));
        let (mut durations, mut tries, mut connects) = (plain, plain, soon);
        if let Some(others) = self.others.get() {
            durations = durations.plus(&others.durations.read());
            tries = tries.plus(&others.tries.read());
            connects = connects.plus(&others.connects.read());
        }
        let mut response_sizes = self.response_sizes.each_ref().map(read);
        response_sizes.reverse();
        CountsRead { durations, tries, connects, response_sizes, bytes_in: read(&self.bytes_in), bytes_out: read(&self.bytes_out) }
    }

    pub(super) fn requests(&self) -> u64 {
        self.plain.read().total() + self.others.get().map_or(0, |others| others.durations.read().total())
    }
}

impl Others {
    #[cold]
    fn count(&self, whole: Duration, last_try: Option<TryTimes>) {
        self.durations.count(&DURATION_BOUNDS_US, whole);
        let Some(last) = last_try else { return };
        self.tries.count(&DURATION_BOUNDS_US, last.whole);
        if let Some(connect) = last.connect {
            self.connects.count(&CONNECT_BOUNDS_US, connect);
        }
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn read(times: &[Times]) -> CountsRead {
        let counts = Counts::default();
        times.iter().for_each(|times| counts.count(*times, 0, 0));
        assert_eq!(counts.requests(), times.len() as u64);
        counts.read()
    }

    #[test]
    fn a_value_at_a_bound_counts_under_it() {
        let counts = Counts::default();
        for (took, size) in [(5 * MS, 10), (6 * MS, 11), (11_000 * MS, 10_000_001)] {
            counts.count(Times::Plain { took, connect: Duration::ZERO }, 0, size);
        }
        let read = counts.read();
        assert_eq!(read.durations.counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(read.response_sizes, [1, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!((read.durations.sum_us, read.bytes_in, read.bytes_out), (11_011_000, 0, 10_000_022));
    }

    #[test]
    fn a_request_is_told_apart_from_its_last_try_only_where_they_differ() {
        let plain = |connect| Times::Plain { took: 30 * MS, connect };
        let times = |last_try| Times::Apart { whole: 30 * MS, last_try };
        let tried = |whole: u32, connect| times(Some(TryTimes { whole: whole * MS, connect }));
        // Sum of the tries and how many, sum of the times to connect and how many, in milliseconds.
        for (name, times, wanted) in [
            ("one try on a connection that stood already", plain(Duration::ZERO), (30, 1, 0, 1)),
            ("one that stood soon", plain(4 * MS), (30, 1, 4, 1)),
            ("a connection of its own", tried(30, Some(8 * MS)), (30, 1, 8, 1)),
            ("a second try on a connection that stood already", tried(20, Some(Duration::ZERO)), (20, 1, 0, 1)),
            ("no connection", tried(30, None), (30, 1, 0, 0)),
            ("no try", times(None), (0, 0, 0, 0)),
        ] {
            let read = read(&[times]);
            let of_tries = (read.tries.sum_us / 1000, read.tries.total());
            let of_connects = (read.connects.sum_us / 1000, read.connects.total());
            assert_eq!((of_tries.0, of_tries.1, of_connects.0, of_connects.1), wanted, "{name}");
            assert_eq!((read.durations.sum_us, read.durations.total()), (30_000, 1), "{name}");
        }
        let read = read(&[plain(5 * MS), tried(20, Some(1_001 * MS)), times(None)]);
        assert_eq!(read.durations.counts, [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read.tries.counts, [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read.connects.counts, [1, 0, 0, 0, 1]);
    }

    #[test]
    fn what_most_requests_need_stays_small() {
        assert!(size_of::<Counts>() <= 208, "{} bytes", size_of::<Counts>());
        assert!(size_of::<Others>() <= 256, "{} bytes", size_of::<Others>());
    }

    #[test]
    fn a_small_and_fast_answer_touches_one_line_of_the_cache() {
        let usual = std::mem::offset_of!(Counts, response_sizes) + 4 * size_of::<AtomicU64>();
        let first_bucket = std::mem::offset_of!(Counts, plain) + size_of::<AtomicU64>();
        assert!(usual.is_multiple_of(64) && first_bucket < usual + 64, "{usual} {first_bucket}");
    }
}
