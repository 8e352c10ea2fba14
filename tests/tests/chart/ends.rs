//! Replicas that end, for whatever reason, while clients of all kinds are served: behind a load balancer that notices two seconds late, not
//! one request may fail; of a Pod that is killed, only those that were led to it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, EvictParams};
use tidegate_tests::client::Ask;
use tidegate_tests::load::requests_per_second;
use tidegate_tests::site::{Site, slice};
use tidegate_tests::tls::TestCertificate;
use tidegate_tests::traffic::{Tally, Target, Traffic, WEBSOCKETS};
use tidegate_tests::wait;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::install::{Shop, names, settled, shop_of};
use crate::release::Release;
use crate::world::{LAG, world};

tidegate_tests::scenarios!("ends":;
    alone:
    an_upgrade_to_another_image_fails_no_request,
    a_deleted_pod_fails_no_request_and_its_websockets_close_one_after_another,
    nodes_are_drained_within_the_budget_and_no_request_fails,
    certificates_rotate_and_backends_change_fifty_times_and_no_request_fails,
    of_a_leader_that_is_killed_only_what_was_led_to_it_fails_and_another_leads,
);

/// Longer than the balancer needs to notice.
const MIN: Duration = Duration::from_secs(6);
const MAX: Duration = Duration::from_secs(14);
const VALUES: [&str; 3] = ["controller.replicaCount=2", "controller.extraArgs.drain-min=6s", "controller.extraArgs.drain-max=14s"];

/// Begins the traffic, once everything serves, and waits until something of every kind was answered.
async fn begin(release: &Release<'_>, shop: &Shop) -> anyhow::Result<Traffic> {
    release.serves(&format!("http://{}/", shop.plain), "app-1").await?;
    release.serves(&format!("https://{}/", shop.host), "app-1").await?;
    // The balancer knows of all replicas.
    for pod in release.pods().await? {
        let replica = address(&pod)?;
        wait::until_ok(async || {
            release.ask(&format!("http://{}/", shop.plain)).await?;
            ensure!(world()?.balancer.led_to(replica).0 > 0, "nobody was led to {replica}");
            Ok(())
        })
        .await?;
    }
    let (http, https) = (release.address(80).await?, release.address(443).await?);
    let target = Target { http, plain: shop.plain.clone(), https, secure: shop.host.clone() };
    let traffic = Traffic::start(target, requests_per_second()?)?;
    wait::until("traffic of every kind", async || Ok(traffic.so_far().of_every_kind().then_some(()))).await?;
    wait::until("all WebSockets", async || Ok((traffic.so_far().opened >= u64::from(WEBSOCKETS)).then_some(()))).await?;
    Ok(traffic)
}

/// Waits for some more traffic, and ends it.
async fn end(what: &str, traffic: Traffic) -> anyhow::Result<Tally> {
    let (rate, before) = (u64::from(requests_per_second()?), traffic.so_far().requests());
    wait::until("more traffic", async || Ok((traffic.so_far().requests() > before + rate).then_some(()))).await?;
    let tally = traffic.end().await;
    println!("{what}: {tally}");
    Ok(tally)
}

/// The same, where nothing may fail.
async fn end_well(what: &str, traffic: Traffic) -> anyhow::Result<Tally> {
    let tally = end(what, traffic).await?;
    tally.all_good(u64::from(requests_per_second()?) * 2)?;
    Ok(tally)
}

fn address(pod: &DynamicObject) -> anyhow::Result<IpAddr> {
    Ok(pod.data["status"]["podIP"].as_str().context("a Pod without an address")?.parse()?)
}

async fn one(release: &Release<'_>) -> anyhow::Result<(String, IpAddr)> {
    let pods = release.pods().await?;
    let pod = pods.first().context("no Pod")?;
    Ok((pod.metadata.name.clone().context("a Pod without a name")?, address(pod)?))
}

