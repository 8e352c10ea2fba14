//! The soak: the table is swapped thousands of times while requests go through it. None may fail, no byte may be wrong, and memory must
//! stay flat: what a swap leaves behind would add up.
//!
//! Manifests are rewritten by rename, several in turn: one file must lie still for a moment before it counts, so that one alone would
//! make few swaps. Swaps are counted by the generation that serves, so that changes which fell into one count once.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::load::{Plan, Until};
use crate::measure::generate;
use crate::peers::install::Tools;
use crate::peers::{Contestant, Ground, Peer, Site, answers, free_address};
use crate::report::Spread;
use crate::run::backend;

/// Manifests that are rewritten in turn; the first is that of the rule which the load asks for.
const FILES: u64 = 32;
/// Between two of them: as often as the directory is looked at.
const TICK: Duration = Duration::from_millis(22);
/// Ticks between two looks at memory and at the generation.
const LOOK_EVERY: u64 = 20;
/// Requests of one generator's life at most; the next one's connections are new.
const BATCH: u64 = 50_000;
/// How many generators' lives there are at least.
const BATCHES: u64 = 20;
const CONNECTIONS: usize = 16;
/// How long a soak lasts at least: memory is flat only after the code was paged in, the connections have their buffers, and the
/// allocator, which gives back what has been free for a second, did so a few times.
const LEAST: Duration = Duration::from_secs(15);
/// How long the last changes may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// What memory may grow by: this share, or this much.
const GROWTH: f64 = 0.10;
const GROWTH_KIB: f64 = 1.5 * 1024.0;

/// What the soak is given.
#[derive(Debug, Clone, clap::Args)]
pub struct SoakOptions {
    /// Send at least this many requests
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Swap the table at least this many times
    #[arg(long, default_value_t = 10_000)]
    swaps: u64,
}

/// Runs it.
///
/// # Errors
/// A request failed, a byte was wrong, memory grew, or what was written last does not serve.
pub fn soak(options: &SoakOptions) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let upstreams = [free_address()?, free_address()?];
    let ground = Ground::new(directory.path().to_owned(), upstreams[0], Tools::find(&[Peer::Tidegate], false)?)?;
    let _backends = [backend(&ground, upstreams[0])?, backend(&ground, upstreams[1])?];
    let tidegate = ground.start(Peer::Tidegate, Site::USUAL)?;
    let mut manifests = Manifests { directory: tidegate.directory.join("manifests"), written: 0 };
    manifests.write("other-service.yaml", &other_service(upstreams[1]))?;
    for _ in 0..FILES {
        manifests.next()?;
    }

    let begun = Instant::now();
    let first = generation(&tidegate)?;
    let done = Done { requests: AtomicU64::new(0), swaps: AtomicU64::new(0), begun, options };
    let looks = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&ground, &tidegate, &done));
        let mut looks = Vec::new();
        for tick in 0_u64.. {
            if load.is_finished() {
                break;
            }
            manifests.next()?;
            if tick % LOOK_EVERY == 0 {
                done.swaps.store(generation(&tidegate)? - first, Ordering::Relaxed);
                looks.push((done.share(), tidegate.process.pss_anonymous_kib()));
                if tick % (LOOK_EVERY * 50) == 0 {
                    eprintln!("{done:?}, {} KiB, {:.0} s", tidegate.process.pss_anonymous_kib(), begun.elapsed().as_secs_f64());
                }
            }
            std::thread::sleep(TICK);
        }
        load.join().ok().context("the load panicked")??;
        anyhow::Ok(looks)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    manifests.serve(tidegate.http)?;
    let (before, after) = (memory(&looks, 0.1..0.3)?, memory(&looks, 0.8..f64::MAX)?);
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let rate = done.swaps.load(Ordering::Relaxed) as f64 / seconds;
    println!("{done:?} in {seconds:.0} s ({rate:.0} swaps a second): none failed, no byte was wrong");
    println!("memory: {before:.0} KiB after the first tenth, {after:.0} KiB at the end ({:+.1} %)", (after / before - 1.0) * 100.0);
    ensure!(after <= before + (before * GROWTH).max(GROWTH_KIB), "memory grew");
    Ok(())
}

