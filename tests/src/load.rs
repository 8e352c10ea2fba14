//! A bounded load: so many requests a second over kept connections, half of them POST, and every failure counted with its reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client;

/// Returns a number from the environment, for machines that cannot do what tests do by default.
///
/// # Errors
/// It is not a number.
pub fn setting(name: &str, default: u32) -> anyhow::Result<u32> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is {text:?}, not a number")),
        Err(_) => Ok(default),
    }
}

/// Returns how many requests a second tests under load send: 500, or `TIDEGATE_TEST_LOAD_RPS`.
///
/// # Errors
/// That is not a number.
pub fn requests_per_second() -> anyhow::Result<u32> {
    setting("TIDEGATE_TEST_LOAD_RPS", 500)
}

/// Requests to one host until it is ended.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests answered as they should be.
    pub good: u64,
    /// How many failed, by what was wrong.
    pub failed: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    host: String,
    stop: AtomicBool,
    good: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
}

/// Bytes that each POST carries.
const POSTED: usize = 2000;
const CONNECTIONS: u32 = 20;
/// The machine is not ours alone.
const MOST_PER_SECOND: u32 = 1000;

impl Load {
    /// Starts asking for `http://HOST/` at the address, so many times a second: GET and POST by turns, over 20 connections that are
    /// kept. An answer counts if it is a whole 200 of the echo backend that received all that was sent.
    ///
    /// # Errors
    /// More is asked for than a test may send.
    pub fn start(address: SocketAddr, host: &str, per_second: u32) -> anyhow::Result<Self> {
        ensure!(
            (CONNECTIONS..=MOST_PER_SECOND).contains(&per_second),
            "{per_second} requests a second: {CONNECTIONS} to {MOST_PER_SECOND} are allowed"
        );
        let shared = Arc::new(Shared {
            address,
            host: host.to_owned(),
            stop: AtomicBool::new(false),
            good: AtomicU64::new(0),
            failed: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        for worker in 0..CONNECTIONS {
            let shared = Arc::clone(&shared);
            workers.spawn(async move { shared.ask_repeatedly(worker, per_second).await });
        }
        Ok(Self { shared, workers })
    }

    /// Returns how many requests were answered well so far.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.shared.good.load(Ordering::Relaxed)
    }

    /// Stops asking, waits for what is under way and returns the tally.
    pub async fn end(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.workers.join_next().await.is_some() {}
        let failed = self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Tally { good: self.good(), failed }
    }
}

impl Tally {
    /// Checks that nothing failed and that at least so many requests were sent: a load that never ran proves nothing.
    ///
    /// # Errors
    /// Says what failed and how often.
    pub fn all_good(&self, at_least: u64) -> anyhow::Result<()> {
        ensure!(self.failed.is_empty(), "of {} requests some failed: {:#?}", self.good + self.failed.values().sum::<u64>(), self.failed);
        ensure!(self.good >= at_least, "only {} requests were sent, {at_least} were wanted", self.good);
        Ok(())
    }
}

impl Shared {
    async fn ask_repeatedly(&self, worker: u32, per_second: u32) {
        let period = Duration::from_secs(1) * CONNECTIONS / per_second;
        // Spread over the period, so that connections do not ask in step.
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period * worker / CONNECTIONS, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut connection = None;
        let mut turn = worker;
        while !self.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            turn = turn.wrapping_add(1);
            let method = if turn.is_multiple_of(2) { Method::GET } else { Method::POST };
            let answered = tokio::time::timeout(client::ANSWER_WITHIN, self.ask_once(&mut connection, &method)).await;
            match answered.context("no answer in time").and_then(|result| result) {
                Ok(()) => {
                    self.good.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    connection = None;
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    *failed.entry(format!("{method}: {error:#}")).or_default() += 1;
                }
            }
        }
    }

    async fn ask_once(&self, connection: &mut Option<SendRequest<Full<Bytes>>>, method: &Method) -> anyhow::Result<()> {
        // A connection that the server said it would close is not used again; one that breaks under a request is a failure.
        if connection.as_ref().is_some_and(SendRequest::is_closed) {
            *connection = None;
        }
        let sender = match connection {
            Some(sender) => sender,
            None => {
                let stream = client::connect(self.address).await?;
                let (sender, driver) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                connection.insert(sender)
            }
        };
        sender.ready().await.context("the connection closed")?;
        let posted = if *method == Method::POST { POSTED } else { 0 };
        let request = Request::builder()
            .method(method.clone())
            .uri("/")
            .header(http::header::HOST, &self.host)
            .body(Full::new(Bytes::from(vec![b'x'; posted])))?;
        let response = sender.send_request(request).await.context("no answer")?;
        let status = response.status();
        let closes = response.headers().get(http::header::CONNECTION).is_some_and(|value| value.as_bytes() == b"close");
        let body = response.into_body().collect().await.context("half an answer")?.to_bytes();
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body).trim());
        let seen: serde_json::Value = serde_json::from_slice(&body).context("the answer is not the backend's")?;
        ensure!(seen["body"]["bytes"] == posted, "the backend received {} of {posted} bytes", seen["body"]["bytes"]);
        if closes {
            *connection = None;
        }
        Ok(())
    }
}
