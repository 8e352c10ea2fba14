//! The generator: HTTP/1.1 and WebSocket clients that check every byte they get, within a bounded time.
//!
//! It runs as a process of its own, given a [`Plan`] as JSON, and writes an [`Outcome`] as JSON. HTTP/2 under load is left to h2load.

mod connect;
mod http;
mod http2;
mod idle;
mod latency;
mod websocket;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};

use connect::Connector;
use latency::Latencies;

/// What a generator does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// The authority to trust; `None` for clear text.
    pub tls: Option<PathBuf>,
    /// The host that is asked for, also by SNI.
    pub hosts: Hosts,
    /// What each connection does.
    pub exchange: Exchange,
    /// How many connections at once.
    pub connections: usize,
    /// When it ends.
    pub until: Until,
    /// When requests are sent.
    pub pace: Pace,
}

impl Plan {
    /// Returns the plan of one small download.
    pub fn one(address: SocketAddr, tls: Option<PathBuf>) -> Self {
        let exchange = Exchange::Download(64);
        Self { address, tls, hosts: Hosts::One, exchange, connections: 1, until: Until::Requests(1), pace: Pace::Closed }
    }
}

/// Which hosts are asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Hosts {
    /// `bench.test`.
    One,
    /// `host-0.bench.test` and so on, one after another over all connections.
    Many(usize),
}

impl Hosts {
    /// Returns the name of one.
    pub fn name(self, number: usize) -> String {
        match self {
            Self::One => "bench.test".to_owned(),
            Self::Many(count) => format!("host-{}.bench.test", number % count.max(1)),
        }
    }
}

/// What each connection does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Exchange {
    /// One download after another on the same connection, of that many bytes.
    Download(usize),
    /// One upload after another on the same connection, of that many bytes.
    Upload(usize),
    /// A new connection for each small download.
    Connect,
    /// The same, resuming the TLS session of an earlier one.
    Resume,
    /// One small download after another on one HTTP/2 connection.
    Http2,
    /// WebSocket messages of that many bytes, each waiting for its echo.
    WebSocket(usize),
    /// One small download over HTTP/1.1, then silence until standard input ends.
    Idle,
    /// The same over HTTP/2.
    IdleHttp2,
}

/// When a generator ends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Until {
    /// After this time; what is under way is finished.
    Seconds(f64),
    /// After this many requests over all connections.
    Requests(usize),
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Pace {
    /// Each as soon as the one before is answered.
    Closed,
    /// This many a second over all connections, however long answers take; latency counts from when a request was due.
    PerSecond(f64),
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Exchanges that were right in every byte.
    pub requests: u64,
    /// Exchanges that were not.
    pub failed: u64,
    /// The first of those.
    pub failure: Option<String>,
    /// TLS sessions that were resumed.
    pub resumed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Latencies in microseconds: the median, and what 1 % and 0.1 % exceed.
    pub latency_us: Option<[f64; 3]>,
}

/// What the connections of a generator share.
struct Run {
    plan: Plan,
    connector: Connector,
    begun: Instant,
    taken: Cell<usize>,
    outcome: RefCell<Outcome>,
    latencies: RefCell<Latencies>,
    /// Connections that are kept though nothing is asked of them.
    held: RefCell<Vec<Box<dyn Any>>>,
}

impl Run {
    /// Takes the number of the next request, if there is to be one.
    fn take(&self) -> Option<usize> {
        let number = self.taken.get();
        let more = match self.plan.until {
            Until::Seconds(seconds) => self.begun.elapsed().as_secs_f64() < seconds,
            Until::Requests(count) => number < count,
        };
        more.then(|| self.taken.replace(number + 1))
    }

    /// Waits until a request is due; returns when it was.
    async fn due(&self, number: usize) -> Instant {
        let Pace::PerSecond(rate) = self.plan.pace else { return Instant::now() };
        #[expect(clippy::cast_precision_loss, reason = "numbers of requests are far below 2^52")]
        let due = self.begun + Duration::from_secs_f64(number as f64 / rate);
        // A timer's millisecond would be too coarse.
        while Instant::now() < due {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
        due
    }

    fn right(&self, since: Instant) {
        self.outcome.borrow_mut().requests += 1;
        self.latencies.borrow_mut().add(since.elapsed());
    }

    fn wrong(&self, error: &anyhow::Error) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.failed += 1;
        outcome.failure.get_or_insert_with(|| format!("{error:#}"));
    }
}

/// Carries a plan out, and writes the outcome to standard output. Idle connections are held until standard input ends.
pub fn run(plan: &str) -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_str(plan).context("the plan is none")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let run = generate(plan).await?;
        let mut outcome = run.outcome.take();
        outcome.seconds = run.begun.elapsed().as_secs_f64();
        outcome.latency_us = run.latencies.take().percentiles();
        println!("{}", serde_json::to_string(&outcome)?);
        if !run.held.borrow().is_empty() {
            tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
        }
        Ok(())
    })
}

async fn generate(plan: Plan) -> anyhow::Result<Rc<Run>> {
    let connector = Connector::new(&plan)?;
    let connections = plan.connections;
    let run = Rc::new(Run {
        plan,
        connector,
        begun: Instant::now(),
        taken: Cell::new(0),
        outcome: RefCell::default(),
        latencies: RefCell::default(),
        held: RefCell::default(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let run = Rc::clone(&run);
        tasks.spawn_local(async move {
            match run.plan.exchange {
                Exchange::Download(_) | Exchange::Upload(_) => http::keep_alive(&run).await,
                Exchange::Connect | Exchange::Resume => http::connect_each(&run).await,
                Exchange::Http2 => http2::keep_alive(&run).await,
                Exchange::WebSocket(bytes) => websocket::messages(&run, bytes).await,
                Exchange::Idle | Exchange::IdleHttp2 => idle::open(&run).await,
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(run)
}
