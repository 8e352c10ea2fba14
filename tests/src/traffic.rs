//! Mixed traffic, as clients of many kinds make it: HTTP/1.1 and HTTP/2, in clear text and over TLS, over kept connections and new ones, with
//! bodies, slow answers, slow uploads, and WebSockets. Bounded; whatever fails is kept with its cause and with the connection it failed on.
//!
//! ```text
//! traffic (lanes: who asks for what, how often) ─┬─> connection (one request on one connection)
//!                                                ├─> websocket (messages to and fro, until it is closed; then anew)
//!                                                └─> tally (what came of it)
//! ```
//!
//! A request fails unless its whole answer comes back and is the right one. A client asks anew only what it has sent nothing of, on a
//! connection that had ended by then, and what HTTP/2 tells it was not processed.

mod connection;
mod tally;
mod websocket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::join_all;
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::client::ANSWER_WITHIN;
use crate::tls::client_config;
use connection::{Connection, Content, Outcome, Wire};

pub use tally::{Closed, Failure, Kind, Tally};

/// The machine is not ours alone.
const MOST_PER_SECOND: u32 = 1000;
const LEAST_PER_SECOND: u32 = 100;
/// How many WebSockets are open.
pub const WEBSOCKETS: u32 = 24;
/// How many HTTP/2 requests go at once over a connection.
const STREAMS: u32 = 4;

/// Where traffic goes to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address for clear text.
    pub http: SocketAddr,
    /// A host that is served there.
    pub plain: String,
    /// The address for TLS.
    pub https: SocketAddr,
    /// A host that is served there.
    pub secure: String,
}

/// Traffic until it is ended.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    begun: Instant,
    workers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

/// Clients of one kind.
#[derive(Debug, Clone, Copy)]
struct Lane {
    kind: Kind,
    wire: Wire,
    content: Content,
    clients: u32,
    /// Requests of each client that go at once.
    at_once: u32,
    /// Requests after which a client connects anew.
    per_connection: u32,
    /// Of a hundred requests, those of this lane.
    share: u32,
}

/// Slow ones take more than a second: many of them are under way whatever happens.
const LANES: [Lane; 7] = [
    lane(Kind::Http1, Wire::Http1, Content::Bodies, 12, 1, 500, 30),
    lane(Kind::Http1OverTls, Wire::Http1OverTls, Content::Bodies, 8, 1, 500, 20),
    lane(Kind::Http2, Wire::Http2, Content::Bodies, 6, STREAMS, 500, 40),
    lane(Kind::NewConnection, Wire::Http1OverTls, Content::Bodies, 2, 1, 1, 4),
    lane(Kind::SlowAnswer, Wire::Http1OverTls, Content::SlowHead, 10, 1, 20, 2),
    lane(Kind::SlowAnswer, Wire::Http2, Content::SlowBody, 3, STREAMS, 20, 2),
    lane(Kind::SlowUpload, Wire::Http1, Content::SlowUpload, 10, 1, 20, 2),
];

const fn lane(kind: Kind, wire: Wire, content: Content, clients: u32, at_once: u32, per_connection: u32, share: u32) -> Lane {
    Lane { kind, wire, content, clients, at_once, per_connection, share }
}

impl Traffic {
    /// Starts about so many requests a second, and [`WEBSOCKETS`] besides.
    ///
    /// # Errors
    /// More is asked for than a test may send.
    pub fn start(target: Target, per_second: u32) -> anyhow::Result<Self> {
        ensure!(
            (LEAST_PER_SECOND..=MOST_PER_SECOND).contains(&per_second),
            "{per_second} requests a second: {LEAST_PER_SECOND} to {MOST_PER_SECOND} are allowed"
        );
        let (http1, http2) = (client_config(&["http/1.1"])?, client_config(&["h2"])?);
        let shared = Arc::new(Shared { target, http1, http2, stop: AtomicBool::new(false), tally: Mutex::default() });
        let mut workers = JoinSet::new();
        for lane in LANES {
            let period = Duration::from_secs(100) * lane.clients * lane.at_once / (per_second * lane.share);
            for client in 0..lane.clients {
                // Clients do not ask in step.
                let first = Instant::now() + period * client / lane.clients;
                workers.spawn(Arc::clone(&shared).ask_repeatedly(lane, first, period));
            }
        }
        for client in 0..WEBSOCKETS {
            let wire = if client.is_multiple_of(2) { Wire::Http1 } else { Wire::Http1OverTls };
            workers.spawn(websocket::talk(Arc::clone(&shared), wire));
        }
        Ok(Self { shared, begun: Instant::now(), workers })
    }

    /// Returns what came of it so far.
    #[must_use]
    pub fn so_far(&self) -> Tally {
        let mut tally = self.shared.tally().clone();
        tally.lasted = self.begun.elapsed();
        tally
    }

    /// Stops, waits for what is under way, and returns what came of it.
    pub async fn end(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.workers.join_next().await.is_some() {}
        self.so_far()
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn ask_repeatedly(self: Arc<Self>, lane: Lane, first: Instant, period: Duration) {
        let mut ticks = interval_at(first, period);
        // A machine that cannot do so many does fewer.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut connection, mut asked, mut turn) = (None, 0, 0_u32);
        loop {
            ticks.tick().await;
            if self.stopped() {
                return;
            }
            if asked >= lane.per_connection {
                (connection, asked) = (None, 0);
            }
            let turns: Vec<_> = (turn..turn + lane.at_once).collect();
            (turn, asked) = (turn + lane.at_once, asked + lane.at_once);
            self.ask_at_once(lane, &mut connection, turns).await;
        }
    }

    /// Asks all of it over one connection, and over another what the first had ended without.
    async fn ask_at_once(&self, lane: Lane, connection: &mut Option<Connection>, mut turns: Vec<u32>) {
        while !turns.is_empty() {
            let open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(self, lane.wire).await {
                    Ok(open) => open,
                    Err((ends, cause)) => {
                        turns.iter().for_each(|_| self.tally().failed(lane.kind, ends, format!("no connection: {cause:#}")));
                        return;
                    }
                },
            };
            let asking = turns.iter().map(|&turn| timeout(ANSWER_WITHIN, open.ask(self, lane.content, turn)));
            let outcomes = join_all(asking).await;
            let (mut unsent, mut keep) = (Vec::new(), true);
            for (turn, outcome) in turns.into_iter().zip(outcomes) {
                match outcome.unwrap_or_else(|_| Outcome::Failed(anyhow::anyhow!("no answer in time"))) {
                    Outcome::Good => self.tally().good(lane.kind),
                    Outcome::GoodAndLast => {
                        keep = false;
                        self.tally().good(lane.kind);
                    }
                    Outcome::Unsent => unsent.push(turn),
                    Outcome::Unprocessed => {
                        self.tally().unprocessed += 1;
                        unsent.push(turn);
                    }
                    Outcome::Failed(cause) => {
                        keep = false;
                        self.tally().failed(lane.kind, Some(open.ends), format!("{cause:#}"));
                    }
                }
            }
            if keep && unsent.is_empty() {
                *connection = Some(open);
            }
            turns = unsent;
        }
    }
}
