//! What a directory of manifests says about itself: which backends it needs, which certificates are missing, what there is to try.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress};

use crate::app::{Addresses, certificate};
use crate::object::{Body, Kind, ObjectRef, SourceEvent};
use crate::snapshot::SliceObject;
use crate::source::directory;

/// The file that gets the Secrets that are missing. Not for version control: it holds keys.
const SECRETS: &str = "generated-tls.yaml";
/// The file that gets their certificates, for `curl --cacert`.
const CERTIFICATES: &str = "generated-ca.crt";
/// Years that a made certificate is valid.
const YEARS: i16 = 10;

/// A directory of manifests, read once.
#[derive(Debug)]
pub(super) struct Example {
    directory: PathBuf,
    ingresses: BTreeMap<ObjectRef, Arc<Ingress>>,
    slices: BTreeMap<ObjectRef, SliceObject>,
    secrets: BTreeSet<ObjectRef>,
}

impl Example {
    /// Reads a directory.
    ///
    /// # Errors
    /// It is not there, or has no Ingress.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let loaded = directory::load(&[directory.to_owned()]).map_err(|(_, error)| error)?;
        let mut example =
            Self { directory: directory.to_owned(), ingresses: BTreeMap::new(), slices: BTreeMap::new(), secrets: BTreeSet::new() };
        for event in loaded.events {
            let SourceEvent::Replace { objects, .. } = event else { continue };
            for object in objects {
                match object.body {
                    Ok(Body::Ingress(ingress)) => drop(example.ingresses.insert(object.reference, ingress)),
                    Ok(Body::EndpointSlice(slice)) => drop(example.slices.insert(object.reference, SliceObject::read(&slice))),
                    Ok(Body::Secret(_)) => drop(example.secrets.insert(object.reference)),
                    Ok(Body::IngressClass(_) | Body::ClassParameters(_) | Body::Service(_)) | Err(_) => {}
                }
            }
        }
        ensure!(!example.ingresses.is_empty(), "there is no Ingress in it");
        Ok(example)
    }

    /// Returns the loopback addresses of endpoints, each with the name of its slice. Others are somebody else's.
    pub(super) fn backends(&self) -> BTreeMap<SocketAddr, String> {
        let mut backends = BTreeMap::new();
        for (reference, slice) in &self.slices {
            for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.address.is_loopback()) {
                for (_, port) in &slice.ports {
                    backends.insert(SocketAddr::new(endpoint.address, *port), reference.name.to_string());
                }
            }
        }
        backends
    }

    /// Makes a self-signed certificate for each TLS Secret that is named and missing, and writes them into the directory. Returns the
    /// file that clients can trust, if there is one, from this run or an earlier one.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub(super) fn add_certificates(&self) -> anyhow::Result<Option<PathBuf>> {
        let mut missing = BTreeMap::<ObjectRef, BTreeSet<String>>::new();
        for (reference, ingress) in &self.ingresses {
            for tls in ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten()) {
                let Some(name) = &tls.secret_name else { continue };
                let secret = ObjectRef::new(Kind::Secret, &reference.namespace, name);
                if !self.secrets.contains(&secret) {
                    missing.entry(secret).or_default().extend(tls.hosts.iter().flatten().cloned());
                }
            }
        }
        let (secrets, certificates) = (self.directory.join(SECRETS), self.directory.join(CERTIFICATES));
        if !missing.is_empty() {
            let (mut yaml, mut trusted) =
                (String::from("# Made by `tidegate quickstart`. Delete it to have it made anew.\n"), String::new());
            for (secret, hosts) in missing {
                let made = certificate::self_signed("Tidegate quickstart", hosts.into_iter().collect(), YEARS)?;
                let document = serde_json::json!({
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": { "namespace": &*secret.namespace, "name": &*secret.name },
                    "type": "kubernetes.io/tls",
                    "stringData": { "tls.crt": made.chain, "tls.key": made.key },
                });
                yaml.push_str(&format!("---\n{document:#}\n"));
                trusted.push_str(&made.chain);
            }
            write_private(&secrets, &yaml).with_context(|| format!("cannot write {}", secrets.display()))?;
            std::fs::write(&certificates, trusted).with_context(|| format!("cannot write {}", certificates.display()))?;
        }
        Ok(certificates.is_file().then_some(certificates))
    }

    /// Returns a curl line for each rule, and one over http for each host that is redirected to https.
    pub(super) fn curl_lines(&self, addresses: Addresses, ca: Option<&Path>) -> Vec<String> {
        let trust = ca.map_or("--insecure".to_owned(), |ca| format!("--cacert {}", ca.display()));
        let mut lines = Vec::new();
        for ingress in self.ingresses.values() {
            let Some(spec) = &ingress.spec else { continue };
            let tls: BTreeSet<_> = spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten()).collect();
            for rule in spec.rules.iter().flatten() {
                let Some(host) = rule.host.as_ref().filter(|host| !host.starts_with('*')) else { continue };
                let secure = tls.contains(host);
                if secure {
                    lines.push(format!("curl -i {}  # redirected to https", url("http", host, addresses.http, "/")));
                }
                for path in rule.http.iter().flat_map(|http| &http.paths) {
                    let (flags, scheme, address) =
                        if secure { (format!("-i {trust}"), "https", addresses.https) } else { ("-i".to_owned(), "http", addresses.http) };
                    let target = path.path.as_deref().unwrap_or("/");
                    lines.push(format!("curl {flags} {}  # {}", url(scheme, host, address, target), meaning(ingress, path)));
                }
            }
        }
        lines
    }
}

