#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::*;
use crate::args::{Command, Options};

const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: tidegate}
spec: {controller: tidegate.dev/ingress-controller}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {ports: [{port: 80}]}
";

/// An Ingress `web` for `x.test` with these annotations and paths, each to a Service.
fn web(annotations: &str, paths: &[(&str, &str)]) -> String {
    let path = |(path, service): &(&str, &str)| {
        format!("{{path: {path}, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}")
    };
    format!(
        "{CLASS}---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, annotations: {{{annotations}}}}}\n\
         spec: {{ingressClassName: tidegate, rules: [{{host: x.test, http: {{paths: [{}]}}}}]}}\n",
        paths.iter().map(path).collect::<Vec<_>>().join(", ")
    )
}

async fn differences(old: &str, new: &str) -> Differences {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let directory = root.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("all.yaml"), text).unwrap();
        directory.to_str().unwrap().to_owned()
    };
    let (old, new) = (write("old", old), write("new", new));
    let line = ["tidegate", "diff", &old, &new];
    let Command::Diff(options) = Options::parse_checked(line).unwrap().command else { unreachable!("diff was asked for") };
    Differences::between(&served(&options, &options.old).await.unwrap(), &served(&options, &options.new).await.unwrap())
}

#[tokio::test]
async fn the_same_objects_in_other_files_are_no_difference() {
    let same = web("", &[("/", "a"), ("/x", "gone")]);
    let broken = format!("{same}---\nkind: [\n");
    for text in [&same, &broken] {
        let found = differences(text, text).await;
        assert!(found.is_empty(), "{found}");
        assert_eq!(found.to_string(), "no difference\n");
    }
    let found = differences(&same, &broken).await;
    assert_eq!((found.diagnostics.gained.len(), found.routes.is_empty()), (1, true), "{found}");
}

#[tokio::test]
async fn routes_are_gained_lost_and_retargeted() {
    let old = web("", &[("/", "a"), ("/old", "a"), ("/moved", "a")]);
    let new = web("", &[("/", "a"), ("/new", "gone"), ("/moved", "b")]);
    let expected = "\
routes: 1 gained, 1 lost, 1 changed
+ x.test Prefix /new (http,https): Ingress default/web to none (no_service)
- x.test Prefix /old (http,https): Ingress default/web to default/a:80
~ x.test Prefix /moved (http,https): backend
    was Ingress default/web to default/a:80
    is  Ingress default/web to default/b:80
diagnostics: 1 gained, 0 lost, 0 changed
+ error: Ingress default/web: spec.rules[0].http.paths[1].backend.service.name: Service default/gone does not exist [missing_service]
";
    assert_eq!(differences(&old, &new).await.to_string(), expected);
}

#[tokio::test]
async fn objects_filters_and_timeouts_count_as_well() {
    let plain = web("", &[("/", "a")]);
    for (annotations, renamed, what, said) in [
        ("tidegate.dev/proxy-body-size: 1m", false, "filters", "body_limit 1048576"),
        ("tidegate.dev/force-ssl-redirect: 'true'", false, "filters", "redirect 308 clear_text"),
        ("tidegate.dev/proxy-read-timeout: '7'", false, "backend", "default/a:80, read 7 s"),
        ("", true, "origin", "Ingress default/other"),
    ] {
        let mut new = web(annotations, &[("/", "a")]);
        if renamed {
            new = new.replace("{name: web,", "{name: other,");
        }
        let found = differences(&plain, &new).await;
        let changed: Vec<_> = found.routes.changed.iter().map(|change| change.what.clone()).collect();
        assert_eq!(changed, [vec![what]], "{annotations}: {found}");
        assert!(found.to_string().contains(said), "{found}");
    }
}

#[tokio::test]
async fn a_route_that_differs_on_one_listener_alone_is_told_of_it_alone() {
    let old = web("", &[("/", "a")]);
    let new = web("tidegate.dev/backend-protocol: AUTO_HTTP", &[("/", "a")]);
    let found = differences(&old, &new).await;
    let listeners: Vec<_> = found.routes.changed.iter().map(|change| change.listeners.join(",")).collect();
    assert_eq!(listeners, ["https"], "clear text stays clear text: {found}");
}

#[tokio::test]
async fn a_certificate_that_is_renewed_or_gone_is_a_difference() {
    let secret = || {
        let made = rcgen::generate_simple_self_signed(["x.test".to_owned()]).unwrap();
        let data = serde_json::json!({ "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem() });
        format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert}}\ntype: kubernetes.io/tls\nstringData: {data}\n")
    };
    let entry = "ingressClassName: tidegate, tls: [{hosts: [x.test], secretName: cert}]";
    let tls = web("", &[("/", "a")]).replace("ingressClassName: tidegate", entry);
    let old = format!("{tls}{}", secret());
    let renewed = differences(&old, &format!("{tls}{}", secret())).await;
    assert_eq!((renewed.certificates.changed.len(), renewed.routes.is_empty()), (1, true), "{renewed}");
    let gone = differences(&old, &tls).await;
    assert_eq!((gone.certificates.lost.len(), gone.diagnostics.gained.len()), (1, 1), "{gone}");
}

#[test]
fn a_side_is_manifests_a_cluster_or_an_instance() {
    for (text, side) in [
        ("cluster", Side::Cluster(None)),
        ("cluster:prod:eu", Side::Cluster(Some("prod:eu".to_owned()))),
        ("./cluster", Side::Manifests(Path::new("./cluster").to_owned())),
        ("a:b", Side::Manifests(Path::new("a:b").to_owned())),
        ("admin:127.0.0.1:10246", Side::Instance("127.0.0.1:10246".parse().unwrap())),
    ] {
        assert_eq!(text.parse(), Ok(side), "{text}");
    }
    for text in ["", "cluster:", "admin:", "admin:localhost"] {
        assert!(text.parse::<Side>().is_err(), "{text}");
    }
}
