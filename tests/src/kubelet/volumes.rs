//! The volumes of a Pod, written to a directory each before its container starts: projected tokens, ConfigMaps, Secrets, downward fields,
//! empty directories. What changes later is not followed.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, ServiceAccountTokenProjection, Volume,
};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::environment::field_of;
use super::write;

/// Writes all volumes of a Pod under a directory, and returns where each is.
pub(super) async fn make(client: &Client, pod: &Pod, address: Ipv4Addr, directory: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut made = BTreeMap::new();
    let maker = Maker { client, pod, address, namespace: pod.namespace().unwrap_or_default() };
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let path = directory.join(&volume.name);
        fs::create_dir_all(&path)?;
        maker.fill(volume, &path).await.with_context(|| format!("volume {}", volume.name))?;
        made.insert(volume.name.clone(), path);
    }
    Ok(made)
}

struct Maker<'a> {
    client: &'a Client,
    pod: &'a Pod,
    address: Ipv4Addr,
    namespace: String,
}

impl Maker<'_> {
    async fn fill(&self, volume: &Volume, path: &Path) -> anyhow::Result<()> {
        if volume.empty_dir.is_some() {
            Ok(())
        } else if let Some(projected) = &volume.projected {
            self.project(projected, path).await
        } else if let Some(map) = &volume.config_map {
            self.config_map(&map.name, map.items.as_deref(), map.optional == Some(true), path).await
        } else if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            self.secret(name, secret.items.as_deref(), secret.optional == Some(true), path).await
        } else if let Some(downward) = &volume.downward_api {
            self.downward(downward.items.as_deref().unwrap_or_default(), path)
        } else {
            bail!("the tests do not know this kind of volume")
        }
    }

    async fn project(&self, projected: &ProjectedVolumeSource, path: &Path) -> anyhow::Result<()> {
        for source in projected.sources.iter().flatten() {
            if let Some(token) = &source.service_account_token {
                write(&path.join(&token.path), self.token(token).await?)?;
            } else if let Some(map) = &source.config_map {
                self.config_map(&map.name, map.items.as_deref(), map.optional == Some(true), path).await?;
            } else if let Some(secret) = &source.secret {
                self.secret(&secret.name, secret.items.as_deref(), secret.optional == Some(true), path).await?;
            } else if let Some(downward) = &source.downward_api {
                self.downward(downward.items.as_deref().unwrap_or_default(), path)?;
            } else {
                bail!("the tests do not know this kind of projection");
            }
        }
        Ok(())
    }

    /// Asks the API server for a token of the Pod's ServiceAccount, bound to the Pod.
    async fn token(&self, wanted: &ServiceAccountTokenProjection) -> anyhow::Result<String> {
        let account = self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let audiences: Vec<_> = wanted.audience.iter().collect();
        let bound = json!({ "kind": "Pod", "apiVersion": "v1", "name": self.pod.name_any(), "uid": self.pod.uid() });
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": audiences, "expirationSeconds": wanted.expiration_seconds, "boundObjectRef": bound },
        });
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", self.namespace);
        let request = http::Request::post(path).header("content-type", "application/json").body(serde_json::to_vec(&review)?)?;
        let answer: Value = self.client.request(request).await.with_context(|| format!("no token for the ServiceAccount {account}"))?;
        Ok(answer["status"]["token"].as_str().context("the answer has no token")?.to_owned())
    }

    async fn config_map(&self, name: &str, items: Option<&[KeyToPath]>, optional: bool, path: &Path) -> anyhow::Result<()> {
        let map: Option<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace).get_opt(name).await?;
        let Some(map) = map else {
            anyhow::ensure!(optional, "there is no ConfigMap {name}");
            return Ok(());
        };
        let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
        let bytes = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
        place(&texts.chain(bytes).collect(), items, path)
    }

    async fn secret(&self, name: &str, items: Option<&[KeyToPath]>, optional: bool, path: &Path) -> anyhow::Result<()> {
        let secret: Option<Secret> = Api::namespaced(self.client.clone(), &self.namespace).get_opt(name).await?;
        let Some(secret) = secret else {
            anyhow::ensure!(optional, "there is no Secret {name}");
            return Ok(());
        };
        place(&secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect(), items, path)
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile], path: &Path) -> anyhow::Result<()> {
        for item in items {
            let field = item.field_ref.as_ref().context("only fields of the Pod are known here")?;
            write(&path.join(&item.path), field_of(self.pod, &field.field_path, self.address)?)?;
        }
        Ok(())
    }
}

/// Writes the keys that are asked for, or all, to their files.
fn place(data: &BTreeMap<String, Vec<u8>>, items: Option<&[KeyToPath]>, path: &Path) -> anyhow::Result<()> {
    let Some(items) = items else {
        return data.iter().try_for_each(|(key, bytes)| write(&path.join(key), bytes));
    };
    for item in items {
        write(&path.join(&item.path), data.get(&item.key).with_context(|| format!("there is no key {}", item.key))?)?;
    }
    Ok(())
}
