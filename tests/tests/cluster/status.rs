//! What is told back to the cluster: addresses in the status, Events, and the Lease that says who tells them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use tidegate_tests::object;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tidegate::Want::{From, Status};
use tidegate_tests::wait;

tidegate_tests::scenarios!("status":
    an_address_is_written_only_once_the_route_serves,
    the_addresses_of_a_published_service_are_followed,
    an_ingress_that_is_not_ours_gets_no_status,
    an_ingress_that_leaves_us_loses_our_status_and_keeps_that_of_others,
    a_status_that_is_right_is_not_written_again,
    no_status_is_written_where_it_is_switched_off,
    a_status_from_before_a_restart_is_taken_away_when_its_ingress_left_meanwhile,
    only_the_leader_tells_and_another_replica_takes_over,
    a_finding_becomes_one_event,
);

const ADDRESS: &str = "--publish-status-address=203.0.113.7";

/// Returns the addresses in an Ingress's status.
fn addresses(ingress: &DynamicObject) -> Vec<String> {
    let list = ingress.data["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    let one = |entry: &Value| entry["ip"].as_str().or(entry["hostname"].as_str()).unwrap_or_default().to_owned();
    list.iter().map(one).collect()
}

async fn status_becomes(site: &Site, name: &str, wanted: &[&str]) -> anyhow::Result<()> {
    wait::until_ok(async || {
        let found = addresses(&site.get("Ingress", name).await?);
        ensure!(found == wanted, "the status of {name} has {found:?}, not {wanted:?}");
        Ok(())
    })
    .await
}

async fn an_address_is_written_only_once_the_route_serves(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let tidegate = site.tidegate(&[ADDRESS]).await?;
    for number in 0..10 {
        let (name, host) = (format!("app{number}"), format!("app{number}.test"));
        site.apply(&ingress(&name, &[&format!("{host}/ Prefix app")])?).await?;
        status_becomes(site, &name, &["203.0.113.7"]).await?;
        // The first request after the status appeared: whoever waits for the address may ask at once.
        tidegate.expect(&format!("http://{host}/"), From("app-1")).await.context("the first request after the status")?;
    }
    Ok(())
}

async fn the_addresses_of_a_published_service_are_followed(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply("apiVersion: v1\nkind: Service\nmetadata: {name: front}\nspec: {type: LoadBalancer, ports: [{name: http, port: 80}]}")
        .await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let _tidegate = site.tidegate(&["--publish-service=$NS/front"]).await?;
    let services = object::api(&site.cluster()?.client(), "Service", &site.namespace)?;
    for (entry, wanted) in
        [(serde_json::json!({"ip": "198.51.100.1"}), "198.51.100.1"), (serde_json::json!({"hostname": "lb.test"}), "lb.test")]
    {
        let status = serde_json::json!({"status": {"loadBalancer": {"ingress": [entry]}}});
        services.patch_status("front", &Default::default(), &kube::api::Patch::Merge(status)).await?;
        status_becomes(site, "app", &[wanted]).await?;
    }
    Ok(())
}

async fn an_ingress_that_is_not_ours_gets_no_status(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("theirs", &["theirs.test/ Prefix app"])?.replace("$CLASS", "theirs-$CLASS")).await?;
    let tidegate = site.tidegate(&[ADDRESS]).await?;
    // One of ours, made later, has its status: so the other was seen and left alone.
    site.apply(&ingress("ours", &["ours.test/ Prefix app"])?).await?;
    status_becomes(site, "ours", &["203.0.113.7"]).await?;
    status_becomes(site, "theirs", &[]).await?;
    tidegate.expect("http://theirs.test/", Status(404)).await?;
    Ok(())
}

async fn an_ingress_that_leaves_us_loses_our_status_and_keeps_that_of_others(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let ours = ingress("app", &["app.test/ Prefix app"])?;
    site.apply(&ours).await?;
    let tidegate = site.tidegate(&[ADDRESS]).await?;
    status_becomes(site, "app", &["203.0.113.7"]).await?;
    site.apply(&ours.replace("$CLASS", "theirs-$CLASS")).await?;
    status_becomes(site, "app", &[]).await?;
    tidegate.expect("http://app.test/", Status(404)).await?;
    // Its new controller writes an address of its own; that is not ours to take.
    let status = serde_json::json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}});
    let api = object::api(&site.cluster()?.client(), "Ingress", &site.namespace)?;
    api.patch_status("app", &Default::default(), &kube::api::Patch::Merge(status)).await?;
    site.apply(&ingress("later", &["later.test/ Prefix app"])?).await?;
    status_becomes(site, "later", &["203.0.113.7"]).await?;
    status_becomes(site, "app", &["192.0.2.9"]).await
}

