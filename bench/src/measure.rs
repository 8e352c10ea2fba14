//! One slice: load on one proxy for a moment, and what that cost.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::load::{Exchange, Outcome, Pace, Plan, Until};
use crate::peers::{Contestant, Ground, Site};
use crate::process::{LOAD_CORE, Used};
use crate::suites::{Measure, Scheme};

/// How long h2load may take for one slice.
const PATIENCE_SECONDS: &str = "60";
/// How many requests it sends at most.
const MOST_REQUESTS: usize = 1_000_000;

/// Figures of one slice by name, each with its unit.
pub type Figures = BTreeMap<String, f64>;

/// Measures one contestant for about this time.
///
/// # Errors
/// A request failed, or a byte was wrong.
pub fn slice(ground: &Ground, contestant: &Contestant, measure: Measure, seconds: f64) -> anyhow::Result<Figures> {
    match measure {
        Measure::Exchanges { exchange, scheme, connections, pace } => {
            let plan = Plan { exchange, connections, until: Until::Seconds(seconds), pace, ..plan(ground, contestant, scheme) };
            exchanges(ground, contestant, &plan)
        }
        Measure::Http2 { connections, streams } => http2(contestant, connections, streams, seconds),
        Measure::Idle { exchange, scheme, connections } => {
            let plan = Plan { exchange, connections: 16, until: Until::Requests(connections), ..plan(ground, contestant, scheme) };
            idle(ground, contestant, &plan, connections)
        }
        Measure::Memory => memory(ground, contestant),
    }
}

fn plan(ground: &Ground, contestant: &Contestant, scheme: Scheme) -> Plan {
    let (address, tls) = match scheme {
        Scheme::Http => (contestant.http, None),
        Scheme::Https => (contestant.https, Some(ground.authority())),
    };
    Plan { hosts: contestant.site.hosts(), ..Plan::one(address, tls) }
}

fn generator(program: &Path) -> Command {
    let mut command = Command::new("chrt");
    // It must not take the core from the backend whenever a reply comes.
    command.args(["-b", "0", "taskset", "-c", LOAD_CORE]).arg(program);
    command
}

/// Carries out a plan to its end.
///
/// # Errors
/// An exchange failed.
pub fn generate(program: &Path, plan: &Plan) -> anyhow::Result<Outcome> {
    let output = generator(program).arg("load").arg(serde_json::to_string(plan)?).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the generator failed");
    right(serde_json::from_slice(&output.stdout)?)
}

fn right(outcome: Outcome) -> anyhow::Result<Outcome> {
    if outcome.failed > 0 {
        bail!(
            "{} of {} exchanges failed, first: {}",
            outcome.failed,
            outcome.failed + outcome.requests,
            outcome.failure.unwrap_or_default()
        );
    }
    ensure!(outcome.requests > 0, "no request was answered");
    Ok(outcome)
}

fn exchanges(ground: &Ground, contestant: &Contestant, plan: &Plan) -> anyhow::Result<Figures> {
    let before = contestant.process.used();
    let outcome = generate(&ground.tools.own, plan)?;
    let mut figures = costs(contestant.process.used() - before, outcome.requests, outcome.seconds);
    if matches!(plan.exchange, Exchange::Resume) {
        // The first of each client has nothing to resume.
        let might = outcome.requests.saturating_sub(u64::try_from(plan.connections)?);
        ensure!(outcome.resumed * 10 >= might * 8, "{} of {might} sessions were resumed", outcome.resumed);
    }
    if let (Pace::PerSecond(_), Some(latency)) = (plan.pace, outcome.latency_us) {
        figures.extend(["p50 µs", "p99 µs", "p99.9 µs"].map(str::to_owned).into_iter().zip(latency));
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one slice are far below 2^52")]
fn costs(used: Used, requests: u64, seconds: f64) -> Figures {
    let requests = requests as f64;
    let mut figures =
        Figures::from([("CPU µs".to_owned(), used.nanos as f64 / 1e3 / requests), ("requests/s".to_owned(), requests / seconds)]);
    if used.ticks > 0 {
        figures.insert("user %".to_owned(), 100.0 * used.user_ticks as f64 / used.ticks as f64);
    }
    figures
}

/// h2load can hang where it is given a time and the time ends early; it is given a number, found by a first run.
fn http2(contestant: &Contestant, connections: usize, streams: usize, seconds: f64) -> anyhow::Result<Figures> {
    let fewest = connections * streams * 2;
    let begun = Instant::now();
    h2load(contestant, connections, streams, fewest)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of requests are small"
    )]
    let requests = ((fewest as f64 / begun.elapsed().as_secs_f64() * seconds) as usize).clamp(fewest, MOST_REQUESTS);
    let (before, begun) = (contestant.process.used(), Instant::now());
    let requests = h2load(contestant, connections, streams, requests)?;
    Ok(costs(contestant.process.used() - before, requests, begun.elapsed().as_secs_f64()))
}

