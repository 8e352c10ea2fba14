//! Probes: a page asked again and again, and what follows when the verdict changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::sync::mpsc;

use crate::client::Ask;

/// What probes find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The container has started.
    Started,
    /// It is ready, or is not any more.
    Ready(bool),
    /// It must be started anew.
    Dead,
}

/// Asks all probes of a container until nobody listens. Readiness and life are asked after its start.
pub(super) async fn watch(container: Container, address: Ipv4Addr, findings: mpsc::Sender<Finding>) {
    let place = |probe: &Probe| Page::of(probe, &container, address);
    if let Some(probe) = &container.startup_probe
        && !place(probe).first(probe).await
    {
        let _ = findings.send(Finding::Dead).await;
        return;
    }
    if findings.send(Finding::Started).await.is_err() {
        return;
    }
    let readiness = async {
        match &container.readiness_probe {
            Some(probe) => place(probe).follow(probe, &findings, Finding::Ready).await,
            None => {
                let _ = findings.send(Finding::Ready(true)).await;
            }
        }
    };
    let life = async {
        if let Some(probe) = &container.liveness_probe {
            // That it lives is no news.
            place(probe).follow(probe, &findings, |good| if good { Finding::Started } else { Finding::Dead }).await;
        }
    };
    tokio::join!(readiness, life);
}

/// The page that a probe asks for; an error is what is wrong with the probe, which never succeeds then.
struct Page(anyhow::Result<(String, SocketAddr)>);

impl Page {
    fn of(probe: &Probe, container: &Container, address: Ipv4Addr) -> Self {
        Self(find(probe, container, address))
    }

    async fn asked(&self, probe: &Probe) -> bool {
        let Ok((url, address)) = &self.0 else { return false };
        let Ok(ask) = Ask::get(url) else { return false };
        let within = seconds(probe.timeout_seconds, 1);
        let answer = tokio::time::timeout(within, ask.send(*address)).await;
        matches!(answer, Ok(Ok(answer)) if (200..400).contains(&answer.status.as_u16()))
    }

    /// Returns whether it succeeds at all before it has failed too often.
    async fn first(&self, probe: &Probe) -> bool {
        tokio::time::sleep(seconds(probe.initial_delay_seconds, 0)).await;
        for _ in 0..probe.failure_threshold.unwrap_or(3) {
            if self.asked(probe).await {
                return true;
            }
            tokio::time::sleep(seconds(probe.period_seconds, 10)).await;
        }
        false
    }

    /// Tells whenever the verdict changes, beginning with the first.
    async fn follow(&self, probe: &Probe, findings: &mpsc::Sender<Finding>, finding: impl Fn(bool) -> Finding) {
        tokio::time::sleep(seconds(probe.initial_delay_seconds, 0)).await;
        let (mut verdict, mut last, mut run) = (None, false, 0);
        let mut ticks = tokio::time::interval(seconds(probe.period_seconds, 10));
        loop {
            ticks.tick().await;
            let good = self.asked(probe).await;
            run = if good == last { run + 1 } else { 1 };
            last = good;
            let enough = if good { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
            if run >= enough && verdict != Some(good) {
                verdict = Some(good);
                if findings.send(finding(good)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn find(probe: &Probe, container: &Container, address: Ipv4Addr) -> anyhow::Result<(String, SocketAddr)> {
    let page = probe.http_get.as_ref().context("only pages over HTTP are asked here")?;
    let port = match &page.port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let port = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            port.with_context(|| format!("no port {name}"))?.container_port
        }
    };
    let scheme = page.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let address = SocketAddr::from((address, u16::try_from(port)?));
    Ok((format!("{scheme}://{address}{}", page.path.as_deref().unwrap_or("/")), address))
}

fn seconds(given: Option<i32>, otherwise: u64) -> Duration {
    Duration::from_secs(given.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(otherwise))
}
