//! The life of a Pod: started, probed, started anew when it ends, ended when it is deleted.

use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Preconditions};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::probe::{self, Finding};
use super::sandbox::Sandbox;
use super::schedule::{Node, jiff_now};
use super::status::Status;
use super::{Shared, environment, network, volumes};

/// The pause before a container that ended a second time is started again (the first time there is none); each is twice the last.
const PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How much of its log a container that failed has as its last words.
const LAST_WORDS: usize = 2048;

/// Lives a Pod's life to its end: its deletion, or that of the kubelet, whichever comes first.
pub(super) async fn live(shared: Arc<Shared>, node: Node, pods: watch::Receiver<Arc<Pod>>) {
    let pod = Arc::clone(&pods.borrow());
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    if let Err(error) = Life::begin(shared, node, pods).run().await {
        eprintln!("kubelet: Pod {name}: {error:#}");
    }
}

struct Life {
    shared: Arc<Shared>,
    pods: watch::Receiver<Arc<Pod>>,
    pod: Arc<Pod>,
    node: Node,
    status: Status,
    log: PathBuf,
    /// Holds the Pod's network from its first start on; `None` for good where the Pod has its node's.
    holder: Option<Child>,
    host_network: bool,
}

/// A container that runs.
struct Running {
    child: Child,
    findings: mpsc::Receiver<Finding>,
    probing: JoinHandle<()>,
    /// How long the log was when it started.
    log_before: usize,
    since: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.probing.abort();
    }
}

/// Why a container does not run any more.
enum Over {
    /// It ended, or could not be started: its state.
    Ended(serde_json::Value),
    /// The Pod is deleted.
    Deleted,
    /// There is no Pod any more, or no kubelet.
    Gone,
}

impl Life {
    fn begin(shared: Arc<Shared>, node: Node, pods: watch::Receiver<Arc<Pod>>) -> Self {
        let pod = Arc::clone(&pods.borrow());
        let host_network = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let address = if host_network { node.address } else { shared.addresses.address() };
        let log = shared.log_of(&pod.namespace().unwrap_or_default(), &pod.name_any());
        Self { shared, pods, pod, status: Status::new(address, node.address), node, log, holder: None, host_network }
    }

    fn address(&self) -> Ipv4Addr {
        self.status.address
    }

