//! The condition `Accepted` of `ClassParameters`: whether their settings are understood, as people and programs read it.

use anyhow::{Context as _, ensure};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tidegate_tests::object::Document;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tidegate::Want::{From, Redirect, Status};
use tidegate_tests::wait;

use crate::install;

tidegate_tests::scenarios!("conditions":
    good_parameters_are_accepted_and_kubectl_shows_them,
    parameters_that_none_of_our_classes_points_to_get_no_condition,
    no_condition_is_written_where_status_is_switched_off,
    only_the_leader_writes_conditions_and_another_replica_goes_on;
    alone:
    a_bad_value_is_not_accepted_until_it_is_mended,
);

/// The class of the site with parameters of the same name.
const POINTING: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $CLASS}
spec: {controller: $CONTROLLER, parameters: {apiGroup: tidegate.dev, kind: ClassParameters, scope: Cluster, name: $CLASS}}
";

fn parameters(spec: &Value) -> String {
    format!("apiVersion: tidegate.dev/v1alpha1\nkind: ClassParameters\nmetadata: {{name: $CLASS}}\nspec: {spec}\n")
}

fn condition(object: &DynamicObject) -> Option<Value> {
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Accepted")
}

/// Waits until the condition of the site's parameters says this about the `spec` as it is now, and returns it.
async fn becomes(site: &Site, status: &str, reason: &str) -> anyhow::Result<Value> {
    wait::until_ok(async || {
        let object = site.get("ClassParameters", "$CLASS").await?;
        let condition = condition(&object).context("there is no condition")?;
        ensure!(condition["status"] == status && condition["reason"] == reason, "it is {condition}, not {status} for {reason}");
        ensure!(condition["observedGeneration"] == json!(object.metadata.generation), "it is of another generation: {condition}");
        Ok(condition)
    })
    .await
}

/// Returns what kubectl shows of the site's parameters, by column: each value begins where the column's name does, and may be empty.
async fn shown(site: &Site) -> anyhow::Result<Vec<(String, String)>> {
    let text = site.cluster()?.kubectl(&["get", "classparameters", &site.fill("$CLASS")]).await?;
    let (names, values) = text.trim_end().split_once('\n').with_context(|| format!("not two lines: {text}"))?;
    let starts = names.split_whitespace().filter_map(|name| Some((name, names.find(name)?)));
    let cell = |start: usize| values.get(start..).and_then(|rest| rest.split("   ").next()).unwrap_or_default().trim().to_owned();
    Ok(starts.map(|(name, start)| (name.to_owned(), cell(start))).collect())
}

fn column<'a>(shown: &'a [(String, String)], name: &str) -> &'a str {
    shown.iter().find(|(column, _)| column == name).map_or("", |(_, value)| value)
}

