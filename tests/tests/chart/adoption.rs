//! From ingress-nginx to Tidegate and back, by the very commands of docs/migrate.md. ingress-nginx is a chart that renders what its own does
//! by default, and Pods that answer everything themselves; of its webhook only the ports are there.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use kube::api::DynamicObject;
use tidegate_tests::client::Ask;
use tidegate_tests::helm;
use tidegate_tests::object;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::wait;

use crate::release::forget_crds;
use crate::world;

tidegate_tests::scenarios!("adoption":;
    alone:
    a_release_of_ingress_nginx_becomes_one_of_tidegate_in_place_and_goes_back,
    a_class_of_another_name_is_taken_over_under_that_name,
    both_run_side_by_side_and_one_of_them_writes_status,
);

const PAGE: &str = include_str!("../../../docs/migrate.md");
/// The namespaces of the page.
const THEIRS: &str = "ingress-nginx";
const OURS: &str = "tidegate";
/// How long helm waits.
const PATIENCE: &str = "--timeout=90s";

/// Returns the command of a step of the page, word by word.
fn command(step: &str) -> anyhow::Result<Vec<String>> {
    let (_, after) = PAGE.split_once(&format!("<!-- step: {step} -->\n```sh\n")).with_context(|| format!("no step {step}"))?;
    let (command, _) = after.split_once("```").context("a step without an end")?;
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.replace("\\\n", " ").trim().chars() {
        match (character, words.last_mut()) {
            ('\'', _) => quoted = !quoted,
            (' ', Some(word)) if !quoted => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    Ok(words)
}

/// Returns a file of the page.
fn file(name: &str) -> anyhow::Result<&'static str> {
    let (_, after) = PAGE.split_once(&format!("<!-- file: {name} -->\n```yaml\n")).with_context(|| format!("no file {name}"))?;
    Ok(after.split_once("```").context("a file without an end")?.0)
}

/// Does a step of the page, in a directory where its files are.
async fn does(step: &str, directory: &Path) -> anyhow::Result<()> {
    let mut words = command(step)?;
    ensure!(words.remove(0) == "helm", "the step {step} is not helm's");
    let output = words.iter().position(|word| word == ">").map(|at| words.split_off(at));
    let values = directory.join("values.yaml").to_string_lossy().into_owned();
    let takeover = directory.join("takeover.yaml");
    std::fs::write(&takeover, file("takeover.yaml")?)?;
    let chart = helm::chart().to_string_lossy().into_owned();
    for word in &mut words {
        *word = match word.as_str() {
            "charts/tidegate" => chart.clone(),
            "ingress-nginx/ingress-nginx" => nginx(),
            "values.yaml" => values.clone(),
            "takeover.yaml" => takeover.to_string_lossy().into_owned(),
            _ => continue,
        };
    }
    if words.first().is_some_and(|verb| ["install", "upgrade"].contains(&verb.as_str())) {
        words.push(PATIENCE.to_owned());
    }
    let said = world::helm()?.run(&words).await.with_context(|| format!("the step {step}"))?;
    if output.is_some() {
        std::fs::write(values, said)?;
    }
    Ok(())
}

/// The chart that stands in for ingress-nginx's.
fn nginx() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/ingress-nginx").to_owned()
}

/// Installs it, with values besides.
async fn install_nginx(more: &[&str]) -> anyhow::Result<()> {
    let chart = nginx();
    let arguments = ["install", THEIRS, &chart, "--namespace", THEIRS, "--create-namespace", "--wait", PATIENCE];
    // Values of its users, one of which means nothing here.
    let values = ["--set", "controller.service.annotations.example\\.com/zone=a", "--set", "controller.config.proxy-body-size=8m"];
    world::helm()?.run(&[&arguments[..], &values[..], more].concat()).await?;
    Ok(())
}

/// Uninstalls a release, whatever of it is there.
async fn remove(release: &str, namespace: &str) -> anyhow::Result<()> {
    let arguments = ["uninstall", release, "--namespace", namespace, "--wait", "--ignore-not-found", PATIENCE];
    world::helm()?.run(&arguments).await?;
    Ok(())
}

