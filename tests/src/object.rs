//! Kubernetes objects as tests write them: YAML documents, put into a cluster or taken out of it.

use anyhow::{Context as _, bail};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt as _};

/// The manager that fields which tests set belong to.
const MANAGER: &str = "tests";

/// One document.
#[derive(Debug, Clone)]
pub struct Document {
    /// The text as it was written.
    pub text: String,
    /// The same, parsed.
    pub object: DynamicObject,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl Document {
    /// Splits a text at its `---` lines.
    ///
    /// # Errors
    /// A document is not an object with a kind and a name.
    pub fn all(text: &str) -> anyhow::Result<Vec<Self>> {
        let documents =
            text.split("\n---").map(|document| document.trim_matches(['\n', '-'])).filter(|document| !document.trim().is_empty());
        documents.map(Self::one).collect()
    }

    fn one(text: &str) -> anyhow::Result<Self> {
        let object: DynamicObject = serde_saphyr::from_str(text).with_context(|| format!("not an object:\n{text}"))?;
        let kind = object.types.as_ref().context("no kind")?.kind.clone();
        let name = object.metadata.name.clone().with_context(|| format!("no name:\n{text}"))?;
        Ok(Self { text: format!("{text}\n"), object, kind, name })
    }

    /// Puts it into the cluster, whatever was there before (server-side apply); without a namespace of its own, into this one.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn apply(&self, client: &Client, namespace: &str) -> anyhow::Result<DynamicObject> {
        let namespace = self.object.namespace().unwrap_or_else(|| namespace.to_owned());
        let api = api(client, &self.kind, &namespace)?;
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(&self.name, &parameters, &Patch::Apply(&self.object))
            .await
            .with_context(|| format!("the API server refused:\n{}", self.text))
    }
}

/// Deletes an object.
///
/// # Errors
/// There is none, or the API server refuses.
pub async fn delete(client: &Client, namespace: &str, kind: &str, name: &str) -> anyhow::Result<()> {
    api(client, kind, namespace)?.delete(name, &DeleteParams::default()).await.with_context(|| format!("cannot delete {kind} {name}"))?;
    Ok(())
}

/// Reads an object.
///
/// # Errors
/// There is none, or the API server refuses.
pub async fn get(client: &Client, namespace: &str, kind: &str, name: &str) -> anyhow::Result<DynamicObject> {
    api(client, kind, namespace)?.get(name).await.with_context(|| format!("cannot read {kind} {name}"))
}

/// Returns the API of a kind.
///
/// # Errors
/// Tests do not know the kind.
pub fn api(client: &Client, kind: &str, namespace: &str) -> anyhow::Result<Api<DynamicObject>> {
    let (group, version, plural, namespaced) = match kind {
        "Node" => ("", "v1", "nodes", false),
        "Namespace" => ("", "v1", "namespaces", false),
        "Service" => ("", "v1", "services", true),
        "Secret" => ("", "v1", "secrets", true),
        "ServiceAccount" => ("", "v1", "serviceaccounts", true),
        "ConfigMap" => ("", "v1", "configmaps", true),
        "Pod" => ("", "v1", "pods", true),
        "Deployment" => ("apps", "v1", "deployments", true),
        "Event" => ("events.k8s.io", "v1", "events", true),
        "Lease" => ("coordination.k8s.io", "v1", "leases", true),
        "EndpointSlice" => ("discovery.k8s.io", "v1", "endpointslices", true),
        "Ingress" => ("networking.k8s.io", "v1", "ingresses", true),
        "IngressClass" => ("networking.k8s.io", "v1", "ingressclasses", false),
        "ClassParameters" => ("tidegate.dev", "v1alpha1", "classparameters", false),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1", "customresourcedefinitions", false),
        "Role" => ("rbac.authorization.k8s.io", "v1", "roles", true),
        "RoleBinding" => ("rbac.authorization.k8s.io", "v1", "rolebindings", true),
        "ClusterRole" => ("rbac.authorization.k8s.io", "v1", "clusterroles", false),
        "ClusterRoleBinding" => ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", false),
        other => bail!("tests do not know the kind {other}"),
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Ok(if namespaced { Api::namespaced_with(client.clone(), namespace, &resource) } else { Api::all_with(client.clone(), &resource) })
}
