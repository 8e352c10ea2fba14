//! Backends as people see them: every endpoint with its state, and why none serves where none does.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::backends::{BackendKey, Destination, all_in_slices, destination};
use crate::snapshot::{Readiness, ServicePort, Snapshot};

/// A backend as objects describe it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BackendState {
    /// Its name: `shop/cart:80`.
    pub backend: String,
    /// The DNS name that its endpoints come from; `None` where they come from slices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// Its endpoints, sorted by address.
    pub endpoints: Vec<EndpointState>,
    /// Why there is none that takes requests; `None` where there is one, or where nobody has asked DNS yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// An endpoint and its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct EndpointState {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its Pod, or the DNS name that it comes from; empty where it has no name.
    pub name: String,
    /// What slices say of it.
    pub state: Readiness,
    /// Whether requests are sent to it.
    pub serves: bool,
}

/// Describes a backend: all its endpoints, and why none serves where none does.
pub(super) fn state(snapshot: &Snapshot, key: &BackendKey) -> BackendState {
    let Destination { endpoints: serving, external_name, finding } = destination(snapshot, key);
    let port = snapshot.service(&key.service).and_then(|service| service.ports.iter().find(|port| port.number == key.port));
    let known: Vec<_> = match (&external_name, port) {
        (None, Some(port)) => all_in_slices(snapshot, key, port).collect(),
        (Some(_), _) | (None, None) => serving.iter().map(|endpoint| (Readiness::Ready, endpoint.clone())).collect(),
    };
    let served: BTreeSet<_> = serving.iter().map(|endpoint| endpoint.address).collect();
    let mut endpoints: Vec<_> = known
        .into_iter()
        .map(|(readiness, endpoint)| EndpointState {
            address: endpoint.address,
            name: endpoint.name.to_string(),
            state: readiness,
            serves: served.contains(&endpoint.address) && readiness != Readiness::NotReady,
        })
        .collect();
    endpoints.sort();
    endpoints.dedup_by(|a, b| a.address == b.address);
    let problem = if !serving.is_empty() {
        None
    } else if external_name.is_some() {
        finding.map(|finding| finding.message.to_string())
    } else {
        Some(without_endpoints(snapshot, key, port, endpoints.len()))
    };
    BackendState { backend: key.text().to_string(), external_name: external_name.map(|name| name.to_string()), endpoints, problem }
}

/// Says why a backend has no endpoint that takes requests.
fn without_endpoints(snapshot: &Snapshot, key: &BackendKey, port: Option<&ServicePort>, known: usize) -> String {
    let service = &key.service;
    let Some(port) = port else { return format!("{service} has no TCP port {}", key.port) };
    if known == 1 {
        return format!("the only endpoint of {service} is not ready");
    }
    if known > 0 {
        return format!("none of the {known} endpoints of {service} is ready");
    }
    let (mut slices, mut of_port) = (0, 0);
    for slice in snapshot.slices_of(service) {
        slices += 1;
        of_port += usize::from(slice.ports.iter().any(|(name, _)| *name == port.name));
    }
    match (slices, of_port) {
        (0, _) => format!("{service} has no EndpointSlice"),
        (_, 0) if port.name.is_empty() => {
            format!("no EndpointSlice of {service} has a TCP port without a name, as its port {} has none", port.number)
        }
        (_, 0) => format!("no EndpointSlice of {service} has a TCP port named {:?}, as its port {} is", port.name, port.number),
        _ => format!("the EndpointSlices of {service} have no endpoints; perhaps its selector matches no Pod"),
    }
}
