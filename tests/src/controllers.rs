//! The controllers of Kubernetes, for tests that install workloads: Deployments become Pods, Pods become endpoints, what is owned goes with
//! its owner.

use std::fs;

use tokio::process::{Child, Command};

use crate::cluster::{self, Cluster, User};

/// Those that a chart's objects need. Nobody judges nodes: those of tests do not report every few seconds.
const CONTROLLERS: [&str; 9] = [
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
];

/// A running kube-controller-manager. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Controllers {
    _manager: Child,
}

impl Controllers {
    /// Starts it beside a cluster's API server.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let directory = cluster.directory();
        // Pods trust what the API server shows.
        let authority = directory.join("root-ca.crt");
        fs::write(&authority, cluster.certificate()?)?;
        let mut command = Command::new(cluster.assets().join("kube-controller-manager"));
        command
            .arg(format!("--kubeconfig={}", cluster.kubeconfig(User::Admin, cluster::SERVER)?.display()))
            .arg(format!("--controllers={}", CONTROLLERS.join(",")))
            .arg(format!("--root-ca-file={}", authority.display()))
            .arg(format!("--service-account-private-key-file={}", directory.join("sa.key").display()))
            .args(["--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=10257"])
            .arg(format!("--cert-dir={}", directory.join("manager-certs").display()));
        Ok(Self { _manager: cluster::spawn(command, &directory.join("kube-controller-manager.log"))? })
    }
}
