//! What Tidegate does without a right, or without a kind, by the API server's own judgement: each test has a user of its own.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tidegate_tests::cluster::{self, User};
use tidegate_tests::object;
use tidegate_tests::rights::Rights;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tidegate::Tidegate;
use tidegate_tests::tidegate::Want::{From, Redirect, Status};
use tidegate_tests::wait;

use crate::install;

tidegate_tests::scenarios!("rights":
    the_charts_rights_are_enough,
    class_parameters_that_must_not_be_read_cost_their_class_alone,
    classes_that_must_not_be_read_leave_those_that_a_flag_names,
    secrets_that_must_not_be_read_hold_readiness_up_and_the_log_says_so,
    without_the_right_to_a_lease_routing_goes_on,
    without_the_right_to_tell_routing_goes_on;
    alone:
    every_single_right_is_missed_when_it_is_taken_away,
    without_the_crd_nothing_is_held_up_and_it_may_come_later,
);

/// Lets a bare user do what Tidegate's role says, except what these texts in its rules are about.
async fn grant(site: &Site, number: u8, without: &[&str]) -> anyhow::Result<()> {
    let rights = Rights::of_the_chart()?.without(|rule| without.iter().any(|part| rule["resources"].to_string().contains(part)));
    give(site, User::Bare(number), &rights).await?;
    site.cluster()?.allowed(User::Bare(number), "", "services", "list").await
}

async fn give(site: &Site, user: User, rights: &Rights) -> anyhow::Result<()> {
    site.apply(&rights.cluster_role(user)).await?;
    site.apply(&rights.role(user)).await
}

fn start(site: &Site, number: u8, flags: &[&str]) -> anyhow::Result<Tidegate> {
    site.tidegate_as(User::Bare(number), cluster::SERVER, flags)
}

/// Parameters of the site's class: the root leads to `/home`.
const PARAMETERS: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: ClassParameters
metadata: {name: $CLASS}
spec: {appRoot: /home}
";
const POINTING: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $CLASS}
spec: {controller: $CONTROLLER, parameters: {apiGroup: tidegate.dev, kind: ClassParameters, scope: Cluster, name: $CLASS}}
";
/// A class without parameters.
const PLAIN: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: plain-$CLASS}
spec: {controller: $CONTROLLER}
";
const LED: Want = Redirect(302, "http://app.test/home");
type Want = tidegate_tests::tidegate::Want<'static>;

