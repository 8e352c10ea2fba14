#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use tidegate_proxy::model::{Certificate, CidrSet, Limits, Origin, Scheme};
use tidegate_proxy::table::SessionTickets;

use super::*;
use crate::reconcile::Reconciler;
use crate::source::directory;
use crate::translate::{ListenerOptions, Options};

/// A self-signed certificate and its key, both PEM.
fn certificate(host: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn options() -> Options {
    let (chain, key) = certificate("default.invalid");
    let listener = |name: &str, scheme| ListenerOptions {
        name: name.into(),
        address: "127.0.0.1:0".parse().unwrap(),
        scheme,
        public_port: None,
        public_https_port: None,
        proxy_protocol: CidrSet::default(),
        limits: Arc::new(Limits::default()),
    };
    Options {
        controllers: vec!["tidegate.dev/ingress-controller".into()],
        ingress_class: None,
        class_by_name: false,
        watch_without_class: true,
        external_names: true,
        default_certificate: None,
        default_backend: None,
        listeners: vec![listener("http", Scheme::Http), listener("https", Scheme::Https)],
        trusted_proxies: CidrSet::default(),
        self_signed: Arc::new(Certificate::from_pem(Arc::new(Origin::new("File", "", "self")), chain.as_bytes(), key.as_bytes()).unwrap()),
        tickets: SessionTickets::new().unwrap(),
    }
}

fn manifest(chain: &str, key: &str) -> String {
    let block = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        r"apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop}}
spec:
  tls: [{{hosts: [shop.example.com], secretName: shop}}]
  rules:
  - host: shop.example.com
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: cart, port: {{number: 80}}}}}}}}
      - {{path: /gone, pathType: Prefix, backend: {{service: {{name: missing, port: {{number: 80}}}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: cart-1, labels: {{kubernetes.io/service-name: cart}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{{addresses: [10.1.2.3]}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: shop}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{}  tls.key: |
{}",
        block(chain),
        block(key)
    )
}

/// The pages over a directory of manifests.
async fn view(manifest: &str) -> View {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("all.yaml"), manifest).unwrap();
    let (sender, mut events) = tokio::sync::mpsc::channel(100);
    for event in directory::load(&[root.path().to_owned()]).unwrap().events {
        sender.send(event).await.unwrap();
    }
    let state = Arc::new(State::default());
    let mut reconciler = Reconciler::new(options(), [], Arc::clone(&state));
    let mut outcomes = reconciler.subscribe();
    let table = reconciler.first_table(&mut events).await.unwrap();
    let publisher = Arc::new(Publisher::new(table));
    let inquiries = reconciler.inquiries();
    let reconciling = Arc::clone(&publisher);
    // It runs until the test's runtime ends.
    tokio::spawn(async move {
        let _sender = sender;
        reconciler.run(events, &reconciling).await;
    });
    let view = View {
        findings: Findings::default(),
        state,
        addresses: vec![("http", "127.0.0.1:8080".parse().unwrap())],
        publisher: Arc::new(OnceLock::from(publisher)),
        inquiries,
    };
    view.findings.take(&outcomes.recv().await.unwrap());
    view
}

fn page(view: &View, path: &str) -> Reply {
    let query = (path == "/explain").then_some("url=https://shop.example.com/gone");
    view.page(path, query).unwrap()
}

fn json(view: &View, path: &str) -> Value {
    // As the server does: pages may wait.
    let reply = tokio::task::block_in_place(|| page(view, path));
    assert_eq!((reply.status.as_u16(), reply.media_type), (200, "application/json"), "{path}");
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_shows_its_part() {
    let (chain, key) = certificate("shop.example.com");
    let view = view(&manifest(&chain, &key)).await;
    let pages = json(&view, "/")["pages"].as_object().unwrap().clone();
    assert_eq!(pages.len(), PAGES.len());
    for path in pages.keys() {
        json(&view, path);
    }
    assert_eq!(json(&view, "/addresses"), json!({ "generation": 1, "addresses": { "http": "127.0.0.1:8080" } }));
    assert_eq!(json(&view, "/version"), json!({ "generation": 1, "version": env!("CARGO_PKG_VERSION") }));
    assert_eq!(json(&view, "/table")["table"]["listeners"][0]["hosts"][0]["host"], "shop.example.com");
    let backends = json!([{ "backend": "default/cart:80", "endpoints": [{ "address": "10.1.2.3:8080", "name": "", "state": "ready", "serves": true }] }]);
    assert_eq!(json(&view, "/backends"), backends);
    let routes = json(&view, "/routes");
    assert_eq!(routes.as_array().unwrap().len(), 2, "both listeners serve them alike: {routes}");
    assert_eq!((&routes[0]["listeners"], &routes[0]["path"]), (&json!(["http", "https"]), &json!({ "prefix": "/gone" })));
    assert_eq!(json(&view, "/explain")["answer"]["reason"], "no_service");
    assert_eq!(json(&view, "/endpoints")[0]["endpoints"][0]["address"], "10.1.2.3:8080");
    assert_eq!(json(&view, "/certificates")[0]["certificates"][0]["certificate"]["names"], json!(["shop.example.com"]));
    let finding = &json(&view, "/diagnostics")[0];
    assert_eq!((&finding["code"], &finding["severity"]), (&json!("missing_service"), &json!("error")));
    assert_eq!(finding["object"], json!({ "kind": "Ingress", "namespace": "default", "name": "shop" }));
    assert!(view.page("/tables", None).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_a_private_key() {
    let (chain, key) = certificate("shop.example.com");
    let view = view(&manifest(&chain, &key)).await;
    let secrets: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(!secrets.is_empty());
    for (path, _) in PAGES.iter().chain(&[("/", "")]) {
        let body = String::from_utf8(tokio::task::block_in_place(|| page(&view, path)).body.to_vec()).unwrap();
        for secret in secrets.iter().chain(&["PRIVATE KEY"]) {
            assert!(!body.contains(secret), "{path} shows a key");
        }
    }
    assert!(!format!("{view:?}").contains(secrets[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_in_the_wrong_place_is_not_shown_either() {
    let (chain, key) = certificate("shop.example.com");
    // The key where the certificate belongs, and the other way round: nothing that is said about it may quote it.
    let view = view(&manifest(&key, &chain)).await;
    let body = String::from_utf8(page(&view, "/diagnostics").body.to_vec()).unwrap();
    assert!(body.contains("invalid_secret"), "{body}");
    for secret in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!body.contains(secret), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_are_there_before_there_is_a_table() {
    let inquiries = Reconciler::new(options(), [], Arc::default()).inquiries();
    let view = View { findings: Findings::default(), state: Arc::default(), addresses: Vec::new(), publisher: Arc::default(), inquiries };
    for (path, _) in PAGES.iter().filter(|(path, _)| !["/explain", "/snapshot"].contains(path)) {
        json(&view, path);
    }
    assert_eq!(page(&view, "/explain").status, 503);
    assert_eq!(page(&view, "/snapshot").status, 503);
    assert_eq!(view.page("/explain", None).unwrap().status, 400, "no question");
}
