//! The environment of a container: its own variables, downward fields among them, and where the API server is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::{Api, Client, ResourceExt as _};

use super::network::API_SERVER;

/// Returns the variables of a container.
pub(super) async fn variables(
    client: &Client,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = vec![
        ("KUBERNETES_SERVICE_HOST".to_owned(), API_SERVER.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), API_SERVER.port().to_string()),
        ("HOSTNAME".to_owned(), pod.name_any()),
    ];
    let namespace = pod.namespace().unwrap_or_default();
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), &variables)),
            Some(from) => {
                if let Some(field) = &from.field_ref {
                    Some(field_of(pod, &field.field_path, address)?)
                } else if let Some(key) = &from.config_map_key_ref {
                    let map: Option<ConfigMap> = Api::namespaced(client.clone(), &namespace).get_opt(&key.name).await?;
                    map.and_then(|map| map.data?.get(&key.key).cloned())
                } else if let Some(key) = &from.secret_key_ref {
                    let secret: Option<Secret> = Api::namespaced(client.clone(), &namespace).get_opt(&key.name).await?;
                    secret.and_then(|secret| Some(String::from_utf8_lossy(&secret.data?.get(&key.key)?.0).into_owned()))
                } else {
                    bail!("the variable {} comes from where the tests cannot read", variable.name)
                }
            }
        };
        variables.push((variable.name.clone(), value.with_context(|| format!("the variable {} has no source", variable.name))?));
    }
    Ok(variables)
}

/// Returns a field that a Pod may read of itself.
pub(super) fn field_of(pod: &Pod, path: &str, address: Ipv4Addr) -> anyhow::Result<String> {
    let spec = pod.spec.as_ref().context("a Pod without a spec")?;
    let keyed = |map: &BTreeMap<String, String>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    let value = match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.podIP" | "status.hostIP" => address.to_string(),
        _ => keyed(pod.labels(), "metadata.labels['")
            .or_else(|| keyed(pod.annotations(), "metadata.annotations['"))
            .with_context(|| format!("the tests do not know the field {path}"))?,
    };
    Ok(value)
}

/// Replaces `$(NAME)` by a variable that was given before, as Kubernetes does in values, commands and arguments; others stay.
pub(super) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables {
        text = text.replace(&format!("$({name})"), value);
    }
    text
}