/// Sends so many requests; returns how many that was.
fn h2load(contestant: &Contestant, connections: usize, streams: usize, requests: usize) -> anyhow::Result<u64> {
    let output = generator(Path::new("timeout"))
        .args([PATIENCE_SECONDS, "h2load", "-c", &connections.to_string(), "-m", &streams.to_string(), "-n", &requests.to_string()])
        .args([&format!("--connect-to={}", contestant.https), "https://bench.test/bytes/64"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let succeeded = text.lines().find_map(|line| line.strip_prefix("status codes: ")?.split_once(" 2xx")?.0.parse::<u64>().ok());
    let said = || format!("h2load: {text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(succeeded == Some(u64::try_from(requests)?), "{}", said());
    succeeded.with_context(said)
}

/// A generator that holds its connections.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn idle(ground: &Ground, contestant: &Contestant, plan: &Plan, connections: usize) -> anyhow::Result<Figures> {
    // What the first requests leave behind is not a connection's.
    let warm = if matches!(plan.exchange, Exchange::IdleHttp2) { Exchange::Http2 } else { Exchange::Download(64) };
    generate(&ground.tools.own, &Plan { exchange: warm, until: Until::Requests(500), ..plan.clone() })?;
    let before = contestant.process.pss_kib();
    let mut child = generator(&ground.tools.own);
    child.arg("load").arg(serde_json::to_string(plan)?).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut held = Held(child.spawn()?);
    let mut line = String::new();
    BufReader::new(held.0.stdout.take().context("no output")?).read_line(&mut line)?;
    right(serde_json::from_str(&line).context("the generator failed")?)?;
    // What a proxy does with a connection only once it has been idle for a while counts.
    std::thread::sleep(Duration::from_secs(8));
    let after = contestant.process.pss_kib();
    drop(held);
    #[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
    Ok(Figures::from([("KiB".to_owned(), after.saturating_sub(before) as f64 / connections as f64)]))
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
fn memory(ground: &Ground, contestant: &Contestant) -> anyhow::Result<Figures> {
    let before = contestant.process.pss_kib();
    let Site { hosts, .. } = contestant.site;
    let plain = Plan { connections: 16, until: Until::Requests(2 * hosts.max(500)), ..plan(ground, contestant, Scheme::Http) };
    generate(&ground.tools.own, &plain)?;
    let secure = Plan {
        exchange: Exchange::Connect,
        connections: 16,
        until: Until::Requests(hosts.max(500)),
        ..plan(ground, contestant, Scheme::Https)
    };
    generate(&ground.tools.own, &secure)?;
    std::thread::sleep(Duration::from_secs(2));
    Ok(Figures::from([
        ("MiB before".to_owned(), before as f64 / 1024.0),
        ("MiB after".to_owned(), contestant.process.pss_kib() as f64 / 1024.0),
        ("start s".to_owned(), contestant.start.as_secs_f64()),
    ]))
}
