//! The record of one request: told what happens while the request lives, counted and written when it drops.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::counts::{SOON, Times, TryTimes};
use super::details::Details;
use super::label::MethodLabel;
use super::route_series::Seen;
use super::{Observer, RouteSeries, line};
use crate::error::Reason;
use crate::model::{Origin, Scheme};

/// What is logged of a client that went away before it had a status, as nginx does.
const CLIENT_GONE: u16 = 499;

/// What a record takes over from the client's connection.
#[derive(Debug, Clone, Copy)]
pub struct ClientFacts<'a> {
    /// The client: the peer, or what a PROXY header or a trusted `X-Forwarded-For` says of it.
    pub client: SocketAddr,
    /// The name of the listener.
    pub listener: &'a Arc<str>,
    /// The port that the listener is bound to.
    pub local_port: u16,
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// The server name of the TLS handshake; `None` in clear text or without one.
    pub server_name: Option<&'a Arc<str>>,
    /// The TLS version as logs write it, such as `TLSv1.3`; `None` in clear text.
    pub tls_version: Option<&'static str>,
}

/// The record of one request. Dropping it counts the request and writes its line, exactly once; a drop before
/// [`Record::finish`] means that the client went away, unless a reason says otherwise.
///
/// While the log is off it allocates nothing.
#[derive(Debug)]
pub struct Record {
    observer: Rc<Observer>,
    started: Instant,
    method: MethodLabel,
    series: Option<Arc<RouteSeries>>,
    status: Option<u16>,
    reason: Option<Reason>,
    finished: bool,
    bytes_in: u64,
    bytes_out: u64,
    /// `None` before the first try.
    last_try: Option<Try>,
    details: Option<Box<Details>>,
}

/// The last try at an endpoint, as far as it is counted.
#[derive(Debug, Clone, Copy)]
struct Try {
    began: Instant,
    /// When its connection stood; `None` before it does.
    connected: Option<Instant>,
}

/// What a line is rendered from.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) details: &'a Details,
    pub(super) series: Option<&'a RouteSeries>,
    pub(super) status: u16,
    pub(super) reason: Option<Reason>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// The present.
    pub(super) at: Instant,
    pub(super) took: Duration,
}

impl Try {
    fn times(self, now: Instant) -> TryTimes {
        let since = |until: Instant| until.saturating_duration_since(self.began);
        TryTimes { whole: since(now), connect: self.connected.map(since) }
    }
}

impl Record {
    /// Begins the record of a request whose head has arrived.
    #[must_use]
    pub fn begin(observer: &Rc<Observer>, client: ClientFacts<'_>, request: &http::request::Parts) -> Self {
        let details = observer.lines().map(|lines| {
            let mut details = lines.spare();
            details.begin(&lines.needs, &client, request);
            details
        });
        Self {
            observer: Rc::clone(observer),
            started: Instant::now(),
            method: MethodLabel::from(&request.method),
            series: None,
            status: None,
            reason: None,
            finished: false,
            bytes_in: 0,
            bytes_out: 0,
            last_try: None,
            details,
        }
    }

    /// Returns when the request's head had arrived.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns the worker's observer.
    #[must_use]
    pub fn observer(&self) -> &Rc<Observer> {
        &self.observer
    }

    /// Says which client it is, where headers of a trusted peer tell more than the connection.
    pub fn client(&mut self, client: SocketAddr) {
        if let Some(details) = &mut self.details {
            details.client = client;
        }
    }

    /// Says which route took the request.
    pub fn route(&mut self, series: &Arc<RouteSeries>) {
        self.series = Some(Arc::clone(series));
    }

    /// Says which Service the route leads to.
    pub fn service(&mut self, service: &Arc<Origin>) {
        if let Some(details) = &mut self.details {
            details.take_service(service);
        }
    }

    /// Says what the request's identity is; the first word stays. It is asked for only if the log is on.
    pub fn request_id<T: AsRef<[u8]>>(&mut self, id: impl FnOnce() -> Option<T>) {
        if let Some(details) = &mut self.details {
            details.take_request_id(id);
        }
    }

    /// Says that an endpoint is tried from `now` on; the try before it, if any, is over.
    pub fn attempt(&mut self, address: SocketAddr, name: &Arc<str>, now: Instant) {
        self.last_try = Some(Try { began: now, connected: None });
        if let (Some(lines), Some(details)) = (self.observer.lines(), &mut self.details) {
            details.close_attempt(now, self.bytes_out);
            details.attempt(&lines.needs, address, name, now);
        }
    }

    /// Says that the connection to the endpoint stands, as of `now`.
    pub fn connected(&mut self, now: Instant) {
        if let Some(last) = &mut self.last_try {
            last.connected = Some(now);
        }
        if let Some(attempt) = self.details.as_mut().and_then(|details| details.attempts.last_mut()) {
            attempt.connected = Some(now.saturating_duration_since(attempt.started));
        }
    }

    /// Says that the endpoint's answer has begun.
    pub fn answered(&mut self, status: StatusCode) {
        if let (Some(lines), Some(details)) = (self.observer.lines(), &mut self.details) {
            details.answered(&lines.needs, status.as_u16());
        }
    }

    /// Says what status the client gets.
    pub fn status(&mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }

    /// Says why the proxy answers itself, or cuts the answer. The first reason stays.
    pub fn reason(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
    }

    /// Counts bytes of the request's body that arrived.
    pub fn received(&mut self, bytes: u64) {
        self.bytes_in += bytes;
    }

    /// Counts bytes of the response's body that went out.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes_out += bytes;
    }

    /// Returns what took how long of the request, which ends `now` and took so long; of nearly all there is nothing more to reckon.
    fn times(&self, now: Instant, took: Duration) -> Times {
        match self.last_try {
            Some(Try { began, connected: Some(connected) })
                if began == self.started && connected.saturating_duration_since(began) <= SOON =>
            {
                Times::Plain { took, connect: connected.saturating_duration_since(began) }
            }
            last => Times::Apart { whole: took, last_try: last.map(|last| last.times(now)) },
        }
    }

    /// Says that the response has reached its end: the drop that follows is not the client's doing.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.finished {
            self.reason.get_or_insert(if std::thread::panicking() { Reason::Internal } else { Reason::ClientGone });
        }
        let status = self.status.unwrap_or_else(|| match self.reason {
            Some(Reason::ClientGone) | None => CLIENT_GONE,
            Some(reason) => reason.status().as_u16(),
        });
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        let metrics = self.observer.metrics();
        let series = self.series.as_ref().unwrap_or_else(|| metrics.unrouted());
        series.count(Seen::new(self.method, status), self.times(now, took), self.bytes_in, self.bytes_out);
        if let Some(reason) = self.reason {
            metrics.answer(reason);
        }
        let Some(mut details) = self.details.take() else { return };
        details.close_attempt(now, self.bytes_out);
        let ended = Ended {
            details: &details,
            series: self.series.as_deref(),
            status,
            reason: self.reason,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            at: now,
            took,
        };
        self.observer.push(|out, format, clock| line::render(out, format, clock, &ended));
        if let Some(lines) = self.observer.lines() {
            lines.take_back(details);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
