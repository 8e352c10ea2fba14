//! What all tests of the chart share besides the cluster.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context as _;
use tidegate_tests::cluster::Cluster;
use tidegate_tests::helm::Helm;

static HELM: OnceLock<Helm> = OnceLock::new();

/// Makes it.
pub(crate) async fn make(cluster: &Cluster, helm: &Path) -> anyhow::Result<()> {
    let _ = HELM.set(Helm::new(helm, cluster)?);
    // Namespaces that values of tests name.
    for namespace in ["ingress", "team-a", "team-b"] {
        cluster.kubectl(&["create", "namespace", namespace]).await?;
    }
    Ok(())
}

/// Returns helm.
pub(crate) fn helm() -> anyhow::Result<&'static Helm> {
    HELM.get().context("the world is not made")
}
