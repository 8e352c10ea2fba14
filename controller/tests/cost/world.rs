//! A cluster of a chosen size as its API server would send it, and what a controller makes of it.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate::object::{Kind, Object, SourceEvent};
use tidegate::snapshot::Snapshot;
use tidegate::source::cluster;
use tidegate::translate::Translator;
use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;

use crate::support;

/// Objects that one page of a list has.
const PAGE: usize = 500;
/// Ingresses that share one Secret.
pub(crate) const A_SECRET: usize = 100;

/// A cluster: each Ingress has a host, a Service and a slice of its own, TLS by a Secret that [`A_SECRET`] share, and every tenth a path
/// to one Service that all of them share. One Ingress has no host, another a wildcard.
pub(crate) struct Cluster {
    pub(crate) ingresses: usize,
    pub(crate) certificates: [support::Pem; 2],
}

impl Cluster {
    pub(crate) fn new(ingresses: usize) -> Self {
        let certificate = || support::certificate(&["*.example.com"], 300);
        Self { ingresses, certificates: [certificate(), certificate()] }
    }

    /// Returns the lists of a kind, page by page, as bytes.
    pub(crate) fn pages(&self, kind: Kind) -> Vec<Vec<u8>> {
        let objects: Vec<Value> = match kind {
            Kind::IngressClass => vec![class()],
            Kind::ClassParameters | Kind::File => vec![],
            Kind::Secret => (0..self.ingresses.div_ceil(A_SECRET)).map(|i| self.secret(i, 0)).collect(),
            Kind::Service => (0..self.ingresses).map(|i| service(&format!("w{i}"), "http")).chain([service("shared", "http")]).collect(),
            Kind::EndpointSlice => (0..self.ingresses).map(|i| slice(&format!("w{i}"), 0)).chain([slice("shared", 0)]).collect(),
            Kind::Ingress => {
                let own = (0..self.ingresses).map(|i| ingress(i, "/"));
                own.chain([rule("hostless", "", "/rest"), rule("wildcard", "*.example.com", "/rest")]).collect()
            }
        };
        objects.chunks(PAGE).map(list).collect()
    }

    pub(crate) fn secret(&self, i: usize, which: usize) -> Value {
        let pem = &self.certificates[which % 2];
        let data = json!({ "tls.crt": base64(pem.chain.as_bytes()), "tls.key": base64(pem.key.as_bytes()) });
        json!({ "metadata": metadata(&format!("s{i}")), "type": "kubernetes.io/tls", "data": data })
    }

    /// Reads it kind by kind, and makes the first table.
    pub(crate) fn start(&self) -> Running {
        let mut snapshot = Snapshot::default();
        for kind in Kind::ALL {
            snapshot.apply(SourceEvent::Replace { kind: *kind, namespace: None, objects: read(*kind, &self.pages(*kind)) });
        }
        Running::of(snapshot)
    }
}

/// A controller that has its first table.
pub(crate) struct Running {
    pub(crate) snapshot: Snapshot,
    pub(crate) translator: Translator,
    pub(crate) publisher: Publisher,
    pub(crate) state: Arc<State>,
}

impl Running {
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let state = Arc::new(State::default());
        let mut translator = Translator::new(support::options(), Arc::clone(&state));
        let update = translator.rebuild(&snapshot, support::noon());
        assert!(update.raised.is_empty(), "{:?}", update.raised);
        Self { snapshot, translator, publisher: Publisher::new(update.table.unwrap()), state }
    }

    /// Takes an event to where requests are served by it.
    pub(crate) fn take(&mut self, event: SourceEvent) {
        let changes = self.snapshot.apply(event);
        let update = self.translator.update(&self.snapshot, &changes, support::noon());
        if let Some(table) = update.table {
            self.publisher.publish(table);
        }
    }
}

/// Reads lists of a kind.
pub(crate) fn read(kind: Kind, pages: &[Vec<u8>]) -> Vec<Object> {
    pages.iter().flat_map(|page| cluster::read_list(kind, page).unwrap()).collect()
}

