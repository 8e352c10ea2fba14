//! What helm says after an installation.

use anyhow::ensure;
use serde_json::{Value, json};
use tidegate_tests::helm;
use tidegate_tests::site::Site;

use crate::rendered::operator_kinds;
use crate::world;

tidegate_tests::scenarios!("notes":
    values_without_effect_are_named_and_none_else,
    values_that_others_overrule_are_named,
    every_value_of_ingress_nginx_that_means_nothing_here_is_named,
    what_is_done_otherwise_than_asked_is_said,
);

/// Returns what would be said after an installation with these values.
async fn notes(values: &Value) -> anyhow::Result<String> {
    let file = tempfile::Builder::new().suffix(".json").tempfile()?;
    std::fs::write(file.path(), values.to_string())?;
    let (chart, values) = (helm::chart(), file.path().to_string_lossy().into_owned());
    let said = world::helm()?
        .run(&["install", "edge", &chart.to_string_lossy(), "--namespace=ingress", "--dry-run=client", "--values", &values])
        .await?;
    Ok(said.split_once("NOTES:").map(|(_, notes)| notes.to_owned()).unwrap_or_default())
}

/// Returns the paths that notes name as values without effect.
fn named(notes: &str) -> Vec<&str> {
    let lines = notes.lines().skip_while(|line| !line.contains("NO EFFECT"));
    lines.filter_map(|line| line.strip_prefix("  - ")?.split(' ').next()).collect()
}

async fn values_without_effect_are_named_and_none_else(_: &Site) -> anyhow::Result<()> {
    let quiet = notes(&json!({ "controller": { "replicaCount": 3, "config": { "use-proxy-protocol": "true" } } })).await?;
    ensure!(!quiet.contains("NO EFFECT") && quiet.contains(r#"the class "tidegate""#), "{quiet}");
    let said = notes(&json!({
        "controller": {
            "allowSnippetAnnotations": true,
            "admissionWebhooks": { "enabled": false },
            "config": { "proxy-body-size": "10m", "use-forwarded-headers": "true" },
            "keda": { "enabled": true },
            "service": { "nodePorts": { "http": 30080, "tcp": { "8080": 30081 } } },
        },
        "dhParam": "x",
    }))
    .await?;
    let wanted = [
        "controller.admissionWebhooks",
        "controller.allowSnippetAnnotations",
        "controller.config.proxy-body-size",
        "controller.keda",
        "controller.service.nodePorts.tcp",
        "dhParam",
    ];
    ensure!(named(&said) == wanted, "{said}");
    ensure!(said.contains("controller.keda (controller.autoscaling)"), "what does the same here is not said: {said}");
    Ok(())
}

async fn values_that_others_overrule_are_named(site: &Site) -> anyhow::Result<()> {
    operator_kinds(site).await?;
    let on = json!({ "enabled": true });
    let cases = [
        (json!({ "metrics": { "serviceMonitor": on } }), vec!["controller.metrics.serviceMonitor.enabled"]),
        (json!({ "metrics": { "prometheusRule": on } }), vec!["controller.metrics.prometheusRule.enabled"]),
        (
            json!({ "metrics": { "enabled": true, "serviceMonitor": on, "service": { "enabled": false } } }),
            vec!["controller.metrics.serviceMonitor.enabled"],
        ),
        (json!({ "metrics": { "enabled": true, "serviceMonitor": on, "prometheusRule": on } }), vec![]),
        (
            json!({ "kind": "DaemonSet", "replicaCount": 3, "autoscaling": on, "maxUnavailable": 0 }),
            vec!["controller.autoscaling.enabled", "controller.replicaCount", "controller.maxUnavailable"],
        ),
        (json!({ "replicaCount": 3, "autoscaling": on }), vec!["controller.replicaCount"]),
        (json!({ "replicaCount": 3, "maxUnavailable": 1 }), vec![]),
        (json!({ "podSecurityContext": { "runAsUser": 7, "fsGroup": 7 } }), vec!["controller.podSecurityContext.runAsUser"]),
        (json!({ "podSecurityContext": { "runAsUser": 7 }, "containerSecurityContext": { "readOnlyRootFilesystem": true } }), vec![]),
    ];
    for (controller, wanted) in cases {
        let said = notes(&json!({ "controller": controller })).await?;
        ensure!(named(&said) == wanted, "{controller}: {said}");
    }
    Ok(())
}

async fn every_value_of_ingress_nginx_that_means_nothing_here_is_named(_: &Site) -> anyhow::Result<()> {
    let list: Value = serde_saphyr::from_str(&std::fs::read_to_string(helm::chart().join("files/unused-values.yaml"))?)?;
    let mut values = json!({});
    let mut wanted = Vec::new();
    for path in list.as_array().into_iter().flatten().filter_map(|entry| entry["path"].as_str()) {
        let path = path.replace(".*", ".some-key");
        let mut at = &mut values;
        for key in path.split('.') {
            at = &mut at[key];
        }
        *at = json!("given");
        wanted.push(path);
    }
    let said = notes(&values).await?;
    ensure!(named(&said) == wanted, "{said}");
    Ok(())
}

async fn what_is_done_otherwise_than_asked_is_said(_: &Site) -> anyhow::Result<()> {
    let cases = [
        (json!({ "controller": { "hostNetwork": true } }), "runs as uid 0 with NET_BIND_SERVICE"),
        (json!({ "controller": { "readinessProbe": { "httpGet": { "path": "/healthz", "port": 10254 } } } }), "/readyz is asked instead"),
        (json!({ "controller": { "lifecycle": { "preStop": { "exec": { "command": ["/wait-shutdown"] } } } } }), "the hook is left out"),
        (
            json!({ "controller": { "extraArgs": { "default-ssl-certificate": "a/b" } } }),
            "controller.extraArgs.default-ssl-certificate: given to Tidegate as --default-certificate",
        ),
        (json!({ "controller": { "publishService": { "enabled": false } } }), "the addresses of the nodes that ready Pods run on"),
        (
            json!({ "controller": { "publishService": { "enabled": false }, "scope": { "enabled": true } } }),
            "the status of Ingresses gets no address unless",
        ),
        (json!({ "controller": { "scope": { "enabled": true, "namespace": "team-a,team-b" } } }), "in team-a, team-b"),
        (
            json!({ "controller": { "scope": { "enabled": true }, "ingressClass": "edge" }, "rbac": { "scope": true } }),
            "the class \"edge\" in ingress.",
        ),
        (
            json!({ "controller": { "scope": { "enabled": true } }, "rbac": { "scope": true } }),
            "neither the IngressClass nor the definitions of custom resources",
        ),
    ];
    let plain = notes(&json!({})).await?;
    for (values, wanted) in cases {
        let said = notes(&values).await?;
        ensure!(said.contains(wanted), "{values}: {said}");
        ensure!(!plain.contains(wanted), "it is said without a cause: {plain}");
    }
    Ok(())
}
