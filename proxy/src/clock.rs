//! The time of one worker: deadlines that cost next to nothing to set, and the `Date` header.
//!
//! Almost no deadline is ever reached, so that setting and dropping one must be cheap and only expiry may cost. All deadlines of a
//! worker lie in one slab that one task watches with one timer; it sleeps until the earliest that was ever set, which is
//! rarely sooner than the shortest timeout in use. A deadline never fires early; it may be late by as much as 25 ms, so that many that are
//! due one after the other are looked for together.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::time::{Instant, sleep_until};

/// How long after deadlines were looked for they are looked for again at the earliest.
const GRAIN: Duration = Duration::from_millis(25);

/// The time of one worker. Clones share one state; not for other threads.
#[derive(Debug, Clone)]
pub struct Clock(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    slab: RefCell<Slab>,
    /// No deadline lies before this; `None` where none is set, and then nothing watches.
    earliest: Cell<Option<Instant>>,
    /// The task that watches, once it waits.
    watcher: RefCell<Option<Waker>>,
    date: RefCell<(Instant, HeaderValue)>,
}

#[derive(Debug, Default)]
struct Slab {
    entries: Vec<Entry>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    fired: bool,
    waker: Option<Waker>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Makes a clock. It starts no task before a deadline is set, which must happen where `spawn_local` works.
    #[must_use]
    pub fn new() -> Self {
        let date = (Instant::now(), date_now());
        Self(Rc::new(Shared { slab: RefCell::default(), earliest: Cell::new(None), watcher: RefCell::default(), date: RefCell::new(date) }))
    }

    /// Returns the `Date` of now (RFC 9110 §6.6.1); at most a second old.
    #[must_use]
    pub fn date(&self, now: Instant) -> HeaderValue {
        let mut date = self.0.date.borrow_mut();
        if now.saturating_duration_since(date.0) >= Duration::from_secs(1) {
            *date = (now, date_now());
        }
        date.1.clone()
    }

    /// Makes a deadline that is not set.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline { clock: self.clone(), key: None }
    }

    /// Sees to it that the watcher wakes at `due` at the latest.
    fn watch(&self, due: Instant) {
        match self.0.earliest.get() {
            Some(earliest) if earliest <= due => {}
            Some(_) => {
                self.0.earliest.set(Some(due));
                if let Some(watcher) = self.0.watcher.borrow().as_ref() {
                    watcher.wake_by_ref();
                }
            }
            None => {
                self.0.earliest.set(Some(due));
                tokio::task::spawn_local(watch(Rc::clone(&self.0)));
            }
        }
    }
}