async fn good_parameters_are_accepted_and_kubectl_shows_them(site: &Site) -> anyhow::Result<()> {
    site.apply(&parameters(&json!({ "compatibility": "native", "sslRedirect": false, "proxyBodySize": "64Mi" }))).await?;
    site.apply(POINTING).await?;
    let _tidegate = site.tidegate(&[]).await?;
    let first = becomes(site, "True", "Accepted").await?;
    ensure!(first["lastTransitionTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
    let shown = shown(site).await?;
    let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ["NAME", "COMPATIBILITY", "SSL-REDIRECT", "BODY-SIZE", "ACCEPTED", "AGE"], "{shown:?}");
    for (name, value) in [("COMPATIBILITY", "native"), ("SSL-REDIRECT", "false"), ("BODY-SIZE", "64Mi"), ("ACCEPTED", "True")] {
        ensure!(column(&shown, name) == value, "{name}: {shown:?}");
    }
    // It follows the object, and its state is as old as before.
    let spec = json!({ "compatibility": "native", "sslRedirect": true, "proxyBodySize": "64Mi" });
    site.apply(&parameters(&spec)).await?;
    let second = becomes(site, "True", "Accepted").await?;
    ensure!(second["observedGeneration"] != first["observedGeneration"], "the object did not change: {second}");
    ensure!(second["lastTransitionTime"] == first["lastTransitionTime"], "{first}, then {second}");
    Ok(())
}

async fn parameters_that_none_of_our_classes_points_to_get_no_condition(site: &Site) -> anyhow::Result<()> {
    site.apply(&parameters(&json!({}))).await?;
    site.apply(&parameters(&json!({})).replace("$CLASS", "other-$CLASS")).await?;
    let theirs = POINTING.replace("name: $CLASS", "name: other-$CLASS").replace("$CONTROLLER", "example.com/other");
    site.apply(&theirs).await?;
    site.apply(POINTING).await?;
    let _tidegate = site.tidegate(&[]).await?;
    // Ours has its condition: so the others were looked at and left alone.
    becomes(site, "True", "Accepted").await?;
    let other = site.get("ClassParameters", "other-$CLASS").await?;
    ensure!(condition(&other).is_none(), "{other:?}");
    // When our class points elsewhere, what we wrote goes.
    site.apply(&POINTING.replace("Cluster, name: $CLASS", "Cluster, name: elsewhere-$CLASS")).await?;
    wait::until_ok(async || {
        let object = site.get("ClassParameters", "$CLASS").await?;
        ensure!(condition(&object).is_none(), "it still has its condition: {object:?}");
        Ok(())
    })
    .await
}

async fn no_condition_is_written_where_status_is_switched_off(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix missing"])?).await?;
    site.apply(&parameters(&json!({}))).await?;
    site.apply(POINTING).await?;
    let _quiet = site.tidegate(&["--update-status=false"]).await?;
    // It leads, since it writes Events.
    let events = tidegate_tests::object::api(&site.cluster()?.client(), "Event", &site.namespace)?;
    wait::until("an Event", async || Ok(events.list(&Default::default()).await?.items.into_iter().next())).await?;
    let object = site.get("ClassParameters", "$CLASS").await?;
    ensure!(condition(&object).is_none(), "{object:?}");
    Ok(())
}

async fn only_the_leader_writes_conditions_and_another_replica_goes_on(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let redirect = |to: &str| parameters(&json!({ "temporalRedirect": format!("https://{to}.test/") }));
    site.apply(&redirect("one")).await?;
    site.apply(POINTING).await?;
    let first = site.tidegate(&[]).await?;
    becomes(site, "True", "Accepted").await?;
    let version = site.get("ClassParameters", "$CLASS").await?.metadata.resource_version;
    let second = site.tidegate(&[]).await?;
    second.expect("http://app.test/", Redirect(302, "https://one.test/")).await?;
    // While the leader stands still, the other serves a change and says nothing of it.
    first.signal("STOP")?;
    site.apply(&redirect("two")).await?;
    second.becomes("http://app.test/", Redirect(302, "https://two.test/")).await?;
    // It has had the time for more than that.
    site.apply(&ingress("other", &["other.test/ Prefix app"])?).await?;
    second.becomes("http://other.test/", Redirect(302, "https://two.test/")).await?;
    let object = site.get("ClassParameters", "$CLASS").await?;
    let stale = condition(&object).context("there is no condition")?;
    ensure!(stale["observedGeneration"] != json!(object.metadata.generation), "the replica without the Lease wrote: {stale}");
    ensure!(object.metadata.resource_version != version, "the object did not change");
    first.signal("CONT")?;
    becomes(site, "True", "Accepted").await?;
    // The next holder of the Lease finds what is right, and leaves it.
    let version = site.get("ClassParameters", "$CLASS").await?.metadata.resource_version;
    first.signal("INT")?;
    first.end().await?;
    wait::until("the other to lead", async || Ok(second.logged("leadership changed").pop())).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app", "more.test/ Prefix app"])?).await?;
    second.becomes("http://more.test/", Redirect(302, "https://two.test/")).await?;
    let after = site.get("ClassParameters", "$CLASS").await?.metadata.resource_version;
    ensure!(version == after, "it was written again: {version:?}, then {after:?}");
    site.apply(&redirect("three")).await?;
    becomes(site, "True", "Accepted").await?;
    Ok(())
}

/// Alone, since the API server refuses bad values for as long as its validation is in place; an older CRD had perhaps less of it.
async fn a_bad_value_is_not_accepted_until_it_is_mended(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    site.apply(&parameters(&json!({ "appRoot": "/first" }))).await?;
    site.apply(POINTING).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    becomes(site, "True", "Accepted").await?;
    let client = site.cluster()?.client();
    let mut lax: Document = install::crd()?;
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let data = &mut lax.object.data;
    *data.pointer_mut(schema).context("the CRD has no schema")? = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let tried = async {
        lax.apply(&client, "").await?;
        // The API server takes up a new schema a moment later.
        let bad = json!({ "appRoot": "/second", "proxyReadTimeout": "0s", "proxyBodySize": "10M" });
        wait::until_ok(async || site.apply(&parameters(&bad)).await).await?;
        let condition = becomes(site, "False", "InvalidParameters").await?;
        let message = condition["message"].as_str().unwrap_or_default();
        ensure!(message.contains("spec.proxyReadTimeout: ") && message.contains("spec.proxyBodySize: "), "{condition}");
        ensure!(column(&shown(site).await?, "ACCEPTED") == "False", "{:?}", shown(site).await?);
        tidegate.diagnosed("invalid_parameters", &site.fill("$CLASS")).await?;
        // The version before it stays, whole.
        tidegate.expect("http://app.test/", Redirect(302, "http://app.test/first")).await?;
        // One that cannot be read at all.
        site.apply(&parameters(&json!({ "appRoot": ["/third"] }))).await?;
        let condition = becomes(site, "False", "InvalidObject").await?;
        ensure!(condition["message"].as_str().is_some_and(|message| message.contains("appRoot")), "{condition}");
        tidegate.expect("http://app.test/", Redirect(302, "http://app.test/first")).await?;
        site.apply(&parameters(&json!({ "appRoot": "/fourth" }))).await
    }
    .await;
    install::install_crd(site.cluster()?).await?;
    tried?;
    becomes(site, "True", "Accepted").await?;
    tidegate.becomes("http://app.test/", Redirect(302, "http://app.test/fourth")).await?;
    tidegate.no_more("invalid_object").await?;
    tidegate.expect_all(&[("http://app.test/fourth", From("app-1")), ("http://other.test/", Status(404))]).await
}
