//! helm, as people call it: the real program, with files of its own, and the cluster's administrator's rights if there is a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::cluster::{self, Cluster, User};

/// The chart.
#[must_use]
pub fn chart() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/tidegate"))
}

/// The program, and where it keeps its files.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    /// Takes a program, for a cluster.
    ///
    /// # Errors
    /// Its directory cannot be made.
    pub fn new(program: &Path, cluster: &Cluster) -> anyhow::Result<Self> {
        let home = cluster.directory().join("helm");
        std::fs::create_dir_all(&home)?;
        Ok(Self { program: program.to_owned(), home, kubeconfig: cluster.kubeconfig(User::Admin, cluster::SERVER)? })
    }

    /// Runs it, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// It fails: the error's text is what it wrote to standard error.
    pub async fn run<S: AsRef<str>>(&self, arguments: &[S]) -> anyhow::Result<String> {
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        let mut command = Command::new(&self.program);
        command.args(&arguments).env_clear().env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig);
        let output = command.kill_on_drop(true).output().await.context("cannot start helm")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Renders the chart without a cluster, under the names of a release `edge` in the namespace `ingress`.
    ///
    /// # Errors
    /// It refuses: says why.
    pub async fn template(&self, values: &Path, more: &[&str]) -> anyhow::Result<String> {
        let (chart, values) = (chart(), values.to_string_lossy());
        let all = ["template", "edge", &chart.to_string_lossy(), "--namespace=ingress", "--values", &values];
        self.run(&[&all[..], more].concat()).await
    }
}