async fn an_upgrade_to_another_image_fails_no_request(site: &Site) -> anyhow::Result<()> {
    let shop = &shop_of(site, 3).await?;
    Release::with(site, &VALUES, async |release| {
        let first = names(release).await?;
        let traffic = begin(release, shop).await?;
        release.helm("upgrade", &[&VALUES[..], &["controller.image.tag=next"]].concat(), &["--wait"]).await?;
        let second = settled(release, 2).await?;
        ensure!(first.is_disjoint(&second), "Pods stayed: {first:?}, {second:?}");
        for pod in release.pods().await? {
            let image = pod.data["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
            ensure!(image.ends_with(":next"), "{image}");
        }
        end_well("helm upgrade", traffic).await.map(drop)
    })
    .await
}

async fn a_deleted_pod_fails_no_request_and_its_websockets_close_one_after_another(site: &Site) -> anyhow::Result<()> {
    let shop = &shop_of(site, 3).await?;
    Release::with(site, &VALUES, async |release| {
        let (name, address) = one(release).await?;
        let traffic = begin(release, shop).await?;
        let deleted = Instant::now();
        site.cluster()?.kubectl(&["delete", "pod", &name, "--wait=false", "--namespace", &site.namespace]).await?;
        let left = settled_without(release, &name).await?;
        ensure!(left.len() == 2, "{left:?}");
        let tally = end_well("kubectl delete pod", traffic).await?;
        // Its WebSockets, and no others, are closed: each at a moment of its own.
        let balancer = &world()?.balancer;
        let (of_it, others): (Vec<_>, Vec<_>) =
            tally.closed.iter().partition(|closed| balancer.led(closed.on, closed.at).is_some_and(|led| led.to.ip() == address));
        ensure!(others.is_empty(), "WebSockets of the other Pod were closed: {others:?}");
        let after: Vec<_> = of_it.iter().map(|closed| closed.at.duration_since(deleted)).collect();
        println!("WebSockets closed after {after:.1?}");
        let (first, last) = (after.iter().min().context("none was closed")?, after.iter().max().context("none was closed")?);
        ensure!(after.len() >= 6, "only {} WebSockets were closed", after.len());
        ensure!(*first >= MIN && *last <= MAX, "closed outside of {MIN:?} to {MAX:?}: {after:?}");
        ensure!(*last - *first >= (MAX - MIN) / 2, "closed within {:?}: {after:?}", *last - *first);
        let near = |begin: &Duration| after.iter().filter(|at| **at >= *begin && **at < *begin + Duration::from_secs(1)).count();
        let most = after.iter().map(near).max().unwrap_or_default();
        ensure!(most <= after.len() / 2, "{most} of {} were closed within a second: {after:?}", after.len());
        // Every client has a new one.
        ensure!(tally.opened >= u64::from(WEBSOCKETS) + after.len() as u64, "{tally}");
        Ok(())
    })
    .await
}

/// Waits until there are two Pods that are ready, and none of this name.
async fn settled_without(release: &Release<'_>, name: &str) -> anyhow::Result<BTreeSet<String>> {
    wait::until_ok(async || {
        let left = settled(release, 2).await?;
        ensure!(!left.contains(name), "{name} is still there");
        Ok(left)
    })
    .await
}

async fn nodes_are_drained_within_the_budget_and_no_request_fails(site: &Site) -> anyhow::Result<()> {
    let shop = &shop_of(site, 3).await?;
    let cluster = site.cluster()?;
    // A Pod is not ready before the second eviction is asked for.
    let values = [&VALUES[..], &["controller.readinessProbe.initialDelaySeconds=4"]].concat();
    let drained = Release::with(site, &values, async |release| {
        let pods = release.pods().await?;
        let [first, second] = pods.as_slice() else { bail!("{} Pods", pods.len()) };
        let name = |pod: &DynamicObject| pod.metadata.name.clone().unwrap_or_default();
        let node = |pod: &DynamicObject| pod.data["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        ensure!(node(first) != node(second), "both Pods are on one node");
        let traffic = begin(release, shop).await?;
        // One Pod may go; then none may, until there is another in its place.
        cluster.kubectl(&["cordon", &node(first)]).await?;
        let api: Api<Pod> = Api::namespaced(cluster.client(), &site.namespace);
        api.evict(&name(first), &EvictParams::default()).await?;
        // The library would ask again and again.
        let refused = evict_once(site, &name(second)).await.err().context("an eviction beyond the budget")?;
        ensure!(format!("{refused:#}").contains("disruption budget"), "{refused:#}");
        wait::until_ok(async || {
            let pods = release.pods().await?;
            let stays = |pod: &&DynamicObject| pod.metadata.deletion_timestamp.is_none();
            let ready = |pod: &DynamicObject| pod.data["status"]["containerStatuses"][0]["ready"] == true;
            let ready = pods.iter().filter(stays).filter(|pod| ready(pod)).count();
            ensure!(ready == 2, "{ready} Pods are ready");
            Ok(())
        })
        .await?;
        // Now both are on the other node, and kubectl takes them off it, one after the other.
        cluster.kubectl(&["uncordon", &node(first)]).await?;
        let ours = "--pod-selector=app.kubernetes.io/component=controller";
        cluster.kubectl(&["drain", &node(second), ours, "--timeout=80s"]).await?;
        settled(release, 2).await?;
        for pod in release.pods().await? {
            ensure!(node(&pod) == node(first), "a Pod is on a node that was drained");
        }
        end_well("kubectl drain", traffic).await.map(drop)
    })
    .await;
    for node in ["node-1", "node-2"] {
        cluster.kubectl(&["uncordon", node]).await?;
    }
    drained
}

/// Evicts a Pod, or says what the API server says.
async fn evict_once(site: &Site, pod: &str) -> anyhow::Result<String> {
    let (namespace, file) = (&site.namespace, tempfile::NamedTempFile::new()?);
    let eviction = serde_json::json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": namespace },
    });
    std::fs::write(file.path(), eviction.to_string())?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    site.cluster()?.kubectl(&["create", "--raw", &path, "--filename", &file.path().to_string_lossy()]).await
}

