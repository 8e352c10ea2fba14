//! The API server with its objects, and the backends that they lead to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};
use tidegate_tests::backend::Backend;
use tidegate_tests::cluster::{Cluster, SERVER, User};
use tidegate_tests::object::{self, Document};
use tidegate_tests::wait;

use crate::peers::install::Tools;
use crate::tls::{Authority, Pair};

/// The namespace of all objects.
pub(super) const NAMESPACE: &str = "bench";
/// The class of all Ingresses. Its controller is Traefik's, which Traefik insists on; Tidegate is told to serve it.
pub(super) const CONTROLLER: &str = "traefik.io/ingress-controller";
/// Secrets with certificates, each of one Ingress.
pub(super) const SECRETS: usize = 20;
/// Where the backend listens, whatever address of `10.1.0.0/16` is asked.
pub(super) const PORT: u16 = 8_000;
/// Where the other backend listens.
pub(super) const OTHER_PORT: u16 = 8_001;
/// Writes that are under way at once.
const AT_ONCE: usize = 64;

const FIRST: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: bench}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: bench}
spec: {controller: traefik.io/ingress-controller}
";

/// Where everything is measured.
pub(super) struct Arena {
    /// Files of the run.
    pub(super) directory: PathBuf,
    /// Programs.
    pub(super) tools: Tools,
    /// How the cluster is reached.
    pub(super) kubeconfig: PathBuf,
    /// Certificates of the Secrets.
    authority: Authority,
    cluster: Cluster,
    size: usize,
    _backends: [Backend; 2],
}

impl Arena {
    /// Starts the API server.
    pub(super) async fn start(assets: &Path, directory: &Path, tools: &Tools) -> anyhow::Result<Self> {
        let cluster = Cluster::start(assets, &directory.join("control-plane")).await?;
        let kubeconfig = cluster.kubeconfig(User::Admin, SERVER)?;
        let client = cluster.client();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/classparameters.yaml");
        for document in Document::all(FIRST)?.into_iter().chain(Document::all(&std::fs::read_to_string(file)?)?) {
            document.apply(&client, "").await?;
        }
        let parameters = object::api(&client, "ClassParameters", "")?;
        wait::until_ok(async || Ok(parameters.list(&kube::api::ListParams::default()).await?)).await?;
        let backends = [("old", PORT), ("new", OTHER_PORT)].map(|(name, port)| (name, SocketAddr::from(([0, 0, 0, 0], port))));
        let [(old, first), (new, second)] = backends;
        Ok(Self {
            directory: directory.to_owned(),
            tools: tools.clone(),
            kubeconfig,
            authority: Authority::make()?,
            cluster,
            size: 0,
            _backends: [Backend::start(old, first).await?, Backend::start(new, second).await?],
        })
    }

    /// Returns a client that may do everything.
    pub(super) fn client(&self) -> Client {
        self.cluster.client()
    }

    /// Returns the objects of a kind.
    pub(super) fn api(&self, kind: &str) -> anyhow::Result<Api<DynamicObject>> {
        object::api(&self.client(), kind, NAMESPACE)
    }

    /// Makes as many Ingresses, Services and EndpointSlices as are missing.
    pub(super) async fn grow(&mut self, size: usize) -> anyhow::Result<()> {
        ensure!(size > SECRETS, "too small");
        let begun = Instant::now();
        let numbers = self.size..size;
        if self.size == 0 {
            for number in 0..SECRETS {
                create(&self.api("Secret")?, secret(number, &self.certificate(number)?)).await?;
            }
        }
        for (kind, make) in [("Service", service as fn(usize) -> Value), ("EndpointSlice", old_slice), ("Ingress", numbered_ingress)] {
            let api = &self.api(kind)?;
            stream::iter(numbers.clone().map(|number| create(api, make(number))))
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
            eprintln!("  {kind}: {size} after {:.0} s", begun.elapsed().as_secs_f64());
        }
        self.size = size;
        eprintln!("{size} Ingresses, Services and EndpointSlices: {:.0} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Makes a certificate for the Ingress of this number.
    pub(super) fn certificate(&self, number: usize) -> anyhow::Result<Pair> {
        self.authority.sign(&host(number))
    }
}

/// Creates an object.
pub(super) async fn create(api: &Api<DynamicObject>, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object).await.context("the API server refused")?;
    Ok(())
}

/// Returns the host of the Ingress of this number.
pub(super) fn host(number: usize) -> String {
    format!("host-{number}.bench.test")
}

/// Returns the address of the endpoint of this number.
fn address(number: usize) -> String {
    format!("10.1.{}.{}", number / 250, number % 250 + 1)
}

/// Returns a Service; headless, since the API server gives out some thirty addresses a second and no proxy here uses them.
pub(super) fn service(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("service-{number}")},
        "spec": {"clusterIP": "None", "ports": [{"port": 80, "targetPort": PORT}]}})
}

/// Returns the slice of a Service, with its endpoint on this port.
pub(super) fn slice(number: usize, port: u16) -> Value {
    let service = format!("service-{number}");
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address(number)], "conditions": {"ready": true}}]})
}

/// Returns the slice of a Service as it is at first.
pub(super) fn old_slice(number: usize) -> Value {
    slice(number, PORT)
}

/// Returns an Ingress of one rule.
pub(super) fn ingress(name: &str, host: &str, path: &str, service: usize) -> Value {
    let backend = json!({"service": {"name": format!("service-{service}"), "port": {"number": 80}}});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "annotations": {"tidegate.dev/ssl-redirect": "false"}},
        "spec": {"ingressClassName": "bench",
            "rules": [{"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}]}})
}

/// Returns the Ingress of this number; the first ones have a certificate.
pub(super) fn numbered_ingress(number: usize) -> Value {
    let mut object = ingress(&format!("ingress-{number}"), &host(number), "/", number);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && number < SECRETS
    {
        spec.insert("tls".to_owned(), json!([{"hosts": [host(number)], "secretName": format!("secret-{number}")}]));
    }
    object
}

/// Returns the Secret of this number.
pub(super) fn secret(number: usize, pair: &Pair) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": format!("secret-{number}")},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key}})
}
