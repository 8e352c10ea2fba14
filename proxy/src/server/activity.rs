//! What a client's connection is doing, and since when: the one clock behind every timeout of a connection.
//!
//! hyper has a timer for request heads, but it starts at the end of the response before, so that it cannot tell an idle client from
//! a slow one; and it costs a timer per request. Here the connection only notes what it does, and the worker looks at all of its
//! connections in turn (a *sweep*): no timer and no reading of a clock per request. A limit is met up to one sweep late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;

use super::Phase;
use super::stopwatch::Stopwatch;
use crate::model::Limits;
use crate::observe::{ConnectionProtocol, ConnectionState};

/// How long a handshake may still take once sockets are closed.
const LAST_HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection of HTTP/1.1 is idle before what it holds of HTTP is given back. A client that asks more often than this never
/// meets the cost of taking it up again.
const SLEEP_AFTER: Duration = Duration::from_secs(2);
/// How long HTTP/2 may take to end, however much its client says meanwhile: an answer to a ping takes none of a response.
const LONGEST_CLOSE: Duration = Duration::from_secs(5 * 60);
/// How many requests a client may give up between two sweeps. A page that is left gives up a hundred at once; to open and reset streams
/// without end is an attack (CVE-2023-44487).
const MOST_CANCELLED: u32 = 500;
/// How long a connection that never sent a byte is kept once sockets are closed: its first request may be under way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http1 = 1,
    /// HTTP/2.
    Http2 = 2,
}

/// Whether a request has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBody {
    None,
    Some,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Doing {
    /// Nothing was read yet; or, after a handshake, nothing of HTTP.
    Opened,
    /// What comes before HTTP has begun: a PROXY header, a TLS handshake, the bytes that tell which HTTP it is.
    Handshake,
    /// A request's head has begun. HTTP/2 is never here: its heads come between other frames.
    Head,
    /// At least one request is served.
    Serving,
    /// Between two requests.
    Idle,
    /// It is not HTTP any more; who uses it has limits of its own.
    Over,
}

/// What a sweep found to be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// To hold as little as can be until the next request: it is idle.
    Sleep,
    /// An orderly end: no more requests than those that are served.
    Close,
    /// The end at once: a head did not arrive in time.
    HeadLate,
    /// The end at once: the orderly one did not come.
    CloseLate,
    /// The end at once: the client takes no bytes.
    WriteStalled,
}

/// What one connection is doing. Shared by its stream, its services and its worker's sweep, which all run on one thread; it is made
/// of atomics only because hyper asks for a stream that could move. The orderings are relaxed therefore.
#[derive(Debug)]
pub(super) struct Activity {
    limits: Arc<Limits>,
    /// A [`Protocol`], or 0 while it is not known.
    protocol: AtomicU8,
    /// Whether the connection was opened after the drain had begun.
    late: bool,
    doing: AtomicU8,
    in_flight: AtomicU32,
    /// For how long.
    since: Stopwatch,
    /// Whether the last write had to wait.
    blocked: AtomicBool,
    /// For how long.
    blocked_since: Stopwatch,
    closing: AtomicBool,
    /// For how long.
    closing_since: Stopwatch,
    /// Requests that the client gave up since the last sweep.
    cancelled: AtomicU32,
    asleep: AtomicBool,
    /// Whether the last request came with a body.
    had_body: AtomicBool,
    due: AtomicU8,
    waker: AtomicWaker,
}

impl Activity {
    /// Begins the watch over a connection that was accepted in this phase.
    pub(super) fn new(limits: Arc<Limits>, phase: Phase) -> Self {
        Self {
            limits,
            protocol: AtomicU8::new(0),
            late: phase != Phase::Serving,
            doing: AtomicU8::new(Doing::Opened as u8),
            in_flight: AtomicU32::new(0),
            since: Stopwatch::new(),
            blocked: AtomicBool::new(false),
            blocked_since: Stopwatch::new(),
            closing: AtomicBool::new(false),
            closing_since: Stopwatch::new(),
            cancelled: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            had_body: AtomicBool::new(false),
            due: AtomicU8::new(Due::Nothing as u8),
            waker: AtomicWaker::new(),
        }
    }

