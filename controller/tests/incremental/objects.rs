//! Objects out of small sets of names and values, so that they meet.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tidegate::object::{Body, Kind, Object, ObjectRef, Provenance, SecretBody};

use crate::random::Random;
use crate::support;

const NAMESPACES: [&str; 2] = ["shop", "blog"];

/// Makes objects out of small sets of names and values, so that they meet.
pub(crate) struct Objects {
    pub(crate) random: Random,
    pub(crate) certificates: Vec<support::Pem>,
}

impl Objects {
    pub(crate) fn namespace(&mut self) -> &'static str {
        self.random.of(&NAMESPACES)
    }

    pub(crate) fn reference(&mut self, kind: Kind) -> ObjectRef {
        let (names, namespaced): (&[&str], bool) = match kind {
            Kind::IngressClass => (&["tidegate", "other", "nginx"], false),
            Kind::ClassParameters => (&["fast", "slow"], false),
            Kind::Ingress => (&["a", "b", "c", "d", "e", "f"], true),
            Kind::Service => (&["web", "api", "out"], true),
            Kind::EndpointSlice => (&["web-1", "web-2", "api-1", "out-1"], true),
            Kind::Secret => (&["cert", "spare"], true),
            Kind::File => (&["x.yaml", "y.yaml"], false),
        };
        let namespace = if namespaced { self.namespace() } else { "" };
        ObjectRef::new(kind, namespace, self.random.of(names))
    }

    pub(crate) fn object(&mut self, reference: ObjectRef) -> Object {
        let provenance = if reference.kind == Kind::Ingress && self.random.one_in(4) {
            let path = Arc::new(PathBuf::from(self.random.of(&["x.yaml", "y.yaml"])));
            Provenance::File { path, position: self.random.below(3), line: 1 + self.random.below(3), fields: Arc::default() }
        } else {
            Provenance::Cluster { uid: Arc::default() }
        };
        let body = if self.random.one_in(12) { Err("spec: it is garbled".to_owned()) } else { Ok(self.body(&reference)) };
        Object { reference, provenance, body }
    }

    fn body(&mut self, reference: &ObjectRef) -> Body {
        let mut value = match reference.kind {
            Kind::IngressClass => self.class(),
            Kind::ClassParameters => self.parameters(),
            Kind::Ingress => self.ingress(),
            Kind::Service => self.service(),
            Kind::EndpointSlice => self.slice(&reference.name),
            Kind::Secret => self.secret(),
            Kind::File => unreachable!("files have no body"),
        };
        value["metadata"]["name"] = json!(&*reference.name);
        if !reference.namespace.is_empty() {
            value["metadata"]["namespace"] = json!(&*reference.namespace);
        }
        match reference.kind {
            Kind::IngressClass => Body::IngressClass(Arc::new(read(value))),
            Kind::ClassParameters => Body::ClassParameters(Arc::new(read(value))),
            Kind::Ingress => Body::Ingress(Arc::new(read(value))),
            Kind::Service => Body::Service(Arc::new(read(value))),
            Kind::EndpointSlice => Body::EndpointSlice(Arc::new(read(value))),
            Kind::Secret => Body::Secret(SecretBody(Arc::new(read(value)))),
            Kind::File => unreachable!("files have no body"),
        }
    }

    fn class(&mut self) -> Value {
        let controller = self.random.of(&["tidegate.dev/ingress-controller", "k8s.io/ingress-nginx", "example.com/other"]);
        let mut class = json!({ "metadata": { "annotations": {} }, "spec": { "controller": controller } });
        if self.random.one_in(3) {
            class["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] = json!("true");
        }
        if self.random.one_in(2) {
            let kind = self.random.of(&["ClassParameters", "ClassParameters", "ConfigMap"]);
            let scope = self.random.of(&["Cluster", "Cluster", "Namespace"]);
            class["spec"]["parameters"] =
                json!({ "apiGroup": "tidegate.dev", "kind": kind, "name": self.random.of(&["fast", "slow", "none"]), "scope": scope });
        }
        class
    }

    fn parameters(&mut self) -> Value {
        let mut spec = json!({});
        if self.random.one_in(2) {
            spec["compatibility"] = json!(self.random.of(&["native", "ingress-nginx"]));
        }
        if self.random.one_in(2) {
            spec["forceSslRedirect"] = json!(self.random.one_in(2));
            spec["fromToWwwRedirect"] = json!(self.random.one_in(2));
        }
        if self.random.one_in(3) {
            spec["proxyBodySize"] = json!(self.random.of(&["8m", "lots"]));
        }
        if self.random.one_in(3) {
            spec["permanentRedirect"] = json!(self.random.of(&["https://example.org/", "\u{7}"]));
        }
        json!({ "apiVersion": "tidegate.dev/v1alpha1", "kind": "ClassParameters", "metadata": {}, "spec": spec })
    }

    fn backend(&mut self) -> Value {
        if self.random.one_in(15) {
            return self
                .random
                .of(&[
                    &json!({ "resource": { "apiGroup": "k8s.example.com", "kind": "Bucket", "name": "icons" } }),
                    &json!({ "service": { "name": "web" } }),
                    &json!({}),
                ])
                .clone();
        }
        let name = self.random.of(&["web", "api", "out", "none"]);
        let port = self
            .random
            .of(&[&json!({ "number": 80 }), &json!({ "name": "http" }), &json!({ "number": 81 }), &json!({ "name": "none" })])
            .clone();
        json!({ "service": { "name": name, "port": port } })
    }

    fn host(&mut self) -> &'static str {
        let hosts = ["a.example.com", "b.example.com", "example.com", "www.example.com", "*.example.com", "", "", "bad host"];
        self.random.of(&hosts)
    }

    fn ingress(&mut self) -> Value {
        let mut spec = json!({});
        for _ in 0..self.random.below(4) {
            let mut rule = json!({ "host": self.host() });
            let mut paths = Vec::new();
            for _ in 0..self.random.below(4) {
                let path = self.random.of(&["/", "/a", "/a/", "/a/b", "/b", "", "no-slash"]);
                let kind = self.random.of(&["Exact", "Prefix", "Prefix", "ImplementationSpecific", "ImplementationSpecific"]);
                paths.push(json!({ "path": path, "pathType": kind, "backend": self.backend() }));
            }
            if !paths.is_empty() {
                rule["http"] = json!({ "paths": paths });
            }
            push(&mut spec["rules"], rule);
        }
        if self.random.one_in(3) {
            spec["defaultBackend"] = self.backend();
        }
        for _ in 0..self.random.below(3) {
            let hosts: Vec<_> = (0..self.random.below(3)).map(|_| self.host()).collect();
            let mut tls = json!({ "hosts": hosts });
            if !self.random.one_in(6) {
                tls["secretName"] = json!(self.random.of(&["cert", "spare", "none"]));
            }
            push(&mut spec["tls"], tls);
        }
        let mut ingress = json!({ "metadata": { "annotations": {} }, "spec": spec });
        match self.random.below(8) {
            0 => {}
            1 => {
                ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!(self.random.of(&["tidegate", "nginx", "flagged"]))
            }
            2 => ingress["spec"]["ingressClassName"] = json!(self.random.of(&["other", "nginx", "none"])),
            _ => ingress["spec"]["ingressClassName"] = json!("tidegate"),
        }
        self.annotations(&mut ingress["metadata"]["annotations"]);
        if !self.random.one_in(5) {
            ingress["metadata"]["creationTimestamp"] = json!(format!("2026-01-0{}T00:00:00Z", 1 + self.random.below(4)));
        }
        if self.random.one_in(2) {
            ingress["metadata"]["uid"] = json!(format!("uid-{}", self.random.below(3)));
            ingress["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": format!("192.0.2.{}", self.random.below(3)) }] } });
        }
        ingress
    }

    fn annotations(&mut self, annotations: &mut Value) {
        let values: [(&str, &[&str]); 8] = [
            ("ssl-redirect", &["true", "false", "maybe"]),
            ("force-ssl-redirect", &["true", "false"]),
            ("from-to-www-redirect", &["true", "true", "yes please"]),
            ("app-root", &["/app", "nowhere"]),
            ("permanent-redirect", &["https://example.org/", "\u{7}"]),
            ("backend-protocol", &["HTTPS", "GRPC", "AUTO_HTTP", "FCGI", "??"]),
            ("proxy-body-size", &["8m", "0", "lots"]),
            ("whitelist-source-range", &["10.0.0.0/8"]),
        ];
        while self.random.one_in(3) {
            let (name, values) = &values[self.random.below(values.len())];
            let prefix = self.random.of(&["nginx.ingress.kubernetes.io", "tidegate.dev"]);
            annotations[format!("{prefix}/{name}")] = json!(self.random.of(values));
        }
    }

    fn service(&mut self) -> Value {
        if self.random.one_in(6) {
            return json!({ "metadata": {}, "spec": {
                "type": "ExternalName", "externalName": self.random.of(&["one.example.org", "two.example.org", ""]),
            }});
        }
        let name = self.random.of(&["http", "other"]);
        let mut port = json!({ "name": name, "port": 80, "targetPort": self.random.of(&[&json!("web"), &json!(8080)]) });
        if self.random.one_in(3) {
            port["appProtocol"] = json!(self.random.of(&["https", "kubernetes.io/h2c", "grpc", "mysql"]));
        }
        let mut ports = vec![port];
        if self.random.one_in(2) {
            ports.push(json!({ "name": "more", "port": 81 }));
        }
        json!({ "metadata": {}, "spec": { "ports": ports } })
    }

    fn slice(&mut self, name: &str) -> Value {
        let of = if self.random.one_in(10) { self.random.of(&["web", "api", "none"]) } else { name.split('-').next().unwrap() };
        let endpoints: Vec<_> = (0..self.random.below(4))
            .map(|_| {
                let address = self.random.of(&["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.3", "host.example"]);
                let conditions = self.random.of(&[
                    &json!({}),
                    &json!({ "ready": true }),
                    &json!({ "ready": false }),
                    &json!({ "ready": false, "serving": true, "terminating": true }),
                ]).clone();
                json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "name": self.random.of(&["p1", "p2"]) } })
            })
            .collect();
        let ports = json!([{ "name": self.random.of(&["http", "other"]), "port": self.random.of(&[&8080, &9090]) }, { "name": "more", "port": 81 }]);
        json!({
            "metadata": { "labels": { "kubernetes.io/service-name": of } }, "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        })
    }

    fn secret(&mut self) -> Value {
        let pem = self.certificates[self.random.below(self.certificates.len())].clone();
        match self.random.below(6) {
            0 => json!({ "metadata": {}, "stringData": { "tls.crt": pem.chain } }),
            1 => json!({ "metadata": {}, "stringData": { "tls.crt": "garbage", "tls.key": pem.key } }),
            _ => json!({ "metadata": {}, "stringData": { "tls.crt": pem.chain, "tls.key": pem.key } }),
        }
    }
}

fn push(array: &mut Value, value: Value) {
    match array {
        Value::Array(all) => all.push(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => *array = json!([value]),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("the test's own object is wrong: {error}"))
}
