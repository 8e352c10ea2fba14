//! A request's body on its way from the client to an endpoint.
//!
//! The body outlives the attempts to send it: what an attempt has taken is kept (up to 64 KiB) where another attempt may
//! follow. It also tells whom it waits for, so that a pause is blamed on the side that makes it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::{Body, BodyError, trailers};
use crate::clock::{Clock, Deadline};
use crate::error::Reason;

/// How much of a body is kept for another attempt.
const REPLAY_BYTES: usize = 64 * 1024;

/// Whether what an attempt takes is kept for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Up to 64 KiB.
    Keep,
    /// Not at all: once begun, the body cannot be sent again.
    Forget,
}

/// Whom a body waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The client has to send more; the body itself sees to the timeout.
    Client,
    /// The endpoint has had nothing or the last piece at this moment and asks for no more.
    Endpoint(Instant),
    /// All was handed over at this moment.
    Done(Instant),
}

/// The body as the forwarding holds it, over all attempts.
#[derive(Debug)]
pub struct Upload(Rc<RefCell<State>>);

/// One attempt to send the body. An older attempt ends with an error once a newer one is made.
#[derive(Debug)]
pub struct Attempt {
    state: Rc<RefCell<State>>,
    number: u32,
    /// How many of the kept frames it has sent.
    replayed: usize,
}

#[derive(Debug)]
struct State {
    source: Body,
    attempt: u32,
    kept: Kept,
    taken: bool,
    bytes: u64,
    /// What the limit leaves; `None` without one.
    bytes_left: Option<u64>,
    progress: Progress,
    failed: Option<Reason>,
    /// Who waits for the answer, and so for a failure.
    waiting: Option<Waker>,
    pause: Deadline,
    longest_pause: Duration,
}

#[derive(Debug)]
struct Kept {
    replay: Replay,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    bytes_left: usize,
}

impl Upload {
    /// Takes up a client's body. A pause of the client longer than `longest_pause` fails it.
    #[must_use]
    pub fn new(source: Body, clock: &Clock, longest_pause: Duration, now: Instant) -> Self {
        Self(Rc::new(RefCell::new(State {
            source,
            attempt: 0,
            kept: Kept { replay: Replay::Keep, frames: Vec::new(), trailers: None, bytes_left: REPLAY_BYTES },
            taken: false,
            bytes: 0,
            bytes_left: None,
            progress: Progress::Endpoint(now),
            failed: None,
            waiting: None,
            pause: clock.deadline(),
            longest_pause,
        })))
    }

    /// Fails the body once the client has sent more bytes than this.
    pub fn limit(&self, bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.bytes_left = Some(state.bytes_left.map_or(bytes, |left| left.min(bytes)));
    }

    /// Starts an attempt; `None` if what the attempt before has taken was not kept.
    #[must_use]
    pub fn attempt(&self, replay: Replay, now: Instant) -> Option<Attempt> {
        let mut state = self.0.borrow_mut();
        if state.taken && state.kept.replay == Replay::Forget {
            return None;
        }
        state.attempt += 1;
        if !state.taken {
            state.kept.replay = replay;
        }
        state.progress = Progress::Endpoint(now);
        Some(Attempt { state: Rc::clone(&self.0), number: state.attempt, replayed: 0 })
    }

    /// Lets go of what was kept: there will be no other attempt.
    pub fn settle(&self) {
        let mut state = self.0.borrow_mut();
        // An attempt may still be replaying; it needs what is kept until it has caught up.
        if state.kept.frames.is_empty() && state.kept.trailers.is_none() {
            state.kept.replay = Replay::Forget;
        }
        state.kept.bytes_left = 0;
    }

    /// Returns whom the body waits for.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.borrow().progress
    }

    /// Is ready with the reason once the body has failed for a cause on the client's side.
    pub fn poll_failed(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        let mut state = self.0.borrow_mut();
        if let Some(reason) = state.failed {
            return Poll::Ready(reason);
        }
        if !state.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Returns why the body failed on the client's side, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<Reason> {
        self.0.borrow().failed
    }

    /// Returns the bytes that the client has sent so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }
}

impl State {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.unset();
                self.taken = true;
                Poll::Ready(Some(self.take(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(reason_of(&error));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.taken = true;
                self.progress = Progress::Done(Instant::now());
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.progress = Progress::Client;
                if self.pause.poll(cx).is_ready() {
                    self.fail(Reason::BodyTimeout);
                    return Poll::Ready(Some(Err(BodyError::Cut(Reason::BodyTimeout))));
                }
                if !self.pause.is_set() {
                    self.pause.set(Instant::now() + self.longest_pause);
                    let _ = self.pause.poll(cx);
                }
                Poll::Pending
            }
        }
    }

    /// Counts a frame in.
    fn take(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.bytes += length;
        if let Some(left) = &mut self.bytes_left {
            match left.checked_sub(length) {
                Some(rest) => *left = rest,
                None => {
                    self.fail(Reason::BodyTooLarge);
                    return Err(BodyError::Cut(Reason::BodyTooLarge));
                }
            }
        }
        if let Some(fields) = frame.trailers_mut() {
            trailers::clean(fields);
        }
        self.kept.keep(&frame);
        let now = Instant::now();
        self.progress = if frame.is_trailers() || self.source.is_end_stream() { Progress::Done(now) } else { Progress::Endpoint(now) };
        Ok(frame)
    }

