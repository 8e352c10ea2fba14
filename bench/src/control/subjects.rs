//! Who is measured, started over the cluster or over a directory. Nothing is pinned to a core: the API server wants both as well.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tidegate_tests::cluster::SERVER;

use super::arena::{Arena, CONTROLLER, NAMESPACE, host, numbered_ingress, old_slice, service};
use crate::peers::{answers, free_address};
use crate::process::Process;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(240);
const REST: Duration = Duration::from_millis(2);

/// A proxy that serves what the API server, or a directory, has.
pub(super) struct Subject {
    /// How it is called in tables.
    pub(super) name: &'static str,
    /// Where it serves.
    pub(super) http: SocketAddr,
    /// Where its health is, if it is Tidegate.
    health: SocketAddr,
    /// Its process.
    pub(super) process: Process,
    /// Where its manifests are, if they are in a directory.
    pub(super) manifests: Option<PathBuf>,
    log: PathBuf,
}

impl Subject {
    /// Starts Tidegate over the cluster, and waits until the last Ingress serves.
    pub(super) async fn tidegate(arena: &Arena, size: usize) -> anyhow::Result<Self> {
        let mut tidegate = Self::unready_tidegate(arena)?;
        tidegate.serves(size).await?;
        Ok(tidegate)
    }

    /// Starts Tidegate over the cluster.
    pub(super) fn unready_tidegate(arena: &Arena) -> anyhow::Result<Self> {
        let source = format!("--kubeconfig={}", arena.kubeconfig.display());
        Self::start_tidegate(arena, &source, None)
    }

    /// Starts Tidegate over a directory with as many objects, and waits until the last Ingress serves.
    pub(super) async fn directory(arena: &Arena, size: usize) -> anyhow::Result<Self> {
        let directory = arena.directory.join(format!("manifests-{size}"));
        fs::create_dir_all(&directory)?;
        let class = format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: bench}}\nspec: {{controller: {CONTROLLER}}}\n"
        );
        fs::write(directory.join("class.yaml"), class)?;
        for (file, make) in
            [("services.yaml", service as fn(usize) -> serde_json::Value), ("slices.yaml", old_slice), ("ingresses.yaml", numbered_ingress)]
        {
            let mut text = Vec::new();
            for number in 0..size {
                // JSON is YAML.
                writeln!(text, "---\n{}", make(number))?;
            }
            fs::write(directory.join(file), text)?;
        }
        let mut tidegate = Self::start_tidegate(arena, &format!("--manifests={}", directory.display()), Some(directory))?;
        tidegate.serves(size).await?;
        Ok(tidegate)
    }

    fn start_tidegate(arena: &Arena, source: &str, manifests: Option<PathBuf>) -> anyhow::Result<Self> {
        let (http, health) = (free_address()?, free_address()?);
        let mut command = Command::new(&arena.tools.tidegate);
        command
            .args(["serve", "--workers", "1", "--drain-min", "0s", "--drain-max", "1s", "--log-level", "warn", "--access-log", "off"])
            .args([source, "--controller-name", CONTROLLER])
            .args(["--http", &http.to_string(), "--https", "127.0.0.1:0"])
            .args(["--health", &health.to_string(), "--admin", "127.0.0.1:0"]);
        let log = arena.directory.join("tidegate.log");
        let process = Process::start(&mut command, &log)?;
        let name = if manifests.is_some() { "tidegate --manifests" } else { "tidegate" };
        Ok(Self { name, http, health, process, manifests, log })
    }

    /// Starts Traefik over the cluster, with no pause between changes, and waits until the last Ingress serves.
    pub(super) async fn traefik(arena: &Arena, size: usize) -> anyhow::Result<Self> {
        let http = free_address()?;
        let certificate = arena.directory.join("control-plane/certs/apiserver.crt");
        let mut command = Command::new(&arena.tools.traefik);
        command
            .args(["--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=WARN"])
            .arg(format!("--entrypoints.web.address={http}"))
            .args(["--providers.providersthrottleduration=1ns", "--providers.kubernetesingress=true"])
            .args([
                format!("--providers.kubernetesingress.endpoint=https://{SERVER}"),
                format!("--providers.kubernetesingress.namespaces={NAMESPACE}"),
            ])
            .args(["--providers.kubernetesingress.token=admin-token", "--providers.kubernetesingress.ingressclass=bench"])
            .arg(format!("--providers.kubernetesingress.certauthfilepath={}", certificate.display()));
        let log = arena.directory.join("traefik.log");
        let process = Process::start(&mut command, &log)?;
        let mut traefik = Self { name: "traefik", http, health: http, process, manifests: None, log };
        traefik.serves(size).await?;
        Ok(traefik)
    }

    /// Waits until `/readyz` says that it is ready.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let health = self.health;
        self.until(move || answers_at(health, "/readyz", "health.test")).await
    }

    /// Waits until the last Ingress serves.
    async fn serves(&mut self, size: usize) -> anyhow::Result<()> {
        let (http, host) = (self.http, host(size - 1));
        self.until(move || answers(http, &host)).await
    }

    async fn until(&mut self, holds: impl Fn() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !tokio::task::block_in_place(&holds) {
            if !self.process.runs() {
                bail!("{} ended:\n{}", self.name, fs::read_to_string(&self.log)?);
            }
            ensure!(begun.elapsed() < PATIENCE, "{} does not serve:\n{}", self.name, fs::read_to_string(&self.log)?);
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }
}

/// Tells whether a path is answered with 200.
fn answers_at(address: SocketAddr, path: &str, host: &str) -> bool {
    super::probe::Conversation::open(address, path, host).and_then(|mut open| open.ask()).is_ok_and(|answer| answer.status == 200)
}
