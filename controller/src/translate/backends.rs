//! Backends: from what an Ingress names to a claim, and from a Service to its endpoints.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_proxy::error::Reason;
use tidegate_proxy::model::{Origin, UpstreamProtocol};
use tidegate_proxy::upstream::EndpointAddress;

use super::claim::{BackendClaim, ProtocolClaim};
use super::options::Options;
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, ObjectRef};
use crate::policy::{BackendProtocol, Policy};
use crate::snapshot::{BackendRef, PortRef, Readiness, ServiceObject, ServicePort, Snapshot};

/// A port of a Service, as backends are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendKey {
    /// The Service.
    pub service: ObjectRef,
    /// The number of its port.
    pub port: u16,
}

impl BackendKey {
    /// Returns the name that the data plane knows the backend by: `shop/cart:80`.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        format!("{}/{}:{}", self.service.namespace, self.service.name, self.port).into()
    }
}

/// What became of a backend that an object names.
pub(super) struct Resolved {
    pub(super) claim: BackendClaim,
    pub(super) key: Option<BackendKey>,
    pub(super) finding: Option<(Code, String, String)>,
}

impl Resolved {
    fn unavailable(reason: Reason, code: Code, field: fmt::Arguments<'_>, message: String) -> Self {
        Self { claim: BackendClaim::Unavailable(reason), key: None, finding: Some((code, field.to_string(), message)) }
    }
}

/// Finds the Service and port that a backend names.
pub(super) fn resolve(
    snapshot: &Snapshot,
    options: &Options,
    namespace: &Arc<str>,
    backend: &BackendRef,
    policy: &Policy,
    field: fmt::Arguments<'_>,
) -> Resolved {
    match backend {
        BackendRef::Service { name, port } => {
            let reference = ObjectRef { kind: Kind::Service, namespace: Arc::clone(namespace), name: Arc::clone(name) };
            resolve_service(snapshot, options, &reference, Some(port), policy, format_args!("{field}.service"))
        }
        BackendRef::Resource { kind, name } => {
            let message = format!("{kind} {name} is not a kind of backend that is supported");
            Resolved::unavailable(Reason::UnsupportedBackend, Code::UnsupportedBackend, format_args!("{field}.resource"), message)
        }
        BackendRef::Incomplete => Resolved { claim: BackendClaim::Unavailable(Reason::NoService), key: None, finding: None },
    }
}

/// Finds a port of a Service; `None` is its first.
pub(super) fn resolve_service(
    snapshot: &Snapshot,
    options: &Options,
    reference: &ObjectRef,
    port: Option<&PortRef>,
    policy: &Policy,
    field: fmt::Arguments<'_>,
) -> Resolved {
    let Some(service) = snapshot.service(reference) else {
        let message = format!("{reference} does not exist");
        return Resolved::unavailable(Reason::NoService, Code::MissingService, format_args!("{field}.name"), message);
    };
    if service.external_name.is_some() && !options.external_names {
        let message = format!("{reference} is of type ExternalName, which --disable-external-name refuses");
        return Resolved::unavailable(Reason::UnsupportedBackend, Code::RefusedExternalName, format_args!("{field}.name"), message);
    }
    if service.external_name.as_deref() == Some("") {
        let message = format!("{reference} is of type ExternalName and has no externalName");
        return Resolved::unavailable(Reason::UnsupportedBackend, Code::RefusedExternalName, format_args!("{field}.name"), message);
    }
    let known = match port {
        Some(PortRef::Number(number)) => service.ports.iter().find(|port| port.number == *number),
        Some(PortRef::Name(name)) => service.ports.iter().find(|port| port.name == *name),
        None => service.ports.first(),
    };
    let (number, app_protocol) = match (known, port) {
        (Some(port), _) => (port.number, port.app_protocol.as_deref()),
        // An ExternalName Service need not list its ports.
        (None, Some(PortRef::Number(number))) if service.external_name.is_some() => (*number, None),
        (None, _) => {
            let (what, leaf) = match port {
                Some(PortRef::Number(number)) => (format!("TCP port {number}"), "port.number"),
                Some(PortRef::Name(name)) => (format!("TCP port named {name:?}"), "port.name"),
                None => ("TCP port".to_owned(), "port"),
            };
            let message = format!("{reference} has no {what}");
            return Resolved::unavailable(Reason::NoService, Code::MissingServicePort, format_args!("{field}.{leaf}"), message);
        }
    };
    let key = BackendKey { service: reference.clone(), port: number };
    let name = format!("{}:{number}", reference.name).into();
    let service = Origin { name, ..reference.origin() };
    let claim = BackendClaim::Forward {
        backend: key.text(),
        protocol: protocol(policy.backend_protocol, app_protocol),
        timeouts: policy.timeouts(),
        service: Arc::new(service),
    };
    Resolved { claim, key: Some(key), finding: None }
}

