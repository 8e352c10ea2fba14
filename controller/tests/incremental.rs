//! Random sequences of changes: after every few steps, what was kept up to date equals what is built from nothing.
//!
//! `TIDEGATE_SEED` repeats a run, `TIDEGATE_STEPS` makes it longer.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidegate::diagnostic::{Code, Diagnostic};
use tidegate::object::{Body, Kind, Object, ObjectRef, Provenance, SecretBody, SourceEvent};
use tidegate::reconcile::ServedIngress;
use tidegate::snapshot::{Changes, PortRef, Snapshot};
use tidegate::translate::{DefaultBackend, Options, Translator, Update};
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Table, TableDump};
use tidegate_proxy::upstream::EndpointAddress;

const STEPS: usize = 12_000;
const NAMESPACES: [&str; 2] = ["shop", "blog"];

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Makes objects out of small sets of names and values, so that they meet.
struct Objects {
    random: Random,
    certificates: Vec<support::Pem>,
}

impl Objects {
    fn namespace(&mut self) -> &'static str {
        self.random.of(&NAMESPACES)
    }

    fn reference(&mut self, kind: Kind) -> ObjectRef {
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

    fn object(&mut self, reference: ObjectRef) -> Object {
        let provenance = if reference.kind == Kind::Ingress && self.random.one_in(4) {
            let path = Arc::new(PathBuf::from(self.random.of(&["x.yaml", "y.yaml"])));
            Provenance::File { path, line: 1 + self.random.below(3), fields: Arc::default() }
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

    fn kind(&mut self) -> Kind {
        *self.random.of(&[
            &Kind::IngressClass,
            &Kind::ClassParameters,
            &Kind::Ingress,
            &Kind::Ingress,
            &Kind::Ingress,
            &Kind::Ingress,
            &Kind::Service,
            &Kind::EndpointSlice,
            &Kind::Secret,
        ])
    }

    fn event(&mut self) -> SourceEvent {
        match self.random.below(40) {
            0 => {
                let kind = self.kind();
                SourceEvent::Unavailable { kind, reason: self.random.of(&["403", "404"]).to_owned() }
            }
            1 | 2 => self.replace(),
            3 => {
                let file = self.reference(Kind::File);
                let problem = Diagnostic::of(&file, Code::InvalidFile, "line 1");
                SourceEvent::File { problems: if self.random.one_in(2) { vec![problem] } else { Vec::new() }, file }
            }
            4 | 5 => {
                let addresses: Vec<IpAddr> =
                    (0..self.random.below(3)).map(|_| self.random.of(&["192.0.2.1", "2001:db8::1"]).parse().unwrap()).collect();
                let problem = self.random.one_in(3).then(|| (Code::UnresolvedExternalName, "no such name".to_owned()));
                SourceEvent::Resolved { name: self.random.of(&["one.example.org", "two.example.org"]).into(), addresses, problem }
            }
            6..=13 => {
                let kind = self.kind();
                SourceEvent::Delete(self.reference(kind))
            }
            _ => {
                let kind = self.kind();
                let reference = self.reference(kind);
                SourceEvent::Apply(Box::new(self.object(reference)))
            }
        }
    }

    fn replace(&mut self) -> SourceEvent {
        let kind = self.kind();
        let namespaced = !matches!(kind, Kind::IngressClass | Kind::ClassParameters);
        let namespace = (namespaced && self.random.one_in(2)).then(|| self.namespace());
        let mut objects = BTreeMap::new();
        for _ in 0..self.random.below(6) {
            let reference = self.reference(kind);
            if namespace.is_none_or(|namespace| namespace == &*reference.namespace) {
                objects.insert(reference.clone(), self.object(reference));
            }
        }
        SourceEvent::Replace { kind, namespace: namespace.map(Into::into), objects: objects.into_values().collect() }
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

/// What the world has been told so far.
#[derive(Default)]
struct Told {
    table: Option<Table>,
    findings: BTreeSet<Diagnostic>,
    served: BTreeMap<ObjectRef, ServedIngress>,
    names: Arc<[Arc<str>]>,
}

impl Told {
    fn take(&mut self, update: Update) {
        if let Some(table) = update.table {
            self.table = Some(table);
        }
        for finding in update.cleared {
            assert!(self.findings.remove(&finding), "cleared without having been raised: {finding:?}");
        }
        for finding in update.raised {
            assert!(self.findings.insert(finding.clone()), "raised twice: {finding:?}");
        }
        for gone in update.let_go {
            assert!(self.served.remove(&gone).is_some(), "let go without having been served: {gone}");
        }
        for served in update.served {
            let before = self.served.insert(served.reference.clone(), served.clone());
            assert_ne!(before, Some(served), "served again without a change");
        }
        if let Some(names) = update.external_names {
            self.names = names;
        }
    }
}

/// Everything that can be seen of a translation.
#[derive(Debug, PartialEq)]
struct Seen {
    table: TableDump,
    endpoints: Vec<(Arc<str>, Arc<[EndpointAddress]>)>,
    findings: BTreeSet<Diagnostic>,
    served: BTreeMap<ObjectRef, ServedIngress>,
    names: Arc<[Arc<str>]>,
}

fn seen(told: &Told, state: &State) -> Seen {
    Seen {
        table: told.table.as_ref().unwrap().dump(),
        endpoints: state.upstreams.dump(),
        findings: told.findings.clone(),
        served: told.served.clone(),
        names: Arc::clone(&told.names),
    }
}

fn from_nothing(options: &Options, snapshot: &Snapshot, now: SystemTime) -> Seen {
    let state = Arc::new(State::default());
    let mut translator = Translator::new(options.clone(), Arc::clone(&state));
    let mut told = Told::default();
    told.take(translator.rebuild(snapshot, now));
    seen(&told, &state)
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

#[test]
fn what_is_kept_up_to_date_equals_what_is_built_from_nothing() {
    let seed = environment("TIDEGATE_SEED")
        .unwrap_or_else(|| u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap());
    let steps = environment("TIDEGATE_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    println!("TIDEGATE_SEED={seed} TIDEGATE_STEPS={steps}");
    let certificates = [(&["a.example.com"][..], 300), (&["*.example.com", "example.com"], 40), (&["b.example.com"], 10)];
    let certificates = certificates.iter().map(|(names, days)| support::certificate(names, *days)).collect();
    let mut objects = Objects { random: Random(seed), certificates };
    let mut step = 0;
    // Several worlds: flags differ between them, and none grows so full that nothing is new.
    while step < steps {
        let world = (steps - step).min(1_500);
        let options = Options {
            watch_without_class: objects.random.one_in(2),
            ingress_class: objects.random.one_in(2).then(|| "flagged".into()),
            external_names: !objects.random.one_in(4),
            default_certificate: objects.random.one_in(2).then(|| ObjectRef::new(Kind::Secret, "shop", "cert")),
            default_backend: objects.random.one_in(2).then(|| DefaultBackend {
                service: ObjectRef::new(Kind::Service, "shop", "web"),
                port: objects.random.one_in(2).then_some(PortRef::Number(81)),
            }),
            ..support::options()
        };
        live(&mut objects, &options, world, &format!("TIDEGATE_SEED={seed} TIDEGATE_STEPS={steps}, step {step} and on"));
        step += world;
    }
}

fn live(objects: &mut Objects, options: &Options, steps: usize, which: &str) {
    let state = Arc::new(State::default());
    let mut snapshot = Snapshot::default();
    if let Some(secret) = &options.default_certificate {
        snapshot.pin_secret(secret);
    }
    let mut translator = Translator::new(options.clone(), Arc::clone(&state));
    let mut told = Told::default();
    let mut now = support::noon();
    for step in 0..steps {
        let before = objects.random.0;
        let mut changes = Changes::default();
        for _ in 0..=objects.random.below(3) {
            changes.merge(snapshot.apply(objects.event()));
        }
        if objects.random.one_in(50) {
            now += Duration::from_secs(86_400 * 5);
        }
        told.take(translator.update(&snapshot, &changes, now));
        // Building from nothing is what takes the time of this test.
        if !objects.random.one_in(3) {
            continue;
        }
        let (kept, anew) = (seen(&told, &state), from_nothing(options, &snapshot, now));
        if kept != anew {
            objects.random.0 = before;
            let last: Vec<_> = (0..=objects.random.below(3)).map(|_| format!("{:?}", objects.event())).collect();
            let last = last.join("\n\n");
            panic!("{which}: step {step} of this world differs.\nLast events:\n{last}\n{}", difference(&kept, &anew));
        }
        assert_eq!(told.findings.iter().collect::<Vec<_>>(), translator.diagnostics().collect::<Vec<_>>(), "{which}: step {step}");
    }
}

fn difference(kept: &Seen, anew: &Seen) -> String {
    let text = |seen: &Seen| {
        let table = json!(seen.table);
        format!("{table:#}\n{seen:#?}")
    };
    let (kept, anew) = (text(kept), text(anew));
    let (kept, anew): (Vec<_>, Vec<_>) = (kept.lines().collect(), anew.lines().collect());
    let at = kept.iter().zip(&anew).position(|(a, b)| a != b).unwrap_or(kept.len().min(anew.len()));
    let around = |lines: &[&str]| lines.iter().skip(at.saturating_sub(12)).take(30).copied().collect::<Vec<_>>().join("\n");
    format!("--- kept up to date:\n{}\n--- from nothing:\n{}", around(&kept), around(&anew))
}