/// Reads one object.
pub(crate) fn apply(kind: Kind, object: &Value) -> SourceEvent {
    SourceEvent::Apply(Box::new(read(kind, &[list(std::slice::from_ref(object))]).pop().unwrap()))
}

fn list(items: &[Value]) -> Vec<u8> {
    json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "100" }, "items": items }).to_string().into_bytes()
}

/// What every object of a cluster carries, most of it of no use to a controller.
fn metadata(name: &str) -> Value {
    let fields = json!({ "f:metadata": { "f:annotations": { ".": {}, "f:example.com/owner": {} }, "f:labels": { ".": {}, "f:app": {} } },
        "f:spec": { "f:ports": { ".": {}, "k:{\"port\":80}": { ".": {}, "f:port": {}, "f:name": {} } }, "f:rules": {}, "f:tls": {} } });
    let managed = |manager: &str| {
        json!({ "manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields })
    };
    json!({
        "name": name, "namespace": "shop", "uid": format!("6f0c9b1e-0000-4000-8000-{name:0>12}"), "resourceVersion": "4711", "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z", "labels": { "app": name, "kubernetes.io/service-name": name },
        "annotations": { "example.com/owner": "somebody", "kubectl.kubernetes.io/last-applied-configuration": "{\"a\":\"object\"}\n" },
        "managedFields": [managed("kubectl-client-side-apply"), managed("kube-controller-manager")],
    })
}

fn class() -> Value {
    json!({ "metadata": { "name": "tidegate" }, "spec": { "controller": "tidegate.dev/ingress-controller" } })
}

pub(crate) fn ingress(i: usize, path: &str) -> Value {
    let to = |path: &str, service: &str| json!({ "path": path, "pathType": "Prefix", "backend": { "service": { "name": service, "port": { "number": 80 } } } });
    let mut paths = vec![to(path, &format!("w{i}"))];
    if i.is_multiple_of(10) {
        paths.push(to("/shared", "shared"));
    }
    let host = format!("h{i}.example.com");
    json!({ "metadata": metadata(&format!("i{i}")), "spec": { "ingressClassName": "tidegate",
        "rules": [{ "host": host, "http": { "paths": paths } }], "tls": [{ "hosts": [host], "secretName": format!("s{}", i / A_SECRET) }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } } })
}

/// An Ingress without TLS for a host that others of [`Cluster`] have names below, or for all hosts.
pub(crate) fn rule(name: &str, host: &str, path: &str) -> Value {
    let backend = json!({ "service": { "name": "shared", "port": { "number": 80 } } });
    json!({ "metadata": metadata(name), "spec": { "ingressClassName": "tidegate",
        "rules": [{ "host": host, "http": { "paths": [{ "path": path, "pathType": "Prefix", "backend": backend }] } }] } })
}

pub(crate) fn service(name: &str, app_protocol: &str) -> Value {
    let port = json!({ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "appProtocol": app_protocol });
    json!({ "metadata": metadata(name), "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
        "selector": { "app": name }, "ports": [port], "sessionAffinity": "None" }, "status": { "loadBalancer": {} } })
}

pub(crate) fn slice(service: &str, last: usize) -> Value {
    let endpoint = |address: String| {
        json!({ "addresses": [address], "conditions": { "ready": true, "serving": true, "terminating": false },
        "nodeName": "node-1", "targetRef": { "kind": "Pod", "namespace": "shop", "name": format!("{service}-7d4b9c-xyz"), "uid": "0b6c" } })
    };
    json!({ "metadata": metadata(service), "addressType": "IPv4", "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": [endpoint("10.0.0.1".into()), endpoint(format!("10.0.1.{last}"))] })
}

fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_chunk = |chunk: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        let letter = move |at: usize| if at <= chunk.len() { char::from(letters[bits >> (18 - 6 * at) & 63]) } else { '=' };
        [letter(0), letter(1), letter(2), letter(3)]
    };
    bytes.chunks(3).flat_map(of_chunk).collect()
}