async fn the_charts_rights_are_enough(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(PARAMETERS).await?;
    site.apply(POINTING).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app", "app.test/missing Prefix missing"])?).await?;
    grant(site, 0, &[]).await?;
    let tidegate = start(site, 0, &["--publish-status-address=203.0.113.7"])?;
    tidegate.ready().await?;
    wait::until_ok(async || {
        let object = site.get("ClassParameters", "$CLASS").await?;
        ensure!(object.data["status"]["conditions"][0]["status"] == "True", "{object:?}");
        let ingress = site.get("Ingress", "app").await?;
        ensure!(ingress.data["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.7", "{ingress:?}");
        let events = object::api(&site.cluster()?.client(), "Event", &site.namespace)?.list(&Default::default()).await?;
        ensure!(!events.items.is_empty(), "no Event");
        Ok(())
    })
    .await?;
    let failures: Vec<_> = tidegate.log().lines().filter(|line| line.contains("forbidden")).map(str::to_owned).collect();
    ensure!(failures.is_empty(), "{failures:#?}");
    // Secrets that never hold a certificate, and may hold much else, are not even asked for.
    let record = site.cluster()?.record(User::Bare(0))?;
    let asked: Vec<_> = record.iter().filter(|request| request["objectRef"]["resource"] == "secrets").collect();
    ensure!(asked.iter().any(|request| request["verb"] == "watch"), "Secrets are not watched: {asked:#?}");
    for request in asked {
        let uri = request["requestURI"].as_str().unwrap_or_default().replace("%21", "!").replace("%3D", "=").replace("%2F", "/");
        ensure!(uri.contains("type!=helm.sh/release.v1") && uri.contains("type!=kubernetes.io/service-account-token"), "{uri}");
    }
    Ok(())
}

async fn class_parameters_that_must_not_be_read_cost_their_class_alone(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(PARAMETERS).await?;
    site.apply(POINTING).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    site.apply(PLAIN).await?;
    site.apply(&ingress("plain", &["plain.test/ Prefix app"])?.replace("$CLASS", "plain-$CLASS")).await?;
    grant(site, 1, &["classparameters"]).await?;
    let tidegate = start(site, 1, &["--public-http-port=80"])?;
    tidegate.ready().await?;
    // They may hold a protection.
    tidegate.expect_all(&[("http://app.test/", Status(503)), ("http://plain.test/", From("app-1"))]).await?;
    let finding = tidegate.diagnosed("kind_unavailable", "ClassParameters").await?;
    ensure!(finding["message"].to_string().contains("classparameters.tidegate.dev is forbidden"), "the right is not named: {finding}");
    // The right may come later.
    grant(site, 1, &[]).await?;
    tidegate.becomes("http://app.test/", LED).await?;
    tidegate.no_more("kind_unavailable").await
}

async fn classes_that_must_not_be_read_leave_those_that_a_flag_names(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    site.apply(&ingress("other", &["other.test/ Prefix app"])?.replace("$CLASS", "other-$CLASS")).await?;
    grant(site, 2, &["ingressclasses", "classparameters"]).await?;
    let tidegate = start(site, 2, &["--ingress-class=$CLASS"])?;
    tidegate.ready().await?;
    tidegate.expect_all(&[("http://app.test/", From("app-1")), ("http://other.test/", Status(404))]).await?;
    for kind in ["IngressClass", "ClassParameters"] {
        tidegate.diagnosed("kind_unavailable", kind).await?;
    }
    Ok(())
}

async fn secrets_that_must_not_be_read_hold_readiness_up_and_the_log_says_so(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    grant(site, 3, &["secrets"]).await?;
    let tidegate = start(site, 3, &[])?;
    let said = || tidegate.logged("not allowed to read a kind of object that is needed; trying on");
    let line = wait::until("the log to name the right", async || Ok(said().into_iter().next())).await?;
    ensure!(line["level"] == "ERROR" && line["kind"] == "Secret", "{line}");
    ensure!(line["error"].as_str().is_some_and(|error| error.contains(r#"cannot list resource "secrets""#)), "{line}");
    // Everything else is known by now, and still it is not ready.
    wait::until("a few more refusals", async || {
        ensure!(!tidegate.is_ready().await, "ready without having seen Secrets");
        Ok((site.cluster()?.refusals(User::Bare(3))? >= 4).then_some(()))
    })
    .await?;
    ensure!(said().len() == 1, "said more than once: {:#?}", said());
    grant(site, 3, &[]).await?;
    tidegate.ready().await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    Ok(())
}

async fn without_the_right_to_a_lease_routing_goes_on(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    grant(site, 4, &["leases"]).await?;
    let tidegate = start(site, 4, &["--publish-status-address=203.0.113.7"])?;
    tidegate.ready().await?;
    for number in 0..5 {
        site.apply(&ingress(&format!("app{number}"), &[&format!("app{number}.test/ Prefix app")])?).await?;
        tidegate.becomes(&format!("http://app{number}.test/"), From("app-1")).await?;
    }
    wait::until("several refusals", async || Ok((site.cluster()?.refusals(User::Bare(4))? >= 3).then_some(()))).await?;
    let said = tidegate.logged("the Lease cannot be read or renewed; trying on");
    ensure!(said.len() == 1 && said[0].to_string().contains("leases"), "{said:#?}");
    // Nobody writes without the Lease.
    let ingress = site.get("Ingress", "app0").await?;
    ensure!(ingress.data["status"]["loadBalancer"]["ingress"].is_null(), "{ingress:?}");
    Ok(())
}

async fn without_the_right_to_tell_routing_goes_on(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(PARAMETERS).await?;
    site.apply(POINTING).await?;
    grant(site, 5, &["/status", "events"]).await?;
    let tidegate = start(site, 5, &["--publish-status-address=203.0.113.7"])?;
    tidegate.ready().await?;
    for number in 0..5 {
        let missing = format!("app{number}.test/missing Prefix missing{number}");
        site.apply(&ingress(&format!("app{number}"), &[&format!("app{number}.test/a Prefix app"), &missing])?).await?;
        tidegate.becomes(&format!("http://app{number}.test/a"), From("app-1")).await?;
    }
    // Each Ingress was tried, and each finding: one kind of failure, said once.
    wait::until("every attempt", async || Ok((site.cluster()?.refusals(User::Bare(5))? >= 11).then_some(()))).await?;
    for message in [
        "status cannot be written; trying on",
        "an Event cannot be written; trying on",
        "conditions of ClassParameters cannot be written; trying on",
    ] {
        let said = tidegate.logged(message);
        ensure!(said.len() == 1 && said[0].to_string().contains("forbidden"), "{message}: {said:#?}");
    }
    // With the rights, what is due is written.
    grant(site, 5, &[]).await?;
    wait::until_ok(async || {
        let ingress = site.get("Ingress", "app4").await.context("app4")?;
        ensure!(ingress.data["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.7", "{ingress:?}");
        Ok(())
    })
    .await
}

/// No right is there for nothing. Each is taken away in turn, things happen, and the API server is seen to refuse just that.
async fn every_single_right_is_missed_when_it_is_taken_away(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(POINTING).await?;
    let default = Rights::of_the_chart()?;
    let each = default.each();
    ensure!(each.len() >= 16, "only {} rights: {each:?}", each.len());
    for (round, right) in each.iter().enumerate() {
        is_missed(site, &default, right, &format!("--publish-status-address=203.0.113.{round}")).await?;
    }
    // What the nodes' addresses take besides.
    site.apply(POD_ON_A_NODE).await?;
    let ready = serde_json::json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    let pods = object::api(&site.cluster()?.client(), "Pod", &site.namespace)?;
    pods.patch_status("edge", &Default::default(), &kube::api::Patch::Merge(ready)).await?;
    let nodes = Rights::of_case("bare-metal-host-network")?;
    let more: Vec<_> = nodes.each().into_iter().filter(|right| !each.contains(right)).collect();
    ensure!(more.len() == 3, "{more:?}");
    for right in &more {
        is_missed(site, &nodes, right, "--publish-nodes-of=$NS/app=edge").await?;
    }
    Ok(())
}

const POD_ON_A_NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-of-rights}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
---
apiVersion: v1
kind: Pod
metadata: {name: edge, labels: {app: edge}}
spec: {nodeName: node-of-rights, containers: [{name: main, image: none}]}
";

/// Takes a single right away and waits until just that is refused.
async fn is_missed(site: &Site, all: &Rights, (rule, verb): &(serde_json::Value, String), flag: &str) -> anyhow::Result<()> {
    const USER: User = User::Bare(6);
    let cluster = site.cluster()?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    give(site, USER, all).await?;
    for (rule, verb) in all.each() {
        let (group, resource) = (text(&rule["apiGroups"][0]), text(&rule["resources"][0]));
        cluster.allowed_in(USER, &site.namespace, &group, &resource, &verb, true).await?;
    }
    give(site, USER, &all.clone().without_verb(rule, verb)).await?;
    let (group, resource) = (text(&rule["apiGroups"][0]), text(&rule["resources"][0]));
    cluster.allowed_in(USER, &site.namespace, &group, &resource, verb, false).await?;
    let before = cluster.refused(USER)?.len();
    let tidegate = start(site, 6, &[flag])?;
    let mut step = 0;
    wait::until(&format!("a refusal to {verb} {resource}"), async || {
        // What is wrong comes, goes and comes again; parameters change.
        step += 1;
        let missing = ["app.test/missing Prefix missing", "app.test/missing Prefix app"][step % 2];
        site.apply(&ingress("app", &["app.test/ Prefix app", missing])?).await?;
        site.apply(&PARAMETERS.replace("/home", &format!("/home-{}-{}", tidegate.http.port(), step % 2))).await?;
        let refused: Vec<_> = cluster.refused(USER)?.into_iter().skip(before).collect();
        let wanted = (verb.clone(), resource.clone());
        if let Some(other) = refused.iter().find(|refused| **refused != wanted) {
            anyhow::bail!("without the right to {verb} {resource} it was refused to {other:?} too");
        }
        tokio::time::sleep(REST).await;
        Ok((!refused.is_empty()).then_some(()))
    })
    .await?;
    tidegate.signal("INT")?;
    tidegate.end().await?;
    Ok(())
}

/// How long things stay as they are before they change again.
const REST: Duration = Duration::from_millis(200);

/// Alone, since the kind goes for all tests.
async fn without_the_crd_nothing_is_held_up_and_it_may_come_later(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster()?;
    let _app = site.service("app", 1).await?;
    site.apply(PARAMETERS).await?;
    site.apply(POINTING).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    site.apply(PLAIN).await?;
    site.apply(&ingress("plain", &["plain.test/ Prefix app"])?.replace("$CLASS", "plain-$CLASS")).await?;
    let before = site.tidegate(&["--public-http-port=80"]).await?;
    before.expect("http://app.test/", LED).await?;
    let crd = install::crd()?;
    object::delete(&cluster.client(), "", &crd.kind, &crd.name).await?;
    let tried = async {
        wait::until("the CRD to go", async || Ok(object::get(&cluster.client(), "", &crd.kind, &crd.name).await.is_err().then_some(())))
            .await?;
        let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
        // Who knew the parameters keeps them; who did not refuses what they may protect.
        for (tidegate, want) in [(&before, LED), (&tidegate, Status(503))] {
            tidegate.expect_all(&[("http://app.test/", want), ("http://plain.test/", From("app-1"))]).await?;
            ensure!(tidegate.is_ready().await, "readiness went with the kind");
        }
        let finding = tidegate.diagnosed("kind_unavailable", "ClassParameters").await?;
        ensure!(finding["message"].to_string().contains("tidegate.dev/v1alpha1"), "the kind is not named: {finding}");
        anyhow::Ok(tidegate)
    }
    .await;
    install::install_crd(cluster).await?;
    let tidegate = tried?;
    site.apply(PARAMETERS).await?;
    for tidegate in [&before, &tidegate] {
        tidegate.becomes("http://app.test/", LED).await?;
        tidegate.no_more("kind_unavailable").await?;
    }
    Ok(())
}
