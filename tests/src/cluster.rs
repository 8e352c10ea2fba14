//! A Kubernetes control plane for one run: etcd and the API server, in this process namespace, stopped and started as tests want.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::binary::PATIENCE;
use crate::wait;

const SERVER: &str = "https://127.0.0.1:6443";
/// The user that Tidegate runs as: it may do what its role says and no more.
const TOKENS: &str = r#"admin-token,admin,admin,system:masters
tidegate-token,system:serviceaccount:tidegate:tidegate,tidegate,"system:serviceaccounts,system:serviceaccounts:tidegate"
"#;

/// A running control plane. It is killed when it goes out of scope.
pub struct Cluster {
    assets: PathBuf,
    directory: PathBuf,
    client: Client,
    api_server: Mutex<Option<Child>>,
    _etcd: Child,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts etcd and the API server and waits until it is ready. Addresses are fixed: the network namespace is the run's own.
    ///
    /// # Errors
    /// One of them does not start; says where its log is and how it ends.
    pub async fn start(assets: &Path, directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("tokens.csv"), TOKENS)?;
        let key = rcgen::KeyPair::generate()?;
        fs::write(directory.join("sa.key"), key.serialize_pem())?;
        fs::write(directory.join("sa.pub"), key.public_key_pem())?;
        for user in ["admin", "tidegate"] {
            fs::write(directory.join(format!("{user}.kubeconfig")), kubeconfig(directory, user))?;
        }
        let begun = Instant::now();
        let etcd = start_etcd(assets, directory)?;
        let mut api_server = start_api_server(assets, directory)?;
        // The certificate that the kubeconfig names is made by the API server itself.
        let certificate = directory.join("certs/apiserver.crt");
        wait::until("the API server's certificate", async || {
            if let Some(status) = api_server.try_wait()? {
                bail!("the API server ended ({status}): {}", tail(&directory.join("kube-apiserver.log")));
            }
            Ok(fs::metadata(&certificate).is_ok_and(|file| file.len() > 0).then_some(()))
        })
        .await?;
        let config =
            kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(directory.join("admin.kubeconfig"))?, &KubeConfigOptions::default())
                .await?;
        let client = Client::try_from(config)?;
        let cluster = Self {
            assets: assets.to_owned(),
            directory: directory.to_owned(),
            client,
            api_server: Mutex::new(Some(api_server)),
            _etcd: etcd,
        };
        cluster.ready().await?;
        eprintln!("control plane: ready after {:.1} s", begun.elapsed().as_secs_f64());
        Ok(cluster)
    }

    /// Returns a client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the kubeconfig of the user that Tidegate runs as.
    #[must_use]
    pub fn tidegate_kubeconfig(&self) -> PathBuf {
        self.directory.join("tidegate.kubeconfig")
    }

    /// Kills the API server, as when its machine goes away.
    ///
    /// # Errors
    /// It does not run.
    pub async fn stop_api_server(&self) -> anyhow::Result<()> {
        let mut server = self.api_server.lock().await;
        server.as_mut().context("the API server does not run")?.kill().await?;
        *server = None;
        Ok(())
    }

    /// Lets the API server stand still (`STOP`) or go on (`CONT`): it holds its connections and answers nothing meanwhile.
    ///
    /// # Errors
    /// It does not run.
    pub async fn pause_api_server(&self, signal: &str) -> anyhow::Result<()> {
        let server = self.api_server.lock().await;
        let id = server.as_ref().and_then(Child::id).context("the API server does not run")?;
        let status = Command::new("kill").args([&format!("-{signal}"), &id.to_string()]).status().await?;
        ensure!(status.success(), "kill -{signal} {id}: {status}");
        Ok(())
    }

    /// Starts the API server again, with what etcd kept, and waits until it is ready.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub async fn start_api_server(&self) -> anyhow::Result<()> {
        let mut server = self.api_server.lock().await;
        ensure!(server.is_none(), "the API server runs already");
        *server = Some(start_api_server(&self.assets, &self.directory)?);
        drop(server);
        self.ready().await
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let ready = wait::until("the API server", async || {
            let asked = self.client.request_text(http::Request::get("/readyz").body(Vec::new())?).await;
            Ok(asked.is_ok_and(|text| text == "ok").then_some(()))
        });
        ready.await.with_context(|| tail(&self.directory.join("kube-apiserver.log")))
    }
}

fn start_etcd(assets: &Path, directory: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(assets.join("etcd"));
    command
        .args(["--name=test", "--unsafe-no-fsync", "--log-level=warn"])
        .arg(format!("--data-dir={}", directory.join("etcd").display()))
        .args(["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"])
        .args(["--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"])
        .arg("--initial-cluster=test=http://127.0.0.1:2380");
    spawn(command, &directory.join("etcd.log"))
}

fn start_api_server(assets: &Path, directory: &Path) -> anyhow::Result<Child> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut command = Command::new(assets.join("kube-apiserver"));
    command
        .args(["--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1", "--secure-port=6443"])
        // Without a default route it cannot find one by itself.
        .arg("--advertise-address=10.1.0.1")
        .arg(format!("--cert-dir={}", file("certs")))
        .arg(format!("--service-account-key-file={}", file("sa.pub")))
        .arg(format!("--service-account-signing-key-file={}", file("sa.key")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--token-auth-file={}", file("tokens.csv")))
        .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.2.0.0/16"]);
    spawn(command, &directory.join("kube-apiserver.log"))
}

fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", command.as_std().get_program().to_string_lossy()))
}

fn kubeconfig(directory: &Path, user: &str) -> String {
    let certificate = directory.join("certs/apiserver.crt");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"{SERVER}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: {user}, user: {{token: {user}-token}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: {user}}}}}]\n",
        certificate.display()
    )
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
    format!("not ready within {} s; the end of its log:\n{}", PATIENCE.as_secs(), last.join("\n"))
}
