//! Releases: installed, upgraded, rolled back, uninstalled, with their Pods running and requests going through them.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use kube::api::DynamicObject;
use tidegate_tests::backend::Backend;
use tidegate_tests::client::Ask;
use tidegate_tests::helm;
use tidegate_tests::load::Load;
use tidegate_tests::object;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tls::TestCertificate;
use tidegate_tests::wait;

use crate::release::{Release, forget_crds};
use crate::world;

tidegate_tests::scenarios!("install":;
    alone:
    the_commands_of_the_pages_install_it,
    a_release_serves_and_is_upgraded_rolled_back_and_uninstalled_without_a_trace,
    a_node_is_drained_while_a_pod_stays_and_no_request_fails,
    one_namespace_is_served_with_rights_in_it_alone,
    without_any_right_in_the_cluster_the_class_that_a_flag_names_is_served,
    on_the_nodes_network_ports_80_and_443_are_those_of_the_nodes_and_status_has_their_addresses,
    a_wrong_flag_fails_the_pod_and_is_named_in_its_last_words,
);

/// Backends `app-1` ... behind an Ingress of the class `tidegate`, for two hosts of the site's own.
pub(crate) struct Shop {
    /// A host with TLS, and its certificate.
    pub(crate) host: String,
    pub(crate) certificate: TestCertificate,
    /// A host without.
    pub(crate) plain: String,
    pub(crate) backends: Vec<Backend>,
}

async fn shop(site: &Site) -> anyhow::Result<Shop> {
    shop_of(site, 1).await
}

/// Makes one with so many backends.
pub(crate) async fn shop_of(site: &Site, backends: u8) -> anyhow::Result<Shop> {
    let (host, plain) = (format!("{}.test", site.namespace), format!("plain.{}.test", site.namespace));
    let backends = site.service("app", backends).await?;
    let certificate = TestCertificate::new(&[&host])?;
    site.apply(&certificate.secret("shop-tls")).await?;
    let rules = ingress("shop", &[&format!("{host}/ Prefix app"), &format!("{plain}/ Prefix app")])?.replace("$CLASS", "tidegate");
    site.apply(&format!("{rules}  tls: [{{hosts: [{host}], secretName: shop-tls}}]\n")).await?;
    Ok(Shop { host, certificate, plain, backends })
}

/// Everything of the cluster as `kind/name`, but for Events, and groups of APIs, which come and go with their kinds.
async fn everything(site: &Site) -> anyhow::Result<BTreeSet<String>> {
    let cluster = site.cluster()?;
    let mut found = BTreeSet::new();
    for (scope, flags) in [("true", vec!["--namespace", site.namespace.as_str()]), ("false", Vec::new())] {
        let scope = format!("--namespaced={scope}");
        let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name", &scope]).await?;
        let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events") && !kind.starts_with("apiservices")).collect();
        let kinds = kinds.join(",");
        let listed = cluster.kubectl(&[&["get", &kinds, "--output=name", "--ignore-not-found"], &flags[..]].concat()).await?;
        found.extend(listed.lines().map(str::to_owned));
    }
    Ok(found)
}

/// The pages with a command that installs it.
const PAGES: [(&str, &str); 3] = [
    ("README.md", include_str!("../../../README.md")),
    ("docs/install.md", include_str!("../../../docs/install.md")),
    ("charts/tidegate/README.md", include_str!("../../../charts/tidegate/README.md")),
];

