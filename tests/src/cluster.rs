//! A Kubernetes control plane for one run: etcd and the API server, in this process namespace, stopped and started as tests want.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// Where the API server listens.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);

/// Whom the API server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// What Tidegate runs as: the ServiceAccount `tidegate` in the namespace `tidegate`, which may do what its role says and no more.
    Tidegate,
    /// The ServiceAccount of this number in the namespace `bare`, which may do nothing before a test gives it a role.
    Bare(u8),
}

/// The API server's certificate, in the directory of the control plane.
const CERTIFICATE: &str = "certs/apiserver.crt";

/// How many bare users there are: one for each test that needs one.
const BARE: u8 = 8;

/// What the API server keeps a record of: the requests of bare users, once they are answered.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: [\"system:serviceaccounts:bare\"]}
- {level: None}
";

impl User {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Admin, Self::Tidegate].into_iter().chain((0..BARE).map(Self::Bare))
    }

    /// Returns the name by which the API server knows it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Tidegate => "system:serviceaccount:tidegate:tidegate".to_owned(),
            Self::Bare(number) => format!("system:serviceaccount:bare:bare-{number}"),
        }
    }

    fn token(self) -> String {
        match self {
            Self::Admin => "admin-token".to_owned(),
            Self::Tidegate => "tidegate-token".to_owned(),
            Self::Bare(number) => format!("bare-{number}-token"),
        }
    }

    /// Returns its line in the API server's table of tokens.
    fn line(self) -> String {
        let (token, name) = (self.token(), self.name());
        match self {
            Self::Admin => format!("{token},{name},admin,system:masters\n"),
            Self::Tidegate => format!("{token},{name},tidegate,\"system:serviceaccounts,system:serviceaccounts:tidegate\"\n"),
            Self::Bare(_) => format!("{token},{name},{token},\"system:serviceaccounts,system:serviceaccounts:bare\"\n"),
        }
    }
}

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
        fs::write(directory.join("tokens.csv"), User::all().map(User::line).collect::<String>())?;
        fs::write(directory.join("audit.yaml"), AUDIT)?;
        let key = rcgen::KeyPair::generate()?;
        fs::write(directory.join("sa.key"), key.serialize_pem())?;
        fs::write(directory.join("sa.pub"), key.public_key_pem())?;
        let admin = directory.join("admin.kubeconfig");
        fs::write(&admin, kubeconfig(directory, User::Admin, SERVER))?;
        let begun = Instant::now();
        let etcd = start_etcd(assets, directory)?;
        let mut api_server = start_api_server(assets, directory)?;
        // The certificate that the kubeconfig names is made by the API server itself.
        let certificate = directory.join(CERTIFICATE);
        wait::until("the API server's certificate", async || {
            if let Some(status) = api_server.try_wait()? {
                bail!("the API server ended ({status}): {}", tail(&directory.join("kube-apiserver.log")));
            }
            Ok(fs::metadata(&certificate).is_ok_and(|file| file.len() > 0).then_some(()))
        })
        .await?;
        let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(&admin)?, &KubeConfigOptions::default()).await?;
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

    /// Returns the directory that its files are in, those of whoever helps it too.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns where its programs are.
    pub(crate) fn assets(&self) -> &Path {
        &self.assets
    }

    /// Returns the certificate that the API server is known by, as PEM.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn certificate(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.directory.join(CERTIFICATE))?)
    }

    /// Returns a client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Writes the kubeconfig of a user, and returns where it is. `server` is where the API server is reached, [`SERVER`] or a relay to it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn kubeconfig(&self, user: User, server: SocketAddr) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(format!("{}-{}.kubeconfig", user.token(), server.port()));
        // Tests run side by side: none may find half a file.
        let draft = tempfile::NamedTempFile::new_in(&self.directory)?;
        fs::write(draft.path(), kubeconfig(&self.directory, user, server))?;
        draft.persist(&path)?;
        Ok(path)
    }

    /// Runs kubectl as one who may do everything, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It fails: says what it wrote to standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.assets.join("kubectl"));
        command.arg(format!("--kubeconfig={}", self.kubeconfig(User::Admin, SERVER)?.display())).args(arguments);
        // What it remembers of the API server's kinds goes there.
        let output = command.env("HOME", &self.directory).output().await.context("cannot start kubectl")?;
        ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns how many requests of a bare user the API server has refused so far (HTTP status 403).
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn refusals(&self, user: User) -> anyhow::Result<usize> {
        Ok(self.refused(user)?.len())
    }

    /// Returns what the API server has refused a bare user so far: verbs and resources, in their order.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn refused(&self, user: User) -> anyhow::Result<Vec<(String, String)>> {
        let record = self.record(user)?;
        let refused = record.iter().filter(|request| request["responseStatus"]["code"] == 403);
        let described = refused.map(|request| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let (verb, object) = (text(&request["verb"]), &request["objectRef"]);
            let resource = [text(&object["resource"]), text(&object["subresource"])];
            (verb, resource.join("/").trim_end_matches('/').to_owned())
        });
        Ok(described.collect())
    }

    /// Returns what a bare user has asked of the API server so far, as its record has it.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn record(&self, user: User) -> anyhow::Result<Vec<serde_json::Value>> {
        let record = fs::read_to_string(self.directory.join("audit.log"))?;
        let lines = record.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        Ok(lines.filter(|line| line["user"]["username"] == user.name()).collect())
    }

    /// Waits until the API server's authorizer lets a user do in every namespace what it has just been allowed: it learns of roles by a
    /// watch of its own.
    ///
    /// # Errors
    /// It does not.
    pub async fn allowed(&self, user: User, group: &str, resource: &str, verb: &str) -> anyhow::Result<()> {
        self.allowed_in(user, "", group, resource, verb, true).await
    }

    /// Waits until the API server's authorizer lets a user do something in a namespace, or does not.
    ///
    /// # Errors
    /// It stays as it is.
    pub async fn allowed_in(
        &self,
        user: User,
        namespace: &str,
        group: &str,
        resource: &str,
        verb: &str,
        allowed: bool,
    ) -> anyhow::Result<()> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        // Rights on Leases are those on one.
        let name = if resource == "leases" { crate::rights::LEASE } else { "" };
        let review = serde_json::json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": { "user": user.name(), "resourceAttributes": {
                "namespace": namespace, "group": group, "resource": resource, "subresource": subresource, "verb": verb, "name": name,
            } },
        });
        wait::until("a right to be known", async || {
            let request = http::Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews").body(serde_json::to_vec(&review)?)?;
            let answer: serde_json::Value = self.client.request(request).await?;
            Ok(((answer["status"]["allowed"] == true) == allowed).then_some(()))
        })
        .await
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
        .arg(format!("--audit-policy-file={}", file("audit.yaml")))
        .arg(format!("--audit-log-path={}", file("audit.log")))
        .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.2.0.0/16"]);
    spawn(command, &directory.join("kube-apiserver.log"))
}

/// Starts a program of the control plane, which ends with the returned handle.
pub(crate) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", command.as_std().get_program().to_string_lossy()))
}

fn kubeconfig(directory: &Path, user: User, server: SocketAddr) -> String {
    let token = user.token();
    let certificate = directory.join(CERTIFICATE);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"https://{server}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: test, user: {{token: {token}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
        certificate.display()
    )
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
    format!("not ready within {} s; the end of its log:\n{}", PATIENCE.as_secs(), last.join("\n"))
}
