//! What all tests of the chart share besides the cluster: helm, the controllers of Kubernetes, and who plays nodes and the cloud.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use tidegate_tests::balancer::Balancer;
use tidegate_tests::binary;
use tidegate_tests::cluster::Cluster;
use tidegate_tests::controllers::Controllers;
use tidegate_tests::helm::Helm;
use tidegate_tests::kubelet::{Image, Kubelet};

/// How much later the load balancer knows which Pods are ready.
pub(crate) const LAG: Duration = Duration::from_secs(2);

static WORLD: OnceLock<World> = OnceLock::new();

/// All of it; it ends with the process.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) helm: Helm,
    pub(crate) kubelet: Kubelet,
    _controllers: Controllers,
    pub(crate) balancer: Balancer,
}

/// Makes it.
pub(crate) async fn make(cluster: &Cluster, helm: &Path) -> anyhow::Result<()> {
    // Namespaces that values of tests name.
    for namespace in ["ingress", "team-a", "team-b"] {
        cluster.kubectl(&["create", "namespace", namespace]).await?;
    }
    let image = |name, instead| anyhow::Ok(Image { name, program: binary::path()?, instead });
    // It answers everything itself, its page of health too.
    let nginx = ["echo", "--listen=[::]:80", "--listen=[::]:10254", "--tls=[::]:443", "--name=ingress-nginx"].map(str::to_owned);
    let images = vec![
        // As the chart names it, and as the pages do.
        image("tidegate/tidegate", None)?,
        image("registry.example.com/tidegate/tidegate", None)?,
        image("registry.k8s.io/ingress-nginx/controller", Some(nginx.to_vec()))?,
    ];
    let world = World {
        helm: Helm::new(helm, cluster)?,
        kubelet: Kubelet::start(cluster, &["node-1", "node-2"], images).await?,
        _controllers: Controllers::start(cluster)?,
        balancer: Balancer::start(&cluster.client(), LAG)?,
    };
    let _ = WORLD.set(world);
    Ok(())
}

/// Returns it.
pub(crate) fn world() -> anyhow::Result<&'static World> {
    WORLD.get().context("the world is not made")
}

/// Returns helm.
pub(crate) fn helm() -> anyhow::Result<&'static Helm> {
    Ok(&world()?.helm)
}