/// An Ingress of a class for a host of the site's own, which only Tidegate leads to its backend `app-1`.
async fn shop(site: &Site, class: &str) -> anyhow::Result<(String, Vec<tidegate_tests::backend::Backend>)> {
    let host = format!("{}.test", site.namespace);
    let backends = site.service("app", 1).await?;
    site.apply(&ingress("shop", &[&format!("{host}/ Prefix app")])?.replace("$CLASS", class)).await?;
    Ok((host, backends))
}

async fn of(site: &Site, namespace: &str, kind: &str, name: &str) -> anyhow::Result<DynamicObject> {
    object::get(&site.cluster()?.client(), namespace, kind, name).await
}

/// Returns the address of a Service.
async fn address(site: &Site, namespace: &str, service: &str) -> anyhow::Result<SocketAddr> {
    let service = of(site, namespace, "Service", service).await?;
    let ip = service.data["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().context("no address")?.to_owned();
    Ok(SocketAddr::new(ip.parse()?, 80))
}

/// Waits until a host is answered by this backend, at an address.
async fn answers(host: &str, at: SocketAddr, name: &str) -> anyhow::Result<()> {
    wait::until_ok(async || {
        let answer = Ask::get(&format!("http://{host}/"))?.send(at).await?;
        ensure!(answer.status == 200 && answer.seen()["name"] == name, "not {name}: {answer}");
        Ok(())
    })
    .await
}

async fn status_becomes(site: &Site, ip: &str) -> anyhow::Result<()> {
    wait::until_ok(async || {
        let status = site.get("Ingress", "shop").await?.data["status"]["loadBalancer"]["ingress"][0]["ip"].clone();
        ensure!(status == ip, "the status is {status}, not {ip}");
        Ok(())
    })
    .await
}

/// Returns the ports of the controller's container, each as its name and number.
async fn ports(site: &Site) -> anyhow::Result<Vec<String>> {
    let deployment = of(site, THEIRS, "Deployment", "ingress-nginx-controller").await?;
    let ports = deployment.data["spec"]["template"]["spec"]["containers"][0]["ports"].as_array().context("no ports")?.clone();
    Ok(ports.iter().map(|port| format!("{} {}", port["name"].as_str().unwrap_or_default(), port["containerPort"])).collect())
}

/// Returns the uids of what must stay the same objects.
async fn kept(site: &Site, class: &str) -> anyhow::Result<Vec<Option<String>>> {
    let mut uids = Vec::new();
    for (kind, name) in [
        ("Deployment", "ingress-nginx-controller"),
        ("Service", "ingress-nginx-controller"),
        ("ServiceAccount", "ingress-nginx"),
        ("ClusterRole", "ingress-nginx"),
        ("Role", "ingress-nginx"),
        ("IngressClass", class),
    ] {
        uids.push(of(site, THEIRS, kind, name).await?.metadata.uid);
    }
    Ok(uids)
}

async fn a_release_of_ingress_nginx_becomes_one_of_tidegate_in_place_and_goes_back(site: &Site) -> anyhow::Result<()> {
    let (host, _app) = shop(site, "nginx").await?;
    let directory = tempfile::tempdir()?;
    forget_crds(site).await?;
    let tried = async {
        install_nginx(&[]).await?;
        let front = address(site, THEIRS, "ingress-nginx-controller").await?;
        answers(&host, front, "ingress-nginx").await?;
        // Its replicas' Lease, which no release has made.
        let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: ingress-nginx-leader, namespace: ingress-nginx}\n\
            spec: {holderIdentity: ingress-nginx-controller-0, leaseDurationSeconds: 5}";
        site.apply(lease).await?;
        let before = kept(site, "nginx").await?;
        does("values", directory.path()).await?;
        does("take over", directory.path()).await?;
        answers(&host, front, "app-1").await?;
        ensure!(kept(site, "nginx").await? == before, "objects were made anew");
        ensure!(address(site, THEIRS, "ingress-nginx-controller").await? == front, "the address changed");
        let service = of(site, THEIRS, "Service", "ingress-nginx-controller").await?;
        ensure!(service.metadata.annotations.unwrap_or_default().contains_key("example.com/zone"), "their values are lost");
        ensure!(of(site, THEIRS, "ConfigMap", "ingress-nginx-controller").await.is_err(), "their ConfigMap stayed");
        ensure!(of(site, THEIRS, "Service", "ingress-nginx-controller-admission").await.is_err(), "their webhook's Service stayed");
        // Theirs has 8443 for its webhook; entries are told apart by their numbers.
        ensure!(ports(site).await? == ["http 8080", "https 8443"], "{:?}", ports(site).await?);
        status_becomes(site, &front.ip().to_string()).await?;
        let holder = of(site, THEIRS, "Lease", "ingress-nginx-leader").await?.data["spec"]["holderIdentity"].to_string();
        ensure!(!holder.contains("controller-0\""), "the Lease was not taken over: {holder}");
        does("go back", directory.path()).await?;
        answers(&host, front, "ingress-nginx").await?;
        ensure!(ports(site).await? == ["http 80", "https 443", "webhook 8443"], "{:?}", ports(site).await?);
        ensure!(kept(site, "nginx").await? == before, "objects were made anew");
        anyhow::Ok(())
    }
    .await;
    let shown = tried.map_err(|error| error.context(world::world().map_or_else(|_| String::new(), |world| world.kubelet.logs(THEIRS))));
    remove(THEIRS, THEIRS).await?;
    shown
}