async fn certificates_rotate_and_backends_change_fifty_times_and_no_request_fails(site: &Site) -> anyhow::Result<()> {
    let mut shop = shop_of(site, 3).await?;
    Release::with(site, &VALUES, async |release| {
        let mut replicas = Vec::new();
        for pod in release.pods().await? {
            replicas.push(address(&pod)?);
        }
        let traffic = begin(release, &shop).await?;
        for _ in 0..20 {
            let next = TestCertificate::new(&[&shop.host])?;
            site.apply(&next.secret("shop-tls")).await?;
            for replica in &replicas {
                wait::until_ok(async || {
                    let answer = Ask::get(&format!("https://{}/", shop.host))?.send((*replica, 8443).into()).await?;
                    ensure!(answer.certificate.as_ref() == Some(&next.der), "the new certificate is not shown yet");
                    Ok(())
                })
                .await?;
            }
        }
        end_well("20 new certificates", traffic).await?;
        let traffic = begin(release, &shop).await?;
        let mut closing = JoinSet::new();
        for step in 1..=50 {
            // As Kubernetes does it: one more is ready; another ends, is not asked any more, and closes.
            shop.backends.push(site.backend(&format!("next-{step}")).await?);
            let leaving = shop.backends.remove(0);
            let mut endpoints: Vec<_> = shop.backends.iter().map(|backend| (backend.address, "ready: true")).collect();
            endpoints.push((leaving.address, "ready: false, serving: true, terminating: true"));
            site.apply(&slice("app", &endpoints)).await?;
            for replica in &replicas {
                not_reached(&shop.plain, *replica, &leaving.name, shop.backends.len() * 2).await?;
            }
            endpoints.pop();
            site.apply(&slice("app", &endpoints)).await?;
            // It finishes what it has.
            closing.spawn(leaving.drain());
        }
        while let Some(closed) = closing.join_next().await {
            closed??;
        }
        end_well("50 steps of the backends", traffic).await.map(drop)
    })
    .await
}

/// Waits until so many requests in a row that one replica gets go to others than this backend.
async fn not_reached(host: &str, replica: IpAddr, name: &str, requests: usize) -> anyhow::Result<()> {
    wait::until_ok(async || {
        for _ in 0..requests {
            let answer = Ask::get(&format!("http://{host}/"))?.send((replica, 8080).into()).await?;
            ensure!(answer.status == 200 && answer.seen()["name"] != name, "{answer}");
        }
        Ok(())
    })
    .await
}

async fn holder(site: &Site) -> anyhow::Result<String> {
    let lease = site.get("Lease", "edge-tidegate-leader").await?;
    Ok(lease.data["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

async fn of_a_leader_that_is_killed_only_what_was_led_to_it_fails_and_another_leads(site: &Site) -> anyhow::Result<()> {
    let shop = &shop_of(site, 3).await?;
    Release::with(site, &VALUES, async |release| {
        let leader = wait::until("a leader", async || {
            let (holder, pods) = (holder(site).await?, release.pods().await?);
            Ok(pods.into_iter().find(|pod| pod.metadata.name.as_ref().is_some_and(|name| holder.starts_with(name.as_str()))))
        })
        .await?;
        let (name, address) = (leader.metadata.name.clone().unwrap_or_default(), address(&leader)?);
        let process = world()?.kubelet.process(&site.namespace, &name).context("the leader has no process")?;
        let traffic = begin(release, shop).await?;
        let (_, open) = world()?.balancer.led_to(address);
        let killed = Instant::now();
        ensure!(Command::new("kill").args(["-s", "KILL", &process.to_string()]).status().await?.success(), "it was gone already");
        // As if with its node: it is not started again in its place.
        let api: Api<Pod> = Api::namespaced(site.cluster()?.client(), &site.namespace);
        api.delete(&name, &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await?;
        wait::until_ok(async || {
            let holder = holder(site).await?;
            ensure!(holder.starts_with("edge-tidegate-controller-") && !holder.starts_with(&name), "the Lease is held by {holder:?}");
            Ok(())
        })
        .await?;
        println!("another leads after {:.1?}", killed.elapsed());
        settled_without(release, &name).await?;
        let tally = end("the leader killed", traffic).await?;
        // That any failed shows that failures are seen.
        ensure!(!tally.failed.is_empty(), "nothing failed: {tally}");
        let mut latest = Duration::ZERO;
        for failure in &tally.failed {
            let led = failure.on.and_then(|ends| world().ok()?.balancer.led(ends, failure.at));
            let led =
                led.filter(|led| led.to.ip() == address).with_context(|| format!("it has nothing to do with it: {failure:?}; {tally}"))?;
            latest = latest.max(led.at.saturating_duration_since(killed));
        }
        let connections: BTreeSet<_> = tally.failed.iter().filter_map(|failure| failure.on).collect();
        println!("it had {open} connections; those that failed were {}, the last led there after {latest:.1?}", connections.len());
        // Once the balancer has noticed, nobody is led there.
        ensure!(latest <= LAG * 2, "something was led there after {latest:?}, with a lag of {LAG:?}: {tally}");
        ensure!(tally.of_every_kind(), "a kind is missing: {tally}");
        Ok(())
    })
    .await
}
