//! The time of day as lines write it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of day: asked for and spelt out once a second, since lines end far more often, and have read another clock anyway. A leap of
/// the system's is seen within that second.
#[derive(Debug)]
pub(in crate::observe) struct Clock {
    now: Instant,
    /// When the system was asked.
    asked: Instant,
    /// When the second that it named ends.
    until: Instant,
    /// What it said, since 1970.
    said: Duration,
    local: String,
    iso: String,
}

impl Clock {
    pub(in crate::observe) fn new() -> Self {
        let now = Instant::now();
        Self { now, asked: now, until: now, said: Duration::ZERO, local: String::new(), iso: String::new() }
    }

    /// Makes one that was told this time.
    #[cfg(test)]
    pub(super) fn at(now: Instant, since_1970: Duration) -> Self {
        let mut clock = Self::new();
        clock.tell(now, since_1970);
        clock
    }

    /// Goes to `now`, which is the present.
    pub(super) fn go_to(&mut self, now: Instant) {
        self.now = now;
        if now >= self.until {
            self.tell(now, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        }
    }

    fn tell(&mut self, now: Instant, since_1970: Duration) {
        let second = i64::try_from(since_1970.as_secs()).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
        let second = second.unwrap_or_default();
        self.local = second.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        self.iso = second.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        self.said = since_1970;
        self.asked = now;
        self.until = now + (Duration::from_secs(1) - Duration::from_nanos(since_1970.subsec_nanos().into()));
    }

    /// Returns the time as in `10/Oct/2000:13:55:36 +0000`.
    pub(super) fn local(&self) -> &str {
        &self.local
    }

    /// Returns the time as in `2000-10-10T13:55:36`.
    pub(super) fn iso(&self) -> &str {
        &self.iso
    }

    /// Returns the seconds since 1970.
    pub(super) fn second(&self) -> u64 {
        self.said.as_secs()
    }

    /// Returns the milliseconds of the second.
    pub(super) fn millisecond(&self) -> u32 {
        (self.said + self.now.saturating_duration_since(self.asked)).subsec_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_within_a_second_and_is_asked_for_after_it() {
        let begun = Instant::now();
        let mut clock = Clock::at(begun, Duration::new(1_000_000_000, 900_500_000));
        for (after, millisecond) in [(0, 900), (1, 901), (99, 999)] {
            clock.go_to(begun + Duration::from_millis(after));
            let told = (clock.second(), clock.millisecond(), clock.iso(), clock.local());
            assert_eq!(told, (1_000_000_000, millisecond, "2001-09-09T01:46:40", "09/Sep/2001:01:46:40 +0000"));
        }
        clock.go_to(begun + Duration::from_millis(100));
        assert!(clock.second() > 1_700_000_000, "the system is asked: {clock:?}");
        let next = clock.until;
        clock.go_to(next);
        assert!(clock.until > next && clock.until <= next + Duration::from_secs(1), "{clock:?}");
    }
}
