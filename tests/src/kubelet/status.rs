//! The status of a Pod, as its kubelet reports it.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::schedule::jiff_now;

/// What is reported of a Pod with one container.
#[derive(Debug, Clone)]
pub(super) struct Status {
    /// The Pod's address, and its node's.
    pub(super) address: Ipv4Addr,
    pub(super) host: Ipv4Addr,
    /// When the Pod was taken up.
    pub(super) since: String,
    pub(super) ready: bool,
    pub(super) started: bool,
    pub(super) restarts: u32,
    /// The container's state as the API has it: `waiting`, `running` or `terminated` with what belongs to it.
    pub(super) state: Value,
    /// How it ended last.
    pub(super) last: Value,
    /// When readiness changed last.
    turned: String,
}

impl Status {
    pub(super) fn new(address: Ipv4Addr, host: Ipv4Addr) -> Self {
        let (since, turned) = (jiff_now(), jiff_now());
        let state = json!({ "waiting": { "reason": "ContainerCreating" } });
        Self { address, host, since, ready: false, started: false, restarts: 0, state, last: json!({}), turned }
    }

    pub(super) fn set_ready(&mut self, ready: bool) {
        if std::mem::replace(&mut self.ready, ready) != ready {
            self.turned = jiff_now();
        }
    }

    /// Writes it. A Pod that is gone has nobody to tell.
    pub(super) async fn report(&self, client: &Client, pod: &Pod) -> anyhow::Result<()> {
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let (name, image) = container.map(|container| (container.name.clone(), container.image.clone())).unwrap_or_default();
        let truth = |is: bool| if is { "True" } else { "False" };
        let condition = |kind: &str, is: bool, since: &str| json!({ "type": kind, "status": truth(is), "lastTransitionTime": since });
        let status = json!({ "status": {
            // A Pod whose container is started again and again still runs, as the API sees it.
            "phase": if self.started || self.restarts > 0 { "Running" } else { "Pending" },
            "podIP": self.address, "podIPs": [{ "ip": self.address }], "hostIP": self.host, "hostIPs": [{ "ip": self.host }],
            "startTime": self.since,
            "conditions": [
                condition("PodScheduled", true, &self.since),
                condition("Initialized", true, &self.since),
                condition("ContainersReady", self.ready, &self.turned),
                condition("Ready", self.ready, &self.turned),
            ],
            "containerStatuses": [{
                "name": name, "image": image, "imageID": "played", "ready": self.ready, "started": self.started,
                "restartCount": self.restarts, "state": self.state, "lastState": self.last,
            }],
        } });
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        match api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(status)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop).map_err(Into::into),
        }
    }
}
