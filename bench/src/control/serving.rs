//! From a write to the first request that it serves, beside what a bare watch needs to hear of the same write.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::{self, watcher};
use serde_json::json;
use tidegate::source::{debounce, follow};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::arena::{Arena, NAMESPACE, OTHER_PORT, PORT, create, host, ingress, slice};
use super::probe::Probe;
use super::report::{Rows, millis, percentile};
use super::subjects::Subject;

/// Between two changes, so that each is alone.
const REST: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(30);
/// After which no more changes are made, if there were enough.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
const ENOUGH: usize = 10;
/// Endpoints that change in a second, and how many writes of them may be under way.
const CHURN: u64 = 50;
const UNDER_WAY: usize = 32;

/// Whether endpoints change meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Churn {
    No,
    Yes,
}

/// A bare watch of Ingresses, which notes when it hears of each.
struct Watch {
    heard: Arc<Mutex<HashMap<String, Instant>>>,
    task: AbortHandle,
}

impl Watch {
    fn start(arena: &Arena) -> Self {
        let api: Api<Ingress> = Api::namespaced(arena.client(), NAMESPACE);
        let heard = Arc::<Mutex<HashMap<String, Instant>>>::default();
        let noted = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(ingress) | watcher::Event::InitApply(ingress)) = event {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).entry(ingress.name_any()).or_insert_with(Instant::now);
                }
            }
        });
        Self { heard, task: task.abort_handle() }
    }

    async fn heard(&self, name: &str) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        loop {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
            if let Some(at) = heard {
                return Ok(at);
            }
            ensure!(begun.elapsed() < PATIENCE, "the watch never heard of {name}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Measures new Ingresses for new hosts.
pub(super) async fn ingresses(arena: &Arena, subject: &Subject, changes: usize, churn: Churn, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let api = arena.api("Ingress")?;
    let watch = Watch::start(arena);
    let churning = (churn == Churn::Yes).then(|| start_churn(arena, rows.size)).transpose()?;
    watch.heard("ingress-0").await?;
    let (mut serving, mut hearing) = (Vec::new(), Vec::new());
    let start = Instant::now();
    // The first ones warm up.
    for change in 0..changes + 5 {
        if serving.len() >= ENOUGH && start.elapsed() > LONG_ENOUGH {
            break;
        }
        let name = format!("new-{change}");
        watch.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let host = format!("{name}.bench.test");
        let probe = Probe::start(subject.http, host.clone(), |answer| answer.status == 200).await?;
        let begun = Instant::now();
        create(&api, ingress(&name, &host, "/", rows.size - 1)).await?;
        let served = probe.end().await?.duration_since(begun);
        let heard = watch.heard(&name).await?.duration_since(begun);
        if change >= 5 {
            serving.push(millis(served));
            hearing.push(millis(heard));
        }
        // It is gone before the next one comes, which would wait for that too.
        let probe = Probe::start(subject.http, host, |answer| answer.status != 200).await?;
        api.delete(&name, &DeleteParams::default()).await?;
        probe.end().await?;
        tokio::time::sleep(REST).await;
    }
    let churned = churning.map(|churn| churn.rate());
    let quiet = if subject.name == "traefik" { 0.0 } else { millis(debounce::QUIET) };
    let ratio = |part| (percentile(&serving, part) - quiet) / percentile(&hearing, part);
    let mut figures = vec![
        ("serving p50 ms", percentile(&serving, 0.5)),
        ("serving p99 ms", percentile(&serving, 0.99)),
        ("bare watch p50 ms", percentile(&hearing, 0.5)),
        ("bare watch p99 ms", percentile(&hearing, 0.99)),
        ("÷ bare watch, p50", ratio(0.5)),
        ("÷ bare watch, p99", ratio(0.99)),
    ];
    figures.push(("changes", f64::from(u32::try_from(serving.len())?)));
    figures.extend(churned.map(|rate| ("slices a second", rate)));
    let what = if churn == Churn::Yes { "Ingress added, endpoints changing" } else { "Ingress added" };
    rows.add("serving", what, subject.name, figures, &serving);
    Ok(())
}

/// Measures endpoints that are replaced.
pub(super) async fn endpoints(arena: &Arena, subject: &Subject, changes: usize, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let api = arena.api("EndpointSlice")?;
    let (number, mut leaving) = (rows.size - 1, Vec::new());
    for change in 0..changes + 5 {
        let (port, name) = if change % 2 == 0 { (OTHER_PORT, "\"new\"") } else { (PORT, "\"old\"") };
        let wanted = move |answer: &super::probe::Answer| answer.body.windows(name.len()).any(|piece| piece == name.as_bytes());
        let probe = Probe::start(subject.http, host(number), wanted).await?;
        let begun = Instant::now();
        api.patch(&format!("service-{number}"), &PatchParams::default(), &Patch::Merge(slice(number, port))).await?;
        let left = probe.end().await?.duration_since(begun);
        if change >= 5 {
            leaving.push(millis(left));
        }
        tokio::time::sleep(REST).await;
    }
    // As it was.
    api.patch(&format!("service-{number}"), &PatchParams::default(), &Patch::Merge(slice(number, PORT))).await?;
    let figures = vec![("serving p50 ms", percentile(&leaving, 0.5)), ("serving p99 ms", percentile(&leaving, 0.99))];
    rows.add("serving", "endpoint replaced", subject.name, figures, &leaving);
    Ok(())
}

/// Measures new files with an Ingress for a new host.
pub(super) async fn manifests(subject: &Subject, changes: usize, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let directory = subject.manifests.as_ref().context("no directory")?;
    let mut serving = Vec::new();
    for change in 0..changes + 2 {
        let (name, draft) = (format!("new-{change}"), directory.join(".draft"));
        let host = format!("{name}.bench.test");
        let probe = Probe::start(subject.http, host.clone(), |answer| answer.status == 200).await?;
        fs::write(&draft, ingress(&name, &host, "/", rows.size - 1).to_string())?;
        let begun = Instant::now();
        fs::rename(&draft, directory.join(format!("{name}.json")))?;
        let served = probe.end().await?.duration_since(begun);
        if change >= 2 {
            serving.push(millis(served));
        }
    }
    let quiet = millis(follow::QUIET + debounce::QUIET);
    let figures = vec![
        ("serving p50 ms", percentile(&serving, 0.5)),
        ("serving p99 ms", percentile(&serving, 0.99)),
        ("p50 beyond quiet ms", percentile(&serving, 0.5) - quiet),
        ("p99 beyond quiet ms", percentile(&serving, 0.99) - quiet),
    ];
    rows.add("serving", "Ingress added", subject.name, figures, &serving);
    Ok(())
}

/// Endpoints that change all the time.
struct Churning {
    task: AbortHandle,
    begun: Instant,
    written: Arc<std::sync::atomic::AtomicU64>,
}

impl Churning {
    /// Ends it; returns how many slices were written in a second.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn rate(self) -> f64 {
        self.task.abort();
        self.written.load(std::sync::atomic::Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64()
    }
}

fn start_churn(arena: &Arena, size: usize) -> anyhow::Result<Churning> {
    let api = arena.api("EndpointSlice")?;
    let written = Arc::<std::sync::atomic::AtomicU64>::default();
    let counted = Arc::clone(&written);
    let task = tokio::spawn(async move {
        let room = Arc::new(Semaphore::new(UNDER_WAY));
        let mut writes = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(CHURN).unwrap_or(1));
        for change in 0_usize.. {
            ticks.tick().await;
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let (api, counted) = (api.clone(), Arc::clone(&counted));
            writes.spawn(async move {
                // Another Service each time, its endpoint ready and not by turns; never the last, which is the one that is asked.
                let (number, ready) = (change % (size - 1), change / (size - 1) % 2 == 1);
                let endpoint =
                    json!({"endpoints": [{"addresses": [format!("10.1.200.{}", number % 250 + 1)], "conditions": {"ready": ready}}]});
                if api.patch(&format!("service-{number}"), &PatchParams::default(), &Patch::Merge(endpoint)).await.is_ok() {
                    counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                drop(permit);
            });
            while writes.try_join_next().is_some() {}
        }
    });
    Ok(Churning { task: task.abort_handle(), begun: Instant::now(), written })
}
