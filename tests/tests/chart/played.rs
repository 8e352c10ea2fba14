//! That the harness's Pods are what they are told to be: else a chart could pass here and fail on a node.

use anyhow::{Context as _, ensure};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tidegate_tests::client::Ask;
use tidegate_tests::object;
use tidegate_tests::site::Site;
use tidegate_tests::wait;

use crate::world;

tidegate_tests::scenarios!("played":
    volumes_and_downward_fields_reach_the_program,
    the_root_is_read_only_but_for_what_is_mounted,
    low_ports_take_the_capability_or_the_kernels_setting,
    a_pod_that_fails_its_liveness_probe_is_started_anew,
    a_pod_whose_process_is_killed_is_started_anew_at_once,
    a_pod_that_does_not_end_is_killed_when_its_grace_is_over,
);

/// Returns a Pod with one container that runs Tidegate with these arguments, and with these fields besides.
fn pod(name: &str, arguments: &[&str], container: &Value, spec: &Value) -> String {
    let mut described = json!({ "name": "main", "image": "tidegate/tidegate:test", "args": arguments });
    merge(&mut described, container);
    let mut all = json!({ "containers": [described], "terminationGracePeriodSeconds": 1 });
    merge(&mut all, spec);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": all }).to_string()
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// Makes a Pod once its namespace has the account that it runs as, and waits until its status shows what is looked for.
async fn shows<T>(site: &Site, pod: &str, name: &str, what: &str, look: impl Fn(&Value) -> Option<T>) -> anyhow::Result<T> {
    wait::until_ok(async || site.apply(pod).await).await?;
    wait::until(what, async || Ok(look(&site.get("Pod", name).await?.data["status"]))).await
}

fn address(status: &Value) -> Option<std::net::IpAddr> {
    let ready = status["containerStatuses"][0]["ready"] == true;
    ready.then(|| status["podIP"].as_str()?.parse().ok()).flatten()
}

fn last_words(status: &Value) -> Option<String> {
    let ended = &status["containerStatuses"][0]["lastState"]["terminated"];
    ended["message"].as_str().map(str::to_owned)
}

async fn volumes_and_downward_fields_reach_the_program(site: &Site) -> anyhow::Result<()> {
    // A ConfigMap of manifests: what it serves shows that it has read them, and the redirect the downward field in its environment.
    let manifests = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: played}\nspec: {controller: example.com/any}\n---\n\
        apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: home, annotations: {tidegate.dev/app-root: /home}}\n\
        spec: {ingressClassName: played, rules: [{host: home.test, http: {paths: [\
        {path: /, pathType: Prefix, backend: {service: {name: app, port: {number: 80}}}}]}}]}";
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "manifests" }, "data": { "home.yaml": manifests } });
    site.apply(&map.to_string()).await?;
    let container = json!({
        "env": [
            { "name": "TIDEGATE_INGRESS_CLASS", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "WHERE", "value": "/manifests" },
        ],
        "volumeMounts": [{ "name": "manifests", "mountPath": "/manifests", "readOnly": true }],
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": 10254 }, "periodSeconds": 1 },
    });
    let spec = json!({ "volumes": [{ "name": "manifests", "configMap": { "name": "manifests" } }] });
    let arguments = ["serve", "--manifests=$(WHERE)", "--ingress-class-by-name"];
    let address = shows(site, &pod("played", &arguments, &container, &spec), "played", "a ready Pod", address).await?;
    let answer = Ask::get("http://home.test/")?.send((address, 8080).into()).await?;
    ensure!(answer.status == 302 && answer.header("location").ends_with("/home"), "{answer}");
    Ok(())
}