    fn doing(&self) -> Doing {
        [Doing::Opened, Doing::Handshake, Doing::Head, Doing::Serving, Doing::Idle]
            .into_iter()
            .find(|&doing| doing as u8 == self.doing.load(Relaxed))
            .unwrap_or(Doing::Over)
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        self.protocol.load(Relaxed) == protocol as u8
    }

    fn begin(&self, doing: Doing) {
        self.doing.store(doing as u8, Relaxed);
        self.since.restart();
        // What was due was so for what it did before.
        self.due.store(Due::Nothing as u8, Relaxed);
    }

    /// Returns the limits of the connection.
    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Notes that HTTP is spoken from now on. The time that the first request's head may take counts from the accepting.
    pub(super) fn begin_http(&self, protocol: Protocol) {
        self.protocol.store(protocol as u8, Relaxed);
        self.doing.store(Doing::Opened as u8, Relaxed);
    }

    /// Notes that HTTP is over; the stream may live on as a tunnel.
    pub(super) fn end_http(&self) {
        self.begin(Doing::Over);
    }

    /// Notes that bytes came from the client.
    pub(super) fn bytes_came(&self) {
        let doing = self.doing.load(Relaxed);
        if doing == Doing::Serving as u8 {
        } else if doing == Doing::Idle as u8 {
            if self.speaks(Protocol::Http1) {
                self.begin(Doing::Head);
            }
        } else if doing == Doing::Opened as u8 {
            if self.speaks(Protocol::Http2) {
                self.begin(Doing::Idle);
            } else {
                let next = if self.speaks(Protocol::Http1) { Doing::Head } else { Doing::Handshake };
                self.doing.store(next as u8, Relaxed);
            }
        }
    }

    /// Notes that a write has to wait for the client.
    pub(super) fn write_waits(&self) {
        if !self.blocked.load(Relaxed) {
            self.blocked_since.restart();
            self.blocked.store(true, Relaxed);
        }
    }

    /// Notes that the client took bytes.
    pub(super) fn bytes_taken(&self) {
        if self.closing.load(Relaxed) {
            self.since.restart();
        }
        if self.blocked.load(Relaxed) {
            self.blocked.store(false, Relaxed);
            if self.due() == Due::WriteStalled {
                self.due.store(Due::Nothing as u8, Relaxed);
            }
        }
    }

    /// Counts a request in, with or without a body; the guard counts it out.
    pub(super) fn serve(self: &Arc<Self>, body: RequestBody) -> Serving {
        self.had_body.store(body == RequestBody::Some, Relaxed);
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
        self.begin(Doing::Serving);
        Serving(Arc::clone(self))
    }

    /// Notes that the client gave up a request before it was answered.
    pub(super) fn request_cancelled(&self) {
        self.cancelled.store(self.cancelled.load(Relaxed).saturating_add(1), Relaxed);
    }

    /// Whether the last request came with a body, which may not have been read to its end.
    pub(super) fn had_body(&self) -> bool {
        self.had_body.load(Relaxed)
    }

    /// Notes that an orderly end has begun.
    pub(super) fn close(&self) {
        self.closing.store(true, Relaxed);
        self.closing_since.restart();
        self.since.restart();
        self.due.store(Due::Nothing as u8, Relaxed);
    }

    /// Notes that the connection holds as little as can be, until [`Activity::wake`].
    pub(super) fn sleep(&self) {
        self.asleep.store(true, Relaxed);
        self.due.store(Due::Nothing as u8, Relaxed);
    }

    /// Notes that it does so no more.
    pub(super) fn wake(&self) {
        self.asleep.store(false, Relaxed);
    }

    /// Returns where the connection stands for those who count.
    pub(super) fn stands(&self) -> (ConnectionProtocol, ConnectionState) {
        let protocol = match (self.speaks(Protocol::Http1), self.speaks(Protocol::Http2)) {
            (true, _) => ConnectionProtocol::Http1,
            (_, true) => ConnectionProtocol::Http2,
            (false, false) => return (ConnectionProtocol::Unknown, ConnectionState::Handshake),
        };
        let state = match self.doing() {
            Doing::Idle if self.asleep.load(Relaxed) => ConnectionState::Asleep,
            Doing::Opened | Doing::Handshake | Doing::Head | Doing::Idle => ConnectionState::Idle,
            // Over but open is a tunnel.
            Doing::Serving | Doing::Over => ConnectionState::Active,
        };
        (protocol, state)
    }