async fn the_commands_of_the_pages_install_it(site: &Site) -> anyhow::Result<()> {
    let chart = helm::chart().to_string_lossy().into_owned();
    for (page, text) in PAGES {
        let text = text.replace("\\\n", " ");
        let command = text.lines().find_map(|line| line.strip_prefix("helm ")).with_context(|| format!("{page} has no command of helm"))?;
        let words = command.split_whitespace().map(|word| if word == "charts/tidegate" { chart.as_str() } else { word });
        forget_crds(site).await?;
        let installed = world::helm()?.run(&words.collect::<Vec<_>>()).await.with_context(|| page);
        let image = object::get(&site.cluster()?.client(), "tidegate", "Deployment", "tidegate-controller").await.map(|deployment| {
            deployment.data["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
        });
        world::helm()?.run(&["uninstall", "tidegate", "--namespace=tidegate", "--wait", "--ignore-not-found", "--timeout=90s"]).await?;
        ensure!(installed?.contains("STATUS: deployed"), "{page}");
        // It is the one that the page has pushed.
        let image = image?;
        for line in text.lines().filter(|line| line.starts_with("skopeo copy ") || line.starts_with("podman push ")) {
            let pushed = line.rsplit(' ').next().unwrap_or_default().trim_start_matches("docker://");
            ensure!(pushed == image, "{page}: {pushed} is pushed, and {image} is run");
        }
    }
    Ok(())
}

async fn a_release_serves_and_is_upgraded_rolled_back_and_uninstalled_without_a_trace(site: &Site) -> anyhow::Result<()> {
    let Shop { host, certificate, plain, .. } = &shop(site).await?;
    // It comes with the namespace, a moment later.
    wait::until_ok(async || site.get("ConfigMap", "kube-root-ca.crt").await).await?;
    forget_crds(site).await?;
    let before = everything(site).await?;
    Release::with(site, &["controller.replicaCount=2"], async |release| {
        // In clear text, and over TLS with the host's own certificate; redirects name the port that clients see.
        release.serves(&format!("http://{plain}/"), "app-1").await?;
        let answer = release.serves(&format!("https://{host}/"), "app-1").await?;
        ensure!(answer.certificate.as_ref() == Some(&certificate.der), "another certificate was shown");
        let answer = release.ask(&format!("http://{host}/basket")).await?;
        ensure!(answer.status == 308 && answer.header("location") == format!("https://{host}/basket"), "{answer}");
        // Status has the load balancer's address.
        status_becomes(site, &BTreeSet::from([release.address(80).await?.ip().to_string()])).await?;
        let lease = site.get("Lease", "edge-tidegate-leader").await?;
        let holder = lease.data["spec"]["holderIdentity"].as_str().context("nobody holds the Lease")?.to_owned();
        ensure!(holder.starts_with("edge-tidegate-controller-"), "the holder is not a Pod: {holder}");
        let first = names(release).await?;
        // New Pods take over, and no request fails meanwhile.
        let load = Load::start(release.address(80).await?, plain, 50)?;
        release.helm("upgrade", &["controller.replicaCount=2", "controller.podAnnotations.round=two"], &["--wait"]).await?;
        let second = settled(release, 2).await?;
        ensure!(first.is_disjoint(&second), "Pods stayed: {first:?}, {second:?}");
        release.rollback("1").await?;
        let third = settled(release, 2).await?;
        ensure!(second.is_disjoint(&third), "Pods stayed: {second:?}, {third:?}");
        load.end().await.all_good(200)?;
        release.serves(&format!("https://{host}/"), "app-1").await?;
        let denied: Vec<_> = denied(site)?;
        ensure!(denied.is_empty(), "a right is missing: {denied:#?}");
        Ok(())
    })
    .await?;
    wait::until_ok(async || {
        let after = everything(site).await?;
        let left: Vec<_> = after.difference(&before).collect();
        ensure!(left == ["customresourcedefinition.apiextensions.k8s.io/classparameters.tidegate.dev"], "left behind: {left:?}");
        Ok(())
    })
    .await
}

/// Returns the names of a release's Pods.
pub(crate) async fn names(release: &Release<'_>) -> anyhow::Result<BTreeSet<String>> {
    Ok(release.pods().await?.into_iter().filter_map(|pod| pod.metadata.name).collect())
}

/// Waits until there are just so many Pods, none of them about to end, and returns their names.
pub(crate) async fn settled(release: &Release<'_>, count: usize) -> anyhow::Result<BTreeSet<String>> {
    wait::until_ok(async || {
        let pods = release.pods().await?;
        let ready = |pod: &DynamicObject| pod.data["status"]["containerStatuses"][0]["ready"] == true;
        ensure!(pods.len() == count && pods.iter().all(ready), "{} Pods, of {count}", pods.len());
        names(release).await
    })
    .await
}

/// Returns the lines in which Pods say that they must not do something.
fn denied(site: &Site) -> anyhow::Result<Vec<String>> {
    let logs = world::world()?.kubelet.logs(&site.namespace);
    Ok(logs.lines().filter(|line| line.contains("forbidden")).map(str::to_owned).collect())
}

async fn one_namespace_is_served_with_rights_in_it_alone(site: &Site) -> anyhow::Result<()> {
    let shop = shop(site).await?;
    let elsewhere = ingress("elsewhere", &["elsewhere.test/ Prefix app"])?.replace("$CLASS", "tidegate");
    site.apply(&elsewhere.replace("{name: elsewhere}", "{name: elsewhere, namespace: team-a}")).await?;
    let checked = Release::with(site, &["controller.scope.enabled=true"], async |release| {
        release.serves(&format!("http://{}/", shop.plain), "app-1").await?;
        let answer = release.ask("http://elsewhere.test/").await?;
        ensure!(answer.status == 404, "another namespace is served: {answer}");
        // What it must do is done: it has its status, so that it leads and has looked.
        status_becomes(site, &BTreeSet::from([release.address(80).await?.ip().to_string()])).await?;
        let denied = denied(site)?;
        ensure!(denied.is_empty(), "a right is missing: {denied:#?}");
        for (verb, what) in [("list", "secrets"), ("list", "ingresses"), ("watch", "services"), ("list", "nodes"), ("list", "pods")] {
            let account = format!("--as=system:serviceaccount:{}:edge-tidegate", site.namespace);
            let asked = site.cluster()?.kubectl(&["auth", "can-i", verb, what, "--namespace=team-a", &account]).await;
            ensure!(asked.is_err(), "it may {verb} {what} of another namespace");
        }
        Ok(())
    })
    .await;
    site.cluster()?.kubectl(&["delete", "ingress", "elsewhere", "--namespace=team-a"]).await?;
    checked
}

async fn a_node_is_drained_while_a_pod_stays_and_no_request_fails(site: &Site) -> anyhow::Result<()> {
    let Shop { plain, .. } = &shop(site).await?;
    Release::with(site, &["controller.replicaCount=2"], async |release| {
        let on = |pods: &[DynamicObject]| pods.iter().map(|pod| pod.data["spec"]["nodeName"].to_string()).collect::<BTreeSet<_>>();
        let before = settled(release, 2).await?;
        ensure!(on(&release.pods().await?).len() == 2, "both Pods are on one node");
        // The load balancer hears of the Pods later than helm.
        release.serves(&format!("http://{plain}/"), "app-1").await?;
        let load = Load::start(release.address(80).await?, plain, 50)?;
        // Evictions ask the budget, and the drain is over when its Pods are gone.
        let drained = site.cluster()?.kubectl(&["drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force"]).await;
        let after = settled(release, 2).await;
        let nodes = on(&release.pods().await?);
        site.cluster()?.kubectl(&["uncordon", "node-1"]).await?;
        let tally = load.end().await;
        drained?;
        ensure!(before.intersection(&after?).count() == 1, "not one Pod moved, of two");
        ensure!(nodes == BTreeSet::from(["\"node-2\"".to_owned()]), "they are on {nodes:?}");
        tally.all_good(100)
    })
    .await
}

async fn without_any_right_in_the_cluster_the_class_that_a_flag_names_is_served(site: &Site) -> anyhow::Result<()> {
    let shop = shop(site).await?;
    Release::with(site, &["controller.scope.enabled=true", "rbac.scope=true"], async |release| {
        let cluster_wide =
            site.cluster()?.kubectl(&["get", "clusterroles,clusterrolebindings,ingressclasses,crds", "--output=name"]).await?;
        ensure!(!cluster_wide.contains("tidegate"), "something is cluster-wide: {cluster_wide}");
        release.serves(&format!("http://{}/", shop.plain), "app-1").await?;
        Ok(())
    })
    .await
}

async fn on_the_nodes_network_ports_80_and_443_are_those_of_the_nodes_and_status_has_their_addresses(site: &Site) -> anyhow::Result<()> {
    let Shop { host, certificate, plain, .. } = &shop(site).await?;
    let values = ["controller.kind=DaemonSet", "controller.hostNetwork=true", "controller.service.enabled=false"];
    Release::with(site, &values, async |release| {
        let pods = release.pods().await?;
        let nodes = pods.iter().filter_map(|pod| Some(pod.data["status"]["hostIP"].as_str()?.to_owned()));
        let nodes: BTreeSet<_> = nodes.collect();
        ensure!(nodes.len() == 2, "not a Pod on each of two nodes: {nodes:?}");
        for node in &nodes {
            let node: std::net::IpAddr = node.parse()?;
            let answer = Ask::get(&format!("http://{plain}/"))?.send((node, 80).into()).await?;
            ensure!(answer.status == 200 && answer.seen()["name"] == "app-1", "{answer}");
            let answer = Ask::get(&format!("https://{host}/"))?.send((node, 443).into()).await?;
            ensure!(answer.status == 200 && answer.certificate.as_ref() == Some(&certificate.der), "{answer}");
        }
        status_becomes(site, &nodes).await?;
        // A node that no Pod runs on any more is not an address any more.
        let one = pods.iter().find(|pod| pod.data["spec"]["nodeName"] == "node-1").context("no Pod on node-1")?;
        let one = BTreeSet::from([one.data["status"]["hostIP"].as_str().unwrap_or_default().to_owned()]);
        let mut fewer = values.to_vec();
        fewer.push("controller.nodeSelector.kubernetes\\.io/hostname=node-1");
        release.helm("upgrade", &fewer, &["--wait"]).await?;
        status_becomes(site, &one).await?;
        let denied = denied(site)?;
        ensure!(denied.is_empty(), "a right is missing: {denied:#?}");
        Ok(())
    })
    .await
}

/// Waits until the Ingress's status has just these addresses.
async fn status_becomes(site: &Site, addresses: &BTreeSet<String>) -> anyhow::Result<()> {
    wait::until_ok(async || {
        let status = site.get("Ingress", "shop").await?.data["status"]["loadBalancer"]["ingress"].clone();
        let found = status.as_array().into_iter().flatten().filter_map(|entry| Some(entry["ip"].as_str()?.to_owned()));
        let found: BTreeSet<_> = found.collect();
        ensure!(found == *addresses, "the status has {found:?}, not {addresses:?}");
        Ok(())
    })
    .await
}

async fn a_wrong_flag_fails_the_pod_and_is_named_in_its_last_words(site: &Site) -> anyhow::Result<()> {
    let release = Release { site, name: "edge-tidegate" };
    let checked = async {
        forget_crds(site).await?;
        release.helm("install", &["controller.extraArgs.drain-mux=5s"], &[]).await?;
        let ended = release
            .pod_shows("the Pod's end", |status| {
                let ended = &status["containerStatuses"][0]["lastState"]["terminated"];
                ended.is_object().then(|| ended.clone())
            })
            .await?;
        ensure!(ended["exitCode"] == 2, "{ended}");
        ensure!(ended["message"].as_str().is_some_and(|message| message.contains("--drain-mux")), "{ended}");
        // The release is mended like any other.
        release.helm("upgrade", &["controller.extraArgs.drain-max=8s"], &["--wait"]).await
    }
    .await;
    release.uninstall().await?;
    checked.map(drop)
}
