//! When each object's turn to be written comes: at once when it first has something to say, later and later while it fails or must be
//! written again and again. What comes due is found without a look at all the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two attempts at one object; it doubles with each that follows soon after.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The objects that wait for their turn, and the pace of those that were attempted lately.
#[derive(Debug)]
pub(super) struct Pacing<K> {
    turns: BTreeSet<(Instant, K)>,
    paces: BTreeMap<K, Pace>,
    /// When paces are forgotten.
    fading: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    /// `None` while it has nothing to say.
    turn: Option<Instant>,
    pause: Duration,
    /// Not before then is its next turn.
    free: Instant,
    fades: Instant,
}

impl<K> Default for Pacing<K> {
    fn default() -> Self {
        Self { turns: BTreeSet::new(), paces: BTreeMap::new(), fading: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Pacing<K> {
    /// An object has something to say: its turn is now, or as soon as its pace allows. One that waits already keeps its turn.
    pub(super) fn want(&mut self, key: K, now: Instant) {
        self.fade(now);
        let pace = self.paces.entry(key.clone()).or_insert(Pace { turn: None, pause: Duration::ZERO, free: now, fades: now });
        if pace.turn.is_none() {
            let turn = pace.free.max(now);
            pace.turn = Some(turn);
            self.turns.insert((turn, key));
        }
    }

    /// Returns the object whose turn has come for longest.
    pub(super) fn take(&mut self, now: Instant) -> Option<K> {
        self.fade(now);
        self.turns.first().filter(|(turn, _)| *turn <= now)?;
        let (_, key) = self.turns.pop_first()?;
        if let Some(pace) = self.paces.get_mut(&key) {
            pace.turn = None;
            if pace.fades <= now {
                // It had to wait for its turn, which is no rest.
                pace.fades = now + pace.pause;
                self.fading.insert((pace.fades, key.clone()));
            }
        }
        Some(key)
    }

    /// Returns when the next turn comes; `None` when nothing waits.
    pub(super) fn next(&self) -> Option<Instant> {
        self.turns.first().map(|(turn, _)| *turn)
    }

    /// An object was attempted. Its next turn is a pause away, twice as long as the one before where that was lately, and `longest` at
    /// most. Returns the pause.
    pub(super) fn attempted(&mut self, key: K, now: Instant, longest: Duration) -> Duration {
        let pace = self.paces.entry(key.clone()).or_insert(Pace { turn: None, pause: Duration::ZERO, free: now, fades: now });
        self.fading.remove(&(pace.fades, key.clone()));
        pace.pause = (pace.pause * 2).clamp(FIRST_PAUSE, longest);
        (pace.free, pace.fades) = (now + pace.pause, now + pace.pause * 3);
        let pause = pace.pause;
        self.fading.insert((pace.fades, key));
        pause
    }

    /// An object has nothing to say any more.
    pub(super) fn drop_turn(&mut self, key: &K) {
        if let Some(pace) = self.paces.get_mut(key)
            && let Some(turn) = pace.turn.take()
        {
            self.turns.remove(&(turn, key.clone()));
            if pace.pause.is_zero() {
                self.paces.remove(key);
            } else {
                self.fading.insert((pace.fades, key.clone()));
            }
        }
    }

    /// Forgets the paces of objects that have been left alone for a while, which one that waits for its turn is not.
    fn fade(&mut self, now: Instant) {
        while self.fading.first().is_some_and(|(fades, _)| *fades <= now) {
            if let Some((_, key)) = self.fading.pop_first()
                && self.paces.get(&key).is_some_and(|pace| pace.turn.is_none())
            {
                self.paces.remove(&key);
            }
        }
    }
}

/// Waits for a time; without one, for ever.
pub(super) async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_attempted_again_and_again_waits_twice_as_long_each_time() {
        let (mut pacing, mut now) = (Pacing::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pacing.want("a", now);
            now = now.max(pacing.next().unwrap_or(now));
            assert_eq!(pacing.take(now), Some("a"));
            pauses.push(pacing.attempted("a", now, LONGEST).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += LONGEST * 3;
        pacing.want("a", now);
        assert_eq!(pacing.take(now), Some("a"), "it has been left alone for a while");
        assert_eq!(pacing.attempted("a", now, LONGEST), FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn objects_that_fail_stand_behind_those_that_did_not() {
        let (mut pacing, now) = (Pacing::default(), Instant::now());
        for key in ["a", "b"] {
            pacing.want(key, now);
        }
        assert_eq!(pacing.take(now), Some("a"));
        pacing.attempted("a", now, LONGEST);
        pacing.want("a", now);
        assert_eq!((pacing.take(now), pacing.take(now)), (Some("b"), None));
        assert_eq!((pacing.next(), pacing.take(now + FIRST_PAUSE)), (Some(now + FIRST_PAUSE), Some("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_waits_long_for_its_turn_keeps_its_pace() {
        let (mut pacing, mut now) = (Pacing::default(), Instant::now());
        for expected in [1, 2, 4] {
            pacing.want("a", now);
            now += FIRST_PAUSE * 100;
            assert_eq!(pacing.take(now), Some("a"));
            assert_eq!(pacing.attempted("a", now, LONGEST).as_secs(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_objects_that_are_at_rest() {
        let (mut pacing, now) = (Pacing::default(), Instant::now());
        pacing.want("dropped", now);
        pacing.drop_turn(&"dropped");
        pacing.want("written", now);
        assert_eq!(pacing.take(now), Some("written"));
        pacing.attempted("written", now, LONGEST);
        pacing.want("late", now);
        pacing.attempted("late", now, LONGEST);
        let later = now + FIRST_PAUSE * 3;
        assert_eq!((pacing.take(later), pacing.take(later)), (Some("late"), None));
        assert_eq!(pacing.take(later + FIRST_PAUSE), None);
        assert!(pacing.turns.is_empty() && pacing.paces.is_empty() && pacing.fading.is_empty(), "{pacing:?}");
    }
}