    /// Has this task woken when something is due. It is enough to call it once per task: the waker of a task stays the same.
    pub(super) fn wake_when_due(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Returns what is due, as of the last sweep and of what the connection did since.
    pub(super) fn due(&self) -> Due {
        [Due::Sleep, Due::Close, Due::HeadLate, Due::CloseLate, Due::WriteStalled]
            .into_iter()
            .find(|&due| due as u8 == self.due.load(Relaxed))
            .unwrap_or(Due::Nothing)
    }

    /// Whether anything is due; a cheap question for every poll.
    pub(super) fn anything_due(&self) -> bool {
        self.due.load(Relaxed) != Due::Nothing as u8
    }

    /// Takes note that this much time has passed, finds what is due in this phase, and wakes the connection if something is.
    pub(super) fn sweep(&self, passed: Duration, phase: Phase) {
        self.since.sweep(passed);
        self.blocked_since.sweep(passed);
        self.closing_since.sweep(passed);
        self.judge(phase);
        self.cancelled.store(0, Relaxed);
    }

    /// Finds what is due in this phase, and wakes the connection if something is.
    pub(super) fn judge(&self, phase: Phase) {
        let due = self.what_is_due(phase);
        self.due.store(due as u8, Relaxed);
        if due != Due::Nothing
            && let Some(waker) = self.waker.take()
        {
            waker.wake_by_ref();
            // More may be due later.
            self.waker.register(&waker);
        }
    }

    fn what_is_due(&self, phase: Phase) -> Due {
        let doing = self.doing();
        if doing == Doing::Over {
            return Due::Nothing;
        }
        let blocked = self.blocked.load(Relaxed);
        if blocked && self.blocked_since.reached(self.limits.write_timeout) {
            return Due::WriteStalled;
        }
        let (closing, http2) = (self.closing.load(Relaxed), self.speaks(Protocol::Http2));
        if closing && doing != Doing::Serving {
            // What was written last may still be on its way: the end is late only when the client takes none of it.
            let late = self.since.reached(self.limits.write_timeout) || (http2 && self.closing_since.reached(LONGEST_CLOSE));
            return if late { Due::CloseLate } else { Due::Nothing };
        }
        let sockets_close = phase >= Phase::Closing;
        if http2 && !closing && (sockets_close || (phase == Phase::Draining && !self.late)) {
            return Due::Close;
        }
        if http2 && !closing && self.cancelled.load(Relaxed) > MOST_CANCELLED {
            return Due::Close;
        }
        let head_late = self.since.reached(self.limits.header_timeout);
        match doing {
            Doing::Opened if head_late || (sockets_close && self.since.reached(FIRST_REQUEST)) => Due::Close,
            Doing::Handshake if head_late || (sockets_close && self.since.reached(LAST_HANDSHAKE)) => Due::HeadLate,
            Doing::Head if head_late => Due::HeadLate,
            Doing::Idle if sockets_close => Due::Close,
            Doing::Idle if self.since.reached(if http2 { self.limits.h2_idle } else { self.limits.keep_alive }) => Due::Close,
            // HTTP/2 has no moment at which nothing of it must be kept.
            Doing::Idle if !http2 && !closing && !blocked && !self.asleep.load(Relaxed) && self.since.reached(SLEEP_AFTER) => Due::Sleep,
            Doing::Opened | Doing::Handshake | Doing::Head | Doing::Serving | Doing::Idle | Doing::Over => Due::Nothing,
        }
    }
}

/// A request that is served, until its response has been handed to the protocol.
#[derive(Debug)]
pub(super) struct Serving(Arc<Activity>);

impl Drop for Serving {
    fn drop(&mut self) {
        let in_flight = self.0.in_flight.load(Relaxed).saturating_sub(1);
        self.0.in_flight.store(in_flight, Relaxed);
        if in_flight == 0 {
            self.0.begin(Doing::Idle);
        }
    }
}

#[cfg(test)]
mod tests;
