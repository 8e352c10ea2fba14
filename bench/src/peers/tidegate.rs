//! Tidegate, serving a directory of manifests with every default on.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::{Place, text};
use crate::process::{PROXY_CORE, pinned};

const CLASS: &str = "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: bench}
spec: {controller: tidegate.dev/ingress-controller}
";

pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let manifests = write_manifests(place)?;
    let mut command = pinned(PROXY_CORE, &place.ground.tools.tidegate);
    command
        .args(["serve", "--workers", "1", "--drain-min", "0s", "--drain-max", "1s", "--log-level", "warn"])
        .args(["--manifests", &manifests])
        .args(["--http", &place.http.to_string(), "--https", &place.https.to_string()])
        .args(["--health", &place.other[0].to_string(), "--admin", &place.other[1].to_string()])
        .args(["--access-log", place.access_log().as_deref().map_or(Ok("off"), text)?]);
    Ok(command)
}

/// Writes the manifests of a site; returns their directory.
pub(super) fn write_manifests(place: &Place<'_>) -> anyhow::Result<String> {
    let directory = place.directory.join("manifests");
    fs::create_dir_all(&directory)?;
    let [mut ingresses, mut services, mut secrets] = [CLASS.to_owned(), String::new(), String::new()];
    let (address, port) = (place.ground.upstream.ip(), place.ground.upstream.port());
    for (number, host) in place.site.names().enumerate() {
        let name = format!("bench-{number}");
        let service = format!("bench-{}", number % place.site.services);
        write!(
            ingresses,
            "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, annotations: {{tidegate.dev/ssl-redirect: \"false\", tidegate.dev/proxy-body-size: \"0\"}}}}
spec:
  ingressClassName: bench
  tls: [{{hosts: [{host}], secretName: {name}}}]
  rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]
"
        )?;
        if number < place.site.services {
            write!(
                services,
                "---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [{address}]}}]
"
            )?;
        }
        let pem = fs::read_to_string(place.ground.certificate(&host)?)?;
        let (certificate, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap_or(pem.len()));
        write!(
            secrets,
            "---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: {name}}}
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
",
            certificate.trim().replace('\n', "\n    "),
            key.trim().replace('\n', "\n    ")
        )?;
    }
    for (file, content) in [("ingresses.yaml", &ingresses), ("services.yaml", &services), ("secrets.yaml", &secrets)] {
        fs::write(directory.join(file), content.trim_start_matches("---\n"))?;
    }
    Ok(text(&directory)?.to_owned())
}
