//! A Tidegate in front of addresses that a test brings along: what it serves stands in a directory of manifests of its own, and every
//! port is the system's choice, so that it needs neither a cluster nor a network namespace.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::tidegate::Tidegate;
use crate::tls::TestCertificate;

/// A host and the one address that serves it.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The host; empty for all that no other route names.
    pub host: &'a str,
    /// Where its backend listens.
    pub to: SocketAddr,
    /// `appProtocol` of the Service's port, empty for none.
    pub app_protocol: &'a str,
    /// An annotation of the Ingress, `name: value`; empty for none.
    pub annotation: &'a str,
}

impl<'a> Route<'a> {
    /// Makes a route that speaks plain HTTP to its backend.
    #[must_use]
    pub fn plain(host: &'a str, to: SocketAddr) -> Self {
        Self { host, to, app_protocol: "", annotation: "" }
    }
}

/// A running Tidegate with its manifests, which go when it goes.
#[derive(Debug)]
pub struct Front {
    /// The process.
    pub tidegate: Tidegate,
    directory: tempfile::TempDir,
}

impl Front {
    /// Starts a Tidegate that serves these routes, over http and https alike, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub async fn start(routes: &[Route<'_>], flags: &[String]) -> anyhow::Result<Self> {
        Self::start_with(routes, flags, &[]).await
    }

    /// Starts one with variables in its environment besides.
    ///
    /// # Errors
    /// As of [`Front::start`].
    pub async fn start_with(routes: &[Route<'_>], flags: &[String], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let manifests = directory.path().join("manifests");
        fs::create_dir(&manifests)?;
        fs::write(manifests.join("class.yaml"), CLASS)?;
        let hosts: Vec<_> = routes.iter().map(|route| route.host).filter(|host| !host.is_empty()).collect();
        if !hosts.is_empty() {
            let certificate = TestCertificate::new(&hosts)?;
            fs::write(manifests.join("certificate.yaml"), certificate.secret("certificate"))?;
            fs::write(directory.path().join(CERTIFICATE), &certificate.certificate)?;
        }
        for (number, route) in routes.iter().enumerate() {
            fs::write(manifests.join(format!("route-{number}.yaml")), route.manifest(&format!("route-{number}")))?;
        }
        let mut arguments = vec![format!("--manifests={}", manifests.display())];
        arguments.extend_from_slice(flags);
        let tidegate =
            tokio::task::block_in_place(|| Tidegate::start_with(&arguments, environment)).with_context(|| arguments.join(" "))?;
        tidegate.ready().await?;
        Ok(Self { tidegate, directory })
    }

    /// Returns the file with the certificate of all hosts, for clients that verify it.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join(CERTIFICATE)
    }
}

const CERTIFICATE: &str = "certificate.pem";

const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: tidegate}
spec: {controller: tidegate.dev/ingress-controller}
";

impl Route<'_> {
    fn manifest(&self, name: &str) -> String {
        let (address, port) = (self.to.ip(), self.to.port());
        let of = |field: &str, value: &str| if value.is_empty() { String::new() } else { format!("{field}{value}") };
        let host = of("host: ", self.host);
        let app_protocol = of(", appProtocol: ", self.app_protocol);
        let annotation = of("    ", self.annotation);
        let tls =
            if self.host.is_empty() { String::new() } else { format!("  tls: [{{hosts: [{}], secretName: certificate}}]", self.host) };
        let host = if host.is_empty() { host } else { format!("{host}, ") };
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        format!(
            "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  annotations:
    tidegate.dev/ssl-redirect: \"false\"
{annotation}
spec:
  ingressClassName: tidegate
{tls}
  rules: [{{{host}http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{port: 80{app_protocol}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: {family}
ports: [{{port: {port}{app_protocol}}}]
endpoints: [{{addresses: [\"{address}\"]}}]
"
        )
    }
}
