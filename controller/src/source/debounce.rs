//! Holds events off for a moment, so that what changes together is translated together: a rollout touches many objects at once.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// The pause after which a batch is complete.
pub const QUIET: Duration = Duration::from_millis(3);
/// The longest that the first event of a batch waits, however many follow it.
pub const MAXIMUM: Duration = Duration::from_millis(20);

/// Makes batches of what a channel brings.
#[derive(Debug)]
pub struct Debounce<T> {
    events: mpsc::Receiver<T>,
    /// What grows, and when it must be over.
    batch: Vec<T>,
    end: Instant,
    /// When the first event of the last batch came, at the earliest.
    began: Instant,
    /// When the channel was last seen empty.
    empty_at: Instant,
}

impl<T> Debounce<T> {
    /// Wraps a channel.
    #[must_use]
    pub fn new(events: mpsc::Receiver<T>) -> Self {
        let now = Instant::now();
        Self { events, batch: Vec::new(), end: now, began: now, empty_at: now }
    }

    /// Returns how long ago the first event of the last batch came. One that came while the receiver was busy counts from when it began to be.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes that nothing waits: a wait for [`Debounce::next`] that was given up says so.
    pub fn note_empty(&mut self) {
        self.empty_at = Instant::now();
    }

    /// Waits for the next batch: it ends with a pause of [`QUIET`], or [`MAXIMUM`] after its first event. `None` when the channel is
    /// closed and empty. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Vec<T>> {
        if self.batch.is_empty() {
            let (first, began) = match self.events.try_recv() {
                Ok(first) => (first, self.empty_at),
                Err(_) => (self.events.recv().await?, Instant::now()),
            };
            self.batch.push(first);
            (self.began, self.end) = (began, Instant::now() + MAXIMUM);
        }
        loop {
            // What is there already is taken without waiting, or a busy runtime would cut batches short.
            while Instant::now() < self.end {
                let Ok(event) = self.events.try_recv() else {
                    self.note_empty();
                    break;
                };
                self.batch.push(event);
            }
            match timeout_at(self.end.min(Instant::now() + QUIET), self.events.recv()).await {
                Ok(Some(event)) => self.batch.push(event),
                Ok(None) | Err(_) => return Some(std::mem::take(&mut self.batch)),
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_together_is_one_batch_and_what_comes_later_another() {
        let (sender, receiver) = mpsc::channel(10);
        let mut debounce = Debounce::new(receiver);
        tokio::spawn(async move {
            for event in 0..4 {
                sender.send(event).await.unwrap();
                tokio::time::sleep(if event == 2 { QUIET * 2 } else { QUIET / 2 }).await;
            }
        });
        assert_eq!(debounce.next().await, Some(vec![0, 1, 2]));
        assert_eq!(debounce.next().await, Some(vec![3]));
        assert_eq!(debounce.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_grows_survives_a_cancelled_wait() {
        let (sender, receiver) = mpsc::channel(10);
        let mut debounce = Debounce::new(receiver);
        sender.send(1).await.unwrap();
        assert!(tokio::time::timeout(QUIET / 2, debounce.next()).await.is_err());
        sender.send(2).await.unwrap();
        assert_eq!(debounce.next().await, Some(vec![1, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_came_while_nobody_listened_has_waited_since() {
        let (sender, receiver) = mpsc::channel(10);
        let mut debounce = Debounce::new(receiver);
        sender.send(1).await.unwrap();
        assert_eq!(debounce.next().await, Some(vec![1]));
        // The receiver is busy for a second, and another event comes meanwhile.
        tokio::time::sleep(Duration::from_secs(1)).await;
        sender.send(2).await.unwrap();
        assert_eq!(debounce.next().await, Some(vec![2]));
        assert!(debounce.age() >= Duration::from_secs(1), "{:?}", debounce.age());
        // It waits for an hour in vain, and the next event comes then.
        assert!(tokio::time::timeout(Duration::from_secs(3600), debounce.next()).await.is_err());
        debounce.note_empty();
        sender.send(3).await.unwrap();
        assert_eq!(debounce.next().await, Some(vec![3]));
        assert!(debounce.age() <= MAXIMUM, "{:?}", debounce.age());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_pauses_is_cut_at_the_maximum() {
        let (sender, receiver) = mpsc::channel(10);
        let mut debounce = Debounce::new(receiver);
        tokio::spawn(async move {
            for event in 0..u64::MAX {
                if sender.send(event).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let began = Instant::now();
        assert!(debounce.next().await.unwrap().len() >= 10);
        assert!(began.elapsed() <= MAXIMUM + QUIET);
    }
}