async fn a_status_that_is_right_is_not_written_again(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let first = site.tidegate(&[ADDRESS]).await?;
    status_becomes(site, "app", &["203.0.113.7"]).await?;
    let version = site.get("Ingress", "app").await?.metadata.resource_version;
    first.signal("INT")?;
    first.end().await?;
    let _second = site.tidegate(&[ADDRESS]).await?;
    // Another Ingress gets its status from the new leader: by then it has looked at all of them.
    site.apply(&ingress("later", &["later.test/ Prefix app"])?).await?;
    status_becomes(site, "later", &["203.0.113.7"]).await?;
    let after = site.get("Ingress", "app").await?.metadata.resource_version;
    ensure!(version == after, "the Ingress was written again: {version:?}, then {after:?}");
    Ok(())
}

async fn no_status_is_written_where_it_is_switched_off(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("quiet", &["quiet.test/ Prefix app"])?).await?;
    let quiet = site.tidegate(&[ADDRESS, "--update-status=false"]).await?;
    quiet.expect("http://quiet.test/", From("app-1")).await?;
    leader(site, &[]).await?;
    status_becomes(site, "quiet", &[]).await
}

async fn a_status_from_before_a_restart_is_taken_away_when_its_ingress_left_meanwhile(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let ours = ingress("app", &["app.test/ Prefix app"])?;
    site.apply(&ours).await?;
    let first = site.tidegate(&[ADDRESS]).await?;
    status_becomes(site, "app", &["203.0.113.7"]).await?;
    first.signal("INT")?;
    first.end().await?;
    site.apply(&ours.replace("$CLASS", "theirs-$CLASS")).await?;
    let _second = site.tidegate(&[ADDRESS]).await?;
    status_becomes(site, "app", &[]).await
}

/// Waits until the Lease is held by somebody who is not among these, and returns the holder.
async fn leader(site: &Site, not: &[&str]) -> anyhow::Result<String> {
    wait::until_ok(async || {
        let lease = site.get("Lease", "tidegate").await?;
        let holder = lease.data["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        ensure!(!holder.is_empty() && !not.contains(&holder.as_str()), "the Lease is held by {holder:?}");
        Ok(holder)
    })
    .await
}

async fn only_the_leader_tells_and_another_replica_takes_over(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let first = site.tidegate(&["--publish-status-address=203.0.113.1"]).await?;
    let one = leader(site, &[]).await?;
    let second = site.tidegate(&["--publish-status-address=203.0.113.2"]).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    // Both serve; the address is the leader's.
    second.becomes("http://app.test/", From("app-1")).await?;
    status_becomes(site, "app", &["203.0.113.1"]).await?;
    ensure!(leader(site, &[]).await? == one, "the Lease changed hands without a reason");
    // A leader that ends well lets the Lease go: the other need not wait for it to expire.
    first.signal("INT")?;
    ensure!(first.end().await? == Some(0), "the leader did not end well");
    let begun = std::time::Instant::now();
    let two = leader(site, &[&one]).await?;
    ensure!(begun.elapsed() < Duration::from_secs(12), "the hand-over took {:?}: the Lease was not let go", begun.elapsed());
    status_becomes(site, "app", &["203.0.113.2"]).await?;
    // One that dies loses it when it expires (15 s).
    let third = site.tidegate(&["--publish-status-address=203.0.113.3"]).await?;
    second.signal("KILL")?;
    second.end().await?;
    leader(site, &[&one, &two]).await?;
    status_becomes(site, "app", &["203.0.113.3"]).await?;
    third.expect("http://app.test/", From("app-1")).await?;
    Ok(())
}

async fn a_finding_becomes_one_event(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix missing"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let events = object::api(&site.cluster()?.client(), "Event", &site.namespace)?;
    let about = async || -> anyhow::Result<Vec<DynamicObject>> {
        let list = events.list(&ListParams::default()).await?.items;
        Ok(list.into_iter().filter(|event| event.data["regarding"]["name"] == "app" && event.data["reason"] == "MissingService").collect())
    };
    let event = wait::until("an Event", async || Ok(about().await?.into_iter().next())).await?;
    ensure!(event.data["type"] == "Warning" && event.data["regarding"]["kind"] == "Ingress", "{event:?}");
    ensure!(event.data["note"].as_str().is_some_and(|note| note.contains("missing")), "{event:?}");
    let uid = site.get("Ingress", "app").await?.metadata.uid;
    ensure!(event.data["regarding"]["uid"].as_str() == uid.as_deref(), "the Event is not about this object: {event:?}");
    // Other changes are reconciled; the cause stays one Event.
    for number in 0..5 {
        let host = format!("other{number}.test");
        site.apply(&ingress("other", &[&format!("{host}/ Prefix app")])?).await?;
        tidegate.becomes(&format!("http://{host}/"), From("app-1")).await?;
    }
    let all = about().await?;
    ensure!(all.len() == 1, "{} Events for one cause", all.len());
    Ok(())
}