/// The policy's protocol wins over the Service's `appProtocol` (KEP-3726 names); what neither knows is HTTP/1.1.
fn protocol(policy: Option<BackendProtocol>, app_protocol: Option<&str>) -> ProtocolClaim {
    let fixed = match (policy, app_protocol) {
        (Some(BackendProtocol::AutoHttp), _) => return ProtocolClaim::AsClient,
        (Some(BackendProtocol::Https), _) | (None, Some("https" | "kubernetes.io/wss")) => UpstreamProtocol::Https,
        (Some(BackendProtocol::Grpc), _) | (None, Some("kubernetes.io/h2c" | "grpc")) => UpstreamProtocol::H2c,
        (Some(BackendProtocol::Grpcs), _) => UpstreamProtocol::H2,
        (Some(BackendProtocol::Http), _) | (None, Some(_) | None) => UpstreamProtocol::Http1,
    };
    ProtocolClaim::Fixed(fixed)
}

/// Where a backend's requests go now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Destination {
    /// Endpoints that take requests, sorted.
    pub(super) endpoints: Vec<EndpointAddress>,
    /// The DNS name that they come from; `None` where they come from slices.
    pub(super) external_name: Option<Arc<str>>,
    /// What is wrong with the name.
    pub(super) finding: Option<Diagnostic>,
}

/// Finds where the requests of a backend go.
pub(super) fn destination(snapshot: &Snapshot, key: &BackendKey) -> Destination {
    let Some(service) = snapshot.service(&key.service) else { return Destination::default() };
    let port = service.ports.iter().find(|port| port.number == key.port);
    if let Some(name) = &service.external_name {
        return external(snapshot, key, service, port, name);
    }
    let Some(port) = port else { return Destination::default() };
    let mut endpoints = in_slices(snapshot, key, port);
    endpoints.sort();
    endpoints.dedup_by(|a, b| a.address == b.address);
    Destination { endpoints, ..Destination::default() }
}

/// Returns the endpoints that are ready, or else those that go away and still take requests.
fn in_slices(snapshot: &Snapshot, key: &BackendKey, port: &ServicePort) -> Vec<EndpointAddress> {
    let (mut ready, mut draining) = (Vec::new(), Vec::new());
    for (readiness, endpoint) in all_in_slices(snapshot, key, port) {
        match readiness {
            Readiness::Ready => ready.push(endpoint),
            Readiness::Draining => draining.push(endpoint),
            Readiness::NotReady => {}
        }
    }
    if ready.is_empty() { draining } else { ready }
}

/// Returns every endpoint of a port, whatever its state.
pub(super) fn all_in_slices(
    snapshot: &Snapshot,
    key: &BackendKey,
    port: &ServicePort,
) -> impl Iterator<Item = (Readiness, EndpointAddress)> {
    // One slice has one number for a name: Pods whose named port differs are in slices of their own.
    let of_port =
        snapshot.slices_of(&key.service).filter_map(|slice| Some((slice, slice.ports.iter().find(|(name, _)| *name == port.name)?)));
    of_port.flat_map(|(slice, (_, number))| {
        slice.endpoints.iter().map(|endpoint| {
            let address = SocketAddr::new(endpoint.address, *number);
            (endpoint.readiness, EndpointAddress { address, name: Arc::clone(&endpoint.name) })
        })
    })
}

fn external(snapshot: &Snapshot, key: &BackendKey, service: &ServiceObject, port: Option<&ServicePort>, name: &Arc<str>) -> Destination {
    let number = port.map_or(key.port, |port| port.target);
    debug_assert!(service.external_name.is_some(), "only ExternalName Services get here");
    let resolution = snapshot.resolution(name);
    let addresses = resolution.map(|resolution| resolution.addresses.as_slice()).unwrap_or_default();
    let mut endpoints: Vec<_> =
        addresses.iter().map(|address| EndpointAddress { address: SocketAddr::new(*address, number), name: Arc::clone(name) }).collect();
    endpoints.sort();
    endpoints.dedup();
    let problem = resolution.and_then(|resolution| resolution.problem.as_ref());
    let finding = problem.map(|(code, message)| Diagnostic::at(&key.service, *code, "spec.externalName", message));
    Destination { endpoints, external_name: Some(Arc::clone(name)), finding }
}