fn date_now() -> HeaderValue {
    HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Fires what is due until no deadline is set any more.
async fn watch(shared: Rc<Shared>) {
    let Some(first) = shared.earliest.get() else { return };
    let mut sleep = std::pin::pin!(sleep_until(first));
    poll_fn(|cx| {
        while let Some(earliest) = shared.earliest.get() {
            if sleep.deadline() != earliest {
                sleep.as_mut().reset(earliest);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                let mut watcher = shared.watcher.borrow_mut();
                if !watcher.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    *watcher = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            let now = Instant::now();
            let earliest = shared.slab.borrow_mut().fire(now);
            shared.earliest.set(earliest.map(|earliest| earliest.max(now + GRAIN)));
        }
        *shared.watcher.borrow_mut() = None;
        Poll::Ready(())
    })
    .await;
}

impl Slab {
    /// Fires what is due and returns the earliest of the rest.
    fn fire(&mut self, now: Instant) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for entry in &mut self.entries {
            match entry.due {
                Some(due) if due <= now => {
                    entry.due = None;
                    entry.fired = true;
                    if let Some(waker) = entry.waker.take() {
                        waker.wake();
                    }
                }
                Some(due) => earliest = Some(earliest.map_or(due, |known| known.min(due))),
                None => {}
            }
        }
        earliest
    }

    fn insert(&mut self, entry: Entry) -> usize {
        let key = self.free.pop().unwrap_or(self.entries.len());
        match self.entries.get_mut(key) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        key
    }
}

/// A moment that something must have happened by.
#[derive(Debug)]
pub struct Deadline {
    clock: Clock,
    key: Option<usize>,
}

impl Deadline {
    /// Sets it, anew if it was set.
    pub fn set(&mut self, due: Instant) {
        let mut slab = self.clock.0.slab.borrow_mut();
        match self.key.and_then(|key| slab.entries.get_mut(key)) {
            Some(entry) => {
                entry.due = Some(due);
                entry.fired = false;
            }
            None => self.key = Some(slab.insert(Entry { due: Some(due), fired: false, waker: None })),
        }
        drop(slab);
        self.clock.watch(due);
    }

    /// Takes it back.
    pub fn unset(&mut self) {
        let Some(key) = self.key else { return };
        if let Some(entry) = self.clock.0.slab.borrow_mut().entries.get_mut(key) {
            entry.due = None;
            entry.fired = false;
        }
    }

    /// Whether it is set and has not fired.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let Some(key) = self.key else { return false };
        self.clock.0.slab.borrow().entries.get(key).is_some_and(|entry| entry.due.is_some())
    }

    /// Is ready once the deadline has passed; until then the task is woken when it does. One that is not set stays pending.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(key) = self.key else { return Poll::Pending };
        let mut slab = self.clock.0.slab.borrow_mut();
        let Some(entry) = slab.entries.get_mut(key) else { return Poll::Pending };
        if entry.fired {
            return Poll::Ready(());
        }
        if entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let before = entry.waker.replace(cx.waker().clone());
        // A waker may be the last that holds a task, and with it other deadlines: it is dropped once the slab is free.
        drop(slab);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut slab = self.clock.0.slab.borrow_mut();
        let before = slab.entries.get_mut(key).map(std::mem::take);
        slab.free.push(key);
        drop(slab);
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;

    fn run<F: Future<Output = ()> + 'static>(test: F) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(LocalSet::new().run_until(test));
        Ok(())
    }

    async fn wait(deadline: &mut Deadline) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| deadline.poll(cx)).await;
        start.elapsed()
    }

    #[test]
    fn deadlines_fire_in_their_order_and_never_early() -> std::io::Result<()> {
        run(async {
            let clock = Clock::new();
            let (mut late, mut soon) = (clock.deadline(), clock.deadline());
            let now = Instant::now();
            late.set(now + Duration::from_millis(600));
            soon.set(now + Duration::from_millis(20));
            let first = wait(&mut soon).await;
            assert!(first >= Duration::from_millis(19) && first < Duration::from_millis(595), "{first:?}");
            assert!(late.is_set() && !soon.is_set());
            wait(&mut late).await;
            assert!(now.elapsed() >= Duration::from_millis(600));
        })
    }

    #[test]
    fn a_deadline_that_was_taken_back_or_moved_does_not_fire() -> std::io::Result<()> {
        run(async {
            let clock = Clock::new();
            let (mut unset, mut moved) = (clock.deadline(), clock.deadline());
            let now = Instant::now();
            unset.set(now + Duration::from_millis(10));
            unset.unset();
            moved.set(now + Duration::from_millis(10));
            moved.set(now + Duration::from_millis(80));
            assert!(timeout(Duration::from_millis(40), wait(&mut unset)).await.is_err());
            assert!(wait(&mut moved).await >= Duration::from_millis(20));
        })
    }

    #[test]
    fn the_watcher_ends_when_nothing_is_set_and_starts_again() -> std::io::Result<()> {
        run(async {
            let clock = Clock::new();
            for _ in 0..2 {
                let mut deadline = clock.deadline();
                deadline.set(Instant::now() + Duration::from_millis(5));
                wait(&mut deadline).await;
                drop(deadline);
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(clock.0.earliest.get().is_none());
            }
            assert_eq!(clock.0.slab.borrow().entries.len(), 1, "places are used again");
        })
    }

    #[test]
    fn the_date_is_an_http_date() {
        let clock = Clock::new();
        let date = clock.date(Instant::now());
        assert!(date.to_str().is_ok_and(|text| httpdate::parse_http_date(text).is_ok()));
    }
}