async fn a_class_of_another_name_is_taken_over_under_that_name(site: &Site) -> anyhow::Result<()> {
    let (host, _app) = shop(site, "public").await?;
    let directory = tempfile::tempdir()?;
    forget_crds(site).await?;
    let tried = async {
        let class = ["--set", "controller.ingressClass=public", "--set", "controller.ingressClassResource.name=public"];
        let controller = ["--set", "controller.ingressClassResource.controllerValue=k8s.io/public-nginx"];
        install_nginx(&[&class[..], &controller[..]].concat()).await?;
        let front = address(site, THEIRS, "ingress-nginx-controller").await?;
        let before = kept(site, "public").await?;
        does("values", directory.path()).await?;
        does("take over", directory.path()).await?;
        answers(&host, front, "app-1").await?;
        ensure!(kept(site, "public").await? == before, "objects were made anew");
        ensure!(of(site, "", "IngressClass", "nginx").await.is_err(), "another class was made");
        status_becomes(site, &front.ip().to_string()).await
    }
    .await;
    let shown = tried.map_err(|error| error.context(world::world().map_or_else(|_| String::new(), |world| world.kubelet.logs(THEIRS))));
    remove(THEIRS, THEIRS).await?;
    shown
}

async fn both_run_side_by_side_and_one_of_them_writes_status(site: &Site) -> anyhow::Result<()> {
    let (host, _app) = shop(site, "nginx").await?;
    let directory = tempfile::tempdir()?;
    forget_crds(site).await?;
    let tried = async {
        install_nginx(&[]).await?;
        let theirs = address(site, THEIRS, "ingress-nginx-controller").await?;
        // Its controller's address, written as it would write it.
        let status = serde_json::json!({ "status": { "loadBalancer": { "ingress": [{ "ip": theirs.ip() }] } } });
        let ingresses = object::api(&site.cluster()?.client(), "Ingress", &site.namespace)?;
        ingresses.patch_status("shop", &Default::default(), &kube::api::Patch::Merge(status)).await?;
        does("beside", directory.path()).await?;
        let ours = address(site, OURS, "tidegate-controller").await?;
        answers(&host, ours, "app-1").await?;
        answers(&host, theirs, "ingress-nginx").await?;
        // It leads by now, and could write.
        wait::until_ok(async || {
            let holder = of(site, OURS, "Lease", "tidegate-leader").await?.data["spec"]["holderIdentity"].clone();
            ensure!(holder.is_string(), "nobody leads");
            Ok(())
        })
        .await?;
        status_becomes(site, &theirs.ip().to_string()).await?;
        does("step back", directory.path()).await?;
        does("take status", directory.path()).await?;
        status_becomes(site, &ours.ip().to_string()).await?;
        does("remove", directory.path()).await?;
        of(site, "", "IngressClass", "nginx").await.context("the class went with its release")?;
        answers(&host, ours, "app-1").await?;
        status_becomes(site, &ours.ip().to_string()).await
    }
    .await;
    let shown = tried.map_err(|error| error.context(world::world().map_or_else(|_| String::new(), |world| world.kubelet.logs(OURS))));
    remove(THEIRS, THEIRS).await?;
    remove(OURS, OURS).await?;
    site.cluster()?.kubectl(&["delete", "ingressclass", "nginx", "--ignore-not-found"]).await?;
    shown
}
