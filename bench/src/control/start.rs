//! The start with everything there, beside a bare client that lists and decodes the same kinds, and memory after it: idle, and once each
//! Service has had a request.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use tidegate::source::cluster;

use super::arena::{Arena, host};
use super::probe::Conversation;
use super::report::Rows;
use super::subjects::Subject;
use crate::report::Spread;

const ROUNDS: usize = 5;
/// After which memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures both, in turn.
pub(super) async fn start(arena: &Arena, size: usize, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let names =
        ["ready s", "CPU s", "bare client s", "bare client CPU s", "÷ bare client", "÷ bare client, CPU", "PSS MiB", "after traffic"];
    let mut figures = names.map(|name| (name, Vec::new()));
    // What was not read for a while is slow the first time.
    bare(arena, size)?;
    for _ in 0..ROUNDS {
        let [bare_wall, bare_cpu] = bare(arena, size)?;
        let begun = Instant::now();
        let mut tidegate = Subject::unready_tidegate(arena)?;
        tidegate.ready().await?;
        let wall = begun.elapsed().as_secs_f64();
        let cpu = Duration::from_nanos(tidegate.process.used().nanos).as_secs_f64();
        tokio::time::sleep(SETTLE).await;
        let memory = mebibytes(&tidegate);
        let address = tidegate.http;
        tokio::task::spawn_blocking(move || ask_all(address, size)).await??;
        tokio::time::sleep(SETTLE).await;
        let after = mebibytes(&tidegate);
        let measured = [wall, cpu, bare_wall, bare_cpu, wall / bare_wall, cpu / bare_cpu, memory, after];
        figures.iter_mut().zip(measured).for_each(|((_, values), value)| values.push(value));
    }
    let medians = figures.iter().filter_map(|(name, values)| Some((*name, Spread::of(values.iter().copied())?.median))).collect();
    let ratios = figures.iter().find(|(name, _)| *name == "÷ bare client, CPU").map_or(&[][..], |(_, values)| values);
    rows.add("start", "start until ready", "tidegate", medians, ratios);
    Ok(())
}

/// Asks every host once, so that every Service is connected to.
fn ask_all(address: SocketAddr, size: usize) -> anyhow::Result<()> {
    let mut conversation = Conversation::open(address, "/", &host(0))?;
    for number in 0..size {
        conversation.turn_to("/", &host(number));
        let status = conversation.ask()?.status;
        ensure!(status == 200, "{} was answered {status}", host(number));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
pub(super) fn mebibytes(subject: &Subject) -> f64 {
    subject.process.pss_kib() as f64 / 1024.0
}

/// Runs a bare client; returns its wall and processor time in seconds.
fn bare(arena: &Arena, size: usize) -> anyhow::Result<[f64; 2]> {
    let begun = Instant::now();
    let mut command = Command::new(&arena.tools.own);
    let output = command.arg("list").arg(&arena.kubeconfig).stderr(Stdio::inherit()).output()?;
    let wall = begun.elapsed().as_secs_f64();
    ensure!(output.status.success(), "the bare client failed");
    let (count, nanos): (usize, u64) = serde_json::from_slice(&output.stdout)?;
    ensure!(count >= 3 * size, "the bare client saw {count} objects");
    Ok([wall, Duration::from_nanos(nanos).as_secs_f64()])
}

/// Lists and decodes everything, and prints how many objects there are and what processor time the process used, in nanoseconds.
///
/// # Errors
/// The cluster cannot be reached.
pub fn list(kubeconfig: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let count = runtime.block_on(Box::pin(async {
        let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let (classes, secrets, services, slices, ingresses) = tokio::try_join!(
            all::<IngressClass>(&client),
            all::<Secret>(&client),
            all::<Service>(&client),
            all::<EndpointSlice>(&client),
            all::<Ingress>(&client),
        )?;
        anyhow::Ok(classes.len() + secrets.len() + services.len() + slices.len() + ingresses.len())
    }))?;
    let mut nanos = 0_u64;
    for task in std::fs::read_dir("/proc/self/task")?.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().context("no figure")?.parse::<u64>().unwrap_or_default();
    }
    println!("{}", serde_json::to_string(&(count, nanos))?);
    Ok(())
}

async fn all<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    // In pages as Tidegate asks for them.
    Ok(cluster::list(&Api::<K>::all(client.clone()), None).await?)
}
