//! What came of traffic.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::balancer::Ends;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Small GETs and POSTs in clear text.
    Http1,
    /// The same over TLS.
    Http1OverTls,
    /// The same over HTTP/2 and TLS, several at once.
    Http2,
    /// The same over TLS, each request on a connection of its own.
    NewConnection,
    /// Answers that take more than a second: to begin (HTTP/1.1 over TLS), or to end (HTTP/2).
    SlowAnswer,
    /// Bodies that take more than a second to send, in clear text.
    SlowUpload,
    /// Messages of WebSockets, in clear text and over TLS; a failure is a WebSocket that could not be opened, or a wrong answer.
    WebSocket,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Http1, Self::Http1OverTls, Self::Http2, Self::NewConnection, Self::SlowAnswer, Self::SlowUpload, Self::WebSocket];

    fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http1OverTls => "HTTP/1.1 over TLS",
            Self::Http2 => "HTTP/2",
            Self::NewConnection => "on new connections",
            Self::SlowAnswer => "slow answers",
            Self::SlowUpload => "slow uploads",
            Self::WebSocket => "WebSocket messages",
        }
    }
}

/// A request that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What it was.
    pub kind: Kind,
    /// The connection that it failed on, if there was one.
    pub on: Option<Ends>,
    /// Why.
    pub cause: String,
    /// When.
    pub at: Instant,
}

/// A WebSocket that was closed by the other side.
#[derive(Debug, Clone)]
pub struct Closed {
    /// Its connection.
    pub on: Ends,
    /// How: a close frame's code, or what the connection's end looked like.
    pub how: String,
    /// When.
    pub at: Instant,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that were answered well, and messages that came back.
    pub good: BTreeMap<Kind, u64>,
    /// What failed.
    pub failed: Vec<Failure>,
    /// HTTP/2 requests that were asked anew, since the server said that it had not processed them.
    pub unprocessed: u64,
    /// WebSockets that were opened.
    pub opened: u64,
    /// WebSockets that were closed.
    pub closed: Vec<Closed>,
    /// For how long.
    pub lasted: Duration,
}

impl Tally {
    pub(super) fn good(&mut self, kind: Kind) {
        *self.good.entry(kind).or_default() += 1;
    }

    pub(super) fn failed(&mut self, kind: Kind, on: Option<Ends>, cause: String) {
        self.failed.push(Failure { kind, on, cause, at: Instant::now() });
    }

    /// Returns how many requests were answered well; messages of WebSockets are none.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.good.iter().filter(|(kind, _)| **kind != Kind::WebSocket).map(|(_, count)| count).sum()
    }

    /// Checks that nothing failed, that something of every kind was asked for, and how many requests there were: traffic that never was
    /// proves nothing.
    ///
    /// # Errors
    /// Says what failed and how often.
    pub fn all_good(&self, at_least: u64) -> anyhow::Result<()> {
        ensure!(self.failed.is_empty(), "{self}");
        ensure!(self.of_every_kind(), "a kind is missing: {self}");
        ensure!(self.requests() >= at_least, "fewer than {at_least} requests: {self}");
        Ok(())
    }

    /// Returns whether something of every kind went well.
    #[must_use]
    pub fn of_every_kind(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.good.contains_key(kind))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests and {} failures in {} s", self.requests(), self.failed.len(), self.lasted.as_secs())?;
        for (kind, count) in &self.good {
            write!(f, ", {} {count}", kind.as_str())?;
        }
        write!(f, "; {} asked anew; {} WebSockets opened, {} closed", self.unprocessed, self.opened, self.closed.len())?;
        let mut causes: BTreeMap<(Kind, &str), u64> = BTreeMap::new();
        for failure in &self.failed {
            *causes.entry((failure.kind, &failure.cause)).or_default() += 1;
        }
        for ((kind, cause), count) in causes {
            write!(f, "\n  {count} times, {}: {cause}", kind.as_str())?;
        }
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for closed in &self.closed {
            *ends.entry(&closed.how).or_default() += 1;
        }
        for (how, count) in ends {
            write!(f, "\n  {count} WebSockets closed: {how}")?;
        }
        Ok(())
    }
}