async fn the_root_is_read_only_but_for_what_is_mounted(site: &Site) -> anyhow::Result<()> {
    let arguments = ["serve", "--manifests=/etc/hostname", "--access-log=/logs/requests"];
    let closed = json!({
        "securityContext": { "readOnlyRootFilesystem": true }, "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let said = shows(site, &pod("closed", &arguments, &closed, &json!({})), "closed", "the Pod's end", last_words).await?;
    ensure!(said.contains("--access-log"), "{said}");
    let mut open = closed;
    open["volumeMounts"] = json!([{ "name": "logs", "mountPath": "/logs" }]);
    let spec = json!({ "volumes": [{ "name": "logs", "emptyDir": {} }] });
    shows(site, &pod("open", &arguments, &open, &spec), "open", "a Pod that runs", address).await?;
    Ok(())
}

async fn low_ports_take_the_capability_or_the_kernels_setting(site: &Site) -> anyhow::Result<()> {
    let arguments = ["echo", "--listen=[::]:80"];
    let none = json!({ "securityContext": { "capabilities": { "drop": ["ALL"] } }, "terminationMessagePolicy": "FallbackToLogsOnError" });
    let said = shows(site, &pod("without", &arguments, &none, &json!({})), "without", "the Pod's end", last_words).await?;
    ensure!(said.contains("denied"), "{said}");
    let mut one = none.clone();
    one["securityContext"]["capabilities"]["add"] = json!(["NET_BIND_SERVICE"]);
    let setting = json!({ "securityContext": { "sysctls": [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "0" }] } });
    for (name, container, spec) in [("capable", &one, &json!({})), ("set", &none, &setting)] {
        let address = shows(site, &pod(name, &arguments, container, spec), name, "a Pod that runs", address).await?;
        wait::until_ok(async || Ask::get("http://any.test/")?.send((address, 80).into()).await).await.context(name)?;
    }
    Ok(())
}

async fn a_pod_that_fails_its_liveness_probe_is_started_anew(site: &Site) -> anyhow::Result<()> {
    let probe = json!({ "livenessProbe": { "httpGet": { "path": "/", "port": 9 }, "periodSeconds": 1, "failureThreshold": 2 } });
    let reason = shows(site, &pod("sick", &["echo"], &probe, &json!({})), "sick", "another start", |status| {
        let container = &status["containerStatuses"][0];
        (container["restartCount"].as_u64()? > 0).then(|| container["lastState"]["terminated"].clone())
    })
    .await?;
    // It ended well when it was told to.
    ensure!(reason["exitCode"] == 0, "{reason}");
    Ok(())
}

async fn kill(process: u32) -> anyhow::Result<()> {
    let status = tokio::process::Command::new("kill").args(["-s", "KILL", &process.to_string()]).status().await?;
    ensure!(status.success(), "kill {process}: {status}");
    Ok(())
}

async fn a_pod_whose_process_is_killed_is_started_anew_at_once(site: &Site) -> anyhow::Result<()> {
    shows(site, &pod("victim", &["echo"], &json!({}), &json!({})), "victim", "a Pod that runs", address).await?;
    let kubelet = &world::world()?.kubelet;
    let first = kubelet.process(&site.namespace, "victim").context("no process")?;
    kill(first).await?;
    let begun = std::time::Instant::now();
    let ended = wait::until("another start", async || {
        let status = site.get("Pod", "victim").await?.data["status"]["containerStatuses"][0].clone();
        Ok((status["restartCount"] == 1 && status["state"]["running"].is_object()).then(|| status["lastState"]["terminated"].clone()))
    })
    .await?;
    ensure!(ended["exitCode"] == 137, "{ended}");
    ensure!(begun.elapsed().as_secs() < 10, "it took {:?}", begun.elapsed());
    ensure!(kubelet.process(&site.namespace, "victim").is_some_and(|second| second != first), "it is the same process");
    Ok(())
}

async fn a_pod_that_does_not_end_is_killed_when_its_grace_is_over(site: &Site) -> anyhow::Result<()> {
    // It goes on accepting for a minute, so that its grace of a second is over long before.
    let arguments = ["serve", "--manifests=/etc/hostname", "--drain-min=60s"];
    let probe = json!({ "readinessProbe": { "httpGet": { "path": "/readyz", "port": 10254 }, "periodSeconds": 1 } });
    shows(site, &pod("slow", &arguments, &probe, &json!({})), "slow", "a Pod that runs", address).await?;
    let begun = std::time::Instant::now();
    site.delete("Pod", "slow").await?;
    let pods: Api<_> = object::api(&site.cluster()?.client(), "Pod", &site.namespace)?;
    wait::until("the Pod's end", async || Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))).await?;
    ensure!(begun.elapsed().as_secs() >= 1, "it did not have its grace: {:?}", begun.elapsed());
    Ok(())
}
