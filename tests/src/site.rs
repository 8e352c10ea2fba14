//! A test's own place: a Kubernetes namespace or a directory of manifests, a range of addresses for backends, a class and its Tidegates.
//!
//! Texts may hold `$NS` (the namespace), `$NET` (the first three numbers of the range), `$CLASS` and `$CONTROLLER`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use kube::Client;
use kube::api::DynamicObject;

use crate::backend::Backend;
use crate::binary;
use crate::cluster::{self, Cluster, User};
use crate::object::{self, Document};
use crate::rights::{self, Rights};
use crate::tidegate::Tidegate;

/// Port that backends listen on.
pub const BACKEND_PORT: u16 = 8080;

/// Where objects of a site are.
#[derive(Debug, Clone)]
pub enum Objects {
    /// In a cluster, where nobody but us makes EndpointSlices.
    Cluster(Arc<Cluster>),
    /// In a directory of manifests.
    Directory(PathBuf),
}

/// A test's own place.
#[derive(Debug)]
pub struct Site {
    /// Where its objects are.
    pub objects: Objects,
    /// The namespace of its objects.
    pub namespace: String,
    /// The first two numbers of its addresses, and the third: no two sites share them.
    net: [u8; 3],
    unique: String,
    /// Backends started so far: the last number of the next one's address.
    next_host: AtomicU8,
    files: Mutex<BTreeMap<(String, String), PathBuf>>,
    tidegates: Mutex<Vec<Tidegate>>,
}