    /// Notes the failure and wakes whoever waits for the answer.
    fn fail(&mut self, reason: Reason) {
        self.failed = Some(reason);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.replay == Replay::Forget {
            return;
        }
        match frame.data_ref() {
            Some(data) if data.len() <= self.bytes_left => {
                self.bytes_left -= data.len();
                self.frames.push(data.clone());
            }
            Some(_) => {
                self.replay = Replay::Forget;
                self.frames = Vec::new();
            }
            None => self.trailers = frame.trailers_ref().cloned(),
        }
    }
}

/// Tells a client that went away from one that broke the framing of its body.
fn reason_of(error: &BodyError) -> Reason {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let broken = matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData);
            return if broken { Reason::BadRequest } else { Reason::ClientGone };
        }
        source = cause.source();
    }
    Reason::ClientGone
}

impl Attempt {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.state.borrow_mut();
        if state.attempt != self.number {
            return Poll::Ready(Some(Err(BodyError::Cut(Reason::UpstreamReset))));
        }
        if let Some(data) = state.kept.frames.get(self.replayed) {
            self.replayed += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if self.replayed == state.kept.frames.len()
            && let Some(trailers) = state.kept.trailers.clone()
        {
            self.replayed += 1;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = state.poll_source(cx);
        if polled.is_ready() {
            // What was just taken is kept for others, not for this attempt.
            self.replayed = state.kept.frames.len() + usize::from(state.kept.trailers.is_some());
        }
        polled
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.state.borrow();
        let kept = state.kept.frames.len() + usize::from(state.kept.trailers.is_some());
        state.source.is_end_stream() && self.replayed >= kept
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.state.borrow();
        let kept: u64 = state.kept.frames.iter().skip(self.replayed).map(|data| data.len() as u64).sum();
        let mut hint = state.source.size_hint();
        if let Some(exact) = hint.exact() {
            hint.set_exact(exact + kept);
        } else {
            hint.set_lower(hint.lower() + kept);
        }
        hint
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn upload(text: &'static str) -> Upload {
        let source = Body::Fixed(Some(Bytes::from_static(text.as_bytes())));
        Upload::new(source, &Clock::new(), Duration::from_secs(60), Instant::now())
    }

    /// Reads an attempt to its end; the sources of these tests never wait.
    fn sent(attempt: Attempt) -> Result<Bytes, BodyError> {
        Body::Upload(attempt).collect().now_or_never().unwrap().map(http_body_util::Collected::to_bytes)
    }

    #[test]
    fn what_was_kept_is_sent_again_and_counts_once() {
        let upload = upload("hello");
        for _ in 0..3 {
            let attempt = upload.attempt(Replay::Keep, Instant::now()).unwrap();
            assert_eq!(attempt.size_hint().exact(), Some(5));
            assert_eq!(sent(attempt).unwrap(), "hello");
        }
        assert_eq!(upload.bytes(), 5);
    }

    #[test]
    fn what_was_not_kept_can_be_sent_only_while_it_is_untouched() {
        let upload = upload("hello");
        drop(upload.attempt(Replay::Forget, Instant::now()));
        let second = upload.attempt(Replay::Forget, Instant::now()).unwrap();
        assert_eq!(sent(second).unwrap(), "hello");
        assert!(upload.attempt(Replay::Keep, Instant::now()).is_none());
    }

    #[test]
    fn a_large_body_is_not_kept() {
        let text: &'static str = Box::leak("x".repeat(REPLAY_BYTES + 1).into_boxed_str());
        let upload = upload(text);
        assert_eq!(sent(upload.attempt(Replay::Keep, Instant::now()).unwrap()).unwrap().len(), text.len());
        assert!(upload.attempt(Replay::Keep, Instant::now()).is_none());
    }

    #[test]
    fn an_old_attempt_ends_with_an_error() {
        let upload = upload("hello");
        let old = upload.attempt(Replay::Keep, Instant::now()).unwrap();
        let new = upload.attempt(Replay::Keep, Instant::now()).unwrap();
        assert!(sent(old).is_err());
        assert_eq!(sent(new).unwrap(), "hello");
    }

    #[test]
    fn a_body_above_its_limit_fails_with_the_reason() {
        for (limit, fails) in [(5, false), (4, true)] {
            let upload = upload("hello");
            upload.limit(limit);
            assert_eq!(sent(upload.attempt(Replay::Forget, Instant::now()).unwrap()).is_err(), fails);
            assert_eq!(upload.failed(), fails.then_some(Reason::BodyTooLarge));
        }
    }

    #[test]
    fn progress_tells_who_is_waited_for() {
        let upload = upload("hello");
        assert!(matches!(upload.progress(), Progress::Endpoint(_)));
        sent(upload.attempt(Replay::Forget, Instant::now()).unwrap()).unwrap();
        assert!(matches!(upload.progress(), Progress::Done(_)));
    }
}
