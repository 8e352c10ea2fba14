//! What an administrator installs in a cluster along with Tidegate.

use anyhow::{Context as _, ensure};
use kube::api::ListParams;
use tidegate_tests::cluster::{Cluster, User};
use tidegate_tests::object::{self, Document};
use tidegate_tests::rights::Rights;
use tidegate_tests::wait;

/// Returns the CRD as people install it.
pub(crate) fn crd() -> anyhow::Result<Document> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/classparameters.yaml");
    let text = std::fs::read_to_string(file).context(file)?;
    Document::all(&text)?.into_iter().next().context("the file holds no document")
}

/// Installs the CRD and waits until its objects can be written.
pub(crate) async fn install_crd(cluster: &Cluster) -> anyhow::Result<()> {
    let client = cluster.client();
    let crd = crd()?;
    crd.apply(&client, "").await?;
    let objects = object::api(&client, "ClassParameters", "")?;
    wait::until_ok(async || {
        let found = object::get(&client, "", &crd.kind, &crd.name).await?;
        let conditions = found.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let established = conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True");
        ensure!(established, "the CRD is not established: {conditions:?}");
        objects.list(&ListParams::default()).await.context("its objects cannot be listed")?;
        Ok(())
    })
    .await
}

/// Puts it in place.
pub(crate) async fn install(cluster: &Cluster) -> anyhow::Result<()> {
    for document in Document::all(&Rights::of_the_chart()?.cluster_role(User::Tidegate))? {
        document.apply(&cluster.client(), "default").await?;
    }
    install_crd(cluster).await
}