impl Site {
    /// Makes a site with its class, in a namespace of its own.
    ///
    /// # Errors
    /// The API server does not make it.
    pub async fn in_cluster(cluster: Arc<Cluster>, number: u8, test: &str) -> anyhow::Result<Self> {
        // Names of namespaces have at most 63 characters.
        let name: String = test.rsplit("::").next().unwrap_or(test).replace('_', "-").chars().take(40).collect();
        let namespace = format!("t{number}-{}", name.trim_end_matches('-'));
        let site = Self::new(Objects::Cluster(cluster), namespace.clone(), [10, 1, number], namespace);
        site.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: $NS}").await?;
        site.apply(CLASS).await?;
        site.apply(&Rights::of_the_chart()?.role(User::Tidegate)).await?;
        Ok(site)
    }

    /// Makes a site with its class in a new directory under this one.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub async fn in_directory(parent: &Path, number: u8) -> anyhow::Result<Self> {
        let directory = parent.join(format!("manifests-{number}"));
        fs::create_dir(&directory)?;
        // Objects that name no namespace are in this one.
        let site = Self::new(Objects::Directory(directory), "default".to_owned(), [127, 1, number], format!("d{number}"));
        site.apply(CLASS).await?;
        Ok(site)
    }

    fn new(objects: Objects, namespace: String, net: [u8; 3], unique: String) -> Self {
        let (files, tidegates) = (Mutex::default(), Mutex::default());
        Self { objects, namespace, net, unique, next_host: AtomicU8::new(1), files, tidegates }
    }

    /// Returns whether the objects are in a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.objects, Objects::Directory(_))
    }

    /// Returns the cluster.
    ///
    /// # Errors
    /// The objects are in a directory.
    pub fn cluster(&self) -> anyhow::Result<&Cluster> {
        match &self.objects {
            Objects::Cluster(cluster) => Ok(cluster),
            Objects::Directory(_) => anyhow::bail!("this site is a directory"),
        }
    }

    /// Returns the directory of manifests.
    ///
    /// # Errors
    /// The objects are in a cluster.
    pub fn directory(&self) -> anyhow::Result<&Path> {
        match &self.objects {
            Objects::Cluster(_) => anyhow::bail!("this site is a cluster"),
            Objects::Directory(directory) => Ok(directory),
        }
    }

    fn client(&self) -> anyhow::Result<Client> {
        Ok(self.cluster()?.client())
    }

    /// Returns the text with the site's own names in it.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let [a, b, c] = self.net;
        text.replace("$NS", &self.namespace)
            .replace("$NET", &format!("{a}.{b}.{c}"))
            .replace("$CLASS", &format!("class-{}", self.unique))
            .replace("$CONTROLLER", &format!("tidegate.test/{}", self.unique))
    }

    /// Returns an address of the site's range.
    #[must_use]
    pub fn address(&self, host: u8, port: u16) -> SocketAddr {
        let [a, b, c] = self.net;
        SocketAddr::from((Ipv4Addr::new(a, b, c, host), port))
    }

    /// Returns an address that is not loopback, of the site's own: an ExternalName Service may lead there.
    #[must_use]
    pub fn routable(&self, host: u8, port: u16) -> SocketAddr {
        let [.., c] = self.net;
        SocketAddr::from((Ipv4Addr::new(10, 1, c, host), port))
    }

    /// Returns a loopback address of the site's own, in a cluster too.
    #[must_use]
    pub fn loopback(&self, host: u8, port: u16) -> SocketAddr {
        let [.., c] = self.net;
        SocketAddr::from((Ipv4Addr::new(127, 1, c, host), port))
    }

    /// Returns an IPv6 address of the site's own.
    #[must_use]
    pub fn address_v6(&self, host: u8, port: u16) -> SocketAddr {
        let [.., c] = self.net;
        SocketAddr::from((Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, c.into(), host.into()), port))
    }

    /// Puts the documents where the objects are, in their order, whatever was there before.
    ///
    /// # Errors
    /// The API server refuses one; a file cannot be written.
    pub async fn apply(&self, documents: &str) -> anyhow::Result<()> {
        for document in Document::all(&self.fill(documents))? {
            match &self.objects {
                Objects::Cluster(cluster) => {
                    document.apply(&cluster.client(), &self.namespace).await?;
                }
                Objects::Directory(directory) => {
                    let path = self.file(directory, &document.kind, &document.name);
                    // As careful editors do it: nobody ever sees half a file.
                    let draft = directory.join(".draft");
                    fs::write(&draft, &document.text)?;
                    fs::rename(&draft, path)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the file of an object. Files sort as they were first written, which is what age is in a directory.
    fn file(&self, directory: &Path, kind: &str, name: &str) -> PathBuf {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let number = files.len();
        let path = || directory.join(format!("{number:04}-{kind}-{name}.yaml"));
        files.entry((kind.to_owned(), name.to_owned())).or_insert_with(path).clone()
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// There is none.
    pub async fn delete(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let name = self.fill(name);
        match &self.objects {
            Objects::Cluster(cluster) => object::delete(&cluster.client(), &self.namespace, kind, &name).await,
            Objects::Directory(directory) => Ok(fs::remove_file(self.file(directory, kind, &name))?),
        }
    }

    /// Reads an object back from the cluster.
    ///
    /// # Errors
    /// There is none, or this is a directory.
    pub async fn get(&self, kind: &str, name: &str) -> anyhow::Result<DynamicObject> {
        object::get(&self.client()?, &self.namespace, kind, &self.fill(name)).await
    }

    /// Starts a backend on the next address of the range.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn backend(&self, name: &str) -> anyhow::Result<Backend> {
        let host = self.next_host.fetch_add(1, Ordering::Relaxed);
        Backend::start(name, self.address(host, BACKEND_PORT)).await
    }

    /// Starts so many backends `NAME-1`, `NAME-2` ... and makes the Service (port 80, named `http`) and the EndpointSlice that lead
    /// to them.
    ///
    /// # Errors
    /// An address is taken, or an object refused.
    pub async fn service(&self, name: &str, backends: u8) -> anyhow::Result<Vec<Backend>> {
        let mut started = Vec::new();
        for number in 1..=backends {
            started.push(self.backend(&format!("{name}-{number}")).await?);
        }
        let endpoints: Vec<_> = started.iter().map(|backend| (backend.address, "ready: true")).collect();
        self.apply(&service(name)).await?;
        self.apply(&slice(name, &endpoints)).await?;
        Ok(started)
    }

    /// Starts a Tidegate over the site's objects, serving the controller `$CONTROLLER`, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub async fn tidegate(&self, flags: &[&str]) -> anyhow::Result<Tidegate> {
        let tidegate = self.tidegate_unready(flags)?;
        tidegate.ready().await?;
        Ok(tidegate)
    }

    /// Starts a Tidegate over the site's objects and does not wait for it.
    ///
    /// # Errors
    /// It does not start.
    pub fn tidegate_unready(&self, flags: &[&str]) -> anyhow::Result<Tidegate> {
        self.tidegate_as(User::Tidegate, cluster::SERVER, flags)
    }

    /// Returns the flags that say where the site's objects are, and which class is ours.
    ///
    /// # Errors
    /// The kubeconfig cannot be written.
    pub fn object_flags(&self) -> anyhow::Result<Vec<String>> {
        self.object_flags_as(User::Tidegate, cluster::SERVER)
    }

    fn object_flags_as(&self, user: User, server: SocketAddr) -> anyhow::Result<Vec<String>> {
        let objects = match &self.objects {
            Objects::Cluster(cluster) => format!("--kubeconfig={}", cluster.kubeconfig(user, server)?.display()),
            Objects::Directory(directory) => format!("--manifests={}", directory.display()),
        };
        Ok(vec![self.fill("--controller-name=$CONTROLLER"), objects])
    }

    /// Runs a command of the binary that prints JSON, and returns it.
    ///
    /// # Errors
    /// It prints something else: says what, and what it complains of.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        let ended = tokio::task::block_in_place(|| binary::run(arguments, &[]))?;
        serde_json::from_str(&ended.stdout).with_context(|| format!("{arguments:?}: {} {}", ended.stdout, ended.stderr))
    }

    /// Starts a Tidegate that is this user to the cluster, and reaches its API server at this address. It does not wait for it.
    ///
    /// # Errors
    /// It does not start.
    pub fn tidegate_as(&self, user: User, server: SocketAddr, flags: &[&str]) -> anyhow::Result<Tidegate> {
        let mut arguments = self.object_flags_as(user, server)?;
        if !self.is_directory() {
            // Lease and status of one test are nothing to another.
            arguments.push(self.fill(&format!("--election-lease=$NS/{}", rights::LEASE)));
        }
        arguments.extend(flags.iter().map(|flag| self.fill(flag)));
        let tidegate = tokio::task::block_in_place(|| Tidegate::start(&arguments)).with_context(|| arguments.join(" "))?;
        self.tidegates.lock().unwrap_or_else(PoisonError::into_inner).push(tidegate.clone());
        Ok(tidegate)
    }

    /// Returns what the site's Tidegates wrote: shown when a test fails.
    #[must_use]
    pub fn logs(&self) -> String {
        let tidegates = self.tidegates.lock().unwrap_or_else(PoisonError::into_inner);
        tidegates.iter().map(|tidegate| format!("--- log of the tidegate on {} ---\n{}\n", tidegate.http, tidegate.log())).collect()
    }
}

/// The class of a site.
const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $CLASS}
spec: {controller: $CONTROLLER}
";