    fn container(&self) -> anyhow::Result<Container> {
        let spec = self.pod.spec.as_ref().context("a Pod without a spec")?;
        let one = spec.containers.len() == 1 && spec.init_containers.iter().flatten().next().is_none();
        ensure!(one, "the tests run Pods with one container and nothing before it");
        spec.containers.first().cloned().context("no container")
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut pause = Duration::ZERO;
        loop {
            let over = match self.start().await {
                Ok(running) => self.attend(running).await?,
                Err(error) => Over::Ended(json!({ "terminated": {
                    "exitCode": 128, "reason": "StartError", "message": format!("{error:#}"), "startedAt": jiff_now(), "finishedAt": jiff_now(),
                } })),
            };
            self.shared.note_process(&self.pod, None);
            match over {
                Over::Gone => return Ok(()),
                Over::Deleted => return self.vanish().await,
                Over::Ended(ended) => {
                    self.status.last = ended;
                    self.status.state = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
                    self.status.set_ready(false);
                    self.status.started = false;
                    self.status.restarts += 1;
                    self.report().await?;
                }
            }
            let until = Instant::now() + pause;
            pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                over = self.deleted() => match over {
                    Over::Deleted => return self.vanish().await,
                    Over::Ended(_) | Over::Gone => return Ok(()),
                },
            }
        }
    }

    async fn start(&mut self) -> anyhow::Result<Running> {
        let (shared, address) = (Arc::clone(&self.shared), self.address());
        let container = self.container()?;
        let image = shared.image(container.image.as_deref().unwrap_or_default())?;
        let directory = shared.new_directory("start-")?;
        let volumes = volumes::make(&shared.client, &self.pod, address, &directory.join("volumes")).await?;
        let variables = environment::variables(&shared.client, &self.pod, &container, address).await?;
        let network = self.network().await?;
        let sandbox = Sandbox {
            pod: &self.pod,
            container: &container,
            image,
            network,
            variables: &variables,
            volumes: &volumes,
            directory: &directory,
            log: &self.log,
        };
        let log_before = log_size(&self.log);
        let child = sandbox.start()?;
        let (sender, findings) = mpsc::channel(4);
        let probing = tokio::spawn(probe::watch(container, address, sender));
        shared.note_process(&self.pod, child.id());
        let since = jiff_now();
        self.status.state = json!({ "running": { "startedAt": since } });
        Ok(Running { child, findings, probing, log_before, since })
    }

    /// Returns the process that holds the network of the Pod, which is made if there is none yet.
    async fn network(&mut self) -> anyhow::Result<u32> {
        if self.host_network {
            return self.node.holder.id().context("the node's network is gone");
        }
        if self.holder.is_none() {
            self.holder = Some(network::make(&self.shared.addresses.interface(), self.address()).await?);
        }
        self.holder.as_ref().and_then(Child::id).context("the Pod's network is gone")
    }

    /// Stays with a container until it does not run any more.
    async fn attend(&mut self, mut running: Running) -> anyhow::Result<Over> {
        self.report().await?;
        loop {
            tokio::select! {
                ended = running.child.wait() => return Ok(Over::Ended(self.ended(&running, ended?, "Error"))),
                Some(finding) = running.findings.recv() => match finding {
                    Finding::Started => self.status.started = true,
                    Finding::Ready(ready) => self.status.set_ready(ready),
                    Finding::Dead => {
                        let ended = self.end(&mut running, self.grace()).await?;
                        return Ok(Over::Ended(self.ended(&running, ended, "Unhealthy")));
                    }
                },
                over = self.deleted() => {
                    if matches!(over, Over::Deleted) {
                        let grace = self.pod.metadata.deletion_grace_period_seconds;
                        let grace = grace.and_then(|seconds| u64::try_from(seconds).ok()).map_or(self.grace(), Duration::from_secs);
                        self.end(&mut running, grace).await?;
                    }
                    return Ok(over);
                }
            }
            self.report().await?;
        }
    }

    fn grace(&self) -> Duration {
        let seconds = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
    }

    /// Waits until the Pod is deleted. What else changes is taken note of.
    async fn deleted(&mut self) -> Over {
        loop {
            if self.pod.metadata.deletion_timestamp.is_some() {
                return Over::Deleted;
            }
            if self.pods.changed().await.is_err() {
                return Over::Gone;
            }
            self.pod = Arc::clone(&self.pods.borrow_and_update());
        }
    }

    /// Ends a container: its hook, SIGTERM, and SIGKILL once its grace is over. Probes go on, and what they find is reported.
    async fn end(&mut self, running: &mut Running, grace: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + grace;
        self.before_the_end(deadline).await?;
        if let Some(number) = running.child.id() {
            // It may have ended just now.
            let _ = Command::new("kill").args(["-s", "TERM", &number.to_string()]).status().await?;
        }
        loop {
            tokio::select! {
                ended = running.child.wait() => return Ok(ended?),
                Some(finding) = running.findings.recv() => {
                    if let Finding::Ready(ready) = finding {
                        self.status.set_ready(ready);
                        self.report().await?;
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    running.child.start_kill()?;
                    return Ok(running.child.wait().await?);
                }
            }
        }
    }

    /// Runs the hook before the end, as far as tests know hooks: a pause. A program that is not in the image is passed over, as it is by a
    /// real kubelet.
    async fn before_the_end(&self, deadline: Instant) -> anyhow::Result<()> {
        let container = self.container()?;
        let Some(hook) = container.lifecycle.and_then(|hooks| hooks.pre_stop) else { return Ok(()) };
        if let Some(pause) = hook.sleep {
            let until = Instant::now() + Duration::from_secs(u64::try_from(pause.seconds).unwrap_or_default());
            tokio::time::sleep_until(until.min(deadline)).await;
        }
        Ok(())
    }

    /// Returns the state of a container that ended.
    fn ended(&self, running: &Running, status: ExitStatus, reason: &str) -> serde_json::Value {
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let reason = if code == 0 { "Completed" } else { reason };
        // The message: terminationMessagePolicy FallbackToLogsOnError.
        let policy = self.container().ok().and_then(|container| container.termination_message_policy);
        let told = code != 0 && policy.as_deref() == Some("FallbackToLogsOnError");
        let message = if told { last_words(&self.log, running.log_before) } else { String::new() };
        json!({ "terminated": { "exitCode": code, "reason": reason, "message": message, "startedAt": running.since, "finishedAt": jiff_now() } })
    }

    async fn report(&self) -> anyhow::Result<()> {
        self.status.report(&self.shared.client, &self.pod).await
    }

    /// Lets the API server forget the Pod, now that it has ended.
    async fn vanish(mut self) -> anyhow::Result<()> {
        self.status.set_ready(false);
        self.report().await?;
        let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), &self.pod.namespace().unwrap_or_default());
        let preconditions = Some(Preconditions { uid: self.pod.uid(), resource_version: None });
        let now = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        match api.delete(&self.pod.name_any(), &now).await {
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            other => other.map(drop).map_err(Into::into),
        }
    }
}

fn log_size(log: &Path) -> usize {
    std::fs::metadata(log).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX))
}

/// Returns the end of what was written to a log since it had this size.
fn last_words(log: &Path, since: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = text.get(since..).unwrap_or_default();
    String::from_utf8_lossy(text.get(text.len().saturating_sub(LAST_WORDS)..).unwrap_or_default()).into_owned()
}