/// How far the soak is.
struct Done<'o> {
    requests: AtomicU64,
    swaps: AtomicU64,
    begun: Instant,
    options: &'o SoakOptions,
}

impl Done<'_> {
    /// Returns which part of requests, swaps and time is done, of each at least.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn share(&self) -> f64 {
        let share = |done: &AtomicU64, wanted: u64| done.load(Ordering::Relaxed) as f64 / wanted.max(1) as f64;
        let time = self.begun.elapsed().as_secs_f64() / LEAST.as_secs_f64();
        share(&self.requests, self.options.requests).min(share(&self.swaps, self.options.swaps)).min(time)
    }
}

impl std::fmt::Debug for Done<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} requests, {} swaps", self.requests.load(Ordering::Relaxed), self.swaps.load(Ordering::Relaxed))
    }
}

/// Sends requests until there were enough of them, and of swaps.
fn load(ground: &Ground, tidegate: &Contestant, done: &Done<'_>) -> anyhow::Result<()> {
    let batch = BATCH.min(done.options.requests.div_ceil(BATCHES));
    let until = Until::Requests(usize::try_from(batch)?);
    let plan = Plan { connections: CONNECTIONS, until, ..Plan::one(tidegate.http, None) };
    while done.share() < 1.0 {
        let outcome = generate(&ground.tools.own, &plan)?;
        done.requests.fetch_add(outcome.requests, Ordering::Relaxed);
    }
    Ok(())
}

/// The manifests that change.
struct Manifests {
    directory: PathBuf,
    written: u64,
}

impl Manifests {
    /// Gives the next file its next version.
    fn next(&mut self) -> anyhow::Result<()> {
        let (file, version) = (self.written % FILES, self.written / FILES);
        let service = if version.is_multiple_of(2) { "bench-0" } else { "other" };
        let (host, path) = if file == 0 { ("bench.test".to_owned(), "/bytes") } else { (host(file, version), "/") };
        let ingress = format!(
            "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: soak-{file}, annotations: {{tidegate.dev/ssl-redirect: \"false\"}}}}
spec:
  ingressClassName: bench
  rules: [{{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]
"
        );
        self.write(&format!("soak-{file}.yaml"), &ingress)?;
        self.written += 1;
        Ok(())
    }

    /// Puts a file in place as a whole.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let draft = self.directory.join(".draft");
        fs::write(&draft, text)?;
        Ok(fs::rename(&draft, self.directory.join(name))?)
    }

    /// Waits until of every file the last version serves, and no other.
    fn serve(&self, address: SocketAddr) -> anyhow::Result<()> {
        let begun = Instant::now();
        let right = |file: u64| {
            let last = (self.written - 1 - file) / FILES;
            answers(address, &host(file, last)) && !(0..last).rev().take(3).any(|version| answers(address, &host(file, version)))
        };
        while !(1..FILES).all(right) {
            ensure!(begun.elapsed() < PATIENCE, "what was written last does not serve");
            std::thread::sleep(TICK);
        }
        Ok(())
    }
}

fn host(file: u64, version: u64) -> String {
    format!("v{version}.soak-{file}.test")
}

/// Returns a second way to the same content.
fn other_service(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: other}}
spec: {{ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: other, labels: {{kubernetes.io/service-name: other}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [{ip}]}}]
"
    )
}

/// Returns the generation that serves.
fn generation(tidegate: &Contestant) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(tidegate.admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: admin.test\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").context("no answer of the admin page")?;
    let version: Value = serde_json::from_str(body)?;
    version.get("generation").and_then(Value::as_u64).context("no generation")
}

/// Returns the median of the memory seen in a part of the soak.
#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
fn memory(looks: &[(f64, u64)], part: std::ops::Range<f64>) -> anyhow::Result<f64> {
    let seen = looks.iter().filter(|(share, _)| part.contains(share)).map(|(_, kib)| *kib as f64);
    Ok(Spread::of(seen).context("the soak is too short to tell how memory grows")?.median)
}
