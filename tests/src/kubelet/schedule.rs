//! Puts Pods on nodes: the one that a Pod asks for by name, else the open one with the fewest of its namespace, or else of all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::process::Child;

use super::network;

/// A node that Pods run on.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its own address, which Pods with `hostNetwork` have too.
    pub address: Ipv4Addr,
    /// Holds its network.
    pub(super) holder: Arc<Child>,
}

/// Knows the nodes, and which Pods are where.
pub(super) struct Scheduler {
    client: Client,
    nodes: Vec<Node>,
    /// Namespace and node of Pods, by their uids.
    placed: BTreeMap<String, (String, String)>,
}

impl Scheduler {
    /// Registers nodes of these names, ready for Pods.
    pub(super) async fn register(client: &Client, names: &[&str]) -> anyhow::Result<Self> {
        let api: Api<core::Node> = Api::all(client.clone());
        let mut nodes = Vec::new();
        for (name, number) in names.iter().zip(1_u8..) {
            let address = network::of_node(number);
            let holder = network::make(&format!("node{number}"), address).await?;
            let node = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
            });
            api.create(&PostParams::default(), &serde_json::from_value(node)?).await.with_context(|| format!("node {name}"))?;
            let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "110" });
            let now = jiff_now();
            let status = json!({ "status": {
                "addresses": [{ "type": "InternalIP", "address": address }],
                "capacity": room, "allocatable": room,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "played by the tests",
                    "lastHeartbeatTime": now, "lastTransitionTime": now,
                }],
            } });
            api.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await?;
            // A new node is held to be without a network until somebody says otherwise.
            api.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": { "taints": null } }))).await?;
            nodes.push(Node { name: (*name).to_owned(), address, holder: Arc::new(holder) });
        }
        Ok(Self { client: client.clone(), nodes, placed: BTreeMap::new() })
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Notes where a Pod is.
    pub(super) fn placed(&mut self, pod: &core::Pod, node: &str) {
        self.placed.insert(pod.uid().unwrap_or_default(), (pod.namespace().unwrap_or_default(), node.to_owned()));
    }

    /// Forgets a Pod.
    pub(super) fn gone(&mut self, uid: &str) {
        self.placed.remove(uid);
    }

    /// Puts a Pod on a node.
    pub(super) async fn bind(&mut self, pod: &core::Pod) -> anyhow::Result<()> {
        // A second event may tell of a Pod before the first one's binding shows.
        if self.placed.contains_key(&pod.uid().unwrap_or_default()) {
            return Ok(());
        }
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let node = match wanted(pod) {
            Some(node) => node,
            None => self.emptiest(&namespace).await?.with_context(|| format!("no node is open for the Pod {namespace}/{name}"))?,
        };
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        });
        let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/pods/{name}/binding"))
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&binding)?)?;
        match self.client.request::<serde_json::Value>(request).await {
            // It was bound by what an earlier event led to, or is gone.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            other => drop(other.with_context(|| format!("the Pod {namespace}/{name} cannot be put on {node}"))?),
        }
        self.placed(pod, &node);
        Ok(())
    }

    async fn emptiest(&self, namespace: &str) -> anyhow::Result<Option<String>> {
        let api: Api<core::Node> = Api::all(self.client.clone());
        let open = api.list(&Default::default()).await?.items;
        let open = open.iter().filter(|node| node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true)));
        let count = |name: &str, namespace: Option<&str>| {
            let there = |(of, node): &&(String, String)| node == name && namespace.is_none_or(|namespace| of == namespace);
            self.placed.values().filter(there).count()
        };
        let fullness = |name: &String| (count(name, Some(namespace)), count(name, None), name.clone());
        Ok(open.map(kube::ResourceExt::name_any).min_by_key(fullness))
    }
}

/// Returns the node that a Pod asks for by name, as those of a DaemonSet do.
fn wanted(pod: &core::Pod) -> Option<String> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let field = terms.iter().flat_map(|term| term.match_fields.iter().flatten()).find(|field| field.key == "metadata.name")?;
    field.values.as_ref()?.first().cloned()
}

/// Returns the time as the API writes it.
pub(super) fn jiff_now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
