//! What an administrator installs in a cluster along with Tidegate.

use anyhow::{Context as _, ensure};
use kube::api::ListParams;
use tidegate_tests::cluster::Cluster;
use tidegate_tests::object::{self, Document};
use tidegate_tests::wait;

/// What Tidegate may do; the chart's role, by hand until there is one.
pub(crate) const RULES: &[&str] = &[
    "{apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list, watch]}",
    "{apiGroups: [networking.k8s.io], resources: [ingressclasses], verbs: [list, watch]}",
    "{apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [patch]}",
    "{apiGroups: [\"\"], resources: [services], verbs: [list, watch]}",
    "{apiGroups: [\"\"], resources: [secrets], verbs: [list, watch]}",
    "{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}",
    "{apiGroups: [tidegate.dev], resources: [classparameters], verbs: [list, watch]}",
    "{apiGroups: [tidegate.dev], resources: [classparameters/status], verbs: [patch]}",
    "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}",
    "{apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}",
];

/// Returns a role of these rules for a ServiceAccount, with its binding.
pub(crate) fn role<'a>(account: &str, namespace: &str, rules: impl Iterator<Item = &'a str>) -> String {
    let rules: String = rules.map(|rule| format!("- {rule}\n")).collect();
    format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {account}}}
rules:
{rules}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {account}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {account}}}
subjects: [{{kind: ServiceAccount, name: {account}, namespace: {namespace}}}]
"
    )
}

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
    for document in Document::all(&role("tidegate", "tidegate", RULES.iter().copied()))? {
        document.apply(&cluster.client(), "default").await?;
    }
    install_crd(cluster).await
}
