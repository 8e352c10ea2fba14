//! Plays what runs Pods: a scheduler that puts each on a node, and a kubelet for every node. A Pod here is a process with a network, a
//! root and a mount table of its own, so that what the API server was told about it holds: its address and ports, command, arguments,
//! environment and downward fields, mounted tokens, ConfigMaps and Secrets, a read-only root, the capabilities that it keeps. Probes decide
//! whether it is ready and when it is started anew; it ends by its hook, SIGTERM, its grace, and SIGKILL.
//!
//! ```text
//! watch of Pods ─> schedule (a node) ─> pod (its life) ─┬─> volumes, environment ─> sandbox (the process)
//!                                                       └─> probe ─> status
//! ```
//!
//! What it does not play: several containers or init containers in a Pod, images (each stands for a program here), users other than root
//! of the run's own user namespace, `kubectl logs` and `exec`. A Pod that asks for more fails and says so.

mod environment;
mod network;
mod pod;
mod probe;
mod sandbox;
mod schedule;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::{self, Cluster};
use crate::relay::Relay;
use schedule::Scheduler;

pub use schedule::Node;

/// What an image stands for: its name without tag and digest, and what its container runs.
#[derive(Debug, Clone)]
pub struct Image {
    /// The image's name without tag and digest.
    pub name: &'static str,
    /// What it has as its entry point.
    pub program: PathBuf,
    /// What runs instead of the container's own command and arguments, where the image is only played.
    pub instead: Option<Vec<String>>,
}

/// Runs the Pods of a cluster. All of them are killed when it goes out of scope.
pub struct Kubelet {
    shared: Arc<Shared>,
    _to_the_api_server: Relay,
    watching: JoinHandle<()>,
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

/// What every Pod's life needs.
struct Shared {
    client: Client,
    images: Vec<Image>,
    directory: PathBuf,
    addresses: network::Addresses,
    /// What is told to each Pod's life: the Pod as it is now, by its uid. Lives end when their sender goes.
    lives: Mutex<BTreeMap<String, watch::Sender<Arc<Pod>>>>,
    /// The numbers of processes that run, by their Pods' namespaces and names.
    processes: Mutex<BTreeMap<(String, String), u32>>,
}

impl Kubelet {
    /// Makes the nodes and runs the Pods of the cluster on them, until it is dropped. The run's own network namespace is needed.
    ///
    /// # Errors
    /// The network cannot be made, or a node not be registered.
    pub async fn start(cluster: &Cluster, nodes: &[&str], images: Vec<Image>) -> anyhow::Result<Self> {
        network::set_up().context("Pods need bridges and pairs of virtual interfaces in the run's network namespace")?;
        let relay = Relay::start_on(network::API_SERVER, cluster::SERVER).await?;
        let directory = cluster.directory().join("pods");
        fs::create_dir_all(&directory)?;
        let client = cluster.client();
        let scheduler = Scheduler::register(&client, nodes).await?;
        let addresses = network::Addresses::default();
        let shared = Arc::new(Shared { client, images, directory, addresses, lives: Mutex::default(), processes: Mutex::default() });
        let watching = tokio::spawn(Arc::clone(&shared).watch(scheduler));
        Ok(Self { shared, _to_the_api_server: relay, watching })
    }

    /// Returns the number of a Pod's process while it runs, for signals that no kubelet would send.
    #[must_use]
    pub fn process(&self, namespace: &str, pod: &str) -> Option<u32> {
        let processes = self.shared.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.get(&(namespace.to_owned(), pod.to_owned())).copied()
    }

    /// Returns what a Pod's process wrote so far, all of its starts together; empty for a Pod that never started.
    #[must_use]
    pub fn log(&self, namespace: &str, pod: &str) -> String {
        fs::read_to_string(self.shared.log_of(namespace, pod)).unwrap_or_default()
    }

    /// Returns what every Pod of a namespace wrote so far, under their names.
    #[must_use]
    pub fn logs(&self, namespace: &str) -> String {
        let Ok(directory) = fs::read_dir(&self.shared.directory) else { return String::new() };
        let mut logs: Vec<_> = directory.flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".log") && name.starts_with(&format!("{namespace}_"))
        });
        logs.sort();
        logs.iter().map(|path| format!("--- {} ---\n{}\n", path.display(), fs::read_to_string(path).unwrap_or_default())).collect()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.watching.abort();
        // Each life holds its process, and ends with its sender.
        self.shared.lives.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shared {
    async fn watch(self: Arc<Self>, mut scheduler: Scheduler) {
        let mut events = std::pin::pin!(watcher(Api::<Pod>::all(self.client.clone()), watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                    if let Err(error) = self.take_up(&mut scheduler, pod).await {
                        eprintln!("kubelet: {error:#}");
                    }
                }
                Ok(Event::Delete(pod)) => {
                    scheduler.gone(&pod.uid().unwrap_or_default());
                    self.lives.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod.uid().unwrap_or_default());
                }
                Ok(Event::Init | Event::InitDone) => {}
                // The watcher looks again by itself.
                Err(error) => eprintln!("kubelet: {error}"),
            }
        }
    }

    /// Puts a Pod on a node, begins its life, or tells its life how the Pod is now.
    async fn take_up(self: &Arc<Self>, scheduler: &mut Scheduler, pod: Pod) -> anyhow::Result<()> {
        let uid = pod.uid().context("a Pod without uid")?;
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else {
            return scheduler.bind(&pod).await;
        };
        let Some(node) = scheduler.node(&node).cloned() else { return Ok(()) };
        scheduler.placed(&pod, &node.name);
        let pod = Arc::new(pod);
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = lives.get(&uid) {
            life.send_replace(pod);
        } else {
            let (sender, receiver) = watch::channel(pod);
            lives.insert(uid, sender);
            tokio::spawn(pod::live(Arc::clone(self), node, receiver));
        }
        Ok(())
    }

    /// Notes that a Pod's process runs, or does not any more.
    fn note_process(&self, pod: &Pod, number: Option<u32>) {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (pod.namespace().unwrap_or_default(), pod.name_any());
        match number {
            Some(number) => drop(processes.insert(name, number)),
            None => drop(processes.remove(&name)),
        }
    }

    fn log_of(&self, namespace: &str, pod: &str) -> PathBuf {
        self.directory.join(format!("{namespace}_{pod}.log"))
    }

    /// Returns what an image stands for.
    fn image(&self, image: &str) -> anyhow::Result<&Image> {
        let name = image.split('@').next().unwrap_or(image);
        // A colon before the last slash is a port's.
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        self.images.iter().find(|known| known.name == name).with_context(|| format!("no image {image}"))
    }

    fn new_directory(&self, prefix: &str) -> anyhow::Result<PathBuf> {
        Ok(tempfile::Builder::new().prefix(prefix).tempdir_in(&self.directory)?.keep())
    }
}

/// Writes a file that only the run reads.
fn write(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
