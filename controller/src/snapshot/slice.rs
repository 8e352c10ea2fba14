//! Endpoint slices, trimmed and parsed.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use serde::{Deserialize, Serialize};

use super::Version;
use crate::object::{Kind, ObjectRef};
use crate::texts::shared;

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A slice of a Service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceObject {
    /// The Service that it belongs to; `None` for a slice of something else.
    pub service: Option<Arc<str>>,
    /// TCP port numbers by the name of the Service's port; the name is empty where that has none.
    pub ports: Box<[(Arc<str>, u16)]>,
    /// Its endpoints.
    pub endpoints: Box<[SliceEndpoint]>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceEndpoint {
    /// Where it listens.
    pub address: IpAddr,
    /// Whether it takes requests.
    pub readiness: Readiness,
    /// The name of its Pod; empty where it has none.
    pub name: Arc<str>,
}

/// Whether an endpoint takes requests (EndpointSlice API: `conditions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// It still does, and is going away.
    Draining,
    /// No.
    NotReady,
}

impl Readiness {
    /// Returns the name that documents and metrics have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::NotReady => "not_ready",
        }
    }
}

impl Version for SliceObject {}

impl SliceObject {
    /// Reads a slice. Addresses that are not IP addresses are left out.
    #[must_use]
    pub fn read(slice: &EndpointSlice) -> Self {
        let labels = slice.metadata.labels.as_ref();
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            let tcp = port.protocol.as_deref().is_none_or(|protocol| protocol.is_empty() || protocol == "TCP");
            let number = port.port.and_then(|number| u16::try_from(number).ok()).filter(|number| tcp && *number != 0)?;
            Some((shared(port.name.as_deref().unwrap_or_default()), number))
        });
        Self {
            service: labels.and_then(|labels| labels.get(SERVICE_LABEL)).map(|name| name.as_str().into()),
            ports: ports.collect(),
            endpoints: slice.endpoints.iter().flatten().filter_map(endpoint).collect(),
        }
    }

    /// Returns the Service that it belongs to.
    #[must_use]
    pub fn service_of(&self, namespace: &Arc<str>) -> Option<ObjectRef> {
        let name = Arc::clone(self.service.as_ref()?);
        Some(ObjectRef { kind: Kind::Service, namespace: Arc::clone(namespace), name })
    }
}

fn endpoint(endpoint: &Endpoint) -> Option<SliceEndpoint> {
    // The API gives no meaning to addresses after the first.
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    let serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|conditions| conditions.terminating).unwrap_or(false);
    let readiness = match (ready, serving, terminating) {
        (true, _, _) => Readiness::Ready,
        (false, true, true) => Readiness::Draining,
        (false, _, _) => Readiness::NotReady,
    };
    let name = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref().is_none_or(|kind| kind == "Pod"));
    Some(SliceEndpoint { address, readiness, name: name.and_then(|target| target.name.as_deref()).unwrap_or_default().into() })
}