/// Returns a Service with port 80, named `http`, for a slice made by [`slice()`].
#[must_use]
pub fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80, targetPort: {BACKEND_PORT}}}]}}\n"
    )
}

/// Returns the EndpointSlice of a Service made by [`service`]; each endpoint has its conditions as YAML. All are of one family.
#[must_use]
pub fn slice(service: &str, endpoints: &[(SocketAddr, &str)]) -> String {
    let list: Vec<_> = endpoints
        .iter()
        .map(|(address, conditions)| format!("{{addresses: [\"{}\"], conditions: {{{conditions}}}}}", address.ip()))
        .collect();
    let family = if endpoints.iter().any(|(address, _)| address.is_ipv6()) { "IPv6" } else { "IPv4" };
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {service}, labels: {{kubernetes.io/service-name: {service}}}}}\naddressType: {family}\n\
         ports: [{{name: http, port: {BACKEND_PORT}, protocol: TCP}}]\nendpoints: [{}]\n",
        list.join(", ")
    )
}

/// Returns an Ingress of the site's class whose rules are `HOST/PATH TYPE SERVICE` lines; each path leads to the Service's port 80.
///
/// # Errors
/// A line has another form.
pub fn ingress(name: &str, rules: &[&str]) -> anyhow::Result<String> {
    let mut text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  ingressClassName: $CLASS\n  rules:\n"
    );
    for rule in rules {
        let mut parts = rule.split_whitespace();
        let (Some(target), Some(path_type), Some(service), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            anyhow::bail!("{rule:?} is not HOST/PATH TYPE SERVICE");
        };
        let (host, path) = target.split_once('/').with_context(|| format!("{target} has no path"))?;
        let host = if host.is_empty() { String::new() } else { format!("host: \"{host}\", ") };
        text.push_str(&format!(
            "  - {{{host}http: {{paths: [{{path: \"/{path}\", pathType: {path_type}, \
             backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}\n"
        ));
    }
    Ok(text)
}