/// Returns what a URL of a host leads to. curl finds names under `localhost` by itself (RFC 6761 §6.3); others it is told.
fn url(scheme: &str, host: &str, address: SocketAddr, path: &str) -> String {
    let port = address.port();
    let told = if host == "localhost" || host.ends_with(".localhost") { String::new() } else { format!("--connect-to ::{address} ") };
    format!("{told}{scheme}://{host}:{port}{path}")
}

/// Returns what is to be seen.
fn meaning(ingress: &Ingress, path: &HTTPIngressPath) -> String {
    let annotations = ingress.metadata.annotations.iter().flatten();
    let redirect =
        annotations.filter(|(name, _)| name.ends_with("/permanent-redirect")).map(|(_, to)| format!("redirected to {to}")).next();
    let service = || path.backend.service.as_ref().map_or_else(|| "no Service".to_owned(), |service| format!("served by {}", service.name));
    redirect.unwrap_or_else(service)
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn copy_of_the_example() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in directory::Listing::of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart"))).unwrap().files {
            let name = file.file_name().unwrap();
            if name != SECRETS {
                std::fs::copy(&file, directory.path().join(name)).unwrap();
            }
        }
        directory
    }

    #[test]
    fn every_endpoint_on_loopback_gets_a_backend() {
        let directory = copy_of_the_example();
        let backends = Example::read(directory.path()).unwrap().backends();
        assert_eq!(backends.into_values().collect::<Vec<_>>(), ["shop-1", "api-v1-1", "api-v2-1"]);
    }

    #[test]
    fn a_missing_secret_is_made_once_and_only_its_owner_reads_it() {
        let directory = copy_of_the_example();
        let ca = Example::read(directory.path()).unwrap().add_certificates().unwrap().unwrap();
        let secrets = directory.path().join(SECRETS);
        assert_eq!(std::fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&secrets).unwrap();
        assert_eq!(Example::read(directory.path()).unwrap().add_certificates().unwrap(), Some(ca));
        assert_eq!(std::fs::read(&secrets).unwrap(), before);
    }

    #[test]
    fn a_directory_without_an_ingress_is_no_example() {
        assert!(Example::read(tempfile::tempdir().unwrap().path()).is_err());
    }
}
