//! Tidegate's custom resources: Rust types, from which the YAML in `crds/` is generated.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Defaults for all Ingresses of a class: an `IngressClass` points here with `spec.parameters`.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "ClassParameters",
    plural = "classparameters",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ClassParametersSpec {
    /// Whose conventions the hosts of this class follow where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,
}

/// Whose conventions a host follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// Tidegate's own: the Kubernetes API reference to the letter.
    Native,
    /// Those of ingress-nginx.
    IngressNginx,
}
