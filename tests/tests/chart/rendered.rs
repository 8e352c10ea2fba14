//! What the chart renders over a matrix of values, `cases/*.yaml`: as the golden beside each says, without a complaint of `helm lint`, and
//! taken by the API server, object by object, without an unknown field. `UPDATE_GOLDENS=1` writes the goldens anew.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use kube::api::PostParams;
use serde_json::{Value, json};
use tidegate_tests::helm;
use tidegate_tests::object::{self, Document};
use tidegate_tests::site::Site;

use crate::world;

tidegate_tests::scenarios!("rendered":
    every_case_is_as_its_golden_and_lints_and_is_taken_by_the_api_server,
    a_chart_around_it_switches_it_on_and_off,
    the_crds_stay_on_uninstall_unless_values_say_otherwise,
    pods_pass_the_restricted_standard_and_those_on_the_nodes_network_do_not,
);

/// The cases: their names and their files of values.
fn cases() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/cases");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = name.strip_suffix(".yaml").filter(|name| !name.ends_with(".golden")) {
            cases.push((name.to_owned(), path.clone()));
        }
    }
    ensure!(cases.len() >= 10, "only {} cases in {}", cases.len(), directory.display());
    cases.sort();
    Ok(cases)
}

/// Splits what helm rendered; the definitions of custom resources apart, which have tests of their own.
fn documents(rendered: &str) -> anyhow::Result<(Vec<Document>, Vec<Document>)> {
    let all = Document::all(&without_sources(rendered))?;
    Ok(all.into_iter().partition(|document| document.kind != "CustomResourceDefinition"))
}

/// Leaves out helm's comments on where a document comes from.
fn without_sources(rendered: &str) -> String {
    rendered.lines().filter(|line| !line.starts_with("# Source: ")).map(|line| format!("{line}\n")).collect()
}

async fn every_case_is_as_its_golden_and_lints_and_is_taken_by_the_api_server(site: &Site) -> anyhow::Result<()> {
    let (helm, update) = (world::helm()?, std::env::var_os("UPDATE_GOLDENS").is_some());
    operator_kinds(site).await?;
    let mut wrong = Vec::new();
    for (name, values) in cases()? {
        helm.run(&["lint", "--strict", "--quiet", &helm::chart().to_string_lossy(), "--values", &values.to_string_lossy()])
            .await
            .with_context(|| name.clone())?;
        let rendered = helm.template(&values, &[]).await.with_context(|| name.clone())?;
        let (objects, _) = documents(&rendered)?;
        let text: String = objects.iter().map(|document| format!("---\n{}", document.text)).collect();
        let golden = values.with_extension("golden.yaml");
        if update {
            fs::write(&golden, &text)?;
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{name}: another text than {}:\n{text}", golden.display()));
        }
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), &text)?;
        let taken =
            site.cluster()?.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &file.path().to_string_lossy()]).await;
        match taken {
            Ok(said) if said.lines().count() == objects.len() => {}
            Ok(said) => wrong.push(format!("{name}: {} objects, but: {said}", objects.len())),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}\nUPDATE_GOLDENS=1 writes goldens anew", wrong.join("\n"));
    Ok(())
}

async fn a_chart_around_it_switches_it_on_and_off(_: &Site) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let around = directory.path();
    let dependency = format!("{{name: tidegate, version: {}, condition: tidegate.enabled}}", env!("CARGO_PKG_VERSION"));
    fs::write(around.join("Chart.yaml"), format!("apiVersion: v2\nname: around\nversion: 0.1.0\ndependencies: [{dependency}]\n"))?;
    fs::create_dir(around.join("charts"))?;
    std::os::unix::fs::symlink(helm::chart().canonicalize()?, around.join("charts/tidegate"))?;
    let chart = around.to_string_lossy();
    for (enabled, rendered) in [("true", true), ("false", false)] {
        let values = format!("tidegate.enabled={enabled},global.zone=a,tidegate.controller.replicaCount=2");
        let all = world::helm()?.run(&["template", "edge", &chart, "--namespace=ingress", "--set", &values]).await?;
        ensure!(all.contains("kind: Deployment") == rendered, "enabled: {enabled}: {all}");
    }
    Ok(())
}

/// Makes the kinds of the Prometheus operator, whose fields nobody here can judge.
pub(crate) async fn operator_kinds(site: &Site) -> anyhow::Result<()> {
    for (kind, plural) in [("ServiceMonitor", "servicemonitors"), ("PrometheusRule", "prometheusrules")] {
        site.apply(&operator_kind(kind, plural)).await?;
        let definition = format!("crd/{plural}.monitoring.coreos.com");
        site.cluster()?.kubectl(&["wait", "--for=condition=established", "--timeout=30s", &definition]).await?;
    }
    Ok(())
}

/// Returns the definition of a kind of the Prometheus operator, with any fields.
fn operator_kind(kind: &str, plural: &str) -> String {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.monitoring.coreos.com") },
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": any } }],
        },
    });
    definition.to_string()
}

async fn the_crds_stay_on_uninstall_unless_values_say_otherwise(site: &Site) -> anyhow::Result<()> {
    let helm = world::helm()?;
    let default = cases()?.into_iter().find(|(name, _)| name == "defaults").context("no case of defaults")?.1;
    for (flags, kept) in [(&[][..], Some("keep")), (&["--set", "crds.keep=false"], None)] {
        let (_, crds) = documents(&helm.template(&default, flags).await?)?;
        let [crd] = &crds[..] else { anyhow::bail!("{} definitions", crds.len()) };
        let annotations = crd.object.metadata.annotations.clone().unwrap_or_default();
        ensure!(annotations.get("helm.sh/resource-policy").map(String::as_str) == kept, "{flags:?}: {annotations:?}");
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), &crd.text)?;
        site.cluster()?.kubectl(&["apply", "--dry-run=server", "-f", &file.path().to_string_lossy()]).await?;
    }
    let (_, crds) = documents(&helm.template(&default, &["--set", "crds.enabled=false"]).await?)?;
    ensure!(crds.is_empty(), "{crds:?}");
    Ok(())
}

async fn pods_pass_the_restricted_standard_and_those_on_the_nodes_network_do_not(site: &Site) -> anyhow::Result<()> {
    site.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: $NS, labels: {pod-security.kubernetes.io/enforce: restricted}}").await?;
    let mut tried = 0;
    for (name, values) in cases()? {
        let (objects, _) = documents(&world::helm()?.template(&values, &[]).await?)?;
        for object in objects.iter().filter(|object| ["Deployment", "DaemonSet"].contains(&object.kind.as_str())) {
            let host = object.object.data["spec"]["template"]["spec"]["hostNetwork"] == true || name.contains("host-port");
            let judged = admitted(site, &object.object.data["spec"]["template"]).await?;
            match (host, judged) {
                (false, Ok(())) => tried += 1,
                (true, Err(message)) if message.contains("restricted") => {}
                (host, judged) => anyhow::bail!("{name}: {}, host: {host}: {judged:?}", object.name),
            }
        }
    }
    ensure!(tried >= 10, "only {tried} Pods were tried");
    Ok(())
}

/// Asks the API server for a Pod of a template, as a dry run, and returns whether it is admitted.
async fn admitted(site: &Site, template: &Value) -> anyhow::Result<Result<(), String>> {
    let account = template["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    site.apply(&format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {account}}}")).await?;
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
    pod["metadata"]["name"] = json!("tried");
    let pods = object::api(&site.cluster()?.client(), "Pod", &site.namespace)?;
    match pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(pod)?).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}
